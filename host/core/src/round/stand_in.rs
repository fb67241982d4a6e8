//! What counts of the plan of a built-in policy that stands in for another one: moves that something forces, and no more.
//!
//! It does not know what the other policy forbids. Whatever it gave out would stay given out when the other one is back,
//! so who has no address waits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Round;
use super::slices::{Slice, StandIn};
use crate::name::{OwnerIndex, PoolIndex, ZoneIndex};
use crate::observed::Observed;
use crate::plan::{Hold, HoldCode, Operation, Plan};
use crate::snapshot::{Owner, Snapshot};
use crate::survey::at_most;

impl Round {
    /// The policy of a slice stands in for another one; `why` tells those who have to wait until that one is back.
    ///
    /// What it is shown leaves it nothing to do but forced moves: no budget, no requests, and nobody who wants more than
    /// it has. Whatever else it answers does not count.
    pub fn forced_moves_only(&mut self, slice: usize, observed: &Observed, why: String) {
        let Self { survey, settlement, slices, .. } = self;
        let Some(slice) = slices.get_mut(slice) else { return };
        let waiting = waiting_for_the_other(observed, &survey.snapshot, slice, &settlement.snapshot);
        let seen = slice.snapshot_mut(&mut settlement.snapshot);
        seen.budget = 0;
        for owner in &mut seen.owners {
            owner.wanted = Some(at_most(&owner.allocations));
            owner.requested.clear();
        }
        slice.stands_in = Some(StandIn { why, waiting });
    }

    /// What counts of an answer: all of it, unless the policy only stands in, or something cannot be seen.
    ///
    /// While something cannot be seen, only moves count, and assignments of what is seen to be nowhere; nothing does where
    /// Nodes cannot be seen. What a policy gives out, takes away or clears up may be so for something it does not see.
    pub(super) fn that_counts(&self, slice: &Slice, mut plan: Plan) -> Plan {
        if let Some(blind) = &self.survey.blind {
            plan.patches.retain(|patch| match patch.operation {
                Operation::Move { .. } => blind.may_move,
                Operation::Assign { .. } => blind.may_move && blind.may_assign,
                Operation::Allocate { .. } | Operation::Release { .. } | Operation::Unassign { .. } => false,
            });
        }
        let Some(StandIn { why, waiting }) = &slice.stands_in else { return plan };
        let homes = Homes::of(slice.snapshot(&self.settlement.snapshot));
        plan.patches.retain(|patch| homes.is_forced(patch.operation));
        plan.holds.retain(|hold| !waiting.contains(&hold.owner));
        plan.holds.extend(waiting.iter().map(|&owner| Hold {
            owner,
            zone: None,
            code: HoldCode::PolicyFailed,
            text: why.clone(),
        }));
        plan
    }
}

/// Owners of a slice that want something which only the policy of the cluster's choice may give: a first address, or
/// others, or more, as far as it said so before it failed.
fn waiting_for_the_other(
    observed: &Observed,
    surveyed: &Snapshot,
    slice: &Slice,
    settled: &Snapshot,
) -> BTreeSet<OwnerIndex> {
    let seen = slice.snapshot(settled);
    let waits = |(index, owner): &(OwnerIndex, &Owner)| {
        let requested = slice.owner(*index).and_then(|index| surveyed.owner(index)).map(|owner| &owner.requested);
        let held = |address: &IpAddr| owner.allocations.iter().any(|held| held.address == *address);
        let lacks = || owner.allocations.len() < seen.zones_of(owner.pool).count();
        let was_held = || observed.namespaces.get(&owner.name).is_some_and(|facts| facts.hold.is_some());
        owner.allocations.is_empty() || !requested.into_iter().flatten().all(held) || (lacks() && was_held())
    };
    let owners = seen.owners.iter().enumerate().map(|(position, owner)| (OwnerIndex::at(position), owner));
    owners.filter(waits).map(|(index, _)| index).collect()
}

/// Where held addresses may be.
struct Homes<'a> {
    snapshot: &'a Snapshot,
    of_address: BTreeMap<IpAddr, (PoolIndex, Option<ZoneIndex>)>,
}

impl<'a> Homes<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let owners = snapshot.owners.iter();
        let held =
            owners.flat_map(|owner| owner.allocations.iter().map(|held| (held.address, (owner.pool, held.zone))));
        Self { snapshot, of_address: held.collect() }
    }

    /// Whether an address that somebody holds does not work where it is: on a node that is down or may not carry it, or
    /// on none.
    fn is_forced(&self, operation: Operation) -> bool {
        match operation {
            Operation::Move { address, source, .. } => self.of_address.get(&address).is_some_and(|&(pool, zone)| {
                !self.snapshot.is_live(source) || !self.snapshot.may_carry(pool, zone, source)
            }),
            Operation::Assign { address, .. } => {
                self.of_address.contains_key(&address) && self.snapshot.carriers(address).next().is_none()
            }
            Operation::Allocate { .. } | Operation::Release { .. } | Operation::Unassign { .. } => false,
        }
    }
}
