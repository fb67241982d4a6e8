//! What can happen to a cluster from outside.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use sluice_core::name::{NodeName, OwnerName, PoolName};
use sluice_core::network::Target;
use sluice_core::observed::PoolSpec;

/// Something that happens to the cluster. Events about objects that do not exist change nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An EgressIPAM is created, or its spec is replaced.
    Pool(PoolName, PoolSpec),
    /// An EgressIPAM is deleted. It goes once nobody keeps it.
    PoolDeleted(PoolName),
    /// A node joins, with a HostSubnet.
    NodeAdded {
        /// Its name.
        name: NodeName,
        /// Its labels.
        labels: BTreeMap<String, String>,
        /// Its own address.
        address: IpAddr,
    },
    /// A node becomes `Ready`, or stops being so.
    NodeReady(NodeName, bool),
    /// A node is cordoned, or no longer.
    NodeCordoned(NodeName, bool),
    /// A label of a node changes; none: it is removed.
    NodeLabelled(NodeName, String, Option<String>),
    /// A node is deleted; its HostSubnet follows later.
    NodeDeleted(NodeName),
    /// All nodes with this label become `Ready`, or stop being so.
    ZoneReady {
        /// Label key.
        label: String,
        /// Label value.
        value: String,
        /// Whether they are `Ready`.
        ready: bool,
    },
    /// A namespace is created, with a NetNamespace, and opts into a pool or not.
    NamespaceAdded(OwnerName, Option<PoolName>),
    /// A namespace opts into a pool, in place of another one or of none; none: it opts out.
    NamespacePool(OwnerName, Option<PoolName>),
    /// Somebody writes the annotation `egressips` of a namespace; none: removes it.
    Requested(OwnerName, Option<String>),
    /// A namespace is deleted. It terminates for a while; its NetNamespace follows later.
    NamespaceDeleted(OwnerName),
    /// Somebody else changes an object in a way that does not matter here.
    Touched(Target),
    /// Somebody else puts an address onto a HostSubnet.
    ForeignCarried(NodeName, IpAddr),
    /// Somebody else writes the addresses of a NetNamespace.
    ForeignHeld(OwnerName, Vec<IpAddr>),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(name, _) => write!(f, "pool {name} is configured"),
            Self::PoolDeleted(name) => write!(f, "pool {name} is deleted"),
            Self::NodeAdded { name, .. } => write!(f, "node {name} joins"),
            Self::NodeReady(name, true) => write!(f, "node {name} is ready"),
            Self::NodeReady(name, false) => write!(f, "node {name} is not ready"),
            Self::NodeCordoned(name, true) => write!(f, "node {name} is cordoned"),
            Self::NodeCordoned(name, false) => write!(f, "node {name} is uncordoned"),
            Self::NodeLabelled(name, key, Some(value)) => write!(f, "node {name} gets label {key}={value}"),
            Self::NodeLabelled(name, key, None) => write!(f, "node {name} loses label {key}"),
            Self::NodeDeleted(name) => write!(f, "node {name} is deleted"),
            Self::ZoneReady { value, ready: true, .. } => write!(f, "zone {value} is back"),
            Self::ZoneReady { value, ready: false, .. } => write!(f, "zone {value} fails"),
            Self::NamespaceAdded(name, Some(pool)) => write!(f, "namespace {name} is created in pool {pool}"),
            Self::NamespaceAdded(name, None) => write!(f, "namespace {name} is created"),
            Self::NamespacePool(name, Some(pool)) => write!(f, "namespace {name} opts into pool {pool}"),
            Self::NamespacePool(name, None) => write!(f, "namespace {name} opts out"),
            Self::Requested(name, Some(text)) => write!(f, "namespace {name} asks for {text}"),
            Self::Requested(name, None) => write!(f, "namespace {name} loses its annotation"),
            Self::NamespaceDeleted(name) => write!(f, "namespace {name} is deleted"),
            Self::Touched(target) => write!(f, "somebody else changes {target}"),
            Self::ForeignCarried(name, address) => write!(f, "somebody else puts {address} onto node {name}"),
            Self::ForeignHeld(name, addresses) => {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                write!(f, "somebody else gives [{}] to namespace {name}", addresses.join(","))
            }
        }
    }
}
