//! How OpenShift's SDN controller places egress addresses on nodes that offer `egressCIDRs`.
//!
//! Kept from the original: only addresses that one namespace alone claims are placed; what sits well stays; a node has at most one address of a
//! namespace; nodes that are not Ready have none; the least loaded node is taken; an address taken off a node is placed again
//! only in the next pass. Left out: capacity, and moving addresses back to a node that returns.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sluice_core::name::NodeName;
use sluice_core::network::{Target, Words};
use sluice_core::observed::{CarrierFacts, Listed, Observed};

/// What people call its objects.
pub const WORDS: Words = Words {
    holding: "NetNamespace",
    holdings: "NetNamespaces",
    carrier: "HostSubnet",
    carriers: "HostSubnets",
    no_carrier: "there is no HostSubnet of it",
};

/// A node with its offer.
#[derive(Debug, Clone, Default)]
pub struct Carrier {
    /// Whether the node is Ready.
    pub online: bool,
    /// Its `egressCIDRs`; empty for a node whose addresses are set by hand.
    pub cidrs: Vec<IpNet>,
    /// Its `egressIPs`.
    pub addresses: Vec<IpAddr>,
}

impl Carrier {
    fn offers(&self, address: IpAddr) -> bool {
        self.online && self.cidrs.iter().any(|cidr| cidr.contains(&address))
    }
}

/// The `egressIPs` that each node with `egressCIDRs` should have, given what each namespace claims.
pub fn place(
    carriers: &BTreeMap<String, Carrier>,
    claims: &BTreeMap<String, Vec<IpAddr>>,
) -> BTreeMap<String, Vec<IpAddr>> {
    let mut owners: BTreeMap<IpAddr, &str> = BTreeMap::new();
    let mut shared = BTreeSet::new();
    for (name, addresses) in claims {
        for &address in addresses {
            if owners.insert(address, name).is_some_and(|other| other != name) {
                shared.insert(address);
            }
        }
    }
    owners.retain(|address, _| !shared.contains(address));
    let mut placement = Placement { carriers, owners, nodes: BTreeMap::new() };
    let observed: BTreeSet<IpAddr> = carriers.values().flat_map(|carrier| carrier.addresses.clone()).collect();
    placement.keep();
    let mut new: Vec<IpAddr> = round_robin(claims).into_iter().filter(|ip| !observed.contains(ip)).collect();
    new.sort_by_key(|address| placement.candidates(*address).count() != 1);
    for address in new {
        placement.add(address);
    }
    placement.nodes
}

/// Most passes until nothing changes: one takes addresses off nodes, the next one places them, one sees that all is done.
const MOST_PASSES: usize = 4;

/// Places the addresses of a cluster in memory, pass after pass as its own writes wake the controller, until nothing
/// changes.
pub fn act(observed: &mut Observed) {
    for _ in 0..MOST_PASSES {
        if !pass(observed) {
            break;
        }
    }
}

/// One pass; whether anything changed.
fn pass(observed: &mut Observed) -> bool {
    let mut changed = false;
    let carrier = |(name, facts): (&NodeName, &Arc<CarrierFacts>)| {
        let carrier = Carrier {
            online: observed.nodes.get(name).is_some_and(|node| node.ready),
            cidrs: facts.ranges.iter().filter_map(|cidr| cidr.parse().ok()).collect(),
            addresses: addresses(&facts.egress_ips),
        };
        (name.to_string(), carrier)
    };
    let carriers = observed.carriers.iter().map(carrier).collect();
    let claims = observed.holdings.iter();
    let claims = claims.map(|(name, facts)| (name.to_string(), addresses(&facts.egress_ips))).collect();
    for (name, addresses) in place(&carriers, &claims) {
        let name = NodeName::from(name.as_str());
        let listed: Vec<Listed> = addresses.into_iter().map(Listed::Address).collect();
        if let Some(facts) = observed.carriers.get_mut(&name)
            && facts.egress_ips != listed
        {
            Arc::make_mut(facts).egress_ips = listed;
            observed.touch(&Target::Carrier(name));
            changed = true;
        }
    }
    changed
}

fn addresses(listed: &[Listed]) -> Vec<IpAddr> {
    listed.iter().filter_map(Listed::address).collect()
}

struct Placement<'a> {
    carriers: &'a BTreeMap<String, Carrier>,
    owners: BTreeMap<IpAddr, &'a str>,
    nodes: BTreeMap<String, Vec<IpAddr>>,
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

    fn add(&mut self, address: IpAddr) {
        let least_loaded = self.candidates(address).min_by_key(|(_, addresses)| addresses.len());
        if let Some(name) = least_loaded.map(|(name, _)| name.clone()) {
            self.nodes.entry(name).or_default().push(address);
        }
    }

    fn candidates(&self, address: IpAddr) -> impl Iterator<Item = (&String, &Vec<IpAddr>)> {
        self.nodes.iter().filter(move |(name, _)| self.may_carry(name, address))
    }

    fn may_carry(&self, node: &str, address: IpAddr) -> bool {
        let Some(owner) = self.owners.get(&address) else { return false };
        let offered = self.carriers.get(node).is_some_and(|carrier| carrier.offers(address));
        let has_another = self.nodes.get(node).is_some_and(|addresses| {
            addresses.iter().any(|other| *other != address && self.owners.get(other) == Some(owner))
        });
        offered && !has_another
    }
}

/// The first address of every namespace, then the second of every namespace...
fn round_robin(claims: &BTreeMap<String, Vec<IpAddr>>) -> Vec<IpAddr> {
    let rounds = claims.values().map(Vec::len).max().unwrap_or_default();
    let mut order = Vec::new();
    for round in 0..rounds {
        order.extend(claims.values().filter_map(|addresses| addresses.get(round)).copied());
    }
    order
}
