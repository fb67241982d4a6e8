//! One planning round, from facts to writes, around the call of a policy.
//!
//! `Round::prepare` -> each policy plans its slice from [`Round::inputs`] -> `Round::finish`. Pure: who calls it does the I/O.

mod cause;
mod draft;
mod explain;
mod slices;
mod stand_in;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use self::draft::{Draft, Drafted};
pub use self::slices::Grant;
use self::slices::Slice;
use crate::diff::Diff;
use crate::name::{OwnerIndex, OwnerName, PoolIndex};
use crate::network::{self, Change, Target, Write};
use crate::observed::{Observed, Promise};
use crate::plan::Plan;
use crate::settle::Settlement;
use crate::snapshot::Snapshot;
use crate::survey::{NamedHold, Survey};
use crate::verify::{EndState, Finding, Rejection, VerifiedPlan, check};

/// A round that waits for the policies' answers.
#[derive(Clone, Debug)]
pub struct Round {
    survey: Survey,
    settlement: Settlement,
    base: EndState,
    slices: Vec<Slice>,
}

/// What a round came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The plan to apply: the host's patches, and those of the slices that did not fail.
    pub plan: VerifiedPlan,
    /// What became of each slice, in their order.
    pub slices: Vec<SliceOutcome>,
    /// Everyone who is not served, sorted. Of a slice that failed, only those whom the host itself holds.
    pub holds: Vec<NamedHold>,
    /// Breaches that were there before, and those of refused plans.
    pub findings: Vec<Finding>,
    /// Writes in the order of application.
    pub writes: Vec<Write>,
    /// Who will hold the addresses that the writes put onto interfaces, where they do not yet: to be shown again in
    /// [`Observed::promises`] until they do.
    pub promises: BTreeMap<IpAddr, Promise>,
    /// When to look again although nothing changes, in Unix milliseconds.
    pub again_at: Option<u64>,
}

/// What became of one slice.
#[derive(Clone, Debug, PartialEq)]
pub struct SliceOutcome {
    /// The name of its grant.
    pub name: String,
    /// Unforced changes that it may make when it has made none.
    pub budget: u32,
    /// Why its policy's plan is not part of the whole.
    pub failure: Option<Failure>,
}

impl Outcome {
    /// The first slice's failure, if any failed.
    pub fn failure(&self) -> Option<&Failure> {
        self.slices.iter().find_map(|slice| slice.failure.as_ref())
    }
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
    /// The plan was good as it came, but not together with what the host and the slices before it change and keep. Nobody
    /// is to blame for it, but the slice is served by nobody as long as it is so: it counts as a failure.
    #[error("the policy's plan does not go together with what the host does by itself: {0}")]
    Unmatched(Rejection),
}

impl Round {
    /// Surveys the cluster and settles what the host settles by itself. One policy plans everything.
    pub fn prepare(observed: &Observed) -> Self {
        Self::prepare_again(observed, &BTreeSet::new())
    }

    /// The same after setbacks: objects of `refused` could not be written when they were tried last.
    pub fn prepare_again(observed: &Observed, refused: &BTreeSet<Target>) -> Self {
        Self::divided(observed, refused, &[Grant::default()])
    }

    /// The same for several policies, with a slice for each grant. Owners that no grant names, where each names some, keep
    /// what they have.
    pub fn divided(observed: &Observed, refused: &BTreeSet<Target>, grants: &[Grant]) -> Self {
        let mut survey = Survey::of(observed);
        survey.spare_nodes(observed, refused);
        let mut settlement = Settlement::of(&survey, refused);
        let slices = Slice::of(&mut settlement, grants, &observed.recent.spent);
        let budgets = slices.iter().map(|slice| slice.snapshot(&settlement.snapshot).budget);
        survey.snapshot.budget = budgets.fold(0, u32::saturating_add);
        let base = EndState::before(&survey.snapshot);
        Self { survey, settlement, base, slices }
    }

    /// What each policy plans from.
    pub fn inputs(&self) -> impl Iterator<Item = &Snapshot> {
        self.slices.iter().map(|slice| slice.snapshot(&self.settlement.snapshot))
    }

    /// What the only policy plans from; of several, the first one.
    pub fn policy_input(&self) -> &Snapshot {
        self.inputs().next().unwrap_or(&self.settlement.snapshot)
    }

    /// What was there before anything was settled.
    pub fn surveyed(&self) -> &Survey {
        &self.survey
    }

    /// The position of the slice that plans an owner.
    pub fn slice_of(&self, owner: OwnerIndex) -> Option<usize> {
        self.slices.iter().position(|slice| slice.has(owner))
    }

    /// Whether a slice has owners of a pool, or everything.
    pub fn plans_in(&self, slice: usize, pool: PoolIndex) -> bool {
        let Some(slice) = self.slices.get(slice) else { return false };
        let owners = &slice.snapshot(&self.settlement.snapshot).owners;
        slice.is_whole() || owners.iter().any(|owner| owner.pool == pool)
    }

    /// [`Self::finish_all`] for the answer of a policy that plans everything.
    pub fn finish(&self, observed: &Observed, answer: Result<Plan, String>, avoid: &BTreeSet<Target>) -> Outcome {
        self.finish_all(observed, vec![answer], avoid)
    }

    /// Checks the policies' answers, in the order of their slices, and makes writes of them. Who gave no answer failed, for
    /// the reason that stands there instead. `avoid` names objects that are not to be written now, since an earlier write
    /// to them failed; what depends on them waits, everything else goes on.
    pub fn finish_all(
        &self,
        observed: &Observed,
        answers: Vec<Result<Plan, String>>,
        avoid: &BTreeSet<Target>,
    ) -> Outcome {
        let answers = answers.into_iter().chain(std::iter::repeat_with(|| Err("it gave no answer".to_owned())));
        let judged: Vec<_> = self.slices.iter().zip(answers).map(|(slice, answer)| self.judge(slice, answer)).collect();
        let (plan, judged) = self.put_together(judged);
        let unknown = self.unknown(&judged);
        let holds = self.explained(observed, &plan, &judged, &unknown);
        let mut findings = plan.inherited().to_vec();
        for judgement in &judged {
            if let Err(Failure::Rejected(rejection) | Failure::Unmatched(rejection)) = &judgement {
                findings.extend(rejection.findings.iter().cloned());
            }
        }
        findings.sort();
        let unknown = self.names_of(&unknown);
        let explained = network::Explained { holds: &holds, unknown: &unknown };
        let writes = network::schedule(observed, &self.survey, &plan, explained, avoid);
        let promises = self.promises(&plan, &writes);
        let slices = self.slices.iter().zip(judged).map(|(slice, judgement)| SliceOutcome {
            name: slice.name.clone(),
            budget: slice.budget,
            failure: judgement.err(),
        });
        Outcome { slices: slices.collect(), plan, holds, findings, writes, promises, again_at: self.survey.again_at }
    }

    /// Judges an answer by what its policy saw; a good one names owners by their indices in the whole.
    fn judge(&self, slice: &Slice, answer: Result<Plan, String>) -> Result<Plan, Failure> {
        let plan = self.that_counts(slice, answer.map_err(Failure::Policy)?);
        let seen = slice.snapshot(&self.settlement.snapshot);
        let base = if self.is_shown_whole() { self.base.clone() } else { EndState::before(seen) };
        check(seen, &base, &plan).map_err(Failure::Rejected)?;
        Ok(slice.lift(plan))
    }

    /// Whether one policy sees all that is there, as it is.
    fn is_shown_whole(&self) -> bool {
        self.slices.iter().all(Slice::is_whole)
            && self.settlement.patches.is_empty()
            && self.survey.constraints.immovable.is_empty()
    }

    /// Makes one plan of the good answers and of what the host does by itself. If they do not go together, slices are left
    /// out, the last ones first.
    fn put_together(&self, judged: Vec<Result<Plan, Failure>>) -> (VerifiedPlan, Vec<Result<Plan, Failure>>) {
        let good: Vec<&Plan> = judged.iter().flatten().collect();
        if let Ok(plan) = self.combine(&good) {
            return (plan, judged);
        }
        let mut kept: Vec<Plan> = Vec::new();
        let mut sifted = Vec::new();
        for judgement in judged {
            let tried = judgement.and_then(|plan| {
                let all: Vec<&Plan> = kept.iter().chain([&plan]).collect();
                self.combine(&all).map_err(Failure::Unmatched)?;
                kept.push(plan.clone());
                Ok(plan)
            });
            sifted.push(tried);
        }
        let plan = self.combine(&kept.iter().collect::<Vec<_>>());
        // The host's own patches only take away, so they pass; if they should not, nothing is done.
        (plan.unwrap_or_else(|_| self.nothing()), sifted)
    }

    fn combine(&self, answers: &[&Plan]) -> Result<VerifiedPlan, Rejection> {
        let snapshot = &self.survey.snapshot;
        let mut holds: Vec<_> = answers.iter().flat_map(|plan| plan.holds.iter().cloned()).collect();
        let Drafted { patches, end, holds: others, is_altered } = Draft::of(self, answers).finish(&holds);
        holds.extend(others);
        holds.extend(self.deserted(&holds));
        let plan = Plan { generation: snapshot.generation, patches, holds };
        let end = if is_altered { check(snapshot, &self.base, &plan)? } else { end };
        Ok(VerifiedPlan::new(snapshot, &self.base, plan, end))
    }

    fn names_of(&self, owners: &BTreeSet<OwnerIndex>) -> BTreeSet<OwnerName> {
        owners.iter().filter_map(|&owner| Some(self.survey.snapshot.owner(owner)?.name.clone())).collect()
    }

    fn nothing(&self) -> VerifiedPlan {
        let plan = Plan { generation: self.survey.snapshot.generation, ..Plan::default() };
        VerifiedPlan::new(&self.survey.snapshot, &self.base, plan, self.base.clone())
    }

    fn promises(&self, plan: &VerifiedPlan, writes: &[Write]) -> BTreeMap<IpAddr, Promise> {
        let snapshot = &self.survey.snapshot;
        let coming = writes.iter().flat_map(|write| match &write.change {
            Change::Interface { on, .. } => on.iter().copied().collect(),
            _ => Vec::new(),
        });
        let promise = |address: IpAddr| {
            let (owner, zone) = plan.end().ownership_of(address)?;
            let owner = snapshot.owner(owner)?;
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
}
