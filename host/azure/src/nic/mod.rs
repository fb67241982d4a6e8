//! An interface, as Azure writes it, and what of it matters here. Pure.

mod edit;

pub(crate) use edit::{Pools, edit};

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use serde_json::Value;

use crate::id::ResourceId;
use crate::json::{field, flag, id_in, ids_in, items, text};

/// Most private addresses of an interface.
pub(crate) const LIMIT: u32 = 256;

/// What the names of our configurations begin with; the address follows. So did those of the operator that this one
/// takes over from.
const PREFIX: &str = "EgressIP";

/// What our configuration of an address is called.
pub fn name_of(address: IpAddr) -> String {
    format!("{PREFIX}{address}")
}

/// How the last change of an interface went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProvisioningState {
    /// Well.
    Succeeded,
    /// It has not ended.
    Updating,
    /// Badly: the interface is to be written once more, as it is.
    Failed,
}

/// What matters of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Its identifier.
    pub(crate) id: ResourceId,
    /// Its version.
    pub(crate) etag: String,
    /// How its last change went.
    pub(crate) state: ProvisioningState,
    /// The machine that it is attached to.
    pub(crate) machine: Option<ResourceId>,
    /// Whether it is that machine's primary one.
    pub(crate) primary: bool,
    /// Its configurations, in Azure's order.
    pub(crate) configurations: Vec<Configuration>,
    /// Tags that say of which cluster it is.
    pub(crate) clusters: BTreeSet<String>,
}

/// What matters of a configuration: one private address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Configuration {
    /// Unique within the interface.
    pub(crate) name: String,
    /// The address; none while Azure has not chosen one. The first one if it is a prefix.
    pub(crate) address: Option<IpAddr>,
    /// How many bits are the prefix's, if this is a prefix and not a single address.
    pub(crate) prefix: Option<u8>,
    /// The machine's own address.
    pub(crate) primary: bool,
    /// Where the address comes from.
    pub(crate) subnet: Option<ResourceId>,
    /// Backend pools of load balancers that it is a member of.
    pub(crate) pools: Vec<ResourceId>,
}

impl Configuration {
    pub(crate) fn of(value: &Value) -> Self {
        let given = text(value, "privateIPAddress").unwrap_or_default();
        let (address, bits) = given.split_once('/').unwrap_or((given, ""));
        Self {
            name: text(value, "name").unwrap_or_default().to_owned(),
            address: address.parse().ok(),
            prefix: bits.parse().ok().filter(|bits| *bits < 32),
            primary: flag(value, "primary").unwrap_or(false),
            subnet: field(value, "subnet").and_then(id_in),
            pools: ids_in(value, "loadBalancerBackendAddressPools"),
        }
    }

    /// Whether we made it, or the operator that this one takes over from.
    pub(crate) fn is_ours(&self) -> bool {
        let named = self.name.strip_prefix(PREFIX).and_then(|address| address.parse::<IpAddr>().ok());
        !self.primary && self.prefix.is_none() && named.is_some() && named == self.address
    }

    /// All its addresses.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        match (self.address, self.prefix) {
            // Azure gives prefixes of 16 addresses; anything much larger is not taken at its word.
            (Some(IpAddr::V4(first)), Some(bits @ 20..)) => {
                Ipv4Net::new(first, bits).map(|net| range(net).map(IpAddr::V4).collect()).unwrap_or_default()
            }
            (address, _) => address.into_iter().collect(),
        }
    }
}

fn range(net: Ipv4Net) -> impl Iterator<Item = Ipv4Addr> {
    (u32::from(net.network())..=u32::from(net.broadcast())).map(Ipv4Addr::from)
}

/// Tags such as `kubernetes.io_cluster.ocp1-x7k2p`, which OpenShift's installer puts on all that is a cluster's.
fn clusters(value: &Value) -> BTreeSet<String> {
    let tags = field(value, "tags").and_then(Value::as_object).into_iter().flatten();
    tags.map(|(name, _)| name).filter(|name| name.starts_with("kubernetes.io_cluster.")).cloned().collect()
}

impl Interface {
    /// Reads one; none if it is no interface at all.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        let mut configurations: Vec<Configuration> =
            items(value, "ipConfigurations").iter().map(Configuration::of).collect();
        if let (false, Some(first)) =
            (configurations.iter().any(|configuration| configuration.primary), configurations.first_mut())
        {
            first.primary = true;
        }
        Some(Self {
            id: id_in(value)?,
            etag: text(value, "etag").unwrap_or_default().to_owned(),
            state: match text(value, "provisioningState").unwrap_or("Succeeded") {
                "Succeeded" => ProvisioningState::Succeeded,
                "Failed" | "Canceled" => ProvisioningState::Failed,
                _ => ProvisioningState::Updating,
            },
            machine: field(value, "virtualMachine").and_then(id_in),
            primary: flag(value, "primary").unwrap_or(false),
            configurations,
            clusters: clusters(value),
        })
    }

    /// Reads one from what Azure answered.
    pub(crate) fn parse(body: &str) -> Option<Self> {
        serde_json::from_str(body).ok().as_ref().and_then(Self::of)
    }

    /// The configuration with the machine's own address.
    pub(crate) fn own(&self) -> Option<&Configuration> {
        self.configurations.iter().find(|configuration| configuration.primary)
    }

    /// Its secondary addresses, and whether each is ours.
    pub(crate) fn addresses(&self) -> BTreeMap<IpAddr, bool> {
        let secondary = self.configurations.iter().filter(|configuration| !configuration.primary);
        secondary.filter_map(|configuration| Some((configuration.address?, configuration.is_ours()))).collect()
    }

    /// Whether it has an address, its own included.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.configurations.iter().any(|configuration| configuration.addresses().contains(&address))
    }

    /// Whether it has an address of ours.
    pub(crate) fn has_ours(&self) -> bool {
        self.configurations.iter().any(Configuration::is_ours)
    }

    /// Whether it carries all of some addresses, and ours of none of the others.
    pub(crate) fn is_as_wanted(&self, on: &BTreeSet<IpAddr>, off: &BTreeSet<IpAddr>) -> bool {
        let addresses = self.addresses();
        on.iter().all(|address| addresses.contains_key(address))
            && off.difference(on).all(|address| addresses.get(address) != Some(&true))
    }
}

#[cfg(test)]
mod tests;
