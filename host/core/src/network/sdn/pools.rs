//! Finalizers: a pool is ours to clean up before it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Draft;
use super::intent::Intent;
use crate::name::{OwnerName, PoolName};
use crate::network::{Change, FINALIZER, Target};
use crate::observed::{Listed, PoolFacts};
use crate::plan::Holder;
use crate::survey::ranges::spec_ranges;
use crate::verify::Holding;

impl Draft<'_> {
    /// Before anything of a pool is written, it gets the finalizer.
    pub(super) fn add_finalizers(&mut self) {
        let observed = self.observed;
        for (name, facts) in observed.pools.iter().filter(|(_, facts)| !facts.deleting && !has_finalizer(facts)) {
            let finalizers = facts.finalizers.iter().cloned().chain([FINALIZER.to_owned()]).collect();
            if let Some(write) =
                self.push(Target::Pool(name.clone()), Change::Finalizers(finalizers), Vec::new(), Vec::new())
            {
                self.finalizer_of.insert(name.clone(), write);
            } else {
                self.unguarded.insert(name.clone());
            }
        }
    }

    /// After everything of a deleted pool is cleaned up, it loses it.
    pub(super) fn remove_finalizers(&mut self, intents: &[Intent<'_>]) {
        let observed = self.observed;
        let leaving = || observed.pools.iter().filter(|(_, facts)| facts.deleting && has_finalizer(facts));
        // Somebody who cannot be seen may have something of it.
        if !observed.blind.is_empty() || leaving().next().is_none() {
            return;
        }
        let cleaning = Cleaning::of(self, intents);
        let done: Vec<_> =
            leaving().filter_map(|(name, facts)| Some((name, facts, cleaning.before(self, name, facts)?))).collect();
        for (name, facts, after) in done {
            let finalizers = facts.finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).cloned().collect();
            self.push(Target::Pool(name.clone()), Change::Finalizers(finalizers), after, Vec::new());
        }
    }
}

/// What deleted pools wait for, by address and by owner: many may be deleted at once, with many namespaces each.
struct Cleaning<'a> {
    /// Who is or was of a pool.
    members: BTreeMap<&'a PoolName, Vec<&'a OwnerName>>,
    /// Who leaves with an address.
    leaving: BTreeMap<IpAddr, Vec<&'a OwnerName>>,
    /// Addresses that the plan leaves with somebody who is no owner, or on a node for nobody.
    used: BTreeSet<IpAddr>,
    /// A node has to wait for a later round, so everybody has.
    waits_for_nodes: bool,
    /// Namespaces that have to.
    unfinished: BTreeSet<&'a OwnerName>,
    /// Writes about a namespace.
    of_owner: BTreeMap<&'a OwnerName, Vec<usize>>,
    /// Writes to the HostSubnets that carry an address, and to those on which the network places.
    of_address: BTreeMap<IpAddr, Vec<usize>>,
    placing: Vec<usize>,
}

impl<'a> Cleaning<'a> {
    fn of(draft: &'a Draft<'_>, intents: &'a [Intent<'_>]) -> Self {
        let end = draft.plan.end();
        let kept = |holding: &Holding| matches!(holding.holder, Holder::Leaving(_));
        let held = end.held().filter(|(_, holders)| holders.iter().any(kept)).map(|(address, _)| address);
        let stray = end.carried().map(|(address, _)| address).filter(|&address| end.holders_of(address).is_empty());
        let is_node = |target: &Target| matches!(target, Target::Carrier(_) | Target::Interface(_));
        let mut cleaning = Self {
            members: BTreeMap::new(),
            leaving: BTreeMap::new(),
            used: held.chain(stray).collect(),
            waits_for_nodes: draft.unfinished.iter().any(is_node),
            unfinished: draft.unfinished.iter().filter_map(owner_of).collect(),
            of_owner: BTreeMap::new(),
            of_address: BTreeMap::new(),
            placing: Vec::new(),
        };
        for intent in intents {
            if let Some(pool) = &intent.pool {
                cleaning.members.entry(pool).or_default().push(&intent.owner);
            }
            for &address in intent.held.iter().filter(|_| intent.leaving) {
                cleaning.leaving.entry(address).or_default().push(&intent.owner);
            }
        }
        for (position, write) in draft.writes.iter().enumerate() {
            cleaning.note(draft, position, &write.target);
        }
        cleaning
    }

    fn note(&mut self, draft: &'a Draft<'_>, position: usize, target: &'a Target) {
        if let Some(owner) = owner_of(target) {
            self.of_owner.entry(owner).or_default().push(position);
        }
        let Target::Carrier(node) = target else { return };
        let Some(subnet) = draft.observed.carriers.get(node) else { return };
        for address in subnet.egress_ips.iter().filter_map(Listed::address) {
            self.of_address.entry(address).or_default().push(position);
        }
        if !subnet.ranges.is_empty() {
            self.placing.push(position);
        }
    }

    /// The writes that clean up a pool; none: not all of it can be cleaned up yet.
    fn before(&self, draft: &Draft<'_>, name: &PoolName, facts: &PoolFacts) -> Option<Vec<usize>> {
        let ranges: Vec<_> = spec_ranges(&facts.spec).map(|range| range.network()..=range.broadcast()).collect();
        let holding = ranges.iter().flat_map(|range| self.leaving.range(range.clone())).flat_map(|(_, owners)| owners);
        let owners: BTreeSet<&OwnerName> =
            self.members.get(name).into_iter().flatten().chain(holding).copied().collect();
        let has_any = |set: &BTreeSet<IpAddr>| ranges.iter().any(|range| set.range(range.clone()).next().is_some());
        if self.waits_for_nodes
            || owners.iter().any(|owner| self.unfinished.contains(*owner))
            || has_any(&self.used)
            || has_any(&draft.left_behind)
            || spec_ranges(&facts.spec).any(|range| draft.may_be_given_back(&range))
        {
            return None;
        }
        let about_owners = owners.iter().filter_map(|owner| self.of_owner.get(*owner)).flatten();
        let about_nodes =
            ranges.iter().flat_map(|range| self.of_address.range(range.clone())).flat_map(|(_, writes)| writes);
        Some(about_owners.chain(about_nodes).chain(&self.placing).copied().collect())
    }
}

fn has_finalizer(facts: &PoolFacts) -> bool {
    facts.finalizers.iter().any(|finalizer| finalizer == FINALIZER)
}

fn owner_of(target: &Target) -> Option<&OwnerName> {
    match target {
        Target::Holding(owner) | Target::Namespace(owner) => Some(owner),
        Target::Carrier(_) | Target::Interface(_) | Target::Pool(_) => None,
    }
}
