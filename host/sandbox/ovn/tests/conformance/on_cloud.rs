//! The cluster manager and the cloud controller together.

use crate::fixtures::{carrier, cloud, condition, cpic, egress_ip, label, machines, node, pairs, unlabel};
use crate::world::World;
use sluice_sandbox_ovn::{Action, CloudController, Node, Reason, Verb};
use std::collections::BTreeMap;

const A: &str = "192.168.126.101";
const B: &str = "192.168.126.102";

/// Nodes 1 and 2 carry, node 3 could. Each machine has room for three addresses.
fn world() -> World {
    let nodes = vec![
        carrier("node1", &["192.168.126.12/24"]),
        carrier("node2", &["192.168.126.51/24"]),
        node("node3", &["192.168.126.52/24"]),
    ];
    World::start(cloud(1), nodes, Vec::new()).with_cloud(machines(&["node1", "node2", "node3"], Some(3)))
}

fn on_machines(world: &World, address: &str) -> Vec<String> {
    let address = address.parse().unwrap();
    let machines = world.cloud.as_ref().map(CloudController::machines).unwrap().iter();
    machines.filter(|(_, machine)| machine.addresses.contains(&address)).map(|(name, _)| name.clone()).collect()
}

#[test]
fn an_address_enters_status_when_the_cloud_has_it() {
    let mut world = world();
    world.put(egress_ip("eip", &[A]));
    world.run(999);
    assert_eq!(world.status("eip"), []);
    assert_eq!(world.cluster.cpics[A].owner.as_deref(), Some("eip"));
    world.run(1);
    assert_eq!(world.nodes_of("eip"), on_machines(&world, A));
    assert_eq!(world.log.patches["eip"], 1);
}

#[test]
fn several_addresses_of_an_object_are_asked_for_at_once() {
    let mut world = world();
    world.put(egress_ip("eip", &[A, B]));
    world.run(1_000);
    assert_eq!(world.nodes_of("eip"), ["node1", "node2"]);
    assert_eq!(world.log.cpics.len(), 2);
    assert_eq!(world.manager.retrying(), 0);
}

#[test]
fn an_address_that_moves_is_out_of_status_until_it_has_arrived() {
    let mut world = world();
    world.put(egress_ip("eip", &[A, B]));
    world.run(1_000);
    let stays = world.status("eip").into_iter().find(|(_, node)| node == "node2").unwrap();
    world.edit_node("node3", label);
    assert_eq!(world.nodes_of("eip"), ["node1", "node2"], "nothing moves for a node more");
    world.edit_node("node1", unlabel);
    assert_eq!(world.status("eip"), std::slice::from_ref(&stays));
    world.run(1_999);
    assert_eq!(world.status("eip"), std::slice::from_ref(&stays));
    world.run(1);
    assert_eq!(world.nodes_of("eip"), ["node2", "node3"]);
    assert!(world.status("eip").contains(&stays));
    let update = world.log.cpics.last().unwrap();
    assert!(update.starts_with("update") && update.ends_with("node3"), "{update}");
}

#[test]
fn a_new_address_waits_until_an_old_one_is_removed() {
    let mut world = world();
    world.put(egress_ip("eip", &[A]));
    world.run(1_000);
    world.edit("eip", |found| found.egress_ips = vec![B.into()]);
    assert_eq!(world.log.cpics[1], format!("delete {A}"));
    assert!(world.log.cpics[2].starts_with(&format!("create {B}")));
    world.run(5_000);
    assert_eq!(world.status("eip").into_iter().map(|(address, _)| address).collect::<Vec<_>>(), [B]);
    assert_eq!(on_machines(&world, A), [""; 0]);
}

#[test]
fn an_object_can_be_deleted_and_made_again() {
    let mut world = world();
    for _ in 0..3 {
        world.put(egress_ip("eip", &[A, B]));
        world.run(120_000);
        assert_eq!(world.nodes_of("eip"), ["node1", "node2"]);
        world.delete("eip");
        world.run(120_000);
        assert!(world.cluster.cpics.is_empty());
        assert!(world.manager.allocations().values().all(BTreeMap::is_empty));
    }
}

#[test]
fn an_object_that_is_deleted_before_the_cloud_is_done_leaves_nothing() {
    let mut world = world();
    world.put(egress_ip("eip", &[A, B]));
    world.run(500);
    world.delete("eip");
    world.run(120_000);
    assert!(world.cluster.cpics.is_empty(), "{:?}", world.cluster.cpics);
    assert_eq!((on_machines(&world, A), on_machines(&world, B)), (vec![], vec![]));
    assert!(world.manager.allocations().values().all(BTreeMap::is_empty));
}

#[test]
fn a_node_that_is_full_gets_nothing_and_what_is_freed_goes_to_those_who_wait() {
    let mut world = world();
    world.edit_node("node2", unlabel);
    for n in 0..4 {
        world.put(egress_ip(&format!("eip{n}"), &[&format!("192.168.126.11{n}")]));
    }
    world.run(60_000);
    assert_eq!(world.cluster.cpics.len(), 3);
    assert_eq!(world.status("eip3"), []);
    assert!(world.reasons("eip3").contains(&Reason::NoMatchingNodeFound));
    world.delete("eip0");
    world.run(60_000);
    assert_eq!(world.nodes_of("eip3"), ["node1"]);
}

#[test]
fn an_object_of_the_cloud_without_owner_changes_nothing() {
    let mut world = world();
    let mut foreign = cpic("", A, "node1");
    foreign.owner = None;
    world.put_cpic(foreign);
    world.delete_cpic(A);
    world.run(60_000);
    assert_eq!((world.log.patches.len(), world.manager.retrying()), (0, 0));
}

#[test]
fn an_object_of_the_cloud_on_another_node_is_not_corrected() {
    let mut world = world();
    world.put_cpic(cpic("somebody", A, "node3"));
    world.put(egress_ip("eip", &[A]));
    world.run(3_600_000);
    assert_eq!((world.status("eip"), world.log.cpics.len()), (vec![], 0));
    assert_eq!(world.cluster.cpics[A].node, "node3");
    assert_eq!(world.manager.retrying(), 0, "after fifteen attempts it was given up");
}

#[test]
fn an_object_of_the_cloud_that_is_deleted_by_somebody_comes_back() {
    let mut world = world();
    world.put(egress_ip("eip", &[A]));
    world.run(1_000);
    world.delete_cpic(A);
    world.run(300_000);
    assert_eq!(world.nodes_of("eip"), on_machines(&world, A));
    assert_eq!(world.nodes_of("eip").len(), 1);
}

#[test]
fn a_failure_on_a_node_that_is_gone_is_cleared_and_tried_again() {
    let mut world = world();
    let mut failed = cpic("eip", A, "gone");
    failed.status.conditions = vec![condition("False")];
    world.cloud = None;
    world.put_cpic(failed);
    world.put(egress_ip("eip", &[A]));
    assert_eq!(world.reasons("eip")[0], Reason::CloudAssignmentRetry);
    assert_eq!(world.log.cpics[0], format!("delete {A}"));
    world.run(600_000);
    assert_eq!(world.log.cpics.len(), 2, "{:?}", world.log.cpics);
    assert!(world.log.cpics[1].starts_with(&format!("create {A}")));
}

#[test]
fn what_the_cloud_refuses_is_seen_nowhere_but_on_its_object() {
    let mut world = world();
    // Somebody else has the address on an interface.
    let machines = world.cloud.as_mut().unwrap().machines_mut();
    machines.get_mut("node3").unwrap().addresses.insert(A.parse().unwrap());
    world.put(egress_ip("eip", &[A]));
    world.run(3_600_000);
    assert_eq!((world.status("eip"), world.reasons("eip")), (vec![], vec![]));
    assert!(world.cluster.cpics[A].status.is_failed());
}

#[test]
fn a_write_that_the_api_refuses_is_an_event_and_is_tried_again() {
    let mut world = world();
    let mut refusals = 0;
    world.refuse = Box::new(move |action| {
        refusals += usize::from(matches!(action, Action::CreateCpic { .. }));
        matches!(action, Action::CreateCpic { .. }) && refusals <= 2
    });
    world.put(egress_ip("eip", &[A]));
    assert_eq!(world.reasons("eip"), [Reason::CloudAssignmentFailed]);
    world.run(120_000);
    assert_eq!(world.reasons("eip"), [Reason::CloudAssignmentFailed; 2]);
    assert_eq!(world.nodes_of("eip").len(), 1);
}

#[test]
fn a_watch_of_the_clouds_objects_that_is_late_delays_status_alone() {
    let mut world = world();
    world.lag[2] = 5_000;
    world.put(egress_ip("eip", &[A, B]));
    world.run(5_999);
    assert_eq!((on_machines(&world, A).len(), world.status("eip").len()), (1, 0));
    world.run(1);
    assert_eq!(world.nodes_of("eip"), ["node1", "node2"]);
}

#[test]
fn an_interface_takes_one_operation_at_a_time() {
    let mut world = world();
    world.edit_node("node2", unlabel);
    for n in 0..3 {
        world.put(egress_ip(&format!("eip{n}"), &[&format!("192.168.126.11{n}")]));
    }
    for done in 1..=3 {
        world.run(1_000);
        let changes = world.cloud.as_ref().unwrap().changes();
        assert_eq!(changes.iter().filter(|change| change.verb == Verb::Assign).count(), done);
    }
    assert_eq!(world.status("eip0"), pairs(&[("192.168.126.110", "node1")]));
}

#[test]
fn a_node_that_is_left_counts_as_empty_before_the_cloud_has_taken_anything_off_it() {
    for leave in [unlabel as fn(&mut Node), |node| node.ready = false] {
        let mut world = world();
        world.edit_node("node2", unlabel);
        world.put(egress_ip("eip", &[A]));
        assert_eq!(world.manager.allocations()["node1"].len(), 1);
        world.edit_node("node1", leave);
        assert_eq!(world.manager.allocations()["node1"].len(), 0);
        // What was under way arrives all the same, and is noticed to be in the wrong place.
        world.edit_node("node2", label);
        world.run(60_000);
        assert_eq!(world.nodes_of("eip"), ["node2"]);
    }
}

#[test]
fn a_move_is_not_mistaken_for_somebody_elses_while_its_watch_is_late() {
    let mut world = world();
    world.put(egress_ip("eip", &[A]));
    world.run(1_000);
    let from = world.nodes_of("eip")[0].clone();
    world.lag[2] = 10_000;
    world.edit_node(&from, unlabel);
    world.edit("eip", |found| drop(found.annotations.insert("touched".into(), String::new())));
    assert_eq!(world.manager.retrying(), 0);
    world.run(60_000);
    assert_eq!(world.nodes_of("eip"), on_machines(&world, A));
    assert_ne!(world.nodes_of("eip"), [from]);
}

#[test]
fn an_object_that_is_made_again_waits_for_the_end_of_its_deletion() {
    let mut world = world();
    world.edit_node("node2", unlabel);
    world.put(egress_ip("eip", &[A]));
    world.run(1_000);
    world.delete("eip");
    world.put(egress_ip("eip", &[A]));
    assert_eq!((world.manager.retrying(), world.log.cpics.len()), (1, 2));
    world.run(60_000);
    assert_eq!(world.nodes_of("eip"), on_machines(&world, A));
    assert_eq!(world.nodes_of("eip").len(), 1);
}
