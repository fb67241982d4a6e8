//! `egressCIDRs`: from which ranges the network may place addresses on a node by itself (R13).

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::name::{NodeName, OwnerIndex, OwnerName, PoolIndex, PoolName};
use crate::network::inputs::Inputs;
use crate::observed::{CarrierFacts, Listed, Observed};
use crate::snapshot::Snapshot;

/// From where the network may place on which node.
pub(super) struct Ranges<'a> {
    observed: &'a Observed,
    snapshot: &'a Snapshot,
    of_node: BTreeMap<&'a NodeName, Placing<'a>>,
    /// Who holds each address now: an owner, or a stranger. Those who leave are left out: what they hold is on its way out.
    /// Only known where the network places for some pool.
    holders: BTreeMap<IpAddr, Option<OwnerIndex>>,
}

/// What the network may place on a node.
pub(super) struct Placing<'a> {
    pub(super) pool: &'a PoolName,
    index: PoolIndex,
    range: IpNet,
}

impl<'a> Ranges<'a> {
    pub(super) fn of(inputs: &Inputs<'a>) -> Self {
        let (observed, snapshot) = (inputs.observed, inputs.snapshot);
        Self { observed, snapshot, of_node: of_node(inputs), holders: holders_now(observed, snapshot) }
    }

    /// What the network may place on a node; none: nothing.
    pub(super) fn on_node(&self, node: &NodeName) -> Option<&Placing<'a>> {
        self.of_node.get(node)
    }

    /// Nodes whose ranges may have to change: those with ranges, and those that shall have some.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &'a NodeName> {
        let carriers = self.observed.carriers.iter();
        let with_ranges = carriers.filter(|(_, facts)| !facts.ranges.is_empty()).map(|(name, _)| name);
        with_ranges.chain(self.of_node.keys().copied())
    }

    /// The new `egressCIDRs` of a node, if they have to change. Ranges of no pool are somebody else's and stay, unless the
    /// node gets addresses: SDN does not allow both. Those that overlap a pool would let SDN place its addresses there.
    pub(super) fn change(&self, node: &NodeName, facts: &CarrierFacts, gets_addresses: bool) -> Option<Vec<String>> {
        // Which nodes a pool uses is not known while something cannot be seen.
        if !self.observed.blind.is_empty() {
            return None;
        }
        let wanted: Vec<String> = match self.on_node(node) {
            Some(placing) => self.for_placing(facts, placing),
            None if gets_addresses => Vec::new(),
            None => facts.ranges.iter().filter(|cidr| !self.is_of_a_pool(cidr)).cloned().collect(),
        };
        (wanted != facts.ranges).then_some(wanted)
    }

    /// The pool's range, and ranges that keep SDN from taking off what somebody still talks through: a stranger's address,
    /// or one outside the pool's range that an owner of the pool holds until it is replaced.
    fn for_placing(&self, facts: &CarrierFacts, placing: &Placing<'_>) -> Vec<String> {
        let mut cidrs = vec![placing.range];
        for address in facts.egress_ips.iter().filter_map(Listed::address) {
            if cidrs.iter().any(|cidr| cidr.contains(&address)) || !self.has_to_stay(address, placing) {
                continue;
            }
            let mut now = facts.ranges.iter().filter_map(|cidr| cidr.parse::<IpNet>().ok());
            cidrs.push(now.find(|cidr| cidr.contains(&address)).unwrap_or_else(|| IpNet::from(address)));
        }
        cidrs.iter().map(ToString::to_string).collect()
    }

    fn has_to_stay(&self, address: IpAddr, placing: &Placing<'_>) -> bool {
        match self.holders.get(&address) {
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
        let mut sound = self.observed.pools.values().filter(|facts| facts.deleting || facts.errors.is_empty());
        let overlaps = |range: IpNet| range.contains(&cidr) || cidr.contains(&range);
        sound.any(|facts| facts.spec.ranges().any(overlaps))
    }
}

/// The nodes of pools for which the network places.
fn of_node<'a>(inputs: &Inputs<'a>) -> BTreeMap<&'a NodeName, Placing<'a>> {
    let mut of_node = BTreeMap::new();
    for zone in &inputs.snapshot.zones {
        let Some(pool) = inputs.snapshot.pool(zone.pool).filter(|pool| pool.is_self_placing()) else {
            continue;
        };
        let Some(entry) = inputs.observed.pools.get(&pool.name).and_then(|facts| facts.spec.entries.first()) else {
            continue;
        };
        for name in zone.nodes.iter().filter_map(|&node| inputs.node_name(node)) {
            of_node.insert(name, Placing { pool: &pool.name, index: zone.pool, range: entry.cidr.trunc() });
        }
    }
    of_node
}

fn holders_now(observed: &Observed, snapshot: &Snapshot) -> BTreeMap<IpAddr, Option<OwnerIndex>> {
    if snapshot.pools.iter().all(|pool| !pool.is_self_placing()) {
        return BTreeMap::new();
    }
    let leaves = |name: &OwnerName| snapshot.leaving.binary_search_by(|leaving| leaving.name.cmp(name)).is_ok();
    let mut holders = BTreeMap::new();
    for (name, facts) in observed.holdings.iter().filter(|(name, _)| !leaves(name)) {
        let owner = snapshot.owner_named(name);
        holders.extend(facts.egress_ips.iter().filter_map(Listed::address).map(|address| (address, owner)));
    }
    holders
}
