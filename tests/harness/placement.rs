//! How OpenShift's SDN controller places egress addresses on nodes that offer `egressCIDRs`.
//!
//! Kept from the original: only claimed addresses are placed; what sits well stays; a node has at most one address of a
//! namespace; nodes that are not Ready have none; the least loaded node is taken; an address taken off a node is placed again
//! only in the next pass. Left out: capacity, and moving addresses back to a node that returns.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// A node with its offer.
#[derive(Debug, Clone, Default)]
pub struct Carrier {
    /// Whether the node is Ready.
    pub online: bool,
    /// Its `egressCIDRs`; empty for a node whose addresses are set by hand.
    pub cidrs: Vec<Ipv4Net>,
    /// Its `egressIPs`.
    pub addresses: Vec<Ipv4Addr>,
}

impl Carrier {
    fn offers(&self, address: Ipv4Addr) -> bool {
        self.online && self.cidrs.iter().any(|cidr| cidr.contains(&address))
    }
}

/// The `egressIPs` that each node with `egressCIDRs` should have, given what each namespace claims.
pub fn place(
    carriers: &BTreeMap<String, Carrier>,
    claims: &BTreeMap<String, Vec<Ipv4Addr>>,
) -> BTreeMap<String, Vec<Ipv4Addr>> {
    let owners: BTreeMap<Ipv4Addr, &str> = claims
        .iter()
        .rev()
        .flat_map(|(name, addresses)| addresses.iter().map(move |ip| (*ip, name.as_str())))
        .collect();
    let mut placement = Placement { carriers, owners, nodes: BTreeMap::new() };
    let observed: BTreeSet<Ipv4Addr> = carriers.values().flat_map(|carrier| carrier.addresses.clone()).collect();
    placement.keep();
    let mut new: Vec<Ipv4Addr> = round_robin(claims).into_iter().filter(|ip| !observed.contains(ip)).collect();
    new.sort_by_key(|address| placement.candidates(*address).count() != 1);
    for address in new {
        placement.add(address);
    }
    placement.nodes
}

struct Placement<'a> {
    carriers: &'a BTreeMap<String, Carrier>,
    owners: BTreeMap<Ipv4Addr, &'a str>,
    nodes: BTreeMap<String, Vec<Ipv4Addr>>,
}

impl Placement<'_> {
    /// Everything that may stay where it is.
    fn keep(&mut self) {
        for (name, carrier) in self.carriers.iter().filter(|(_, carrier)| !carrier.cidrs.is_empty()) {
            self.nodes.insert(name.clone(), Vec::new());
            for address in &carrier.addresses {
                let elsewhere = self.nodes.values().any(|addresses| addresses.contains(address));
                if !elsewhere && self.may_carry(name, *address) {
                    self.nodes.entry(name.clone()).or_default().push(*address);
                }
            }
        }
    }

    fn add(&mut self, address: Ipv4Addr) {
        let least_loaded = self.candidates(address).min_by_key(|(_, addresses)| addresses.len());
        if let Some(name) = least_loaded.map(|(name, _)| name.clone()) {
            self.nodes.entry(name).or_default().push(address);
        }
    }

    fn candidates(&self, address: Ipv4Addr) -> impl Iterator<Item = (&String, &Vec<Ipv4Addr>)> {
        self.nodes.iter().filter(move |(name, _)| self.may_carry(name, address))
    }

    fn may_carry(&self, node: &str, address: Ipv4Addr) -> bool {
        let Some(owner) = self.owners.get(&address) else { return false };
        let offered = self.carriers.get(node).is_some_and(|carrier| carrier.offers(address));
        let has_another = self.nodes.get(node).is_some_and(|addresses| {
            addresses.iter().any(|other| *other != address && self.owners.get(other) == Some(owner))
        });
        offered && !has_another
    }
}

/// The first address of every namespace, then the second of every namespace...
fn round_robin(claims: &BTreeMap<String, Vec<Ipv4Addr>>) -> Vec<Ipv4Addr> {
    let rounds = claims.values().map(Vec::len).max().unwrap_or_default();
    let mut order = Vec::new();
    for round in 0..rounds {
        order.extend(claims.values().filter_map(|addresses| addresses.get(round)).copied());
    }
    order
}
