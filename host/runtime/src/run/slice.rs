//! One slice of the rounds: who plans it, and who is tried out for it.
//!
//! Today there is one, which has everything; its policies come from the command line.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::select_all;
use sluice_core::observed::Observed;
use sluice_core::round::{Failure, Grant};
use sluice_policy::Policy;
use tokio::time::Instant;
use tracing::{error, info};

use super::metrics::Metrics;
use super::pauses::Setbacks;
use super::round::{Assigned, Ran};
use super::succession::{ASK_AGAIN, Rank, Succession, Turn};
use super::swap::Offer;
use super::trial::{Trials, Verdict, Whom};

/// Who plans a slice.
pub(super) struct Slice {
    grant: Grant,
    policies: Succession<Policy>,
    /// A policy that waits for a snapshot to prove itself on.
    candidate: Option<Policy>,
    /// Policies that plan beside the rounds.
    trials: Trials,
    /// Why the files' newest policy is not the active one.
    refusal: Option<String>,
    /// The failure that was logged last, so that it is logged once.
    said: Option<String>,
}

impl Slice {
    pub(super) fn new(grant: Grant, policies: Succession<Policy>) -> Self {
        Self { grant, policies, candidate: None, trials: Trials::default(), refusal: None, said: None }
    }

    pub(super) fn grant(&self) -> &Grant {
        &self.grant
    }

    pub(super) fn name(&self) -> &str {
        &self.grant.name
    }

    /// Who plans now.
    pub(super) fn policies(&self) -> &Succession<Policy> {
        &self.policies
    }

    /// Why the newest policy does not plan, if so.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// What the next round needs to know.
    pub(super) fn assigned(&self) -> Assigned {
        let excuse = (self.policies.rank() == Rank::BuiltIn).then(|| self.policies.excuse());
        Assigned { policy: self.policies.policy().clone(), excuse }
    }

    /// Takes what the policy's files have now.
    pub(super) async fn consider(&mut self, offer: Offer, metrics: &Metrics) {
        // What was offered before is no longer in the files.
        self.trials.end().await;
        match offer {
            Offer::Policy(policy) => self.candidate = Some(*policy),
            Offer::Refused(reason) => {
                self.candidate = None;
                self.refuse(reason, metrics);
            }
        }
    }

    /// Lets a policy prove itself, if there is one: a new one, or one that failed. `among` are all slices' grants, of which
    /// this is the `nth`.
    pub(super) async fn try_out(&mut self, among: (&[Grant], usize), observed: &Arc<Observed>, setbacks: &Setbacks) {
        if let Some(candidate) = self.candidate.take() {
            self.trials.begin(Whom::New, candidate, among, observed, setbacks).await;
        } else if self.trials.are_over()
            && let Some((rank, policy)) = self.policies.due(Instant::now())
        {
            self.trials.begin(Whom::Failed(rank), policy, among, observed, setbacks).await;
        }
    }

    /// Draws the consequences of a trial; whether another policy plans now.
    pub(super) fn decide(&mut self, Verdict { whom, policy, passed }: Verdict, metrics: &Metrics) -> bool {
        match (whom, passed) {
            (Whom::New, Ok(())) => {
                self.promote(policy, metrics);
                true
            }
            (Whom::New, Err(reason)) => {
                self.refuse(reason, metrics);
                false
            }
            (Whom::Failed(rank), passed) => {
                let name = &policy.info().name;
                if let Err(reason) = &passed {
                    info!(policy = name, reason, "the policy still fails");
                }
                let passed = self.policies.tried(rank, passed.is_ok(), Instant::now()) == Turn::Passed;
                if passed {
                    info!(policy = name, "the policy made good plans, and plans again");
                }
                passed
            }
        }
    }

    fn promote(&mut self, policy: Policy, metrics: &Metrics) {
        let info = policy.info();
        info!(name = info.name, version = info.version, digest = info.digest, "the new policy plans from now on");
        metrics.swapped(true);
        self.refusal = None;
        self.policies.choose(policy, Instant::now());
    }

    fn refuse(&mut self, reason: String, metrics: &Metrics) {
        let active = &self.policies.policy().info().name;
        error!(reason, active, "the new policy is refused; the active one stays");
        metrics.swapped(false);
        self.policies.refused(&reason);
        self.refusal = Some(reason);
    }

    /// After a plan: who plans next, and when to ask again although nothing happens.
    pub(super) fn planned(&mut self, ran: &Ran, failure: Option<&Failure>, now: Instant) -> (Turn, Option<Instant>) {
        let result = failure.map_or(Ok(()), |failure| Err((ran.tries, failure.to_string())));
        let turn = self.policies.planned(result, now);
        let again = (turn == Turn::AskAgain).then(|| now + ASK_AGAIN);
        (turn, again)
    }

    /// Logs a failure once, and its end.
    pub(super) fn remark(&mut self, failure: Option<&Failure>) {
        let failure = failure.map(ToString::to_string);
        if failure != self.said {
            let policy = &self.policies.policy().info().name;
            if let Some(failure) = &failure {
                error!(failure, policy, "what is applied stays");
            } else {
                info!(policy, "the policy plans again");
            }
            self.said = failure;
        }
    }

    /// When somebody is to be tried out next.
    pub(super) fn next_trial(&self) -> Option<Instant> {
        self.policies.next_trial().filter(|_| self.trials.are_over())
    }

    /// Ends the trial that is under way.
    pub(super) async fn end(&mut self) {
        self.trials.end().await;
    }
}

/// The first verdict of the trials that are under way, with the position of its slice; none: there is no trial. May be
/// dropped and asked again.
pub(super) async fn verdict(slices: &mut [Slice]) -> Option<(usize, Verdict)> {
    let under_way = slices.iter_mut().enumerate().filter(|(_, slice)| !slice.trials.are_over());
    let waiting: Vec<_> =
        under_way.map(|(at, slice)| async move { (at, slice.trials.verdict().await) }.boxed()).collect();
    if waiting.is_empty() {
        return None;
    }
    let ((at, verdict), ..) = select_all(waiting).await;
    Some((at, verdict?))
}
