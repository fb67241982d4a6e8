//! One round, from facts to writes: the part that computes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sluice_core::name::PoolName;
use sluice_core::observed::Observed;
use sluice_core::round::{Outcome, Round};
use sluice_core::schedule::Target;
use sluice_policy::{Cost, LogLevel, LogRecord, Policy};
use tracing::{debug, error, info, warn};

use super::pauses::Setbacks;

/// A round before its writes.
pub(super) struct Thought {
    pub(super) round: Round,
    pub(super) outcome: Outcome,
    pub(super) cost: Cost,
    pub(super) took: Duration,
}

/// What came of a policy that wants to take over.
pub(super) enum Verdict {
    /// Its plan passed.
    Promoted(Policy),
    /// It stays out, for this reason.
    Refused(String),
}

/// Plans. Takes a processor for as long as policies may.
pub(super) fn think(observed: &Observed, policy: &Policy, setbacks: &Setbacks) -> Thought {
    let started = Instant::now();
    let round = Round::prepare_again(observed, &setbacks.refused);
    let (outcome, cost) = ask(&round, observed, policy, &setbacks.avoided);
    Thought { round, outcome, cost, took: started.elapsed() }
}

/// Plans with a policy that wants to take over, without consequences. Takes a processor for as long as policies may.
pub(super) fn try_out(observed: &Observed, candidate: Policy, setbacks: &Setbacks) -> Verdict {
    let round = Round::prepare_again(observed, &setbacks.refused);
    match ask(&round, observed, &candidate, &setbacks.avoided).0.failure {
        None => Verdict::Promoted(candidate),
        Some(failure) => Verdict::Refused(format!("shadow plan: {failure}")),
    }
}

fn ask(round: &Round, observed: &Observed, policy: &Policy, avoided: &BTreeSet<Target>) -> (Outcome, Cost) {
    let ran = policy.run(round.policy_input());
    let name = &policy.info().name;
    ran.logs.iter().for_each(|record| pass_on(name, record));
    if ran.dropped_logs > 0 {
        debug!(policy = name, dropped = ran.dropped_logs, "messages over the limits");
    }
    let answer = ran.result.map_err(|failure| format!("{}: {failure}", failure.name()));
    (round.finish(observed, answer, avoided), ran.cost)
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
        Target::NetNamespace(owner) | Target::Namespace(owner) => {
            observed.namespaces.get(owner).and_then(|facts| facts.pool.clone()).into_iter().collect()
        }
        Target::HostSubnet(node) | Target::Interface(node) => {
            let Some(node) = snapshot.node_named(node) else { return BTreeSet::new() };
            let zones = snapshot.zones.iter().filter(|zone| zone.nodes.contains(&node));
            zones.filter_map(|zone| Some(snapshot.pool(zone.pool)?.name.clone())).collect()
        }
    }
}
