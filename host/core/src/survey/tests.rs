use std::net::IpAddr;

use super::{Survey, Wish};
use crate::name::{OwnerName, PoolName};
use crate::observed::{HoldingFacts, NamespaceFacts, Observed, PoolFacts};
use crate::plan::HoldCode;
use crate::snapshot::{Allocation, Departure};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn wish(annotation: Option<&str>, held: &[&str]) -> Wish {
    let facts = NamespaceFacts { egress_ips: annotation.map(str::to_owned), ..NamespaceFacts::default() };
    let held: Vec<Allocation> = held.iter().map(|text| Allocation::settled(address(text), None)).collect();
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
    assert_eq!(text("a\u{7}b"), "annotation egressips: \"a\\u{7}b\" is not an address");
    assert_eq!(text("a\u{202e}b"), "annotation egressips: \"a\\u{202e}b\" is not an address");
    assert!(text(&"x".repeat(500)).len() < 100);
}

/// A tenant writes it, and everybody's rounds read it.
#[test]
fn a_request_for_thousands_of_addresses_is_not_read() {
    let many = |count: u32| (1..=count).map(|n| format!("::{n:x}")).collect::<Vec<_>>().join(",");
    assert!(matches!(wish(Some(&many(64)), &[]), Wish::Request(addresses) if addresses.len() == 64));
    let text = "annotation egressips names 38000 addresses; at most 64 are read";
    assert_eq!(wish(Some(&many(38_000)), &[]), Wish::Malformed(text.to_owned()));
    let held: Vec<String> = (1..=70).map(|n| format!("::{n:x}")).collect();
    let held: Vec<&str> = held.iter().map(String::as_str).collect();
    assert_eq!(wish(Some(&many(70)), &held), Wish::None, "what is held is a result, however much it is");
}

/// A namespace that the network has no holding for, at another time.
fn without_holding(created: u64, now: u64) -> Survey {
    let pool = PoolName::from("egress");
    let namespace = NamespaceFacts { created, pool: Some(pool.clone()), ..NamespaceFacts::default() };
    let mut observed = Observed { now, ..Observed::default() };
    observed.pools.insert(pool, PoolFacts::default().into());
    observed.namespaces.insert(OwnerName::from("shop"), namespace.into());
    Survey::of(&observed)
}

#[test]
fn a_missing_holding_alarms_nobody_while_the_namespace_is_new() {
    // At first, and by clocks that are behind: a minute is believed.
    for now in [60_000, 64_999, 59_999, 0] {
        let survey = without_holding(60_000, now);
        assert_eq!((survey.holds.len(), survey.again_at), (0, Some(65_000)), "at {now}");
    }
    // Later, and by a clock that is hours behind.
    for (created, now) in [(60_000, 65_000), (60_001, 0), (7_200_000, 60_000)] {
        let survey = without_holding(created, now);
        let codes: Vec<HoldCode> = survey.holds.iter().map(|hold| hold.code).collect();
        assert_eq!((codes, survey.again_at), (vec![HoldCode::NoHolding], None), "made at {created}, seen at {now}");
    }
}

/// A holding made at 60,000 ms whose Namespace is not known, at another time.
fn without_namespace(now: u64) -> Survey {
    let mut observed = Observed { now, ..Observed::default() };
    let net = HoldingFacts { created: 60_000, pool: Some("egress".into()), ..HoldingFacts::default() };
    observed.holdings.insert(OwnerName::from("shop"), net.into());
    Survey::of(&observed)
}

#[test]
fn a_missing_namespace_is_not_gone_while_its_holding_is_new() {
    for now in [60_000, 64_999, 59_999] {
        let survey = without_namespace(now);
        assert_eq!((survey.snapshot.leaving.len(), survey.again_at), (0, Some(65_000)), "at {now}");
    }
    let survey = without_namespace(65_000);
    assert_eq!((survey.snapshot.leaving[0].why, survey.again_at), (Departure::NamespaceGone, None));
}
