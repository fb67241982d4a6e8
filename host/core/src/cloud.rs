//! What a cloud shows of the machines' interfaces, at one instant, in words that fit any cloud.
//!
//! Facts, not judgement: who holds an address and whether it should move is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::name::NodeName;
use crate::snapshot::{Capacity, Phase};

/// The interfaces of all machines, as the cloud's provider last read them, and what the provider is doing to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudFacts {
    /// Whether we write interfaces. If not, somebody else does from what the network says, or nobody.
    pub writes: bool,
    /// How an address comes from one interface to another.
    pub moves: Moves,
    /// The primary interface of each machine that has one, machines included whose Node is gone but that still carry
    /// addresses of ours.
    pub interfaces: BTreeMap<NodeName, InterfaceFacts>,
    /// Nodes that cannot carry addresses, and why: no machine, no interface, of a kind that is not served.
    pub unusable: BTreeMap<NodeName, String>,
    /// Addresses that belong to strangers in the cloud: interfaces of other machines, load balancers, addresses that
    /// the cloud refused since somebody has them. Never to be handed out.
    pub occupied: BTreeSet<IpAddr>,
    /// What the cloud keeps for itself of its subnets. Never handed out.
    pub reserved: BTreeSet<IpNet>,
    /// Addresses that the cloud does not give to another interface yet, although none of ours shows them any more.
    /// They are not to be put anywhere now.
    pub lingering: BTreeSet<IpAddr>,
    /// Addresses that the cloud refused lately. They are handed out to nobody new; who holds one keeps it.
    pub doubtful: BTreeSet<IpAddr>,
    /// Load balancer pools that addresses we put on did not join although the machine's own address is in them, and why,
    /// for people.
    pub passed_over: BTreeSet<String>,
    /// Addresses of ours that load balancers send requests to although a pool of their node says that they should not,
    /// and how to end that, for people.
    pub balanced: BTreeMap<IpAddr, String>,
    /// What keeps the provider from working as it should, for people: permissions, throttling.
    pub complaints: Vec<String>,
}

/// How a cloud moves an address from one interface to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Moves {
    /// An interface cannot get what another one has: it is taken off there first.
    #[default]
    OffThenOn,
    /// An interface that gets what another one of ours has takes it from there, in one call. From then on only the one
    /// that gets it shows it; where the call fails, again the one that had it.
    InOneCall,
}

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceFacts {
    /// Its version: changes whenever the interface does.
    pub version: String,
    /// Prefixes of its subnet.
    pub subnet: Vec<IpNet>,
    /// Its addresses, without the machine's own. Those that a write under way adds are here already, those that it
    /// takes off are still here.
    pub addresses: BTreeMap<IpAddr, InterfaceAddress>,
    /// How many addresses it may have beside the machine's own, in all and of each family: a cloud limits the one, or the
    /// other, or both.
    pub limit: Capacity,
    /// How many of the machine's own it has.
    pub own: u32,
    /// It is not to be written now: a write is under way, or an earlier one failed and its pause is not over.
    pub busy: bool,
    /// Its last update failed, so that nobody knows whether its addresses work: it is to be written once more, as it is if
    /// there is nothing to change.
    pub failed: bool,
    /// It has been under an update since before we first saw it: it may be giving back addresses that it shows no more.
    pub may_hide_removals: bool,
    /// Why the last write failed, for people; none: it did not, or it is nothing to worry about.
    pub complaint: Option<String>,
}

/// One address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// We may take it off: its configuration is named as ours are.
    pub ours: bool,
    /// Whether a write is under way.
    pub phase: Phase,
}

impl InterfaceFacts {
    /// How many addresses there is room for, those of ours included that it has.
    pub fn capacity(&self) -> Capacity {
        let mut room = self.limit;
        for (address, _) in self.addresses.iter().filter(|(_, on)| !on.ours) {
            room.take(*address);
        }
        room
    }

    /// Whether a range is part of its subnet.
    pub fn contains(&self, range: &IpNet) -> bool {
        self.subnet.iter().any(|prefix| prefix.contains(range))
    }
}
