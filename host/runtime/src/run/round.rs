//! One round, from facts to writes: the part that computes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sluice_core::name::PoolName;
use sluice_core::network::Target;
use sluice_core::observed::Observed;
use sluice_core::round::{Outcome, Round};
use sluice_policy::{CallError, Cancel, Cost, LogLevel, LogRecord, Policy};
use tracing::{debug, error, info, warn};

use super::pauses::Setbacks;
use super::succession::Failed;

/// A round before its writes.
pub(super) struct Thought {
    pub(super) round: Round,
    pub(super) outcome: Outcome,
    pub(super) cost: Cost,
    pub(super) took: Duration,
    /// How many tries a failure stands for.
    pub(super) tries: Failed,
}

/// Plans, with `excuse` for those who wait where the policy stands in with forced moves only. Takes a processor for as
/// long as policies may, or until it is cancelled.
pub(super) fn think(
    observed: &Observed,
    policy: &Policy,
    excuse: Option<String>,
    setbacks: &Setbacks,
    cancel: &Cancel,
) -> Thought {
    let started = Instant::now();
    let mut round = Round::prepare_again(observed, &setbacks.refused);
    if let Some(excuse) = excuse {
        round = round.forced_moves_only(excuse);
    }
    let ran = policy.run_until(round.policy_input(), cancel);
    let tries = if matches!(ran.result, Err(CallError::Timeout { .. })) { Failed::Twice } else { Failed::Once };
    let cost = ran.cost;
    let outcome = finish(&round, observed, policy, ran, &setbacks.avoided);
    Thought { round, outcome, cost, took: started.elapsed(), tries }
}

/// Plans with a policy that should plan and does not, without consequences: passed, or why not. Takes a processor for as
/// long as policies may, or until it is cancelled.
pub(super) fn try_out(
    observed: &Observed,
    policy: &Policy,
    setbacks: &Setbacks,
    cancel: &Cancel,
) -> Result<(), String> {
    let round = Round::prepare_again(observed, &setbacks.refused);
    let ran = policy.try_out(round.policy_input(), cancel);
    let failure = finish(&round, observed, policy, ran, &setbacks.avoided).failure;
    failure.map_or(Ok(()), |failure| Err(format!("shadow plan: {failure}")))
}

fn finish(
    round: &Round,
    observed: &Observed,
    policy: &Policy,
    ran: sluice_policy::Outcome,
    avoided: &BTreeSet<Target>,
) -> Outcome {
    let name = &policy.info().name;
    ran.logs.iter().for_each(|record| pass_on(name, record));
    if ran.dropped_logs > 0 {
        debug!(policy = name, dropped = ran.dropped_logs, "messages over the limits");
    }
    let answer = ran.result.map_err(|failure| format!("{}: {failure}", failure.name()));
    round.finish(observed, answer, avoided)
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
