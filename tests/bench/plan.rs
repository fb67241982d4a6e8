//! What a plan takes: through wasm as the operator makes it, and natively.

use std::hint::black_box;
use std::time::Instant;

use sluice_core::snapshot::Snapshot;
use sluice_policy::{Compiler, Limits, Planned, Policy, PolicyHost, snapshot_json};
use sluice_policy_sdk as sdk;
use sluice_zone_spread::{Settings, decide};

use crate::native;
use crate::report::{Figure, median};
use crate::size::{Size, after, without_node};

const SIZE: Size = Size { nodes: 2_000, owners: 10_000, zones: 3, per_node: 250 };
const LARGE: Size = Size { owners: 100_000, ..SIZE };
const RUNS: usize = 31;

pub const NAMES: &[&str] = &[
    "plan-steady-wasm",
    "plan-steady-wasm-call",
    "plan-steady-native",
    "plan-steady-native-copied",
    "plan-steady-ratio",
    "plan-steady-ratio-copied",
    "plan-steady-fuel",
    "plan-steady-answer",
    "plan-steady-memory",
    "plan-scratch-wasm",
    "plan-scratch-wasm-call",
    "plan-scratch-native",
    "plan-scratch-native-copied",
    "plan-scratch-ratio",
    "plan-scratch-ratio-copied",
    "plan-scratch-fuel",
    "plan-scratch-answer",
    "plan-scratch-memory",
    "plan-node-down-wasm",
    "plan-node-down-wasm-call",
    "plan-node-down-native",
    "plan-node-down-native-copied",
    "plan-node-down-ratio",
    "plan-node-down-ratio-copied",
    "plan-node-down-fuel",
    "plan-node-down-answer",
    "plan-node-down-memory",
];
pub const LARGE_NAMES: &[&str] = &[
    "plan-large-steady-wasm",
    "plan-large-steady-ratio",
    "plan-large-steady-fuel",
    "plan-large-steady-answer",
    "plan-large-steady-memory",
    "plan-large-scratch-wasm",
    "plan-large-scratch-ratio",
    "plan-large-scratch-fuel",
    "plan-large-scratch-answer",
    "plan-large-scratch-memory",
];

/// At 10,000 owners.
pub fn measure() -> Vec<Figure> {
    let policy = policy();
    let scratch = SIZE.scratch();
    let steady = rest_of(&scratch);
    let down = without_node(&steady, 1_000);
    let mut figures = Vec::new();
    for (name, snapshot, goal) in
        [("steady", &steady, Some(15.0)), ("scratch", &scratch, Some(25.0)), ("node-down", &down, None)]
    {
        figures.extend(case(&policy, name, snapshot, goal));
    }
    figures
}

/// At 100,000 owners, next to 10,000.
pub fn measure_large() -> Vec<Figure> {
    let policy = policy();
    let (small, large) = (SIZE.scratch(), LARGE.scratch());
    let cases = [("steady", rest_of(&small), rest_of(&large)), ("scratch", small, large)];
    let figures = cases.iter().flat_map(|(name, small, large)| {
        let planned = policy.plan(large).unwrap();
        // In turns: a machine that slows down for a while slows both.
        let turns = (0..9).map(|_| (wasm(&policy, small, 5).0.whole, wasm(&policy, large, 1).0.whole));
        let (times, ratios): (Vec<f64>, Vec<f64>) = turns.map(|(small, large)| (large, large / small)).unzip();
        let figure =
            |what: &str, value, unit| Figure::new(format!("plan-large-{name}-{what}"), LARGE.owners, value, unit);
        [
            figure("wasm", median(times), "ms"),
            figure("ratio", median(ratios), "x 10,000").goal(12.0),
            figure("fuel", planned.cost.fuel as f64, "fuel"),
            figure("answer", planned.cost.result_bytes as f64, "bytes"),
            figure("memory", planned.cost.peak_memory as f64, "bytes"),
        ]
    });
    figures.collect()
}

fn policy() -> Policy {
    let host = PolicyHost::new(Limits::default(), Compiler::InProcess).unwrap();
    host.load(sluice_builtin_policies::ZONE_SPREAD, "{}").unwrap()
}

/// The cluster once everybody is served.
fn rest_of(scratch: &Snapshot) -> Snapshot {
    after(scratch, &native::plan(scratch))
}

fn case(policy: &Policy, name: &str, snapshot: &Snapshot, goal: Option<f64>) -> Vec<Figure> {
    let n = SIZE.owners;
    let (time, planned) = wasm(policy, snapshot, RUNS);
    let mut contract: sdk::Snapshot = serde_json::from_str(&snapshot_json(snapshot).unwrap()).unwrap();
    // As the component, which says that it has no use for them.
    contract.owners.iter_mut().for_each(|owner| owner.labels = Vec::new());
    let settings = Settings::default();
    let native = milliseconds(RUNS, || drop(black_box(decide(black_box(&contract), &settings))));
    let copied = milliseconds(RUNS, || drop(black_box(native::plan(black_box(snapshot)))));
    let figure = |what: &str, value: f64, unit| Figure::new(format!("plan-{name}-{what}"), n, value, unit);
    let whole = figure("wasm", time.whole, "ms");
    vec![
        match goal {
            Some(goal) => whole.goal(goal),
            None => whole,
        },
        figure("wasm-call", time.call, "ms"),
        figure("native", native, "ms"),
        figure("native-copied", copied, "ms"),
        figure("ratio", time.whole / native, "x native").goal(1.5),
        figure("ratio-copied", time.whole / copied, "x native").goal(1.5),
        figure("fuel", planned.cost.fuel as f64, "fuel"),
        figure("answer", planned.cost.result_bytes as f64, "bytes"),
        figure("memory", planned.cost.peak_memory as f64, "bytes"),
    ]
}

/// Milliseconds from core's snapshot to core's plan, and of the call therein: the rest is host types.
struct Time {
    whole: f64,
    call: f64,
}

fn wasm(policy: &Policy, snapshot: &Snapshot, runs: usize) -> (Time, Planned) {
    let planned = policy.plan(snapshot).unwrap();
    let mut calls = Vec::new();
    let whole = milliseconds(runs, || {
        let planned = policy.plan(black_box(snapshot)).unwrap();
        calls.push(planned.cost.wall.as_secs_f64() * 1e3);
    });
    (Time { whole, call: median(calls) }, planned)
}

/// The median of several runs, after some to warm up.
fn milliseconds(runs: usize, mut run: impl FnMut()) -> f64 {
    (0..3).for_each(|_| run());
    let times = (0..runs).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64() * 1e3
    });
    median(times.collect())
}
