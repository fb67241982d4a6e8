//! What a round takes where there is much of everything: it grows with the cluster, and not with its square.

mod facts;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sluice_core::observed::Observed;
use sluice_core::plan::Plan;
use sluice_core::round::{Outcome, Round};

use facts::Many;

/// A round in which the policy wants nothing.
fn round(observed: &Observed) -> Outcome {
    let round = Round::prepare(observed);
    let plan = Plan { generation: observed.generation, ..Plan::default() };
    round.finish(observed, Ok(plan), &BTreeSet::new())
}

/// The fastest of a few: what else the machine does only ever adds.
#[allow(clippy::disallowed_methods, reason = "the time that planning takes is what is measured")]
fn time(many: Many) -> Duration {
    let observed = many.observed();
    let runs = (0..3).map(|_| {
        let begun = Instant::now();
        let outcome = round(&observed);
        let took = begun.elapsed();
        assert_eq!(outcome.failure.map(|failure| failure.to_string()), None);
        assert_eq!(outcome.writes.is_empty(), !many.deleting, "everybody is served");
        took
    });
    runs.min().unwrap()
}

/// How much longer it takes for eight times as much. The square of that would be 64.
fn growth(small: Many, large: Many) -> f64 {
    time(large).as_secs_f64() / time(small).as_secs_f64()
}

#[test]
fn deleting_a_pool_takes_time_in_proportion_to_its_namespaces() {
    for cloud in [false, true] {
        let small = Many { pools: 1, namespaces: 1_000, cloud, deleting: true };
        let growth = growth(small, Many { namespaces: 8_000, ..small });
        println!("eight times the namespaces, cloud {cloud}: {growth:.1} times the time");
        assert!(growth < 24.0, "{growth}");
    }
}

#[test]
fn many_pools_cost_hardly_more_than_one_with_as_many_namespaces() {
    for (cloud, deleting) in [(false, false), (true, false), (false, true), (true, true)] {
        let one = Many { pools: 1, namespaces: 2_000, cloud, deleting };
        let ratio = growth(one, Many { pools: 200, ..one });
        println!("200 pools, cloud {cloud}, deleting {deleting}: {ratio:.1} times the time of one");
        // Whatever is looked up in all pools for each namespace, or the other way round, makes it 9 and more.
        assert!(ratio < 6.0, "{ratio}");
    }
}
