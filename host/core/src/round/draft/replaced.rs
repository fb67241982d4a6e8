//! Addresses that their pool no longer gives, and for which there is no other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Draft, Withdrawal};
use crate::name::{NodeIndex, OwnerIndex};
use crate::plan::{HoldCode, Holder, Operation, Patch, Reason};
use crate::verify::EndState;

/// What a plan gives and takes of one owner.
#[derive(Default)]
struct Exchange {
    /// Taken, since the pool no longer has it.
    lost: Vec<IpAddr>,
    /// Taken in all.
    released: usize,
    given: BTreeSet<IpAddr>,
}

/// No address goes since its pool no longer gives it, unless another one comes, or the owner has one for each zone
/// without it: it works as long as nobody routes it elsewhere.
pub(super) fn patches(draft: &Draft<'_>) -> Withdrawal {
    let mut kept: BTreeMap<OwnerIndex, BTreeSet<IpAddr>> = BTreeMap::new();
    let mut refused: BTreeSet<IpAddr> = BTreeSet::new();
    for (owner, exchange) in exchanges(&draft.round.base, &draft.patches) {
        let mut keep = unreplaced(draft, owner, &exchange);
        if keep.is_empty() {
            continue;
        }
        if would_crowd(draft, owner, &keep, &exchange) {
            // A policy does not see what stays, and so it chose their node for others of the same owner.
            refused.extend(draft.held(owner).chain(exchange.given.iter().copied()));
            keep = exchange.lost.iter().copied().collect();
        }
        kept.insert(owner, keep);
    }
    let stays = |patch: &Patch| match patch.operation {
        Operation::Release { holder: Some(Holder::Owner(owner)), address } if patch.by_host => {
            patch.reason == Reason::PoolChanged && kept.get(&owner).is_some_and(|kept| kept.contains(&address))
        }
        _ => !patch.by_host && refused.contains(&patch.operation.address()),
    };
    let patches = draft.patches.iter().enumerate().filter(|(_, patch)| stays(patch)).map(|(position, _)| position);
    let waiting = kept.iter().map(|(&owner, kept)| {
        let kept = kept.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let text = format!("{kept}: no longer of its pool, and nothing replaces it, so that it stays");
        (owner, (HoldCode::Other, text))
    });
    Withdrawal { patches: patches.collect(), waiting: waiting.collect() }
}

/// Those of the lost addresses that stay, the ones that work first.
fn unreplaced(draft: &Draft<'_>, owner: OwnerIndex, exchange: &Exchange) -> BTreeSet<IpAddr> {
    let snapshot = &draft.round.survey.snapshot;
    let Some(facts) = snapshot.owner(owner) else { return BTreeSet::new() };
    let after = facts.allocations.len().saturating_sub(exchange.released) + exchange.given.len();
    let lacking = snapshot.zones_of(facts.pool).count().saturating_sub(after);
    let keep = exchange.lost.len().saturating_sub(exchange.given.len()).min(lacking);
    let works = |address: IpAddr| draft.round.base.carriers_of(address).iter().any(|&node| snapshot.is_live(node));
    let mut lost = exchange.lost.clone();
    lost.sort_by_key(|&address| (!works(address), address));
    lost.into_iter().take(keep).collect()
}

/// Whether a node that carries what stays gets another address of the owner.
fn would_crowd(draft: &Draft<'_>, owner: OwnerIndex, kept: &BTreeSet<IpAddr>, exchange: &Exchange) -> bool {
    let base = &draft.round.base;
    let nodes: BTreeSet<NodeIndex> =
        kept.iter().flat_map(|&address| base.carriers_of(address).iter().copied()).collect();
    let others = draft.held(owner).chain(exchange.given.iter().copied());
    others.filter(|address| !kept.contains(address)).any(|address| {
        let before = base.carriers_of(address);
        draft.end.carriers_of(address).iter().any(|node| nodes.contains(node) && !before.contains(node))
    })
}

/// What a plan gives and takes of those who lose an address that their pool no longer gives.
fn exchanges(base: &EndState, patches: &[Patch]) -> BTreeMap<OwnerIndex, Exchange> {
    let mut of_owner: BTreeMap<OwnerIndex, Exchange> = BTreeMap::new();
    for patch in patches.iter().filter(|patch| patch.by_host && patch.reason == Reason::PoolChanged) {
        // What somebody else holds as well works for neither of them, and goes at once.
        if let Operation::Release { holder: Some(Holder::Owner(owner)), address } = patch.operation
            && base.holders_of(address).len() < 2
        {
            of_owner.entry(owner).or_default().lost.push(address);
        }
    }
    if of_owner.is_empty() {
        return of_owner;
    }
    for patch in patches {
        match patch.operation {
            Operation::Allocate { owner, address, .. } => {
                if let Some(exchange) = of_owner.get_mut(&owner) {
                    exchange.given.insert(address);
                }
            }
            Operation::Release { holder: Some(Holder::Owner(owner)), .. } => {
                if let Some(exchange) = of_owner.get_mut(&owner) {
                    exchange.released += 1;
                }
            }
            _ => {}
        }
    }
    of_owner
}
