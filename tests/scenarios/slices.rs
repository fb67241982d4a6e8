//! Two real policies plan one cluster side by side: `zone-spread` for a tenant's namespaces out of ranges of its own, `pack`
//! for everybody else. In every third round one of them traps.

use std::collections::BTreeSet;
use std::io::Write as _;

use ipnet::IpNet;
use sluice_core::network::versions;
use sluice_core::observed::{Listed, Observed};
use sluice_core::plan::Plan;
use sluice_core::round::{Grant, Outcome, Round};
use sluice_policy::{Compiler, Limits, Policy, PolicyHost};
use sluice_runtime::apply::apply;
use sluice_sandbox::{Dice, Expectation, Sandbox, audit};

use super::native_and_wasm::script;

const CLUSTERS: u64 = 12;
const EVENTS: usize = 12;
const MOST_ROUNDS: usize = 24;
/// Milliseconds after which all that was deleted is gone.
const GOING: u64 = 120_000;

/// Half of the namespaces that the script may make, and the upper half of every range of the moment.
fn grants(observed: &Observed) -> Vec<Grant> {
    let ranges = observed.pools.values().flat_map(|facts| {
        facts.spec.entries.iter().map(|entry| entry.cidr).chain(facts.spec.cidr).collect::<Vec<IpNet>>()
    });
    let tenant = Grant {
        name: "tenant".to_owned(),
        owners: Some(["bank", "docs", "feed", "home", "jobs"].map(Into::into).into()),
        ranges: ranges.filter_map(|range| range.subnets(range.prefix_len() + 1).ok()?.nth(1)).collect(),
        node_percent: None,
    };
    vec![tenant, Grant { name: "others".to_owned(), ..Grant::default() }]
}

struct Life {
    sandbox: Sandbox,
    policies: [Policy; 2],
    rounds: usize,
    traps: usize,
}

impl Life {
    fn round(&mut self) -> Outcome {
        let observed = self.sandbox.observe();
        let round = Round::divided(&observed, &BTreeSet::new(), &grants(&observed));
        self.rounds += 1;
        let traps = self.rounds.is_multiple_of(3).then_some(self.rounds / 3 % 2);
        let answer = |(nth, seen)| -> Result<Plan, String> {
            if traps == Some(nth) {
                return Err("trap".to_owned());
            }
            Ok(self.policies[nth].plan(seen).unwrap().plan)
        };
        let answers = round.inputs().enumerate().map(answer).collect();
        let outcome = round.finish_all(&observed, answers, &BTreeSet::new());
        for (nth, slice) in outcome.slices.iter().enumerate() {
            let fails = traps == Some(nth);
            self.traps += usize::from(fails);
            assert_eq!(slice.failure.is_some(), fails, "{}: {:?}", slice.name, slice.failure);
        }
        let versions = versions(&observed, &outcome.writes);
        self.sandbox.run(apply(&self.sandbox, &outcome.writes, versions, |_| true)).unwrap();
        self.sandbox.settle();
        outcome
    }

    /// Rounds until nothing is left to do for either. What they hold back then.
    fn rest(&mut self, when: &str) -> Outcome {
        for _ in 0..MOST_ROUNDS {
            let outcome = self.round();
            if outcome.writes.is_empty() && outcome.failure().is_none() {
                return outcome;
            }
        }
        panic!("{when}: no rest after {MOST_ROUNDS} rounds");
    }

    /// The tenant holds nothing new outside its ranges, and nobody else anything inside them.
    fn is_divided(&self, when: &str) {
        let observed = self.sandbox.observe();
        let grants = grants(&observed);
        let (tenant, ranges) = (grants[0].owners.as_ref().unwrap(), &grants[0].ranges);
        for (name, facts) in &observed.holdings {
            for address in facts.egress_ips.iter().filter_map(Listed::address) {
                let inside = ranges.iter().any(|range| range.contains(&address));
                assert_eq!(inside, tenant.contains(name), "{when}: {name} holds {address}");
            }
        }
    }
}

#[test]
fn two_policies_plan_one_cluster() {
    let host = PolicyHost::new(Limits::default(), Compiler::InProcess).unwrap();
    let load = |component| host.load(component, "{}").unwrap();
    let policies = [load(sluice_builtin_policies::ZONE_SPREAD), load(sluice_builtin_policies::PACK)];
    let (mut rounds, mut traps) = (0, 0);
    for seed in 0..CLUSTERS {
        let (sandbox, mut dice) = (Sandbox::new(seed), Dice::new(!seed));
        script::build(&sandbox, &mut dice);
        let mut life = Life { sandbox, policies: policies.clone(), rounds: 0, traps: 0 };
        life.rest(&format!("cluster {seed}"));
        life.is_divided(&format!("cluster {seed}"));
        for event in 0..EVENTS {
            let Some(event) = script::event(&life.sandbox.observe(), &mut dice).map(|happens| (event, happens)) else {
                continue;
            };
            let when = format!("cluster {seed}, event {}: {}", event.0, event.1);
            life.sandbox.happen(event.1);
            life.rest(&when);
            // A namespace goes on for a while after it was deleted, and its object longer.
            life.sandbox.advance(GOING);
            let outcome = life.rest(&when);
            let audit = audit(&life.sandbox.observe(), &outcome.holds, Expectation::Some);
            assert!(audit.complaints.is_empty(), "{when}: {:?}", audit.complaints);
        }
        (rounds, traps) = (rounds + life.rounds, traps + life.traps);
    }
    writeln!(std::io::stdout().lock(), "two policies: {CLUSTERS} clusters, {rounds} rounds, {traps} traps")
        .expect("stdout is open");
    assert!(rounds > 300 && traps > 100, "{rounds} rounds, {traps} traps");
}
