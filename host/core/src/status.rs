//! What a pool's status says, computed from a round.

use crate::name::PoolName;

/// The story of one pool after one round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolReport {
    /// The pool.
    pub pool: Option<PoolName>,
    /// `metadata.generation` that was planned.
    pub generation: i64,
    /// Opted-in namespaces.
    pub owners: u32,
    /// Of these, without any hold.
    pub served: u32,
    /// Of these, with a hold.
    pub held: u32,
    /// Zones in order.
    pub zones: Vec<ZoneReport>,
    /// Errors that make the round of this pool a failure: spec, policy, refused writes. Empty: success.
    pub errors: Vec<String>,
    /// What stops writing at all (platform without provider, missing CRDs); Ready is False with this text.
    pub blocked: Option<String>,
    /// Things worth knowing that stop nothing: overlaps, holds, inherited findings.
    pub warnings: Vec<String>,
}

/// One zone of a pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ZoneReport {
    /// Label value.
    pub name: String,
    /// Ranges, as text; of a pool-wide range the whole.
    pub range: String,
    /// Addresses that can be handed out in all, those in use included.
    pub size: u64,
    /// Addresses held.
    pub used: u64,
    /// Nodes in the zone.
    pub nodes: u32,
    /// Of these, healthy.
    pub healthy_nodes: u32,
}
