//! What a round of the host takes where there is much of everything, the policy left out.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

use sluice_core::observed::Observed;
use sluice_core::plan::Plan;
use sluice_core::round::Round;

mod facts;

use crate::report::{Figure, median};
use facts::Many;

const N: usize = 10_000;
const RUNS: usize = 9;

pub const NAMES: &[&str] =
    &["delete-pool", "delete-pool-cloud", "delete-pool-growth", "pools-one", "pools-200", "pools-200-ratio"];

/// A pool with all its namespaces is deleted; 200 pools at rest, next to one.
pub fn measure() -> Vec<Figure> {
    let deleted = Many { pools: 1, namespaces: N, cloud: false, deleting: true };
    let tenth = Many { namespaces: N / 10, ..deleted };
    let at_rest = Many { deleting: false, cloud: true, ..deleted };
    let (delete, delete_tenth) = (milliseconds(deleted), milliseconds(tenth));
    let (one, many) = (milliseconds(at_rest), milliseconds(Many { pools: 200, ..at_rest }));
    let figure = |name: &str, value, unit| Figure::new(name, N, value, unit);
    vec![
        figure("delete-pool", delete, "ms"),
        figure("delete-pool-cloud", milliseconds(Many { cloud: true, ..deleted }), "ms"),
        figure("delete-pool-growth", delete / delete_tenth, "x 1,000").goal(20.0),
        figure("pools-one", one, "ms"),
        figure("pools-200", many, "ms"),
        figure("pools-200-ratio", many / one, "x one pool").goal(2.0),
    ]
}

fn milliseconds(many: Many) -> f64 {
    let observed = many.observed();
    round(&observed);
    let times = (0..RUNS).map(|_| {
        let start = Instant::now();
        round(black_box(&observed));
        start.elapsed().as_secs_f64() * 1e3
    });
    median(times.collect())
}

/// A round in which the policy wants nothing.
fn round(observed: &Observed) {
    let round = Round::prepare(observed);
    let plan = Plan { generation: observed.generation, ..Plan::default() };
    let outcome = round.finish(observed, Ok(plan), &BTreeSet::new());
    assert!(outcome.failure().is_none(), "{:?}", outcome.failure());
}
