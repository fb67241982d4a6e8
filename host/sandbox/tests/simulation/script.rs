//! A cluster, and random things that happen to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use sluice_core::name::{NodeName, OwnerName, PoolName};
use sluice_core::network::Target;
use sluice_core::observed::{NodeSelector, Observed, PoolEntry, PoolSpec, Requirement};
use sluice_sandbox::{Dice, Event, Fault, Sandbox};

pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";
const ROLE: &str = "role";
const ZONES: [&str; 3] = ["a", "b", "c"];
const NAMES: [&str; 10] = ["api", "bank", "cart", "docs", "edge", "feed", "grid", "home", "inbox", "jobs"];

/// Three zones of workers, a pool for each kind of placement, and a few namespaces.
pub(crate) fn build(sandbox: &Sandbox, dice: &mut Dice) {
    for (zone, value) in (0u8..).zip(ZONES) {
        for nth in 1..=2 {
            sandbox.happen(node(&format!("{value}{nth}"), value, "worker", [10, 0, zone, nth]));
        }
    }
    for nth in 1..=2 {
        sandbox.happen(node(&format!("s{nth}"), "s", "self", [10, 0, 9, nth]));
    }
    let prefix = dice.between(28, 29);
    for (name, spec) in [
        ("batch", spec("worker", &[("a", 30, 27), ("b", 31, 27), ("c", 32, 27)], true)),
        ("main", spec("worker", &[("a", 20, prefix), ("b", 21, prefix), ("c", 22, prefix)], false)),
        ("solo", spec("self", &[("s", 40, 28)], false)),
        ("wide", PoolSpec { cidr: "10.50.0.0/26".parse().ok(), ..spec("worker", &[], false) }),
    ] {
        sandbox.happen(Event::Pool(name.into(), spec));
    }
    for name in NAMES.iter().take(6) {
        sandbox.happen(Event::NamespaceAdded((*name).into(), pool(dice)));
    }
}

fn node(name: &str, zone: &str, role: &str, address: [u8; 4]) -> Event {
    let labels = BTreeMap::from([(ZONE.to_owned(), zone.to_owned()), (ROLE.to_owned(), role.to_owned())]);
    Event::NodeAdded { name: name.into(), labels, address: IpAddr::from(address) }
}

fn spec(role: &str, entries: &[(&str, u8, u64)], zone_failover: bool) -> PoolSpec {
    let entry = |&(zone, octet, prefix): &(&str, u8, u64)| PoolEntry {
        cidr: format!("10.{octet}.0.0/{prefix}").parse().unwrap(),
        label_value: zone.to_owned(),
        reserved: BTreeSet::from([IpAddr::from([10, octet, 0, 4])]),
    };
    PoolSpec {
        topology_label: ZONE.to_owned(),
        node_selector: NodeSelector {
            requirements: vec![Requirement::In(ROLE.to_owned(), BTreeSet::from([role.to_owned()]))],
        },
        entries: entries.iter().map(entry).collect(),
        cidr: None,
        reserved: BTreeSet::new(),
        zone_failover,
        standby_nodes: 0,
    }
}

fn pool(dice: &mut Dice) -> Option<PoolName> {
    dice.pick(&["batch", "main", "main", "solo", "wide"]).map(|name| PoolName::from(*name))
}

/// What happens next, drawn from what is there.
pub(crate) fn event(observed: &Observed, dice: &mut Dice) -> Option<Event> {
    let nodes: Vec<NodeName> = observed.nodes.keys().cloned().collect();
    let namespaces: Vec<OwnerName> = observed.namespaces.keys().cloned().collect();
    let node = dice.pick(&nodes).cloned();
    let namespace = dice.pick(&namespaces).cloned();
    Some(match dice.below(20) {
        0..=3 => Event::NodeReady(node?, dice.chance(50)),
        4 => Event::NodeCordoned(node?, dice.chance(50)),
        5..=6 => {
            Event::ZoneReady { label: ZONE.to_owned(), value: (*dice.pick(&ZONES)?).to_owned(), ready: dice.chance(60) }
        }
        7 => Event::NodeLabelled(node?, ZONE.to_owned(), dice.pick(&ZONES).map(|zone| (*zone).to_owned())),
        8 => Event::NodeDeleted(node?),
        9 => joining(observed, dice)?,
        10..=11 => Event::NamespaceAdded((*dice.pick(&NAMES)?).into(), pool(dice)),
        12 => Event::NamespacePool(namespace?, pool(dice)),
        13 => Event::NamespacePool(namespace?, None),
        14 => Event::NamespaceDeleted(namespace?),
        15 => Event::Requested(namespace?, Some(format!("10.{}.0.{}", dice.between(20, 22), dice.between(2, 14)))),
        16 => Event::Touched(touched(node?, namespace?, dice)),
        17 => Event::ForeignCarried(node?, IpAddr::from([10, 21, 0, byte(dice.between(2, 14))])),
        18 => reserved(observed, dice)?,
        _ => Event::ForeignHeld(namespace?, vec![IpAddr::from([10, 20, 0, byte(dice.between(2, 14))])]),
    })
}

/// A node that was deleted comes back.
fn joining(observed: &Observed, dice: &mut Dice) -> Option<Event> {
    let zone = byte(dice.below(3));
    let nth = byte(dice.between(1, 2));
    let value = *ZONES.get(usize::from(zone))?;
    let name = format!("{value}{nth}");
    let known = observed.carriers.contains_key(name.as_str());
    (!known).then(|| node(&name, value, "worker", [10, 0, zone, nth]))
}

/// An address of the main pool becomes reserved, and another one free.
fn reserved(observed: &Observed, dice: &mut Dice) -> Option<Event> {
    let name = PoolName::from("main");
    let mut spec = observed.pools.get(&name)?.spec.clone();
    let entry = spec.entries.first_mut()?;
    entry.reserved = BTreeSet::from([IpAddr::from([10, 20, 0, byte(dice.between(2, 6))])]);
    Some(Event::Pool(name, spec))
}

fn touched(node: NodeName, namespace: OwnerName, dice: &mut Dice) -> Target {
    match dice.below(3) {
        0 => Target::Carrier(node),
        1 => Target::Holding(namespace),
        _ => Target::Namespace(namespace),
    }
}

/// A fault for the next write or two to some kind of object.
pub(crate) fn fault(sandbox: &Sandbox, dice: &mut Dice) {
    let faults = [
        Fault::Conflict,
        Fault::LostRequest,
        Fault::LostAnswer,
        Fault::Throttled(Duration::from_millis(500)),
        Fault::Denied,
        Fault::Invalid,
    ];
    let kind = *dice.pick(&["carrier", "holding", "namespace", "pool"]).unwrap();
    let times = if dice.chance(70) { 1 } else { 3 };
    sandbox.inject(dice.pick(&faults).unwrap().clone(), times, move |target| target.kind() == kind);
}

fn byte(number: u64) -> u8 {
    u8::try_from(number).unwrap()
}
