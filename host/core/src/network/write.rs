//! Writes as values: one object each, with what must have happened before.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::name::{NodeName, OwnerName, PoolName};
use crate::observed::Observed;

/// One change of one object. The object's version goes with it, so that nobody else's change is undone.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// What is written.
    pub target: Target,
    /// How.
    pub change: Change,
    /// Positions, in the same schedule, of writes that must have succeeded before. Always smaller than its own.
    pub after: Vec<usize>,
    /// Positions of writes that must have ended before; if there are any, one of them with success.
    pub after_any: Vec<usize>,
}

/// The object of a write. One write is in flight per target. What people call such objects is not known here: it is
/// for the network and its API to say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A pool.
    Pool(PoolName),
    /// What a node carries: the network's object of that node.
    Carrier(NodeName),
    /// What an owner holds: the network's object of that owner.
    Holding(OwnerName),
    /// The namespace of an owner.
    Namespace(OwnerName),
    /// The cloud's interface of a node.
    Interface(NodeName),
}

impl Target {
    /// What it is to core.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pool(_) => "pool",
            Self::Carrier(_) => "carrier",
            Self::Holding(_) => "holding",
            Self::Namespace(_) => "namespace",
            Self::Interface(_) => "interface",
        }
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Pool(name) => name.as_str(),
            Self::Carrier(name) | Self::Interface(name) => name.as_str(),
            Self::Holding(name) | Self::Namespace(name) => name.as_str(),
        }
    }

    /// The object's version as it was observed: the precondition of a write. None: there is no such object.
    pub fn version<'a>(&self, observed: &'a Observed) -> Option<&'a str> {
        match self {
            Self::Pool(name) => observed.pools.get(name).map(|facts| facts.resource_version.as_str()),
            Self::Carrier(name) => observed.carriers.get(name).map(|facts| facts.resource_version.as_str()),
            Self::Holding(name) => observed.holdings.get(name).map(|facts| facts.resource_version.as_str()),
            Self::Namespace(name) => observed.namespaces.get(name).map(|facts| facts.resource_version.as_str()),
            Self::Interface(name) => observed.interface(name).map(|interface| interface.version.as_str()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// New values of facts. Lists are whole values.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Of a pool: who keeps it from going when it is deleted.
    Pool {
        /// We do, until what is its own is cleaned up.
        guarded: bool,
        /// Others do, as before.
        other_guards: Vec<String>,
    },
    /// Of what a node carries; none: untouched.
    Carrier {
        /// All addresses, strangers' entries included.
        egress_ips: Option<Vec<String>>,
        /// From where the network places by itself.
        ranges: Option<Vec<String>>,
    },
    /// Of a node: whether the network may place addresses on it, where it does so among nodes that are marked for it, and
    /// our record that it is our mark.
    Assignable(bool),
    /// What an owner holds comes into being. The precondition is that there is nothing of that name.
    NewHolding {
        /// All addresses, in zone order.
        egress_ips: Vec<IpAddr>,
        /// Our record.
        home: Home,
    },
    /// What an owner holds is deleted.
    NoHolding {
        /// Name of the object.
        object: String,
    },
    /// Of what an owner holds: addresses and our record of them, at once.
    Holding {
        /// Name of the object; empty: that of the owner.
        object: String,
        /// All addresses, in zone order.
        egress_ips: Vec<IpAddr>,
        /// Our record; none: removed.
        home: Option<Home>,
        /// Addresses of which there is a record now: what the new one says nothing of goes.
        recorded: BTreeSet<IpAddr>,
    },
    /// Of a namespace: what it is told; outer none: untouched, inner none: removed.
    Namespace {
        /// Its addresses.
        result: Option<Option<String>>,
        /// Why it is not served.
        hold: Option<Option<String>>,
    },
    /// Of an interface: what comes and what goes, in one request to the cloud, which takes its time with it.
    Interface {
        /// Addresses to add.
        on: BTreeSet<IpAddr>,
        /// Addresses of ours to remove.
        off: BTreeSet<IpAddr>,
    },
}

/// Where the addresses that an owner holds are at home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Its pool.
    pub pool: PoolName,
    /// The zone of each address where it is known, in their order.
    pub zones: Vec<(IpAddr, String)>,
    /// Addresses that the owner only keeps until what replaces them is carried.
    pub replaced: Vec<IpAddr>,
}
