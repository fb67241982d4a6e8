//! `egressNodeSelector`, as it is planned.

use crate::fixtures::{bare_metal, cloud, egress_ip, machines, node, pairs};
use crate::world::World;
use serde_json::{Value, json};
use sluice_sandbox_ovn::{EgressIp, Node, Reason, Selector, Settings};
use std::collections::BTreeSet;

const A: &str = "192.168.126.101";
const B: &str = "192.168.126.102";

fn settings(seed: u64) -> Settings {
    Settings { selectors: true, ..bare_metal(seed) }
}

fn in_zone(name: &str, last: u8, zone: &str) -> Node {
    let mut node = node(name, &[&format!("192.168.126.{last}/24")]);
    node.labels.insert("zone".into(), zone.into());
    node
}

/// Two nodes in zone a, and one in zone b.
fn nodes() -> Vec<Node> {
    vec![in_zone("a1", 1, "a"), in_zone("a2", 2, "a"), in_zone("b1", 3, "b")]
}

fn selecting(name: &str, addresses: &[&str], selector: &Value) -> EgressIp {
    let mut selecting = egress_ip(name, addresses);
    selecting.egress_node_selector = Selector::from_json(selector);
    assert!(selecting.egress_node_selector.is_some());
    selecting
}

fn zone(zone: &str) -> Value {
    json!({ "matchLabels": { "zone": zone } })
}

#[test]
fn only_nodes_that_are_selected_get_addresses_label_or_not() {
    for seed in 0..8 {
        let world = World::start(settings(seed), nodes(), vec![selecting("eip", &[A, B], &zone("a"))]);
        assert_eq!(world.nodes_of("eip"), ["a1", "a2"]);
    }
}

#[test]
fn a_selector_that_is_not_honoured_is_as_if_it_were_not_there() {
    let world = World::start(bare_metal(1), nodes(), vec![selecting("eip", &[A], &zone("a"))]);
    assert_eq!(world.status("eip"), []);
}

#[test]
fn a_selector_that_nothing_matches_leaves_addresses_without_a_node_and_says_so() {
    let world = World::start(settings(1), nodes(), vec![selecting("eip", &[A], &zone("c"))]);
    assert_eq!(world.status("eip"), []);
    assert_eq!(world.reasons("eip")[0], Reason::NoMatchingNodeFound);
}

#[test]
fn a_node_that_matches_no_longer_loses_its_addresses() {
    let mut world = World::start(settings(1), nodes(), vec![selecting("eip", &[A], &zone("a"))]);
    let (before, other) = if world.nodes_of("eip") == ["a1"] { ("a1", "a2") } else { ("a2", "a1") };
    world.edit_node(before, |node| drop(node.labels.insert("zone".into(), "b".into())));
    assert_eq!(world.status("eip"), pairs(&[(A, other)]));
}

#[test]
fn a_node_that_matches_anew_gets_only_what_has_no_node() {
    let objects = vec![selecting("two", &[A, B], &zone("b")), selecting("one", &["192.168.126.103"], &zone("b"))];
    let mut world = World::start(settings(1), nodes(), objects);
    assert_eq!((world.nodes_of("two"), world.nodes_of("one")), (vec!["b1".to_owned()], vec!["b1".to_owned()]));
    let before = world.status("two");
    world.edit_node("a1", |node| drop(node.labels.insert("zone".into(), "b".into())));
    assert_eq!(
        (world.nodes_of("two"), world.nodes_of("one")),
        (vec!["a1".to_owned(), "b1".to_owned()], vec!["b1".to_owned()])
    );
    assert!(world.status("two").contains(&before[0]));
}

#[test]
fn the_empty_selector_selects_all_nodes_and_no_selector_those_with_the_label() {
    let objects =
        vec![selecting("all", &[A, B, "192.168.126.103"], &json!({})), egress_ip("default", &["192.168.126.104"])];
    let mut world = World::start(settings(1), nodes(), objects);
    assert_eq!(world.nodes_of("all"), ["a1", "a2", "b1"]);
    assert_eq!(world.status("default"), []);
    world.edit_node("a2", crate::fixtures::label);
    assert_eq!(world.nodes_of("default"), ["a2"]);
}

#[test]
fn expressions_of_all_operators_select() {
    let cases = [
        (json!({ "key": "zone", "operator": "In", "values": ["b", "c"] }), vec!["b1"]),
        (json!({ "key": "zone", "operator": "NotIn", "values": ["a"] }), vec!["b1", "bare"]),
        (json!({ "key": "zone", "operator": "Exists" }), vec!["a1", "a2", "b1"]),
        (json!({ "key": "zone", "operator": "DoesNotExist" }), vec!["bare"]),
    ];
    for (expression, expected) in cases {
        let mut all = nodes();
        all.push(node("bare", &["192.168.126.4/24"]));
        let addresses = [A, B, "192.168.126.103", "192.168.126.104"];
        let world = World::start(
            settings(1),
            all,
            vec![selecting("eip", &addresses, &json!({ "matchExpressions": [expression] }))],
        );
        assert_eq!(world.nodes_of("eip"), expected, "{expression}");
    }
    assert_eq!(Selector::from_json(&json!({ "matchExpressions": [{ "key": "zone", "operator": "Near" }] })), None);
}

#[test]
fn selectors_hold_on_a_cloud_as_well() {
    let settings = Settings { selectors: true, ..cloud(1) };
    let mut world = World::start(settings, nodes(), vec![]).with_cloud(machines(&["a1", "a2", "b1"], None));
    world.put(selecting("eip", &[A, B], &zone("a")));
    world.run(1_000);
    assert_eq!(world.nodes_of("eip"), ["a1", "a2"]);
    world.edit_node("a1", |node| node.ready = false);
    world.run(10_000);
    assert_eq!(world.nodes_of("eip"), ["a2"]);
}

#[test]
fn selectors_hold_for_networks_beside_the_clusters() {
    let mut all = nodes();
    all.push(in_zone("a3", 4, "a"));
    for (position, node) in all.iter_mut().enumerate() {
        let own = format!("192.168.126.{}/24", position + 1);
        let beside = format!("10.10.10.{}/24", position + 1);
        if position > 0 {
            node.annotations.insert(sluice_sandbox_ovn::HOST_CIDRS.into(), json!([own, beside]).to_string());
        }
    }
    let world = World::start(settings(1), all, vec![selecting("eip", &["10.10.10.100", "10.10.10.101"], &zone("a"))]);
    assert_eq!(world.nodes_of("eip"), ["a2", "a3"]);
}

#[test]
fn two_selectors_part_the_nodes() {
    for seed in 0..8 {
        let objects = vec![selecting("in-a", &[A], &zone("a")), selecting("in-b", &[B], &zone("b"))];
        let world = World::start(settings(seed), nodes(), objects);
        let parts: BTreeSet<char> =
            ["in-a", "in-b"].iter().filter_map(|name| world.nodes_of(name)[0].chars().next()).collect();
        assert_eq!(parts, ['a', 'b'].into());
    }
}

#[test]
fn a_selector_and_labels_that_change_together_end_with_each_address_on_one_node() {
    for late in 0..2 {
        let mut world = World::start(settings(1), nodes(), vec![selecting("eip", &[A, B], &zone("a"))]);
        world.lag = [late * 50, (1 - late) * 50, 0];
        world.edit("eip", |found| found.egress_node_selector = Selector::from_json(&zone("b")));
        world.edit_node("a1", |node| drop(node.labels.insert("zone".into(), "b".into())));
        world.edit_node("b1", |node| drop(node.labels.insert("zone".into(), "a".into())));
        world.edit_node("a2", |node| drop(node.labels.insert("zone".into(), "b".into())));
        world.run(120_000);
        assert_eq!(world.nodes_of("eip"), ["a1", "a2"], "late: {late}");
    }
}
