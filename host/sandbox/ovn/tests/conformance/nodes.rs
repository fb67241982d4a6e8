//! Nodes come, change and go.

use crate::fixtures::{bare_metal, carrier, egress_ip, label, node, pairs, unlabel};
use crate::world::World;
use sluice_sandbox_ovn::{HOST_CIDRS, Node, PRIMARY, Probing, Reason, Settings};

/// One address of the cluster's network, and three of networks beside it.
const ADDRESSES: [&str; 4] = ["192.168.126.101", "10.10.10.100", "7.7.7.100", "7.7.8.100"];

fn two_nodes() -> (Node, Node) {
    let first = carrier("node1", &["192.168.126.202/24", "10.10.10.3/24", "7.7.7.7/16"]);
    let second = node("node2", &["192.168.126.51/24", "10.10.10.4/24", "7.7.7.8/16", "5.5.5.5/16"]);
    (first, second)
}

#[test]
fn an_address_follows_the_label_from_one_node_to_another() {
    for address in ADDRESSES {
        let (first, second) = two_nodes();
        let mut world = World::start(bare_metal(1), vec![first, second], vec![egress_ip("eip", &[address])]);
        assert_eq!(world.status("eip"), pairs(&[(address, "node1")]));
        assert!(world.manager.is_usable("node1") && !world.manager.is_usable("node2"));
        world.edit_node("node1", unlabel);
        assert_eq!(world.status("eip"), []);
        world.edit_node("node2", label);
        assert_eq!(world.status("eip"), pairs(&[(address, "node2")]), "{address}");
    }
}

#[test]
fn an_address_leaves_a_node_that_is_deleted() {
    for address in ADDRESSES {
        let (first, second) = two_nodes();
        let mut world = World::start(bare_metal(1), vec![first, second], vec![egress_ip("eip", &[address])]);
        world.delete_node("node1");
        assert_eq!(world.status("eip"), []);
        assert!(!world.manager.allocations().contains_key("node1"));
        world.edit_node("node2", label);
        assert_eq!(world.status("eip"), pairs(&[(address, "node2")]), "{address}");
    }
}

#[test]
fn a_node_without_pod_network_is_left_out_and_does_not_disturb() {
    let settings =
        Settings { no_host_subnet: [("kubernetes.io/os".to_owned(), "windows".to_owned())].into(), ..bare_metal(1) };
    let mut windows = carrier("windows", &["192.168.126.77/24"]);
    windows.labels.insert("kubernetes.io/os".into(), "windows".into());
    windows.annotations.clear();
    let linux = carrier("linux", &["192.168.126.51/24"]);
    let world =
        World::start(settings, vec![windows.clone(), linux.clone()], vec![egress_ip("eip", &["192.168.126.5"])]);
    assert_eq!(world.status("eip"), pairs(&[("192.168.126.5", "linux")]));
    // Were it not left out, its missing annotation would end every assignment.
    let world = World::start(bare_metal(1), vec![windows, linux], vec![egress_ip("eip", &["192.168.126.5"])]);
    assert_eq!(world.status("eip"), []);
}

#[test]
fn what_a_node_can_carry_is_known_before_it_has_the_label() {
    let mut world = World::start(bare_metal(1), Vec::new(), Vec::new());
    world.put_node(node("v4", &["192.168.126.12/24"]));
    world.put_node(node("both", &["192.168.126.51/24", "fc00:f853:ccd:e793::1/64"]));
    assert_eq!(world.manager.allocations().len(), 2);
    assert!(!world.manager.is_usable("v4") && !world.manager.is_usable("both"));
    world.edit_node("v4", label);
    assert!(world.manager.is_usable("v4") && !world.manager.is_usable("both"));
    world.edit_node("both", label);
    world.put(egress_ip("eip", &["fc00:f853:ccd:e793::54"]));
    assert_eq!(world.status("eip"), pairs(&[("fc00:f853:ccd:e793::54", "both")]));
}

#[test]
fn a_node_that_loses_its_label_right_after_it_came_is_known_and_unused() {
    let mut world = World::start(bare_metal(1), Vec::new(), vec![egress_ip("eip", &["192.168.126.5"])]);
    // The first patch fails, so that the node enters the retry queue.
    let mut failures = 1;
    world.refuse = Box::new(move |_| {
        failures -= 1;
        failures == 0
    });
    world.put_node(carrier("node", &["192.168.126.51/24"]));
    assert_eq!((world.log.refused, world.manager.retrying()), (1, 1));
    world.refuse = Box::new(|_| false);
    world.edit_node("node", unlabel);
    world.run(120_000);
    assert_eq!(world.manager.retrying(), 0);
    assert!(world.manager.allocations().contains_key("node") && !world.manager.is_usable("node"));
    assert_eq!(world.status("eip"), []);
}

#[test]
fn a_node_gets_one_address_of_an_object_and_the_others_wait_for_more_nodes() {
    let first = carrier("node1", &["192.168.126.12/24"]);
    let second = node("node2", &["192.168.126.13/24"]);
    let objects = vec![egress_ip("two", &["192.168.126.25", "192.168.126.30"]), egress_ip("one", &["192.168.126.35"])];
    let mut world = World::start(bare_metal(1), vec![first, second], objects);
    assert_eq!(world.nodes_of("two"), ["node1"]);
    assert_eq!(world.nodes_of("one"), ["node1"]);
    assert!(world.reasons("two").contains(&Reason::UnassignedRequest), "{:?}", world.log.events);
    let before = world.status("two");
    world.edit_node("node2", label);
    assert_eq!(world.nodes_of("two"), ["node1", "node2"]);
    assert!(before.iter().all(|item| world.status("two").contains(item)), "nothing moves");
    assert_eq!(world.nodes_of("one"), ["node1"]);
}

#[test]
fn a_node_with_an_address_that_cannot_be_read_is_unknown() {
    let mut broken = carrier("broken", &["192.168.126.12/24"]);
    broken.annotations.insert(PRIMARY.into(), r#"{"ipv4":"192.168.126.12:bogus/24"}"#.into());
    broken.annotations.insert(HOST_CIDRS.into(), "[]".into());
    let mut world = World::start(bare_metal(1), vec![broken], vec![egress_ip("eip", &["192.168.126.5"])]);
    assert!(world.manager.allocations().is_empty());
    // Once for the object itself, and once for what its mark changed.
    assert_eq!(world.reasons("eip"), [Reason::NoMatchingNodeFound; 2]);
    // Repaired, it becomes ready at once, reachable with the next probe, and then gets the address.
    world.edit_node("broken", |node| {
        node.annotations.insert(PRIMARY.into(), r#"{"ipv4":"192.168.126.12/24"}"#.into());
    });
    assert_eq!(world.status("eip"), []);
    world.run(6_000);
    assert_eq!(world.status("eip"), pairs(&[("192.168.126.5", "broken")]));
}

#[test]
fn nodes_are_probed_by_connections_that_live_as_long_as_the_label() {
    let settings = Settings { probing: Probing::Grpc, ..bare_metal(1) };
    let nodes = vec![carrier("node1", &["192.168.126.12/24"]), carrier("node2", &["192.168.126.13/24"])];
    let mut world = World::start(settings, Vec::new(), Vec::new());
    for mut node in nodes {
        world.manager.set_reachable(&node.name, false);
        unlabel(&mut node);
        world.put_node(node);
    }
    let state = |world: &World| {
        ["node1", "node2"].map(|name| (world.manager.is_connected(name), world.manager.is_usable(name)))
    };
    world.edit_node("node1", label);
    world.edit_node("node2", label);
    assert_eq!(state(&world), [(false, false); 2], "none answers");
    world.manager.set_reachable("node1", true);
    world.run(5_000);
    assert_eq!(state(&world), [(true, true), (false, false)], "the first one answers");
    world.manager.set_reachable("node2", true);
    world.run(5_000);
    assert_eq!(state(&world), [(true, true); 2], "both answer");
    world.manager.set_reachable("node1", false);
    world.run(5_000);
    assert_eq!(state(&world), [(false, true), (true, true)], "the first loss is forgiven");
    world.run(5_000);
    assert_eq!(state(&world), [(false, false), (true, true)], "the second one is not");
    world.manager.set_reachable("node1", true);
    world.manager.set_reachable("node2", false);
    world.run(5_000);
    assert_eq!(state(&world), [(true, true), (false, true)]);
    world.run(5_000);
    assert_eq!(state(&world), [(true, true), (false, false)]);
    world.manager.set_reachable("node2", true);
    world.run(5_000);
    assert_eq!(state(&world), [(true, true); 2]);
    world.edit_node("node1", unlabel);
    world.run(5_000);
    assert_eq!(state(&world), [(false, false), (true, true)], "without the label there is no connection");
}

#[test]
fn a_probe_that_is_answered_makes_an_earlier_loss_forgotten() {
    let settings = Settings { probing: Probing::Grpc, ..bare_metal(1) };
    let mut world = World::start(settings, vec![carrier("node", &["192.168.126.12/24"])], Vec::new());
    for round in 0..3 {
        world.manager.set_reachable("node", false);
        world.run(5_000);
        assert!(world.manager.is_usable("node"), "round {round}");
        world.manager.set_reachable("node", true);
        // One probe connects, the next one is answered.
        world.run(10_000);
        assert!(world.manager.is_usable("node") && world.manager.is_connected("node"), "round {round}");
    }
    // Without an answer in between a new connection does not help.
    world.manager.set_reachable("node", false);
    world.run(5_000);
    world.manager.set_reachable("node", true);
    world.run(5_000);
    world.manager.set_reachable("node", false);
    world.run(5_000);
    assert!(!world.manager.is_usable("node"));
}

#[test]
fn a_node_that_comes_back_is_not_given_what_it_had() {
    let settings = Settings { probing: Probing::Legacy, ..bare_metal(1) };
    let nodes = vec![carrier("node1", &["192.168.126.12/24"]), carrier("node2", &["192.168.126.13/24"])];
    let objects = vec![egress_ip("a", &["192.168.126.5"]), egress_ip("b", &["192.168.126.6"])];
    let mut world = World::start(settings, nodes, objects);
    world.manager.set_reachable("node1", false);
    world.run(5_000);
    assert_eq!((world.nodes_of("a"), world.nodes_of("b")), (vec!["node2".to_owned()], vec!["node2".to_owned()]));
    world.manager.set_reachable("node1", true);
    world.run(60_000);
    assert!(world.manager.is_usable("node1"));
    assert_eq!((world.nodes_of("a"), world.nodes_of("b")), (vec!["node2".to_owned()], vec!["node2".to_owned()]));
    world.edit_node("node2", |node| node.ready = false);
    assert_eq!((world.nodes_of("a"), world.nodes_of("b")), (vec!["node1".to_owned()], vec!["node1".to_owned()]));
}
