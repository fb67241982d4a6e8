//! The rules that every plan keeps, judged from the snapshot and the plan alone.

use std::collections::{BTreeMap, BTreeSet};

use sluice_policy_sdk::{
    Assignment, Family, Health, HoldCode, IpAddress, Operation, Phase, PlacementMode, Plan, Reason, Snapshot,
};

/// A snapshot and a plan, looked at from all sides.
pub(crate) struct Case<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) plan: &'a Plan,
    /// Who holds what once the plan is done, with the home zone.
    pub(crate) held: BTreeMap<IpAddress, (u32, Option<u32>)>,
    /// What nodes carry once it is done: addresses under way count on all their nodes, stale ones, too.
    pub(crate) carried: BTreeSet<(IpAddress, u32)>,
    /// What the plan allocates and releases.
    pub(crate) allocated: BTreeSet<IpAddress>,
    pub(crate) released: BTreeMap<IpAddress, Reason>,
}

impl<'a> Case<'a> {
    /// Carries the plan out, and checks on the way that its patches make sense.
    pub(crate) fn new(snapshot: &'a Snapshot, plan: &'a Plan) -> Self {
        assert_eq!(plan.generation, snapshot.generation);
        let holders = (0..).zip(&snapshot.owners);
        let held = holders.flat_map(|(i, o)| o.allocations.iter().map(move |a| (a.address, (i, a.zone)))).collect();
        let carried = snapshot.assignments.iter().map(|a| (a.address, a.node)).collect();
        let (allocated, released) = (BTreeSet::new(), BTreeMap::new());
        let mut case = Self { snapshot, plan, held, carried, allocated, released };
        for patch in &plan.patches {
            match &patch.operation {
                Operation::Allocate(to) => {
                    let taken = case.held.insert(to.address, (to.owner, to.zone));
                    assert_eq!(taken, None, "unique: {} is held already", to.address);
                    assert!(case.allocated.insert(to.address));
                }
                Operation::Release(address) => {
                    assert!(case.held.remove(address).is_some(), "{address} is not held");
                    assert!(!case.allocated.contains(address), "{address} comes and goes");
                    case.carried.retain(|(carried, _)| carried != address);
                    case.released.insert(*address, patch.reason);
                }
                _ => {}
            }
        }
        case.replay_placing();
        case
    }

    fn replay_placing(&mut self) {
        let mut placed = BTreeSet::new();
        for patch in &self.plan.patches {
            let (address, source, target) = match &patch.operation {
                Operation::Allocate(_) | Operation::Release(_) => continue,
                Operation::Assign(at) => (at.address, None, Some(at.node)),
                Operation::Unassign(at) => (at.address, Some(at.node), None),
                Operation::Move(to) => (to.address, Some(to.source), Some(to.target)),
            };
            assert!(placed.insert(address), "{address} is placed twice");
            assert!(self.held.contains_key(&address), "{address} has no owner");
            match source {
                Some(source) => assert!(self.carried.remove(&(address, source))),
                None => assert!(self.carriers(address).is_empty(), "unique: {address} sits on a node"),
            }
            self.carried.extend(target.map(|target| (address, target)));
        }
    }

    pub(crate) fn carriers(&self, address: IpAddress) -> Vec<u32> {
        self.carried.iter().filter(|(carried, _)| *carried == address).map(|(_, node)| *node).collect()
    }

    pub(crate) fn settled(&self, address: IpAddress) -> bool {
        let mut of = self.snapshot.assignments.iter().filter(|a| a.address == address);
        of.all(|assignment| assignment.phase == Phase::Settled)
    }

    /// The nodes that may carry an address, whatever their health.
    pub(crate) fn reach(&self, owner: u32, zone: Option<u32>) -> BTreeSet<u32> {
        let zones = &self.snapshot.zones;
        let pool = self.snapshot.owners[owner as usize].pool;
        let home = zone.map(|zone| &zones[zone as usize]).filter(|zone| !zone.may_leave);
        match home {
            Some(zone) => zone.nodes.iter().copied().collect(),
            None => zones.iter().filter(|z| z.pool == pool).flat_map(|z| z.nodes.clone()).collect(),
        }
    }

    /// Whether the plan would release it, if it could.
    pub(crate) fn is_surplus(&self, address: IpAddress) -> bool {
        let text = format!("{address} is to be released");
        self.plan.holds.iter().any(|hold| hold.text == text)
    }

    /// Why an address cannot be served at all: there is no node without a sibling, or such nodes are full.
    pub(crate) fn full(&self, address: IpAddress) -> HoldCode {
        let (owner, zone) = self.held[&address];
        let sibling = |other: &IpAddress| *other != address && self.held.get(other).is_some_and(|held| held.0 == owner);
        let apart = |node: &u32| !self.carried.iter().any(|(other, at)| at == node && sibling(other));
        let mut nodes = self.reach(owner, zone).into_iter();
        let some = nodes.any(|node| self.health(node) == Health::Healthy && apart(&node));
        if some { HoldCode::NoCapacity } else { HoldCode::NoNode }
    }

    pub(crate) fn health(&self, node: u32) -> Health {
        self.snapshot.nodes[node as usize].health
    }

    pub(crate) fn load(&self, node: u32, family: Option<Family>) -> u32 {
        let of = |address: IpAddress| family.is_none_or(|family| family == address.family());
        let carried = self.carried.iter().filter(|(address, at)| *at == node && of(*address));
        u32::try_from(carried.count()).unwrap()
    }

    pub(crate) fn check_all(&self) {
        self.allocations_are_in_their_pools();
        self.placements_are_sound();
        self.the_budget_is_kept();
        self.what_the_network_chose_stays();
        self.reasons_are_true();
        self.nothing_in_flight_is_touched();
        self.everyone_is_served_or_held();
        self.holds_are_about_something();
    }

    fn allocations_are_in_their_pools(&self) {
        for address in &self.allocated {
            let (owner, zone) = self.held[address];
            let zone = &self.snapshot.zones[zone.expect("a home zone") as usize];
            let pool = &self.snapshot.pools[zone.pool as usize];
            assert_eq!(self.snapshot.owners[owner as usize].pool, zone.pool, "in-pool: foreign zone");
            let ranges = if pool.ranges.is_empty() { &zone.ranges } else { &pool.ranges };
            assert!(ranges.iter().any(|range| range.contains(*address)), "in-pool: {address}");
            assert!(!pool.reserved.iter().any(|range| range.contains(*address)), "in-pool: {address} is reserved");
            assert!(!self.snapshot.occupied.contains(address), "in-pool: {address} is occupied");
            let home = self.held[address].1;
            let before = self.snapshot.owners.iter().flat_map(|owner| &owner.allocations);
            let before = before.filter(|allocation| allocation.zone == home).count();
            let after = self.held.values().filter(|(_, zone)| *zone == home).count();
            assert!(zone.share.is_none_or(|share| after <= before.max(share as usize)), "share");
        }
    }

    fn placements_are_sound(&self) {
        for patch in &self.plan.patches {
            let (address, target) = match &patch.operation {
                Operation::Assign(at) => (at.address, at.node),
                Operation::Move(to) => (to.address, to.target),
                Operation::Unassign(_) | Operation::Allocate(_) | Operation::Release(_) => continue,
            };
            let (owner, zone) = self.held[&address];
            let pool = self.snapshot.owners[owner as usize].pool;
            assert_ne!(self.snapshot.pools[pool as usize].placement, PlacementMode::Network, "a self-placing pool");
            assert_eq!(self.health(target), Health::Healthy, "eligible: {address}");
            assert!(self.reach(owner, zone).contains(&target), "eligible: {address} is too far away");
            let capacity = self.snapshot.nodes[target as usize].capacity;
            let limits = [(None, capacity.total), (Some(Family::V4), capacity.ipv4), (Some(Family::V6), capacity.ipv6)];
            for (family, limit) in limits {
                if family.is_none_or(|family| family == address.family()) {
                    assert!(limit.is_none_or(|limit| self.load(target, family) <= limit), "capacity: {target}");
                }
            }
            let together = self.carried.iter().filter(|(other, node)| {
                *node == target && self.held.get(other).is_some_and(|(holder, _)| *holder == owner)
            });
            assert_eq!(together.count(), 1, "eligible: two addresses of owner {owner} on node {target}");
        }
    }

    /// Whether an address may stay where it is.
    pub(crate) fn fits(&self, address: IpAddress, node: u32) -> bool {
        let (owner, zone) = self.home(address);
        self.health(node) != Health::Down && self.reach(owner, zone).contains(&node)
    }

    /// Owner and home zone, also of an address that the plan releases.
    fn home(&self, address: IpAddress) -> (u32, Option<u32>) {
        let before = (0..).zip(&self.snapshot.owners).find_map(|(index, owner)| {
            let allocation = owner.allocations.iter().find(|a| a.address == address)?;
            Some((index, allocation.zone))
        });
        before.unwrap_or_else(|| self.held[&address])
    }

    fn the_budget_is_kept(&self) {
        let unforced = self.plan.patches.iter().filter(|patch| match &patch.operation {
            Operation::Release(_) => true,
            Operation::Move(to) => self.fits(to.address, to.source),
            Operation::Unassign(at) => self.fits(at.address, at.node),
            Operation::Allocate(_) | Operation::Assign(_) => false,
        });
        assert!(unforced.count() <= self.snapshot.budget as usize, "budget");
    }

    fn what_the_network_chose_stays(&self) {
        for patch in &self.plan.patches {
            let (address, node) = match &patch.operation {
                Operation::Move(to) => (to.address, to.source),
                Operation::Unassign(at) => (at.address, at.node),
                _ => continue,
            };
            let Some((owner, _)) = self.held.get(&address) else { continue };
            let pool = self.snapshot.owners[*owner as usize].pool;
            let is_among = self.snapshot.pools[pool as usize].placement == PlacementMode::Among;
            assert!(!(is_among && self.fits(address, node)), "{address} has to stay on {node}");
        }
    }

    fn reasons_are_true(&self) {
        for patch in &self.plan.patches {
            match &patch.operation {
                Operation::Move(to) => {
                    let expected = match self.health(to.source) {
                        Health::Down => vec![Reason::NodeDown],
                        _ if !self.fits(to.address, to.source) => vec![Reason::NodeIneligible],
                        _ => vec![Reason::MakeRoom, Reason::OverCapacity, Reason::Other],
                    };
                    assert!(expected.contains(&patch.reason), "stable: {patch:?}");
                }
                Operation::Release(address) => {
                    let owner = &self.snapshot.owners[self.home(*address).0 as usize];
                    assert!(!owner.requested.contains(address), "stable: {patch:?} was asked for");
                    match patch.reason {
                        Reason::Surplus => {}
                        Reason::Requested => {
                            let granted = owner.requested.iter().any(|wish| self.allocated.contains(wish));
                            assert!(granted, "stable: {patch:?} for nothing");
                        }
                        _ => panic!("stable: {patch:?}"),
                    }
                }
                Operation::Unassign(_) => panic!("never planned: {patch:?}"),
                Operation::Allocate(_) | Operation::Assign(_) => {
                    assert!(matches!(patch.reason, Reason::Wanted | Reason::Requested));
                }
            }
        }
    }

    fn nothing_in_flight_is_touched(&self) {
        for patch in &self.plan.patches {
            let address = match &patch.operation {
                Operation::Allocate(to) => to.address,
                Operation::Release(address) => *address,
                Operation::Assign(at) | Operation::Unassign(at) => at.address,
                Operation::Move(to) => to.address,
            };
            assert!(self.settled(address), "{patch:?} is in flight");
        }
    }

    fn is_held_back(&self, owner: u32, zone: Option<u32>) -> bool {
        self.plan.holds.iter().any(|hold| hold.owner == owner && (hold.zone == zone || hold.zone.is_none()))
    }

    fn everyone_is_served_or_held(&self) {
        for (address, (owner, zone)) in &self.held {
            let pool = self.snapshot.owners[*owner as usize].pool;
            let carriers = self.carriers(*address);
            let leaving = |node: &u32| {
                let gone = Assignment { address: *address, node: *node, phase: Phase::Leaving };
                self.snapshot.assignments.contains(&gone)
            };
            let served = carriers.iter().any(|node| self.fits(*address, *node) && !leaving(node));
            let self_placing = self.snapshot.pools[pool as usize].placement == PlacementMode::Network;
            assert!(served || self_placing || self.is_held_back(*owner, *zone), "{address} is forgotten");
        }
        for (index, owner) in (0..).zip(&self.snapshot.owners) {
            if owner.wanted.is_some() || self.held.values().any(|held| *held == (index, None)) {
                continue;
            }
            for (zone_index, zone) in (0..).zip(&self.snapshot.zones).filter(|(_, zone)| zone.pool == owner.pool) {
                for family in crate::world::families(self.snapshot, zone) {
                    let mut held = self.held.iter();
                    let home = (index, Some(zone_index));
                    let has = held.any(|(address, held)| *held == home && address.family() == family);
                    assert!(has || self.is_held_back(index, Some(zone_index)), "zone {zone_index} is forgotten");
                }
            }
        }
    }

    fn holds_are_about_something(&self) {
        for hold in &self.plan.holds {
            let owner = &self.snapshot.owners[hold.owner as usize];
            match hold.code {
                HoldCode::Exhausted => self.assert_exhausted(hold.zone.unwrap()),
                HoldCode::Share => {
                    let used = |zone| self.held.values().filter(|held| held.1 == Some(zone)).count();
                    let zones = (0..).zip(&self.snapshot.zones).filter(|(_, zone)| zone.pool == owner.pool);
                    let mut full = zones.filter(|(i, zone)| {
                        hold.zone.is_none_or(|hold| hold == *i) && {
                            let coming = owner.requested.len() * usize::from(hold.zone.is_none());
                            zone.share.is_some_and(|share| used(*i) + coming + self.released.len() >= share as usize)
                        }
                    });
                    assert!(full.next().is_some(), "{hold:?}");
                }
                HoldCode::RequestInvalid | HoldCode::RequestTaken => {
                    assert!(!owner.requested.is_empty());
                    let new = self.allocated.iter().filter(|address| self.held[*address].0 == hold.owner);
                    assert_eq!(new.count(), 0, "a refused owner gets something new");
                }
                HoldCode::InFlight => {
                    assert!(self.snapshot.assignments.iter().any(|a| a.phase != Phase::Settled));
                }
                HoldCode::NoNode | HoldCode::NoCapacity | HoldCode::Budget => {}
                HoldCode::Other => panic!("{hold:?}"),
            }
        }
    }

    /// No address is left that the zone could hand out.
    fn assert_exhausted(&self, zone: u32) {
        let zone = &self.snapshot.zones[zone as usize];
        let pool = &self.snapshot.pools[zone.pool as usize];
        let ranges = if pool.ranges.is_empty() { &zone.ranges } else { &pool.ranges };
        let all = |family: Family| {
            let mut addresses =
                ranges.iter().filter(|r| r.family() == family).flat_map(sluice_policy_sdk::Cidr::addresses);
            addresses.all(|address| {
                pool.reserved.iter().any(|range| range.contains(address))
                    || self.held.contains_key(&address)
                    || self.released.contains_key(&address)
                    || self.snapshot.occupied.contains(&address)
                    || self.snapshot.owners.iter().any(|owner| owner.requested.contains(&address))
                    || !self.settled(address)
            })
        };
        assert!(Family::ALL.into_iter().any(all), "honest-hold: {} is not exhausted", zone.name);
    }
}
