//! Tables for people.

use std::collections::BTreeMap;
use std::net::IpAddr;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use sluice_core::name::OwnerName;
use sluice_core::observed::{Listed, NodeFacts, Observed};

use super::acts::ZONE_LABEL;

/// Addresses in one line of a node.
const PER_LINE: usize = 3;

/// Zones, their nodes, and what those carry for whom.
pub(super) fn cluster(observed: &Observed) -> String {
    let owners = owners(observed);
    let mut nodes: Vec<_> = observed.nodes.iter().map(|(name, facts)| (zone(facts), name, facts)).collect();
    nodes.sort_by_key(|(zone, name, _)| (*zone, *name));
    let mut rows = Vec::new();
    let mut shown = None;
    for (zone, name, facts) in nodes {
        let subnet = observed.carriers.get(name);
        let carried = subnet.into_iter().flat_map(|subnet| &subnet.egress_ips).filter_map(Listed::address);
        let carried: Vec<String> = carried
            .map(|address| {
                let owner = owners.get(&address).map_or_else(|| "nobody".to_owned(), ToString::to_string);
                format!("{address:<11} {owner:<9}")
            })
            .collect();
        let carried: Vec<String> = carried.chunks(PER_LINE).map(|line| line.join("  ")).collect();
        let state = if facts.ready { "ready" } else { "not ready" };
        let first = shown.replace(zone) != Some(zone);
        let zone = if first { zone } else { "" };
        rows.push(vec![zone.to_owned(), name.to_string(), state.to_owned(), carried.join("\n")]);
    }
    table(&["zone", "node", "state", "carries"], &rows)
}

/// A table with a head.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(head).add_rows(rows);
    table.to_string()
}

fn zone(facts: &NodeFacts) -> &str {
    facts.labels.get(ZONE_LABEL).map_or("", String::as_str)
}

fn owners(observed: &Observed) -> BTreeMap<IpAddr, &OwnerName> {
    let listed = |(name, facts): (_, &std::sync::Arc<sluice_core::observed::HoldingFacts>)| {
        let addresses: Vec<IpAddr> = facts.egress_ips.iter().filter_map(Listed::address).collect();
        addresses.into_iter().map(move |address| (address, name)).collect::<Vec<_>>()
    };
    observed.holdings.iter().flat_map(listed).collect()
}
