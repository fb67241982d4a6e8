//! How long the policy takes for a large cluster: 2,000 nodes, 10,000 owners, 3 zones. Run it with `--release`.
//! With an argument, writes the snapshots there as JSON instead.

#![allow(clippy::disallowed_methods, reason = "measures time; the policy does not")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use sluice_policy_sdk::{
    Allocation, Assignment, Capacity, Health, Node, Operation, Owner, Phase, PlacementMode, Plan, Pool, Snapshot, Zone,
};
use sluice_zone_spread::{Settings, decide};

const NODES: u32 = 2_000;
const OWNERS: u32 = 10_000;
const ZONES: u32 = 3;
const REPEATS: u32 = 30;

fn main() -> Result<(), Box<dyn Error>> {
    let scratch = cluster()?;
    let plan = decide(&scratch, &Settings::default()).map_err(|error| format!("{error:?}"))?.plan;
    let steady = apply(&scratch, &plan);
    let mut zone_lost = steady.clone();
    zone_lost.nodes.iter_mut().step_by(ZONES as usize).for_each(|node| node.health = Health::Down);
    let mut scarce = scratch.clone();
    scarce.nodes.iter_mut().for_each(|node| node.capacity.total = Some(14));
    let mut tight = steady.clone();
    tight.nodes.iter_mut().for_each(|node| node.capacity.total = Some(15));
    tight.nodes.iter_mut().step_by(50).for_each(|node| node.health = Health::Down);
    let cases =
        [("steady", steady), ("scratch", scratch), ("zone-lost", zone_lost), ("scarce", scarce), ("tight", tight)];
    for (name, snapshot) in cases {
        if let Some(folder) = std::env::args().nth(1) {
            let file = Path::new(&folder).join(name).with_extension("json");
            std::fs::write(file, serde_json::to_string(&snapshot)?)?;
            continue;
        }
        let (time, plan) = measure(&snapshot)?;
        println!("{name:10} {time:>10.1?}  {} patches, {} holds", plan.patches.len(), plan.holds.len());
    }
    Ok(())
}

/// The shortest of several runs.
fn measure(snapshot: &Snapshot) -> Result<(Duration, Plan), Box<dyn Error>> {
    let mut best = (Duration::MAX, None);
    for _ in 0..REPEATS {
        let start = Instant::now();
        let plan = decide(snapshot, &Settings::default()).map_err(|error| format!("{error:?}"))?.plan;
        best = (best.0.min(start.elapsed()), Some(plan));
    }
    Ok((best.0, best.1.ok_or("no run")?))
}

fn cluster() -> Result<Snapshot, Box<dyn Error>> {
    let capacity = Capacity { total: Some(255), ipv4: None, ipv6: None };
    let node = |number| Node {
        name: format!("worker-{number:04}.example.internal"),
        health: Health::Healthy,
        capacity,
        other_load: 0,
        attributes: Vec::new(),
    };
    let zone = |number: u32| -> Result<Zone, Box<dyn Error>> {
        Ok(Zone {
            pool: 0,
            name: format!("zone-{number}"),
            ranges: vec![format!("10.{number}.0.0/16").parse()?],
            nodes: (0..NODES).filter(|node| node % ZONES == number).collect(),
            may_leave: false,
            share: None,
            attributes: Vec::new(),
        })
    };
    let owner = |number| Owner {
        name: format!("namespace-{number:05}"),
        pool: 0,
        labels: Vec::new(),
        wanted: None,
        requested: Vec::new(),
        allocations: Vec::new(),
        attributes: Vec::new(),
    };
    let reserved = (0..ZONES).map(|zone| format!("10.{zone}.0.0/30").parse()).collect::<Result<_, _>>()?;
    let pool = Pool {
        name: "pool".to_owned(),
        ranges: Vec::new(),
        reserved,
        placement: PlacementMode::Exact,
        attributes: Vec::new(),
    };
    Ok(Snapshot {
        generation: 1,
        now: 0,
        seed: 1,
        budget: 1500,
        pools: vec![pool],
        zones: (0..ZONES).map(zone).collect::<Result<_, _>>()?,
        nodes: (0..NODES).map(node).collect(),
        owners: (0..OWNERS).map(owner).collect(),
        assignments: Vec::new(),
        occupied: Vec::new(),
        attributes: Vec::new(),
    })
}

fn apply(snapshot: &Snapshot, plan: &Plan) -> Snapshot {
    let mut after = snapshot.clone();
    for patch in &plan.patches {
        match &patch.operation {
            Operation::Allocate(to) => {
                if let Some(owner) = after.owners.get_mut(to.owner as usize) {
                    owner.allocations.push(Allocation { address: to.address, zone: to.zone });
                }
            }
            Operation::Assign(at) => {
                after.assignments.push(Assignment { address: at.address, node: at.node, phase: Phase::Settled });
            }
            _ => {}
        }
    }
    after.assignments.sort();
    after
}
