//! A policy that fills few nodes: an address goes to the node that carries most and still has room.
//!
//! Every owner gets one address in each zone. Nothing that works is ever moved or released, so the policy needs
//! no budget; and no request is granted. It is a small, but complete example: one pass over the owners by name.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sluice_policy_sdk::{
    Allocate, Allocation, Assignment, Attribute, Cidr, Description, Family, Health, Hold, HoldCode, Index, IpAddress,
    Node, Operation, Owner, Patch, Phase, Placement, PlacementMode, Plan, PlanError, Policy, Reason, Relocation,
    Snapshot, log,
};

/// The policy `pack`.
#[derive(Clone, Copy, Debug)]
pub struct Pack;

/// There is nothing to set.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

impl Policy for Pack {
    type Settings = Settings;

    fn describe() -> Description {
        Description {
            name: "pack".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Gives every owner an address in each zone, on as few nodes as possible.".to_owned(),
            settings_schema: r#"{"type":"object","additionalProperties":false}"#.to_owned(),
            attributes: vec![Attribute::labels_unused()],
        }
    }

    fn plan(snapshot: &Snapshot, _: &Settings) -> Result<Plan, PlanError> {
        let mut packing = Packing::new(snapshot)?;
        let mut owners: Vec<(Index, &Owner)> = (0..).zip(&snapshot.owners).collect();
        owners.sort_by_key(|(_, owner)| &owner.name);
        for (index, owner) in owners {
            packing.serve(index, owner)?;
        }
        log::info(&format!("{} patches, {} holds", packing.plan.patches.len(), packing.plan.holds.len()));
        Ok(packing.plan)
    }
}

sluice_policy_sdk::export!(Pack);

/// The work of one call.
struct Packing<'a> {
    snapshot: &'a Snapshot,
    /// Addresses that are not to be handed out.
    taken: BTreeSet<IpAddress>,
    carried: BTreeMap<IpAddress, Vec<&'a Assignment>>,
    /// By node: in all, IPv4 and IPv6.
    loads: Vec<[u32; 3]>,
    /// For each zone how many addresses are held there.
    held: Vec<u32>,
    /// Below this number no address of the zone is free.
    lowest: BTreeMap<(Index, Family), u128>,
    /// The nodes of each zone and of each pool, by name.
    near: Vec<Rc<[Index]>>,
    wide: Vec<Rc<[Index]>>,
    plan: Plan,
}

impl<'a> Packing<'a> {
    fn new(snapshot: &'a Snapshot) -> Result<Self, PlanError> {
        let of_pool = |pool| snapshot.zones.iter().filter(move |zone| zone.pool == pool).flat_map(|zone| &zone.nodes);
        let mut packing = Self {
            snapshot,
            lowest: BTreeMap::new(),
            near: snapshot.zones.iter().map(|zone| by_name(snapshot, &zone.nodes)).collect(),
            wide: (0..).zip(&snapshot.pools).map(|(pool, _)| by_name(snapshot, of_pool(pool))).collect(),
            taken: snapshot.occupied.iter().copied().collect(),
            carried: BTreeMap::new(),
            loads: vec![[0; 3]; snapshot.nodes.len()],
            held: vec![0; snapshot.zones.len()],
            plan: Plan::answering(snapshot),
        };
        for assignment in &snapshot.assignments {
            packing.taken.insert(assignment.address);
            packing.carried.entry(assignment.address).or_default().push(assignment);
            packing.load(assignment.node, assignment.address.family(), 1)?;
        }
        for allocation in snapshot.owners.iter().flat_map(|owner| &owner.allocations) {
            packing.taken.insert(allocation.address);
            if let Some(zone) = allocation.zone {
                *packing.held.get_mut(zone as usize).ok_or_else(broken)? += 1;
            }
        }
        Ok(packing)
    }

    fn serve(&mut self, index: Index, owner: &Owner) -> Result<(), PlanError> {
        let mut held = owner.allocations.clone();
        let granted = |wish: &IpAddress| owner.allocations.iter().any(|a| a.address == *wish);
        if owner.requested.iter().all(granted) {
            self.allocate(index, owner, &mut held)?;
        } else {
            self.hold(index, None, HoldCode::Other, "pack grants no requests");
        }
        if self.snapshot.pools.get(owner.pool as usize).is_some_and(|pool| pool.placement == PlacementMode::Network) {
            return Ok(());
        }
        let carriers = held.iter().filter_map(|held| self.carried.get(&held.address)).flatten();
        let mut used: BTreeSet<Index> = carriers.map(|at| at.node).collect();
        for held in &held {
            self.place(index, owner, held, &mut used)?;
        }
        Ok(())
    }

    /// Gives the owner what it lacks: one address of each family in each zone, or as many as it wants.
    fn allocate(&mut self, index: Index, owner: &Owner, held: &mut Vec<Allocation>) -> Result<(), PlanError> {
        let pool = self.snapshot.pools.get(owner.pool as usize).ok_or_else(broken)?;
        for family in Family::ALL {
            let mut missing = owner.wanted.map_or(usize::MAX, |wanted| wanted as usize);
            missing = missing.saturating_sub(held.iter().filter(|held| held.address.family() == family).count());
            for (zone, home) in (0..).zip(&self.snapshot.zones).filter(|(_, zone)| zone.pool == owner.pool) {
                let ranges = if pool.ranges.is_empty() { &home.ranges } else { &pool.ranges };
                let mut ranges: Vec<&Cidr> = ranges.iter().filter(|range| range.family() == family).collect();
                ranges.sort_unstable_by_key(|range| range.first());
                let mine = |held: &Allocation| held.zone.is_none_or(|at| at == zone) && held.address.family() == family;
                if missing == 0 || ranges.is_empty() || held.iter().any(mine) {
                    continue;
                }
                missing -= 1;
                let lowest = self.lowest.entry((zone, family)).or_default();
                let numbers = ranges.iter().flat_map(|range| range.first().max(*lowest)..=range.last());
                let mut all = numbers.filter_map(|number| IpAddress::from_number(family, number));
                let free = |a: &IpAddress| !self.taken.contains(a) && !pool.reserved.iter().any(|r| r.contains(*a));
                let count = self.held.get_mut(zone as usize).ok_or_else(broken)?;
                if home.share.is_some_and(|share| *count >= share) {
                    self.hold(index, Some(zone), HoldCode::Share, "");
                } else if let Some(address) = all.find(free) {
                    *count += 1;
                    *lowest = address.number();
                    self.taken.insert(address);
                    held.push(Allocation { address, zone: Some(zone) });
                    let allocate = Allocate { owner: index, zone: Some(zone), address };
                    self.patch(Operation::Allocate(allocate), Reason::Wanted);
                } else {
                    self.hold(index, Some(zone), HoldCode::Exhausted, "");
                }
            }
        }
        Ok(())
    }

    /// Finds a node for an address, unless it has one that will do.
    fn place(
        &mut self,
        index: Index,
        owner: &Owner,
        held: &Allocation,
        used: &mut BTreeSet<Index>,
    ) -> Result<(), PlanError> {
        let (address, family) = (held.address, held.address.family());
        let nodes = self.reach(owner, held.zone);
        let health = |node: Index| self.snapshot.nodes.get(node as usize).map(|node| node.health);
        let fits = |node: Index| nodes.contains(&node) && health(node) != Some(Health::Down);
        let source = match self.carried.get(&address).map(Vec::as_slice) {
            None => None,
            Some([at]) if at.phase == Phase::Settled => Some(at.node),
            Some(on_the_way) => {
                let served = |at: &&Assignment| at.phase != Phase::Leaving && fits(at.node);
                if !on_the_way.iter().any(served) {
                    self.hold(index, held.zone, HoldCode::InFlight, "");
                }
                return Ok(());
            }
        };
        let down = source.is_some_and(|node| health(node) == Some(Health::Down));
        if source.is_some_and(fits) {
            return Ok(());
        }
        let free = nodes.iter().copied().filter(|node| health(*node) == Some(Health::Healthy) && !used.contains(node));
        let free: Vec<Index> = free.collect();
        let Some(target) = self.fullest(&free, family) else {
            let code = if free.is_empty() { HoldCode::NoNode } else { HoldCode::NoCapacity };
            self.hold(index, held.zone, code, "");
            return Ok(());
        };
        used.insert(target);
        self.load(target, family, 1)?;
        if let Some(source) = source {
            used.remove(&source);
            self.load(source, family, -1)?;
            let reason = if down { Reason::NodeDown } else { Reason::NodeIneligible };
            self.patch(Operation::Move(Relocation { address, source, target }), reason);
        } else {
            self.patch(Operation::Assign(Placement { address, node: target }), Reason::Wanted);
        }
        Ok(())
    }

    /// The nodes that may carry an address of this home zone.
    fn reach(&self, owner: &Owner, home: Option<Index>) -> Rc<[Index]> {
        let stays = |home: &usize| self.snapshot.zones.get(*home).is_some_and(|zone| !zone.may_leave);
        let near = home.map(|home| home as usize).filter(stays).and_then(|home| self.near.get(home));
        near.or_else(|| self.wide.get(owner.pool as usize)).cloned().unwrap_or_default()
    }

    /// The node that carries most, of those with room for one more; the first of several.
    fn fullest(&self, nodes: &[Index], family: Family) -> Option<Index> {
        let load = |index: Index| {
            let (node, load) = (self.snapshot.nodes.get(index as usize)?, *self.loads.get(index as usize)?);
            has_room(node, load, family).then_some(load.first()?.saturating_add(node.other_load))
        };
        let open = nodes.iter().filter_map(|index| Some((Reverse(load(*index)?), *index)));
        open.min_by_key(|(load, _)| *load).map(|(_, index)| index)
    }

    fn load(&mut self, node: Index, family: Family, change: i32) -> Result<(), PlanError> {
        let [total, v4, v6] = self.loads.get_mut(node as usize).ok_or_else(broken)?;
        let of_family = if family == Family::V4 { v4 } else { v6 };
        (*total, *of_family) = (total.saturating_add_signed(change), of_family.saturating_add_signed(change));
        Ok(())
    }

    fn patch(&mut self, operation: Operation, reason: Reason) {
        self.plan.patches.push(Patch { operation, reason, text: String::new() });
    }

    fn hold(&mut self, owner: Index, zone: Option<Index>, code: HoldCode, text: &str) {
        self.plan.holds.push(Hold { owner, zone, code, text: text.to_owned() });
    }
}

fn by_name<'a>(snapshot: &Snapshot, nodes: impl IntoIterator<Item = &'a Index>) -> Rc<[Index]> {
    let mut nodes: Vec<Index> = nodes.into_iter().copied().collect();
    nodes.sort_unstable_by_key(|node| (snapshot.nodes.get(*node as usize).map(|node| &node.name), *node));
    nodes.dedup();
    nodes.into()
}

fn has_room(node: &Node, [total, v4, v6]: [u32; 3], family: Family) -> bool {
    let below = |load: u32, limit: Option<u32>| limit.is_none_or(|limit| load < limit);
    let (v4, v6) = (below(v4, node.capacity.ipv4), below(v6, node.capacity.ipv6));
    below(total, node.capacity.total) && if family == Family::V4 { v4 } else { v6 }
}

fn broken() -> PlanError {
    PlanError::Internal("malformed snapshot: an index is out of bounds".to_owned())
}
