//! The first three acts: the cluster and its failures.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sluice_core::name::{NodeName, OwnerName, PoolName};
use sluice_core::network::Target;
use sluice_core::observed::{Listed, NodeSelector, Observed, PoolEntry, PoolSpec};
use sluice_sandbox::{Event, Fault};

use super::stage::{Done, Stage};

/// Label that puts nodes into zones.
pub(super) const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
const ZONES: [&str; 3] = ["zone-a", "zone-b", "zone-c"];
/// Addresses stay in their zone.
pub(super) const STRICT_POOL: &str = "egress";
/// Addresses may leave their zone.
const LOOSE_POOL: &str = "batch";
const NAMES: [&str; 16] = [
    "atlas", "billing", "catalog", "dispatch", "editor", "fraud", "gateway", "harbor", "invoice", "journal", "kiosk",
    "ledger", "mailer", "notify", "orders", "payroll",
];

/// Act 1: a cluster with two pools, and addresses for its namespaces.
pub(super) fn three_zones(stage: &mut Stage<'_>) -> Result<bool> {
    let what = format!(
        "Two pools over the same nodes. Addresses of {STRICT_POOL} stay in their zone; those of {LOOSE_POOL} may leave it."
    );
    stage.act("Three zones, and an address in each for everyone", &what)?;
    for (zone, value) in (0u8..).zip(ZONES) {
        let nodes = u8::try_from(stage.dice.between(2, 3))?;
        for nth in 1..=nodes {
            add_node(stage, value, zone, nth)?;
        }
    }
    let strict = (0u8..).zip(ZONES).map(|(nth, zone)| (format!("10.20.{nth}.0/24"), zone));
    stage.happen(Event::Pool(STRICT_POOL.into(), spec(strict, false)?))?;
    let loose = (0u8..).zip(ZONES).map(|(nth, zone)| (format!("10.30.{nth}.0/27"), zone));
    stage.happen(Event::Pool(LOOSE_POOL.into(), spec(loose, true)?))?;
    let mut names = unused_names(&stage.sandbox.observe());
    stage.dice.shuffle(&mut names);
    let strict = usize::try_from(stage.dice.between(4, 6))?;
    for (position, name) in names.into_iter().take(strict + 2).enumerate() {
        let pool = if position < strict { STRICT_POOL } else { LOOSE_POOL };
        stage.happen(Event::NamespaceAdded(name.clone(), Some(pool.into())))?;
        if position == 0 {
            let wish = format!("10.20.{}.{}", stage.dice.below(3), stage.dice.between(100, 200));
            stage.happen(Event::Requested(name, Some(wish)))?;
        }
    }
    let began = stage.sandbox.now();
    let done = stage.rest()?;
    let allocated = done.iter().filter(|done| done.row.op == "allocate").count();
    stage.remark(&format!("{allocated} addresses in {}", duration(&done, began)))?;
    stage.show_cluster()?;
    stage.verify()
}

fn add_node(stage: &mut Stage<'_>, zone: &str, octet: u8, nth: u8) -> Result<()> {
    let name = NodeName::from(format!("worker-{}{nth}", zone.trim_start_matches("zone-")));
    let labels = BTreeMap::from([(ZONE_LABEL.to_owned(), zone.to_owned())]);
    stage.sandbox.happen(Event::NodeAdded { name: name.clone(), labels, address: [10, 0, octet, 10 + nth].into() });
    stage.line("node-added", |line| line.to(name.as_str()).reason(zone))
}

/// A pool's spec, from the range of each zone.
pub(super) fn spec<'z>(ranges: impl IntoIterator<Item = (String, &'z str)>, zone_failover: bool) -> Result<PoolSpec> {
    let entry = |(range, zone): (String, &str)| {
        Ok(PoolEntry { cidr: range.parse()?, label_value: zone.to_owned(), reserved: BTreeSet::new() })
    };
    Ok(PoolSpec {
        topology_label: ZONE_LABEL.to_owned(),
        node_selector: NodeSelector::default(),
        entries: ranges.into_iter().map(entry).collect::<Result<_>>()?,
        cidr: None,
        reserved: BTreeSet::new(),
        zone_failover,
        standby_nodes: 0,
    })
}

/// Names that no namespace has yet.
pub(super) fn unused_names(observed: &Observed) -> Vec<OwnerName> {
    let names = NAMES.iter().map(|name| OwnerName::from(*name));
    names.filter(|name| !observed.namespaces.contains_key(name)).collect()
}

/// Act 2: a node that carries something fails, and something else goes wrong on the way.
pub(super) fn node_failure(stage: &mut Stage<'_>) -> Result<bool> {
    let what = "What the node carries moves to other nodes of its zone. A node that comes back is not rebalanced.";
    stage.act("A node fails", what)?;
    stage.wait(10_000, 60_000);
    let before = stage.sandbox.observe();
    let carriers: Vec<NodeName> =
        before.nodes.keys().filter(|name| !carried(&before, name).is_empty()).cloned().collect();
    let node = stage.dice.pick(&carriers).context("no node carries anything")?.clone();
    let lost = carried(&before, &node);
    stage.remark(&format!("{node} carries {} addresses", lost.len()))?;
    make_trouble(stage);
    let began = stage.sandbox.now();
    stage.happen(Event::NodeReady(node.clone(), false))?;
    let done = stage.rest()?;
    stage.sandbox.clear_faults();
    // A fault in the middle makes two steps of a move: off the old node, and later onto a new one.
    let after = stage.sandbox.observe();
    let elsewhere: BTreeSet<IpAddr> = after.nodes.keys().flat_map(|name| carried(&after, name)).collect();
    let moved = lost.iter().filter(|address| elsewhere.contains(address)).count();
    stage.line("failed-over", |line| {
        line.from(node.as_str()).reason(&format!("{moved} addresses in {}", duration(&done, began)))
    })?;
    stage.claim(carried(&after, &node).is_empty(), &format!("{node} still carries something"))?;
    stage.claim(moved == lost.len(), &format!("{} addresses were lost, {moved} moved", lost.len()))?;

    stage.wait(30_000, 120_000);
    stage.happen(Event::NodeReady(node.clone(), true))?;
    let done = stage.rest()?;
    stage.remark(&format!("{} changes: what works stays where it is", done.len()))?;
    stage.claim(done.is_empty(), "a node came back and something moved")?;
    stage.show_cluster()?;
    stage.verify()
}

/// The next failover meets a fault, or the engine dies in it.
fn make_trouble(stage: &mut Stage<'_>) {
    let fault = match stage.dice.below(5) {
        0 => Fault::Conflict,
        1 => Fault::LostAnswer,
        2 => Fault::Throttled(Duration::from_millis(stage.dice.between(500, 2_000))),
        3 => {
            let happenings = usize::try_from(stage.dice.between(1, 5)).unwrap_or(1);
            return stage.kill_after(happenings);
        }
        _ => return,
    };
    stage.sandbox.inject(fault, 1, |target| matches!(target, Target::Carrier(_)));
}

/// Act 3: a whole zone fails and comes back (R9).
pub(super) fn zone_failure(stage: &mut Stage<'_>) -> Result<bool> {
    let what = format!(
        "Addresses of {STRICT_POOL} wait for their zone, on their nodes: their owners are held there, and talk through their\n\
         other addresses. Addresses of {LOOSE_POOL} leave for other zones."
    );
    stage.act("A zone fails and returns", &what)?;
    stage.wait(10_000, 60_000);
    let zone = (*stage.dice.pick(&ZONES).context("no zones")?).to_owned();
    let before = stage.sandbox.observe();
    let (strict, loose) = (carried_in(&before, STRICT_POOL, &zone), carried_in(&before, LOOSE_POOL, &zone));
    stage.remark(&format!(
        "{zone} carries {} addresses of {STRICT_POOL}, {} of {LOOSE_POOL}",
        strict.len(),
        loose.len()
    ))?;

    let began = stage.sandbox.now();
    stage.happen(Event::ZoneReady { label: ZONE_LABEL.to_owned(), value: zone.clone(), ready: false })?;
    let done = stage.rest()?;
    let away = stage.sandbox.observe();
    stage.claim(carried_in(&away, STRICT_POOL, &zone) == strict, "an address left its zone, which it may not")?;
    stage.claim(carried_in(&away, LOOSE_POOL, &zone).is_empty(), "an address stayed, though it may leave")?;
    let moved = done.iter().filter(|done| done.row.op == "move").count();
    stage.remark(&format!("{moved} addresses left within {}, {} wait", duration(&done, began), strict.len()))?;
    stage.show_cluster()?;

    stage.wait(60_000, 300_000);
    stage.happen(Event::ZoneReady { label: ZONE_LABEL.to_owned(), value: zone.clone(), ready: true })?;
    stage.rest()?;
    let back = stage.sandbox.observe();
    stage.claim(carried_in(&back, STRICT_POOL, &zone) == strict, "an address that waited is not where it was")?;
    stage.verify()
}

/// What a node carries.
pub(super) fn carried(observed: &Observed, node: &NodeName) -> Vec<IpAddr> {
    let subnet = observed.carriers.get(node);
    subnet.into_iter().flat_map(|facts| &facts.egress_ips).filter_map(Listed::address).collect()
}

/// What nodes of a zone carry for a pool.
fn carried_in(observed: &Observed, pool: &str, zone: &str) -> BTreeSet<(NodeName, IpAddr)> {
    let Some(spec) = observed.pools.get(&PoolName::from(pool)).map(|facts| &facts.spec) else {
        return BTreeSet::new();
    };
    let of_pool = |address: &IpAddr| spec.entries.iter().any(|entry| entry.cidr.contains(address));
    let in_zone =
        observed.nodes.iter().filter(|(_, facts)| facts.labels.get(ZONE_LABEL).is_some_and(|found| found == zone));
    in_zone
        .flat_map(|(name, _)| carried(observed, name).into_iter().map(|address| (name.clone(), address)))
        .filter(|(_, address)| of_pool(address))
        .collect()
}

/// From a moment until the last of these changes, in words.
fn duration(done: &[Done], began: u64) -> String {
    let last = done.iter().map(|done| done.at).max().unwrap_or(began);
    format!("{} ms", last.saturating_sub(began))
}
