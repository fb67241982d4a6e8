//! Networks: from the end state of a verified plan to writes, ordered so that every prefix is a state from which planning
//! again converges.
//!
//! What core plans from is neutral: who holds what ([`HoldingFacts`](crate::observed::HoldingFacts)) and which node carries
//! what ([`CarrierFacts`](crate::observed::CarrierFacts)). Each [`Network`] has a folder here, which knows its objects and
//! the order of its writes. What no network decides is beside the folders: what namespaces shall hold, guards, and a
//! cloud's interfaces.

mod guards;
mod holdings;
mod inputs;
mod intent;
mod interfaces;
mod ovn;
mod results;
mod sdn;
mod words;
pub(crate) mod write;
mod writes;

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{NodeIndex, OwnerName};
use crate::observed::{Assignable, Observed};
use crate::snapshot::{Placement, Pool, Snapshot, Zone};
use crate::survey::{NamedHold, Survey};
use crate::verify::VerifiedPlan;

pub use words::Words;
pub use write::{Change, Home, Target, Write};

/// A network that this build can write to. A second one is a folder here and a variant: the compiler then shows where
/// networks differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// It carries first: a node lists an address before an owner holds it, since the network drops what is sent from an
    /// address that no node carries.
    #[default]
    OpenShiftSdn,
    /// It holds first: the network carries what an owner holds, on nodes of its choice among those that are marked for it.
    OvnKubernetes,
}

/// What it means that a namespace has no holding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingHolding {
    /// The network makes one for each namespace, and nobody else: its owner waits for it (R12).
    OwnerWaits,
    /// We make it, and its owner holds nothing until then.
    WeMakeIt,
}

impl Network {
    /// Whether a namespace without a holding can get addresses.
    pub(crate) fn missing_holding(self) -> MissingHolding {
        match self {
            Self::OpenShiftSdn => MissingHolding::OwnerWaits,
            Self::OvnKubernetes => MissingHolding::WeMakeIt,
        }
    }

    /// Who chooses the nodes of a pool's addresses, where nothing about the pool says otherwise.
    pub(crate) fn placement(self) -> Placement {
        match self {
            Self::OpenShiftSdn => Placement::Exact,
            Self::OvnKubernetes => Placement::Among,
        }
    }

    /// Whether the network itself, or whoever serves it in a cloud, says how much a node can carry.
    pub(crate) fn keeps_capacity(self) -> bool {
        match self {
            Self::OpenShiftSdn => false,
            Self::OvnKubernetes => true,
        }
    }

    /// Until when the network may not have seen yet that it may place on a node, in Unix milliseconds: it watches nodes and
    /// holdings apart. None: it has. If we saw the mark later than it is now, our clock was set back since.
    pub(crate) fn unseen_until(self, assignable: Assignable, now: u64) -> Option<u64> {
        const LAG: u64 = 1_000;
        let end = assignable.since.saturating_add(LAG);
        match self {
            Self::OpenShiftSdn => None,
            Self::OvnKubernetes => (assignable.since..end).contains(&now).then_some(end),
        }
    }
}

/// Who is not served, for those whom it concerns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Explained<'a> {
    /// All of them, as far as that is known.
    pub(crate) holds: &'a [NamedHold],
    /// Owners of whom it is not known this time, unless they are among the former: what they were told stays.
    pub(crate) unknown: &'a BTreeSet<OwnerName>,
}

/// Makes the writes of a verified plan. Objects in `avoid` are left alone, and so is what depends on them.
pub(crate) fn schedule(
    observed: &Observed,
    survey: &Survey,
    plan: &VerifiedPlan,
    explained: Explained<'_>,
    avoid: &BTreeSet<Target>,
) -> Vec<Write> {
    let inputs = inputs::Inputs::of(observed, survey, plan, avoid);
    match observed.network {
        Network::OpenShiftSdn => sdn::schedule(&inputs, explained),
        Network::OvnKubernetes => ovn::schedule(&inputs, explained),
    }
}

/// Whether the network itself decides what this node carries (R13), as it does for pools that it places alone: it takes off
/// whatever it did not place.
pub(crate) fn network_places(snapshot: &Snapshot, node: NodeIndex) -> bool {
    let placing = |zone: &Zone| snapshot.pool(zone.pool).is_some_and(Pool::is_self_placing);
    snapshot.zones.iter().any(|zone| placing(zone) && zone.nodes.binary_search(&node).is_ok())
}

/// The preconditions of a schedule: its objects as they were observed.
pub fn versions(observed: &Observed, writes: &[Write]) -> BTreeMap<Target, String> {
    let version = |write: &Write| {
        let is_new = matches!(write.change, Change::NewHolding { .. });
        let known = write.target.version(observed).or_else(|| is_new.then_some(""));
        Some((write.target.clone(), known?.to_owned()))
    };
    writes.iter().filter_map(version).collect()
}

#[cfg(test)]
mod tests {
    use super::Network;
    use crate::observed::Assignable;

    #[test]
    fn a_label_counts_a_second_after_it_was_seen_whatever_the_clock_does() {
        let label = Assignable { ours: true, since: 5_000 };
        let unseen = |now| Network::OvnKubernetes.unseen_until(label, now);
        assert_eq!([5_000, 5_999].map(unseen), [Some(6_000); 2]);
        assert_eq!([6_000, 4_999, 0].map(unseen), [None; 3], "a clock that was set back stops nobody for long");
        assert_eq!(Network::OpenShiftSdn.unseen_until(label, 5_000), None);
    }
}
