//! One planning round, from facts to writes, around the call of a policy.
//!
//! `Round::prepare` -> the policy plans from `policy_input` -> `Round::finish`. Pure: who calls it does the I/O.

mod adjust;
mod cause;
mod crowds;
mod replace;
mod stand_in;
mod withdraw;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::diff::Diff;
use crate::name::{NodeIndex, OwnerIndex};
use crate::network::{self, Change, Target, Write};
use crate::observed::{Observed, Promise};
use crate::plan::{Holder, Operation, Patch, Plan};
use crate::settle::Settlement;
use crate::snapshot::Snapshot;
use crate::status::{self, PoolReport};
use crate::survey::{NamedHold, Survey};
use crate::verify::{EndState, Finding, Rejection, VerifiedPlan, check};

/// A round that waits for the policy's answer.
#[derive(Clone, Debug)]
pub struct Round {
    survey: Survey,
    settlement: Settlement,
    base: EndState,
    /// Only forced moves count, for this reason; none: all of a plan counts.
    stands_in: Option<String>,
}

/// What a round came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The plan to apply. Where the policy failed or its plan was refused: what the host does by itself.
    pub plan: VerifiedPlan,
    /// Why the policy's plan is not part of it.
    pub failure: Option<Failure>,
    /// Everyone who is not served, sorted. With a failure, only those whom the host itself holds.
    pub holds: Vec<NamedHold>,
    /// Breaches that were there before, and those of a refused plan.
    pub findings: Vec<Finding>,
    /// Writes in the order of application.
    pub writes: Vec<Write>,
    /// Who will hold the addresses that the writes put onto interfaces, where they do not yet: to be shown again in
    /// [`Observed::promises`] until they do.
    pub promises: BTreeMap<IpAddr, Promise>,
    /// When to look again although nothing changes, in Unix milliseconds.
    pub again_at: Option<u64>,
}

/// Why a policy's plan changes nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The policy gave no plan.
    #[error("the policy failed: {0}")]
    Policy(String),
    /// The checker refused the plan.
    #[error("the policy's plan was refused: {0}")]
    Rejected(Rejection),
    /// The plan was good as it came, but not with what the host changes and keeps by itself. No fault of the policy.
    #[error("the policy's plan does not go together with what the host does by itself: {0}")]
    Unmatched(Rejection),
}

impl Round {
    /// Surveys the cluster and settles what the host settles by itself.
    pub fn prepare(observed: &Observed) -> Self {
        Self::prepare_again(observed, &BTreeSet::new())
    }

    /// The same after setbacks: objects of `refused` could not be written when they were tried last.
    pub fn prepare_again(observed: &Observed, refused: &BTreeSet<Target>) -> Self {
        let mut survey = Survey::of(observed);
        survey.spare_nodes(observed, refused);
        let settlement = Settlement::of(&survey, refused);
        let base = EndState::before(&survey.snapshot);
        Self { survey, settlement, base, stands_in: None }
    }

    /// What the policy plans from.
    pub fn policy_input(&self) -> &Snapshot {
        &self.settlement.snapshot
    }

    /// What was there before anything was settled.
    pub fn surveyed(&self) -> &Survey {
        &self.survey
    }

    /// Checks the policy's answer and makes writes of it. `avoid` names objects that are not to be written now, since
    /// an earlier write to them failed; what depends on them waits, everything else goes on.
    pub fn finish(&self, observed: &Observed, answer: Result<Plan, String>, avoid: &BTreeSet<Target>) -> Outcome {
        let snapshot = &self.survey.snapshot;
        let allocates = |patch: &Patch| match patch.operation {
            Operation::Allocate { owner, .. } => Some(owner),
            _ => None,
        };
        let meant: Vec<OwnerIndex> = answer.iter().flat_map(|plan| &plan.patches).filter_map(allocates).collect();
        let combined = answer.map_err(Failure::Policy).and_then(|plan| self.judge(self.that_counts(observed, plan)));
        let (plan, failure) = match combined {
            Ok(plan) => (plan, None),
            Err(failure) => (self.host_only(), Some(failure)),
        };
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
        if failure.is_none() {
            holds.extend(self.unexplained(&plan, &holds, &meant));
        }
        holds.sort();
        holds.dedup();
        let mut findings = plan.inherited().to_vec();
        if let Some(Failure::Rejected(rejection) | Failure::Unmatched(rejection)) = &failure {
            findings.extend(rejection.findings.iter().cloned());
            findings.sort();
        }
        let known_holds = failure.is_none().then_some(holds.as_slice());
        let writes = network::schedule(observed, &self.survey, &plan, known_holds, avoid);
        let promises = self.promises(&plan, &writes);
        let again_at = self.survey.again_at;
        Outcome { plan, failure, holds, findings, writes, promises, again_at }
    }

    /// The story of each pool: what was planned from `planned`, and who is served in the cluster as it was seen after the
    /// writes. What a plan means to do proves nothing, since writes may be refused.
    pub fn reports(&self, outcome: &Outcome, planned: &Observed, seen: &Observed) -> Vec<PoolReport> {
        status::reports(planned, seen, &self.survey, outcome)
    }

    fn promises(&self, plan: &VerifiedPlan, writes: &[Write]) -> BTreeMap<IpAddr, Promise> {
        let snapshot = &self.survey.snapshot;
        let coming = writes.iter().flat_map(|write| match &write.change {
            Change::Interface { on, .. } => on.iter().copied().collect(),
            _ => Vec::new(),
        });
        let promise = |address: IpAddr| {
            let mut holders = plan.end().holders_of(address).iter();
            let (owner, zone) = holders.find_map(|holding| match holding.holder {
                Holder::Owner(owner) => Some((snapshot.owner(owner)?, holding.zone)),
                Holder::Leaving(_) => None,
            })?;
            let held = owner.held().any(|held| held == address);
            let zone = zone.and_then(|zone| snapshot.zone(zone)).map(|zone| zone.name.to_string());
            (!held).then(|| (address, Promise { owner: owner.name.clone(), zone }))
        };
        coming.filter_map(promise).collect()
    }

    /// What an outcome of this round changes, for people.
    pub fn diff(&self, outcome: &Outcome) -> Diff {
        Diff::new(&self.survey.snapshot, &outcome.plan, &outcome.holds, &outcome.findings)
    }

    /// Judges the policy's plan by what the policy saw, and what is made of it by what is there.
    fn judge(&self, answer: Plan) -> Result<VerifiedPlan, Failure> {
        let (snapshot, seen) = (&self.survey.snapshot, &self.settlement.snapshot);
        let saw_all = self.settlement.patches.is_empty() && self.survey.pinned.is_empty();
        let seen_base = if saw_all { self.base.clone() } else { EndState::before(seen) };
        let mut plan = answer;
        self.restrain_the_blind(&mut plan.patches);
        let mut end = check(seen, &seen_base, &plan).map_err(Failure::Rejected)?;
        plan.patches.extend(self.settlement.patches.iter().cloned());
        cancel(&mut plan.patches);
        if !saw_all {
            end = self.base.after(snapshot, &plan.patches, &mut Vec::new());
        }
        if self.combine(&mut plan, &end) || !saw_all {
            end = check(snapshot, &self.base, &plan).map_err(Failure::Unmatched)?;
        }
        Ok(VerifiedPlan::new(snapshot, &self.base, plan, end))
    }

    /// The host's patches alone. They only take away, so they pass; if they should not, nothing is done.
    fn host_only(&self) -> VerifiedPlan {
        let snapshot = &self.survey.snapshot;
        let nothing = Plan { generation: snapshot.generation, ..Plan::default() };
        self.judge(nothing.clone())
            .unwrap_or_else(|_| VerifiedPlan::new(snapshot, &self.base, nothing, self.base.clone()))
    }

    /// The host's patches, the policy's, and what follows from both: addresses that nobody holds leave their nodes.
    /// `end` is the state after the patches as they are; returns whether it is so no longer.
    fn combine(&self, plan: &mut Plan, end: &EndState) -> bool {
        let before = plan.patches.len();
        self.restrain(&mut plan.patches);
        self.untangle(&mut plan.patches, end);
        self.keep_unreplaced(plan, end);
        let held_back = self.hold_back(plan, before, end);
        let end = held_back.as_ref().unwrap_or(end);
        let mut follows = self.sweeps(&plan.patches, end);
        follows.extend(self.part_crowds(end));
        let changed = held_back.is_some() || !follows.is_empty();
        plan.patches.extend(follows);
        changed
    }

    /// Nobody who talks falls silent, and what depends on a patch that is held back is withdrawn, until nothing more
    /// follows. `end` is the state after `before` patches, of which some may be gone; returns the state after those that
    /// are left, if that is another one now.
    fn hold_back(&self, plan: &mut Plan, before: usize, end: &EndState) -> Option<EndState> {
        let after = |patches: &[Patch]| self.base.after(&self.survey.snapshot, patches, &mut Vec::new());
        let mut now = (plan.patches.len() < before).then(|| after(&plan.patches));
        let (mut silent, mut displaced) = (BTreeSet::new(), BTreeSet::new());
        // Each turn but the last withdraws a patch.
        for _ in 0..=before {
            let (held, waiting) = self.keep_until_replaced(&mut plan.patches, now.as_ref().unwrap_or(end));
            silent.extend(waiting);
            now = held.or(now);
            // Where nothing was held back, the plan is as good as it came.
            let Some(end) = &now else { break };
            if !self.withdraw_dependents(&mut plan.patches, end, &mut displaced) {
                break;
            }
            now = Some(after(&plan.patches));
        }
        Self::explain_withdrawn(displaced, &mut plan.holds);
        self.explain(silent, &mut plan.holds);
        now
    }
}

/// What the host takes off a node and the policy puts onto the same one stays.
fn cancel(patches: &mut Vec<Patch>) {
    let places = |patches: &[Patch], by_host| -> BTreeSet<(IpAddr, NodeIndex)> {
        let place = |patch: &Patch| match patch.operation {
            Operation::Unassign { address, node } if by_host && patch.by_host => Some((address, node)),
            Operation::Assign { address, node } if !by_host && !patch.by_host => Some((address, node)),
            _ => None,
        };
        patches.iter().filter_map(place).collect()
    };
    let off = places(patches, true);
    if off.is_empty() {
        return;
    }
    let stays: BTreeSet<_> = off.intersection(&places(patches, false)).copied().collect();
    patches.retain(|patch| match patch.operation {
        Operation::Assign { address, node } | Operation::Unassign { address, node } => {
            !stays.contains(&(address, node))
        }
        _ => true,
    });
}
