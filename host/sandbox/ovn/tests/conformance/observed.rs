//! What was seen of the real cluster manager on a real API server, on bare metal, without probing.

use crate::fixtures::{bare_metal, carrier, egress_ip, label, node, unlabel};
use crate::world::World;
use sluice_sandbox_ovn::{MARK, Node, Reason, StatusItem};
use std::collections::BTreeMap;

fn nodes(count: u8) -> Vec<Node> {
    (1..=count).map(|n| node(&format!("node{n}"), &[&format!("10.0.0.{n}/16")])).collect()
}

fn carriers(count: u8) -> Vec<Node> {
    (1..=count).map(|n| carrier(&format!("node{n}"), &[&format!("10.0.0.{n}/16")])).collect()
}

fn loads(world: &World) -> BTreeMap<String, usize> {
    let items = world.cluster.egress_ips.values().flat_map(|found| &found.status);
    items.fold(BTreeMap::new(), |mut loads, StatusItem { node, .. }| {
        *loads.entry(node.clone()).or_default() += 1;
        loads
    })
}

#[test]
fn two_addresses_are_assigned_at_once_and_all_annotations_are_lost() {
    let mut world = World::start(bare_metal(1), carriers(2), Vec::new());
    world.put(egress_ip("eip", &["10.0.1.1", "10.0.1.2"]));
    assert_eq!(world.nodes_of("eip"), ["node1", "node2"]);
    let annotations = &world.cluster.egress_ips["eip"].annotations;
    assert_eq!(annotations.keys().collect::<Vec<_>>(), [MARK]);
}

#[test]
fn an_object_without_addresses_is_left_alone_until_it_has_some() {
    let mut world = World::start(bare_metal(1), carriers(2), Vec::new());
    world.put(egress_ip("eip", &[]));
    assert_eq!((world.log.patches.len(), world.log.events.len()), (0, 0));
    assert_eq!(world.cluster.egress_ips["eip"].annotations["mine"], "kept?");
    world.edit("eip", |found| found.egress_ips = vec!["10.0.1.1".into()]);
    assert_eq!(world.status("eip").len(), 1);
    assert!(!world.cluster.egress_ips["eip"].annotations.contains_key("mine"));
}

#[test]
fn only_the_address_of_the_node_that_lost_its_label_moves() {
    let mut world = World::start(bare_metal(1), carriers(2), vec![egress_ip("eip", &["10.0.1.1", "10.0.1.2"])]);
    world.put_node(node("node3", &["10.0.0.3/16"]));
    world.edit_node("node3", label);
    let before = world.status("eip");
    world.edit_node("node1", unlabel);
    let after = world.status("eip");
    assert_eq!(world.nodes_of("eip"), ["node2", "node3"]);
    assert_eq!(after.iter().filter(|item| before.contains(item)).count(), 1);
}

#[test]
fn addresses_leave_a_node_that_is_not_ready_without_any_probing() {
    let mut world = World::start(bare_metal(1), carriers(2), vec![egress_ip("eip", &["10.0.1.1", "10.0.1.2"])]);
    world.edit_node("node1", |node| node.ready = false);
    assert_eq!(world.nodes_of("eip"), ["node2"]);
    world.edit_node("node1", |node| node.ready = true);
    assert_eq!(world.nodes_of("eip"), ["node1", "node2"]);
}

#[test]
fn without_any_label_status_is_empty_and_an_event_says_so() {
    let mut world = World::start(bare_metal(1), carriers(2), vec![egress_ip("eip", &["10.0.1.1", "10.0.1.2"])]);
    world.edit_node("node1", unlabel);
    world.log.events.clear();
    world.edit_node("node2", unlabel);
    assert_eq!(world.status("eip"), []);
    assert!(world.reasons("eip").contains(&Reason::NoMatchingNodeFound));
}

#[test]
fn of_nodes_that_get_the_label_one_after_another_the_first_ones_take_everything() {
    let objects = (0..20).map(|n| egress_ip(&format!("eip{n}"), &[&format!("10.0.1.{n}"), &format!("10.0.2.{n}")]));
    let mut world = World::start(bare_metal(1), nodes(4), objects.collect());
    for name in ["node3", "node1", "node4", "node2"] {
        world.edit_node(name, label);
    }
    world.run(600_000);
    assert_eq!(loads(&world), [("node1".to_owned(), 20), ("node3".to_owned(), 20)].into());
}

#[test]
fn an_address_that_is_replaced_makes_way_for_the_other_before_anybody_can_look() {
    let mut world = World::start(bare_metal(1), carriers(2), vec![egress_ip("eip", &["10.0.1.1"])]);
    world.edit("eip", |found| found.egress_ips = vec!["10.0.1.2".into()]);
    assert_eq!(world.status("eip").into_iter().map(|(address, _)| address).collect::<Vec<_>>(), ["10.0.1.2"]);
}

#[test]
fn a_list_that_grows_and_shrinks_leaves_the_other_address_where_it_is() {
    let mut world = World::start(bare_metal(1), carriers(3), vec![egress_ip("eip", &["10.0.1.1"])]);
    let before = world.status("eip");
    world.edit("eip", |found| found.egress_ips.push("10.0.1.2".into()));
    assert_eq!(world.status("eip").len(), 2);
    assert!(world.status("eip").contains(&before[0]));
    world.edit("eip", |found| found.egress_ips.truncate(1));
    assert_eq!(world.status("eip"), before);
}

#[test]
fn many_objects_are_spread_evenly_and_those_with_an_address_twice_wait() {
    let mut world = World::start(bare_metal(1), carriers(9), Vec::new());
    for n in 0..300_u32 {
        let shared = n % 142;
        world.put(egress_ip(&format!("eip{n}"), &[&format!("10.0.{}.{}", 1 + shared / 100, shared % 100)]));
    }
    let loads_before = loads(&world);
    assert_eq!(loads_before.values().sum::<usize>(), 142);
    assert!(loads_before.values().all(|load| (15..=16).contains(load)), "{loads_before:?}");
    world.edit_node("node1", unlabel);
    let after = loads(&world);
    assert_eq!((after.values().sum::<usize>(), after.get("node1")), (142, None));
}
