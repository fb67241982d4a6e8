//! What the host forbids whoever plans, as data: no policy sees the reasons, and the checker knows what follows.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::name::{NodeIndex, OwnerIndex, PoolIndex};
use crate::plan::Reason;

/// What must not change, and what has to, whatever a policy wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Constraints {
    /// Pools whose spec has errors: they keep what they have.
    pub(crate) invalid: BTreeSet<PoolIndex>,
    /// Owners that keep what they have and get nothing new: of invalid pools, of a shared network, or going away.
    pub(crate) suspended: BTreeSet<OwnerIndex>,
    /// Addresses of suspended owners that are in no range of the pool, as far as it can be read: they stay where they are,
    /// so that their nodes take nothing else of these owners.
    pub(crate) immovable: Vec<(OwnerIndex, IpAddr)>,
    /// Addresses that the network carries for this owner and nobody else, where it says for whom.
    pub(crate) carried: BTreeSet<(OwnerIndex, IpAddr)>,
    /// Held addresses that their owners have to give up: to be released (R4, R18).
    pub(crate) displaced: Vec<Displaced>,
    /// Addresses that interfaces have under names that are not ours: nobody can take them off.
    pub(crate) foreign: BTreeSet<(IpAddr, NodeIndex)>,
    /// Addresses that only one of network and interface of a node has.
    pub(crate) incomplete: BTreeSet<(IpAddr, NodeIndex)>,
    /// Addresses that somebody else who writes interfaces refused to give to the node that carries them.
    pub(crate) refused: BTreeSet<(IpAddr, NodeIndex)>,
}

/// A held address that its owner cannot keep.
#[derive(Clone, Debug)]
pub(crate) struct Displaced {
    pub(crate) owner: OwnerIndex,
    pub(crate) address: IpAddr,
    pub(crate) reason: Reason,
    pub(crate) text: String,
}
