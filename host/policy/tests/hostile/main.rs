//! Components that mean harm, and what the host makes of them.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod calls;
mod compile;
mod guest;
mod honest;
mod limits;
mod loading;
mod scale;
mod source;

use std::net::{IpAddr, Ipv4Addr};

use sluice_core::name::{NodeIndex, PoolIndex, ZoneIndex};
use sluice_core::snapshot::{
    Allocation, Assignment, Capacity, Health, Node, Owner, Phase, Placement, Pool, Snapshot, Zone,
};
use sluice_policy::{CallOutcome, Compiler, Limits, LoadError, PolicyHost};

use guest::Guest;

/// Generation of the snapshot that all tests plan from.
const GENERATION: u64 = 7;

/// Two zones with a node each, three owners; the first holds 10.0.0.1 in the first zone.
fn snapshot() -> Snapshot {
    let address = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
    let zone = |name: &str, node, range: &str| Zone {
        pool: PoolIndex(0),
        name: name.into(),
        ranges: vec![range.parse().unwrap()],
        nodes: vec![NodeIndex(node)],
        may_leave: node == 1,
        share: None,
    };
    let node = |name: &str| Node {
        name: name.into(),
        health: Health::Healthy,
        capacity: Capacity { total: Some(3), ipv4: None, ipv6: Some(0) },
        other_load: 1,
    };
    let owner = |name: &str| Owner {
        name: name.into(),
        pool: PoolIndex(0),
        labels: vec![("team".into(), name.into())],
        wanted: None,
        requested: vec![address(200)],
        allocations: Vec::new(),
        created: 1,
    };
    let mut owners = vec![owner("apples"), owner("bananas"), owner("cherries")];
    owners[0].allocations = vec![Allocation::settled(address(1), Some(ZoneIndex(0)))];
    Snapshot {
        generation: GENERATION,
        now: 1_000,
        seed: 42,
        budget: 10,
        pools: vec![Pool {
            name: "pool".into(),
            ranges: Vec::new(),
            reserved: vec!["10.0.0.0/30".parse().unwrap()],
            placement: Placement::Exact,
        }],
        zones: vec![zone("a", 0, "10.0.0.0/25"), zone("b", 1, "10.0.0.128/25")],
        nodes: vec![node("node-a"), node("node-b")],
        owners,
        assignments: vec![Assignment { address: address(1), node: NodeIndex(0), phase: Phase::Settled }],
        occupied: vec![address(9), "fd00::1".parse().unwrap()],
        leaving: Vec::new(),
        flapped: Vec::new(),
    }
}

/// A host that compiles in process: these components are hostile when they run, not when they are compiled.
fn host(limits: Limits) -> PolicyHost {
    PolicyHost::new(limits, Compiler::InProcess).unwrap()
}

/// Loads with empty settings and plans once.
fn run(guest: &Guest, limits: Limits) -> Result<CallOutcome, LoadError> {
    load_and_run(&host(limits), guest)
}

fn load_and_run(host: &PolicyHost, guest: &Guest) -> Result<CallOutcome, LoadError> {
    host.load(&guest.component(), "{}").map(|policy| policy.run(&snapshot()))
}
