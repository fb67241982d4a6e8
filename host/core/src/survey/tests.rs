use std::net::IpAddr;

use super::Wish;
use crate::observed::NamespaceFacts;
use crate::snapshot::Allocation;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn wish(annotation: Option<&str>, held: &[&str]) -> Wish {
    let facts = NamespaceFacts { egress_ips: annotation.map(str::to_owned), ..NamespaceFacts::default() };
    let held: Vec<Allocation> = held.iter().map(|text| Allocation { address: address(text), zone: None }).collect();
    Wish::of(&facts, &held)
}

#[test]
fn no_annotation_and_a_blank_one_ask_for_nothing() {
    assert_eq!(wish(None, &["10.0.0.2"]), Wish::None);
    assert_eq!(wish(Some(""), &["10.0.0.2"]), Wish::None);
    assert_eq!(wish(Some("  "), &[]), Wish::None);
}

#[test]
fn what_is_held_is_a_result_in_whatever_order_and_spacing() {
    assert_eq!(wish(Some(" 10.1.0.2 ,10.0.0.2"), &["10.0.0.2", "10.1.0.2"]), Wish::None);
}

#[test]
fn anything_else_is_a_request() {
    let request = |texts: &[&str]| Wish::Request(texts.iter().map(|text| address(text)).collect());
    assert_eq!(wish(Some("10.0.0.2"), &["10.0.0.2", "10.1.0.2"]), request(&["10.0.0.2"]));
    assert_eq!(wish(Some("10.0.0.2"), &[]), request(&["10.0.0.2"]));
    assert_eq!(wish(Some("10.1.0.2,10.0.0.3"), &["10.0.0.2"]), request(&["10.1.0.2", "10.0.0.3"]));
}

#[test]
fn what_cannot_be_read_says_where() {
    let text = |annotation| match wish(Some(annotation), &[]) {
        Wish::Malformed(text) => text,
        other => panic!("{other:?}"),
    };
    assert_eq!(text("10.0.0.2,"), "annotation egressips: \"\" is not an address");
    assert_eq!(text("10.0.0.02"), "annotation egressips: \"10.0.0.02\" is not an address");
    assert_eq!(text("10.0.0.2, 10.0.0.2"), "annotation egressips names 10.0.0.2 twice");
    assert_eq!(text("a\u{7}b"), "annotation egressips: \"ab\" is not an address");
    assert!(text(&"x".repeat(500)).len() < 100);
}
