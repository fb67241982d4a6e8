//! The invariants that a plan must not break.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{EndState, Finding, Invariant};
use crate::name::{NodeIndex, OwnerIndex, OwnerName, PoolIndex, ZoneIndex};
use crate::plan::{Holder, Operation, Patch};
use crate::snapshot::{Capacity, Health, Pool, Snapshot};

/// A plan with the states before and after it.
pub(super) struct View<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) base: &'a EndState,
    pub(super) end: &'a EndState,
    pub(super) patches: &'a [Patch],
}

impl View<'_> {
    /// Invariant 1. An address that somebody held before the plan cannot be given away in the same round: until the
    /// release is written everywhere, both would have it.
    pub(super) fn unique(&self, findings: &mut Vec<Finding>) {
        let mut given = BTreeSet::new();
        for patch in self.patches {
            let address = patch.operation.address();
            let (before, after) = (self.base.holders_of(address).len(), self.end.holders_of(address).len());
            if let Operation::Allocate { owner, .. } = patch.operation {
                if before > 0 {
                    findings.push(self.finding(
                        Invariant::Unique,
                        owner,
                        format!("{address} is held already, by {}", self.holder_name(address)),
                    ));
                } else if !given.insert(address) {
                    findings.push(self.finding(
                        Invariant::Unique,
                        owner,
                        format!("{address} is given away {after} times"),
                    ));
                }
            }
            let (before, after) = (self.base.carriers_of(address).len(), self.end.carriers_of(address).len());
            // Whoever puts an address onto a node answers for all its carriers, inherited ones included.
            if after > 1 && (after > before || patch.operation.target().is_some()) {
                findings.push(Finding {
                    invariant: Invariant::Unique,
                    inherited: false,
                    owner: None,
                    text: format!("{address} would sit on {after} nodes"),
                });
            }
        }
    }

    /// What the contract says of operations: a policy changes the place of an address once, and never where the
    /// network places by itself.
    pub(super) fn contract(&self, findings: &mut Vec<Finding>) {
        let mut placed = BTreeSet::new();
        for patch in self.patches.iter().filter(|patch| !patch.by_host) {
            let (Operation::Assign { address, .. }
            | Operation::Unassign { address, .. }
            | Operation::Move { address, .. }) = patch.operation
            else {
                continue;
            };
            if !placed.insert(address) {
                findings.push(super::contract(format!("{address} is assigned, unassigned or moved more than once")));
            }
            if self.is_self_placed(address) {
                findings.push(super::contract(format!(
                    "{address} belongs to a self-placing pool, whose placement is not planned"
                )));
            }
        }
    }

    fn is_self_placed(&self, address: IpAddr) -> bool {
        let held_in = self.end.ownership_of(address).and_then(|(owner, _)| self.snapshot.owner(owner)).map(|o| o.pool);
        let pool = held_in.or_else(|| {
            let ranges = self.snapshot.zones.iter().find(|zone| inside(&zone.ranges, address)).map(|zone| zone.pool);
            ranges.or_else(|| self.snapshot.pools.iter().position(|p| inside(&p.ranges, address)).map(PoolIndex::at))
        });
        pool.and_then(|pool| self.snapshot.pool(pool)).is_some_and(Pool::is_self_placing)
    }

    /// Invariant 2.
    pub(super) fn in_pool(&self, findings: &mut Vec<Finding>) {
        for patch in self.patches {
            let Operation::Allocate { owner, zone, address } = patch.operation else {
                continue;
            };
            let Some(pool_index) = self.snapshot.owner(owner).map(|owner| owner.pool) else {
                continue;
            };
            let Some(pool) = self.snapshot.pool(pool_index) else {
                continue;
            };
            if !self.gives(pool_index, pool, zone, address) {
                findings.push(self.finding(
                    Invariant::InPool,
                    owner,
                    format!("{address} is not in the ranges of {}", self.place(pool, zone)),
                ));
            } else if inside(&pool.reserved, address) {
                findings.push(self.finding(
                    Invariant::InPool,
                    owner,
                    format!("{address} is reserved in pool {}", pool.name),
                ));
            }
            if self.snapshot.occupied.binary_search(&address).is_ok() {
                findings.push(self.finding(
                    Invariant::InPool,
                    owner,
                    format!("{address} is taken by a node or a stranger"),
                ));
            }
        }
        self.shares(findings);
    }

    fn gives(&self, pool_index: PoolIndex, pool: &Pool, zone: Option<ZoneIndex>, address: IpAddr) -> bool {
        if inside(&pool.ranges, address) {
            return true;
        }
        match zone {
            Some(zone) => self.snapshot.zone(zone).is_some_and(|zone| inside(&zone.ranges, address)),
            None => self.snapshot.zones_of(pool_index).any(|(_, zone)| inside(&zone.ranges, address)),
        }
    }

    fn shares(&self, findings: &mut Vec<Finding>) {
        if self.snapshot.zones.iter().all(|zone| zone.share.is_none()) {
            return;
        }
        let count = |state: &EndState, zone: ZoneIndex| {
            state.held().filter(|(_, h)| h.iter().any(|h| h.zone == Some(zone))).count()
        };
        for (position, zone) in self.snapshot.zones.iter().enumerate() {
            let (Some(share), index) = (zone.share, ZoneIndex::at(position)) else {
                continue;
            };
            let (before, after) = (count(self.base, index), count(self.end, index));
            if after > before && after > share as usize {
                findings.push(Finding {
                    invariant: Invariant::InPool,
                    inherited: false,
                    owner: None,
                    text: format!("{after} addresses in zone {}, of which its share is {share}", zone.name),
                });
            }
        }
    }

    /// Invariant 3, for every node that gets something.
    pub(super) fn capacity(&self, findings: &mut Vec<Finding>) {
        let targets: BTreeSet<NodeIndex> = self.patches.iter().filter_map(|patch| patch.operation.target()).collect();
        let limited = |node: &&NodeIndex| self.snapshot.node(**node).is_some_and(|n| n.capacity != Capacity::default());
        let targets: Vec<NodeIndex> = targets.iter().filter(limited).copied().collect();
        if targets.is_empty() {
            return;
        }
        let (before, after) = (loads(self.base), loads(self.end));
        for node_index in targets {
            let Some(node) = self.snapshot.node(node_index) else {
                continue;
            };
            let was = before.get(&node_index).copied().unwrap_or_default();
            let is = after.get(&node_index).copied().unwrap_or_default();
            let capacity = node.capacity;
            let limits = [
                ("addresses", capacity.total, was.total(), is.total()),
                ("IPv4 addresses", capacity.ipv4, was.ipv4, is.ipv4),
                ("IPv6 addresses", capacity.ipv6, was.ipv6, is.ipv6),
            ];
            for (what, limit, was, is) in limits {
                if let Some(limit) = limit
                    && is > limit
                    && is > was
                {
                    findings.push(Finding {
                        invariant: Invariant::Capacity,
                        inherited: false,
                        owner: None,
                        text: format!("node {} would carry {is} {what}, of which it can carry {limit}", node.name),
                    });
                }
            }
        }
    }

    /// Invariant 4. Two addresses of one owner on one node disable each other in both of OpenShift's networks, so they
    /// never share one.
    pub(super) fn eligible(&self, findings: &mut Vec<Finding>) {
        let crowded = self.crowded_after();
        self.adopted(&crowded, findings);
        for patch in self.patches {
            let Some(node_index) = patch.operation.target() else {
                continue;
            };
            let Some(node) = self.snapshot.node(node_index) else {
                continue;
            };
            let address = patch.operation.address();
            let Some((owner, zone)) = self.end.ownership_of(address) else {
                findings
                    .push(super::contract(format!("{address} goes to node {}, but nobody would hold it", node.name)));
                continue;
            };
            let Some(pool) = self.snapshot.owner(owner).map(|owner| owner.pool) else {
                continue;
            };
            if node.health != Health::Healthy {
                findings.push(self.finding(
                    Invariant::Eligible,
                    owner,
                    format!("node {}, which gets {address}, is {}", node.name, node.health),
                ));
            }
            if !self.may_carry(pool, zone, node_index) {
                findings.push(self.finding(
                    Invariant::Eligible,
                    owner,
                    format!("node {} is not in the zone of {address}", node.name),
                ));
            }
            if crowded.get(&(owner, node_index)).is_some_and(|&count| count > 1) {
                let text = format!("node {} would carry {address} and another address of the same owner", node.name);
                findings.push(self.finding(Invariant::Eligible, owner, text));
            }
        }
    }

    /// An address that is carried already when it is given away must not share its node with another of its owner.
    fn adopted(&self, crowded: &Crowds, findings: &mut Vec<Finding>) {
        for patch in self.patches {
            let Operation::Allocate { owner, address, .. } = patch.operation else {
                continue;
            };
            let carriers = self.base.carriers_of(address).iter();
            for &node in carriers.filter(|node| self.end.carriers_of(address).contains(node)) {
                if crowded.get(&(owner, node)).is_some_and(|&count| count > 1) && !self.is_self_placed(address) {
                    let name = self.snapshot.node_name(node);
                    let text = format!("node {name} carries {address} and another address of the same owner");
                    findings.push(self.finding(Invariant::Eligible, owner, text));
                }
            }
        }
    }

    /// How many addresses of an owner each node carries.
    fn crowded_after(&self) -> Crowds {
        let mut counts = BTreeMap::new();
        let adds = |patch: &Patch| patch.operation.target().is_some() || is_allocation(&patch.operation);
        if !self.patches.iter().any(adds) {
            return counts;
        }
        for (address, nodes) in self.end.carried() {
            let Some((owner, _)) = self.end.ownership_of(address) else {
                continue;
            };
            for &node in nodes {
                *counts.entry((owner, node)).or_default() += 1;
            }
        }
        counts
    }

    /// Invariant 10. What the host does by itself, and moves off nodes that may not carry an address, are forced.
    pub(super) fn budget(&self, findings: &mut Vec<Finding>) {
        let released: BTreeSet<IpAddr> = self
            .patches
            .iter()
            .filter(|p| matches!(p.operation, Operation::Release { .. }))
            .map(|p| p.operation.address())
            .collect();
        let unforced = self.patches.iter().filter(|patch| !patch.by_host).filter(|patch| match patch.operation {
            Operation::Release { .. } => true,
            Operation::Move { address, source, .. } => !self.forced_off(address, source),
            Operation::Unassign { address, node } => !released.contains(&address) && !self.forced_off(address, node),
            Operation::Allocate { .. } | Operation::Assign { .. } => false,
        });
        let count = unforced.count();
        if count > self.snapshot.budget as usize {
            findings.push(Finding {
                invariant: Invariant::Budget,
                inherited: false,
                owner: None,
                text: format!("{count} unforced moves and releases, of which {} are allowed", self.snapshot.budget),
            });
        }
    }

    pub(super) fn forced_off(&self, address: IpAddr, node_index: NodeIndex) -> bool {
        let down = self.snapshot.node(node_index).is_none_or(|node| node.health == Health::Down);
        let Some((owner, zone)) = self.end.ownership_of(address) else {
            return true;
        };
        let Some(pool) = self.snapshot.owner(owner).map(|owner| owner.pool) else {
            return true;
        };
        down || !self.may_carry(pool, zone, node_index)
    }

    fn may_carry(&self, pool: PoolIndex, zone: Option<ZoneIndex>, node: NodeIndex) -> bool {
        let may_leave = zone.and_then(|zone| self.snapshot.zone(zone)).is_none_or(|zone| zone.may_leave);
        self.snapshot
            .zones_of(pool)
            .filter(|(index, _)| may_leave || Some(*index) == zone)
            .any(|(_, zone)| zone.nodes.binary_search(&node).is_ok())
    }

    fn holder_name(&self, address: IpAddr) -> String {
        match self.base.holders_of(address).first().map(|holding| holding.holder) {
            Some(Holder::Owner(owner)) => self.snapshot.owner_name(owner),
            Some(Holder::Leaving(index)) => {
                self.snapshot.leaving.get(index as usize).map_or_else(String::new, |leaving| leaving.name.to_string())
            }
            None => String::new(),
        }
    }

    fn place(&self, pool: &Pool, zone: Option<ZoneIndex>) -> String {
        let zone = zone.and_then(|zone| self.snapshot.zone(zone)).map(|zone| format!(", zone {}", zone.name));
        format!("pool {}{}", pool.name, zone.unwrap_or_default())
    }

    pub(super) fn finding(&self, invariant: Invariant, owner: OwnerIndex, mut text: String) -> Finding {
        let name: Option<OwnerName> = self.snapshot.owner(owner).map(|owner| owner.name.clone());
        if let Some(name) = &name {
            text = format!("{name}: {text}");
        }
        Finding { invariant, inherited: false, owner: name, text }
    }
}

type Crowds = BTreeMap<(OwnerIndex, NodeIndex), u32>;

fn is_allocation(operation: &Operation) -> bool {
    matches!(operation, Operation::Allocate { .. })
}

fn inside(ranges: &[IpNet], address: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(&address))
}

/// Addresses that a node carries, by family.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) ipv4: u32,
    pub(crate) ipv6: u32,
}

impl Load {
    pub(crate) fn total(self) -> u32 {
        self.ipv4 + self.ipv6
    }
}

/// How many addresses each node carries.
pub(crate) fn loads(state: &EndState) -> BTreeMap<NodeIndex, Load> {
    let mut loads: BTreeMap<NodeIndex, Load> = BTreeMap::new();
    for (address, nodes) in state.carried() {
        for &node in nodes {
            let load = loads.entry(node).or_default();
            match address {
                IpAddr::V4(_) => load.ipv4 += 1,
                IpAddr::V6(_) => load.ipv6 += 1,
            }
        }
    }
    loads
}
