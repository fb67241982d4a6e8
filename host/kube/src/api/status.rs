//! The status of an `EgressIPAM`. Only the conditions are older than Sluice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of a pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EgressIPAMStatus {
    /// `ReconcileSuccess`, `ReconcileError`, `Ready`, `Degraded`, and whatever others put here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// How many namespaces have what they want.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owners: Option<OwnerCounts>,

    /// Addresses and nodes per zone, in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub zones: Vec<ZoneStatus>,

    /// The policy that planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyStatus>,

    /// The same facts as short texts, for kubectl's columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// One aspect of the state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// When `status` last changed.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,

    /// What is the matter, in words.
    #[schemars(length(max = 32768))]
    pub message: String,

    /// The generation of the spec that the condition speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,

    /// Why the condition is as it is, in one word.
    #[schemars(length(min = 1, max = 1024), extend("pattern" = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"))]
    pub reason: String,

    /// True, False or Unknown.
    #[schemars(extend("enum" = ["True", "False", "Unknown"]))]
    pub status: String,

    /// Which aspect.
    #[serde(rename = "type")]
    #[schemars(
        length(max = 316),
        extend("pattern" = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$")
    )]
    pub kind: String,
}

/// How many namespaces have what they want.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnerCounts {
    /// Namespaces that opted in.
    pub total: i64,
    /// Of these, with all their addresses.
    pub served: i64,
    /// Of these, waiting; their annotation sluice.dev/hold says why.
    pub held: i64,
    /// Of these, neither served nor held: something has yet to be done for them, was refused, or does not work.
    #[serde(default)]
    pub waiting: i64,
}

/// Addresses and nodes of one zone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZoneStatus {
    /// Value of the topology label.
    pub name: String,
    /// Where its addresses come from.
    pub range: String,
    /// Addresses that can be handed out, those in use included.
    pub size: i64,
    /// Addresses that namespaces hold.
    pub used: i64,
    /// Addresses that are left.
    pub free: i64,
    /// Nodes that may carry addresses of the zone.
    pub nodes: i64,
    /// Of these, healthy.
    pub healthy_nodes: i64,
}

/// The policy that planned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the component, `sha256:` and hexadecimal digits.
    pub digest: String,
}

/// Short texts for kubectl's columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Addresses in use, of those that can be handed out, such as `12/253`.
    pub used: String,
    /// Zones with a healthy node, of all, such as `2/3`.
    pub zones: String,
}
