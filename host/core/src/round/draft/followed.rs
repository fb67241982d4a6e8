//! What follows from a plan: patches of the host that no policy has to think of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Draft, crowds};
use crate::name::NodeIndex;
use crate::network;
use crate::plan::{Operation, Patch, Reason};
use crate::snapshot::Phase;

/// What nobody holds leaves its nodes, and several addresses of one owner do not stay on one node.
pub(super) fn patches(draft: &Draft<'_>) -> Vec<Patch> {
    let mut follows = unheld(draft);
    follows.extend(crowds::parted(draft));
    follows
}

/// R11: what a node carries and nobody holds is removed, unless the network does so itself.
fn unheld(draft: &Draft<'_>) -> Vec<Patch> {
    // Somebody who cannot be seen may hold it.
    if draft.round.survey.blind.is_some() {
        return Vec::new();
    }
    let end = &draft.end;
    let mut unheld = end.carried().filter(|(address, _)| end.holders_of(*address).is_empty()).peekable();
    if unheld.peek().is_none() {
        return Vec::new();
    }
    let releases = draft.patches.iter().filter(|patch| matches!(patch.operation, Operation::Release { .. }));
    let reasons: BTreeMap<IpAddr, Reason> = releases.map(|patch| (patch.operation.address(), patch.reason)).collect();
    let snapshot = &draft.round.survey.snapshot;
    let leaving = snapshot.assignments.iter().filter(|assignment| assignment.phase == Phase::Leaving);
    let leaving: BTreeSet<(IpAddr, NodeIndex)> = leaving.map(|leaving| (leaving.address, leaving.node)).collect();
    let mut follows = Vec::new();
    for (address, nodes) in unheld {
        for &node in nodes.iter().filter(|&node| draft.round.base.carriers_of(address).contains(node)) {
            if !network::network_places(snapshot, node) && !leaving.contains(&(address, node)) {
                follows.push(Patch {
                    operation: Operation::Unassign { address, node },
                    reason: reasons.get(&address).copied().unwrap_or(Reason::Stale),
                    text: String::new(),
                    by_host: true,
                });
            }
        }
    }
    follows
}
