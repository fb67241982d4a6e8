//! Whether the cluster is as it has to be in the end, and whether it was all the way.

use ipnet::Ipv4Net;

use super::fleet::{Phase, SIDES, Side};
use crate::harness::{History, Outcome};

/// What is not as it has to be once the operator is done. Which address or node exactly may differ from run to run.
pub fn problems(phase: Phase, outcome: &Outcome) -> Vec<String> {
    let mut problems = outcome.faults();
    for side in &SIDES {
        for owner in side.owners {
            if phase.leaves(owner) {
                problems.extend(remains(owner, outcome));
            } else {
                problems.extend(lacks(side, owner, phase, outcome));
            }
        }
        let is_there = outcome.pools.contains(side.pool);
        if is_there == phase.deletes_pools() {
            problems.push(format!("pool {} is {}", side.pool, if is_there { "still there" } else { "gone" }));
        }
    }
    for (node, state) in &outcome.host_subnets {
        let strays = state.carried.iter().filter(|address| outcome.holders_of(address).is_empty());
        problems.extend(strays.map(|address| format!("{node} carries {address} for nobody")));
        if phase.deletes_pools() && !state.offered.is_empty() {
            problems.push(format!("{node} still offers {}", state.offered.join(" ")));
        }
    }
    problems
}

/// What a namespace that has left still has.
fn remains(owner: &str, outcome: &Outcome) -> Option<String> {
    let state = outcome.namespaces.get(owner)?;
    let clean = state.addresses().is_empty() && state.annotated.is_none();
    (!clean).then(|| format!("{owner} still has {:?}, annotated {:?}", state.addresses(), state.annotated))
}

/// What a namespace lacks: an address from each range of its pool, on a working node of that zone.
fn lacks(side: &Side, owner: &str, phase: Phase, outcome: &Outcome) -> Vec<String> {
    let addresses = outcome.addresses_of(owner);
    if addresses.len() != side.zones.len() {
        return vec![format!("{owner} has {addresses:?}")];
    }
    let mut lacks = Vec::new();
    for (address, (zone, range, nodes)) in addresses.iter().zip(side.zones) {
        let range: Ipv4Net = range.parse().expect("a range");
        if !address.parse().is_ok_and(|address: std::net::Ipv4Addr| range.contains(&address)) {
            lacks.push(format!("{owner} has {address} for {zone}, which has {range}"));
        }
        let carriers = outcome.nodes_of(address);
        let works = |node: &&str| nodes.contains(node) && !phase.down().contains(node);
        if carriers.len() != 1 || !carriers.iter().all(works) {
            lacks.push(format!("{address} of {owner} is on {carriers:?}"));
        }
    }
    lacks
}

/// Every moment at which a namespace that stays lost an address it had, or all of them.
pub async fn losses(phase: Phase, history: &History) -> Vec<String> {
    let steps = history.steps().await;
    let of_owners = steps.iter().filter(|step| step.kind == "NetNamespace" && !phase.leaves(&step.name));
    let lost = of_owners.filter(|step| step.before.iter().any(|address| !step.after.contains(address)));
    lost.map(|step| {
        format!("revision {}: {} had {:?} and now has {:?}", step.revision, step.name, step.before, step.after)
    })
    .collect()
}
