//! HostSubnets: which node carries what.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::Draft;
use super::intent::Intent;
use crate::name::{NodeIndex, NodeName, OwnerName, PoolIndex, PoolName};
use crate::network::{Change, Target};
use crate::observed::{CarrierFacts, Listed};
use crate::snapshot::{Snapshot, Zone};
use crate::survey::ranges::spec_ranges;

/// What one HostSubnet gets and loses, by when it may happen.
#[derive(Default)]
pub(super) struct Load {
    /// Off at once: nobody holds it, or it moves.
    off: BTreeSet<IpAddr>,
    /// Off once its NetNamespace no longer names it.
    off_later: BTreeSet<IpAddr>,
    /// On at once: nobody else carries it.
    on: BTreeSet<IpAddr>,
    /// On once its old carrier is rid of it.
    on_later: BTreeSet<IpAddr>,
}

/// Who names an address in a NetNamespace now.
pub(super) type Holders<'a> = BTreeMap<IpAddr, Vec<&'a OwnerName>>;

/// What the network may place on a node.
pub(super) struct Placing {
    pool: PoolName,
    index: PoolIndex,
    range: IpNet,
}

impl Draft<'_> {
    /// First what may happen at once: ranges for self-placing pools, and addresses off nodes they move away from.
    pub(super) fn carry_now(&mut self, loads: &BTreeMap<NodeName, Load>) {
        let ranges = self.ranges_by_node();
        for (name, load) in loads {
            let Some(facts) = self.observed.carriers.get(name) else {
                continue;
            };
            let cidrs = self.cidrs(name, facts, &ranges, !load.on.is_empty() || !load.on_later.is_empty());
            // Which nodes a pool uses is not known while something cannot be seen.
            let cidrs = cidrs.filter(|_| self.observed.blind.is_empty());
            let on = if load.off.is_empty() && cidrs.is_none() { BTreeSet::new() } else { load.on.clone() };
            if load.off.is_empty() && on.is_empty() && cidrs.is_none() {
                continue;
            }
            let list = (!load.off.is_empty() || !on.is_empty()).then(|| relist(&texts(facts), &load.off, &on));
            let after = self.finalizers_of(&on, ranges.get(name));
            let change = Change::Carrier { egress_ips: list.clone(), ranges: cidrs };
            if let Some(write) = self.push(Target::Carrier(name.clone()), change, after, Vec::new()) {
                for &address in &load.off {
                    self.taken_off.entry(address).or_default().push(write);
                }
                self.put_on.extend(on.into_iter().map(|address| (address, write)));
                if let Some(placing) = ranges.get(name) {
                    self.ranged.entry(placing.pool.clone()).or_default().push(write);
                }
                self.last_of_node.insert(name.clone(), (write, list.unwrap_or_else(|| texts(facts))));
            }
        }
    }

    /// Then what comes from elsewhere, and what is new on nodes that lose nothing.
    pub(super) fn carry_moved(&mut self, loads: &BTreeMap<NodeName, Load>) {
        for (name, load) in loads {
            let on: BTreeSet<IpAddr> =
                load.on.union(&load.on_later).copied().filter(|address| !self.put_on.contains_key(address)).collect();
            if on.is_empty() {
                continue;
            }
            let mut after = self.finalizers_of(&on, None);
            after.extend(on.iter().filter_map(|address| self.taken_off.get(address)).flatten());
            self.rewrite(name, &BTreeSet::new(), &on, after);
        }
    }

    /// Last what a NetNamespace had to let go of first.
    pub(super) fn carry_no_longer(&mut self, loads: &BTreeMap<NodeName, Load>, holders: &Holders<'_>) {
        for (name, load) in loads {
            let mut off = BTreeSet::new();
            let mut after = Vec::new();
            for &address in &load.off_later {
                let released: Option<Vec<usize>> =
                    holders.get(&address).into_iter().flatten().map(|owner| self.net_of.get(*owner).copied()).collect();
                if let Some(writes) = released {
                    off.insert(address);
                    after.extend(writes);
                } else {
                    self.unfinished.insert(Target::Carrier(name.clone()));
                }
            }
            if !off.is_empty() {
                self.rewrite(name, &off, &BTreeSet::new(), after);
            }
        }
    }

    fn rewrite(&mut self, name: &NodeName, off: &BTreeSet<IpAddr>, on: &BTreeSet<IpAddr>, mut after: Vec<usize>) {
        let Some(facts) = self.observed.carriers.get(name) else {
            return;
        };
        let (previous, base) = match self.last_of_node.get(name) {
            Some((write, list)) => (Some(*write), list.clone()),
            None => (None, texts(facts)),
        };
        after.extend(previous);
        let list = relist(&base, off, on);
        let change = Change::Carrier { egress_ips: Some(list.clone()), ranges: None };
        if let Some(write) = self.push(Target::Carrier(name.clone()), change, after, Vec::new()) {
            for &address in off {
                self.taken_off.entry(address).or_default().push(write);
            }
            self.put_on.extend(on.iter().map(|&address| (address, write)));
            self.last_of_node.insert(name.clone(), (write, list));
        }
    }

    /// Who gets and loses what.
    pub(super) fn loads(&self, unsettled: &BTreeSet<IpAddr>, holders: &Holders<'_>) -> BTreeMap<NodeName, Load> {
        let mut loads: BTreeMap<NodeIndex, Load> = BTreeMap::new();
        for &address in unsettled {
            let before = self.listed_on(address);
            let after = self.plan.end().carriers_of(address);
            // Whoever holds it now and will not has to let go first; if somebody keeps it, it only changes nodes.
            let later = self.owner_after(address).is_none() && holders.contains_key(&address);
            for &node in before.iter().filter(|node| !after.contains(node)) {
                let load = loads.entry(node).or_default();
                if later {
                    load.off_later.insert(address)
                } else {
                    load.off.insert(address)
                };
            }
            for &node in after.iter().filter(|&node| !before.contains(node) && self.may_list(address, *node)) {
                let load = loads.entry(node).or_default();
                if before.is_empty() {
                    load.on.insert(address)
                } else {
                    load.on_later.insert(address)
                };
            }
        }
        // Nodes whose ranges may have to change come along with an empty load.
        let mut named: BTreeMap<NodeName, Load> = self
            .observed
            .carriers
            .iter()
            .filter(|(_, f)| !f.ranges.is_empty())
            .map(|(n, _)| (n.clone(), Load::default()))
            .collect();
        named.extend(self.ranges_by_node().into_keys().map(|name| (name, Load::default())));
        for (index, load) in loads {
            if let Some(name) = self.node_name(index) {
                named.insert(name.clone(), load);
            }
        }
        named
    }

    /// Nodes of self-placing pools, with the range the network may place from.
    fn ranges_by_node(&self) -> BTreeMap<NodeName, Placing> {
        let mut ranges = BTreeMap::new();
        for zone in &self.snapshot.zones {
            let Some(pool) = self.snapshot.pool(zone.pool).filter(|pool| pool.self_placing) else {
                continue;
            };
            let Some(entry) = self.observed.pools.get(&pool.name).and_then(|facts| facts.spec.entries.first()) else {
                continue;
            };
            for name in zone.nodes.iter().filter_map(|&node| self.node_name(node)) {
                let placing = Placing { pool: pool.name.clone(), index: zone.pool, range: entry.cidr.trunc() };
                ranges.insert(name.clone(), placing);
            }
        }
        ranges
    }

    /// New `egressCIDRs`, if they have to change. Ranges of no pool are somebody else's and stay, unless the node gets
    /// addresses: SDN does not allow both. Those that overlap a pool would let SDN place its addresses there.
    fn cidrs(
        &self,
        name: &NodeName,
        facts: &CarrierFacts,
        ranges: &BTreeMap<NodeName, Placing>,
        gets_addresses: bool,
    ) -> Option<Vec<String>> {
        let wanted: Vec<String> = match ranges.get(name) {
            Some(placing) => self.with_guests(facts, placing),
            None if gets_addresses => Vec::new(),
            None => facts.ranges.iter().filter(|cidr| !self.is_of_a_pool(cidr)).cloned().collect(),
        };
        (wanted != facts.ranges).then_some(wanted)
    }

    /// The pool's range, and what keeps SDN from taking off what somebody still talks through: a stranger's address, or
    /// one outside the range that an owner of the pool holds until it is replaced.
    fn with_guests(&self, facts: &CarrierFacts, placing: &Placing) -> Vec<String> {
        let mut cidrs = vec![placing.range];
        for address in facts.egress_ips.iter().filter_map(Listed::address) {
            if cidrs.iter().any(|cidr| cidr.contains(&address)) || !self.is_guest(address, placing) {
                continue;
            }
            let now = facts.ranges.iter().filter_map(|cidr| cidr.parse::<IpNet>().ok());
            cidrs.push(now.into_iter().find(|cidr| cidr.contains(&address)).unwrap_or_else(|| IpNet::from(address)));
        }
        cidrs.iter().map(ToString::to_string).collect()
    }

    fn is_guest(&self, address: IpAddr, placing: &Placing) -> bool {
        match self.holding_now.get(&address) {
            Some(Some(owner)) => self.snapshot.owner(*owner).is_some_and(|owner| owner.pool == placing.index),
            Some(None) => true,
            None => false,
        }
    }

    fn is_of_a_pool(&self, cidr: &str) -> bool {
        let Ok(cidr) = cidr.parse::<IpNet>() else {
            return false;
        };
        // Of a pool whose spec has errors nothing is taken away.
        let sound = self.observed.pools.values().filter(|facts| facts.deleting || facts.errors.is_empty());
        let overlaps = |range: IpNet| range.contains(&cidr) || cidr.contains(&range);
        sound.into_iter().any(|facts| spec_ranges(&facts.spec).any(overlaps))
    }

    pub(super) fn finalizers_of(&self, on: &BTreeSet<IpAddr>, placing: Option<&Placing>) -> Vec<usize> {
        let pools = on.iter().filter_map(|&address| {
            let owner = self.snapshot.owner(self.owner_after(address)?)?;
            self.snapshot.pool(owner.pool).map(|pool| &pool.name)
        });
        pools
            .chain(placing.map(|placing| &placing.pool))
            .filter_map(|pool| self.finalizer_of.get(pool).copied())
            .collect()
    }
}

/// Whether the network itself decides what this node carries (R13): it takes off whatever it did not place.
pub(crate) fn network_places(snapshot: &Snapshot, node: NodeIndex) -> bool {
    let placing = |zone: &Zone| snapshot.pool(zone.pool).is_some_and(|pool| pool.self_placing);
    snapshot.zones.iter().any(|zone| placing(zone) && zone.nodes.binary_search(&node).is_ok())
}

/// Those of these addresses.
pub(super) fn holders<'a>(intents: &'a [Intent<'_>], of: &BTreeSet<IpAddr>) -> Holders<'a> {
    let mut holders = Holders::new();
    if of.is_empty() {
        return holders;
    }
    for intent in intents {
        for &address in intent.held.iter().filter(|address| of.contains(address)) {
            holders.entry(address).or_default().push(&intent.owner);
        }
    }
    holders
}

fn texts(facts: &CarrierFacts) -> Vec<String> {
    facts.egress_ips.iter().map(ToString::to_string).collect()
}

/// What stays keeps its place, what comes follows in order.
pub(super) fn relist(base: &[String], off: &BTreeSet<IpAddr>, on: &BTreeSet<IpAddr>) -> Vec<String> {
    let stays = |text: &&String| Listed::from(text.as_str()).address().is_none_or(|address| !off.contains(&address));
    let mut list: Vec<String> = base.iter().filter(stays).cloned().collect();
    let new: Vec<String> = on.iter().map(ToString::to_string).filter(|text| !list.contains(text)).collect();
    list.extend(new);
    list
}
