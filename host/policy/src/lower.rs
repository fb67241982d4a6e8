//! From core's snapshot to the contract's, index for index.
//!
//! The contract's types borrow. Lists inside lists (labels of owners, ranges of pools) are laid out in a few long
//! vectors and cut into slices, so that ten thousand owners take a dozen allocations and no copy of a name.

use std::net::IpAddr;

use ipnet::IpNet;
use sluice_core::snapshot::{Assignment, Capacity, Health, Phase, Placement, Snapshot};

use crate::bindings::wit;

/// Calls `with` with the snapshot as policies see it: without `leaving`, without the owners' creation times, and with
/// their labels only for whom has a use for them.
pub(crate) fn with_lowered<T>(snapshot: &Snapshot, uses_labels: bool, with: impl FnOnce(wit::Snapshot<'_>) -> T) -> T {
    let flat = Flat::new(snapshot, uses_labels);
    let pools = flat.pools(snapshot);
    let zones = flat.zones(snapshot);
    let nodes: Vec<_> = snapshot.nodes.iter().map(node).collect();
    let owners = flat.owners(snapshot);
    let assignments: Vec<_> = snapshot.assignments.iter().map(assignment).collect();
    let occupied = addresses(&snapshot.occupied).collect::<Vec<_>>();
    with(wit::Snapshot {
        generation: snapshot.generation,
        now: snapshot.now,
        seed: snapshot.seed,
        budget: snapshot.budget,
        pools: &pools,
        zones: &zones,
        nodes: &nodes,
        owners: &owners,
        assignments: &assignments,
        occupied: &occupied,
        attributes: &[],
    })
}

/// The inner lists of all pools, zones and owners, one after the other.
struct Flat<'a> {
    pool_cidrs: Vec<wit::Cidr>,
    zone_ranges: Vec<wit::Cidr>,
    zone_nodes: Vec<u32>,
    labels: Vec<wit::AttributeParam<'a>>,
    requested: Vec<wit::IpAddress>,
    allocations: Vec<wit::Allocation>,
}

impl<'a> Flat<'a> {
    fn new(snapshot: &'a Snapshot, uses_labels: bool) -> Self {
        let owners = &snapshot.owners;
        let labels = owners.iter().filter(|_| uses_labels).flat_map(|owner| &owner.labels);
        let allocations = owners.iter().flat_map(|owner| &owner.allocations);
        let pool_cidrs = snapshot.pools.iter().flat_map(|pool| pool.ranges.iter().chain(&pool.reserved));
        let zone_nodes = snapshot.zones.iter().flat_map(|zone| &zone.nodes);
        Self {
            pool_cidrs: pool_cidrs.map(cidr).collect(),
            zone_ranges: snapshot.zones.iter().flat_map(|zone| &zone.ranges).map(cidr).collect(),
            zone_nodes: zone_nodes.map(|node| node.0).collect(),
            labels: labels.map(|(name, value)| wit::AttributeParam { name, value }).collect(),
            requested: owners.iter().flat_map(|owner| addresses(&owner.requested)).collect(),
            allocations: allocations
                .map(|held| wit::Allocation { address: address(held.address), zone: held.zone.map(|zone| zone.0) })
                .collect(),
        }
    }

    fn pools<'b>(&'b self, snapshot: &'b Snapshot) -> Vec<wit::Pool<'b>> {
        let mut cidrs = Rest(&self.pool_cidrs);
        let pool = |pool: &'b sluice_core::snapshot::Pool| wit::Pool {
            name: pool.name.as_str(),
            ranges: cidrs.take(pool.ranges.len()),
            reserved: cidrs.take(pool.reserved.len()),
            placement: placement(pool.placement),
            attributes: &[],
        };
        snapshot.pools.iter().map(pool).collect()
    }

    fn zones<'b>(&'b self, snapshot: &'b Snapshot) -> Vec<wit::Zone<'b>> {
        let (mut ranges, mut nodes) = (Rest(&self.zone_ranges), Rest(&self.zone_nodes));
        let zone = |zone: &'b sluice_core::snapshot::Zone| wit::Zone {
            pool: zone.pool.0,
            name: zone.name.as_str(),
            ranges: ranges.take(zone.ranges.len()),
            nodes: nodes.take(zone.nodes.len()),
            may_leave: zone.may_leave,
            share: zone.share,
            attributes: &[],
        };
        snapshot.zones.iter().map(zone).collect()
    }

    fn owners<'b>(&'b self, snapshot: &'b Snapshot) -> Vec<wit::Owner<'b>> {
        let mut labels = Rest(&self.labels);
        let (mut requested, mut allocations) = (Rest(&self.requested), Rest(&self.allocations));
        let owner = |owner: &'b sluice_core::snapshot::Owner| wit::Owner {
            name: owner.name.as_str(),
            pool: owner.pool.0,
            labels: labels.take(if self.labels.is_empty() { 0 } else { owner.labels.len() }),
            wanted: owner.wanted,
            requested: requested.take(owner.requested.len()),
            allocations: allocations.take(owner.allocations.len()),
            attributes: &[],
        };
        snapshot.owners.iter().map(owner).collect()
    }
}

/// What is not handed out yet of a long list.
struct Rest<'a, T>(&'a [T]);

impl<'a, T> Rest<'a, T> {
    /// The next `count` items. The list was built from the same snapshot, so there are as many.
    fn take(&mut self, count: usize) -> &'a [T] {
        let (taken, rest) = self.0.split_at_checked(count).unwrap_or((self.0, &[]));
        self.0 = rest;
        taken
    }
}

fn addresses(list: &[IpAddr]) -> impl Iterator<Item = wit::IpAddress> {
    list.iter().copied().map(address)
}

/// An address as integers.
pub(crate) fn address(address: IpAddr) -> wit::IpAddress {
    match address {
        IpAddr::V4(v4) => wit::IpAddress::Ipv4(v4.to_bits()),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            // The halves of 128 bits fit.
            #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
            wit::IpAddress::Ipv6(((bits >> 64) as u64, bits as u64))
        }
    }
}

fn cidr(net: &IpNet) -> wit::Cidr {
    wit::Cidr { network: address(net.network()), prefix_length: net.prefix_len() }
}

fn node(node: &sluice_core::snapshot::Node) -> wit::Node<'_> {
    let Capacity { total, ipv4, ipv6 } = node.capacity;
    wit::Node {
        name: node.name.as_str(),
        health: match node.health {
            Health::Healthy => wit::Health::Healthy,
            Health::Draining => wit::Health::Draining,
            Health::Down => wit::Health::Down,
        },
        capacity: wit::Capacity { total, ipv4, ipv6 },
        other_load: node.other_load,
        attributes: &[],
    }
}

fn placement(placement: Placement) -> wit::PlacementMode {
    match placement {
        Placement::Exact => wit::PlacementMode::Exact,
        Placement::Among => wit::PlacementMode::Among,
        Placement::Network => wit::PlacementMode::Network,
    }
}

fn assignment(assignment: &Assignment) -> wit::Assignment {
    wit::Assignment {
        address: address(assignment.address),
        node: assignment.node.0,
        phase: match assignment.phase {
            Phase::Settled => wit::Phase::Settled,
            Phase::Arriving => wit::Phase::Arriving,
            Phase::Leaving => wit::Phase::Leaving,
        },
    }
}
