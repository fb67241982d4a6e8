//! What status says, and what is made of it at a start.

use crate::fixtures::{bare_metal, carrier, cloud, cpic, egress_ip, item, on_cloud, pairs, placed};
use crate::world::World;
use serde_json::json;
use sluice_sandbox_ovn::{MARK, Node, Reason};
use std::collections::BTreeSet;

fn two_nodes() -> Vec<Node> {
    vec![carrier("node1", &["192.168.126.12/24"]), carrier("node2", &["192.168.126.51/24"])]
}

fn two_nodes_on_cloud() -> Vec<Node> {
    let config = json!([{ "ifaddr": { "ipv4": "192.168.126.0/24" }, "capacity": { "ip": 10 } }]);
    two_nodes().into_iter().map(|node| on_cloud(node, &config)).collect()
}

#[test]
fn status_of_an_address_of_v4_is_written_and_cleared_with_the_nodes() {
    let mut world = World::start(bare_metal(1), two_nodes(), vec![egress_ip("eip", &["192.168.126.69"])]);
    assert_eq!(world.status("eip").len(), 1);
    world.delete_node("node1");
    world.delete_node("node2");
    assert_eq!(world.status("eip"), []);
}

#[test]
fn status_of_an_address_of_v6_is_written_in_its_shortest_form() {
    let nodes = vec![carrier("node", &["0:0:0:0:0:feff:c0a8:8e0c/64"])];
    let world = World::start(bare_metal(1), nodes, vec![egress_ip("eip", &["0:0:0:0:0:feff:c0a8:8e0d"])]);
    assert_eq!(world.status("eip"), pairs(&[("::feff:c0a8:8e0d", "node")]));
}

#[test]
fn two_families_of_one_object_need_two_nodes() {
    let both = |name: &str, last: u8| {
        carrier(name, &[&format!("192.168.126.{last}/24"), &format!("fc00:f853:ccd:e793::{last}/64")])
    };
    let object = || vec![egress_ip("eip", &["192.168.126.69", "fc00:f853:ccd:e793::69"])];
    let world = World::start(bare_metal(1), vec![both("node1", 12), both("node2", 51)], object());
    assert_eq!(world.nodes_of("eip"), ["node1", "node2"]);
    let world = World::start(bare_metal(1), vec![both("node1", 12)], object());
    assert_eq!(world.nodes_of("eip"), ["node1"]);
}

#[test]
fn a_mark_is_given_kept_and_given_back() {
    let mut world = World::start(bare_metal(1), two_nodes(), Vec::new());
    world.put(egress_ip("eip", &["192.168.126.69"]));
    let mark = |world: &World, name: &str| world.cluster.egress_ips[name].annotations[MARK].clone();
    assert_eq!(mark(&world, "eip"), "50000");
    assert_eq!(world.cluster.egress_ips["eip"].annotations.len(), 1, "all other annotations are gone");
    world.edit("eip", |found| {
        found.egress_ips = vec!["192.168.126.70".into()];
        found.annotations.insert("mine".into(), "again".into());
    });
    assert_eq!(mark(&world, "eip"), "50000");
    assert_eq!(world.cluster.egress_ips["eip"].annotations.len(), 2, "later patches leave annotations alone");
    world.delete("eip");
    world.put(egress_ip("next", &["192.168.126.71"]));
    assert_eq!(mark(&world, "next"), "50001", "marks are handed out in turn");
}

#[test]
fn marks_go_round_and_end_without_harm() {
    let mut world = World::start(bare_metal(1), two_nodes(), vec![egress_ip("eip", &["192.168.126.69"])]);
    for round in 0..5_002_u32 {
        world.delete("eip");
        world.put(egress_ip("eip", &["192.168.126.69"]));
        let mark: u32 = world.cluster.egress_ips["eip"].annotations[MARK].parse().unwrap();
        assert_eq!(mark, 50_000 + (round + 1) % 5_000);
    }
}

#[test]
fn the_five_thousand_and_first_object_has_no_mark_and_works() {
    let objects = (0..5_001).map(|n| egress_ip(&format!("eip{n}"), &[])).collect();
    let mut world = World::start(bare_metal(1), two_nodes(), objects);
    let marks: Vec<_> = world.cluster.egress_ips.values().filter_map(|found| found.annotations.get(MARK)).collect();
    assert_eq!(marks.iter().collect::<BTreeSet<_>>().len(), 5_000);
    let unmarked = world.cluster.egress_ips.values().find(|found| !found.annotations.contains_key(MARK));
    let unmarked = unmarked.unwrap().name.clone();
    world.edit(&unmarked, |found| found.egress_ips = vec!["192.168.126.5".into()]);
    assert_eq!(world.status(&unmarked).len(), 1);
    assert_eq!(world.cluster.egress_ips[&unmarked].annotations["mine"], "kept?");
}

#[test]
fn marks_that_objects_have_are_kept_at_a_start_and_others_get_new_ones() {
    let mut marked = egress_ip("marked", &[]);
    marked.annotations.insert(MARK.into(), "50000".into());
    let world = World::start(bare_metal(1), Vec::new(), vec![marked, egress_ip("new", &[])]);
    assert_eq!(world.cluster.egress_ips["marked"].annotations["mine"], "kept?");
    assert_eq!(world.cluster.egress_ips["new"].annotations, [(MARK.to_owned(), "50001".to_owned())].into());
}

fn is_left_alone(nodes: Vec<Node>, items: &[(&str, &str)]) {
    let mut marked = placed("eip", items);
    marked.annotations.insert(MARK.into(), "50007".into());
    let mut world = World::start(bare_metal(1), nodes, vec![marked]);
    world.run(600_000);
    assert_eq!(world.status("eip"), pairs(items));
    assert_eq!(world.log.patches.get("eip"), None);
}

#[test]
fn valid_status_of_v4_is_left_alone_at_a_start() {
    is_left_alone(two_nodes(), &[("192.168.126.100", "node2"), ("192.168.126.101", "node1")]);
}

#[test]
fn valid_status_of_two_families_is_left_alone_at_a_start() {
    let nodes = vec![carrier("node1", &["192.168.126.12/24"]), carrier("node2", &["fc00:f853:ccd:e793::1/64"])];
    is_left_alone(nodes, &[("192.168.126.101", "node1"), ("fc00:f853:ccd:e793::54", "node2")]);
}

#[test]
fn two_addresses_of_an_object_on_one_node_are_spread_at_a_start() {
    let object = placed("eip", &[("192.168.126.100", "node1"), ("192.168.126.101", "node1")]);
    let mut world = World::start(bare_metal(1), two_nodes(), vec![object]);
    assert_eq!(world.nodes_of("eip"), ["node1", "node2"]);
    // An old status comes late, and the true one after it.
    let good = world.cluster.egress_ips["eip"].status.clone();
    world.edit("eip", |found| {
        found.status = vec![item("192.168.126.101", "node1"), item("192.168.126.100", "node1")];
    });
    world.edit("eip", |found| found.status = good);
    assert_eq!(world.nodes_of("eip"), ["node1", "node2"]);
}

#[test]
fn status_with_what_is_no_address_is_written_anew() {
    let mut object = egress_ip("eip", &["192.168.126.101"]);
    object.status = vec![item("192.168.126.9999", "node1")];
    let mut world = World::start(bare_metal(1), two_nodes(), vec![object]);
    world.run(60_000);
    assert_eq!(world.status("eip").len(), 1);
    assert_eq!(world.status("eip")[0].0, "192.168.126.101");
}

#[test]
fn status_with_an_address_that_its_node_cannot_have_is_written_anew() {
    let mut object = egress_ip("eip", &["192.168.126.101"]);
    object.status = vec![item("192.168.128.79", "node1")];
    let world = World::start(bare_metal(1), two_nodes(), vec![object]);
    assert_eq!(world.status("eip").len(), 1);
    assert_eq!(world.status("eip")[0].0, "192.168.126.101");
}

#[test]
fn status_that_somebody_else_wrote_is_undone() {
    let mut world = World::start(bare_metal(1), two_nodes(), vec![egress_ip("eip", &["192.168.126.101"])]);
    let before = world.status("eip");
    let other = if before[0].1 == "node1" { "node2" } else { "node1" };
    world.edit("eip", |found| found.status = vec![item("192.168.126.101", other)]);
    assert_eq!(world.status("eip"), before);
}

#[test]
fn an_item_without_its_object_in_the_cloud_goes_at_a_start() {
    let object = placed("eip", &[("192.168.126.100", "node2"), ("192.168.126.101", "node1")]);
    let kept = cpic("eip", "192.168.126.101", "node1");
    let world = World::start_with(cloud(1), two_nodes_on_cloud(), vec![object], vec![kept]);
    assert_eq!(world.status("eip"), pairs(&[("192.168.126.101", "node1")]));
}

#[test]
fn all_items_go_at_a_start_if_the_cloud_has_no_objects() {
    let object = placed("eip", &[("192.168.126.100", "node2"), ("192.168.126.101", "node1")]);
    let world = World::start(cloud(1), two_nodes_on_cloud(), vec![object]);
    assert_eq!(world.status("eip"), []);
    // They are asked for again, on the nodes where they were.
    let mut asked = world.log.cpics.clone();
    asked.sort();
    asked.dedup();
    assert_eq!(asked, ["create 192.168.126.100 node2", "create 192.168.126.101 node1"]);
}

#[test]
fn an_item_on_another_node_than_the_clouds_object_is_no_reason_to_drop_it_at_a_start() {
    let object = placed("eip", &[("192.168.126.101", "node1")]);
    let moved = cpic("eip", "192.168.126.101", "node2");
    let world = World::start_with(cloud(1), two_nodes_on_cloud(), vec![object], vec![moved]);
    assert!(world.status("eip").contains(&("192.168.126.101".to_owned(), "node1".to_owned())));
}

#[test]
fn an_address_that_two_objects_ask_for_stays_where_it_is_over_a_restart() {
    for seed in 0..16 {
        let objects = vec![placed("first", &[("192.168.126.101", "node1")]), egress_ip("second", &["192.168.126.101"])];
        let mut world = World::start(bare_metal(seed), two_nodes(), objects);
        world.restart();
        assert_eq!(world.status("first"), pairs(&[("192.168.126.101", "node1")]));
        assert_eq!(world.status("second"), []);
        assert!(world.reasons("second").contains(&Reason::UnsupportedRequest));
    }
}

#[test]
fn the_second_of_two_objects_with_one_address_gets_nothing() {
    let mut world = World::start(bare_metal(1), two_nodes(), vec![egress_ip("first", &["192.168.126.101"])]);
    world.put(egress_ip("second", &["192.168.126.101"]));
    assert_eq!((world.status("first").len(), world.status("second").len()), (1, 0));
    assert_eq!(world.reasons("second"), [Reason::UnsupportedRequest, Reason::NoMatchingNodeFound]);
    // Nobody tells the second one when the address becomes free on bare metal.
    world.delete("first");
    world.run(3_600_000);
    assert_eq!(world.status("second"), []);
}

#[test]
fn an_object_whose_address_changes_gets_the_new_one_in_one_step() {
    let mut world = World::start(bare_metal(1), two_nodes(), vec![egress_ip("eip", &["192.168.126.101"])]);
    let before = world.log.patches["eip"];
    world.edit("eip", |found| found.egress_ips = vec!["192.168.126.105".into()]);
    let status = world.status("eip");
    assert_eq!((status.len(), status[0].0.as_str()), (1, "192.168.126.105"));
    assert_eq!(world.log.patches["eip"] - before, 2, "the removal first, and the addition with the event of that");
}
