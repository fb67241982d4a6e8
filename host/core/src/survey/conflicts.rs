//! Addresses that cannot work as they are, whoever plans: of namespaces that are one to the network, and of machines
//! that have an egress address as their own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{NamedHold, Survey};
use crate::name::{NodeName, OwnerName};
use crate::observed::{NodeFacts, Observed};
use crate::plan::HoldCode;
use crate::text::listed;

/// Opted-in namespaces whose network id another namespace has too. The network keeps egress addresses by id: the
/// holding that it reads last wins for all of them, and one without addresses takes those of the others away.
pub(super) fn shared_networks(observed: &Observed) -> BTreeMap<OwnerName, String> {
    let mut by_id: Vec<(u32, &OwnerName)> =
        observed.holdings.iter().filter_map(|(name, facts)| Some((facts.network_id?, name))).collect();
    by_id.sort_unstable();
    let mut shared = BTreeMap::new();
    for of_one in by_id.chunk_by(|a, b| a.0 == b.0).filter(|of_one| of_one.len() > 1) {
        let opted_in = |name: &OwnerName| observed.namespaces.get(name).is_some_and(|facts| facts.pool.is_some());
        for &(id, name) in of_one.iter().filter(|(_, name)| opted_in(name)) {
            let others = of_one.iter().map(|(_, other)| *other).filter(|other| *other != name);
            let text = format!(
                "{} has the same network id {id}, so that neither can have egress addresses of its own; \
                 oc adm pod-network isolate-projects takes them apart",
                listed(others, ", ")
            );
            shared.insert(name.clone(), text);
        }
    }
    shared
}

impl Survey {
    /// Holds owners of addresses that are some machine's own: where another node carries one, two machines answer for
    /// it. The address stays, for its owner is known by it, and nobody but people can say which of the two has to go.
    pub(super) fn hold_own_addresses(&mut self, observed: &Observed) {
        let own = self.own_addresses(observed);
        if own.is_empty() {
            return;
        }
        let snapshot = &self.snapshot;
        let mut holds = Vec::new();
        for owner in &snapshot.owners {
            let Some(pool) = snapshot.pool(owner.pool).map(|pool| &pool.name) else { continue };
            let terminating = observed.namespaces.get(&owner.name).is_some_and(|facts| facts.terminating);
            for held in owner.allocations.iter().filter(|_| !terminating) {
                let address = held.address;
                let Some(machine) = own.get(&address).filter(|_| !self.is_displaced(address)) else { continue };
                let nodes: Vec<String> = snapshot.carriers(address).map(|node| snapshot.node_name(node)).collect();
                let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
                let who = match nodes.as_slice() {
                    [] => "a node that carried it would be the second machine to answer for it".to_owned(),
                    some => format!("{} carries it, so that two machines answer for it", listed(some, ", ")),
                };
                holds.push(NamedHold {
                    pool: pool.clone(),
                    zone: held.zone.and_then(|zone| snapshot.zone(zone)).map(|zone| zone.name.to_string()),
                    owner: owner.name.clone(),
                    code: HoldCode::AddressConflict,
                    text: format!(
                        "{address} is the own address of machine {machine}, and {who}; once the pool reserves it, the \
                         namespace gets another"
                    ),
                });
            }
        }
        self.holds.extend(holds);
    }

    /// Whether its owner loses it anyway.
    fn is_displaced(&self, address: IpAddr) -> bool {
        self.constraints.displaced.iter().any(|gone| gone.address == address)
    }

    /// Addresses of pools that machines have as their own.
    fn own_addresses<'a>(&self, observed: &'a Observed) -> BTreeMap<IpAddr, &'a NodeName> {
        let mut own = BTreeMap::new();
        for (name, facts) in &observed.nodes {
            let node = self.snapshot.node_named(name);
            let carries = |address| node.is_some_and(|node| self.snapshot.carriers(address).any(|on| on == node));
            let host_ip = observed.carriers.get(name).and_then(|subnet| subnet.host_ip);
            let all = facts.addresses.iter().copied().chain(host_ip);
            let theirs = all.filter(|&address| self.territory.contains(address) && !carries(address));
            own.extend(theirs.filter(|&address| is_own(observed, name, facts, address)).map(|address| (address, name)));
        }
        own
    }
}

/// Whether a machine that does not carry an address has it as its own. A Node may list the egress addresses that it
/// carries, and for a while those that it carried, as long as it is down for ever; one without a carrier never did.
fn is_own(observed: &Observed, name: &NodeName, facts: &NodeFacts, address: IpAddr) -> bool {
    let Some(subnet) = observed.carriers.get(name) else { return true };
    let alike = |other: &&IpAddr| other.is_ipv4() == address.is_ipv4();
    let is_only = facts.addresses.iter().filter(alike).all(|&other| other == address);
    is_only && (facts.addresses.contains(&address) || subnet.host_ip == Some(address))
        || facts.ready && subnet.host_ip == Some(address)
}
