//! What must hold at every instant, and what must hold in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sluice_core::name::{NodeName, OwnerName};
use sluice_core::network::Network;
use sluice_core::observed::NamespaceFacts;
use sluice_core::round::Outcome;

use crate::cluster::Cluster;

/// What was wrong from the beginning, and who was well.
pub(crate) struct Start {
    held_twice: BTreeSet<IpAddr>,
    carried_twice: BTreeSet<IpAddr>,
    crowded: BTreeSet<(OwnerName, NodeName)>,
    talking: BTreeSet<OwnerName>,
    requests: BTreeMap<OwnerName, String>,
}

impl Start {
    pub(crate) fn of(cluster: &Cluster) -> Self {
        Self {
            held_twice: twice(&cluster.holders()),
            carried_twice: twice(&cluster.carriers()),
            crowded: crowded(cluster),
            talking: served(cluster).filter(|name| talks(cluster, name)).cloned().collect(),
            requests: cluster
                .observed
                .namespaces
                .iter()
                .filter(|(name, facts)| !states_what_is_held(cluster, name, facts))
                .filter_map(|(name, facts)| Some((name.clone(), facts.egress_ips.clone()?)))
                .collect(),
        }
    }

    /// What is wrong now and was not so at the start.
    pub(crate) fn breaches(&self, cluster: &Cluster) -> Vec<String> {
        let mut breaches = Vec::new();
        breaches.extend(twice(&cluster.holders()).difference(&self.held_twice).map(|a| format!("{a} held twice")));
        breaches
            .extend(twice(&cluster.carriers()).difference(&self.carried_twice).map(|a| format!("{a} on two nodes")));
        let crowded = crowded(cluster);
        let new = crowded.difference(&self.crowded).filter(|(owner, _)| self.talking.contains(owner));
        breaches.extend(new.map(|(owner, node)| format!("{owner} has two addresses on {node}")));
        for name in self.talking.iter().filter(|name| cluster.held(name).is_empty()) {
            breaches.push(format!("{name} talked and holds nothing"));
        }
        for name in served(cluster) {
            let facts = &cluster.observed.namespaces[name];
            let request = self.requests.get(name) == facts.egress_ips.as_ref();
            if !states_what_is_held(cluster, name, facts) && !request {
                breaches.push(format!("{name} says {:?}, which it does not hold", facts.egress_ips));
            }
        }
        breaches
    }

    /// Those who talked and do not any more.
    pub(crate) fn silenced(&self, cluster: &Cluster) -> Vec<String> {
        let silent = self.talking.iter().filter(|name| !talks(cluster, name));
        silent.map(|name| format!("{name} talked and is silent")).collect()
    }

    /// What is wrong at the end.
    pub(crate) fn flaws(&self, cluster: &Cluster, outcome: &Outcome) -> Vec<String> {
        let mut flaws = self.breaches(cluster);
        flaws.extend(self.silenced(cluster));
        let (holders, carriers) = (cluster.holders(), cluster.carriers());
        let owners: BTreeSet<&OwnerName> = served(cluster).collect();
        let owned = |a: &IpAddr| holders.get(a).is_some_and(|names| names.iter().any(|name| owners.contains(name)));
        flaws.extend(twice(&carriers).into_iter().filter(owned).map(|a| format!("{a} on two nodes")));
        // Where the network says for whom it carries an address, the others that list it harm nobody.
        let works = |name: &OwnerName, address: &IpAddr| {
            cluster.observed.holdings.get(name).is_some_and(|facts| facts.carried.contains(address))
        };
        for (address, names) in holders.iter().filter(|(_, names)| names.len() > 1) {
            if names.iter().any(|name| owners.contains(name) && works(name, address)) {
                continue;
            }
            if names.iter().any(|name| owners.contains(name)) {
                flaws.push(format!("{address} held by {names:?}"));
            }
        }
        flaws.extend(
            crowded(cluster)
                .into_iter()
                .filter(|(owner, _)| owners.contains(owner) && !held(outcome, owner) && !is_closed(cluster, owner))
                .map(|(owner, node)| format!("{owner} has two addresses on {node}")),
        );
        let spec_ranges = |pool: &sluice_core::observed::PoolFacts| {
            let spec = &pool.spec;
            spec.entries.iter().map(|entry| entry.cidr).chain(spec.cidr).collect::<Vec<_>>()
        };
        let ranges: Vec<ipnet::IpNet> = cluster.observed.pools.values().flat_map(|pool| spec_ranges(pool)).collect();
        for address in carriers.keys().filter(|a| !holders.contains_key(a)) {
            if ranges.iter().any(|range| range.contains(address)) {
                flaws.push(format!("{address} is carried for nobody"));
            }
        }
        for address in cluster.on_interfaces().iter().filter(|a| !holders.contains_key(a)) {
            if ranges.iter().any(|range| range.contains(address)) {
                flaws.push(format!("{address} is on an interface for nobody"));
            }
        }
        for name in &owners {
            flaws.extend(unserved(cluster, outcome, name, &carriers));
        }
        let left = cluster.observed.pools.iter().filter(|(_, facts)| facts.deleting);
        flaws.extend(left.map(|(name, _)| format!("pool {name} is not gone")));
        flaws
    }
}

fn unserved(
    cluster: &Cluster,
    outcome: &Outcome,
    name: &OwnerName,
    carriers: &BTreeMap<IpAddr, BTreeSet<NodeName>>,
) -> Option<String> {
    let facts = &cluster.observed.namespaces[name];
    if facts.terminating || held(outcome, name) {
        return None;
    }
    let addresses = cluster.held(name);
    let pool = &cluster.observed.pools[facts.pool.as_ref()?];
    if addresses.len() < pool.spec.entries.len() && pool.errors.is_empty() {
        return Some(format!("{name} holds too little, without a word"));
    }
    if facts.egress_ips.is_none() && !addresses.is_empty() {
        return Some(format!("{name} is not told what it holds"));
    }
    let arrives = |address: &IpAddr| {
        carriers.get(address).is_some_and(|nodes| nodes.iter().any(|node| cluster.arrives(*address, node)))
    };
    let lost = addresses.iter().find(|address| !arrives(address));
    lost.filter(|_| pool.errors.is_empty()).map(|address| format!("{address} of {name} is on no node"))
}

/// Gets nothing new, so that not everything can be repaired.
fn is_closed(cluster: &Cluster, name: &OwnerName) -> bool {
    let facts = &cluster.observed.namespaces[name];
    let pool = facts.pool.as_ref();
    facts.terminating
        || pool.and_then(|pool| cluster.observed.pools.get(pool)).is_some_and(|pool| !pool.errors.is_empty())
}

fn held(outcome: &Outcome, name: &OwnerName) -> bool {
    outcome.holds.iter().any(|hold| hold.owner == *name)
}

/// Opted in to a pool that lives, and with a NetNamespace.
fn served(cluster: &Cluster) -> impl Iterator<Item = &OwnerName> {
    let observed = &cluster.observed;
    let lives = |facts: &NamespaceFacts| {
        facts.pool.as_ref().and_then(|pool| observed.pools.get(pool)).is_some_and(|pool| !pool.deleting)
    };
    let namespaces = observed.namespaces.iter().filter(move |(_, facts)| lives(facts));
    namespaces.map(|(name, _)| name).filter(|name| observed.holdings.contains_key(*name))
}

fn twice<T>(of: &BTreeMap<IpAddr, BTreeSet<T>>) -> BTreeSet<IpAddr> {
    of.iter().filter(|(_, all)| all.len() > 1).map(|(address, _)| *address).collect()
}

fn crowded(cluster: &Cluster) -> BTreeSet<(OwnerName, NodeName)> {
    let mut counts: BTreeMap<(OwnerName, NodeName), usize> = BTreeMap::new();
    let (holders, carriers) = (cluster.holders(), cluster.carriers());
    for (address, owners) in &holders {
        for node in carriers.get(address).into_iter().flatten() {
            for owner in owners {
                *counts.entry((owner.clone(), node.clone())).or_default() += 1;
            }
        }
    }
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(pair, _)| pair).collect()
}

/// As the network has it. OVN-Kubernetes: a live node carries one for it. SDN: no address is shared with another
/// namespace, and one is alone on a live node.
fn talks(cluster: &Cluster, name: &OwnerName) -> bool {
    if cluster.observed.network == Network::OvnKubernetes {
        let works = |address: &IpAddr| {
            let carriers = cluster.carriers();
            carriers.get(address).is_some_and(|nodes| nodes.iter().any(|node| cluster.is_live(node)))
        };
        return cluster.observed.holdings.get(name).is_some_and(|facts| facts.carried.iter().any(works));
    }
    let (holders, carriers, crowded) = (cluster.holders(), cluster.carriers(), crowded(cluster));
    let addresses = cluster.held(name);
    addresses.iter().all(|address| holders[address].len() == 1)
        && addresses.iter().filter_map(|address| Some((*address, carriers.get(address)?))).any(|(address, nodes)| {
            let works = |node: &NodeName| cluster.is_live(node) && cluster.arrives(address, node);
            nodes.len() == 1 && nodes.iter().all(|node| works(node) && !crowded.contains(&(name.clone(), node.clone())))
        })
}

fn states_what_is_held(cluster: &Cluster, name: &OwnerName, facts: &NamespaceFacts) -> bool {
    let Some(text) = facts.egress_ips.as_deref().filter(|text| !text.trim().is_empty()) else {
        return true;
    };
    let stated: Vec<Option<IpAddr>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    let distinct: BTreeSet<IpAddr> = stated.iter().copied().flatten().collect();
    stated.len() == distinct.len() && distinct == cluster.held(name)
}
