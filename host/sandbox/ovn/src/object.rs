//! The objects of a cluster, as far as the cluster manager and the cloud controller read them.
//!
//! Readers are tolerant: a field that is missing or of another type counts as absent, as it does where the API server
//! has checked an object already.

use crate::names::{MARK, OWNER};
use crate::selector::Selector;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// An address on a node: one item of an `EgressIP`'s status.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatusItem {
    /// The node that carries the address.
    pub node: String,
    /// The address, as text, because status may hold what is none.
    pub egress_ip: String,
}

/// An `EgressIP`: addresses that somebody asks for, and where they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressIp {
    /// The name, which is unique in a cluster.
    pub name: String,
    /// The version, by which an older state is told from a newer one. 0 if it is not known.
    pub resource_version: u64,
    /// The annotations, all of which the first patch of status replaces.
    pub annotations: BTreeMap<String, String>,
    /// The addresses that are asked for, as somebody wrote them.
    pub egress_ips: Vec<String>,
    /// The nodes that may carry them, where [`Settings::selectors`](crate::Settings) says that this counts.
    pub egress_node_selector: Option<Selector>,
    /// Where the addresses are.
    pub status: Vec<StatusItem>,
}

impl EgressIp {
    /// Reads an object of the API. There is none without a name.
    pub fn from_json(object: &Value) -> Option<Self> {
        let spec = object.get("spec");
        Some(Self {
            name: name(object)?,
            resource_version: resource_version(object),
            annotations: texts_by_name(object.pointer("/metadata/annotations")),
            egress_ips: texts(spec.and_then(|spec| spec.get("egressIPs"))),
            egress_node_selector: spec.and_then(|spec| spec.get("egressNodeSelector")).and_then(Selector::from_json),
            status: items(object.pointer("/status/items")).filter_map(status_item).collect(),
        })
    }

    /// Whether it has a packet mark, readable or not.
    pub(crate) fn is_marked(&self) -> bool {
        self.annotations.contains_key(MARK)
    }
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The name.
    pub name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The annotations, by which the network and the cloud say what the node can carry.
    pub annotations: BTreeMap<String, String>,
    /// Whether the condition `Ready` is `True`. `Unknown` and no condition at all count as not ready.
    pub ready: bool,
    /// The keys of its taints.
    pub taints: Vec<String>,
}

impl Node {
    /// Reads an object of the API. There is none without a name.
    pub fn from_json(object: &Value) -> Option<Self> {
        let ready = items(object.pointer("/status/conditions"))
            .find(|condition| text(condition, "type") == "Ready")
            .is_some_and(|condition| text(condition, "status") == "True");
        Some(Self {
            name: name(object)?,
            labels: texts_by_name(object.pointer("/metadata/labels")),
            annotations: texts_by_name(object.pointer("/metadata/annotations")),
            ready,
            taints: items(object.pointer("/spec/taints")).map(|taint| text(taint, "key")).collect(),
        })
    }
}

/// A condition of a `CloudPrivateIPConfig`. Its times are left out: nobody reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The type. There is one: `Assigned`.
    pub kind: String,
    /// `True` after success, `False` after failure, `Unknown` while the cloud works.
    pub status: String,
    /// The reason, as one word.
    pub reason: String,
    /// What happened.
    pub message: String,
}

/// What the cloud controller says about an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpicStatus {
    /// The node that has the address, gets it or loses it; empty if none does.
    pub node: String,
    /// The conditions. Readers look at the first alone.
    pub conditions: Vec<Condition>,
}

impl CpicStatus {
    /// Whether what is said of [`Self::node`] was done.
    pub fn is_done(&self) -> bool {
        self.conditions.first().is_some_and(|condition| condition.kind == "Assigned" && condition.status == "True")
    }

    /// Whether it failed.
    pub fn is_failed(&self) -> bool {
        self.conditions.iter().any(|condition| condition.kind == "Assigned" && condition.status == "False")
    }

    /// The status as the API wants it. `time` is when the condition changed, in RFC 3339, which the API requires.
    pub fn to_json(&self, time: &str) -> Value {
        let conditions: Vec<Value> = self.conditions.iter().map(|condition| condition.to_json(time)).collect();
        if self.node.is_empty() {
            json!({ "conditions": conditions })
        } else {
            json!({ "node": self.node, "conditions": conditions })
        }
    }
}

impl Condition {
    fn to_json(&self, time: &str) -> Value {
        json!({
            "type": self.kind, "status": self.status, "reason": self.reason, "message": self.message,
            "lastTransitionTime": time,
        })
    }
}

/// A `CloudPrivateIPConfig`: an address that a cloud should put on a node. Its name is the address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudPrivateIpConfig {
    /// The name, see [`cpic_name`](crate::cpic_name).
    pub name: String,
    /// The version.
    pub resource_version: u64,
    /// The `EgressIP` it was made for, if its annotation says so.
    pub owner: Option<String>,
    /// The node that should have the address.
    pub node: String,
    /// What the cloud controller says.
    pub status: CpicStatus,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// What keeps it until it may go.
    pub finalizers: Vec<String>,
}

impl CloudPrivateIpConfig {
    /// Reads an object of the API. There is none without a name.
    pub fn from_json(object: &Value) -> Option<Self> {
        Some(Self {
            name: name(object)?,
            resource_version: resource_version(object),
            owner: texts_by_name(object.pointer("/metadata/annotations")).remove(OWNER),
            node: object.pointer("/spec/node").and_then(Value::as_str).unwrap_or_default().to_owned(),
            status: CpicStatus {
                node: object.pointer("/status/node").and_then(Value::as_str).unwrap_or_default().to_owned(),
                conditions: items(object.pointer("/status/conditions")).map(condition).collect(),
            },
            deleting: object.pointer("/metadata/deletionTimestamp").is_some_and(Value::is_string),
            finalizers: texts(object.pointer("/metadata/finalizers")),
        })
    }

    /// The object as it is created: name, owner and node.
    pub fn to_json(&self) -> Value {
        let mut annotations = serde_json::Map::new();
        if let Some(owner) = &self.owner {
            annotations.insert(OWNER.to_owned(), json!(owner));
        }
        json!({
            "apiVersion": "cloud.network.openshift.io/v1", "kind": "CloudPrivateIPConfig",
            "metadata": { "name": self.name, "annotations": annotations },
            "spec": { "node": self.node },
        })
    }
}

fn condition(value: &Value) -> Condition {
    Condition {
        kind: text(value, "type"),
        status: text(value, "status"),
        reason: text(value, "reason"),
        message: text(value, "message"),
    }
}

fn status_item(value: &Value) -> Option<StatusItem> {
    Some(StatusItem {
        node: value.get("node")?.as_str()?.to_owned(),
        egress_ip: value.get("egressIP")?.as_str()?.to_owned(),
    })
}

fn name(object: &Value) -> Option<String> {
    object.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned)
}

fn resource_version(object: &Value) -> u64 {
    let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn text(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(crate) fn texts(value: Option<&Value>) -> Vec<String> {
    items(value).filter_map(Value::as_str).map(str::to_owned).collect()
}

pub(crate) fn texts_by_name(value: Option<&Value>) -> BTreeMap<String, String> {
    let fields = value.and_then(Value::as_object).into_iter().flatten();
    fields.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}
