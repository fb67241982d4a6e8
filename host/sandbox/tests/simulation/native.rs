//! A small native policy: one address in each zone, on the least loaded node that may carry it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use sluice_core::name::{NodeIndex, OwnerIndex, PoolIndex, ZoneIndex};
use sluice_core::plan::{Hold, HoldCode, Operation, Patch, Plan, Reason};
use sluice_core::snapshot::{Health, Owner, Snapshot};

/// Plans.
pub(crate) fn plan(snapshot: &Snapshot) -> Plan {
    let mut planner = Planner::new(snapshot);
    let requests = planner.requests();
    for (position, owner) in snapshot.owners.iter().enumerate() {
        planner.allocate(OwnerIndex::at(position), owner, requests.get(&position));
    }
    planner.place();
    planner.plan
}

struct Planner<'a> {
    snapshot: &'a Snapshot,
    plan: Plan,
    budget: u32,
    used: BTreeSet<IpAddr>,
    /// What everybody holds in the end.
    held: BTreeMap<(OwnerIndex, IpAddr), Option<ZoneIndex>>,
}

impl<'a> Planner<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let allocations = snapshot.owners.iter().flat_map(|owner| owner.allocations.iter().map(|a| a.address));
        let mut used: BTreeSet<IpAddr> = allocations.collect();
        used.extend(&snapshot.occupied);
        used.extend(snapshot.assignments.iter().map(|assignment| assignment.address));
        let held = snapshot.owners.iter().enumerate().flat_map(|(position, owner)| {
            owner.allocations.iter().map(move |a| ((OwnerIndex::at(position), a.address), a.zone))
        });
        let plan = Plan { generation: snapshot.generation, ..Plan::default() };
        Self { snapshot, plan, budget: snapshot.budget, used, held: held.collect() }
    }

    fn patch(&mut self, operation: Operation, reason: Reason) {
        self.plan.patches.push(Patch { operation, reason, text: String::new(), by_host: false });
    }

    fn hold(&mut self, owner: OwnerIndex, zone: Option<ZoneIndex>, code: HoldCode) {
        self.plan.holds.push(Hold { owner, zone, code, text: String::new() });
    }

    fn zone_of_request(&self, owner: &Owner, address: IpAddr) -> Option<ZoneIndex> {
        let inside = |ranges: &[IpNet]| ranges.iter().any(|range| range.contains(&address));
        self.snapshot.zones_of(owner.pool).find(|(_, zone)| inside(&zone.ranges)).map(|(index, _)| index)
    }

    /// Requests that can be met, by position of their owner. The others are held.
    fn requests(&mut self) -> BTreeMap<usize, Option<Vec<(ZoneIndex, IpAddr)>>> {
        let mut granted = BTreeMap::new();
        let mut taken: BTreeSet<IpAddr> = BTreeSet::new();
        for (position, owner) in self.snapshot.owners.iter().enumerate().filter(|(_, o)| !o.requested.is_empty()) {
            let index = OwnerIndex::at(position);
            let own: Vec<IpAddr> = owner.allocations.iter().map(|a| a.address).collect();
            let reserved = &self.snapshot.pool(owner.pool).unwrap().reserved;
            let wishes: Option<Vec<_>> = owner
                .requested
                .iter()
                .filter(|&address| own.contains(address) || !reserved.iter().any(|range| range.contains(address)))
                .map(|&address| Some((self.zone_of_request(owner, address)?, address)))
                .collect();
            let zones: BTreeSet<_> = wishes.iter().flatten().map(|(zone, _)| *zone).collect();
            let wishes = wishes.filter(|wishes| zones.len() == wishes.len() && wishes.len() == owner.requested.len());
            let Some(wishes) = wishes else {
                self.hold(index, None, HoldCode::RequestInvalid);
                granted.insert(position, None);
                continue;
            };
            let free = |address: &IpAddr| own.contains(address) || !self.used.contains(address);
            if wishes.iter().any(|(_, address)| !free(address) || taken.contains(address)) {
                self.hold(index, None, HoldCode::RequestTaken);
                granted.insert(position, None);
                continue;
            }
            taken.extend(wishes.iter().map(|(_, address)| *address));
            granted.insert(position, Some(wishes));
        }
        self.used.extend(taken);
        granted
    }

    fn allocate(&mut self, index: OwnerIndex, owner: &Owner, request: Option<&Option<Vec<(ZoneIndex, IpAddr)>>>) {
        // A request that cannot be met keeps what is held, and nothing new is given.
        if owner.wanted.is_some() || request.is_some_and(Option::is_none) {
            return;
        }
        if self.snapshot.zones_of(owner.pool).next().is_none() {
            self.hold(index, None, HoldCode::NoNode);
        }
        let wishes = request.cloned().flatten().unwrap_or_default();
        for (zone, _) in self.snapshot.zones_of(owner.pool) {
            let wish = wishes.iter().find(|(wanted, _)| *wanted == zone).map(|(_, address)| *address);
            let held: Vec<IpAddr> =
                owner.allocations.iter().filter(|a| a.zone == Some(zone)).map(|a| a.address).collect();
            match wish {
                Some(wish) if !held.contains(&wish) => self.replace(index, zone, &held, wish),
                None if held.is_empty() => self.give(index, owner.pool, zone),
                _ => {}
            }
        }
    }

    fn replace(&mut self, index: OwnerIndex, zone: ZoneIndex, held: &[IpAddr], wish: IpAddr) {
        if usize::try_from(self.budget).unwrap() < held.len() {
            self.hold(index, Some(zone), HoldCode::Budget);
            return;
        }
        for &address in held {
            self.budget -= 1;
            let holder = Some(sluice_core::plan::Holder::Owner(index));
            self.patch(Operation::Release { holder, address }, Reason::Requested);
            self.held.remove(&(index, address));
        }
        self.patch(Operation::Allocate { owner: index, zone: Some(zone), address: wish }, Reason::Requested);
        self.held.insert((index, wish), Some(zone));
    }

    fn give(&mut self, index: OwnerIndex, pool: PoolIndex, zone: ZoneIndex) {
        let pool = self.snapshot.pool(pool).unwrap();
        let ranges = &self.snapshot.zone(zone).unwrap().ranges;
        let free = |address: &IpAddr| {
            !self.used.contains(address) && !pool.reserved.iter().any(|range| range.contains(address))
        };
        match ranges.iter().chain(&pool.ranges).flat_map(IpNet::hosts).find(free) {
            Some(address) => {
                self.used.insert(address);
                self.patch(Operation::Allocate { owner: index, zone: Some(zone), address }, Reason::Wanted);
                self.held.insert((index, address), Some(zone));
            }
            None => self.hold(index, Some(zone), HoldCode::Exhausted),
        }
    }

    fn place(&mut self) {
        let mut carrier: BTreeMap<IpAddr, NodeIndex> =
            self.snapshot.assignments.iter().map(|a| (a.address, a.node)).collect();
        let mut load: BTreeMap<NodeIndex, usize> = BTreeMap::new();
        for node in carrier.values() {
            *load.entry(*node).or_default() += 1;
        }
        // First everything that stays, so that nobody is put beside a sibling that moves in later.
        let held = self.held.clone();
        for ((owner, address), zone) in &held {
            let pool = self.snapshot.owner(*owner).unwrap().pool;
            if self.snapshot.pool(pool).unwrap().is_self_placing() {
                let up = |node: &NodeIndex| self.snapshot.node(*node).unwrap().health != Health::Down;
                if !self.nodes(pool, *zone).iter().any(up) {
                    self.hold(*owner, *zone, HoldCode::NoNode);
                }
                continue;
            }
            let eligible = self.nodes(pool, *zone);
            let now = carrier.get(address).copied();
            let stays = now.is_some_and(|node| {
                self.snapshot.node(node).unwrap().health != Health::Down && eligible.contains(&node)
            });
            if stays {
                continue;
            }
            let siblings: BTreeSet<NodeIndex> = held
                .keys()
                .filter(|(other, sibling)| other == owner && sibling != address)
                .filter_map(|(_, sibling)| carrier.get(sibling).copied())
                .collect();
            let home = zone.and_then(|zone| self.snapshot.zone(zone)).map(|zone| &zone.nodes);
            let best = eligible
                .into_iter()
                .filter(|node| self.snapshot.node(*node).unwrap().health == Health::Healthy)
                .filter(|node| !siblings.contains(node))
                .min_by_key(|node| {
                    let away = home.is_some_and(|home| !home.contains(node));
                    (away, load.get(node).copied().unwrap_or(0), *node)
                });
            match (best, now) {
                (None, _) => self.hold(*owner, *zone, HoldCode::NoNode),
                (Some(node), None) => self.patch(Operation::Assign { address: *address, node }, Reason::Wanted),
                (Some(target), Some(source)) => {
                    self.patch(Operation::Move { address: *address, source, target }, Reason::NodeDown);
                }
            }
            if let Some(node) = best {
                carrier.insert(*address, node);
                *load.entry(node).or_default() += 1;
            }
        }
    }

    /// Nodes of the zone, or of the whole pool where the address may leave or its home is unknown.
    fn nodes(&self, pool: PoolIndex, zone: Option<ZoneIndex>) -> BTreeSet<NodeIndex> {
        let may_leave = zone.and_then(|zone| self.snapshot.zone(zone)).is_none_or(|zone| zone.may_leave);
        let zones = self.snapshot.zones_of(pool).filter(|(index, _)| may_leave || Some(*index) == zone);
        zones.flat_map(|(_, zone)| zone.nodes.iter().copied()).collect()
    }
}
