//! What counts of the plan of a built-in policy that stands in for another one: moves that something forces, and no more.
//!
//! It does not know what the other policy forbids. Whatever it gave out would stay given out when the other one is back,
//! so who has no address waits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Round;
use crate::name::{OwnerIndex, PoolIndex, ZoneIndex};
use crate::observed::Observed;
use crate::plan::{Hold, HoldCode, Operation, Plan};
use crate::snapshot::{Owner, Snapshot};
use crate::survey::at_most;

impl Round {
    /// This round for a policy that stands in for another one; `why` tells those who have to wait until that one is back.
    ///
    /// What it is shown leaves it nothing to do but forced moves: no budget, no requests, and nobody who wants more than
    /// it has. Whatever else it answers does not count.
    pub fn forced_moves_only(mut self, why: String) -> Self {
        let seen = &mut self.settlement.snapshot;
        seen.budget = 0;
        for owner in &mut seen.owners {
            owner.wanted = Some(at_most(&owner.allocations));
            owner.requested.clear();
        }
        self.stands_in = Some(why);
        self
    }

    /// What counts of a plan: all of it, unless the policy only stands in.
    pub(super) fn that_counts(&self, observed: &Observed, mut plan: Plan) -> Plan {
        let Some(why) = &self.stands_in else { return plan };
        let homes = Homes::of(&self.settlement.snapshot);
        plan.patches.retain(|patch| homes.is_forced(patch.operation));
        let waiting = self.waiting_for_the_other(observed);
        plan.holds.retain(|hold| !waiting.contains(&hold.owner));
        plan.holds.extend(waiting.into_iter().map(|owner| Hold {
            owner,
            zone: None,
            code: HoldCode::PolicyFailed,
            text: why.clone(),
        }));
        plan
    }

    /// Owners that want something which only the policy of the cluster's choice may give: a first address, or others, or
    /// more, as far as it said so before it failed.
    fn waiting_for_the_other(&self, observed: &Observed) -> BTreeSet<OwnerIndex> {
        let (surveyed, seen) = (&self.survey.snapshot, &self.settlement.snapshot);
        let waits = |(owner, requested): (&Owner, &[IpAddr])| {
            let held = |address: &IpAddr| owner.allocations.iter().any(|held| held.address == *address);
            let lacks = || owner.allocations.len() < seen.zones_of(owner.pool).count();
            let was_held = || observed.namespaces.get(&owner.name).is_some_and(|facts| facts.hold.is_some());
            owner.allocations.is_empty() || !requested.iter().all(held) || (lacks() && was_held())
        };
        let owners = seen.owners.iter().zip(surveyed.owners.iter().map(|owner| owner.requested.as_slice()));
        owners.enumerate().filter(|(_, owner)| waits(*owner)).map(|(position, _)| OwnerIndex::at(position)).collect()
    }
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
