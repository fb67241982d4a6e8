//! Which node gets an address.

use crate::fixtures::{bare_metal, carrier, egress_ip, pairs, placed};
use crate::world::World;
use sluice_sandbox_ovn::{EgressIp, Reason};
use std::collections::BTreeSet;

const NODE1: &str = "0:0:0:0:0:feff:c0a8:8e0c/64";
const NODE1_BESIDE: &str = "0:0:1:0:0:fecf:c0a8:8e0c/64";
const NODE2: &str = "0:0:0:0:0:fedf:c0a8:8e0c/64";
const NODE2_BESIDE: &str = "0:0:1:0:0:febf:c0a8:8e0c/64";

/// Two nodes that have some addresses already: three on the first, and one on the second.
fn world_with(objects: Vec<EgressIp>) -> World {
    let nodes = vec![carrier("node1", &[NODE1, NODE1_BESIDE]), carrier("node2", &[NODE2, NODE2_BESIDE])];
    let mut all = vec![
        placed("bogus1", &[("::feff:c0a8:8e32", "node1")]),
        placed("bogus2", &[("::feff:c0a8:8e1e", "node1")]),
        placed("bogus3", &[("::feff:c0a8:8e23", "node2")]),
    ];
    // Those without status come later: at a start the first node that is looked at would take them.
    let (old, new): (Vec<_>, Vec<_>) = objects.into_iter().partition(|object| !object.status.is_empty());
    all.extend(old);
    let mut world = World::start(bare_metal(1), nodes, all);
    for object in new {
        world.put(object);
    }
    world
}

/// What becomes of an object with these addresses, over some seeds.
fn outcomes(addresses: &[&str]) -> Vec<Vec<(String, String)>> {
    let nodes = || vec![carrier("node1", &[NODE1, NODE1_BESIDE]), carrier("node2", &[NODE2, NODE2_BESIDE])];
    let of = |seed| World::start(bare_metal(seed), nodes(), vec![egress_ip("eip", addresses)]).status("eip");
    (0..32).map(of).collect()
}

#[test]
fn the_node_with_the_fewest_addresses_gets_the_next_one() {
    let world = world_with(vec![egress_ip("eip", &["0:0:0:0:0:feff:c0a8:8e0d"])]);
    assert_eq!(world.status("eip"), pairs(&[("::feff:c0a8:8e0d", "node2")]));
}

#[test]
fn two_addresses_of_an_object_go_to_two_nodes() {
    for addresses in [
        ["0:0:0:0:0:feff:c0a8:8e0d", "0:0:0:0:0:feff:c0a8:8e0f"],
        ["0:0:1:0:0:fecf:c0a8:8e0d", "0:0:1:0:0:febf:c0a8:8e0f"],
        ["0:0:1:0:0:fecf:c0a8:8e0d", "0:0:0:0:0:feff:c0a8:8e0f"],
    ] {
        let world = world_with(vec![egress_ip("eip", &addresses)]);
        assert_eq!(world.nodes_of("eip"), ["node1", "node2"], "{addresses:?}");
    }
}

#[test]
fn the_third_address_for_two_nodes_waits_without_an_error() {
    for addresses in [
        ["0:0:0:0:0:feff:c0a8:8e0d", "0:0:0:0:0:feff:c0a8:8e0e", "0:0:0:0:0:feff:c0a8:8e0f"],
        ["0:0:1:0:0:feff:c0a8:8e0d", "0:0:1:0:0:feff:c0a8:8e0e", "0:0:1:0:0:feff:c0a8:8e0f"],
    ] {
        let world = world_with(vec![egress_ip("eip", &addresses)]);
        assert_eq!(world.nodes_of("eip"), ["node1", "node2"]);
        assert_eq!(world.manager.retrying(), 0);
        assert!(world.reasons("eip").contains(&Reason::UnassignedRequest));
    }
}

#[test]
fn addresses_of_both_kinds_of_networks_that_find_no_node_wait_without_an_error() {
    let addresses = [
        "0:0:0:0:0:feff:c0a8:8e0d",
        "0:0:1:0:0:feff:c0a8:8e0e",
        "0:0:0:0:0:feff:c0a8:8e0f",
        "0:0:1:0:0:feff:c0a8:8e0f",
    ];
    let world = world_with(vec![egress_ip("eip", &addresses)]);
    assert_eq!(world.nodes_of("eip"), ["node1", "node2"]);
    assert_eq!(world.manager.retrying(), 0);
}

#[test]
fn an_address_that_a_node_has_already_stays_there() {
    for address in ["::feff:c0a8:8e1a", "0:0:1::feff:c0a8:8e0d"] {
        let address = &address.parse::<std::net::Ipv6Addr>().unwrap().to_string();
        let mut world = world_with(vec![placed("eip", &[(address, "node1")])]);
        assert_eq!(world.status("eip"), pairs(&[(address, "node1")]), "though node2 has fewer");
        // Somebody empties status: the same node is written again.
        world.edit("eip", |egress_ip| egress_ip.status.clear());
        assert_eq!(world.status("eip"), pairs(&[(address, "node1")]));
    }
}

fn is_refused(address: &str, expected: Reason) {
    let world = world_with(vec![egress_ip("eip", &[address])]);
    assert_eq!(world.status("eip"), [], "{address}");
    assert_eq!(world.reasons("eip")[0], expected, "{address}");
}

#[test]
fn the_primary_address_of_a_node_is_refused() {
    is_refused("0:0:0:0:0:feff:c0a8:8e0c", Reason::EgressIpConflict);
}

#[test]
fn any_other_address_of_a_host_is_refused() {
    is_refused("0:0:1:0:0:febf:c0a8:8e0c", Reason::EgressIpConflict);
}

#[test]
fn an_address_of_a_host_is_refused_in_short_notation() {
    is_refused("::feff:c0a8:8e0c", Reason::EgressIpConflict);
}

#[test]
fn an_address_of_a_host_is_refused_in_capitals() {
    is_refused("::FEFF:C0A8:8E0C", Reason::EgressIpConflict);
}

#[test]
fn an_address_that_another_object_has_is_refused_in_any_notation() {
    is_refused("::FEFF:C0A8:8E32", Reason::UnsupportedRequest);
    is_refused("0:0::feff:c0a8:8e32", Reason::UnsupportedRequest);
}

#[test]
fn an_address_of_a_family_that_no_node_has_finds_none() {
    is_refused("192.168.126.16", Reason::NoMatchingNodeFound);
}

#[test]
fn a_free_address_in_capitals_is_written_in_small_letters() {
    let world = world_with(vec![egress_ip("eip", &["::FEFF:C0A8:8D32"])]);
    assert_eq!(world.status("eip"), pairs(&[("::feff:c0a8:8d32", "node2")]));
}

#[test]
fn what_is_no_address_spoils_the_object_and_is_tried_again_fifteen_times() {
    let mut world = world_with(vec![egress_ip("eip", &["0:0:0:0:0:feff:c0a8:8e0d", "::feff:c0a8:8e0c:bogus"])]);
    assert_eq!(world.status("eip"), []);
    assert_eq!(world.reasons("eip"), [Reason::InvalidEgressIp]);
    assert_eq!(world.manager.retrying(), 1);
    world.run(150_000);
    assert_eq!(world.reasons("eip").len(), 6, "at each of the first sweeps");
    world.run(450_000);
    assert_eq!(world.reasons("eip").len(), 11, "then every 90 s, since a sweep after 60 s is too early by some jitter");
    world.run(3_600_000);
    assert_eq!(world.manager.retrying(), 0, "then there is silence");
    // The first failure counts as an attempt.
    assert_eq!(world.reasons("eip").len(), 15);
    world.edit("eip", |egress_ip| egress_ip.egress_ips = vec!["0:0:0:0:0:feff:c0a8:8e0d".into()]);
    assert_eq!(world.status("eip").len(), 1, "until the next event");
}

#[test]
fn an_address_of_v4_goes_to_the_node_that_has_it_however_much_that_one_carries() {
    let nodes = vec![
        carrier("node1", &["0:0:0:0:0:feff:c0a8:8e0c/64"]),
        carrier("node2", &["192.168.126.51/24", "0:0:0:0:0:fedf:c0a8:8e0c/64"]),
    ];
    let objects = vec![
        placed("bogus1", &[("192.168.126.68", "node2")]),
        placed("bogus2", &[("192.168.126.69", "node2")]),
        egress_ip("eip", &["192.168.126.16"]),
    ];
    let world = World::start(bare_metal(1), nodes, objects);
    assert_eq!(world.status("eip"), pairs(&[("192.168.126.16", "node2")]));
}

#[test]
fn a_range_is_no_address() {
    let nodes = vec![carrier("node1", &["192.168.126.12/24"])];
    let world = World::start(bare_metal(1), nodes, vec![egress_ip("eip", &["192.168.126.99/32"])]);
    assert_eq!(world.status("eip"), []);
    assert_eq!(world.reasons("eip")[0], Reason::InvalidEgressIp);
}

#[test]
fn ties_are_broken_by_chance_and_a_seed_decides_alike() {
    let first = outcomes(&["::feff:c0a8:8e0d", "::feff:c0a8:8e0f"]);
    assert_eq!(first, outcomes(&["::feff:c0a8:8e0d", "::feff:c0a8:8e0f"]));
    let ways: BTreeSet<_> = first.into_iter().collect();
    assert_eq!(ways.len(), 2, "{ways:?}");
}

#[test]
fn an_address_beside_the_clusters_network_restricts_those_that_follow_it() {
    // Only node1 has the network beside, and it has most addresses. If the address beside comes first, the other one may
    // not even go to node2, which is empty. It gets there with the event of the first one's patch.
    let count = |seed| {
        let nodes = vec![carrier("node1", &[NODE1, NODE1_BESIDE]), carrier("node2", &[NODE2])];
        let before = placed("before", &[("::feff:c0a8:8e32", "node1")]);
        let mut world = World::start(bare_metal(seed), nodes, vec![before]);
        world.put(egress_ip("eip", &["0:0:1:0:0:fecf:c0a8:8e0d", "0:0:0:0:0:feff:c0a8:8e0f"]));
        assert_eq!(world.nodes_of("eip"), ["node1", "node2"]);
        assert_eq!(world.reasons("eip").len() + 1, world.log.patches["eip"]);
        world.log.patches["eip"]
    };
    let patches: BTreeSet<usize> = (0..32).map(count).collect();
    assert_eq!(patches, [1, 2].into());
}

#[test]
fn a_network_of_a_link_is_no_network_for_addresses() {
    let nodes = vec![carrier("node1", &["192.168.126.12/24", "169.254.7.1/16", "10.10.10.1/24"])];
    let mut world = World::start(bare_metal(1), nodes, Vec::new());
    world.put(egress_ip("eip", &["169.254.7.9"]));
    world.put(egress_ip("other", &["10.10.10.9"]));
    assert_eq!((world.status("eip").len(), world.status("other").len()), (0, 1));
}

#[test]
fn a_node_whose_addresses_are_unknown_ends_every_assignment_in_silence() {
    let mut second = carrier("node2", &[NODE2]);
    second.annotations.remove(sluice_sandbox_ovn::HOST_CIDRS);
    second.labels.clear();
    let nodes = vec![carrier("node1", &[NODE1]), second];
    let world = World::start(bare_metal(1), nodes, vec![egress_ip("eip", &["::feff:c0a8:8e0d"])]);
    assert_eq!((world.status("eip"), world.reasons("eip")), (vec![], vec![]));
}
