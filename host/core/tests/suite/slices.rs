//! Two policies side by side, on random clusters: one fails now and then, which is no concern of the other.

use std::collections::BTreeSet;
use std::io::Write as _;

use sluice_core::round::{Grant, Outcome, Round};

use crate::cluster::Cluster;
use crate::honest;
use crate::judge::Start;
use crate::random::{Dice, scenario};
use crate::text::{cluster, state};

/// Rounds after which a small cluster must be at rest.
const PATIENCE: usize = 24;
const CLUSTERS: u64 = 300;

/// Every other namespace is the tenant's, and the upper half of every range.
fn grants(cluster: &Cluster) -> Vec<Grant> {
    let ranges = cluster.observed.pools.values().flat_map(|facts| &facts.spec.entries).map(|entry| entry.cidr);
    let upper = |range: ipnet::IpNet| range.subnets(range.prefix_len() + 1).ok()?.nth(1);
    let tenant = Grant {
        name: "tenant".to_owned(),
        owners: Some(cluster.observed.namespaces.keys().step_by(2).cloned().collect()),
        ranges: ranges.filter_map(upper).collect(),
        node_percent: None,
    };
    vec![tenant, Grant { name: "others".to_owned(), ..Grant::default() }]
}

fn round(cluster: &mut Cluster, grants: &[Grant], failing: Option<usize>) -> Outcome {
    cluster.run_network();
    cluster.run_cloud(|| true);
    let round = Round::divided(&cluster.observed, &BTreeSet::new(), grants);
    let answer = |(nth, seen)| if failing == Some(nth) { Err("trap".to_owned()) } else { Ok(honest::plan(seen)) };
    let answers = round.inputs().enumerate().map(answer).collect();
    let outcome = round.finish_all(&cluster.observed, answers, &BTreeSet::new());
    cluster.apply_all(&outcome.writes, |_| false, |_| ());
    cluster.remember(&outcome);
    outcome
}

fn play(seed: u64) -> Result<usize, String> {
    let mut dice = Dice::new(seed);
    let text = scenario(&mut dice);
    let mut current = cluster(&text);
    let grants = grants(&current);
    if grants[0].ranges.is_empty() {
        return Ok(0);
    }
    current.run_network();
    let start = Start::of(&current);
    let explain = |what: &str, current: &Cluster| format!("seed {seed}\n{text}{what}\n{}", state(current));
    for nth in 0..PATIENCE {
        // From the third round on all are well.
        let failing = (nth < 3 && dice.one_in(2)).then(|| dice.below(2));
        let outcome = round(&mut current, &grants, failing);
        for (slice, became) in outcome.slices.iter().enumerate().filter(|(slice, _)| Some(*slice) != failing) {
            if let Some(failure) = &became.failure {
                return Err(explain(&format!("round {nth}, slice {slice}: {failure}"), &current));
            }
        }
        let breaches = start.breaches(&current);
        if !breaches.is_empty() {
            return Err(explain(&format!("round {nth}: {}", breaches.join("; ")), &current));
        }
        if nth >= 3 && outcome.writes.is_empty() {
            let silenced = start.silenced(&current);
            return if silenced.is_empty() { Ok(nth) } else { Err(explain(&silenced.join("; "), &current)) };
        }
    }
    Err(explain("no rest", &current))
}

#[test]
fn two_policies_never_disturb_each_other() {
    let results: Vec<Result<usize, String>> = (0..CLUSTERS).map(play).collect();
    let wrong: Vec<&String> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(wrong.is_empty(), "{} of {CLUSTERS} went wrong, of which the first: {}", wrong.len(), wrong[0]);
    let rounds: usize = results.iter().flatten().sum();
    let divided = results.iter().flatten().filter(|&&rounds| rounds > 0).count();
    assert!(divided > 100, "only {divided} clusters had ranges to divide");
    writeln!(std::io::stdout().lock(), "two policies: {divided} clusters, {rounds} rounds").expect("stdout is open");
}
