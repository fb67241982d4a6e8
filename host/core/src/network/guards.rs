//! Guards: a pool stays until all that was given out of it is cleaned up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::inputs::Inputs;
use super::intent::Intent;
use super::interfaces::Interfaces;
use super::writes::Writes;
use super::{Change, MissingHolding, Target, Write};
use crate::name::{OwnerName, PoolName};
use crate::observed::{Listed, Observed, PoolFacts};
use crate::plan::Holder;
use crate::verify::Holding;

/// Guards that pools need before anything of them is written.
pub(super) struct Guards<'a> {
    /// The write that adds a pool's guard.
    writes: BTreeMap<&'a PoolName, usize>,
    /// Pools that need the guard and cannot get it now.
    missing: BTreeSet<&'a PoolName>,
}

impl<'a> Guards<'a> {
    /// Adds the guard to every pool without it.
    pub(super) fn add(inputs: &Inputs<'a>, writes: &mut Writes<'_>) -> Self {
        let mut guards = Self { writes: BTreeMap::new(), missing: BTreeSet::new() };
        let pools = inputs.observed.pools.iter();
        for (name, facts) in pools.filter(|(_, facts)| !facts.deleting && !facts.guarded) {
            let change = Change::Pool { guarded: true, other_guards: facts.other_guards.clone() };
            if let Some(write) = writes.push(Target::Pool(name.clone()), change, Vec::new()) {
                guards.writes.insert(name, write);
            } else {
                guards.missing.insert(name);
            }
        }
        guards
    }

    /// The write that has to come before anything of a pool; none: the pool has its guard, or cannot get it.
    pub(super) fn of_pool(&self, pool: &PoolName) -> Option<usize> {
        self.writes.get(pool).copied()
    }

    /// The writes that have to come before these addresses get anywhere: of the pools whose owners shall hold them.
    pub(super) fn of_addresses(&self, inputs: &Inputs<'_>, addresses: &BTreeSet<IpAddr>) -> Vec<usize> {
        let pools = addresses.iter().filter_map(|&address| {
            let owner = inputs.snapshot.owner(inputs.owner_after(address)?)?;
            inputs.snapshot.pool(owner.pool)
        });
        pools.filter_map(|pool| self.of_pool(&pool.name)).collect()
    }

    /// Whether a pool needs the guard and cannot get it now: what it gave out could outlive it.
    pub(super) fn are_missing(&self, pool: &PoolName) -> bool {
        self.missing.contains(pool)
    }
}

/// Ends a schedule: a deleted pool loses its guard after everything of it is cleaned up.
pub(super) fn remove(
    inputs: &Inputs<'_>,
    intents: &[Intent<'_>],
    interfaces: &Interfaces<'_>,
    mut writes: Writes<'_>,
) -> Vec<Write> {
    let leaving = || inputs.observed.pools.iter().filter(|(_, facts)| facts.deleting && facts.guarded);
    // Somebody who cannot be seen may have something of it.
    if !inputs.observed.blind.is_empty() || leaving().next().is_none() {
        return writes.finish();
    }
    let cleaning = Cleaning::of(inputs, intents, &writes);
    let done: Vec<_> =
        leaving().filter_map(|(name, facts)| Some((name, facts, cleaning.before(interfaces, name, facts)?))).collect();
    for (name, facts, after) in done {
        let change = Change::Pool { guarded: false, other_guards: facts.other_guards.clone() };
        writes.push(Target::Pool(name.clone()), change, after);
    }
    writes.finish()
}

/// What deleted pools wait for, by address and by owner: many may be deleted at once, with many namespaces each.
struct Cleaning<'a> {
    /// Who is or was of a pool.
    members: BTreeMap<&'a PoolName, Vec<&'a OwnerName>>,
    /// Who leaves with an address.
    leaving: BTreeMap<IpAddr, Vec<&'a OwnerName>>,
    /// Addresses that the plan leaves with somebody who is no owner, or on a node for nobody.
    used: BTreeSet<IpAddr>,
    /// The change of a node has to wait for a later round, and with it every pool.
    waits_for_nodes: bool,
    /// Namespaces whose change has to wait for a later round.
    unfinished: BTreeSet<&'a OwnerName>,
    /// Writes about a namespace.
    of_owner: BTreeMap<&'a OwnerName, Vec<usize>>,
    /// Writes to the carriers that list an address.
    of_address: BTreeMap<IpAddr, Vec<usize>>,
    /// Writes to the carriers on which the network places.
    placing: Vec<usize>,
}

impl<'a> Cleaning<'a> {
    fn of(inputs: &Inputs<'_>, intents: &'a [Intent<'_>], writes: &'a Writes<'_>) -> Self {
        let end = inputs.plan.end();
        let kept = |holding: &Holding| matches!(holding.holder, Holder::Leaving(_));
        let held = end.held().filter(|(_, holders)| holders.iter().any(kept)).map(|(address, _)| address);
        let unheld = end.carried().map(|(address, _)| address).filter(|&address| end.holders_of(address).is_empty());
        let is_node = |target: &Target| matches!(target, Target::Carrier(_) | Target::Interface(_));
        // What the network takes off by itself is still there until it has.
        let awaits_network = inputs.observed.network.missing_holding() == MissingHolding::WeMakeIt;
        let ours = inputs.observed.holdings.values().filter(|facts| facts.pool.is_some() && awaits_network);
        let carried = ours.flat_map(|facts| facts.carried.iter().copied());
        let mut cleaning = Self {
            members: BTreeMap::new(),
            leaving: BTreeMap::new(),
            used: held.chain(unheld).chain(carried).collect(),
            waits_for_nodes: writes.unfinished().iter().any(is_node),
            unfinished: writes.unfinished().iter().filter_map(owner_of).collect(),
            of_owner: BTreeMap::new(),
            of_address: BTreeMap::new(),
            placing: Vec::new(),
        };
        for intent in intents {
            if let Some(pool) = intent.pool {
                cleaning.members.entry(pool).or_default().push(intent.owner);
            }
            for &address in intent.held.iter().filter(|_| intent.leaving) {
                cleaning.leaving.entry(address).or_default().push(intent.owner);
            }
        }
        for (position, write) in writes.list().iter().enumerate() {
            cleaning.note(inputs.observed, position, &write.target);
        }
        cleaning
    }

    fn note(&mut self, observed: &Observed, position: usize, target: &'a Target) {
        if let Some(owner) = owner_of(target) {
            self.of_owner.entry(owner).or_default().push(position);
        }
        let Target::Carrier(node) = target else { return };
        let Some(carrier) = observed.carriers.get(node) else { return };
        for address in carrier.egress_ips.iter().filter_map(Listed::address) {
            self.of_address.entry(address).or_default().push(position);
        }
        if !carrier.ranges.is_empty() {
            self.placing.push(position);
        }
    }

    /// The writes that clean up a pool; none: not all of it can be cleaned up yet.
    fn before(&self, interfaces: &Interfaces<'_>, name: &PoolName, facts: &PoolFacts) -> Option<Vec<usize>> {
        let ranges: Vec<_> = facts.spec.ranges().map(|range| range.network()..=range.broadcast()).collect();
        let holding = ranges.iter().flat_map(|range| self.leaving.range(range.clone())).flat_map(|(_, owners)| owners);
        let owners: BTreeSet<&OwnerName> =
            self.members.get(name).into_iter().flatten().chain(holding).copied().collect();
        let has_any = |set: &BTreeSet<IpAddr>| ranges.iter().any(|range| set.range(range.clone()).next().is_some());
        if self.waits_for_nodes
            || owners.iter().any(|owner| self.unfinished.contains(*owner))
            || has_any(&self.used)
            || has_any(interfaces.left_behind())
            || facts.spec.ranges().any(|range| interfaces.may_give_back(&range))
        {
            return None;
        }
        let about_owners = owners.iter().filter_map(|owner| self.of_owner.get(*owner)).flatten();
        let about_nodes =
            ranges.iter().flat_map(|range| self.of_address.range(range.clone())).flat_map(|(_, writes)| writes);
        Some(about_owners.chain(about_nodes).chain(&self.placing).copied().collect())
    }
}

fn owner_of(target: &Target) -> Option<&OwnerName> {
    match target {
        Target::Holding(owner) | Target::Namespace(owner) => Some(owner),
        Target::Carrier(_) | Target::Interface(_) | Target::Pool(_) => None,
    }
}
