//! Finalizers: a pool is ours to clean up before it goes.

use super::intent::Intent;
use super::{Change, Draft, FINALIZER, Target};
use crate::name::{OwnerName, PoolName};
use crate::observed::PoolFacts;
use crate::survey::ranges::spec_ranges;

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
            }
        }
    }

    /// After everything of a deleted pool is cleaned up, it loses it.
    pub(super) fn remove_finalizers(&mut self, intents: &[Intent]) {
        let observed = self.observed;
        for (name, facts) in observed.pools.iter().filter(|(_, facts)| facts.deleting && has_finalizer(facts)) {
            let owners: Vec<&OwnerName> =
                intents.iter().filter(|i| i.pool.as_ref() == Some(name)).map(|i| &i.owner).collect();
            if self.unfinished.iter().any(|target| concerns(target, &owners)) {
                continue;
            }
            let after =
                (0..self.writes.len()).filter(|&position| self.cleans(position, name, facts, &owners)).collect();
            let finalizers = facts.finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).cloned().collect();
            self.push(Target::Pool(name.clone()), Change::Finalizers(finalizers), after, Vec::new());
        }
    }

    /// Whether a write belongs to the cleaning up of a pool.
    fn cleans(&self, position: usize, pool: &PoolName, facts: &PoolFacts, owners: &[&OwnerName]) -> bool {
        let Some(write) = self.writes.get(position) else {
            return false;
        };
        match &write.target {
            Target::Pool(name) => name == pool,
            Target::NetNamespace(owner) | Target::Namespace(owner) => owners.contains(&owner),
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

fn concerns(target: &Target, owners: &[&OwnerName]) -> bool {
    match target {
        Target::HostSubnet(_) => true,
        Target::NetNamespace(owner) | Target::Namespace(owner) => owners.contains(&owner),
        Target::Pool(_) => false,
    }
}
