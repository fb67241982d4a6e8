//! Rounds one after the other on a copy of the cluster: what waits for a cloud's updates is written in later rounds than
//! these, and what waits for the network to see labels in a later one than the labels. Where the network itself chooses the
//! nodes there are two rounds, since what it chooses then cannot be known.

use std::collections::BTreeSet;

use sluice_core::diff::Diff;
use sluice_core::network::Network;
use sluice_core::network::Write;
use sluice_core::observed::Observed;
use sluice_core::round::{Failure, Outcome, Round};
use sluice_policy::Policy;

/// After so many milliseconds the network has seen a label, and whoever is new is not new any more.
const A_MOMENT: u64 = 1_000;

/// Most rounds that are played.
const MOST_ROUNDS: usize = 64;

/// What would happen if nothing came in between.
pub(super) struct Rehearsal {
    /// The first round, which knows the cluster as it is.
    pub(super) round: Round,
    /// What came of it.
    pub(super) first: Outcome,
    /// What changes in all rounds, and who is not served in the end.
    pub(super) diff: Diff,
    /// The writes. Those of each stage wait until the interfaces that the one before it writes are updated, or until the
    /// network sees the labels that the one before it writes.
    pub(super) stages: Vec<Vec<Write>>,
    /// Why the policy's plan is not part of a round.
    pub(super) failure: Option<Failure>,
    /// The last round found nothing to do.
    pub(super) is_at_rest: bool,
}

impl Rehearsal {
    /// Plays the rounds: all that a cloud's interfaces take; otherwise one, or two with OVN-Kubernetes.
    pub(super) fn of(policy: &Policy, observed: &Observed) -> Self {
        // Labels that are there have been there for long.
        let mut observed = observed.clone();
        observed.now += A_MOMENT;
        let (round, first) = plan(policy, &observed);
        let mut rehearsal = Self {
            diff: round.diff(&first),
            stages: Vec::new(),
            failure: first.failure().cloned(),
            is_at_rest: true,
            round,
            first: first.clone(),
        };
        if observed.cloud.as_ref().is_some_and(|cloud| cloud.writes) {
            rehearsal.play(policy, observed, first);
        } else {
            first.writes.iter().for_each(|write| _ = observed.carry_out(write));
            observed.now += A_MOMENT;
            let placing = observed.network == Network::OvnKubernetes && !first.writes.is_empty();
            rehearsal.stages.push(first.writes);
            if placing {
                rehearsal.stages.push(plan(policy, &observed).1.writes);
            }
        }
        rehearsal
    }

    fn play(&mut self, policy: &Policy, mut cluster: Observed, mut outcome: Outcome) {
        let mut stage = Vec::new();
        for _ in 0..MOST_ROUNDS {
            let is_over = outcome.writes.is_empty();
            for write in &outcome.writes {
                cluster.carry_out(write);
            }
            stage.append(&mut outcome.writes);
            if is_over {
                self.stages.push(std::mem::take(&mut stage));
                if !cluster.end_updates(|_| true) {
                    return;
                }
            }
            let mut promises = cluster.promises.clone();
            promises.append(&mut outcome.promises);
            cluster.promise(&promises);
            let round;
            (round, outcome) = plan(policy, &cluster);
            self.diff.go_on(round.diff(&outcome));
            self.failure = self.failure.take().or(outcome.failure().cloned());
        }
        self.stages.push(stage);
        self.is_at_rest = false;
    }
}

fn plan(policy: &Policy, observed: &Observed) -> (Round, Outcome) {
    let round = Round::prepare(observed);
    let answer = policy.run(round.policy_input()).result.map_err(|error| error.to_string());
    let outcome = round.finish(observed, answer, &BTreeSet::new());
    (round, outcome)
}
