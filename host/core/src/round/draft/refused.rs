//! Owners for whom nothing new counts, and nodes that an owner cannot get: what the host knows and no policy sees.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Draft, Withdrawal};
use crate::name::{NodeIndex, OwnerIndex};
use crate::plan::Operation;

/// Owners of a pool whose spec has errors, and those that go away, keep what they have: of what a policy wants for them
/// only moves count, and assignments of what they hold. A policy cannot know the reason, so this is no fault of its; but
/// of an owner for whom it wants more, nothing counts.
pub(super) fn patches(draft: &Draft<'_>) -> Withdrawal {
    let survey = &draft.round.survey;
    if survey.constraints.suspended.is_empty() {
        return Withdrawal::default();
    }
    let settled = &draft.round.settlement.snapshot;
    let held = survey.constraints.suspended.iter().filter_map(|&index| Some((index, settled.owner(index)?)));
    let mut owner_of: BTreeMap<IpAddr, OwnerIndex> = held
        .flat_map(|(index, owner)| owner.allocations.iter().map(move |allocation| (allocation.address, index)))
        .collect();
    let mut refused: BTreeSet<OwnerIndex> = BTreeSet::new();
    for (_, patch) in draft.answered() {
        match patch.operation {
            Operation::Allocate { owner, address, .. } if survey.constraints.suspended.contains(&owner) => {
                owner_of.insert(address, owner);
                refused.insert(owner);
            }
            Operation::Release { address, .. } | Operation::Unassign { address, .. } => {
                refused.extend(owner_of.get(&address));
            }
            _ => {}
        }
    }
    // A policy does not see the addresses that stay, so it may choose their nodes for others of the same owner.
    let forbidden: BTreeSet<(OwnerIndex, NodeIndex)> = survey
        .constraints
        .immovable
        .iter()
        .flat_map(|&(owner, address)| draft.round.base.carriers_of(address).iter().map(move |&node| (owner, node)))
        .collect();
    let patches = draft.positions(|patch| {
        owner_of.get(&patch.operation.address()).is_some_and(|&owner| {
            let node = patch.operation.target();
            refused.contains(&owner) || node.is_some_and(|node| forbidden.contains(&(owner, node)))
        })
    });
    Withdrawal { patches, waiting: BTreeMap::new() }
}
