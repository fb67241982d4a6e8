//! The state of a whole cluster, as far as egress addresses go, in a few lines of text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kube::ResourceExt as _;
use kube::api::DynamicObject;

use super::Cluster;
use super::kinds::{annotation, is_system_namespace, is_terminating, strings};
use super::objects::{ADDRESSES_ANNOTATION, POOL_ANNOTATION};

/// Who holds and who carries which address.
///
/// ```text
/// billing: egress, 10.20.0.3 on worker-a1, 10.21.0.3 on worker-b0
/// legacy: -
/// mirror: egress, 10.20.0.3 on worker-a1, annotated 10.20.0.9
/// worker-a0: 10.20.0.8 of nobody
/// worker-c0: offers 10.22.0.0/24
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// By name; system namespaces only if they hold something.
    pub namespaces: BTreeMap<String, NamespaceState>,
    /// By name; NetNamespaces without a Namespace.
    pub orphans: BTreeMap<String, Vec<String>>,
    /// By name of the node.
    pub host_subnets: BTreeMap<String, HostSubnetState>,
    /// Names of the pools.
    pub pools: BTreeSet<String>,
}

/// One namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamespaceState {
    /// The pool it opted in to.
    pub pool: Option<String>,
    /// Its addresses annotation.
    pub annotated: Option<String>,
    /// Its NetNamespace's addresses; `None` without a NetNamespace.
    pub held: Option<Vec<String>>,
    /// Whether it is being deleted.
    pub terminating: bool,
}

impl NamespaceState {
    /// The addresses it holds.
    pub fn addresses(&self) -> &[String] {
        self.held.as_deref().unwrap_or_default()
    }
}

/// One HostSubnet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostSubnetState {
    /// `egressIPs`.
    pub carried: Vec<String>,
    /// `egressCIDRs`.
    pub offered: Vec<String>,
}

impl Outcome {
    /// Reads a cluster. The four lists are not of one instant.
    pub async fn read(cluster: &Cluster) -> Self {
        let (namespaces, nets, subnets, pools) = futures::join!(
            cluster.list("Namespace"),
            cluster.list("NetNamespace"),
            cluster.list("HostSubnet"),
            cluster.list("EgressIPAM"),
        );
        let mut held: BTreeMap<String, Vec<String>> =
            nets.iter().map(|net| (net.name_any(), strings(net, "egressIPs"))).collect();
        let namespaces = namespaces
            .iter()
            .map(|namespace| (namespace.name_any(), namespace_state(namespace, held.remove(&namespace.name_any()))))
            .filter(|(name, state)| !is_system_namespace(name) || !state.addresses().is_empty())
            .collect();
        let host_subnets = subnets.iter().map(|subnet| {
            let state =
                HostSubnetState { carried: strings(subnet, "egressIPs"), offered: strings(subnet, "egressCIDRs") };
            (subnet.name_any(), state)
        });
        Self {
            namespaces,
            orphans: held,
            host_subnets: host_subnets.collect(),
            pools: pools.iter().map(kube::ResourceExt::name_any).collect(),
        }
    }

    /// The nodes that carry an address.
    pub fn nodes_of(&self, address: &str) -> Vec<&str> {
        let carriers = self.host_subnets.iter().filter(|(_, state)| state.carried.iter().any(|ip| ip == address));
        carriers.map(|(name, _)| name.as_str()).collect()
    }

    /// The namespaces that hold an address.
    pub fn holders_of(&self, address: &str) -> Vec<&str> {
        self.held().filter(|(_, ip)| *ip == address).map(|(name, _)| name).collect()
    }

    /// A namespace's addresses; empty if there is no such namespace.
    pub fn addresses_of(&self, namespace: &str) -> &[String] {
        self.namespaces.get(namespace).map_or(&[], NamespaceState::addresses)
    }

    /// What is wrong, a line each: an address held twice or on two nodes; an annotation that is not what its namespace holds.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let held: BTreeSet<&str> = self.held().map(|(_, address)| address).collect();
        for address in &held {
            let holders = self.holders_of(address);
            if holders.len() > 1 {
                faults.push(format!("{address} is held by {}", holders.join(" and ")));
            }
        }
        let carried: BTreeSet<&str> =
            self.host_subnets.values().flat_map(|state| state.carried.iter().map(String::as_str)).collect();
        for address in &carried {
            let nodes = self.nodes_of(address);
            if nodes.len() > 1 {
                faults.push(format!("{address} is on {}", nodes.join(" and ")));
            }
        }
        for (name, state) in self.namespaces.iter().filter(|(_, state)| state.pool.is_some() && !state.terminating) {
            if state.annotated.as_deref().unwrap_or_default() != state.addresses().join(",") {
                let annotated = state.annotated.as_deref().unwrap_or("nothing");
                faults.push(format!("{name} holds {:?} but is annotated {annotated}", state.addresses()));
            }
        }
        faults
    }

    /// Held addresses that no node carries.
    pub fn unplaced(&self) -> Vec<&str> {
        self.held().map(|(_, address)| address).filter(|address| self.nodes_of(address).is_empty()).collect()
    }

    fn held(&self) -> impl Iterator<Item = (&str, &str)> {
        let of_namespaces = self.namespaces.iter().map(|(name, state)| (name, state.addresses()));
        let of_orphans = self.orphans.iter().map(|(name, addresses)| (name, addresses.as_slice()));
        of_namespaces
            .chain(of_orphans)
            .flat_map(|(name, addresses)| addresses.iter().map(|ip| (name.as_str(), ip.as_str())))
    }

    fn placed(&self, addresses: &[String]) -> Vec<String> {
        let place = |address: &String| match self.nodes_of(address).as_slice() {
            [] => format!("{address} on no node"),
            nodes => format!("{address} on {}", nodes.join(" and ")),
        };
        addresses.iter().map(place).collect()
    }

    fn namespace_line(&self, state: &NamespaceState) -> String {
        let mut parts: Vec<String> = state.pool.iter().cloned().collect();
        match &state.held {
            Some(addresses) => parts.extend(self.placed(addresses)),
            None => parts.push("no NetNamespace".into()),
        }
        let held = state.addresses().join(",");
        match state.annotated.as_deref() {
            None if held.is_empty() => {}
            None => parts.push("not annotated".into()),
            Some(annotated) if annotated == held => {}
            Some(annotated) => parts.push(format!("annotated {annotated}")),
        }
        if state.terminating {
            parts.push("terminating".into());
        }
        if parts.is_empty() { "-".into() } else { parts.join(", ") }
    }

    fn host_subnet_line(&self, state: &HostSubnetState) -> Option<String> {
        let strangers = state.carried.iter().filter(|address| self.holders_of(address).is_empty());
        let mut parts: Vec<String> = strangers.map(|address| format!("{address} of nobody")).collect();
        if !state.offered.is_empty() {
            parts.push(format!("offers {}", state.offered.join(" ")));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

fn namespace_state(namespace: &DynamicObject, held: Option<Vec<String>>) -> NamespaceState {
    NamespaceState {
        pool: annotation(namespace, POOL_ANNOTATION).map(String::from),
        annotated: annotation(namespace, ADDRESSES_ANNOTATION).map(String::from),
        held,
        terminating: is_terminating(&namespace.metadata),
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, state) in &self.namespaces {
            writeln!(out, "{name}: {}", self.namespace_line(state))?;
        }
        for (name, addresses) in &self.orphans {
            let placed = self.placed(addresses).join(", ");
            writeln!(
                out,
                "{name}: NetNamespace without Namespace{}{placed}",
                if placed.is_empty() { "" } else { ", " }
            )?;
        }
        for (name, state) in &self.host_subnets {
            if let Some(line) = self.host_subnet_line(state) {
                writeln!(out, "{name}: {line}")?;
            }
        }
        Ok(())
    }
}
