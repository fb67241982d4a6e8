//! Every prefix of a schedule, and every state that partial failure leaves, is one from which planning converges.

use std::collections::BTreeSet;
use std::io::Write as _;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use sluice_core::network::{Target, Write};

use crate::cluster::Cluster;
use crate::judge::Start;
use crate::random::{Dice, scenario};
use crate::text::{cluster, state};

/// Rounds after which a small cluster must be at rest.
const PATIENCE: usize = 24;

fn check(cluster: &Cluster, start: &Start, when: &str) -> Result<(), String> {
    let breaches = start.breaches(cluster);
    if breaches.is_empty() { Ok(()) } else { Err(format!("{when}: {}\n{}", breaches.join("; "), state(cluster))) }
}

fn converges(mut cluster: Cluster, start: &Start, when: &str) -> Result<(), String> {
    let before = state(&cluster);
    if cluster.converge(PATIENCE).is_none() {
        return Err(format!("{when}: no rest after {PATIENCE} rounds, from\n{before}to\n{}", state(&cluster)));
    }
    let (_, outcome) = cluster.plan(&BTreeSet::new());
    let flaws = start.flaws(&cluster, &outcome);
    if flaws.is_empty() {
        return Ok(());
    }
    Err(format!("{when}: {}, from\n{before}to\n{}{:?}", flaws.join("; "), state(&cluster), outcome.holds))
}

fn order_is_sound(writes: &[Write]) -> Result<(), String> {
    for (position, write) in writes.iter().enumerate() {
        if write.after.iter().chain(&write.after_any).any(|&before| before >= position) {
            return Err(format!("write {position} waits for a later one"));
        }
        let earlier = (0..position).rev().find(|&earlier| writes[earlier].target == write.target);
        if earlier.is_some_and(|earlier| !write.after.contains(&earlier)) {
            return Err(format!("write {position} to {} does not wait for the one before", write.target));
        }
    }
    Ok(())
}

/// Runs a scenario, and again in a cloud that moves addresses in one call if it is in a cloud, or else with OVN-Kubernetes;
/// the number of states that were checked.
fn run(seed: u64) -> Result<usize, String> {
    let mut dice = Dice::new(seed);
    let text = scenario(&mut dice);
    let states = play(seed, &text, &mut dice)?;
    let in_one_call = text.replace("cloud azure", "cloud elsewhere reassigns");
    // Where there is no cloud, the same cluster also has the other network.
    let other = if in_one_call == text { format!("network ovn\n{text}") } else { in_one_call };
    Ok(states + play(seed, &other, &mut dice)?)
}

fn play(seed: u64, text: &str, dice: &mut Dice) -> Result<usize, String> {
    let explain = |error: String| format!("seed {seed}\n{text}{error}");
    let mut states = 0;
    let mut current = cluster(text);
    current.run_network();
    let start = Start::of(&current);
    // Round after round to the end, with all prefixes of every schedule on the way.
    for round in 0..PATIENCE {
        let (_, outcome) = current.plan(&BTreeSet::new());
        if let Some(failure) = outcome.failure() {
            return Err(explain(format!("round {round}: {failure}")));
        }
        if outcome.writes.is_empty() {
            break;
        }
        order_is_sound(&outcome.writes).map_err(explain)?;
        for end in 0..=outcome.writes.len() {
            let when = format!("round {round}, {end} of {} writes", outcome.writes.len());
            let mut prefix = current.clone();
            prefix.apply_all(&outcome.writes[..end], |_| false, |_| ());
            check(&prefix, &start, &when).map_err(explain)?;
            converges(prefix, &start, &when).map_err(explain)?;
            states += 1;
        }
        for _ in 0..3 {
            states += partly(&current, &start, &outcome.writes, dice).map_err(explain)?;
        }
        current.apply_all(&outcome.writes, |_| false, |_| ());
        current.remember(&outcome);
        current.run_network();
        current.run_cloud(|| !dice.one_in(3));
        // Where an owner's addresses have only one node left, one goes before the other can come.
        let mut next = current.clone();
        let (_, outcome) = next.plan(&BTreeSet::new());
        next.apply_all(&outcome.writes, |_| false, |_| ());
        next.run_network();
        let soon = start.silenced(&next);
        let mut silenced = start.silenced(&current);
        // A cloud takes its time between the one and the other, and longer than this looks ahead.
        silenced.retain(|who| soon.contains(who) && current.observed.cloud.is_none());
        if !silenced.is_empty() {
            return Err(explain(format!("round {round}: {}\n{}", silenced.join("; "), state(&current))));
        }
    }
    Ok(states)
}

/// Some writes fail, their dependants are left out, and the next rounds have to do without those objects.
fn partly(current: &Cluster, start: &Start, writes: &[Write], dice: &mut Dice) -> Result<usize, String> {
    let failing: Vec<bool> = writes.iter().map(|_| dice.one_in(4)).collect();
    let avoid: BTreeSet<Target> =
        writes.iter().zip(&failing).filter(|(_, fails)| **fails).map(|(write, _)| write.target.clone()).collect();
    let mut cluster = current.clone();
    let mut broken = Ok(());
    let mut states = 0;
    let when = format!("without {}", avoid.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    cluster.apply_all(
        writes,
        |position| failing[position],
        |cluster| {
            states += 1;
            broken = broken.clone().and_then(|()| check(cluster, start, &when));
        },
    );
    broken?;
    for round in 0..2 {
        let (_, outcome) = cluster.plan(&avoid);
        if let Some(write) = outcome.writes.iter().find(|write| avoid.contains(&write.target)) {
            return Err(format!("{when}: {} is written", write.target));
        }
        order_is_sound(&outcome.writes)?;
        let mut broken = Ok(());
        cluster.apply_all(
            &outcome.writes,
            |_| false,
            |cluster| {
                states += 1;
                broken =
                    broken.clone().and_then(|()| check(cluster, start, &format!("{when}, round {round} in back-off")));
            },
        );
        broken?;
        cluster.run_network();
    }
    converges(cluster, start, &format!("{when}, later"))?;
    Ok(states + 1)
}

/// `PROPTEST_CASES` asks for more clusters, `PROPTEST_RNG_SEED` for others.
#[test]
fn every_prefix_of_a_schedule_converges() {
    let mut config = ProptestConfig { failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0x0051_17ce);
    }
    let (cases, states) = (config.cases, std::cell::Cell::new(0));
    let result = TestRunner::new(config).run(&any::<u64>(), |seed| {
        states.set(states.get() + run(seed).map_err(TestCaseError::fail)?);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    // Not by `println!`: the test runner would show it only if the test fails.
    writeln!(std::io::stdout().lock(), "prefixes: {} states of {cases} clusters, all converged", states.get())
        .expect("stdout is open");
}
