//! One round, from facts to writes: the part that computes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sluice_core::name::PoolName;
use sluice_core::network::Target;
use sluice_core::observed::Observed;
use sluice_core::plan::Plan;
use sluice_core::round::{Grant, Outcome, Round};
use sluice_core::snapshot::Snapshot;
use sluice_core::text::bounded;
use sluice_policy::{CallError, Cancel, Cost, LogLevel, LogRecord, Policy};
use tracing::{debug, error, info, warn};

use super::pauses::Setbacks;
use super::succession::Tries;

/// The longest text about a failed call, in bytes.
const LONGEST_FAILURE: usize = 2000;

/// A round before its writes.
pub(super) struct Thought {
    pub(super) round: Round,
    pub(super) outcome: Outcome,
    /// What each slice's call took.
    pub(super) ran: Vec<Ran>,
    pub(super) took: Duration,
}

/// Who plans a slice of a round.
pub(super) struct Assigned {
    pub(super) policy: Policy,
    /// The policy stands in with forced moves only: what to tell those who wait for more.
    pub(super) excuse: Option<String>,
}

/// What a policy's call took.
pub(super) struct Ran {
    pub(super) cost: Cost,
    /// How many tries a failure stands for.
    pub(super) tries: Tries,
}

/// Plans the slices of all grants, each by whom it is assigned to. Takes a processor for as long as policies may, or until
/// it is cancelled.
pub(super) fn think(
    observed: &Observed,
    grants: &[Grant],
    assigned: &[Assigned],
    setbacks: &Setbacks,
    cancel: &Cancel,
) -> Thought {
    let started = Instant::now();
    let mut round = Round::divided(observed, &setbacks.refused, grants);
    for (nth, assigned) in assigned.iter().enumerate() {
        if let Some(excuse) = &assigned.excuse {
            round.forced_moves_only(nth, observed, excuse.clone());
        }
    }
    let ask = |(assigned, input): (&Assigned, &Snapshot)| {
        let ran = assigned.policy.run_until(input, cancel);
        let tries = if matches!(ran.result, Err(CallError::Timeout { .. })) { Tries::Two } else { Tries::One };
        (Ran { cost: ran.cost, tries }, answer(&assigned.policy, ran))
    };
    let (ran, answers) = assigned.iter().zip(round.inputs()).map(ask).unzip();
    let outcome = round.finish_all(observed, answers, &setbacks.avoided);
    Thought { round, outcome, ran, took: started.elapsed() }
}

/// Plans one slice, of the grants the one at the position, with a policy that should plan it and does not, without
/// consequences: passed, or why not. Takes a processor for as long as policies may, or until it is cancelled.
pub(super) fn try_out(
    observed: &Observed,
    (grants, nth): (&[Grant], usize),
    policy: &Policy,
    setbacks: &Setbacks,
    cancel: &Cancel,
) -> Result<(), String> {
    let round = Round::divided(observed, &setbacks.refused, grants);
    let Some(input) = round.inputs().nth(nth) else { return Err("the slice is gone".to_owned()) };
    let mut answers = vec![Err("not asked".to_owned()); nth];
    answers.push(answer(policy, policy.try_out(input, cancel)));
    let outcome = round.finish_all(observed, answers, &setbacks.avoided);
    let failure = outcome.slices.into_iter().nth(nth).and_then(|slice| slice.failure);
    failure.map_or(Ok(()), |failure| Err(format!("shadow plan: {failure}")))
}

/// Passes on what a policy said, and takes its plan.
fn answer(policy: &Policy, ran: sluice_policy::CallOutcome) -> Result<Plan, String> {
    let name = &policy.info().name;
    ran.logs.iter().for_each(|record| pass_on(name, record));
    if ran.dropped_logs > 0 {
        debug!(policy = name, dropped = ran.dropped_logs, "messages over the limits");
    }
    // A guest has its say in the text, which must not look like several lines of a log or of a condition.
    ran.result.map_err(|failure| bounded(&format!("{}: {failure}", failure.name()), LONGEST_FAILURE))
}

fn pass_on(policy: &str, LogRecord { level, message }: &LogRecord) {
    match level {
        LogLevel::Debug => debug!(policy, message, "policy"),
        LogLevel::Info => info!(policy, message, "policy"),
        LogLevel::Warn => warn!(policy, message, "policy"),
        LogLevel::Error => error!(policy, message, "policy"),
    }
}

/// The pools that an object matters to.
pub(super) fn pools_of(target: &Target, observed: &Observed, round: &Round) -> BTreeSet<PoolName> {
    let snapshot = &round.surveyed().snapshot;
    match target {
        Target::Pool(name) => BTreeSet::from([name.clone()]),
        Target::Holding(owner) | Target::Namespace(owner) => {
            observed.namespaces.get(owner).and_then(|facts| facts.pool.clone()).into_iter().collect()
        }
        Target::Carrier(node) | Target::Interface(node) => {
            let Some(node) = snapshot.node_named(node) else { return BTreeSet::new() };
            let zones = snapshot.zones.iter().filter(|zone| zone.nodes.contains(&node));
            zones.filter_map(|zone| Some(snapshot.pool(zone.pool)?.name.clone())).collect()
        }
    }
}
