//! Owners, those who leave, and those whom the host holds.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Displaced, NamedHold, Survey, Wish};
use crate::name::{OwnerIndex, OwnerName, PoolIndex, PoolName, ZoneIndex};
use crate::network::MissingHolding;
use crate::observed::{Blind, HoldingFacts, Listed, NamespaceFacts, Observed, PoolFacts};
use crate::plan::{HoldCode, Reason};
use crate::snapshot::{Allocation, Departure, Leaving, Owner};

/// The network makes a holding a moment after its Namespace, in milliseconds, and either may be seen first. Until then
/// nobody is alarmed, and nobody counts as gone.
const NEWBORN_MS: u64 = 5_000;
/// So far the API server's clock may be ahead of ours, in milliseconds. What is made later than that is made at a time that
/// nobody knows.
const SKEW_MS: u64 = 60_000;

impl Survey {
    /// Adds owners and those who leave.
    pub(super) fn add_owners(&mut self, observed: &Observed) {
        for (name, namespace) in &observed.namespaces {
            let net = observed.holdings.get(name).map(AsRef::as_ref);
            match &namespace.pool {
                Some(pool) => self.add_opted_in(observed, name, namespace, net, pool),
                None if observed.sees(Blind::Namespaces) => self.add_opted_out(name, namespace, net),
                None => {}
            }
        }
        let gone = observed.holdings.iter().filter(|(name, _)| !observed.namespaces.contains_key(*name));
        for (name, net) in gone.filter(|_| observed.sees(Blind::Namespaces)) {
            if net.obstacle.is_some() || (net.pool.is_none() && !self.is_ours(net)) {
                continue;
            }
            match newborn_until(net.created, observed.now) {
                Some(end) => self.look_again(end),
                None => self.leave(name, Some(net), net.pool.clone(), Departure::NamespaceGone),
            }
        }
        self.snapshot.leaving.sort_by(|a, b| a.name.cmp(&b.name));
    }

    fn is_ours(&self, net: &HoldingFacts) -> bool {
        net.egress_ips.iter().filter_map(Listed::address).any(|address| self.territory.contains(address))
    }

    fn add_opted_in(
        &mut self,
        observed: &Observed,
        name: &OwnerName,
        namespace: &NamespaceFacts,
        net: Option<&HoldingFacts>,
        pool: &PoolName,
    ) {
        // A namespace that goes away waits for nothing.
        let hold = |survey: &mut Self, code: HoldCode, text: String| {
            if !namespace.terminating {
                survey.hold(pool, name, code, text);
            }
        };
        let Some(facts) = observed.pools.get(pool) else {
            let (code, text) = match &self.blind {
                Some(blind) if !observed.sees(Blind::Pools) => (HoldCode::Other, blind.text.clone()),
                _ => (HoldCode::PoolMissing, format!("there is no EgressIPAM {pool}")),
            };
            hold(self, code, text);
            return;
        };
        if facts.deleting {
            hold(self, HoldCode::PoolDeleting, format!("EgressIPAM {pool} is being deleted"));
            let net = net.filter(|net| net.obstacle.is_none());
            self.leave(name, net, Some(pool.clone()), Departure::PoolDeleted);
            return;
        }
        if let Some(obstacle) = net.and_then(|net| net.obstacle.clone()) {
            hold(self, HoldCode::ForeignObject, obstacle);
            return;
        }
        let none = HoldingFacts::default();
        let is_made_by_us = observed.network.missing_holding() == MissingHolding::WeMakeIt;
        let net = net.or(Some(&none).filter(|_| is_made_by_us && observed.sees(Blind::Holdings)));
        let (Some(net), Some(index)) = (net, self.pool_named(pool)) else {
            // Nobody but the network makes one, so that there is nothing to do but to wait.
            match (newborn_until(namespace.created, observed.now), self.blind_text()) {
                (Some(end), _) if !is_made_by_us => self.await_holding(name, end),
                (_, Some(text)) if !observed.sees(Blind::Holdings) => hold(self, HoldCode::Other, text),
                _ => {
                    hold(self, HoldCode::NoHolding, format!("its {} does not exist", observed.words.holding));
                }
            }
            return;
        };
        self.add_owner(name, namespace, net, facts, index);
    }

    fn await_holding(&mut self, name: &OwnerName, end: u64) {
        self.newborn.insert(name.clone());
        self.look_again(end);
    }

    fn blind_text(&self) -> Option<String> {
        self.blind.as_ref().map(|blind| blind.text.clone())
    }

    pub(super) fn look_again(&mut self, at: u64) {
        self.again_at = Some(self.again_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn add_owner(
        &mut self,
        name: &OwnerName,
        namespace: &NamespaceFacts,
        net: &HoldingFacts,
        facts: &PoolFacts,
        pool: PoolIndex,
    ) {
        let allocations = self.allocations(net, facts, pool);
        let wish = Wish::of(namespace, &allocations);
        let is_invalid = self.constraints.invalid.contains(&pool);
        if let Wish::Malformed(text) = &wish {
            self.hold_in(pool, name, HoldCode::RequestInvalid, text.clone());
        }
        if is_invalid && (allocations.is_empty() || matches!(wish, Wish::Request(_))) {
            let text = match facts.errors.first() {
                Some(error) => format!("the pool's spec has errors, of which the first is {error}"),
                None => HoldCode::PoolInvalid.meaning().to_owned(),
            };
            self.hold_in(pool, name, HoldCode::PoolInvalid, text);
        }
        // Who waited before, for whatever reason, still does.
        let waits = allocations.is_empty() || matches!(wish, Wish::Request(_)) || namespace.hold.is_some();
        if let Some(text) = self.blind_text().filter(|_| waits && !is_invalid && !namespace.terminating) {
            self.hold_in(pool, name, HoldCode::Other, text);
        }
        let sharing = self.sharing.get(name).cloned();
        if let Some(text) = sharing.clone().filter(|_| !namespace.terminating) {
            self.hold_in(pool, name, HoldCode::SharedNetworkId, text);
        }
        let malformed = matches!(wish, Wish::Malformed(_));
        let suspended = is_invalid || namespace.terminating || sharing.is_some() || self.blind.is_some();
        if allocations.is_empty() && (suspended || malformed) {
            return;
        }
        // One that goes away, one whose network is not its alone, one of a pool that makes no sense, and everybody while
        // something cannot be seen, keeps what it has and gets nothing new.
        let index = OwnerIndex::at(self.snapshot.owners.len());
        if suspended {
            self.constraints.suspended.insert(index);
        }
        self.sort_out(index, &allocations, facts, suspended);
        self.give_up_replaced(index, &allocations, net);
        self.constraints.carried.extend(net.carried.iter().map(|&address| (index, address)));
        self.snapshot.owners.push(Owner {
            name: name.clone(),
            pool,
            labels: namespace.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            wanted: (suspended || malformed).then(|| at_most(&allocations)),
            requested: match &wish {
                Wish::Request(addresses) if !suspended => addresses.clone(),
                _ => Vec::new(),
            },
            allocations,
            created: namespace.created,
        });
        self.wishes.push(wish);
    }

    /// Notes which addresses the owner has to give up, and which nobody may touch.
    fn sort_out(&mut self, owner: OwnerIndex, allocations: &[Allocation], facts: &PoolFacts, suspended: bool) {
        for address in allocations.iter().map(|allocation| allocation.address) {
            if suspended && !in_spec(facts, address) {
                self.constraints.immovable.push((owner, address));
            } else if !suspended && !still_given(facts, address) {
                let text = "no longer an address of its pool".to_owned();
                self.constraints.displaced.push(Displaced { owner, address, reason: Reason::PoolChanged, text });
            }
        }
    }

    /// An address whose replacement has come is on its way out, whatever the policy thinks of it now.
    fn give_up_replaced(&mut self, owner: OwnerIndex, allocations: &[Allocation], net: &HoldingFacts) {
        let all = allocations.iter().map(|allocation| allocation.address);
        let known = |address: &IpAddr| {
            self.constraints.displaced.iter().any(|gone| (gone.owner, gone.address) == (owner, *address))
        };
        let replaced = all.filter(|address| net.replaced.contains(address));
        let replaced: Vec<IpAddr> = replaced.filter(|address| !known(address)).collect();
        self.constraints.displaced.extend(replaced.into_iter().map(|address| {
            let text = "another address takes its place".to_owned();
            Displaced { owner, address, reason: Reason::Requested, text }
        }));
    }

    fn allocations(&self, net: &HoldingFacts, facts: &PoolFacts, pool: PoolIndex) -> Vec<Allocation> {
        let mut allocations: Vec<Allocation> = Vec::with_capacity(net.egress_ips.len());
        for address in net.egress_ips.iter().filter_map(Listed::address) {
            if allocations.iter().all(|earlier| earlier.address != address) {
                let recorded = net.zones.get(&address).map(String::as_str);
                allocations.push(Allocation::settled(address, self.home(facts, pool, address, recorded)));
            }
        }
        allocations
    }

    /// The home zone of an address (R3): of a pool-wide range the recorded one (a carrier's is filled in later), else
    /// the entry whose range contains it, of several the one whose name is recorded.
    fn home(&self, facts: &PoolFacts, pool: PoolIndex, address: IpAddr, recorded: Option<&str>) -> Option<ZoneIndex> {
        let wide = facts.spec.cidr.is_some();
        let mut first = None;
        for (nth, (index, zone)) in self.snapshot.zones_of(pool).enumerate() {
            let contains = || facts.spec.entries.get(nth).is_some_and(|entry| entry.cidr.contains(&address));
            if wide || contains() {
                if Some(zone.name.as_str()) == recorded {
                    return Some(index);
                }
                first = first.or(Some(index).filter(|_| !wide));
            }
        }
        first
    }

    fn add_opted_out(&mut self, name: &OwnerName, namespace: &NamespaceFacts, net: Option<&HoldingFacts>) {
        let annotated = namespace.egress_ips.is_some();
        let net = net.filter(|net| net.obstacle.is_none());
        let recorded = net.and_then(|net| net.pool.clone());
        if annotated || recorded.is_some() {
            self.leave(name, net, recorded, Departure::OptedOut);
        }
    }

    fn leave(&mut self, name: &OwnerName, net: Option<&HoldingFacts>, pool: Option<PoolName>, why: Departure) {
        let addresses: BTreeSet<IpAddr> =
            net.into_iter().flat_map(|net| &net.egress_ips).filter_map(Listed::address).collect();
        self.snapshot.leaving.push(Leaving {
            name: name.clone(),
            pool,
            addresses: addresses.into_iter().collect(),
            why,
        });
    }

    fn hold_in(&mut self, pool: PoolIndex, owner: &OwnerName, code: HoldCode, text: String) {
        if let Some(name) = self.snapshot.pool(pool).map(|pool| pool.name.clone()) {
            self.hold(&name, owner, code, text);
        }
    }

    fn hold(&mut self, pool: &PoolName, owner: &OwnerName, code: HoldCode, text: String) {
        self.holds.push(NamedHold { pool: pool.clone(), zone: None, owner: owner.clone(), code, text });
    }
}

/// Until when nothing is wrong with a Namespace or a holding that lacks the other, if that time is still to come. One
/// of a clock that is ahead of ours is new.
fn newborn_until(created: u64, now: u64) -> Option<u64> {
    let is_new = now.saturating_sub(created) < NEWBORN_MS && created.saturating_sub(now) <= SKEW_MS;
    is_new.then(|| created.saturating_add(NEWBORN_MS))
}

/// How many addresses of each family an owner holds at most: as many it may keep.
pub(crate) fn at_most(allocations: &[Allocation]) -> u32 {
    let ipv4 = allocations.iter().filter(|allocation| allocation.address.is_ipv4()).count();
    u32::try_from(ipv4.max(allocations.len() - ipv4)).unwrap_or(u32::MAX)
}

/// Whether the pool still gives this address: it is in a range and nobody reserved it since (R4).
fn still_given(facts: &PoolFacts, address: IpAddr) -> bool {
    let spec = &facts.spec;
    let reserved =
        spec.reserved.contains(&address) || spec.entries.iter().any(|entry| entry.reserved.contains(&address));
    in_spec(facts, address) && !reserved
}

fn in_spec(facts: &PoolFacts, address: IpAddr) -> bool {
    facts.spec.ranges().any(|range| range.contains(&address))
}
