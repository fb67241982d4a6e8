//! What the kinds are made of: finders and changers; none where a plan has no such thing.

use std::net::IpAddr;

use sluice_core::name::{NodeIndex, OwnerIndex, PoolIndex, ZoneIndex};
use sluice_core::plan::{Hold, HoldCode, Operation, Patch, Plan, Reason};
use sluice_core::snapshot::{Capacity, Health, Pool, Snapshot};
use sluice_core::verify::verify;

#[expect(clippy::unnecessary_wraps, reason = "the last expression of most kinds")]
pub(super) fn add(plan: &mut Plan, operation: Operation) -> Option<()> {
    plan.patches.push(Patch { operation, reason: Reason::Other, text: String::new(), by_host: false });
    Some(())
}

#[expect(clippy::unnecessary_wraps, reason = "the last expression of some kinds")]
pub(super) fn hold(plan: &mut Plan, owner: OwnerIndex, zone: Option<ZoneIndex>) -> Option<()> {
    plan.holds.push(Hold { owner, zone, code: HoldCode::Other, text: String::new() });
    Some(())
}

pub(super) fn allocation(plan: &Plan) -> Option<(OwnerIndex, Option<ZoneIndex>, IpAddr)> {
    plan.patches.iter().find_map(|patch| match patch.operation {
        Operation::Allocate { owner, zone, address } => Some((owner, zone, address)),
        _ => None,
    })
}

pub(super) fn each_allocation(plan: &mut Plan, change: impl Fn(&mut Operation)) -> Option<()> {
    plan.patches.iter_mut().for_each(|patch| change(&mut patch.operation));
    allocation(plan).map(|_| ())
}

/// Another address in the first allocation and wherever it goes.
pub(super) fn readdress(plan: &mut Plan, new: IpAddr) -> Option<()> {
    let (_, _, old) = allocation(plan)?;
    for patch in &mut plan.patches {
        match &mut patch.operation {
            Operation::Allocate { address, .. } | Operation::Assign { address, .. } if *address == old => {
                *address = new;
            }
            _ => {}
        }
    }
    Some(())
}

pub(super) fn placing(plan: &Plan) -> Option<(IpAddr, NodeIndex)> {
    plan.patches.iter().find_map(|patch| match patch.operation {
        Operation::Assign { address, node } => Some((address, node)),
        Operation::Move { address, target, .. } => Some((address, target)),
        _ => None,
    })
}

pub(super) fn retarget(plan: &mut Plan, to: impl Fn(IpAddr) -> Option<NodeIndex>) -> Option<()> {
    plan.patches.iter_mut().find_map(|patch| match &mut patch.operation {
        Operation::Assign { address, node: target } | Operation::Move { address, target, .. } => {
            *target = to(*address)?;
            Some(())
        }
        _ => None,
    })
}

pub(super) fn drop_placing(plan: &mut Plan, of: IpAddr) {
    let allocates = |patch: &Patch| matches!(patch.operation, Operation::Allocate { .. } | Operation::Release { .. });
    plan.patches.retain(|patch| patch.operation.address() != of || allocates(patch));
}

/// An address that is held and not released by anybody.
pub(super) fn held(snapshot: &Snapshot) -> Option<(OwnerIndex, IpAddr)> {
    let mut owners = snapshot.owners.iter().enumerate();
    owners.find_map(|(position, owner)| Some((OwnerIndex::at(position), owner.allocations.first()?.address)))
}

pub(super) fn held_by(snapshot: &Snapshot, address: IpAddr) -> Option<OwnerIndex> {
    let holds = |owner: &sluice_core::snapshot::Owner| owner.allocations.iter().any(|held| held.address == address);
    snapshot.owners.iter().position(holds).map(OwnerIndex::at)
}

/// A held address with its node, where placement is planned.
pub(super) fn carried(snapshot: &Snapshot) -> Option<(IpAddr, NodeIndex)> {
    let mut assignments = snapshot.assignments.iter();
    assignments
        .find(|a| held_by(snapshot, a.address).is_some() && !in_self_placing(snapshot, a.address))
        .map(|a| (a.address, a.node))
}

pub(super) fn self_placed(snapshot: &Snapshot) -> Option<(IpAddr, NodeIndex)> {
    let mut assignments = snapshot.assignments.iter();
    assignments
        .find(|a| held_by(snapshot, a.address).is_some() && in_self_placing(snapshot, a.address))
        .map(|a| (a.address, a.node))
}

pub(super) fn in_self_placing(snapshot: &Snapshot, address: IpAddr) -> bool {
    let pool = held_by(snapshot, address).and_then(|owner| snapshot.owner(owner)).and_then(|o| snapshot.pool(o.pool));
    pool.is_some_and(Pool::is_self_placing)
}

/// A held address that sits where it should, and that the plan leaves alone.
pub(super) fn settled(snapshot: &Snapshot, plan: &Plan) -> Option<(IpAddr, NodeIndex)> {
    let (address, node) = carried(snapshot)?;
    let owner = snapshot.owner(held_by(snapshot, address)?)?;
    let home = owner.allocations.iter().find(|held| held.address == address)?.zone?;
    let fits = snapshot.zone(home)?.nodes.contains(&node) && snapshot.node(node)?.health != Health::Down;
    let untouched = plan.patches.iter().all(|patch| patch.operation.address() != address);
    (fits && untouched).then_some((address, node))
}

pub(super) fn owner_of(snapshot: &Snapshot, plan: &Plan, address: IpAddr) -> Option<OwnerIndex> {
    let allocated = plan.patches.iter().find_map(|patch| match patch.operation {
        Operation::Allocate { owner, address: to, .. } if to == address => Some(owner),
        _ => None,
    });
    allocated.or_else(|| held_by(snapshot, address))
}

pub(super) fn home(snapshot: &Snapshot, plan: &Plan, address: IpAddr) -> Option<ZoneIndex> {
    let allocated = plan.patches.iter().find_map(|patch| match patch.operation {
        Operation::Allocate { zone, address: to, .. } if to == address => zone,
        _ => None,
    });
    allocated.or_else(|| {
        let owner = snapshot.owner(held_by(snapshot, address)?)?;
        owner.allocations.iter().find(|held| held.address == address)?.zone
    })
}

pub(super) fn other_node(snapshot: &Snapshot, node: NodeIndex) -> Option<NodeIndex> {
    (0..snapshot.nodes.len()).map(NodeIndex::at).find(|other| *other != node)
}

pub(super) fn foreign_zone(snapshot: &Snapshot, pool: PoolIndex) -> Option<ZoneIndex> {
    snapshot.zones.iter().position(|zone| zone.pool != pool).map(ZoneIndex::at)
}

pub(super) fn holds(ranges: &[ipnet::IpNet], address: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(&address))
}

/// The node of the first placement may carry one address less than the plan wants.
pub(super) fn limit(snapshot: &mut Snapshot, plan: &Plan, capacity: fn(u32) -> Capacity) -> Option<()> {
    let end = verify(snapshot, plan.clone()).ok()?;
    let after = |node| end.end().carried().filter(|(_, nodes)| nodes.contains(&node)).count();
    let before = |node| snapshot.assignments.iter().filter(|assignment| assignment.node == node).count();
    let node = (0..snapshot.nodes.len()).map(NodeIndex::at).find(|&node| after(node) > before(node))?;
    let most = u32::try_from(after(node)).ok()? - 1;
    snapshot.nodes[node.position()].capacity = capacity(most);
    Some(())
}
