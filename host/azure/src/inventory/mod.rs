//! What there is in the cloud: read by lists, and judged.

mod judge;
mod read;

pub(crate) use judge::{Judged, judge};
pub(crate) use read::read;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::id::ResourceId;
use crate::json::{field, flag, id_in, items, text};
use crate::nic::Interface;

/// Everything that was listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// The subscription that it is of; none: of a file, which may hold anything.
    pub(crate) subscription: Option<String>,
    pub(crate) machines: BTreeMap<ResourceId, Machine>,
    pub(crate) interfaces: BTreeMap<ResourceId, Interface>,
    /// Prefixes, by subnet.
    pub(crate) subnets: BTreeMap<ResourceId, Vec<IpNet>>,
    /// Backend pools, and whether each has an outbound rule.
    pub(crate) pools: BTreeMap<ResourceId, bool>,
    /// Addresses of load balancers, and the subnet of each.
    pub(crate) frontends: BTreeMap<IpAddr, Option<ResourceId>>,
    /// What could not be listed, for people.
    pub(crate) complaints: Vec<String>,
    /// Resource groups of which Azure says that they are not there.
    pub(crate) missing: BTreeSet<String>,
}

/// What matters of a virtual machine: its interfaces, and which of them is the primary one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) id: ResourceId,
    pub(crate) interfaces: Vec<(ResourceId, bool)>,
}

impl Machine {
    /// The primary interface. Where none is marked it is the first one.
    pub(crate) fn primary(&self) -> Option<&ResourceId> {
        let marked = self.interfaces.iter().find(|(_, primary)| *primary);
        marked.or_else(|| self.interfaces.first()).map(|(id, _)| id)
    }
}

impl Listing {
    pub(crate) fn add_machine(&mut self, value: &Value) {
        let Some(id) = id_in(value) else { return };
        let interfaces = field(value, "networkProfile").map(|profile| items(profile, "networkInterfaces"));
        let interfaces = interfaces.unwrap_or_default().iter();
        let interfaces =
            interfaces.filter_map(|one| Some((id_in(one)?, flag(one, "primary").unwrap_or(false)))).collect();
        self.machines.insert(id.clone(), Machine { id, interfaces });
    }

    pub(crate) fn add_interface(&mut self, value: &Value) {
        if let Some(interface) = Interface::of(value) {
            self.interfaces.insert(interface.id.clone(), interface);
        }
    }

    pub(crate) fn add_network(&mut self, value: &Value) {
        for subnet in items(value, "subnets") {
            let Some(id) = id_in(subnet) else { continue };
            let several = items(subnet, "addressPrefixes").iter().filter_map(Value::as_str);
            let all: BTreeSet<IpNet> =
                text(subnet, "addressPrefix").into_iter().chain(several).filter_map(|text| text.parse().ok()).collect();
            self.subnets.insert(id, all.iter().map(IpNet::trunc).collect());
        }
    }

    pub(crate) fn add_balancer(&mut self, value: &Value) {
        for pool in items(value, "backendAddressPools") {
            if let Some(id) = id_in(pool) {
                let has_rule = !items(pool, "outboundRules").is_empty() || field(pool, "outboundRule").is_some();
                *self.pools.entry(id).or_default() |= has_rule;
            }
        }
        for rule in items(value, "outboundRules") {
            if let Some(id) = field(rule, "backendAddressPool").and_then(id_in) {
                self.pools.insert(id, true);
            }
        }
        let frontends = items(value, "frontendIPConfigurations").iter();
        let subnet = |one| field(one, "subnet").and_then(id_in);
        let found = frontends.filter_map(|one| Some((text(one, "privateIPAddress")?.parse().ok()?, subnet(one))));
        self.frontends.extend(found);
    }

    /// Pools that a configuration of ours may join.
    pub(crate) fn joinable(&self) -> BTreeSet<ResourceId> {
        self.pools.iter().filter(|(_, has_rule)| !**has_rule).map(|(id, _)| id.clone()).collect()
    }

    /// Pools of the load balancers that interfaces refer to.
    pub(crate) fn referred(&self) -> BTreeSet<ResourceId> {
        let configurations = self.interfaces.values().flat_map(|interface| &interface.configurations);
        configurations.flat_map(|configuration| &configuration.pools).cloned().collect()
    }
}

/// Resource groups of one subscription, in lower case.
pub(crate) fn groups_of<'a>(subscription: &str, ids: impl IntoIterator<Item = &'a ResourceId>) -> BTreeSet<String> {
    let ids = ids.into_iter().filter(|id| id.subscription().eq_ignore_ascii_case(subscription));
    ids.map(|id| id.group().to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests;
