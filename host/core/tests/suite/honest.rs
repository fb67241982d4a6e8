//! The simplest honest policy: the lowest free address, the least loaded node. For tests only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sluice_core::name::{NodeIndex, OwnerIndex, PoolIndex, ZoneIndex};
use sluice_core::plan::{Hold, HoldCode, Holder, Operation, Patch, Plan, Reason};
use sluice_core::snapshot::{Allocation, Health, Node, Phase, Snapshot};

pub(crate) fn plan(snapshot: &Snapshot) -> Plan {
    plan_with(snapshot, 1)
}

/// The same, with so many addresses for each owner in each zone.
pub(crate) fn plan_with(snapshot: &Snapshot, per_zone: usize) -> Plan {
    let mut planner = Planner {
        snapshot,
        per_zone,
        plan: Plan { generation: snapshot.generation, ..Plan::default() },
        taken: snapshot.occupied.iter().copied().collect(),
        carried: BTreeMap::new(),
        in_flight: BTreeSet::new(),
        load: snapshot.nodes.iter().map(|node| node.other_load as usize).collect(),
        budget: snapshot.budget,
        used: BTreeMap::new(),
    };
    for owner in &snapshot.owners {
        for zone in owner.allocations.iter().filter_map(|allocation| allocation.zone) {
            *planner.used.entry(zone).or_default() += 1;
        }
        planner.taken.extend(owner.allocations.iter().map(|allocation| allocation.address));
    }
    for assignment in &snapshot.assignments {
        planner.carried.insert(assignment.address, assignment.node);
        if assignment.phase != Phase::Settled {
            planner.in_flight.insert(assignment.address);
        }
        planner.load[assignment.node.position()] += 1;
    }
    for position in 0..snapshot.owners.len() {
        planner.serve(OwnerIndex::at(position));
    }
    planner.plan
}

struct Planner<'a> {
    snapshot: &'a Snapshot,
    per_zone: usize,
    plan: Plan,
    taken: BTreeSet<IpAddr>,
    carried: BTreeMap<IpAddr, NodeIndex>,
    in_flight: BTreeSet<IpAddr>,
    load: Vec<usize>,
    budget: u32,
    /// Addresses of each zone that are held, or given now.
    used: BTreeMap<ZoneIndex, u32>,
}

impl Planner<'_> {
    fn serve(&mut self, index: OwnerIndex) {
        let owner = self.snapshot.owner(index).expect("in bounds");
        let mut held = owner.allocations.clone();
        let refused = !self.request(index, &mut held);
        let zones = self.snapshot.zones_of(owner.pool).map(|(zone, _)| zone);
        let places: Vec<ZoneIndex> = zones.flat_map(|zone| std::iter::repeat_n(zone, self.per_zone)).collect();
        for zone in places.into_iter().filter(|_| !refused) {
            let enough = owner.wanted.is_some_and(|wanted| held.len() >= wanted as usize);
            if enough || held.iter().filter(|allocation| allocation.zone == Some(zone)).count() >= self.per_zone {
                continue;
            }
            let share = self.snapshot.zone(zone).and_then(|zone| zone.share);
            if share.is_some_and(|share| self.used.get(&zone).copied().unwrap_or_default() >= share) {
                self.hold(index, Some(zone), HoldCode::Share);
                continue;
            }
            match self.lowest(owner.pool, zone) {
                Some(address) => {
                    self.taken.insert(address);
                    *self.used.entry(zone).or_default() += 1;
                    held.push(Allocation::settled(address, Some(zone)));
                    self.patch(Operation::Allocate { owner: index, zone: Some(zone), address }, Reason::Wanted);
                }
                None => self.hold(index, Some(zone), HoldCode::Exhausted),
            }
        }
        if !self.snapshot.pool(owner.pool).expect("in bounds").is_self_placing() {
            self.place(index, owner.pool, &held);
        }
    }

    /// Meets a request; false if the owner has to wait.
    fn request(&mut self, index: OwnerIndex, held: &mut Vec<Allocation>) -> bool {
        let owner = self.snapshot.owner(index).expect("in bounds");
        if owner.requested.iter().all(|address| held.iter().any(|a| a.address == *address)) {
            return true;
        }
        let mut homes = Vec::new();
        for &address in &owner.requested {
            let own = owner.allocations.iter().find(|allocation| allocation.address == address);
            let home = own.map(|own| own.zone).or_else(|| self.home(owner.pool, address).map(Some));
            let Some(home) = home.filter(|home| !homes.contains(home)) else {
                self.hold(index, None, HoldCode::RequestInvalid);
                return false;
            };
            homes.push(home);
            if own.is_none() && self.in_flight.contains(&address) {
                self.hold(index, None, HoldCode::InFlight);
                return false;
            }
            if own.is_none() && self.taken.contains(&address) {
                self.hold(index, None, HoldCode::RequestTaken);
                return false;
            }
        }
        let wanted = |a: &Allocation| owner.requested.contains(&a.address);
        let replaced: Vec<Allocation> =
            held.iter().copied().filter(|a| !wanted(a) && homes.contains(&a.zone)).collect();
        if replaced.len() > self.budget as usize {
            self.hold(index, None, HoldCode::Budget);
            return false;
        }
        for Allocation { address, .. } in replaced {
            self.budget -= 1;
            held.retain(|a| a.address != address);
            self.patch(Operation::Release { holder: Some(Holder::Owner(index)), address }, Reason::Requested);
        }
        for (&address, zone) in owner.requested.iter().zip(homes) {
            if !held.iter().any(|a| a.address == address) {
                self.taken.insert(address);
                held.push(Allocation::settled(address, zone));
                self.patch(Operation::Allocate { owner: index, zone, address }, Reason::Requested);
            }
        }
        true
    }

    /// Of a pool-wide range addresses are at home where the first zones have none, for want of a better idea.
    fn home(&self, pool: PoolIndex, address: IpAddr) -> Option<ZoneIndex> {
        let facts = self.snapshot.pool(pool)?;
        if facts.reserved.iter().any(|net| net.contains(&address)) {
            return None;
        }
        let inside = |ranges: &[ipnet::IpNet]| ranges.iter().any(|range| range.contains(&address));
        self.snapshot.zones_of(pool).find(|(_, zone)| inside(&zone.ranges) || inside(&facts.ranges)).map(|(z, _)| z)
    }

    fn lowest(&self, pool: PoolIndex, zone: ZoneIndex) -> Option<IpAddr> {
        let facts = self.snapshot.pool(pool)?;
        let ranges = facts.ranges.iter().chain(&self.snapshot.zone(zone)?.ranges);
        let mut all = ranges.flat_map(|range| range.subnets(range.max_prefix_len()).expect("longer")).map(|n| n.addr());
        let free = |a: &IpAddr| !self.taken.contains(a) && !facts.reserved.iter().any(|net| net.contains(a));
        let stale = |a: &IpAddr| self.carried.contains_key(a);
        let settled = |a: &IpAddr| !self.in_flight.contains(a);
        all.clone().find(|a| free(a) && !stale(a)).or_else(|| all.find(|a| free(a) && settled(a)))
    }

    fn place(&mut self, index: OwnerIndex, pool: PoolIndex, held: &[Allocation]) {
        for allocation in held {
            let address = allocation.address;
            let now = self.carried.get(&address).copied();
            if self.in_flight.contains(&address) {
                self.hold(index, allocation.zone, HoldCode::InFlight);
                continue;
            }
            let others: BTreeSet<NodeIndex> = held
                .iter()
                .filter(|other| other.address != address)
                .filter_map(|other| self.carried.get(&other.address).copied())
                .collect();
            let fits = |node: &NodeIndex| self.may_carry(pool, allocation.zone, *node) && !others.contains(node);
            let works = |node: &NodeIndex| self.snapshot.node(*node).is_some_and(|n| n.health != Health::Down);
            if now.is_some_and(|node| fits(&node) && works(&node)) {
                continue;
            }
            let of_family = |index: &NodeIndex| {
                let all = self.carried.iter().filter(|(_, on)| *on == index);
                all.filter(|(other, _)| other.is_ipv4() == address.is_ipv4()).count()
            };
            let has_room = |index: &NodeIndex, node: &Node| {
                let family = if address.is_ipv4() { node.capacity.ipv4 } else { node.capacity.ipv6 };
                node.capacity.total.is_none_or(|most| self.load[index.position()] < (most + node.other_load) as usize)
                    && family.is_none_or(|most| of_family(index) < most as usize)
            };
            let healthy = |index: &NodeIndex| {
                let node = self.snapshot.node(*index);
                node.is_some_and(|node| node.health == Health::Healthy && has_room(index, node))
            };
            let nodes = (0..self.snapshot.nodes.len()).map(NodeIndex::at);
            let best = nodes.filter(|node| fits(node) && healthy(node)).min_by_key(|node| self.load[node.position()]);
            let Some(target) = best else {
                self.hold(index, allocation.zone, HoldCode::NoNode);
                // A stale address is worth taking only where it may stay.
                let owner = self.snapshot.owner(index).expect("in bounds");
                if let Some(node) = now.filter(|_| !owner.allocations.contains(allocation)) {
                    self.carried.remove(&address);
                    self.patch(Operation::Unassign { address, node }, Reason::NodeIneligible);
                }
                continue;
            };
            let forced = now.is_none_or(|node| !works(&node) || !self.may_carry(pool, allocation.zone, node));
            if !forced && self.budget == 0 {
                self.hold(index, allocation.zone, HoldCode::Budget);
                continue;
            }
            self.budget -= u32::from(!forced);
            self.carried.insert(address, target);
            self.load[target.position()] += 1;
            match now {
                Some(source) => {
                    self.load[source.position()] -= 1;
                    self.patch(Operation::Move { address, source, target }, Reason::NodeDown);
                }
                None => self.patch(Operation::Assign { address, node: target }, Reason::Wanted),
            }
        }
    }

    fn may_carry(&self, pool: PoolIndex, home: Option<ZoneIndex>, node: NodeIndex) -> bool {
        let leaves = home.and_then(|home| self.snapshot.zone(home)).is_none_or(|zone| zone.may_leave);
        let mut zones = self.snapshot.zones_of(pool).filter(|(zone, _)| leaves || Some(*zone) == home);
        zones.any(|(_, zone)| zone.nodes.contains(&node))
    }

    fn patch(&mut self, operation: Operation, reason: Reason) {
        self.plan.patches.push(Patch { operation, reason, text: String::new(), by_host: false });
    }

    fn hold(&mut self, owner: OwnerIndex, zone: Option<ZoneIndex>, code: HoldCode) {
        self.plan.holds.push(Hold { owner, zone, code, text: String::new() });
    }
}
