//! What an EgressIPAM object asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// One EgressIPAM object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolFacts {
    /// Precondition of a write.
    pub resource_version: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// Creation, Unix milliseconds: the older of two overlapping pools owns the intersection.
    pub created: u64,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// We keep it from going when it is deleted, until what is its own is cleaned up.
    pub guarded: bool,
    /// Others that keep it from going, as they call themselves.
    pub other_guards: Vec<String>,
    /// What could be read of the spec.
    pub spec: PoolSpec,
    /// What could not. A pool with errors keeps what it has and hands out nothing new.
    pub errors: Vec<SpecError>,
    /// Oddities that stop nothing, such as a reserved address outside its range.
    pub warnings: Vec<String>,
    /// On a cloud, its addresses stay out of the load balancer pools that the machines are in.
    pub no_load_balancer: bool,
}

impl PoolFacts {
    /// Whether anybody keeps it from going when it is deleted.
    pub fn is_kept(&self) -> bool {
        self.guarded || !self.other_guards.is_empty()
    }
}

/// A field of a spec that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// Path of the field, such as `spec.cidrAssignments[0].CIDR`.
    pub field: String,
    /// What is wrong with which value.
    pub text: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.text)
    }
}

/// What a pool asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolSpec {
    /// Label key whose value puts a node into a zone.
    pub topology_label: String,
    /// Which nodes the pool may use; empty: all.
    pub node_selector: NodeSelector,
    /// One zone each, in this order.
    pub entries: Vec<PoolEntry>,
    /// A range for all zones together; excludes `entries`.
    pub cidr: Option<IpNet>,
    /// Reserved addresses of `cidr`.
    pub reserved: BTreeSet<IpAddr>,
    /// Addresses may sit in another zone of the pool when their own has no node.
    pub zone_failover: bool,
    /// So many healthy nodes of each zone more than the plan uses are ready to take over, where the network places among
    /// the nodes that are marked for it.
    pub standby_nodes: u32,
}

impl PoolSpec {
    /// All ranges as the spec has them.
    pub fn ranges(&self) -> impl Iterator<Item = IpNet> {
        self.entries.iter().map(|entry| entry.cidr).chain(self.cidr)
    }
}

/// One `cidrAssignments` entry.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolEntry {
    /// The range, host bits masked.
    pub cidr: IpNet,
    /// Value of the topology label.
    pub label_value: String,
    /// Never handed out; an address in use that becomes reserved is replaced.
    pub reserved: BTreeSet<IpAddr>,
}

/// A label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSelector {
    /// All of these must hold.
    pub requirements: Vec<Requirement>,
}

/// One condition on labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The label has one of the values.
    In(String, BTreeSet<String>),
    /// The label is absent or has none of the values.
    NotIn(String, BTreeSet<String>),
    /// The label is there.
    Exists(String),
    /// The label is not there.
    DoesNotExist(String),
}

impl NodeSelector {
    /// Whether a node with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Requirement::NotIn(key, values) => !labels.get(key).is_some_and(|v| values.contains(v)),
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::DoesNotExist(key) => !labels.contains_key(key),
        })
    }
}
