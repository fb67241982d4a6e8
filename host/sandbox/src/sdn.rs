//! What OpenShift SDN does by itself on nodes with `egressCIDRs`: it puts addresses that a NetNamespace claims onto
//! ready nodes, moves them when a node is down, and removes those that nobody claims.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use sluice_core::name::{NodeName, OwnerName};
use sluice_core::observed::{HostSubnetFacts, Listed, Observed};

use crate::world::{World, owned};

/// Places addresses anew, with as few changes as possible.
pub(crate) fn place(world: &mut World) {
    let placement = placement(&world.objects);
    for (name, addresses) in placement {
        let listed: Vec<Listed> = addresses.into_iter().map(Listed::Address).collect();
        let stands = world.objects.host_subnets.get(&name).is_some_and(|facts| facts.egress_ips == listed);
        if stands {
            continue;
        }
        let version = world.next_version();
        if let Some(facts) = world.objects.host_subnets.get_mut(&name) {
            let facts = owned(facts);
            facts.egress_ips = listed;
            facts.resource_version = version;
        }
    }
}

/// What each node with ranges shall carry, in the order it got it.
fn placement(objects: &Observed) -> BTreeMap<NodeName, Vec<IpAddr>> {
    let claims = claims(objects);
    let mut placement: BTreeMap<NodeName, Vec<IpAddr>> = BTreeMap::new();
    // Addresses that somebody else put onto nodes without ranges are where they are.
    let mut placed: BTreeSet<IpAddr> = objects
        .host_subnets
        .values()
        .filter(|facts| facts.egress_cidrs.is_empty())
        .flat_map(|facts| facts.egress_ips.iter().filter_map(Listed::address))
        .collect();
    for (name, facts) in objects.host_subnets.iter().filter(|(_, facts)| !facts.egress_cidrs.is_empty()) {
        let list = placement.entry(name.clone()).or_default();
        for address in facts.egress_ips.iter().filter_map(Listed::address) {
            if claims.contains_key(&address)
                && is_ready(objects, name)
                && takes(facts, address)
                && placed.insert(address)
            {
                list.push(address);
            }
        }
    }
    for (&address, owner) in claims.iter().filter(|(address, _)| !placed.contains(address)) {
        let siblings: BTreeSet<IpAddr> =
            claims.iter().filter(|(_, other)| *other == owner).map(|(sibling, _)| *sibling).collect();
        let free = |name: &NodeName, list: &[IpAddr]| {
            is_ready(objects, name)
                && objects.host_subnets.get(name).is_some_and(|facts| takes(facts, address))
                && !list.iter().any(|other| siblings.contains(other))
        };
        let best =
            placement.iter_mut().filter(|(name, list)| free(name, list)).min_by_key(|(name, list)| (list.len(), *name));
        if let Some((_, list)) = best {
            list.push(address);
        }
    }
    placement
}

/// Addresses that exactly one NetNamespace claims; SDN disables one that several do.
fn claims(objects: &Observed) -> BTreeMap<IpAddr, OwnerName> {
    let mut claims: BTreeMap<IpAddr, Vec<&OwnerName>> = BTreeMap::new();
    for (name, facts) in &objects.net_namespaces {
        for address in facts.egress_ips.iter().filter_map(Listed::address) {
            claims.entry(address).or_default().push(name);
        }
    }
    claims
        .into_iter()
        .filter_map(|(address, owners)| match owners.as_slice() {
            [owner] => Some((address, (*owner).clone())),
            _ => None,
        })
        .collect()
}

fn is_ready(objects: &Observed, name: &NodeName) -> bool {
    objects.nodes.get(name).is_some_and(|facts| facts.ready)
}

fn takes(facts: &HostSubnetFacts, address: IpAddr) -> bool {
    facts.egress_cidrs.iter().filter_map(|cidr| cidr.parse::<IpNet>().ok()).any(|cidr| cidr.contains(&address))
}
