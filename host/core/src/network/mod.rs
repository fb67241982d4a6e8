//! Networks: from the end state of a verified plan to writes, ordered so that every prefix is a state from which planning
//! again converges.
//!
//! What core plans from is neutral: who holds what ([`HoldingFacts`](crate::observed::HoldingFacts)) and which node carries
//! what ([`CarrierFacts`](crate::observed::CarrierFacts)). Each network has a folder here, which knows the order of its
//! writes and what a missing object means. Today there is one: OpenShift SDN. What a network does not decide is beside the
//! folders: what namespaces shall hold, finalizers, and a cloud's interfaces.

mod finalizers;
mod inputs;
mod intent;
mod interfaces;
mod sdn;
pub(crate) mod words;
pub(crate) mod write;
mod writes;

use std::collections::{BTreeMap, BTreeSet};

use crate::name::NodeIndex;
use crate::observed::Observed;
use crate::snapshot::{Snapshot, Zone};
use crate::survey::{NamedHold, Survey};
use crate::verify::VerifiedPlan;

pub use write::{
    Change, FINALIZER, HOLD_ANNOTATION, Home, OWNED_BY_POOL_ANNOTATION, POOL_ANNOTATION, RESULT_ANNOTATION, Target,
    Write, ZONES_ANNOTATION,
};

/// Makes the writes of a verified plan. `holds`: everyone who is not served, for the annotation; none: unknown this
/// time, so the annotations stay. Objects in `avoid` are left alone, and so is what depends on them.
pub fn schedule(
    observed: &Observed,
    survey: &Survey,
    plan: &VerifiedPlan,
    holds: Option<&[NamedHold]>,
    avoid: &BTreeSet<Target>,
) -> Vec<Write> {
    sdn::schedule(&inputs::Inputs::of(observed, survey, plan, avoid), holds)
}

/// Whether the network itself decides what this node carries (R13): it takes off whatever it did not place.
pub(crate) fn network_places(snapshot: &Snapshot, node: NodeIndex) -> bool {
    let placing = |zone: &Zone| snapshot.pool(zone.pool).is_some_and(|pool| pool.self_placing);
    snapshot.zones.iter().any(|zone| placing(zone) && zone.nodes.binary_search(&node).is_ok())
}

/// The preconditions of a schedule: its objects as they were observed.
pub fn versions(observed: &Observed, writes: &[Write]) -> BTreeMap<Target, String> {
    let version = |write: &Write| Some((write.target.clone(), write.target.version(observed)?.to_owned()));
    writes.iter().filter_map(version).collect()
}
