//! Owners that a plan would leave without an address that works.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Draft, Withdrawal, changed_owner};
use crate::name::OwnerIndex;
use crate::plan::{HoldCode, Holder, Operation, Reason};
use crate::snapshot::Pool;

const NO_NODE: &str = "no node of the pool can carry its addresses";
const NO_OTHER: &str = "the policy takes its last address and gives no other that works, so that it stays";

/// R2: a network object is first written when one of its addresses is carried, and an owner that talks through an address
/// keeps it until another one carries its traffic. Where the plan would leave an owner without, nothing of what it holds
/// changes; only an address that belongs to somebody else goes at once.
pub(super) fn patches(draft: &Draft<'_>) -> Withdrawal {
    let silenced = silenced(draft);
    let mut found = Withdrawal::default();
    if silenced.is_empty() {
        return found;
    }
    let held: BTreeSet<IpAddr> = silenced.iter().flat_map(|&owner| draft.held(owner)).collect();
    for (position, patch) in draft.patches.iter().enumerate() {
        let (goes, waits) = match patch.operation {
            Operation::Allocate { owner, .. } if silenced.contains(&owner) => (true, Some((owner, NO_NODE))),
            Operation::Release { holder: Some(Holder::Owner(owner)), address } if silenced.contains(&owner) => {
                let is_anothers = patch.reason == Reason::Duplicate || draft.round.base.holders_of(address).len() > 1;
                let why = if patch.by_host { NO_NODE } else { NO_OTHER };
                (!is_anothers, Some((owner, why)).filter(|_| !is_anothers))
            }
            Operation::Unassign { address, .. } => (!patch.by_host && held.contains(&address), None),
            _ => (false, None),
        };
        if goes {
            found.patches.insert(position);
        }
        if let Some((owner, why)) = waits {
            let (code, told) = (if why == NO_NODE { HoldCode::NoNode } else { HoldCode::Other }, why.to_owned());
            let known = found.waiting.entry(owner).or_insert((code, told));
            // That there was to be another address says more than that one goes.
            if why == NO_NODE {
                *known = (code, why.to_owned());
            }
        }
    }
    found
}

/// Owners that get an address or give one up, and have none that works in the end.
fn silenced(draft: &Draft<'_>) -> BTreeSet<OwnerIndex> {
    let touched = draft.patches.iter().filter_map(|patch| changed_owner(&patch.operation));
    let mut held: BTreeMap<OwnerIndex, Vec<IpAddr>> = touched.map(|owner| (owner, Vec::new())).collect();
    if held.is_empty() {
        return BTreeSet::new();
    }
    for (address, holders) in draft.end.held() {
        for holding in holders {
            if let Holder::Owner(owner) = holding.holder
                && let Some(held) = held.get_mut(&owner)
            {
                held.push(address);
            }
        }
    }
    let has_none = |(owner, held): &(&OwnerIndex, &Vec<IpAddr>)| {
        !held.iter().any(|&address| draft.works(address)) && !will_be_placed(draft, **owner, held)
    };
    held.iter().filter(has_none).map(|(&owner, _)| owner).collect()
}

/// Where the network places, it carries what is held if a zone has a node that can.
fn will_be_placed(draft: &Draft<'_>, owner: OwnerIndex, addresses: &[IpAddr]) -> bool {
    let snapshot = &draft.round.survey.snapshot;
    let Some(pool) = snapshot.owner(owner).map(|owner| owner.pool) else { return false };
    !addresses.is_empty()
        && snapshot.pool(pool).is_some_and(Pool::is_self_placing)
        && snapshot.zones_of(pool).any(|(_, zone)| zone.nodes.iter().any(|&node| snapshot.is_live(node)))
}
