//! Networks: from the end state of a verified plan to writes, ordered so that every prefix is a state from which planning
//! again converges.
//!
//! What core plans from is neutral: who holds what ([`HoldingFacts`](crate::observed::HoldingFacts)) and which node carries
//! what ([`CarrierFacts`](crate::observed::CarrierFacts)). Each network has a folder here, which knows the order of its
//! writes and what a missing object means. Today there is one: OpenShift SDN.

mod sdn;
mod write;

use std::collections::BTreeMap;

use crate::observed::Observed;

pub use sdn::schedule;
pub(crate) use sdn::{CARRIER, CARRIERS, HOLDING, HOLDINGS, NO_HOLDING, network_places};
pub use write::{
    Change, FINALIZER, HOLD_ANNOTATION, Home, OWNED_BY_POOL_ANNOTATION, POOL_ANNOTATION, RESULT_ANNOTATION, Target,
    Write, ZONES_ANNOTATION,
};

/// The preconditions of a schedule: its objects as they were observed.
pub fn versions(observed: &Observed, writes: &[Write]) -> BTreeMap<Target, String> {
    let version = |write: &Write| Some((write.target.clone(), write.target.version(observed)?.to_owned()));
    writes.iter().filter_map(version).collect()
}
