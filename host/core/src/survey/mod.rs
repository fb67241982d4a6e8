//! From facts to a snapshot: who is an owner, what it holds and asks for, which node is in which zone, and what is
//! not ours. Judges nothing about the future: that is the policy's, and `settle`'s for an inherited mess.

mod conflicts;
mod constraints;
mod failover;
mod interfaces;
mod members;
mod network;
mod owners;
pub(crate) mod ranges;
mod topology;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::name::{OwnerName, PoolIndex, PoolName};
use crate::observed::{Blind, NamespaceFacts, Observed};
use crate::plan::HoldCode;
use crate::snapshot::{Allocation, Flapped, Snapshot};
use crate::text::printable;

pub(crate) use constraints::{Constraints, Displaced};
pub(crate) use owners::at_most;
pub(crate) use ranges::Territory;

/// A snapshot and what the host alone needs to know beside it.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// What is there. A policy sees it only after `settle`.
    pub snapshot: Snapshot,
    /// Namespaces that the host itself holds, before any policy.
    pub holds: Vec<NamedHold>,
    /// Warnings by pool.
    pub notes: Vec<PoolNote>,
    /// When something is due although nothing changes, in Unix milliseconds.
    pub again_at: Option<u64>,
    /// Namespaces so young that the network has not made their holding yet.
    pub(crate) newborn: BTreeSet<OwnerName>,
    /// What must not change, and what has to, whatever a policy wants.
    pub(crate) constraints: Constraints,
    /// What each owner asks for.
    pub(crate) wishes: Vec<Wish>,
    /// Everything that is or was some pool's.
    pub(crate) territory: Territory,
    /// Opted-in namespaces whose network is another namespace's too, with the words for it.
    pub(crate) sharing: BTreeMap<OwnerName, String>,
    /// Something cannot be seen, so that everybody keeps what he has and gets nothing new.
    pub(crate) blind: Option<Unseen>,
}

/// What follows from what cannot be seen.
#[derive(Clone, Debug)]
pub(crate) struct Unseen {
    /// What it is, for people.
    pub(crate) text: String,
    /// It is known which nodes work.
    pub(crate) may_move: bool,
    /// It is known what nodes carry, so that an address that is nowhere is nowhere.
    pub(crate) may_assign: bool,
}

impl Unseen {
    fn of(observed: &Observed) -> Option<Self> {
        let text = observed.blindness()?;
        let may_assign = observed.sees(Blind::Carriers) || observed.written_interfaces().is_some();
        Some(Self { text, may_move: observed.sees(Blind::Nodes), may_assign })
    }
}

/// A hold with names instead of indices: what people and status see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedHold {
    /// Its pool.
    pub pool: PoolName,
    /// Label value of the zone; none: in all of the pool.
    pub zone: Option<String>,
    /// Who waits.
    pub owner: OwnerName,
    /// Why.
    pub code: HoldCode,
    /// Why, in words.
    pub text: String,
}

/// A warning about a pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolNote {
    /// The pool.
    pub pool: PoolName,
    /// The warning.
    pub text: String,
}

impl Survey {
    /// Surveys the cluster.
    pub fn of(observed: &Observed) -> Self {
        let territory = Territory::of(observed);
        let topology = topology::Topology::of(observed);
        let mut survey = Self {
            snapshot: Snapshot {
                generation: observed.generation,
                now: observed.now,
                seed: observed.seed,
                pools: topology.pools,
                zones: topology.zones,
                nodes: topology.nodes,
                ..Snapshot::default()
            },
            notes: topology.notes,
            constraints: Constraints { invalid: topology.invalid, ..Constraints::default() },
            blind: Unseen::of(observed),
            sharing: conflicts::shared_networks(observed),
            territory,
            ..Self::default()
        };
        survey.add_owners(observed);
        survey.add_network(observed);
        survey.hold_own_addresses(observed);
        survey.await_network(observed);
        survey.note_balanced(observed);
        // What can wait waits until everything can be seen.
        survey.snapshot.budget = if survey.blind.is_some() { 0 } else { survey.snapshot.full_budget() };
        let flapped = observed.recent.flapped.iter();
        survey.snapshot.flapped =
            flapped.map(|(&address, policy)| Flapped { address, policy: policy.clone() }).collect();
        survey.notes.sort();
        survey.holds.sort();
        survey
    }

    /// The index of a pool that is served.
    pub fn pool_named(&self, name: &PoolName) -> Option<PoolIndex> {
        self.snapshot.pools.binary_search_by(|pool| pool.name.cmp(name)).ok().map(PoolIndex::at)
    }
}

/// Most addresses that a namespace may ask for. A tenant writes the request, and every round and every policy reads it: this
/// is far more than a pool has zones, and little enough for thousands of namespaces.
const MOST_REQUESTED: usize = 64;

/// What the annotation `egressips` of a namespace means, given what it holds (R1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// There is none, or it states what is held.
    None,
    /// It asks for these addresses.
    Request(Vec<IpAddr>),
    /// It cannot be read; the text says where.
    Malformed(String),
}

impl Wish {
    /// Reads the annotation.
    pub(crate) fn of(namespace: &NamespaceFacts, held: &[Allocation]) -> Self {
        let Some(text) = namespace.egress_ips.as_deref().filter(|text| !text.trim().is_empty()) else {
            return Self::None;
        };
        let count = text.split(',').count();
        if count > MOST_REQUESTED.max(held.len()) {
            return Self::Malformed(format!(
                "annotation egressips names {count} addresses; at most {MOST_REQUESTED} are read"
            ));
        }
        let (mut addresses, mut seen) = (Vec::new(), BTreeSet::new());
        for part in text.split(',').map(str::trim) {
            match part.parse::<IpAddr>() {
                Ok(address) if seen.insert(address) => addresses.push(address),
                Ok(_) => {
                    return Self::Malformed(format!("annotation egressips names {part} twice"));
                }
                Err(_) => {
                    let part = printable(part, 40);
                    return Self::Malformed(format!("annotation egressips: \"{part}\" is not an address"));
                }
            }
        }
        if addresses.len() == held.len() && held.iter().all(|held| addresses.contains(&held.address)) {
            return Self::None;
        }
        Self::Request(addresses)
    }
}

/// Addresses with their holders among those who are neither owners nor leaving.
type Strangers = BTreeMap<IpAddr, OwnerName>;

#[cfg(test)]
mod tests;
