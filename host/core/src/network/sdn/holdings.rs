//! NetNamespaces: what a namespace holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::carry::CarrierWrites;
use super::waiting::Waiting;
use crate::name::OwnerName;
use crate::network::Target;
use crate::network::guards::Guards;
use crate::network::holdings::{HoldingWrites, is_blocked, is_recorded_wrongly};
use crate::network::inputs::Inputs;
use crate::network::intent::Intent;
use crate::network::interfaces::{Interfaces, Releases};
use crate::network::writes::Writes;

/// Whose holding has an address now.
pub(super) type Holders<'a> = BTreeMap<IpAddr, Vec<&'a OwnerName>>;

/// Who holds each of some addresses. Only those that change their place are asked for, which are few at a time.
pub(super) fn holders<'a>(intents: &[Intent<'a>], addresses: &BTreeSet<IpAddr>) -> Holders<'a> {
    let mut holders = Holders::new();
    if addresses.is_empty() {
        return holders;
    }
    for intent in intents {
        for &address in intent.held.iter().filter(|address| addresses.contains(address)) {
            holders.entry(address).or_default().push(intent.owner);
        }
    }
    holders
}

/// When the holders of addresses let go of them.
pub(super) fn releases(holders: &Holders<'_>, writes: &HoldingWrites<'_>) -> Releases {
    let write = |owner: &&OwnerName| writes.of_owner.get(*owner).copied();
    holders.iter().map(|(&address, owners)| (address, owners.iter().map(write).collect())).collect()
}

/// Writes NetNamespaces: from old to new addresses in one patch (R2).
pub(super) fn write<'a>(
    inputs: &Inputs<'a>,
    intents: &[Intent<'a>],
    guards: &Guards<'_>,
    interfaces: &Interfaces<'_>,
    waiting: &Waiting,
    carrier_writes: &CarrierWrites<'_>,
    writes: &mut Writes<'_>,
) -> HoldingWrites<'a> {
    let mut holding_writes = HoldingWrites::default();
    for intent in intents {
        let Some(facts) = inputs.observed.holdings.get(intent.owner) else {
            continue;
        };
        if !intent.changes() && !is_recorded_wrongly(inputs, intent, facts) {
            continue;
        }
        let target = Target::Holding(intent.owner.clone());
        if is_blocked(inputs, guards, intent) {
            writes.postpone(target);
            continue;
        }
        let Some(after_any) = carried_by(inputs, intent, interfaces, waiting, carrier_writes) else {
            continue;
        };
        let mut after: Vec<usize> = intent.pool.and_then(|pool| guards.of_pool(pool)).into_iter().collect();
        after.extend(holding_writes.clear_result(inputs, intent, writes));
        let change = facts.rewritten(intent.shall.clone(), intent.home(inputs.snapshot));
        let write = writes.push_after_any(target, change, after, after_any);
        holding_writes.of_owner.extend(write.map(|write| (intent.owner, write)));
    }
    holding_writes
}

/// The writes of which one must put an address of the namespace onto a node first; none if that cannot be.
fn carried_by(
    inputs: &Inputs<'_>,
    intent: &Intent<'_>,
    interfaces: &Interfaces<'_>,
    waiting: &Waiting,
    carrier_writes: &CarrierWrites<'_>,
) -> Option<Vec<usize>> {
    if intent.shall.iter().all(|address| intent.held.contains(address)) {
        return Some(Vec::new());
    }
    let puts: BTreeSet<usize> =
        intent.shall.iter().filter_map(|address| carrier_writes.on.get(address).copied()).collect();
    if !puts.is_empty() {
        return Some(puts.into_iter().collect());
    }
    let mut carriers = intent.shall.iter().flat_map(|&address| interfaces.listed_on(address));
    if carriers.any(|node| inputs.snapshot.is_live(node)) {
        return Some(Vec::new());
    }
    // To let go first is the only way for its address to be carried next.
    if intent.shall.iter().any(|address| waiting.for_release.contains(address)) {
        return Some(Vec::new());
    }
    let pool = inputs.snapshot.pools.iter().find(|pool| Some(&pool.name) == intent.pool);
    let placed = pool.filter(|pool| pool.is_self_placing())?;
    let entry = inputs.observed.pools.get(&placed.name).and_then(|facts| facts.spec.entries.first());
    let is_ready = entry.is_some_and(|entry| {
        let range = entry.cidr.to_string();
        inputs.observed.carriers.values().any(|facts| facts.ranges.contains(&range))
    });
    if is_ready { Some(Vec::new()) } else { carrier_writes.ranges.get(&placed.name).cloned() }
}
