//! What the sandbox does, as its users see it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures::future::join_all;
use sluice_core::backend::{Backend as _, WriteFailure};
use sluice_core::name::{NodeName, OwnerName};
use sluice_core::network::{Change, Target, Write, versions};
use sluice_core::observed::Listed;
use sluice_sandbox::{Event, Fault, Sandbox};

fn carry(node: &str, addresses: &[&str]) -> Write {
    let egress_ips = Some(addresses.iter().map(ToString::to_string).collect());
    let change = Change::Carrier { egress_ips, ranges: None };
    Write { target: Target::Carrier(node.into()), change, after: Vec::new(), after_any: Vec::new() }
}

fn place_from(node: &str, cidr: &str) -> Write {
    let change = Change::Carrier { egress_ips: None, ranges: Some(vec![cidr.to_owned()]) };
    Write { target: Target::Carrier(node.into()), change, after: Vec::new(), after_any: Vec::new() }
}

fn node(name: &str) -> Event {
    Event::NodeAdded { name: name.into(), labels: BTreeMap::new(), address: IpAddr::from([10, 0, 0, 1]) }
}

/// A cluster with two nodes.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new(5);
    sandbox.happen(node("n1"));
    sandbox.happen(node("n2"));
    sandbox
}

fn version(sandbox: &Sandbox, node: &str) -> String {
    sandbox.observe().carriers[&NodeName::from(node)].resource_version.clone()
}

fn carried(sandbox: &Sandbox, node: &str) -> Vec<String> {
    sandbox.observe().carriers[&NodeName::from(node)].egress_ips.iter().map(Listed::to_string).collect()
}

fn write(sandbox: &Sandbox, write: &Write) -> Result<String, WriteFailure> {
    let version = version(sandbox, write.target.name());
    sandbox.run(sandbox.write(write, &version)).unwrap().map(|written| written.resource_version)
}

#[test]
fn a_write_makes_a_new_version_and_takes_time() {
    let sandbox = sandbox();
    let before = version(&sandbox, "n1");
    let after = write(&sandbox, &carry("n1", &["10.20.0.5"])).unwrap();
    assert_ne!(after, before);
    assert_eq!(after, version(&sandbox, "n1"));
    assert_eq!(carried(&sandbox, "n1"), ["10.20.0.5"]);
    assert!(sandbox.now() > 0);
    assert_eq!(sandbox.observe().now, sluice_sandbox::EPOCH_MS + sandbox.now());
    assert_eq!(sandbox.journal().len(), 1);
}

#[test]
fn a_write_that_changes_nothing_makes_no_version() {
    let sandbox = sandbox();
    let before = version(&sandbox, "n1");
    assert_eq!(write(&sandbox, &carry("n1", &[])), Ok(before));
    assert_eq!(sandbox.journal().len(), 0);
}

#[test]
fn a_stale_write_changes_nothing() {
    let sandbox = sandbox();
    let stale = version(&sandbox, "n1");
    sandbox.happen(Event::Touched(Target::Carrier("n1".into())));
    let result = sandbox.run(sandbox.write(&carry("n1", &["10.20.0.5"]), &stale)).unwrap();
    assert_eq!(result, Err(WriteFailure::Conflict));
    assert!(carried(&sandbox, "n1").is_empty());
    let gone = sandbox.run(sandbox.write(&carry("n9", &[]), &stale)).unwrap();
    assert_eq!(gone, Err(WriteFailure::NotFound));
}

#[test]
fn writes_to_several_objects_overlap_in_time() {
    let (one, both) = (sandbox(), sandbox());
    let writes = [carry("n1", &["10.20.0.5"]), carry("n2", &["10.20.0.6"])];
    for each in &writes {
        write(&one, each).unwrap();
    }
    let versions = versions(&both.observe(), &writes);
    both.run(join_all(writes.iter().map(|write| both.write(write, &versions[&write.target])))).unwrap();
    assert_eq!(carried(&both, "n1"), carried(&one, "n1"));
    assert!(both.now() < one.now());
}

#[tokio::test]
async fn a_write_completes_under_any_executor() {
    let sandbox = sandbox();
    let version = version(&sandbox, "n1");
    sandbox.write(&carry("n1", &["10.20.0.5"]), &version).await.unwrap();
    assert_eq!(carried(&sandbox, "n1"), ["10.20.0.5"]);
}

#[test]
fn faults_meet_the_writes_they_are_meant_for() {
    let sandbox = sandbox();
    let on = |name: &'static str| move |target: &Target| target.name() == name;
    sandbox.inject(Fault::Throttled(Duration::from_secs(1)), 1, on("n1"));
    sandbox.inject(Fault::LostRequest, 1, on("n2"));
    let throttled = write(&sandbox, &carry("n1", &["10.20.0.5"]));
    assert_eq!(throttled, Err(WriteFailure::Throttled { retry_after: Some(Duration::from_secs(1)) }));
    assert!(matches!(write(&sandbox, &carry("n2", &["10.20.0.6"])), Err(WriteFailure::Transient(_))));
    assert!(carried(&sandbox, "n2").is_empty());
    write(&sandbox, &carry("n1", &["10.20.0.5"])).unwrap();
}

#[test]
fn an_answer_can_be_lost_after_the_deed() {
    let sandbox = sandbox();
    sandbox.inject(Fault::LostAnswer, 1, |_| true);
    assert!(matches!(write(&sandbox, &carry("n1", &["10.20.0.5"])), Err(WriteFailure::Transient(_))));
    assert_eq!(carried(&sandbox, "n1"), ["10.20.0.5"]);
}

#[test]
fn a_write_on_its_way_arrives_though_its_sender_is_dead() {
    let sandbox = sandbox();
    let version = version(&sandbox, "n1");
    assert_eq!(sandbox.run_for(0, sandbox.write(&carry("n1", &["10.20.0.5"]), &version)), None);
    assert!(carried(&sandbox, "n1").is_empty());
    sandbox.settle();
    assert_eq!(carried(&sandbox, "n1"), ["10.20.0.5"]);
}

#[test]
fn events_happen_when_they_are_due() {
    let sandbox = sandbox();
    sandbox.settle();
    let began = sandbox.now();
    sandbox.happen_in(100, Event::NodeReady("n1".into(), false));
    sandbox.advance(99);
    assert!(sandbox.observe().nodes[&NodeName::from("n1")].ready);
    sandbox.advance(1);
    assert!(!sandbox.observe().nodes[&NodeName::from("n1")].ready);
    assert_eq!(sandbox.now(), began + 100);
}

#[test]
fn a_namespace_terminates_for_a_while_and_its_net_namespace_follows() {
    let sandbox = sandbox();
    let name = OwnerName::from("shop");
    sandbox.happen(Event::NamespaceAdded(name.clone(), None));
    sandbox.happen(Event::NamespaceDeleted(name.clone()));
    assert!(sandbox.observe().namespaces[&name].terminating);
    while sandbox.observe().namespaces.contains_key(&name) {
        sandbox.advance(10);
    }
    assert!(sandbox.observe().holdings.contains_key(&name));
    sandbox.settle();
    assert!(!sandbox.observe().holdings.contains_key(&name));
}

#[test]
fn the_network_places_what_is_claimed_on_nodes_with_ranges() {
    let sandbox = sandbox();
    for name in ["n1", "n2"] {
        write(&sandbox, &place_from(name, "10.40.0.0/28")).unwrap();
    }
    sandbox.happen(Event::NamespaceAdded("shop".into(), None));
    sandbox.happen(Event::ForeignHeld("shop".into(), vec![IpAddr::from([10, 40, 0, 2]), IpAddr::from([10, 40, 0, 3])]));
    sandbox.settle();
    assert_eq!((carried(&sandbox, "n1").len(), carried(&sandbox, "n2").len()), (1, 1), "never two on one node");

    sandbox.happen(Event::NodeReady("n1".into(), false));
    sandbox.settle();
    assert!(carried(&sandbox, "n1").is_empty());
    assert_eq!(carried(&sandbox, "n2").len(), 1, "its sibling has no node left");

    sandbox.happen(Event::ForeignHeld("shop".into(), Vec::new()));
    sandbox.settle();
    assert!(carried(&sandbox, "n2").is_empty());
}

#[test]
fn a_seed_tells_one_story() {
    let play = |seed| {
        let sandbox = Sandbox::new(seed);
        sandbox.happen(node("n1"));
        write(&sandbox, &carry("n1", &["10.20.0.5"])).unwrap();
        sandbox.happen(Event::NodeDeleted("n1".into()));
        sandbox.settle();
        (sandbox.now(), sandbox.observe(), sandbox.journal())
    };
    assert_eq!(play(3), play(3));
    assert_ne!(play(3).0, play(4).0);
}
