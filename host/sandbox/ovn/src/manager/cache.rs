//! What the cluster manager remembers of each node: what it can carry, and what it was given.

use super::{ClusterManager, Failed, Outcome};
use crate::names::ASSIGNABLE;
use crate::network::Config;
use crate::object::{Node, StatusItem};
use std::collections::BTreeMap;

/// A node in the cache.
#[derive(Clone, Debug, Default)]
pub(super) struct EgressNode {
    pub(super) config: Config,
    /// The owner by address.
    pub(super) allocations: BTreeMap<String, String>,
    pub(super) ready: bool,
    pub(super) reachable: bool,
    pub(super) assignable: bool,
}

impl EgressNode {
    /// How many addresses of an object the node has.
    pub(super) fn count_of(&self, owner: &str) -> usize {
        self.allocations.values().filter(|name| *name == owner).count()
    }

    pub(super) fn has(&self, owner: &str, address: &str) -> bool {
        self.allocations.get(address).is_some_and(|name| name == owner)
    }

    /// Whether there is room for one more address of a family. The limits of both families and of each one hold.
    pub(super) fn has_room_for(&self, v6: bool) -> bool {
        let of_family = |v6: bool| self.allocations.keys().filter(|address| address.contains(':') == v6).count();
        let has_room = |limit: Option<i64>, used: usize| limit.is_none_or(|limit| usize_at_most(used, limit - 1));
        let family = if v6 { self.config.capacity.ipv6 } else { self.config.capacity.ipv4 };
        has_room(self.config.capacity.ip, self.allocations.len()) && has_room(family, of_family(v6))
    }
}

fn usize_at_most(used: usize, most: i64) -> bool {
    i64::try_from(used).is_ok_and(|used| used <= most)
}

impl ClusterManager {
    /// Reads what a node can carry. One that cannot be read keeps what it had, or stays unknown.
    pub(super) fn read_node(&mut self, node: &Node) -> Outcome {
        let config = Config::of(node, self.settings.cloud).ok_or(Failed)?;
        self.cache.entry(node.name.clone()).or_default().config = config;
        Ok(())
    }

    pub(super) fn set_assignable(&mut self, name: &str, assignable: bool) {
        if let Some(node) = self.cache.get_mut(name) {
            node.assignable = assignable;
            if !assignable && !self.settings.selectors {
                node.allocations.clear();
            }
        }
    }

    pub(super) fn set_ready(&mut self, name: &str, ready: bool) {
        if let Some(node) = self.cache.get_mut(name) {
            node.ready = ready;
            if !ready {
                node.allocations.clear();
            }
        }
    }

    pub(super) fn set_reachable_now(&mut self, name: &str) {
        if let Some(node) = self.cache.get_mut(name) {
            node.reachable = true;
        }
    }

    /// Whether a node answers. One that answered last time is not asked.
    pub(super) fn answers(&mut self, name: &str) -> bool {
        match self.cache.get(name) {
            Some(node) => node.reachable || self.probes.answers(name),
            None => false,
        }
    }

    pub(super) fn forget(&mut self, items: &[StatusItem]) {
        for item in items {
            if let Some(node) = self.cache.get_mut(&item.node) {
                node.allocations.remove(&item.egress_ip);
            }
        }
    }

    pub(super) fn remember(&mut self, owner: &str, items: &[StatusItem]) {
        for item in items {
            if let Some(node) = self.cache.get_mut(&item.node) {
                node.allocations.insert(item.egress_ip.clone(), owner.to_owned());
            }
        }
    }

    /// Takes an address of an object from the node that has it, whichever that is.
    pub(super) fn forget_address(&mut self, owner: &str, address: &str) -> Option<String> {
        let (name, node) = self.cache.iter_mut().find(|(_, node)| node.has(owner, address))?;
        node.allocations.remove(address);
        Some(name.clone())
    }
}

/// Whether a node has the label that makes it carry addresses.
pub(super) fn is_labelled(node: &Node) -> bool {
    node.labels.contains_key(ASSIGNABLE)
}
