//! The default policy called natively on core's types. It gets a copy of its own of the snapshot, in the contract's
//! types, and its plan is copied back, as they are where wasm's memory lies between.

use std::net::IpAddr;

use ipnet::IpNet;
use sluice_core::name::{NodeIndex, OwnerIndex, ZoneIndex};
use sluice_core::plan::{Operation, Patch, Plan, Reason};
use sluice_core::snapshot as core;
use sluice_policy_sdk as sdk;
use sluice_zone_spread::{Settings, decide};

/// Plans. Holds are left out: where figures are taken, there are none.
pub fn plan(snapshot: &core::Snapshot) -> Plan {
    let decision = decide(&to_contract(snapshot), &Settings::default()).expect("a plan");
    assert_eq!(decision.plan.holds, [], "nobody is held");
    let patches = decision.plan.patches.into_iter().map(patch).collect();
    Plan { generation: decision.plan.generation, patches, holds: Vec::new() }
}

fn to_contract(snapshot: &core::Snapshot) -> sdk::Snapshot {
    sdk::Snapshot {
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
        attributes: Vec::new(),
    }
}

fn pool(pool: &core::Pool) -> sdk::Pool {
    sdk::Pool {
        name: pool.name.as_str().to_owned(),
        ranges: pool.ranges.iter().map(cidr).collect(),
        reserved: pool.reserved.iter().map(cidr).collect(),
        placement: match pool.placement {
            core::Placement::Exact => sdk::PlacementMode::Exact,
            core::Placement::Among => sdk::PlacementMode::Among,
            core::Placement::Network => sdk::PlacementMode::Network,
        },
        attributes: Vec::new(),
    }
}

fn zone(zone: &core::Zone) -> sdk::Zone {
    sdk::Zone {
        pool: zone.pool.0,
        name: zone.name.as_str().to_owned(),
        ranges: zone.ranges.iter().map(cidr).collect(),
        nodes: zone.nodes.iter().map(|node| node.0).collect(),
        may_leave: zone.may_leave,
        share: zone.share,
        attributes: Vec::new(),
    }
}

fn node(node: &core::Node) -> sdk::Node {
    let core::Capacity { total, ipv4, ipv6 } = node.capacity;
    sdk::Node {
        name: node.name.as_str().to_owned(),
        health: match node.health {
            core::Health::Healthy => sdk::Health::Healthy,
            core::Health::Draining => sdk::Health::Draining,
            core::Health::Down => sdk::Health::Down,
        },
        capacity: sdk::Capacity { total, ipv4, ipv6 },
        other_load: node.other_load,
        attributes: Vec::new(),
    }
}

fn owner(owner: &core::Owner) -> sdk::Owner {
    let allocation = |held: &core::Allocation| sdk::Allocation {
        address: address(held.address),
        zone: held.zone.map(|zone| zone.0),
    };
    sdk::Owner {
        name: owner.name.as_str().to_owned(),
        pool: owner.pool.0,
        // As the component, which says that it has no use for them.
        labels: Vec::new(),
        wanted: owner.wanted,
        requested: owner.requested.iter().copied().map(address).collect(),
        allocations: owner.allocations.iter().map(allocation).collect(),
        attributes: Vec::new(),
    }
}

fn assignment(assignment: &core::Assignment) -> sdk::Assignment {
    sdk::Assignment {
        address: address(assignment.address),
        node: assignment.node.0,
        phase: match assignment.phase {
            core::Phase::Settled => sdk::Phase::Settled,
            core::Phase::Arriving => sdk::Phase::Arriving,
            core::Phase::Leaving => sdk::Phase::Leaving,
        },
    }
}

fn cidr(net: &IpNet) -> sdk::Cidr {
    sdk::Cidr { network: address(net.network()), prefix_length: net.prefix_len() }
}

fn address(address: IpAddr) -> sdk::IpAddress {
    let (family, number) = match address {
        IpAddr::V4(v4) => (sdk::Family::V4, u128::from(v4.to_bits())),
        IpAddr::V6(v6) => (sdk::Family::V6, v6.to_bits()),
    };
    sdk::IpAddress::from_number(family, number).expect("it fits its family")
}

fn from_contract(address: sdk::IpAddress) -> IpAddr {
    match address {
        sdk::IpAddress::Ipv4(bits) => IpAddr::from(bits.to_be_bytes()),
        sdk::IpAddress::Ipv6(_) => IpAddr::from(address.number().to_be_bytes()),
    }
}

fn patch(patch: sdk::Patch) -> Patch {
    let operation = match patch.operation {
        sdk::Operation::Allocate(to) => Operation::Allocate {
            owner: OwnerIndex(to.owner),
            zone: to.zone.map(ZoneIndex),
            address: from_contract(to.address),
        },
        sdk::Operation::Assign(at) => {
            Operation::Assign { address: from_contract(at.address), node: NodeIndex(at.node) }
        }
        sdk::Operation::Move(to) => Operation::Move {
            address: from_contract(to.address),
            source: NodeIndex(to.source),
            target: NodeIndex(to.target),
        },
        other => unreachable!("{other:?}: nobody has too much"),
    };
    let reason = if patch.reason == sdk::Reason::Wanted { Reason::Wanted } else { Reason::NodeDown };
    Patch { operation, reason, text: patch.text, by_host: false }
}
