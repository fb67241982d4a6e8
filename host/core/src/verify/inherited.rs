//! Breaches that a snapshot holds before any plan: shown, repaired where possible, never a reason to refuse a plan.

use ipnet::IpNet;

use super::checks::loads;
use super::{EndState, Finding, Invariant};
use crate::name::NodeIndex;
use crate::plan::Holder;
use crate::snapshot::{Capacity, Snapshot};

/// All breaches of a snapshot, sorted. A node that is merely down is none: that is what failover is for.
pub(super) fn findings(snapshot: &Snapshot, base: &EndState) -> Vec<Finding> {
    let mut findings = Vec::new();
    duplicates(snapshot, base, &mut findings);
    overloads(snapshot, base, &mut findings);
    crowds(snapshot, base, &mut findings);
    outsiders(snapshot, &mut findings);
    flapped(snapshot, base, &mut findings);
    findings.sort();
    findings.dedup();
    findings
}

/// One finding for each owner that has to give way, and one for an address on several nodes.
fn duplicates(snapshot: &Snapshot, base: &EndState, findings: &mut Vec<Finding>) {
    let created = |holder: Holder| match holder {
        Holder::Owner(owner) => snapshot.owner(owner).map_or(u64::MAX, |owner| owner.created),
        Holder::Leaving(_) => u64::MAX,
    };
    for (address, holders) in base.held().filter(|(_, holders)| holders.len() > 1) {
        let mut holders: Vec<(u64, String, Holder)> = holders
            .iter()
            .map(|holding| (created(holding.holder), holder_name(snapshot, holding.holder), holding.holder))
            .collect();
        holders.sort();
        let keeper = holders.first().map(|(_, name, _)| name.clone()).unwrap_or_default();
        for (_, name, _) in holders.iter().skip(1) {
            let owner = snapshot.owner_named(&name.as_str().into()).map(|_| name.as_str().into());
            let text = format!("{name}: {address} is held by {keeper} too");
            findings.push(inherited(Invariant::Unique, owner, text));
        }
    }
    for (address, nodes) in base.carried().filter(|(_, nodes)| nodes.len() > 1) {
        let names: Vec<String> = nodes.iter().map(|&node| snapshot.node_name(node)).collect();
        let holder = base.holders_of(address).first().map(|holding| holding.holder);
        let owner = match holder {
            Some(Holder::Owner(owner)) => snapshot.owner(owner).map(|owner| owner.name.clone()),
            _ => None,
        };
        let whose = owner.as_ref().map(|owner| format!("{owner}: ")).unwrap_or_default();
        let text = format!("{whose}{address} sits on {}", names.join(" and "));
        findings.push(inherited(Invariant::Unique, owner, text));
    }
}

fn holder_name(snapshot: &Snapshot, holder: Holder) -> String {
    match holder {
        Holder::Owner(owner) => snapshot.owner_name(owner),
        Holder::Leaving(index) => {
            snapshot.leaving.get(index as usize).map_or_else(String::new, |leaving| leaving.name.to_string())
        }
    }
}

fn overloads(snapshot: &Snapshot, base: &EndState, findings: &mut Vec<Finding>) {
    let limited = |node: &crate::snapshot::Node| node.capacity != Capacity::default();
    if !snapshot.nodes.iter().any(limited) {
        return;
    }
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
    for owner in &snapshot.owners {
        let addresses = owner.allocations.iter().map(|allocation| allocation.address);
        let mut nodes: Vec<NodeIndex> =
            addresses.flat_map(|address| base.carriers_of(address).iter().copied()).collect();
        nodes.sort_unstable();
        for of_one in nodes.chunk_by(|a, b| a == b).filter(|of_one| of_one.len() > 1) {
            let node = of_one.first().map(|&node| snapshot.node_name(node)).unwrap_or_default();
            let text = format!("{}: node {node} carries {} of its addresses", owner.name, of_one.len());
            findings.push(inherited(Invariant::Eligible, Some(owner.name.clone()), text));
        }
    }
}

/// Held addresses outside the ranges of all pools, and carriers outside the zones of it.
fn outsiders(snapshot: &Snapshot, findings: &mut Vec<Finding>) {
    let zones = snapshot.zones.iter().flat_map(|zone| &zone.ranges);
    let all: Vec<IpNet> = zones.chain(snapshot.pools.iter().flat_map(|pool| &pool.ranges)).copied().collect();
    for owner in &snapshot.owners {
        let Some(pool) = snapshot.pool(owner.pool) else {
            continue;
        };
        for allocation in &owner.allocations {
            let address = allocation.address;
            // What a younger pool gave before an older one claimed it stays, and is nobody's fault.
            if !all.iter().any(|range| range.contains(&address)) {
                let text = format!("{}: {address} is outside pool {}", owner.name, pool.name);
                findings.push(inherited(Invariant::InPool, Some(owner.name.clone()), text));
                continue;
            }
            for node in snapshot.carriers(address) {
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

/// Addresses that some policy moved to and fro, until they may move again.
fn flapped(snapshot: &Snapshot, base: &EndState, findings: &mut Vec<Finding>) {
    for flapped in &snapshot.flapped {
        let Some(owner) = base.owner_of(flapped.address).and_then(|owner| snapshot.owner(owner)) else { continue };
        let text = format!(
            "{}: policy {} moved {} to and fro: for an hour it moves only if it must",
            owner.name, flapped.policy, flapped.address
        );
        findings.push(inherited(Invariant::Stable, Some(owner.name.clone()), text));
    }
}

fn inherited(invariant: Invariant, owner: Option<crate::name::OwnerName>, text: String) -> Finding {
    Finding { invariant, inherited: true, owner, text }
}
