//! Addresses whose place does not change in this schedule, since a step of the change cannot be made now. A change is
//! made whole or not at all: an address that is taken off one node must be able to reach the other.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::name::{NodeIndex, OwnerIndex};
use crate::network::Target;
use crate::network::guards::Guards;
use crate::network::holdings::is_blocked;
use crate::network::inputs::Inputs;
use crate::network::intent::Intent;
use crate::network::interfaces::Interfaces;
use crate::plan::{Holder, Operation};

/// Addresses that stay where they are for now.
pub(super) struct Waiting {
    addresses: BTreeSet<IpAddr>,
    /// Of these, those that only wait until their owner has let go of another address: its holding has to be written
    /// although nothing of it is carried yet.
    pub(super) for_release: BTreeSet<IpAddr>,
}

impl Waiting {
    /// Addresses whose place is, or will be, another one than what is seen, and that do not wait.
    pub(super) fn unsettled(&self, moving: BTreeSet<IpAddr>, incomplete: BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let all = moving.into_iter().chain(incomplete);
        all.filter(|address| !self.addresses.contains(address)).collect()
    }
}

/// An address that changes its carriers and that an owner holds afterwards.
struct CarrierChange {
    address: IpAddr,
    owner: OwnerIndex,
    /// The owner held it before.
    held: bool,
    sources: Vec<NodeIndex>,
    targets: Vec<NodeIndex>,
}

/// Finds all addresses that stay where they are for now. One that stays keeps others of its owner from coming to its node,
/// so that they stay too: the search ends when nobody is added.
pub(super) fn find(
    inputs: &Inputs<'_>,
    intents: &[Intent<'_>],
    guards: &Guards<'_>,
    interfaces: &Interfaces<'_>,
) -> Waiting {
    let changes = carrier_changes(inputs);
    let blocked: BTreeSet<OwnerIndex> = intents
        .iter()
        .filter(|intent| is_blocked(inputs, guards, intent))
        .filter_map(|intent| inputs.snapshot.owner_named(intent.owner))
        .collect();
    let cannot_begin = |change: &CarrierChange| {
        change.sources.iter().chain(&change.targets).any(|&node| is_avoided(inputs, node))
            || interfaces.would_get_stuck(change.address, &change.sources, &change.targets)
            || (!change.held && blocked.contains(&change.owner))
            || lacks_guard(inputs, guards, change)
    };
    let stuck: Vec<bool> = changes.iter().map(cannot_begin).collect();
    // Until an owner has let go of an address, its others cannot come to the same node.
    let given_up: BTreeSet<(NodeIndex, OwnerIndex)> = given_up(inputs).collect();
    let mut occupied: BTreeSet<(NodeIndex, OwnerIndex)> = BTreeSet::new();
    let mut waiting = Waiting { addresses: BTreeSet::new(), for_release: BTreeSet::new() };
    loop {
        let before = waiting.addresses.len();
        for (change, &stuck) in changes.iter().zip(&stuck) {
            let meets =
                |places: &BTreeSet<_>| change.targets.iter().any(|&node| places.contains(&(node, change.owner)));
            let stuck = stuck || meets(&occupied);
            let for_release = change.held && meets(&given_up);
            if stuck || for_release {
                waiting.addresses.insert(change.address);
                occupied.extend(change.sources.iter().map(|&node| (node, change.owner)));
            }
            if stuck {
                waiting.for_release.remove(&change.address);
            } else if for_release {
                waiting.for_release.insert(change.address);
            }
        }
        if waiting.addresses.len() == before {
            return waiting;
        }
    }
}

fn carrier_changes(inputs: &Inputs<'_>) -> Vec<CarrierChange> {
    let change = |address: IpAddr| {
        let owner = inputs.owner_after(address)?;
        let before: Vec<NodeIndex> = inputs.snapshot.carriers(address).collect();
        let after = inputs.carriers_after(address);
        let held = inputs.snapshot.owner(owner)?.held().any(|held| held == address);
        let sources = before.iter().copied().filter(|node| !after.contains(node)).collect();
        let targets = after.iter().copied().filter(|node| !before.contains(node)).collect();
        Some(CarrierChange { address, owner, held, sources, targets })
    };
    inputs.moving().into_iter().filter_map(change).collect()
}

/// Nodes that carry an address which its owner gives up, each with the owner.
fn given_up(inputs: &Inputs<'_>) -> impl Iterator<Item = (NodeIndex, OwnerIndex)> {
    let released = inputs.plan.patches().iter().filter_map(|patch| match patch.operation {
        Operation::Release { holder: Some(Holder::Owner(owner)), address } => Some((owner, address)),
        _ => None,
    });
    released.flat_map(|(owner, address)| inputs.snapshot.carriers(address).map(move |node| (node, owner)))
}

fn is_avoided(inputs: &Inputs<'_>, node: NodeIndex) -> bool {
    inputs.node_name(node).is_none_or(|name| inputs.avoid.contains(&Target::Carrier(name.clone())))
}

/// Whether an address would come to a node before its pool can have the guard.
fn lacks_guard(inputs: &Inputs<'_>, guards: &Guards<'_>, change: &CarrierChange) -> bool {
    let pool = inputs.snapshot.owner(change.owner).and_then(|owner| inputs.snapshot.pool(owner.pool));
    !change.targets.is_empty() && pool.is_some_and(|pool| guards.are_missing(&pool.name))
}
