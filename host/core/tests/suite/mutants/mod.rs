//! The checker against plans that were good until somebody broke them, each in one way.

mod kinds;
mod parts;

use std::collections::BTreeMap;
use std::io::Write as _;

use sluice_core::round::Round;
use sluice_core::verify::verify;

use crate::honest;
use crate::random::{Dice, scenario};
use crate::text::cluster;
use kinds::KINDS;

#[test]
fn every_kind_of_broken_plan_is_refused_by_its_name() {
    let mut refused: BTreeMap<&str, usize> = KINDS.iter().map(|(name, ..)| (*name, 0)).collect();
    let mut good = 0;
    for seed in 0..600 {
        let cluster = cluster(&scenario(&mut Dice::new(seed)));
        let snapshot = Round::prepare(&cluster.observed).policy_input().clone();
        let plan = honest::plan(&snapshot);
        if let Err(rejection) = verify(&snapshot, plan.clone()) {
            panic!("seed {seed}: a good plan is refused: {rejection}");
        }
        good += 1;
        for (name, invariant, break_it) in KINDS {
            let (mut snapshot, mut plan) = (snapshot.clone(), plan.clone());
            if break_it(&mut snapshot, &mut plan).is_none() {
                continue;
            }
            match verify(&snapshot, plan.clone()) {
                Ok(_) => panic!("seed {seed}: a plan that {name} is accepted: {plan:#?}"),
                Err(rejection) if rejection.findings.iter().all(|finding| finding.invariant != *invariant) => {
                    panic!("seed {seed}: a plan that {name} is refused as {rejection}")
                }
                Err(_) => *refused.get_mut(name).expect("listed above") += 1,
            }
        }
    }
    let idle: Vec<_> = refused.iter().filter(|(_, count)| **count < 5).collect();
    assert!(idle.is_empty(), "hardly tried: {idle:?}");
    let plans: usize = refused.values().sum();
    // Not by `println!`: the test runner would show it only if the test fails.
    writeln!(
        std::io::stdout().lock(),
        "mutants: {} kinds, {plans} plans, all rejected; {good} good plans accepted",
        KINDS.len()
    )
    .expect("stdout is open");
}
