//! Figures: how long a plan takes, and what the operator does to a real API server.
//!
//! `cargo xtask bench [NAME] [--json]`; a name picks the figures that contain it.

#![allow(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a measurement ends by panicking, and its numbers are small"
)]
#![allow(unreachable_pub, reason = "a bench exports nothing")]

#[path = "../harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the harness offers more than the bench uses")]
mod harness;

mod azure;
mod many;
mod native;
mod operator;
mod plan;
mod report;
#[allow(dead_code, reason = "a test uses the rest")]
mod size;

use std::collections::BTreeSet;

use report::Figure;

/// Figures that are measured together.
struct Group {
    names: &'static [&'static str],
    measure: fn() -> Vec<Figure>,
}

const GROUPS: [Group; 10] = [
    Group { names: plan::NAMES, measure: plan::measure },
    Group { names: plan::LARGE_NAMES, measure: plan::measure_large },
    Group { names: many::NAMES, measure: many::measure },
    Group { names: operator::FAILOVER_NAMES, measure: operator::measure_failover },
    Group { names: operator::BLACK_HOLE_NAMES, measure: operator::measure_black_hole },
    Group { names: operator::ALLOCATION_NAMES, measure: operator::measure_allocation },
    Group { names: operator::SWAP_NAMES, measure: operator::measure_swap },
    Group { names: operator::LEASE_NAMES, measure: operator::measure_lease },
    Group { names: azure::NAMES, measure: azure::measure },
    Group { names: azure::LOOK_NAMES, measure: azure::measure_look },
];

fn main() {
    // `cargo bench` adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let as_json = arguments.iter().any(|argument| argument == "--json");
    let part = arguments.iter().find(|argument| !argument.starts_with("--")).map_or("", String::as_str);
    let mut figures = Vec::new();
    if !as_json {
        report::print_head();
    }
    for group in GROUPS.iter().filter(|group| group.names.iter().any(|name| name.contains(part))) {
        let measured = (group.measure)();
        let mut seen = BTreeSet::new();
        let names: Vec<&str> =
            measured.iter().map(|figure| figure.name.as_str()).filter(|name| seen.insert(*name)).collect();
        assert_eq!(names, group.names, "the group's list of names is the list of its figures");
        for figure in measured.into_iter().filter(|figure| figure.name.contains(part)) {
            if !as_json {
                report::print_line(&figure);
            }
            figures.push(figure);
        }
    }
    if as_json {
        report::print_json(&figures);
    }
}
