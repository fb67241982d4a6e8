//! Which node gets which address (OVN-Kubernetes, `assignEgressIPs`): one after the other, to the node with the fewest
//! addresses that can have it. Nothing is weighed, looked ahead for, or moved.

use super::ClusterManager;
use crate::action::Reason;
use crate::network::{self, secondary};
use crate::object::{EgressIp, StatusItem};
use crate::selector::Selector;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Where addresses are: node and owner.
type Held = BTreeMap<String, (String, String)>;

/// What came of one address.
enum Placed {
    On(String),
    Nowhere,
    /// A node whose addresses cannot be read ends the whole call.
    Abort,
}

impl ClusterManager {
    pub(super) fn assign(&mut self, egress_ip: &EgressIp, addresses: &[String]) -> Vec<StatusItem> {
        let owner = egress_ip.name.as_str();
        let mut candidates = self.candidates(egress_ip.egress_node_selector.as_ref());
        let mut assigned = Vec::new();
        if candidates.is_empty() {
            self.event(owner, Reason::NoMatchingNodeFound, format!("no node may carry addresses of {owner}"));
            return assigned;
        }
        let held = self.held();
        for address in addresses {
            let Some(ip) = network::address(address) else { continue };
            match self.place(owner, ip, &held, &mut candidates) {
                Placed::On(node) => assigned.push(StatusItem { node, egress_ip: ip.to_string() }),
                Placed::Nowhere => {}
                Placed::Abort => return assigned,
            }
        }
        if assigned.is_empty() {
            let message = format!("no node can carry any of {addresses:?} of {owner}");
            self.event(owner, Reason::NoMatchingNodeFound, message);
        } else if assigned.len() < addresses.len() {
            self.event(owner, Reason::UnassignedRequest, format!("{owner} needs more nodes for all of its addresses"));
        }
        assigned
    }

    /// Whether a node may carry addresses of an object with this selector.
    pub(super) fn may_carry(&self, name: &str, selector: Option<&Selector>) -> bool {
        let chosen = match selector.filter(|_| self.settings.selectors) {
            Some(selector) => self.seen.nodes.get(name).is_some_and(|node| selector.matches(&node.labels)),
            None => self.cache.get(name).is_some_and(|node| node.assignable),
        };
        chosen && self.cache.get(name).is_some_and(|node| node.ready && node.reachable)
    }

    /// Nodes that may carry addresses, those with the fewest first and equal ones in random order. They are sorted once for
    /// all addresses of a call.
    fn candidates(&mut self, selector: Option<&Selector>) -> Vec<String> {
        let usable = self.cache.keys().filter(|name| self.may_carry(name, selector)).cloned().collect::<Vec<_>>();
        let mut candidates = self.dice.shuffled(usable);
        candidates.sort_by_key(|name| self.cache.get(name).map_or(0, |node| node.allocations.len()));
        candidates
    }

    /// Where all addresses are. If two nodes have the same one, chance decides which counts.
    fn held(&mut self) -> Held {
        let names = self.cache.keys().cloned().collect::<Vec<_>>();
        let mut held = Held::new();
        for name in self.dice.shuffled(names) {
            for (address, owner) in self.cache.get(&name).map(|node| &node.allocations).into_iter().flatten() {
                held.insert(address.clone(), (name.clone(), owner.clone()));
            }
        }
        held
    }

    fn place(&mut self, owner: &str, ip: IpAddr, held: &Held, candidates: &mut Vec<String>) -> Placed {
        match self.host_of(ip) {
            Err(network::Unreadable) => return Placed::Abort,
            Ok(Some(host)) => {
                let message = format!("{ip} of {owner} is an address of the host {host}");
                self.event(owner, Reason::EgressIpConflict, message);
                return Placed::Nowhere;
            }
            Ok(None) => {}
        }
        let text = ip.to_string();
        if let Some((node, other)) = held.get(&text) {
            if other == owner {
                return if self.hosts(node, ip) { Placed::On(node.clone()) } else { Placed::Nowhere };
            }
            let message = format!("{ip} of {owner} is already on {node} for {other}");
            self.event(owner, Reason::UnsupportedRequest, message);
            return Placed::Nowhere;
        }
        if !self.settings.cloud {
            let connected =
                candidates.iter().filter(|name| self.is_secondary_on(name, ip)).cloned().collect::<Vec<_>>();
            if !connected.is_empty() {
                // The addresses that follow have only these nodes, too.
                *candidates = connected;
            }
        }
        let chosen = candidates.iter().find(|name| self.can_have(name, owner, ip)).cloned();
        match chosen {
            Some(name) => {
                if let Some(node) = self.cache.get_mut(&name) {
                    node.allocations.insert(text, owner.to_owned());
                }
                Placed::On(name)
            }
            None => Placed::Nowhere,
        }
    }

    /// The host that has an address. Every node counts, also one that carries nothing.
    fn host_of(&self, ip: IpAddr) -> Result<Option<String>, network::Unreadable> {
        for node in self.seen.nodes.values().filter(|node| !self.is_left_out(node)) {
            if network::host_addresses(node)?.contains(&ip) {
                return Ok(Some(node.name.clone()));
            }
        }
        Ok(None)
    }

    fn can_have(&self, name: &str, owner: &str, ip: IpAddr) -> bool {
        self.cache.get(name).is_some_and(|node| node.count_of(owner) == 0 && node.has_room_for(ip.is_ipv6()))
            && self.hosts(name, ip)
    }

    /// Whether a node has a network for an address.
    fn hosts(&self, name: &str, ip: IpAddr) -> bool {
        let (Some(node), Some(cached)) = (self.seen.nodes.get(name), self.cache.get(name)) else { return false };
        cached.config.contains(ip) || (!self.settings.cloud && matches!(secondary(node, ip), Ok(Some(_))))
    }

    fn is_secondary_on(&self, name: &str, ip: IpAddr) -> bool {
        let (Some(node), Some(cached)) = (self.seen.nodes.get(name), self.cache.get(name)) else { return false };
        !cached.config.contains(ip) && matches!(secondary(node, ip), Ok(Some(_)))
    }
}
