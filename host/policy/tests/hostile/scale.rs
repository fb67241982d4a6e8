//! A full-size snapshot crosses the boundary, and how long that takes.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use sluice_core::name::{NodeIndex, ZoneIndex};
use sluice_core::snapshot::{Allocation, Assignment, Phase, Snapshot};
use sluice_policy::Limits;

use crate::guest::{Answer, Guest, Patch};
use crate::{host, snapshot};

const ZONES: usize = 3;
const NODES: usize = 2_000;
const OWNERS: usize = 10_000;

/// 10,000 owners with two labels and an address in each of three zones, on 2,000 nodes.
fn large() -> Snapshot {
    let mut snapshot = snapshot();
    let address = |number: usize| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).unwrap()));
    let (node, owner, zone) = (snapshot.nodes[0].clone(), snapshot.owners[1].clone(), snapshot.zones[0].clone());
    snapshot.nodes.clear();
    for number in 0..NODES {
        let mut node = node.clone();
        node.name = format!("worker-{number:04}.example.internal").into();
        snapshot.nodes.push(node);
    }
    snapshot.zones.clear();
    for number in 0..ZONES {
        let mut zone = zone.clone();
        zone.name = format!("zone-{number}").into();
        zone.nodes = (number..NODES).step_by(ZONES).map(NodeIndex::at).collect();
        snapshot.zones.push(zone);
    }
    snapshot.owners.clear();
    snapshot.assignments.clear();
    for number in 0..OWNERS {
        let mut owner = owner.clone();
        owner.name = format!("team-{number:05}").into();
        owner.labels.push(("environment".into(), "production".into()));
        for zone in 0..ZONES {
            let address = address(number * ZONES + zone);
            owner.allocations.push(Allocation::settled(address, Some(ZoneIndex::at(zone))));
            let node = NodeIndex::at((number * ZONES + zone) % NODES);
            snapshot.assignments.push(Assignment { address, node, phase: Phase::Settled });
        }
        snapshot.owners.push(owner);
    }
    snapshot
}

#[test]
fn a_full_size_snapshot_and_a_full_size_plan_cross_the_boundary() {
    let snapshot = large();
    let patch = |number: usize| Patch {
        address: 0x0a00_0000 + u32::try_from(number).unwrap(),
        text: b"released to see how long it takes".to_vec(),
        ..Patch::default()
    };
    // Every address is released: each patch has a text, and its holder has to be found.
    let answer = Answer::patches((0..OWNERS * ZONES).map(patch).collect());
    for (what, guest) in [("empty plan", Guest::default()), ("30,000 patches", Guest::answering(answer))] {
        let guest = Guest { pages: 160, ..guest };
        let policy = host(Limits::default()).load(&guest.component(), "").unwrap();
        let best = (0..10).map(|_| {
            let started = Instant::now();
            let planned = policy.plan(&snapshot).unwrap();
            (started.elapsed(), planned)
        });
        let (best, planned) = best.min_by_key(|(time, _)| *time).unwrap();
        println!("{what}: {best:.1?}, of which in the call {:.1?}; {:?}", planned.cost.wall, planned.cost);
        assert!(planned.cost.fuel < 100_000_000, "{:?}", planned.cost);
        let held = |patch: &sluice_core::plan::Patch| {
            matches!(patch.operation, sluice_core::plan::Operation::Release { holder: Some(_), .. })
        };
        assert!(planned.plan.patches.iter().all(held));
    }
}
