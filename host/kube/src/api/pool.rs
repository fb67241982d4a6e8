//! `EgressIPAM`: where addresses come from.
//!
//! Field for field the type of redhat-cop/egressip-ipam-operator; our own fields are optional additions.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::EgressIPAMStatus;

/// Dotted quad and prefix length; host bits may be set. The pattern is the one of the operator Sluice replaces.
const CIDR_PATTERN: &str = r"^(([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])\.){3}([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])(\/(3[0-2]|[1-2][0-9]|[0-9]))$";

/// What a pool asks for.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "redhatcop.redhat.io",
    version = "v1alpha1",
    kind = "EgressIPAM",
    plural = "egressipams",
    singular = "egressipam",
    shortname = "eipam",
    status = "EgressIPAMStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "EgressIPAM is a pool of egress addresses: where they come from and which nodes may carry them."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.cidr) || !has(self.cidrAssignments) || size(self.cidrAssignments) == 0",
    "message": "cidr and cidrAssignments exclude each other",
}]))]
pub struct EgressIPAMSpec {
    /// Ranges of addresses, one zone each. A namespace gets one address from each entry, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["CIDR"]))]
    pub cidr_assignments: Vec<CidrAssignment>,

    /// One range for all zones together: any of its addresses may serve any zone. Excludes cidrAssignments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = CIDR_PATTERN))]
    pub cidr: Option<String>,

    /// Addresses of cidr that are never handed out.
    #[serde(default, rename = "reservedIPs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub reserved_ips: Vec<String>,

    /// Key of the node label whose value names a node's zone.
    pub topology_label: String,

    /// Which nodes may carry addresses; empty: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<NodeSelector>,

    /// Whether addresses of a zone without healthy nodes may sit on nodes of the pool's other zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_failover: Option<ZoneFailover>,

    /// How many healthy nodes of each zone, beside those in use, are labelled for OVN-Kubernetes, so that it can fail over at
    /// once. By default 1. Means nothing on OpenShift SDN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub standby_nodes_per_zone: Option<u32>,
}

/// A range of addresses and the nodes that may carry them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CidrAssignment {
    /// The range. Its addresses must be routable when attached to the nodes of the zone.
    #[serde(rename = "CIDR")]
    #[schemars(extend("pattern" = CIDR_PATTERN))]
    pub cidr: String,

    /// Value of the topology label on the nodes that carry addresses of this range.
    pub label_value: String,

    /// Addresses of the range that are never handed out.
    #[serde(default, rename = "reservedIPs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub reserved_ips: Vec<String>,
}

/// A selection of nodes by label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic", "x-kubernetes-preserve-unknown-fields" = true))]
pub struct NodeSelector {
    /// Labels and the values they must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,

    /// Conditions on labels; all must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<NodeSelectorRequirement>,
}

/// A condition on a label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelectorRequirement {
    /// Key of the label.
    pub key: String,

    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,

    /// Values for `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// Where addresses of a zone without healthy nodes may go. Same (the default): nowhere. Any: to the pool's other zones,
/// which needs a network that routes every address to every zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ZoneFailover {
    /// Nowhere: they wait for a node of their zone.
    #[default]
    Same,
    /// To any zone of the pool.
    Any,
}
