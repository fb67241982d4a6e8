//! Told once, told again when it changes, never without end.

use expect_test::expect;
use jiff::Timestamp;

use sluice_core::plan::HoldCode;
use sluice_core::repair::Repair;
use sluice_core::status::PoolReport;
use sluice_core::survey::NamedHold;

use super::{Event, EventBook, MOST_KEPT, REFUSED, REPEATED};
use crate::kind::Kind;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn hold(owner: &str, zone: Option<&str>, code: HoldCode, text: &str) -> NamedHold {
    let zone = zone.map(str::to_owned);
    NamedHold { pool: "east".into(), zone, owner: owner.into(), code, text: text.to_owned() }
}

fn report(errors: &[&str]) -> PoolReport {
    PoolReport {
        pool: "east".into(),
        generation: 1,
        owners: 0,
        served: 0,
        held: 0,
        waiting: 0,
        waits: Vec::new(),
        zones: Vec::new(),
        errors: errors.iter().map(|text| (*text).to_owned()).collect(),
        awaited: None,
        blocked: None,
        stand_in: None,
        passed_over: Vec::new(),
        warnings: Vec::new(),
    }
}

/// What is due, all of which is then told.
fn tell(book: &mut EventBook, reports: &[PoolReport], holds: &[NamedHold], now: Timestamp) -> Vec<Event> {
    let due = book.due(reports, holds, now);
    for event in &due {
        book.told(event.clone(), now);
    }
    due
}

fn told(events: &[Event]) -> String {
    let line = |event: &Event| format!("{} {} {}: {}", event.kind, event.name, event.reason, event.message);
    events.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_change_is_told_once() {
    let mut book = EventBook::default();
    let holds = [
        hold("shop", Some("a"), HoldCode::NoNode, "no node is healthy"),
        hold("shop", Some("b"), HoldCode::Exhausted, "no address is left"),
        hold("desk", None, HoldCode::PoolMissing, "there is no pool west"),
    ];
    let broken = [report(&["spec.cidr: bad", "spec.topologyLabel: empty"])];
    expect![[r#"
        EgressIPAM east ProcessingError: spec.cidr: bad; spec.topologyLabel: empty
        Namespace desk PoolMissing: there is no pool west
        Namespace shop NoNode: zone a: no node is healthy; zone b: no address is left"#]]
    .assert_eq(&told(&tell(&mut book, &broken, &holds, NOW)));
    assert_eq!(tell(&mut book, &broken, &holds, NOW), []);
    // Changed, gone, and back again.
    expect!["EgressIPAM east ProcessingError: spec.cidr: bad"].assert_eq(&told(&tell(
        &mut book,
        &[report(&["spec.cidr: bad"])],
        &holds[..2],
        NOW,
    )));
    assert_eq!(tell(&mut book, &[report(&[])], &[], NOW), []);
    assert_eq!(tell(&mut book, &[report(&[])], &holds[2..], NOW).len(), 1);
}

#[test]
fn who_stands_in_is_told_once_beside_what_else_is_wrong() {
    let mut book = EventBook::default();
    let stood_in = PoolReport { stand_in: Some("old 1, the last good policy, plans".to_owned()), ..report(&["bad"]) };
    expect![[r#"
        EgressIPAM east ProcessingError: bad
        EgressIPAM east PolicyStandIn: old 1, the last good policy, plans"#]]
    .assert_eq(&told(&tell(&mut book, std::slice::from_ref(&stood_in), &[], NOW)));
    assert_eq!(tell(&mut book, &[stood_in], &[], NOW), []);
    assert_eq!(tell(&mut book, &[report(&[])], &[], NOW), []);
}

#[test]
fn a_flood_is_spread_over_rounds() {
    let mut book = EventBook::default();
    let holds: Vec<NamedHold> =
        (0..120).map(|nth| hold(&format!("ns-{nth:03}"), None, HoldCode::Exhausted, "none left")).collect();
    let counts: Vec<usize> = (0..4).map(|_| tell(&mut book, &[], &holds, NOW).len()).collect();
    assert_eq!(counts, [50, 50, 20, 0]);
}

#[test]
fn repairs_are_told_and_not_again_while_somebody_undoes_them() {
    let repair = |owner: &str, to: &[&str]| Repair {
        owner: owner.into(),
        from: vec!["10.20.0.5".parse().unwrap(), "8.8.8.8".parse().unwrap()],
        to: to.iter().map(|address| address.parse().unwrap()).collect(),
        why: vec!["8.8.8.8: no longer an address of its pool".to_owned()],
    };
    let mut book = EventBook::default();
    book.repaired(&repair("reports", &["10.20.0.5"]));
    book.repaired(&repair("shop", &[]));
    expect![[r#"
        Namespace reports AddressesChanged: egress addresses changed from 10.20.0.5,8.8.8.8 to 10.20.0.5: 8.8.8.8: no longer an address of its pool
        Namespace shop AddressesChanged: egress addresses changed from 10.20.0.5,8.8.8.8 to none: 8.8.8.8: no longer an address of its pool"#]]
    .assert_eq(&told(&tell(&mut book, &[], &[], NOW)));
    book.repaired(&repair("reports", &["10.20.0.5"]));
    assert_eq!(tell(&mut book, &[], &[], NOW), [], "undone and made again");
    book.repaired(&repair("reports", &["10.20.0.6"]));
    assert_eq!(tell(&mut book, &[], &[], NOW).len(), 1, "another one");
    book.repaired(&repair("reports", &["10.20.0.6"]));
    assert_eq!(tell(&mut book, &[], &[], NOW + REPEATED).len(), 1, "long after");
    (0..120).for_each(|nth| assert!(book.repaired(&repair(&format!("ns-{nth:03}"), &[]))));
    let counts: Vec<usize> = (0..4).map(|_| tell(&mut book, &[], &[], NOW).len()).collect();
    assert_eq!(counts, [50, 50, 20, 0]);
}

fn repair(owner: &str, to: &str) -> Repair {
    let (from, to) = (vec!["10.20.0.5".parse().unwrap()], vec![to.parse().unwrap()]);
    Repair { owner: owner.into(), from, to, why: vec!["10.20.0.5: duplicate".to_owned()] }
}

#[test]
fn what_could_not_be_told_stays_due() {
    let mut book = EventBook::default();
    let holds = [hold("desk", None, HoldCode::PoolMissing, "there is no pool west")];
    assert!(book.repaired(&repair("shop", "10.20.0.6")));
    let first = book.due(&[], &holds, NOW);
    assert_eq!((first.len(), book.due(&[], &holds, NOW)), (2, first.clone()), "until it is told");
    // Another one before the first is told takes nothing away from it.
    assert!(book.repaired(&repair("shop", "10.20.0.7")));
    expect![[r#"
        Namespace shop AddressesChanged: egress addresses changed from 10.20.0.5 to 10.20.0.6: 10.20.0.5: duplicate
        Namespace shop AddressesChanged: egress addresses changed from 10.20.0.5 to 10.20.0.7: 10.20.0.5: duplicate"#]]
    .assert_eq(&told(&book.due_repairs(NOW)));
    assert_eq!(tell(&mut book, &[], &holds, NOW).len(), 3);
    assert_eq!(book.due(&[], &holds, NOW), []);
}

#[test]
fn who_is_refused_leaves_the_others_their_turn() {
    let mut book = EventBook::default();
    for nth in 0..60 {
        assert!(book.repaired(&repair(&format!("ns-{nth:02}"), "10.20.0.6")));
    }
    let due = book.due_repairs(NOW);
    assert_eq!((due.len(), due[0].name.as_str()), (50, "ns-00"));
    for event in &due {
        book.refused(event, NOW);
    }
    let due = book.due_repairs(NOW);
    assert_eq!((due.len(), due[0].name.as_str()), (10, "ns-50"));
    assert_eq!(book.again(), Some(NOW + REFUSED));
    assert_eq!(book.due_repairs(NOW + REFUSED).len(), 50);
}

#[test]
fn what_waits_has_a_bound() {
    let mut book = EventBook::default();
    for nth in 0..MOST_KEPT.0 {
        assert!(book.repaired(&repair(&format!("ns-{nth}"), "10.20.0.6")));
    }
    assert!(!book.repaired(&repair("another", "10.20.0.6")));
    let of_one = (0..20).filter(|last| book.repaired(&repair("ns-0", &format!("10.20.1.{last}"))));
    assert_eq!(of_one.count(), MOST_KEPT.1 - 1);
}

#[test]
fn bodies() {
    let now = Timestamp::from_second(1_714_979_289).unwrap();
    let event = |kind| Event { kind, name: "shop".to_owned(), reason: "NoNode".to_owned(), message: "text".to_owned() };
    expect![[r#"
        apiVersion: v1
        count: 1
        firstTimestamp: 2024-05-06T07:08:09Z
        involvedObject:
          apiVersion: v1
          kind: Namespace
          name: shop
          namespace: shop
          uid: u-1
        kind: Event
        lastTimestamp: 2024-05-06T07:08:09Z
        message: text
        metadata:
          generateName: shop.
          namespace: shop
        reason: NoNode
        reportingComponent: sluice
        reportingInstance: sluice
        source:
          component: sluice
        type: Warning
    "#]]
    .assert_eq(&serde_yaml_ng::to_string(&event(Kind::Namespace).body(Some("u-1"), now)).unwrap());
    let about_pool = event(Kind::Pool).body(None, now);
    assert_eq!(about_pool["metadata"]["namespace"], "default");
    assert_eq!(about_pool["involvedObject"]["apiVersion"], "redhatcop.redhat.io/v1alpha1");
    assert_eq!(about_pool["involvedObject"].get("namespace"), None);
}
