//! A plan: what shall change, and why the rest does not. Untrusted until verified.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::name::{NodeIndex, OwnerIndex, ZoneIndex};

/// A policy's answer, or the host's own wish.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Generation of the snapshot it was made from.
    pub generation: u64,
    /// A set: order means nothing.
    pub patches: Vec<Patch>,
    /// Who is not served, and why.
    pub holds: Vec<Hold>,
}

/// One change with its reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// What changes.
    pub operation: Operation,
    /// Why.
    pub reason: Reason,
    /// Why, in words; may be empty.
    pub text: String,
    /// Made by the host (retirement, inherited mess), not by a policy.
    pub by_host: bool,
}

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Binds an address to an owner.
    Allocate {
        /// Who gets it.
        owner: OwnerIndex,
        /// Home zone; none: unknown.
        zone: Option<ZoneIndex>,
        /// The address.
        address: IpAddr,
    },
    /// Takes an address from its holder, and then off its node.
    Release {
        /// Who loses it; none if nobody holds it, which `verify` refuses.
        holder: Option<Holder>,
        /// The address.
        address: IpAddr,
    },
    /// Puts an address onto a node.
    Assign {
        /// The address.
        address: IpAddr,
        /// The new carrier.
        node: NodeIndex,
    },
    /// Takes an address off a node.
    Unassign {
        /// The address.
        address: IpAddr,
        /// The carrier.
        node: NodeIndex,
    },
    /// Takes an address off one node and puts it onto another.
    Move {
        /// The address.
        address: IpAddr,
        /// The carrier so far.
        source: NodeIndex,
        /// The new carrier.
        target: NodeIndex,
    },
}

/// Who holds an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// An owner of the snapshot.
    Owner(OwnerIndex),
    /// Position in `Snapshot::leaving`.
    Leaving(u32),
}

impl Operation {
    /// The address it is about.
    pub fn address(&self) -> IpAddr {
        match *self {
            Self::Allocate { address, .. }
            | Self::Release { address, .. }
            | Self::Assign { address, .. }
            | Self::Unassign { address, .. }
            | Self::Move { address, .. } => address,
        }
    }

    /// The node that gets the address, if one does.
    pub fn target(&self) -> Option<NodeIndex> {
        match *self {
            Self::Assign { node, .. } => Some(node),
            Self::Move { target, .. } => Some(target),
            Self::Allocate { .. } | Self::Release { .. } | Self::Unassign { .. } => None,
        }
    }

    /// Its name on the command line and in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Allocate { .. } => "allocate",
            Self::Release { .. } => "release",
            Self::Assign { .. } => "assign",
            Self::Unassign { .. } => "unassign",
            Self::Move { .. } => "move",
        }
    }
}

/// Why something changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The owner is to have it.
    Wanted,
    /// The owner asked for this address.
    Requested,
    /// More than is wanted.
    Surplus,
    /// Its carrier is down.
    NodeDown,
    /// Its carrier is cordoned.
    NodeDraining,
    /// Its carrier is not in the address's zone, or not selected.
    NodeIneligible,
    /// Its carrier holds more than it may.
    OverCapacity,
    /// Another address needs the place.
    MakeRoom,
    /// Better balance.
    Rebalance,
    /// See the text.
    Other,
    /// The pool no longer has the address, reserves it, or the owner changed pools (host only).
    PoolChanged,
    /// Two owners or two nodes had it (host only).
    Duplicate,
    /// The namespace opted out (host only).
    OptedOut,
    /// The namespace is gone (host only).
    NamespaceGone,
    /// The pool is being deleted (host only).
    PoolDeleted,
    /// Carried, but held by nobody (host only).
    Stale,
}

/// Why an owner is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldCode {
    /// No free address.
    Exhausted,
    /// No healthy node in the zone.
    NoNode,
    /// Nodes, but no room.
    NoCapacity,
    /// The request cannot be met as written.
    RequestInvalid,
    /// A requested address belongs to somebody else.
    RequestTaken,
    /// The policy's share of the zone is used up.
    Share,
    /// Feasible, but only with more moves than the budget allows.
    Budget,
    /// A write is under way.
    InFlight,
    /// See the text.
    Other,
    /// The network has no object for what it holds (host only, R12).
    #[serde(rename = "no-net-namespace")]
    NoHolding,
    /// No EgressIPAM of that name (host only).
    PoolMissing,
    /// The pool's spec has errors (host only).
    PoolInvalid,
    /// The pool is being deleted (host only).
    PoolDeleting,
    /// The policy that would serve it fails, and who stands in for it gives nothing out (host only).
    PolicyFailed,
    /// Its network has an id that another namespace's has too (host only).
    SharedNetworkId,
    /// An address that it holds is a machine's own (host only).
    AddressConflict,
    /// The network's object for what it holds is not ours to change (host only).
    ForeignObject,
}

impl HoldCode {
    /// What it means, for holds that say no more about themselves.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Exhausted => "no free address",
            Self::NoNode => "no healthy node",
            Self::NoCapacity => "no node has room",
            Self::RequestInvalid => "the request cannot be met as written",
            Self::RequestTaken => "a requested address belongs to somebody else",
            Self::Share => "the policy's share of the zone is used up",
            Self::Budget => "it takes more moves than the budget allows",
            Self::InFlight => "a write is under way",
            Self::Other => "the policy gives no reason",
            Self::NoHolding => "the network has no object for what it holds",
            Self::PoolMissing => "there is no such EgressIPAM",
            Self::PoolInvalid => "the pool's spec has errors",
            Self::PoolDeleting => "the pool is being deleted",
            Self::PolicyFailed => "the policy that would serve it fails",
            Self::SharedNetworkId => "another namespace has the same network id",
            Self::AddressConflict => "an address that it holds is a machine's own",
            Self::ForeignObject => "the network's object for what it holds is not ours to change",
        }
    }
}

/// An owner that is not served in a zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    /// Who waits.
    pub owner: OwnerIndex,
    /// Where; none: in all of the pool.
    pub zone: Option<ZoneIndex>,
    /// Why.
    pub code: HoldCode,
    /// Why, in words.
    pub text: String,
}

macro_rules! kebab_display {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.serialize(f)
            }
        }
    };
}

kebab_display!(Reason);
kebab_display!(HoldCode);
