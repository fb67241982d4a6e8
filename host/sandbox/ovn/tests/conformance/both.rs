//! Nodes and `EgressIP`s together.

use crate::fixtures::{bare_metal, carrier, cloud, egress_ip, label, node, on_cloud, pairs, placed, unlabel};
use crate::world::World;
use serde_json::json;
use sluice_sandbox_ovn::{CLOUD_CONFIG, HOST_CIDRS, Node, Probing, Reason, Settings};

#[test]
fn an_address_of_a_node_is_refused_with_an_event() {
    let nodes = vec![carrier("node1", &["192.168.126.12/24"]), carrier("node2", &["192.168.126.51/24"])];
    let world = World::start(bare_metal(1), nodes, vec![egress_ip("eip", &["192.168.126.51"])]);
    assert_eq!(world.status("eip"), []);
    assert_eq!(world.reasons("eip")[..2], [Reason::EgressIpConflict, Reason::NoMatchingNodeFound]);
}

#[test]
fn an_address_of_a_node_spoils_no_other_address_of_the_object() {
    let nodes = vec![carrier("node1", &["192.168.126.12/24"]), carrier("node2", &["192.168.126.51/24"])];
    let world = World::start(bare_metal(1), nodes, vec![egress_ip("eip", &["192.168.126.51", "192.168.126.5"])]);
    assert_eq!(world.status("eip").len(), 1);
    assert!(world.reasons("eip").contains(&Reason::UnassignedRequest));
}

#[test]
fn a_label_that_went_while_the_manager_was_down_counts_at_its_start() {
    let nodes = vec![node("node1", &["192.168.126.12/24"]), carrier("node2", &["192.168.126.51/24"])];
    let mut world = World::start(bare_metal(1), nodes, vec![placed("eip", &[("192.168.126.101", "node1")])]);
    assert_eq!(world.status("eip"), pairs(&[("192.168.126.101", "node2")]));
    world.edit_node("node2", unlabel);
    assert_eq!(world.status("eip"), []);
}

#[test]
fn a_node_that_gets_the_label_gets_only_addresses_of_its_network() {
    let nodes = vec![node("node1", &["192.168.128.202/24"]), node("node2", &["192.168.126.51/24"])];
    let mut world = World::start(bare_metal(1), nodes, vec![egress_ip("eip", &["192.168.126.101"])]);
    assert_eq!(world.reasons("eip")[0], Reason::NoMatchingNodeFound);
    world.edit_node("node1", label);
    assert_eq!(world.status("eip"), []);
    world.edit_node("node2", label);
    assert_eq!(world.status("eip"), pairs(&[("192.168.126.101", "node2")]));
}

#[test]
fn addresses_are_spread_anew_when_their_node_goes_and_others_stay() {
    let nodes = vec![carrier("node1", &["192.168.126.12/24"]), node("node2", &["192.168.126.51/24"])];
    let mut world = World::start(bare_metal(1), nodes, vec![egress_ip("eip", &["192.168.126.101"])]);
    assert_eq!(world.nodes_of("eip"), ["node1"]);
    world.edit_node("node2", label);
    assert_eq!(world.nodes_of("eip"), ["node1"], "a node more moves nothing");
    world.delete_node("node1");
    assert_eq!(world.nodes_of("eip"), ["node2"]);
    world.put_node(carrier("node1", &["192.168.126.12/24"]));
    assert_eq!(world.nodes_of("eip"), ["node2"]);
}

#[test]
fn a_node_that_answers_again_is_noticed_by_the_probe_and_not_by_an_update() {
    let settings = Settings { probing: Probing::Grpc, ..bare_metal(1) };
    let nodes = vec![carrier("node", &["192.168.126.51/24"])];
    let mut world = World::start(settings, nodes, vec![egress_ip("eip", &["192.168.126.101"])]);
    world.manager.set_reachable("node", false);
    world.run(15_000);
    assert_eq!(world.status("eip"), []);
    world.manager.set_reachable("node", true);
    world.edit_node("node", |node| drop(node.annotations.insert("test".into(), "dummy".into())));
    assert!(world.manager.is_connected("node"), "the update has asked the node");
    assert!(!world.manager.is_usable("node"), "and has not believed it");
    world.run(5_000);
    assert_eq!(world.nodes_of("eip"), ["node"]);
}

fn on_v4_only() -> Node {
    let config = json!([{ "interface": "eth0", "ifaddr": { "ipv4": "192.168.126.12/24" }, "capacity": {} }]);
    on_cloud(carrier("node", &["192.168.126.12/24"]), &config)
}

#[test]
fn what_the_cloud_allows_anew_is_used_at_once() {
    let objects = vec![egress_ip("eip", &["fc00:f853:ccd:e793::101"])];
    let mut world = World::start(cloud(1), vec![on_v4_only()], objects);
    assert_eq!(world.log.cpics, [""; 0]);
    world.edit_node("node", |node| {
        let config =
            json!([{ "ifaddr": { "ipv4": "192.168.126.12/24", "ipv6": "fc00:f853:ccd:e793::/64" }, "capacity": {} }]);
        node.annotations.insert(CLOUD_CONFIG.into(), config.to_string());
    });
    assert_eq!(world.log.cpics, ["create fc00.f853.0ccd.e793.0000.0000.0000.0101 node"]);
}

#[test]
fn an_annotation_of_no_concern_changes_nothing_on_a_cloud() {
    let objects = vec![egress_ip("eip", &["fc00:f853:ccd:e793::101"])];
    let mut world = World::start(cloud(1), vec![on_v4_only()], objects);
    let before = world.log.events.len();
    world.edit_node("node", |node| drop(node.annotations.insert("test".into(), "dummy".into())));
    assert_eq!((world.log.events.len(), world.log.cpics.len()), (before, 0));
}

#[test]
fn a_change_of_the_annotation_is_a_change_of_its_text() {
    let mut world = World::start(cloud(1), vec![on_v4_only()], vec![egress_ip("eip", &["fc00::1"])]);
    let before = world.log.events.len();
    // The same words with a space: reconciled, and to no effect.
    world.edit_node("node", |node| node.annotations.get_mut(CLOUD_CONFIG).unwrap().push(' '));
    assert!(world.log.events.len() > before, "{:?}", world.log.events);
}

#[test]
fn annotations_of_a_cloud_are_read_to_the_letter() {
    // What is written, whether the node counts at all, and how many of three addresses it can have.
    let cases = [
        (json!([{ "ifaddr": { "ipv4": "192.168.126.0/24" }, "capacity": { "ip": 2 } }]), true, 2),
        (json!([{ "ifaddr": { "ipv4": "192.168.126.0/24" }, "capacity": { "ip": 0 } }]), true, 0),
        (json!([{ "ifaddr": { "ipv4": "192.168.126.0/24" }, "capacity": { "ipv4": 1, "ipv6": 9 } }]), true, 1),
        (json!([{ "ifaddr": { "ipv4": "192.168.126.0/24" }, "capacity": { "ipv6": 0 } }]), true, 3),
        (json!([{ "ifaddr": { "ipv4": "192.168.126.0/24" }, "capacity": { "ip": null } }]), true, 3),
        (json!([{ "ifaddr": { "ipv4": "192.168.126.0/24" } }]), true, 3),
        (json!([{ "ifaddr": { "ipv4": "192.168.126.0/24" }, "capacity": { "ip": -1 } }]), true, 0),
        (json!([{ "ifaddr": { "ipv4": "10.0.0.0/24" } }, { "ifaddr": { "ipv4": "192.168.126.0/24" } }]), true, 0),
        (json!([{ "ifaddr": { "ipv4": "192.168.126.0/24" }, "capacity": { "ip": "2" } }]), false, 0),
        (json!([{ "ifaddr": { "ipv4": "192.168.126.0" } }]), false, 0),
        (json!([]), false, 0),
        (json!({}), false, 0),
    ];
    for (config, known, most) in cases {
        let node = on_cloud(carrier("node", &["192.168.126.12/24"]), &config);
        let objects = ["192.168.126.100", "192.168.126.101", "192.168.126.102"];
        let objects = objects.iter().map(|address| egress_ip(address, &[address])).collect();
        let world = World::start(cloud(1), vec![node], objects);
        assert_eq!(world.manager.allocations().contains_key("node"), known, "{config}");
        assert_eq!(world.log.cpics.len(), most, "{config}");
    }
}

#[test]
fn an_address_beside_the_clusters_network_leaves_a_host_that_loses_that_network() {
    let with =
        |name: &str, last: u8| carrier(name, &[&format!("192.168.126.{last}/24"), &format!("10.10.10.{last}/24")]);
    let mut world = World::start(bare_metal(1), vec![with("node1", 12)], vec![egress_ip("eip", &["10.10.10.100"])]);
    world.put_node(with("node2", 51));
    assert_eq!(world.nodes_of("eip"), ["node1"]);
    world
        .edit_node("node1", |node| drop(node.annotations.insert(HOST_CIDRS.into(), r#"["192.168.126.12/24"]"#.into())));
    assert_eq!(world.nodes_of("eip"), ["node2"]);
    world
        .edit_node("node2", |node| drop(node.annotations.insert(HOST_CIDRS.into(), r#"["192.168.126.51/24"]"#.into())));
    assert_eq!(world.status("eip"), []);
}

#[test]
fn addresses_survive_all_ways_in_which_two_nodes_go_and_come() {
    let settings = Settings { probing: Probing::Legacy, ..bare_metal(1) };
    let nodes = vec![carrier("node1", &["192.168.126.12/24"]), carrier("node2", &["192.168.126.51/24"])];
    let mut world = World::start(settings, nodes, vec![egress_ip("eip", &["192.168.126.101"])]);
    let on = |world: &mut World, expected: &[&str], what: &str| {
        world.run(10_000);
        assert_eq!(world.nodes_of("eip"), expected, "{what}");
    };
    let first = world.nodes_of("eip")[0].clone();
    let second = if first == "node1" { "node2" } else { "node1" };
    world.manager.set_reachable(&first, false);
    on(&mut world, &[second], "the first does not answer");
    world.manager.set_reachable(second, false);
    on(&mut world, &[], "neither answers");
    world.manager.set_reachable(&first, true);
    on(&mut world, &[&first], "the first answers again");
    world.manager.set_reachable(second, true);
    on(&mut world, &[&first], "both answer, and nothing moves back");
    world.edit_node(&first, |node| node.ready = false);
    on(&mut world, &[second], "the first is not ready");
    world.manager.set_reachable(&first, false);
    world.edit_node(&first, unlabel);
    on(&mut world, &[second], "nor does it answer, nor has it the label");
    world.edit_node(second, |node| node.ready = false);
    on(&mut world, &[], "the second is not ready either");
    world.edit_node(&first, |node| node.ready = true);
    on(&mut world, &[], "the first is ready, without label and answer");
    world.edit_node(&first, label);
    on(&mut world, &[], "it still does not answer");
    world.manager.set_reachable(&first, true);
    on(&mut world, &[&first], "now it does");
    world.edit_node(second, |node| node.ready = true);
    on(&mut world, &[&first], "nothing moves back");
}
