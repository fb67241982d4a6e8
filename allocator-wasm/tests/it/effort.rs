//! Clusters with far too few places: that nobody finds room must not be found out once for every owner. Counted are
//! the nodes and addresses that searches look at, since time differs between machines.

use sluice_policy_sdk::{
    Allocation, Assignment, Capacity, Health, Hold, HoldCode, IpAddress, Node, Owner, Phase, PlacementMode, Pool,
    Snapshot, Zone,
};
use sluice_zone_spread::{Decision, Settings, decide};

use crate::world::{apply, cidr, index};

const ZONES: usize = 3;
const OWNERS_PER_NODE: usize = 5;

/// Where the addresses are at first.
#[derive(Clone, Copy, Debug)]
enum Start {
    Nowhere,
    /// On healthy nodes of another zone.
    Elsewhere,
    /// All addresses of an owner on one node.
    Together,
}

/// Owners want fifteen addresses for each node.
fn crowded(nodes: usize, per_node: u32, start: Start) -> Snapshot {
    let mut snapshot = Snapshot {
        generation: 1,
        now: 0,
        seed: 1,
        budget: 100,
        pools: vec![Pool {
            name: "pool".to_owned(),
            ranges: Vec::new(),
            reserved: Vec::new(),
            placement: PlacementMode::Exact,
            attributes: Vec::new(),
        }],
        zones: (0..ZONES).map(|number| zone(number, nodes)).collect(),
        nodes: (0..nodes).map(|number| node(number, per_node)).collect(),
        owners: (0..nodes * OWNERS_PER_NODE).map(owner).collect(),
        assignments: Vec::new(),
        occupied: Vec::new(),
        attributes: Vec::new(),
    };
    for number in 0..snapshot.owners.len() {
        for zone in 0..ZONES {
            let at = match start {
                Start::Nowhere => break,
                Start::Elsewhere => number * ZONES + zone + 1,
                Start::Together => number * ZONES,
            };
            let address = IpAddress::Ipv4(0x0a00_0000 + (index(zone) << 16) + index(number));
            snapshot.owners[number].allocations.push(Allocation { address, zone: Some(index(zone)) });
            let node = index(at % nodes);
            snapshot.assignments.push(Assignment { address, node, phase: Phase::Settled });
        }
    }
    snapshot.assignments.sort();
    snapshot
}

fn zone(number: usize, nodes: usize) -> Zone {
    Zone {
        pool: 0,
        name: format!("zone-{number}"),
        ranges: vec![cidr(&format!("10.{number}.0.0/16"))],
        nodes: (0..index(nodes)).filter(|node| *node as usize % ZONES == number).collect(),
        may_leave: false,
        share: None,
        attributes: Vec::new(),
    }
}

fn node(number: usize, per_node: u32) -> Node {
    Node {
        name: format!("node-{number:04}"),
        health: Health::Healthy,
        capacity: Capacity { total: Some(per_node), ipv4: None, ipv6: None },
        other_load: 0,
        attributes: Vec::new(),
    }
}

fn owner(number: usize) -> Owner {
    Owner {
        name: format!("owner-{number:05}"),
        pool: 0,
        labels: Vec::new(),
        wanted: None,
        requested: Vec::new(),
        allocations: Vec::new(),
        attributes: Vec::new(),
    }
}

/// The most steps for each node and address, and besides.
const MOST_PER_ITEM: usize = 500;
const MOST: usize = 100_000;

#[test]
fn a_lack_of_room_is_not_found_out_owner_by_owner() {
    for start in [Start::Nowhere, Start::Elsewhere, Start::Together] {
        for (nodes, per_node) in [(150, 3), (600, 3), (150, 14), (600, 14)] {
            let snapshot = crowded(nodes, per_node, start);
            let Decision { plan, stats } = decide(&snapshot, &Settings::default()).unwrap();
            let what = format!("{start:?}, {nodes} nodes for {per_node}: {stats:?}, {} holds", plan.holds.len());
            assert!(plan.holds.len() >= nodes / 2, "{what}");
            assert!(stats.steps <= snapshot.owners.len() as u64, "{what}");
        }
    }
}

/// All nodes are full, and every address has to go through others to get to its zone. That is more than one round
/// can take, but every round gets on.
#[test]
fn a_search_that_takes_too_long_goes_on_in_the_next_round() {
    let mut snapshot = crowded(150, 15, Start::Elsewhere);
    let most = MOST + MOST_PER_ITEM * (snapshot.nodes.len() + snapshot.assignments.len());
    let mut waiting = Vec::new();
    loop {
        let Decision { plan, stats } = decide(&snapshot, &Settings::default()).unwrap();
        // The last search may end a little later.
        assert!(stats.steps <= most as u64 + 20_000, "{stats:?}, and {most} are enough");
        let too_long = |hold: &&Hold| hold.code == HoldCode::Other && hold.text == "the search for room took too long";
        waiting.push(plan.holds.iter().filter(too_long).count());
        assert_eq!(waiting.last(), Some(&plan.holds.len()), "{:?}", plan.holds.first());
        if plan.patches.is_empty() {
            break;
        }
        snapshot = apply(&snapshot, &plan);
    }
    assert!(waiting.len() > 2 && waiting.is_sorted_by(|before, after| before >= after), "{waiting:?}");
    assert_eq!(waiting.last(), Some(&0), "{waiting:?}");
}
