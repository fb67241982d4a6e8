//! Ways to break a plan.

use sluice_core::name::{NodeIndex, OwnerIndex, ZoneIndex};
use sluice_core::plan::{Holder, Operation, Plan};
use sluice_core::snapshot::{Allocation, Assignment, Capacity, Flapped, Health, Phase, Snapshot};
use sluice_core::verify::Invariant;
use std::net::IpAddr;

use super::parts::{
    add, allocation, carried, drop_placing, each_allocation, foreign_zone, held, held_by, hold, holds, home, limit,
    other_node, owner_of, placing, readdress, retarget, self_placed, settled,
};

/// One way to break a plan: a name, what the checker must call it, and how; none if this plan cannot be broken so.
pub(super) type Mutant = (&'static str, Invariant, fn(&mut Snapshot, &mut Plan) -> Option<()>);

#[rustfmt::skip]
pub(super) const KINDS: &[Mutant] = &[
    ("made for another snapshot", Invariant::Contract, |_, plan| { plan.generation += 1; Some(()) }),
    ("allocates to an owner that does not exist", Invariant::Contract, |s, plan| {
        let (_, zone, address) = allocation(plan)?;
        add(plan, Operation::Allocate { owner: OwnerIndex::at(s.owners.len()), zone, address })
    }),
    ("allocates in a zone that does not exist", Invariant::Contract, |s, plan| {
        let end = ZoneIndex::at(s.zones.len());
        plan.patches.iter_mut().find_map(|p| match &mut p.operation {
            Operation::Allocate { zone, .. } => { *zone = Some(end); Some(()) }
            _ => None,
        })
    }),
    ("allocates in a zone of another pool", Invariant::Contract, |s, plan| {
        let (owner, _, _) = allocation(plan)?;
        let other = foreign_zone(s, s.owner(owner)?.pool)?;
        each_allocation(plan, |op| if let Operation::Allocate { zone, .. } = op { *zone = Some(other) })
    }),
    ("assigns to a node that does not exist", Invariant::Contract, |s, plan| {
        let end = NodeIndex::at(s.nodes.len());
        retarget(plan, |_| Some(end))
    }),
    ("moves from a node that does not exist", Invariant::Contract, |s, plan| {
        let (address, node) = carried(s)?;
        let source = NodeIndex::at(s.nodes.len());
        drop_placing(plan, address);
        add(plan, Operation::Move { address, source, target: node })
    }),
    ("moves to a node that does not exist", Invariant::Contract, |s, plan| {
        let (address, source) = carried(s)?;
        drop_placing(plan, address);
        add(plan, Operation::Move { address, source, target: NodeIndex::at(s.nodes.len()) })
    }),
    ("releases what nobody holds", Invariant::Contract, |_, plan| {
        add(plan, Operation::Release { holder: None, address: "192.0.2.1".parse().ok()? })
    }),
    ("releases from one who does not hold it", Invariant::Contract, |s, plan| {
        let (holder, address) = held(s)?;
        let other = (0..s.owners.len()).map(OwnerIndex::at).find(|other| *other != holder)?;
        add(plan, Operation::Release { holder: Some(Holder::Owner(other)), address })
    }),
    ("releases from a leaving one that does not exist", Invariant::Contract, |s, plan| {
        add(plan, Operation::Release { holder: Some(Holder::Leaving(77)), address: held(s)?.1 })
    }),
    ("releases twice", Invariant::Contract, |s, plan| {
        let (owner, address) = held(s)?;
        add(plan, Operation::Release { holder: Some(Holder::Owner(owner)), address })?;
        add(plan, Operation::Release { holder: Some(Holder::Owner(owner)), address })
    }),
    ("releases and assigns", Invariant::Contract, |s, plan| {
        let (owner, address) = held(s)?;
        drop_placing(plan, address);
        add(plan, Operation::Release { holder: Some(Holder::Owner(owner)), address })?;
        add(plan, Operation::Assign { address, node: NodeIndex(0) })
    }),
    ("unassigns from a node that does not carry it", Invariant::Contract, |s, plan| {
        let (address, node) = carried(s)?;
        drop_placing(plan, address);
        add(plan, Operation::Unassign { address, node: other_node(s, node)? })
    }),
    ("unassigns from a node that does not exist", Invariant::Contract, |s, plan| {
        let (address, _) = carried(s)?;
        drop_placing(plan, address);
        add(plan, Operation::Unassign { address, node: NodeIndex(999) })
    }),
    ("unassigns twice", Invariant::Contract, |s, plan| {
        let (address, node) = carried(s)?;
        drop_placing(plan, address);
        add(plan, Operation::Unassign { address, node })?;
        add(plan, Operation::Unassign { address, node })
    }),
    ("moves from a node that does not carry it", Invariant::Contract, |s, plan| {
        let (address, node) = carried(s)?;
        drop_placing(plan, address);
        add(plan, Operation::Move { address, source: other_node(s, node)?, target: node })
    }),
    ("moves to where it is", Invariant::Contract, |s, plan| {
        let (address, node) = carried(s)?;
        drop_placing(plan, address);
        add(plan, Operation::Move { address, source: node, target: node })
    }),
    ("moves in two steps", Invariant::Contract, |s, plan| {
        let (address, node) = carried(s)?;
        drop_placing(plan, address);
        let over = other_node(s, node)?;
        add(plan, Operation::Move { address, source: node, target: over })?;
        add(plan, Operation::Move { address, source: over, target: node })
    }),
    ("unassigns and assigns again", Invariant::Contract, |s, plan| {
        let (address, node) = carried(s)?;
        drop_placing(plan, address);
        add(plan, Operation::Unassign { address, node })?;
        add(plan, Operation::Assign { address, node })
    }),
    ("assigns what nobody holds", Invariant::Contract, |_, plan| {
        add(plan, Operation::Assign { address: "192.0.2.1".parse().ok()?, node: NodeIndex(0) })
    }),
    ("assigns in a self-placing pool", Invariant::Contract, |s, plan| {
        let (address, node) = self_placed(s)?;
        s.assignments.retain(|a| a.address != address);
        add(plan, Operation::Assign { address, node })
    }),
    ("unassigns in a self-placing pool", Invariant::Contract, |s, plan| {
        let (address, node) = self_placed(s)?;
        add(plan, Operation::Unassign { address, node })
    }),
    ("moves in a self-placing pool", Invariant::Contract, |s, plan| {
        let (address, source) = self_placed(s)?;
        add(plan, Operation::Move { address, source, target: other_node(s, source)? })
    }),
    ("holds an owner that does not exist", Invariant::Contract, |s, plan| hold(plan, OwnerIndex::at(s.owners.len()), None)),
    ("holds in a zone that does not exist", Invariant::Contract, |s, plan| {
        let zone = ZoneIndex::at(s.zones.len());
        s.owners.first()?;
        hold(plan, OwnerIndex(0), Some(zone))
    }),
    ("holds in a zone of another pool", Invariant::Contract, |s, plan| {
        let zone = foreign_zone(s, s.owners.first()?.pool)?;
        hold(plan, OwnerIndex(0), Some(zone))
    }),
    ("gives away what another owner holds", Invariant::Unique, |s, plan| {
        let (holder, address) = held(s)?;
        let owner = (0..s.owners.len()).map(OwnerIndex::at).find(|other| *other != holder)?;
        add(plan, Operation::Allocate { owner, zone: None, address })
    }),
    ("gives an owner what it holds", Invariant::Unique, |s, plan| {
        let (owner, address) = held(s)?;
        add(plan, Operation::Allocate { owner, zone: None, address })
    }),
    ("gives one address to two owners", Invariant::Unique, |s, plan| {
        let (first, _, address) = allocation(plan)?;
        let owner = (0..s.owners.len()).map(OwnerIndex::at).find(|other| *other != first)?;
        add(plan, Operation::Allocate { owner, zone: None, address })
    }),
    ("gives one address twice", Invariant::Unique, |_, plan| {
        let (owner, zone, address) = allocation(plan)?;
        add(plan, Operation::Allocate { owner, zone, address })
    }),
    ("gives away what is released in the same round", Invariant::Unique, |s, plan| {
        let (holder, address) = held(s)?;
        let owner = (0..s.owners.len()).map(OwnerIndex::at).find(|other| *other != holder)?;
        add(plan, Operation::Release { holder: Some(Holder::Owner(holder)), address })?;
        add(plan, Operation::Allocate { owner, zone: None, address })
    }),
    ("assigns what another node carries", Invariant::Unique, |s, plan| {
        let (address, node) = carried(s)?;
        drop_placing(plan, address);
        add(plan, Operation::Assign { address, node: other_node(s, node)? })
    }),
    ("assigns where it is", Invariant::Unique, |s, plan| {
        let (address, node) = carried(s)?;
        drop_placing(plan, address);
        add(plan, Operation::Assign { address, node })
    }),
    ("assigns to two nodes", Invariant::Unique, |s, plan| {
        let (address, node) = placing(plan)?;
        add(plan, Operation::Assign { address, node: other_node(s, node)? })
    }),
    ("moves one of two carriers away", Invariant::Unique, |s, plan| {
        let (address, source) = carried(s)?;
        drop_placing(plan, address);
        let second = other_node(s, source)?;
        let mut twin = *s.assignments.iter().find(|a| a.address == address)?;
        twin.node = second;
        s.assignments.push(twin);
        s.assignments.sort_by_key(|a| (a.address, a.node));
        let target = (0..s.nodes.len()).map(NodeIndex::at).find(|node| *node != source && *node != second)?;
        add(plan, Operation::Move { address, source, target })
    }),
    ("allocates outside every range", Invariant::InPool, |_, plan| readdress(plan, "192.0.2.1".parse().ok()?)),
    ("allocates the network address", Invariant::InPool, |s, plan| {
        let (owner, zone, _) = allocation(plan)?;
        let pool = s.owner(owner)?.pool;
        let ranges = s.zone(zone?)?.ranges.iter().chain(&s.pool(pool)?.ranges);
        let address = ranges.map(ipnet::IpNet::network).next()?;
        readdress(plan, address)
    }),
    ("allocates a reserved address", Invariant::InPool, |s, plan| {
        let (owner, _, address) = allocation(plan)?;
        let pool = s.owner(owner)?.pool;
        s.pools[pool.position()].reserved.push(address.into());
        Some(())
    }),
    ("allocates an occupied address", Invariant::InPool, |s, plan| {
        let (_, _, address) = allocation(plan)?;
        s.occupied.push(address);
        s.occupied.sort_unstable();
        Some(())
    }),
    ("allocates from another zone's range", Invariant::InPool, |s, plan| {
        let (owner, home, address) = allocation(plan)?;
        let pool = s.owner(owner)?.pool;
        s.pool(pool)?.ranges.is_empty().then_some(())?;
        let other = s.zones_of(pool).find(|(zone, of)| Some(*zone) != home && !holds(&of.ranges, address))?.0;
        each_allocation(plan, |op| if let Operation::Allocate { zone, address: a, .. } = op && *a == address {
            *zone = Some(other);
        })
    }),
    ("allocates from another pool", Invariant::InPool, |s, plan| {
        let (owner, _, _) = allocation(plan)?;
        let other = s.zone(foreign_zone(s, s.owner(owner)?.pool)?)?;
        let address = other.ranges.first()?.hosts().nth(1)?;
        each_allocation(plan, |op| if let Operation::Allocate { address: a, zone, .. } = op { *a = address; *zone = None; })
    }),
    ("allocates beyond the share of the zone", Invariant::InPool, |s, plan| {
        let (_, zone, _) = allocation(plan)?;
        plan.patches.retain(|patch| !matches!(patch.operation, Operation::Release { .. }));
        s.zones[zone?.position()].share = Some(0);
        Some(())
    }),
    ("overloads a node", Invariant::Capacity, |s, plan| limit(s, plan, |n| Capacity { total: Some(n), ..Capacity::default() })),
    ("overloads a node with IPv4", Invariant::Capacity, |s, plan| limit(s, plan, |n| Capacity { ipv4: Some(n), ..Capacity::default() })),
    ("uses a node that can carry nothing", Invariant::Capacity, |s, plan| limit(s, plan, |_| Capacity { total: Some(0), ..Capacity::default() })),
    ("assigns to a node that is down", Invariant::Eligible, |s, plan| {
        let (_, node) = placing(plan)?;
        s.nodes[node.position()].health = Health::Down;
        Some(())
    }),
    ("assigns to a cordoned node", Invariant::Eligible, |s, plan| {
        let (_, node) = placing(plan)?;
        s.nodes[node.position()].health = Health::Draining;
        Some(())
    }),
    ("assigns to a node that is not selected", Invariant::Eligible, |s, plan| {
        let (_, node) = placing(plan)?;
        s.zones.iter_mut().for_each(|zone| zone.nodes.retain(|of| *of != node));
        Some(())
    }),
    ("assigns to a node of another zone", Invariant::Eligible, |s, plan| {
        let (address, node) = placing(plan)?;
        let home = home(s, plan, address)?;
        (!s.zone(home)?.may_leave).then_some(())?;
        let elsewhere = s.zones.iter().flat_map(|zone| &zone.nodes).copied();
        let target = elsewhere.into_iter().find(|other| *other != node && !s.zones[home.position()].nodes.contains(other))?;
        retarget(plan, |at| (at == address).then_some(target))
    }),
    ("puts two addresses of an owner on one node", Invariant::Eligible, |s, plan| {
        let (address, node) = placing(plan)?;
        let owner = owner_of(s, plan, address)?;
        let second: IpAddr = "192.0.2.2".parse().ok()?;
        s.owners[owner.position()].allocations.push(Allocation::settled(second, None));
        add(plan, Operation::Assign { address: second, node })
    }),
    ("adopts a stale address next to another of the owner", Invariant::Eligible, |s, plan| {
        let (address, node) = placing(plan)?;
        let owner = owner_of(s, plan, address)?;
        let pool = s.owner(owner)?.pool;
        let stale = s.zones_of(pool).flat_map(|(_, zone)| &zone.ranges).next()?.hosts().nth(2)?;
        let free = held_by(s, stale).is_none() && plan.patches.iter().all(|p| p.operation.address() != stale);
        (free && s.occupied.binary_search(&stale).is_err()).then_some(())?;
        s.assignments.retain(|a| a.address != stale);
        s.assignments.push(Assignment { address: stale, node, phase: Phase::Settled });
        s.assignments.sort_by_key(|a| (a.address, a.node));
        add(plan, Operation::Allocate { owner, zone: None, address: stale })
    }),
    ("moves for nothing, beyond the budget", Invariant::Budget, |s, plan| {
        s.budget = 0;
        let (address, source) = settled(s, plan)?;
        add(plan, Operation::Move { address, source, target: other_node(s, source)? })
    }),
    ("unassigns for nothing, beyond the budget", Invariant::Budget, |s, plan| {
        s.budget = 0;
        let (address, node) = settled(s, plan)?;
        add(plan, Operation::Unassign { address, node })
    }),
    ("unassigns what an owner talks through", Invariant::Stable, |s, plan| {
        let (address, node) = settled(s, plan)?;
        let owner = held_by(s, address)?;
        let gets_another = plan.patches.iter().any(|p| owner_of(s, plan, p.operation.address()) == Some(owner));
        (!gets_another).then_some(())?;
        let others: Vec<IpAddr> = s.owner(owner)?.allocations.iter().map(|held| held.address).collect();
        s.assignments.retain(|a| a.address == address || !others.contains(&a.address));
        add(plan, Operation::Unassign { address, node })
    }),
    ("moves what was moved to and fro", Invariant::Stable, |s, plan| {
        let (address, source) = settled(s, plan)?;
        s.flapped.push(Flapped { address, policy: "restless".to_owned() });
        add(plan, Operation::Move { address, source, target: other_node(s, source)? })
    }),
    ("unassigns what was moved to and fro", Invariant::Stable, |s, plan| {
        let (address, node) = settled(s, plan)?;
        s.flapped.push(Flapped { address, policy: "restless".to_owned() });
        add(plan, Operation::Unassign { address, node })
    }),
    ("releases beyond the budget", Invariant::Budget, |s, plan| {
        s.budget = 0;
        let (owner, address) = held(s)?;
        add(plan, Operation::Release { holder: Some(Holder::Owner(owner)), address })
    }),
];
