//! A look at the end state that trusts nobody: what each namespace has against what the cluster carries.
//!
//! Shares no code with survey, verify and schedule. Meant for a cluster that has come to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use sluice_core::name::{NodeName, OwnerName, PoolName};
use sluice_core::observed::{HoldingFacts, Listed, NamespaceFacts, NodeFacts, Observed, PoolFacts};
use sluice_core::plan::HoldCode;
use sluice_core::survey::NamedHold;

/// What an audit came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Namespaces in a pool.
    pub namespaces: usize,
    /// Of these, with a hold.
    pub held: usize,
    /// Addresses that namespaces in a pool hold.
    pub addresses: usize,
    /// Of these, on a ready node that may carry them.
    pub carried: usize,
    /// What is wrong, sorted. Empty: the cluster is sound.
    pub complaints: Vec<String>,
}

/// What a policy promises beyond the rules for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Some address for each namespace.
    Some,
    /// An address from each entry of the pool.
    EachZone,
}

/// Looks at the cluster as it is, and at those who are said to be held.
pub fn audit(observed: &Observed, holds: &[NamedHold], expectation: Expectation) -> Audit {
    let mut auditor = Auditor::new(observed, holds, expectation);
    auditor.check_unique();
    auditor.check_stale();
    for (name, facts) in &observed.namespaces {
        match &facts.pool {
            Some(pool) => auditor.check_member(name, facts, pool),
            None => auditor.check_left(name, facts),
        }
    }
    auditor.check_holds();
    auditor.audit.complaints.sort();
    auditor.audit
}

struct Auditor<'a> {
    observed: &'a Observed,
    holds: BTreeMap<&'a OwnerName, Vec<&'a NamedHold>>,
    expectation: Expectation,
    /// Who names an address in a NetNamespace.
    claims: BTreeMap<IpAddr, Vec<&'a OwnerName>>,
    /// Which HostSubnets list it.
    carriers: BTreeMap<IpAddr, Vec<&'a NodeName>>,
    audit: Audit,
}

impl<'a> Auditor<'a> {
    fn new(observed: &'a Observed, holds: &'a [NamedHold], expectation: Expectation) -> Self {
        let mut of_owner: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for hold in holds {
            of_owner.entry(&hold.owner).or_default().push(hold);
        }
        let mut claims: BTreeMap<IpAddr, Vec<_>> = BTreeMap::new();
        for (name, facts) in &observed.holdings {
            for address in facts.egress_ips.iter().filter_map(Listed::address) {
                claims.entry(address).or_default().push(name);
            }
        }
        let mut carriers: BTreeMap<IpAddr, Vec<_>> = BTreeMap::new();
        for (name, facts) in &observed.carriers {
            for address in facts.egress_ips.iter().filter_map(Listed::address) {
                carriers.entry(address).or_default().push(name);
            }
        }
        Self { observed, holds: of_owner, expectation, claims, carriers, audit: Audit::default() }
    }

    fn complain(&mut self, text: String) {
        self.audit.complaints.push(text);
    }

    fn check_unique(&mut self) {
        let mut complaints = Vec::new();
        for (address, owners) in self.claims.iter().filter(|(address, o)| o.len() > 1 && self.is_ours(address)) {
            complaints.push(format!("{address} is held by {}", names(owners)));
        }
        let doubled = |(address, nodes): &(&IpAddr, &Vec<_>)| nodes.len() > 1 && self.is_ours(address);
        for (address, nodes) in self.carriers.iter().filter(doubled) {
            complaints.push(format!("{address} sits on {}", names(nodes)));
        }
        self.audit.complaints.append(&mut complaints);
    }

    /// Whether a member of a pool holds it, or nobody and it is a pool's. The rest is its holders' affair.
    fn is_ours(&self, address: &IpAddr) -> bool {
        let member = |name: &&OwnerName| self.observed.namespaces.get(*name).is_some_and(|facts| facts.pool.is_some());
        match self.claims.get(address) {
            Some(owners) => owners.iter().any(member),
            None => self.observed.pools.values().any(|pool| range_of(pool, *address).is_some()),
        }
    }

    /// Addresses of pools that are carried for nobody.
    fn check_stale(&mut self) {
        let stale: Vec<String> = self
            .carriers
            .iter()
            .filter(|(address, _)| self.is_ours(address) && !self.claims.contains_key(address))
            .map(|(address, nodes)| format!("{address} sits on {}, but nobody holds it", names(nodes)))
            .collect();
        self.audit.complaints.extend(stale);
    }

    /// A namespace that is in no pool has nothing of ours left.
    fn check_left(&mut self, name: &OwnerName, facts: &NamespaceFacts) {
        let net = self.observed.holdings.get(name);
        if facts.egress_ips.is_some() || facts.hold.is_some() {
            self.complain(format!("{name} is in no pool, but has annotations"));
        }
        if net.is_some_and(|net| net.pool.is_some()) {
            self.complain(format!("{name} is in no pool, but its NetNamespace is marked"));
        }
    }

    fn check_member(&mut self, name: &'a OwnerName, facts: &NamespaceFacts, pool_name: &PoolName) {
        if facts.terminating {
            return;
        }
        self.audit.namespaces += 1;
        let is_held = self.holds.contains_key(name);
        self.audit.held += usize::from(is_held);
        let known = self.observed.pools.get(pool_name).filter(|pool| !pool.deleting && pool.errors.is_empty());
        let (Some(pool), Some(net)) = (known, self.observed.holdings.get(name)) else {
            if !is_held {
                self.complain(format!("{name} has no pool or NetNamespace, and no hold"));
            }
            return;
        };
        let addresses: Vec<IpAddr> = net.egress_ips.iter().filter_map(Listed::address).collect();
        self.audit.addresses += addresses.len();
        if addresses.is_empty() && !is_held {
            self.complain(format!("{name} has no address and no hold"));
        }
        for &address in &addresses {
            self.check_address(name, (pool_name, pool), net, address);
        }
        self.check_siblings(name, &addresses);
        self.check_entries(name, pool, &addresses);
        self.check_result(name, facts, &addresses);
    }

    fn check_address(
        &mut self,
        name: &OwnerName,
        (pool_name, pool): (&PoolName, &PoolFacts),
        net: &HoldingFacts,
        address: IpAddr,
    ) {
        if range_of(pool, address).is_none() || reserved_in_spec(pool, address) {
            if !self.holds.contains_key(name) {
                self.complain(format!("{name} has {address}, which its pool does not give"));
            }
            return;
        }
        if net.pool.as_ref().is_some_and(|marked| marked != pool_name) {
            self.complain(format!("the NetNamespace of {name} is marked as of another pool"));
        }
        let home = net.zones.get(&address).map(String::as_str);
        if let Some(home) = home
            && pool.spec.cidr.is_none()
            && !pool.spec.entries.iter().any(|entry| entry.label_value == home && entry.cidr.contains(&address))
        {
            self.complain(format!("{address} of {name} is recorded as of zone {home}, whose range it is not in"));
        }
        let home = home.or_else(|| {
            pool.spec.entries.iter().find(|entry| entry.cidr.contains(&address)).map(|entry| entry.label_value.as_str())
        });
        let carrier = self.carriers.get(&address).and_then(|nodes| nodes.first()).copied();
        let node = carrier.and_then(|name| self.observed.nodes.get(name));
        let right = node.is_some_and(|node| node.ready && may_carry(pool, node, home));
        if right {
            self.audit.carried += 1;
        } else if !self.is_excused(name, home) {
            let place = carrier.map_or_else(|| "no node".to_owned(), |node| format!("node {node}"));
            self.complain(format!("{address} of {name} is on {place}, which does not serve it, and there is no hold"));
        }
    }

    fn is_excused(&self, name: &OwnerName, zone: Option<&str>) -> bool {
        let excuses = |hold: &&&NamedHold| hold.zone.is_none() || hold.zone.as_deref() == zone;
        self.holds.get(name).is_some_and(|holds| holds.iter().any(|hold| excuses(&hold)))
    }

    fn check_siblings(&mut self, name: &OwnerName, addresses: &[IpAddr]) {
        let mut nodes = BTreeSet::new();
        for address in addresses {
            for node in self.carriers.get(address).into_iter().flatten().copied().collect::<Vec<_>>() {
                if !nodes.insert(node) && !self.holds.contains_key(name) {
                    self.complain(format!("node {node} carries two addresses of {name}"));
                }
            }
        }
    }

    fn check_entries(&mut self, name: &OwnerName, pool: &PoolFacts, addresses: &[IpAddr]) {
        if self.expectation == Expectation::Some {
            return;
        }
        for entry in &pool.spec.entries {
            let has = addresses.iter().any(|address| entry.cidr.contains(address));
            if !has && !self.is_excused(name, Some(&entry.label_value)) {
                let zone = &entry.label_value;
                self.complain(format!("{name} has no address of zone {zone}, and there is no hold"));
            }
        }
    }

    /// The annotation states what is held, unless it is a request that was not met.
    fn check_result(&mut self, name: &OwnerName, facts: &NamespaceFacts, addresses: &[IpAddr]) {
        let stated: Option<BTreeSet<&str>> = facts.egress_ips.as_deref().map(|text| text.split(',').collect());
        let held: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let right = match stated {
            Some(stated) => stated == held.iter().map(String::as_str).collect(),
            None => held.is_empty(),
        };
        if !right && !self.holds.contains_key(name) {
            let stated = facts.egress_ips.as_deref().unwrap_or("nothing");
            self.complain(format!("{name} holds [{}], but its annotation states {stated}", held.join(",")));
        }
    }

    /// Holds that can be checked are true.
    fn check_holds(&mut self) {
        let holds: Vec<&NamedHold> = self.holds.values().flatten().copied().collect();
        for hold in holds {
            let Some(pool) = self.observed.pools.get(&hold.pool) else { continue };
            match (hold.code, &hold.zone) {
                (HoldCode::NoNode, Some(zone)) => self.check_no_node(hold, pool, zone),
                (HoldCode::Exhausted, Some(zone)) => self.check_exhausted(hold, pool, zone),
                _ => {}
            }
        }
    }

    fn check_no_node(&mut self, hold: &NamedHold, pool: &PoolFacts, zone: &str) {
        let addresses: BTreeSet<IpAddr> = match self.observed.holdings.get(&hold.owner) {
            Some(net) => net.egress_ips.iter().filter_map(Listed::address).collect(),
            None => return,
        };
        let free = self.observed.nodes.iter().find(|(name, node)| {
            let carried = self.observed.carriers.get(*name).map(|facts| &facts.egress_ips);
            let crowded = |listed: &Vec<Listed>| {
                listed.iter().filter_map(Listed::address).any(|address| addresses.contains(&address))
            };
            node.ready
                && !node.unschedulable
                && may_carry(pool, node, Some(zone))
                && carried.is_some_and(|listed| !crowded(listed))
        });
        if let Some((node, _)) = free {
            self.complain(format!("{} is held for want of a node in zone {zone}, but {node} is free", hold.owner));
        }
    }

    /// Whether an address of the zone may be promised to this namespace: it is in the pool, has none there that the
    /// pool gives, and does not itself wait for an address.
    fn is_promised(
        &self,
        name: &OwnerName,
        net: &HoldingFacts,
        hold: &NamedHold,
        pool: &PoolFacts,
        zone: &str,
    ) -> bool {
        let exhausted = |hold: &&NamedHold| hold.code == HoldCode::Exhausted && hold.zone.as_deref() == Some(zone);
        let of_zone = |address: IpAddr| {
            let mut entries = pool.spec.entries.iter().filter(|entry| entry.label_value == zone);
            entries.any(|entry| entry.cidr.contains(&address)) && !reserved_in_spec(pool, address)
        };
        self.observed.namespaces.get(name).is_some_and(|facts| facts.pool.as_ref() == Some(&hold.pool))
            && !net.egress_ips.iter().filter_map(Listed::address).any(of_zone)
            && !self.holds.get(name).is_some_and(|holds| holds.iter().any(exhausted))
    }

    fn is_asked_for(&self, address: &IpAddr) -> bool {
        let text = address.to_string();
        let mut annotations = self.observed.namespaces.values().filter_map(|facts| facts.egress_ips.as_deref());
        annotations.any(|annotation| annotation.split(',').any(|part| part.trim() == text))
    }

    /// A free address may be meant for somebody who waits for a node, or to replace another one.
    fn check_exhausted(&mut self, hold: &NamedHold, pool: &PoolFacts, zone: &str) {
        if self.observed.holdings.iter().any(|(name, net)| self.is_promised(name, net, hold, pool, zone)) {
            return;
        }
        let ranges = pool.spec.entries.iter().filter(|entry| entry.label_value == zone).map(|entry| entry.cidr);
        let others: Vec<IpNet> = self
            .observed
            .pools
            .iter()
            .filter(|(name, _)| **name != hold.pool)
            .flat_map(|(_, facts)| facts.spec.entries.iter().map(|entry| entry.cidr).chain(facts.spec.cidr))
            .collect();
        let is_free = |address: &IpAddr| {
            !self.claims.contains_key(address)
                && !reserved_in_spec(pool, *address)
                && !others.iter().any(|range| range.contains(address))
                && !self.observed.nodes.values().any(|node| node.addresses.contains(address))
                && !self.is_asked_for(address)
        };
        // The first host is the gateway's by custom.
        let free = ranges.flat_map(|range| range.hosts().skip(1)).find(is_free);
        if let Some(address) = free {
            self.complain(format!(
                "{} is held for want of an address in zone {zone}, but {address} is free",
                hold.owner
            ));
        }
    }
}

/// The range of a pool that an address is in.
fn range_of(pool: &PoolFacts, address: IpAddr) -> Option<IpNet> {
    pool.spec.entries.iter().map(|entry| entry.cidr).chain(pool.spec.cidr).find(|range| range.contains(&address))
}

fn reserved_in_spec(pool: &PoolFacts, address: IpAddr) -> bool {
    pool.spec.reserved.contains(&address) || pool.spec.entries.iter().any(|entry| entry.reserved.contains(&address))
}

/// Whether a node is one of the zone, or of any zone of the pool where addresses may leave theirs.
fn may_carry(pool: &PoolFacts, node: &NodeFacts, zone: Option<&str>) -> bool {
    let Some(value) = node.labels.get(&pool.spec.topology_label) else { return false };
    let of_pool = pool.spec.cidr.is_some() || pool.spec.entries.iter().any(|entry| entry.label_value == *value);
    let right_zone = match zone {
        Some(zone) if !pool.spec.zone_failover => zone == value,
        _ => of_pool,
    };
    right_zone && pool.spec.node_selector.matches(&node.labels)
}

fn names<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}
