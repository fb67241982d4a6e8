//! Hostile policies. They stay inside the budget that they are shown.

use std::collections::BTreeSet;

use sluice_core::name::{NodeIndex, OwnerIndex};
use sluice_core::plan::{Holder, Operation, Patch, Plan, Reason};
use sluice_core::snapshot::{Assignment, Health, Phase, Snapshot};

/// Does nothing.
pub(crate) fn silent(snapshot: &Snapshot) -> Plan {
    plan(snapshot, [])
}

/// Takes off the nodes whatever it may.
pub(crate) fn unassigning(snapshot: &Snapshot) -> Plan {
    let unassign = |on: &Assignment| Operation::Unassign { address: on.address, node: on.node };
    plan(snapshot, snapshot.assignments.iter().take(snapshot.budget as usize).map(unassign))
}

/// Moves the first address to the first other node of its zone, and so back the next time.
pub(crate) fn alternating(snapshot: &Snapshot) -> Plan {
    plan(snapshot, snapshot.assignments.first().and_then(|on| elsewhere(snapshot, on)))
}

/// Takes the first address off its node, and puts it onto the same one again.
pub(crate) fn taking_turns(snapshot: &Snapshot) -> Plan {
    let address = snapshot.owners[0].allocations[0].address;
    let on = snapshot.assignments.iter().find(|on| on.address == address);
    plan(
        snapshot,
        [on.map_or_else(
            || Operation::Assign { address, node: NodeIndex(0) },
            |on| Operation::Unassign { address, node: on.node },
        )],
    )
}

/// Moves whatever it may, others each time. It leaves alone what the contract says it has to.
pub(crate) fn moving(snapshot: &Snapshot) -> Plan {
    let count = snapshot.assignments.len();
    let begin = usize::try_from(snapshot.now / 1_000).unwrap() % count;
    let in_turn = snapshot.assignments.iter().cycle().skip(begin).take(count).filter(|on| on.phase == Phase::Settled);
    let moves = in_turn.filter_map(|on| elsewhere(snapshot, on)).take(snapshot.budget as usize);
    plan(snapshot, moves.collect::<Vec<_>>())
}

/// Gives the first namespaces other addresses in the place of those that they have.
pub(crate) fn exchanging(snapshot: &Snapshot) -> Plan {
    let used: BTreeSet<_> = snapshot.owners.iter().flat_map(|owner| &owner.allocations).map(|a| a.address).collect();
    let mut free: Vec<_> = snapshot.zones[0].ranges[0].hosts().skip(2).filter(|a| !used.contains(a)).collect();
    free.retain(|address| snapshot.occupied.binary_search(address).is_err());
    free.retain(|address| snapshot.assignments.iter().all(|on| on.address != *address));
    let owners = snapshot.owners.iter().enumerate().take(snapshot.budget as usize);
    let exchange = |((position, owner), address): ((usize, &sluice_core::snapshot::Owner), _)| {
        let (index, old) = (OwnerIndex::at(position), owner.allocations[0]);
        [
            Operation::Release { holder: Some(Holder::Owner(index)), address: old.address },
            Operation::Allocate { owner: index, zone: old.zone, address },
            Operation::Assign { address, node: snapshot.zones[0].nodes[0] },
        ]
    };
    plan(snapshot, owners.zip(free).flat_map(exchange).collect::<Vec<_>>())
}

/// A move to another healthy node of the zone that has no other address of the owner.
fn elsewhere(snapshot: &Snapshot, on: &Assignment) -> Option<Operation> {
    let zone = snapshot.zones.iter().find(|zone| zone.nodes.contains(&on.node))?;
    let healthy = |node: &NodeIndex| snapshot.node(*node).is_some_and(|node| node.health == Health::Healthy);
    let target = zone.nodes.iter().copied().filter(healthy).find(|node| *node != on.node)?;
    Some(Operation::Move { address: on.address, source: on.node, target })
}

fn plan(snapshot: &Snapshot, operations: impl IntoIterator<Item = Operation>) -> Plan {
    let patch = |operation| Patch { operation, reason: Reason::Rebalance, text: String::new(), by_host: false };
    let patches = operations.into_iter().map(patch).collect();
    Plan { generation: snapshot.generation, patches, ..Plan::default() }
}
