//! Finalizers: a pool is ours to clean up before it goes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::intent::Intent;
use super::{Change, Draft, FINALIZER, Target};
use crate::name::{OwnerName, PoolName};
use crate::observed::PoolFacts;
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
        // Somebody who cannot be seen may have something of it.
        if !observed.blind.is_empty() {
            return;
        }
        for (name, facts) in observed.pools.iter().filter(|(_, facts)| facts.deleting && has_finalizer(facts)) {
            let inside = |address: IpAddr| spec_ranges(&facts.spec).any(|range| range.contains(&address));
            let leaving = intents.iter().filter(|intent| {
                intent.pool.as_ref() == Some(name) || (intent.leaving && intent.held.iter().copied().any(inside))
            });
            let owners: BTreeSet<&OwnerName> = leaving.map(|intent| &intent.owner).collect();
            let unfinished = self.unfinished.iter().any(|target| concerns(target, &owners));
            let lingers =
                self.is_on_an_interface(inside) || spec_ranges(&facts.spec).any(|range| self.may_be_given_back(&range));
            if unfinished || self.is_used(inside) || lingers {
                continue;
            }
            let after =
                (0..self.writes.len()).filter(|&position| self.cleans(position, name, facts, &owners)).collect();
            let finalizers = facts.finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).cloned().collect();
            self.push(Target::Pool(name.clone()), Change::Finalizers(finalizers), after, Vec::new());
        }
    }

    /// Whether the plan leaves an address of a deleted pool with somebody who is no owner, or on a node for nobody.
    fn is_used(&self, inside: impl Fn(IpAddr) -> bool) -> bool {
        let end = self.plan.end();
        let kept = |holding: &Holding| matches!(holding.holder, Holder::Leaving(_));
        end.held().any(|(address, holders)| inside(address) && holders.iter().any(kept))
            || end.carried().any(|(address, _)| inside(address) && end.holders_of(address).is_empty())
    }

    /// Whether a write belongs to the cleaning up of a pool.
    fn cleans(&self, position: usize, pool: &PoolName, facts: &PoolFacts, owners: &BTreeSet<&OwnerName>) -> bool {
        let Some(write) = self.writes.get(position) else {
            return false;
        };
        match &write.target {
            Target::Pool(name) => name == pool,
            Target::NetNamespace(owner) | Target::Namespace(owner) => owners.contains(owner),
            Target::Interface(_) => false,
            Target::HostSubnet(node) => self.observed.host_subnets.get(node).is_some_and(|subnet| {
                let carries = subnet.egress_ips.iter().filter_map(crate::observed::Listed::address);
                let mut carries =
                    carries.filter(|address| spec_ranges(&facts.spec).any(|range| range.contains(address)));
                carries.next().is_some() || !subnet.egress_cidrs.is_empty()
            }),
        }
    }
}

fn has_finalizer(facts: &PoolFacts) -> bool {
    facts.finalizers.iter().any(|finalizer| finalizer == FINALIZER)
}

fn concerns(target: &Target, owners: &BTreeSet<&OwnerName>) -> bool {
    match target {
        Target::HostSubnet(_) | Target::Interface(_) => true,
        Target::NetNamespace(owner) | Target::Namespace(owner) => owners.contains(owner),
        Target::Pool(_) => false,
    }
}
