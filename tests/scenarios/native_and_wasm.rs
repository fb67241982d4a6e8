//! `deterministic`: the component that is built in answers with the same bytes as the same policy compiled natively,
//! and both see the same bytes.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use sluice_core::name::{NodeIndex, PoolIndex, ZoneIndex};
use sluice_core::network::versions;
use sluice_core::round::Round;
use sluice_core::snapshot as core;
use sluice_policy::{Compiler, Limits, Policy, PolicyHost, snapshot_json};
use sluice_policy_sdk as sdk;
use sluice_runtime::apply::apply;
use sluice_sandbox::{Dice, Sandbox};
use sluice_zone_spread::ZoneSpread;

#[path = "../../host/sandbox/tests/simulation/script.rs"]
#[allow(dead_code, reason = "the simulation uses the rest")]
pub(super) mod script;
#[path = "../bench/size.rs"]
#[allow(dead_code, missing_docs, reason = "the bench uses the rest")]
mod size;
#[path = "../../allocator-wasm/tests/it/world.rs"]
#[allow(dead_code, missing_docs, reason = "the policy's own tests use the rest")]
mod world;

use size::Size;

/// Random snapshots of all kinds, most of them small.
const SNAPSHOTS: u64 = 600;
/// Clusters that live for a while, and how long.
const CLUSTERS: u64 = 15;
const EVENTS: usize = 15;
const MOST_ROUNDS: usize = 20;

struct Comparison {
    policy: Policy,
    plans: usize,
    not_empty: usize,
    bytes: usize,
}

impl Comparison {
    fn new() -> Self {
        let host = PolicyHost::new(Limits::default(), Compiler::InProcess).unwrap();
        let policy = host.load(sluice_builtin_policies::ZONE_SPREAD, "{}").unwrap();
        Self { policy, plans: 0, not_empty: 0, bytes: 0 }
    }

    /// Plans both ways. `what` names the case in a failure.
    fn compare(&mut self, what: &str, snapshot: &core::Snapshot) {
        let seen = snapshot_json(snapshot).unwrap();
        let parsed: sdk::Snapshot = serde_json::from_str(&seen).unwrap();
        assert!(serde_json::to_string(&parsed).unwrap() == seen, "{what}: the two see different snapshots");
        let native = sdk::make_plan::<ZoneSpread>(&parsed, &self.policy.info().settings);
        let native = serde_json::to_string(&native).unwrap();
        let wasm = self.policy.answer_json(snapshot).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(native == wasm, "{what}: native and wasm differ\nnative: {native}\nwasm:   {wasm}\nfrom: {seen}");
        self.plans += 1;
        self.bytes += wasm.len();
        self.not_empty += usize::from(!wasm.contains(r#""patches":[],"holds":[]"#));
    }
}

#[test]
fn native_and_wasm_answer_with_the_same_bytes() {
    let mut comparison = Comparison::new();
    for seed in 0..SNAPSHOTS {
        let size = if seed % 50 == 0 { 300 } else { 12 };
        let generated = world::generate(seed, size);
        let snapshot = from_contract(&generated);
        let lowered = snapshot_json(&snapshot).unwrap();
        assert_eq!(lowered, serde_json::to_string(&generated).unwrap(), "seed {seed}: the snapshot is not lowered");
        comparison.compare(&format!("snapshot of seed {seed}"), &snapshot);
    }
    for seed in 0..CLUSTERS {
        live(&mut comparison, seed);
    }
    large(&mut comparison);
    let Comparison { plans, not_empty, bytes, .. } = comparison;
    // Not by `println!`: the test runner would show it only if the test fails.
    writeln!(std::io::stdout().lock(), "native = wasm: {plans} plans, {not_empty} of them not empty, {bytes} bytes")
        .expect("stdout is open");
    assert!(plans >= 700, "only {plans} plans");
    assert!(not_empty * 2 > plans, "only {not_empty} of {plans} plans change or hold anything");
}

/// A cluster in which things happen, and whose plans are carried out.
fn live(comparison: &mut Comparison, seed: u64) {
    let (sandbox, mut dice) = (Sandbox::new(seed), Dice::new(!seed));
    script::build(&sandbox, &mut dice);
    for event in 0..EVENTS {
        for nth in 0..MOST_ROUNDS {
            let observed = sandbox.observe();
            let round = Round::prepare(&observed);
            comparison.compare(&format!("cluster {seed}, event {event}, round {nth}"), round.policy_input());
            let plan = comparison.policy.plan(round.policy_input()).unwrap().plan;
            let outcome = round.finish(&observed, Ok(plan), &BTreeSet::new());
            assert_eq!(outcome.failure(), None, "cluster {seed}, event {event}, round {nth}");
            if outcome.writes.is_empty() {
                break;
            }
            let versions = versions(&observed, &outcome.writes);
            sandbox.run(apply(&sandbox, &outcome.writes, versions, |_| true)).unwrap();
            sandbox.settle();
        }
        if let Some(event) = script::event(&sandbox.observe(), &mut dice) {
            sandbox.happen(event);
        }
    }
}

fn large(comparison: &mut Comparison) {
    let scratch = Size { nodes: 400, owners: 2_000, zones: 3, per_node: 16 }.scratch();
    comparison.compare("a large cluster from scratch", &scratch);
    let plan = comparison.policy.plan(&scratch).unwrap().plan;
    let steady = size::after(&scratch, &plan);
    comparison.compare("a large cluster at rest", &steady);
    comparison.compare("a large cluster without a node", &size::without_node(&steady, 7));
    let contested = size::all_want_the_same(&scratch, ZoneIndex(1));
    comparison.compare("a large cluster with the same request from all", &contested);
    let scarce = Size { nodes: 400, owners: 2_000, zones: 3, per_node: 13 }.scratch();
    comparison.compare("a large cluster with too few places", &scarce);
}

/// The contract's snapshot in core's terms.
fn from_contract(snapshot: &sdk::Snapshot) -> core::Snapshot {
    core::Snapshot {
        generation: snapshot.generation,
        now: snapshot.now,
        seed: snapshot.seed,
        budget: snapshot.budget,
        pools: snapshot.pools.iter().map(pool).collect(),
        zones: snapshot.zones.iter().map(zone).collect(),
        nodes: snapshot.nodes.iter().map(node).collect(),
        owners: snapshot.owners.iter().map(owner).collect(),
        assignments: snapshot.assignments.iter().map(assignment).collect(),
        occupied: snapshot.occupied.iter().copied().map(address).collect(),
        leaving: Vec::new(),
        flapped: Vec::new(),
    }
}

fn pool(pool: &sdk::Pool) -> core::Pool {
    core::Pool {
        name: pool.name.as_str().into(),
        ranges: pool.ranges.iter().map(net).collect(),
        reserved: pool.reserved.iter().map(net).collect(),
        placement: match pool.placement {
            sdk::PlacementMode::Exact => core::Placement::Exact,
            sdk::PlacementMode::Among => core::Placement::Among,
            sdk::PlacementMode::Network => core::Placement::Network,
        },
    }
}

fn zone(zone: &sdk::Zone) -> core::Zone {
    core::Zone {
        pool: PoolIndex(zone.pool),
        name: zone.name.as_str().into(),
        ranges: zone.ranges.iter().map(net).collect(),
        nodes: zone.nodes.iter().copied().map(NodeIndex).collect(),
        may_leave: zone.may_leave,
        share: zone.share,
    }
}

fn node(node: &sdk::Node) -> core::Node {
    let sdk::Capacity { total, ipv4, ipv6 } = node.capacity;
    core::Node {
        name: node.name.as_str().into(),
        health: match node.health {
            sdk::Health::Healthy => core::Health::Healthy,
            sdk::Health::Draining => core::Health::Draining,
            sdk::Health::Down => core::Health::Down,
        },
        capacity: core::Capacity { total, ipv4, ipv6 },
        other_load: node.other_load,
    }
}

fn owner(owner: &sdk::Owner) -> core::Owner {
    let allocation =
        |held: &sdk::Allocation| core::Allocation::settled(address(held.address), held.zone.map(ZoneIndex));
    core::Owner {
        name: owner.name.as_str().into(),
        pool: PoolIndex(owner.pool),
        labels: owner.labels.iter().map(|label| (label.name.clone(), label.value.clone())).collect(),
        wanted: owner.wanted,
        requested: owner.requested.iter().copied().map(address).collect(),
        allocations: owner.allocations.iter().map(allocation).collect(),
        created: 0,
    }
}

fn assignment(assignment: &sdk::Assignment) -> core::Assignment {
    core::Assignment {
        address: address(assignment.address),
        node: NodeIndex(assignment.node),
        phase: match assignment.phase {
            sdk::Phase::Settled => core::Phase::Settled,
            sdk::Phase::Arriving => core::Phase::Arriving,
            sdk::Phase::Leaving => core::Phase::Leaving,
        },
    }
}

fn address(address: sdk::IpAddress) -> IpAddr {
    match address {
        sdk::IpAddress::Ipv4(bits) => IpAddr::from(bits.to_be_bytes()),
        sdk::IpAddress::Ipv6(_) => IpAddr::from(address.number().to_be_bytes()),
    }
}

fn net(cidr: &sdk::Cidr) -> IpNet {
    IpNet::new(address(cidr.network), cidr.prefix_length).unwrap()
}
