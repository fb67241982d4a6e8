//! Nobody waits without a word: what the host says of owners of whom no policy says anything.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Failure, Round};
use crate::name::{OwnerIndex, OwnerName, PoolIndex};
use crate::observed::Observed;
use crate::plan::{Hold, HoldCode, Holder, Operation, Plan};
use crate::snapshot::{Owner, Pool};
use crate::survey::NamedHold;
use crate::verify::VerifiedPlan;

impl Round {
    /// Everyone who is not served, sorted: whom the host holds, whom a policy holds, in the host's words where it knows
    /// better, and who gets nothing although nobody says why.
    pub(super) fn explained(
        &self,
        observed: &Observed,
        plan: &VerifiedPlan,
        judged: &[Result<Plan, Failure>],
        unknown: &BTreeSet<OwnerIndex>,
    ) -> Vec<NamedHold> {
        let snapshot = &self.survey.snapshot;
        let mut holds = self.survey.holds.clone();
        let mut causes = self.causes(observed, plan.end());
        holds.extend(plan.holds().iter().filter_map(|hold| {
            let owner = snapshot.owner(hold.owner)?;
            Some(NamedHold {
                pool: snapshot.pool(owner.pool)?.name.clone(),
                zone: hold.zone.and_then(|zone| snapshot.zone(zone)).map(|zone| zone.name.to_string()),
                owner: owner.name.clone(),
                code: hold.code,
                text: causes.words(hold, owner),
            })
        }));
        holds.extend(self.unexplained(plan, &holds, judged, unknown));
        holds.sort();
        holds.dedup();
        holds
    }

    /// Owners of whom it is not known what holds them, since the policy that plans for them failed.
    pub(super) fn unknown(&self, judged: &[Result<Plan, Failure>]) -> BTreeSet<OwnerIndex> {
        if judged.iter().all(Result::is_ok) {
            return BTreeSet::new();
        }
        let failed =
            |owner: &OwnerIndex| self.slice_of(*owner).and_then(|at| judged.get(at)).is_some_and(Result::is_err);
        (0..self.survey.snapshot.owners.len()).map(OwnerIndex::at).filter(failed).collect()
    }

    /// Owners whose addresses the network places, in pools without a node that works: no policy says anything of them.
    pub(super) fn deserted(&self, holds: &[Hold]) -> Vec<Hold> {
        let snapshot = &self.survey.snapshot;
        let is_deserted = |(at, pool): (usize, &Pool)| {
            let mut nodes = snapshot.zones_of(PoolIndex::at(at)).flat_map(|(_, zone)| &zone.nodes);
            pool.is_self_placing() && !nodes.any(|&node| snapshot.is_live(node))
        };
        let deserted: Vec<bool> = snapshot.pools.iter().enumerate().map(is_deserted).collect();
        if !deserted.contains(&true) {
            return Vec::new();
        }
        let known: BTreeSet<OwnerIndex> = holds.iter().map(|hold| hold.owner).collect();
        let owners = snapshot.owners.iter().enumerate().map(|(at, owner)| (OwnerIndex::at(at), owner));
        let waiting = owners
            .filter(|(index, owner)| deserted.get(owner.pool.position()) == Some(&true) && !known.contains(index));
        let hold = |owner| {
            let text = "no node of the pool can carry its addresses".to_owned();
            Hold { owner, zone: None, code: HoldCode::NoNode, text }
        };
        waiting.map(|(owner, _)| hold(owner)).collect()
    }

    /// Owners who get nothing, or not what they ask for, and of whom the policy does not say why. Of those for whom it
    /// meant something that the host put off there is nothing to say.
    fn unexplained(
        &self,
        plan: &VerifiedPlan,
        holds: &[NamedHold],
        judged: &[Result<Plan, Failure>],
        unknown: &BTreeSet<OwnerIndex>,
    ) -> Vec<NamedHold> {
        let snapshot = &self.survey.snapshot;
        let mut counts: Vec<usize> = snapshot.owners.iter().map(|owner| owner.allocations.len()).collect();
        for patch in plan.patches() {
            let (owner, change): (_, fn(usize) -> usize) = match patch.operation {
                Operation::Allocate { owner, .. } => (owner, |count| count + 1),
                Operation::Release { holder: Some(Holder::Owner(owner)), .. } => {
                    (owner, |count| count.saturating_sub(1))
                }
                _ => continue,
            };
            if let Some(count) = counts.get_mut(owner.position()) {
                *count = change(*count);
            }
        }
        let known: BTreeSet<&OwnerName> = holds.iter().map(|hold| &hold.owner).collect();
        let hold = |((position, owner), count): ((usize, &Owner), usize)| {
            let index = OwnerIndex::at(position);
            let lacks = |address: &&IpAddr| !plan.end().is_held_by(**address, index);
            let (code, text) = if count > 0 {
                let address = owner.requested.iter().find(lacks)?;
                (HoldCode::Other, format!("it asks for {address}, which the policy neither gave nor refused"))
            } else if self.slice_of(index).is_none() {
                (HoldCode::Other, "no policy plans for it".to_owned())
            } else if snapshot.zones_of(owner.pool).next().is_some() {
                (HoldCode::Other, "the policy allocated nothing".to_owned())
            } else {
                (HoldCode::NoNode, "no node that the pool selects is in a zone".to_owned())
            };
            let pool = snapshot.pool(owner.pool).filter(|_| !known.contains(&owner.name))?.name.clone();
            let hold = NamedHold { pool, zone: None, owner: owner.name.clone(), code, text };
            Some((index, hold))
        };
        let mut unexplained: Vec<_> = snapshot.owners.iter().enumerate().zip(counts).filter_map(hold).collect();
        if !unexplained.is_empty() {
            let mut excused = unknown.clone();
            excused.extend(judged.iter().flatten().flat_map(|plan| &plan.patches).filter_map(|patch| {
                match patch.operation {
                    Operation::Allocate { owner, .. } => Some(owner),
                    _ => None,
                }
            }));
            unexplained.retain(|(owner, _)| !excused.contains(owner));
        }
        unexplained.into_iter().map(|(_, hold)| hold).collect()
    }
}
