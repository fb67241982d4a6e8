//! The stand-in for the SDN controller.

#![cfg(test)]

use std::collections::BTreeMap;

use sluice_sandbox::sdn::{Carrier, place};

fn carrier(addresses: &[&str]) -> Carrier {
    Carrier {
        online: true,
        cidrs: vec!["10.20.0.0/24".parse().expect("a CIDR")],
        addresses: addresses.iter().map(|address| address.parse().expect("an address")).collect(),
    }
}

/// `node: addresses`, a line each, after one pass.
fn placed<const C: usize, const N: usize>(carriers: [(&str, Carrier); C], claims: [(&str, &[&str]); N]) -> String {
    let carriers: BTreeMap<String, Carrier> = carriers.map(|(name, carrier)| (name.into(), carrier)).into();
    let claims = claims.map(|(name, addresses)| {
        (name.to_owned(), addresses.iter().map(|address| address.parse().expect("an address")).collect())
    });
    let line = |(node, addresses): (String, Vec<_>)| format!("{node}: {addresses:?}\n");
    place(&carriers, &claims.into()).into_iter().map(line).collect()
}

#[test]
fn new_addresses_go_to_the_least_loaded_node() {
    let text = placed(
        [("a", carrier(&["10.20.0.2", "10.20.0.3"])), ("b", carrier(&[]))],
        [("one", &["10.20.0.2"]), ("two", &["10.20.0.3"]), ("three", &["10.20.0.4"]), ("four", &["10.20.0.5"])],
    );
    expect_test::expect![[r"
        a: [10.20.0.2, 10.20.0.3]
        b: [10.20.0.5, 10.20.0.4]
    "]]
    .assert_eq(&text);
}

#[test]
fn a_node_has_one_address_of_a_namespace() {
    let text = placed([("a", carrier(&[])), ("b", carrier(&[]))], [("one", &["10.20.0.2", "10.20.0.3", "10.20.0.4"])]);
    expect_test::expect![[r"
        a: [10.20.0.2]
        b: [10.20.0.3]
    "]]
    .assert_eq(&text);
}

#[test]
fn only_claimed_addresses_inside_the_offer_are_placed() {
    let text = placed([("a", carrier(&["10.20.0.9"]))], [("one", &["10.99.0.2"]), ("two", &["10.20.0.2"])]);
    expect_test::expect![[r"
        a: [10.20.0.2]
    "]]
    .assert_eq(&text);
}

#[test]
fn what_leaves_a_failed_node_is_placed_in_the_next_pass() {
    let failed = Carrier { online: false, ..carrier(&["10.20.0.2"]) };
    let claims: [(&str, &[&str]); 1] = [("one", &["10.20.0.2"])];
    let first = placed([("a", failed), ("b", carrier(&[]))], claims);
    expect_test::expect![[r"
        a: []
        b: []
    "]]
    .assert_eq(&first);
    let failed = Carrier { online: false, ..carrier(&[]) };
    let second = placed([("a", failed), ("b", carrier(&[]))], claims);
    expect_test::expect![[r"
        a: []
        b: [10.20.0.2]
    "]]
    .assert_eq(&second);
}

#[test]
fn nodes_without_an_offer_are_left_alone() {
    let by_hand = Carrier { cidrs: Vec::new(), ..carrier(&["10.20.0.2"]) };
    let text = placed([("a", by_hand), ("b", carrier(&[]))], [("one", &["10.20.0.2"])]);
    expect_test::expect![[r"
        b: []
    "]]
    .assert_eq(&text);
}
