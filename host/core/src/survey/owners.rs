//! Owners, those who leave, and those whom the host holds.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::ranges::spec_ranges;
use super::{NamedHold, Survey, Wish};
use crate::name::{OwnerIndex, OwnerName, PoolIndex, PoolName, ZoneIndex};
use crate::observed::{Listed, NamespaceFacts, NetNamespaceFacts, Observed, PoolFacts};
use crate::plan::HoldCode;
use crate::snapshot::{Allocation, Departure, Leaving, Owner};

impl Survey {
    /// Adds owners and those who leave.
    pub(super) fn add_owners(&mut self, observed: &Observed) {
        for (name, namespace) in &observed.namespaces {
            let net = observed.net_namespaces.get(name).map(AsRef::as_ref);
            match &namespace.pool {
                Some(pool) => self.add_opted_in(observed, name, namespace, net, pool),
                None => self.add_opted_out(name, namespace, net),
            }
        }
        for (name, net) in &observed.net_namespaces {
            if !observed.namespaces.contains_key(name) && (net.pool.is_some() || self.is_ours(net)) {
                self.leave(name, Some(net), net.pool.clone(), Departure::NamespaceGone);
            }
        }
        self.snapshot.leaving.sort_by(|a, b| a.name.cmp(&b.name));
    }

    fn is_ours(&self, net: &NetNamespaceFacts) -> bool {
        net.egress_ips.iter().filter_map(Listed::address).any(|address| self.territory.contains(address))
    }

    fn add_opted_in(
        &mut self,
        observed: &Observed,
        name: &OwnerName,
        namespace: &NamespaceFacts,
        net: Option<&NetNamespaceFacts>,
        pool: &PoolName,
    ) {
        let Some(facts) = observed.pools.get(pool) else {
            self.hold(pool, name, HoldCode::PoolMissing, format!("there is no EgressIPAM {pool}"));
            return;
        };
        if facts.deleting {
            self.hold(pool, name, HoldCode::PoolDeleting, format!("EgressIPAM {pool} is being deleted"));
            self.leave(name, net, Some(pool.clone()), Departure::PoolDeleted);
            return;
        }
        let (Some(net), Some(index)) = (net, self.pool_named(pool)) else {
            self.hold(pool, name, HoldCode::NoNetNamespace, "its NetNamespace does not exist".to_owned());
            return;
        };
        self.add_owner(name, namespace, net, facts, index);
    }

    fn add_owner(
        &mut self,
        name: &OwnerName,
        namespace: &NamespaceFacts,
        net: &NetNamespaceFacts,
        facts: &PoolFacts,
        pool: PoolIndex,
    ) {
        let held: BTreeSet<IpAddr> = net.egress_ips.iter().filter_map(Listed::address).collect();
        let wish = Wish::of(namespace, &held);
        let frozen = self.frozen.contains(&pool);
        if let Wish::Malformed(text) = &wish {
            self.hold_in(pool, name, HoldCode::RequestInvalid, text.clone());
        }
        if held.is_empty() {
            if frozen {
                self.hold_in(
                    pool,
                    name,
                    HoldCode::PoolInvalid,
                    "the pool's spec has errors: see its status".to_owned(),
                );
            }
            if frozen || namespace.terminating || matches!(wish, Wish::Malformed(_)) {
                return;
            }
        }
        // A namespace that goes away, or one of a pool that makes no sense, keeps what it has and gets nothing new.
        let closed = frozen || namespace.terminating;
        let allocations = self.allocations(net, facts, pool);
        let index = OwnerIndex::at(self.snapshot.owners.len());
        if !closed {
            let displaced = allocations.iter().map(|a| a.address).filter(|&a| !still_given(facts, a));
            self.displaced.extend(displaced.map(|address| (index, address)));
        }
        self.snapshot.owners.push(Owner {
            name: name.clone(),
            pool,
            labels: namespace.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            wanted: closed.then(|| u32::try_from(held.len()).unwrap_or(u32::MAX)),
            requested: match wish {
                Wish::Request(addresses) if !closed => addresses,
                _ => Vec::new(),
            },
            allocations,
            created: namespace.created,
        });
    }

    fn allocations(&self, net: &NetNamespaceFacts, facts: &PoolFacts, pool: PoolIndex) -> Vec<Allocation> {
        let recorded = net.zones.as_ref().filter(|zones| zones.len() == net.egress_ips.len());
        let mut seen = BTreeSet::new();
        net.egress_ips
            .iter()
            .enumerate()
            .filter_map(|(position, listed)| Some((position, listed.address()?)))
            .filter(|(_, address)| seen.insert(*address))
            .map(|(position, address)| {
                let recorded = recorded.and_then(|zones| zones.get(position)).map(String::as_str);
                Allocation { address, zone: self.home(facts, pool, address, recorded) }
            })
            .collect()
    }

    /// The home zone of an address (R3): of a pool-wide range the recorded one (a carrier's is filled in later), else
    /// the entry whose range contains it, of several the one whose name is recorded.
    fn home(&self, facts: &PoolFacts, pool: PoolIndex, address: IpAddr, recorded: Option<&str>) -> Option<ZoneIndex> {
        let zones: Vec<ZoneIndex> = self.snapshot.zones_of(pool).map(|(index, _)| index).collect();
        let named =
            |index: &ZoneIndex| self.snapshot.zone(*index).is_some_and(|zone| Some(zone.name.as_str()) == recorded);
        if facts.spec.cidr.is_some() {
            return zones.into_iter().find(named);
        }
        let containing: Vec<ZoneIndex> = zones
            .into_iter()
            .zip(&facts.spec.entries)
            .filter(|(_, entry)| entry.cidr.contains(&address))
            .map(|(index, _)| index)
            .collect();
        containing.iter().copied().find(named).or_else(|| containing.first().copied())
    }

    fn add_opted_out(&mut self, name: &OwnerName, namespace: &NamespaceFacts, net: Option<&NetNamespaceFacts>) {
        let annotated = namespace.egress_ips.is_some();
        let recorded = net.and_then(|net| net.pool.clone());
        if annotated || recorded.is_some() {
            self.leave(name, net, recorded, Departure::OptedOut);
        }
    }

    fn leave(&mut self, name: &OwnerName, net: Option<&NetNamespaceFacts>, pool: Option<PoolName>, why: Departure) {
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

/// Whether the pool still gives this address: it is in a range and nobody reserved it since (R4).
fn still_given(facts: &PoolFacts, address: IpAddr) -> bool {
    let spec = &facts.spec;
    let reserved =
        spec.reserved.contains(&address) || spec.entries.iter().any(|entry| entry.reserved.contains(&address));
    spec_ranges(spec).any(|range| range.contains(&address)) && !reserved
}
