//! What writes make of a cluster in memory: for rehearsals and sandboxes, where there is nobody to ask.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::cloud::{CloudFacts, InterfaceAddress, InterfaceFacts, Moves};
use crate::name::{NodeName, OwnerName};
use crate::network::MissingHolding;
use crate::network::write::{Change, Home, Target, Write};
use crate::observed::{Assignable, CarrierFacts, HoldingFacts, Listed, NamespaceFacts, Observed, PoolFacts};
use crate::snapshot::Phase;

impl Observed {
    /// A version that no object had before. Every change of any object takes one.
    pub fn next_version(&mut self) -> String {
        self.generation += 1;
        self.generation.to_string()
    }

    /// Gives an object a new version, if there is such an object.
    pub fn touch(&mut self, target: &Target) {
        let version = self.next_version();
        let slot = match target {
            Target::Pool(name) => self.pools.get_mut(name).map(|facts| &mut Arc::make_mut(facts).resource_version),
            Target::Carrier(name) => {
                self.carriers.get_mut(name).map(|facts| &mut Arc::make_mut(facts).resource_version)
            }
            Target::Holding(name) => {
                self.holdings.get_mut(name).map(|facts| &mut Arc::make_mut(facts).resource_version)
            }
            Target::Namespace(name) => {
                self.namespaces.get_mut(name).map(|facts| &mut Arc::make_mut(facts).resource_version)
            }
            Target::Interface(name) => self.interface_mut(name).map(|interface| &mut interface.version),
        };
        if let Some(slot) = slot {
            *slot = version;
        }
    }

    /// Carries out a write, as an API server does. An interface is busy from then on until
    /// [`Observed::end_updates`]. Whether anything changed: nothing does where there is no such object.
    pub fn carry_out(&mut self, write: &Write) -> bool {
        let changed = match (&write.target, &write.change) {
            (Target::Pool(name), Change::Pool { guarded, other_guards }) => {
                alter(self.pools.get_mut(name), |facts: &mut PoolFacts| {
                    facts.guarded = *guarded;
                    facts.other_guards.clone_from(other_guards);
                })
            }
            (Target::Carrier(name), Change::Carrier { egress_ips, ranges }) => {
                alter(self.carriers.get_mut(name), |facts: &mut CarrierFacts| {
                    if let Some(list) = egress_ips {
                        facts.egress_ips = list.iter().map(|text| Listed::from(text.as_str())).collect();
                    }
                    if let Some(list) = ranges {
                        facts.ranges.clone_from(list);
                    }
                })
            }
            (Target::Holding(name), Change::Holding { egress_ips, home, .. }) => {
                alter(self.holdings.get_mut(name), |facts: &mut HoldingFacts| {
                    facts.egress_ips = egress_ips.iter().copied().map(Listed::Address).collect();
                    facts.pool = home.as_ref().map(|home| home.pool.clone());
                    facts.zones = home.iter().flat_map(|home| home.zones.iter().cloned()).collect();
                    facts.replaced = home.iter().flat_map(|home| home.replaced.iter().copied()).collect();
                }) | (home.is_none() && self.give_up_holding(name))
            }
            (Target::Carrier(name), Change::Assignable(may)) => {
                let since = self.now;
                alter(self.carriers.get_mut(name), |facts: &mut CarrierFacts| {
                    let since = facts.assignable.map_or(since, |label| label.since);
                    facts.assignable = may.then_some(Assignable { ours: true, since });
                })
            }
            (Target::Holding(name), Change::NewHolding { egress_ips, home }) => {
                self.make_holding(name, egress_ips, home)
            }
            (Target::Holding(name), Change::NoHolding { .. }) => self.holdings.remove(name).is_some(),
            (Target::Namespace(name), Change::Namespace { result, hold }) => {
                alter(self.namespaces.get_mut(name), |facts: &mut NamespaceFacts| {
                    if let Some(result) = result {
                        facts.egress_ips.clone_from(result);
                    }
                    if let Some(hold) = hold {
                        facts.hold.clone_from(hold);
                    }
                })
            }
            (Target::Interface(name), Change::Interface { on, off }) => {
                self.cloud.as_mut().is_some_and(|cloud| begin_update(Arc::make_mut(cloud), name, on, off))
            }
            _ => false,
        };
        if changed {
            self.touch(&write.target);
            if let Target::Pool(name) = &write.target {
                self.pools.retain(|other, facts| other != name || !facts.deleting || facts.is_kept());
            }
        }
        changed
    }

    /// What we took over and no longer record is its maker's again, where it is not the network that makes all of them.
    fn give_up_holding(&mut self, owner: &OwnerName) -> bool {
        let is_given_up =
            |facts: &HoldingFacts| self.network.missing_holding() == MissingHolding::WeMakeIt && !facts.deletable;
        if !self.holdings.get(owner).is_some_and(|facts| is_given_up(facts)) {
            return false;
        }
        let Some(mut facts) = self.holdings.remove(owner) else { return false };
        let given_up = Arc::make_mut(&mut facts);
        given_up.obstacle = Some("it was given up".to_owned());
        self.holdings.insert(OwnerName::from(format!("egressip/{owner}").as_str()), facts);
        true
    }

    /// Whether it came into being: there may be one already.
    pub(crate) fn make_holding(&mut self, owner: &OwnerName, egress_ips: &[IpAddr], home: &Home) -> bool {
        if self.holdings.contains_key(owner) {
            return false;
        }
        let facts = HoldingFacts {
            created: self.now,
            egress_ips: egress_ips.iter().copied().map(Listed::Address).collect(),
            pool: Some(home.pool.clone()),
            zones: home.zones.iter().cloned().collect(),
            deletable: true,
            ..HoldingFacts::default()
        };
        self.holdings.insert(owner.clone(), Arc::new(facts));
        true
    }

    /// The cloud ends updates of interfaces: those that are chosen. Whether there were any.
    pub fn end_updates(&mut self, mut is_chosen: impl FnMut(&NodeName) -> bool) -> bool {
        let Some(cloud) = &mut self.cloud else { return false };
        let interfaces = Arc::make_mut(cloud).interfaces.iter_mut();
        let ended = interfaces.filter(|(name, interface)| interface.busy && is_chosen(name)).map(|(_, interface)| {
            interface.busy = false;
            interface.may_hide_removals = false;
            interface.failed = false;
            interface.addresses.retain(|_, on| on.phase != Phase::Leaving);
            interface.addresses.values_mut().for_each(|on| on.phase = Phase::Settled);
        });
        ended.count() > 0
    }

    fn interface_mut(&mut self, node: &NodeName) -> Option<&mut InterfaceFacts> {
        let cloud: &mut CloudFacts = Arc::make_mut(self.cloud.as_mut()?);
        cloud.interfaces.get_mut(node)
    }
}

fn alter<T: Clone + PartialEq>(facts: Option<&mut Arc<T>>, change: impl FnOnce(&mut T)) -> bool {
    let Some(facts) = facts else { return false };
    let mut changed = T::clone(facts);
    change(&mut changed);
    let is_news = changed != **facts;
    if is_news {
        *facts = Arc::new(changed);
    }
    is_news
}

/// Whether it began: there is one update at a time.
fn begin_update(cloud: &mut CloudFacts, name: &NodeName, on: &BTreeSet<IpAddr>, off: &BTreeSet<IpAddr>) -> bool {
    if cloud.moves == Moves::InOneCall && cloud.interfaces.get(name).is_some_and(|interface| !interface.busy) {
        for (_, other) in cloud.interfaces.iter_mut().filter(|(other, _)| *other != name) {
            other.addresses.retain(|address, there| !(there.ours && on.contains(address)));
        }
    }
    let Some(interface) = cloud.interfaces.get_mut(name).filter(|interface| !interface.busy) else { return false };
    interface.busy = true;
    for (_, leaving) in interface.addresses.iter_mut().filter(|(address, there)| off.contains(*address) && there.ours) {
        leaving.phase = Phase::Leaving;
    }
    for &address in on {
        interface.addresses.entry(address).or_insert(InterfaceAddress { ours: true, phase: Phase::Arriving });
    }
    true
}
