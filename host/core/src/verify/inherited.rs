//! Breaches that a snapshot holds before any plan: shown, repaired where possible, never a reason to refuse a plan.

use std::collections::{BTreeMap, BTreeSet};

use super::checks::loads;
use super::{EndState, Finding, Invariant};
use crate::name::{NodeIndex, OwnerIndex};
use crate::plan::Holder;
use crate::snapshot::Snapshot;

/// All breaches of a snapshot, sorted. A node that is merely down is none: that is what failover is for.
pub(super) fn findings(snapshot: &Snapshot, base: &EndState) -> Vec<Finding> {
    let mut findings = Vec::new();
    duplicates(snapshot, base, &mut findings);
    overloads(snapshot, base, &mut findings);
    crowds(snapshot, base, &mut findings);
    outsiders(snapshot, &mut findings);
    findings.sort();
    findings.dedup();
    findings
}

fn duplicates(snapshot: &Snapshot, base: &EndState, findings: &mut Vec<Finding>) {
    for (address, holders) in base.held().filter(|(_, holders)| holders.len() > 1) {
        let names: BTreeSet<String> = holders
            .iter()
            .map(|holding| match holding.holder {
                Holder::Owner(owner) => snapshot.owner_name(owner),
                Holder::Leaving(index) => {
                    snapshot.leaving.get(index as usize).map_or_else(String::new, |l| l.name.to_string())
                }
            })
            .collect();
        let names: Vec<String> = names.into_iter().collect();
        findings.push(inherited(Invariant::Unique, None, format!("{address} is held by {}", names.join(" and "))));
    }
    for (address, nodes) in base.carried().filter(|(_, nodes)| nodes.len() > 1) {
        let names: Vec<String> = nodes.iter().map(|&node| snapshot.node_name(node)).collect();
        findings.push(inherited(Invariant::Unique, None, format!("{address} sits on {}", names.join(" and "))));
    }
}

fn overloads(snapshot: &Snapshot, base: &EndState, findings: &mut Vec<Finding>) {
    for (node_index, load) in loads(base) {
        let Some(node) = snapshot.node(node_index) else {
            continue;
        };
        let total = load.ipv4 + load.ipv6;
        let over = |limit: Option<u32>, load: u32| limit.is_some_and(|limit| load > limit);
        if over(node.capacity.total, total)
            || over(node.capacity.ipv4, load.ipv4)
            || over(node.capacity.ipv6, load.ipv6)
        {
            findings.push(inherited(
                Invariant::Capacity,
                None,
                format!("node {} carries {total} addresses, more than it can", node.name),
            ));
        }
    }
}

/// Two addresses of one owner on one node.
fn crowds(snapshot: &Snapshot, base: &EndState, findings: &mut Vec<Finding>) {
    let mut counts: BTreeMap<(OwnerIndex, NodeIndex), u32> = BTreeMap::new();
    for (address, nodes) in base.carried() {
        for holding in base.holders_of(address) {
            let Holder::Owner(owner) = holding.holder else {
                continue;
            };
            for &node in nodes {
                *counts.entry((owner, node)).or_default() += 1;
            }
        }
    }
    for ((owner, node), count) in counts.into_iter().filter(|(_, count)| *count > 1) {
        let text = format!(
            "{}: node {} carries {count} of its addresses",
            snapshot.owner_name(owner),
            snapshot.node_name(node)
        );
        findings.push(inherited(Invariant::Eligible, snapshot.owner(owner).map(|owner| owner.name.clone()), text));
    }
}

/// Held addresses outside the ranges of the owner's pool, and carriers outside the zones of it.
fn outsiders(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    for owner in &snapshot.owners {
        let Some(pool) = snapshot.pool(owner.pool) else {
            continue;
        };
        for allocation in &owner.allocations {
            let address = allocation.address;
            let ranges = snapshot.zones_of(owner.pool).flat_map(|(_, zone)| &zone.ranges).chain(&pool.ranges);
            if !ranges.into_iter().any(|range| range.contains(&address)) {
                let text = format!("{}: {address} is outside pool {}", owner.name, pool.name);
                findings.push(inherited(Invariant::InPool, Some(owner.name.clone()), text));
                continue;
            }
            for node in crate::survey::carriers(snapshot, address) {
                if !snapshot.zones_of(owner.pool).any(|(_, zone)| zone.nodes.binary_search(&node).is_ok()) {
                    let text = format!(
                        "{}: {address} sits on node {}, which pool {} does not use",
                        owner.name,
                        snapshot.node_name(node),
                        pool.name
                    );
                    findings.push(inherited(Invariant::Eligible, Some(owner.name.clone()), text));
                }
            }
        }
    }
}

fn inherited(invariant: Invariant, owner: Option<crate::name::OwnerName>, text: String) -> Finding {
    Finding { invariant, inherited: true, owner, text }
}
