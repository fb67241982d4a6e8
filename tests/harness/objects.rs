//! Objects for scenarios, built in a line each.

use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::bootstrap::OPERATOR_NAMESPACE;

/// Annotation by which a namespace opts in.
pub const POOL_ANNOTATION: &str = "egressip-ipam-operator.redhat-cop.io/egressipam";
/// Annotation with a namespace's addresses.
pub const ADDRESSES_ANNOTATION: &str = "egressip-ipam-operator.redhat-cop.io/egressips";
/// Finalizer on pools.
pub const FINALIZER: &str = "EgressIPAM_controller";
/// Name of the `ConfigMap` that redhat-cop's operator holds its leadership in.
pub const PEER_LOCK: &str = "9ae943bf.redhat.io";
/// The topology label of [`pool`]s and [`node`]s, unless a test says otherwise.
pub const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
const WORKER_LABEL: &str = "node-role.kubernetes.io/worker";

/// An object to be created. Methods for one kind panic on another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object(Value);

/// A pool without ranges over all workers, topology label [`ZONE_LABEL`].
pub fn pool(name: &str) -> Object {
    Object(json!({
        "apiVersion": "redhatcop.redhat.io/v1alpha1",
        "kind": "EgressIPAM",
        "metadata": { "name": name },
        "spec": {
            "cidrAssignments": [],
            "topologyLabel": ZONE_LABEL,
            "nodeSelector": { "matchLabels": { WORKER_LABEL: "" } },
        },
    }))
}

/// A Ready worker without a zone, with an address from 172.16.0.0/12 that follows from its name.
pub fn node(name: &str) -> Object {
    let address = address_of(name);
    Object(json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name, WORKER_LABEL: "" } },
        "spec": {},
        "status": {
            "addresses": [
                { "type": "InternalIP", "address": address },
                { "type": "Hostname", "address": name },
            ],
            "conditions": [ready_condition(true)],
        },
    }))
}

/// A namespace that has not opted in.
pub fn namespace(name: &str) -> Object {
    Object(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }))
}

/// What OpenShift's SDN keeps for a node. The stand-in makes these too; one made by hand wins.
pub fn host_subnet(node: &str) -> Object {
    Object(json!({
        "apiVersion": "network.openshift.io/v1",
        "kind": "HostSubnet",
        "metadata": { "name": node },
        "host": node,
        "hostIP": address_of(node),
        "subnet": format!("10.128.{}.0/24", hash(node) % 256),
    }))
}

/// No two namespaces have the same, or they would be one to the network.
static NEXT_NETWORK_ID: AtomicU32 = AtomicU32::new(1000);

/// What OpenShift's SDN keeps for a namespace. The stand-in makes these too; one made by hand wins.
pub fn net_namespace(namespace: &str) -> Object {
    Object(json!({
        "apiVersion": "network.openshift.io/v1",
        "kind": "NetNamespace",
        "metadata": { "name": namespace },
        "netname": namespace,
        "netid": NEXT_NETWORK_ID.fetch_add(1, Ordering::Relaxed),
    }))
}

/// The Infrastructure object `cluster` with a platform such as `BareMetal` or `Azure`.
pub fn infrastructure(platform: &str) -> Object {
    Object(json!({
        "apiVersion": "config.openshift.io/v1",
        "kind": "Infrastructure",
        "metadata": { "name": "cluster" },
        "spec": { "platformSpec": { "type": platform } },
        "status": {
            "apiServerInternalURI": "https://api-int.ocp1.example.com:6443",
            "apiServerURL": "https://api.ocp1.example.com:6443",
            "controlPlaneTopology": "HighlyAvailable",
            "etcdDiscoveryDomain": "",
            "infrastructureName": "ocp1-x7k2p",
            "infrastructureTopology": "HighlyAvailable",
            "platform": platform,
            "platformStatus": { "type": platform },
        },
    }))
}

/// redhat-cop's lock, held by an operator that renewed it at `renewed` for 15 s, in [`OPERATOR_NAMESPACE`].
pub fn peer_lock(renewed: Timestamp) -> Object {
    let record = json!({
        "holderIdentity": "egressip-ipam-operator-controller-manager-6d9fbd7c5b-ngq2c_1",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-01T00:00:00Z",
        "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "leaderTransitions": 0,
    });
    Object(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": PEER_LOCK,
            "namespace": OPERATOR_NAMESPACE,
            "annotations": { "control-plane.alpha.kubernetes.io/leader": record.to_string() },
        },
    }))
}

/// A Ready condition as the kubelet writes it.
pub fn ready_condition(ready: bool) -> Value {
    let (status, reason) = if ready { ("True", "KubeletReady") } else { ("False", "KubeletNotReady") };
    json!({ "type": "Ready", "status": status, "reason": reason, "message": "from the test" })
}

/// Methods for objects of every kind.
impl Object {
    /// Any object, as JSON.
    pub fn from_json(object: Value) -> Self {
        Self(object)
    }

    /// As JSON.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        self.0.get("kind").and_then(Value::as_str).expect("objects have a kind")
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.0.pointer("/metadata/name").and_then(Value::as_str).expect("objects have a name")
    }

    /// The namespace it is in.
    pub fn namespace(&self) -> Option<&str> {
        self.0.pointer("/metadata/namespace").and_then(Value::as_str)
    }

    /// With a label.
    pub fn label(self, key: &str, value: &str) -> Self {
        self.with_in("labels", key, value.into())
    }

    /// With an annotation.
    pub fn annotation(self, key: &str, value: &str) -> Self {
        self.with_in("annotations", key, value.into())
    }

    /// With a finalizer.
    pub fn finalizer(mut self, finalizer: &str) -> Self {
        let list = &mut self.0["metadata"]["finalizers"];
        match list.as_array_mut() {
            Some(list) => list.push(finalizer.into()),
            None => *list = json!([finalizer]),
        }
        self
    }

    /// With a creation time of its own. Only for [`Cluster::store`](super::Cluster::store): the API server would overwrite it.
    pub fn created(mut self, time: &str) -> Self {
        self.0["metadata"]["creationTimestamp"] = time.into();
        self
    }

    /// Already being deleted. Only for [`Cluster::store`](super::Cluster::store).
    pub fn deleted(mut self, time: &str) -> Self {
        self.0["metadata"]["deletionTimestamp"] = time.into();
        if self.kind() == "Namespace" {
            self.0["spec"]["finalizers"] = json!(["kubernetes"]);
            self.0["status"]["phase"] = "Terminating".into();
        } else {
            self.0["metadata"]["deletionGracePeriodSeconds"] = 0.into();
        }
        self
    }

    /// With any value at a path such as `spec.zoneFailover`; parents are made.
    pub fn set(mut self, path: &str, value: impl Into<Value>) -> Self {
        let place = path.split('.').fold(&mut self.0, |place, name| &mut place[name]);
        *place = value.into();
        self
    }

    fn with_in(mut self, map: &str, key: &str, value: Value) -> Self {
        self.0["metadata"][map][key] = value;
        self
    }

    fn must_be(&self, kind: &str) {
        assert_eq!(self.kind(), kind, "this method is for another kind");
    }
}

/// Methods for pools.
impl Object {
    /// One more range, for the nodes whose topology label has this value.
    pub fn range(self, zone: &str, cidr: &str) -> Self {
        self.range_reserving(zone, cidr, &[])
    }

    /// One more range with reserved addresses.
    pub fn range_reserving(mut self, zone: &str, cidr: &str, reserved: &[&str]) -> Self {
        self.must_be("EgressIPAM");
        let mut entry = json!({ "labelValue": zone, "CIDR": cidr });
        if !reserved.is_empty() {
            entry["reservedIPs"] = json!(reserved);
        }
        self.0["spec"]["cidrAssignments"].as_array_mut().expect("a list").push(entry);
        self
    }

    /// With another topology label.
    pub fn topology(self, key: &str) -> Self {
        self.must_be("EgressIPAM");
        self.set("spec.topologyLabel", key)
    }

    /// Selects the nodes with this label, instead of all workers.
    pub fn selecting(self, key: &str, value: &str) -> Self {
        self.must_be("EgressIPAM");
        self.set("spec.nodeSelector", json!({ "matchLabels": { key: value } }))
    }
}

/// Methods for nodes.
impl Object {
    /// In this zone.
    pub fn zone(self, zone: &str) -> Self {
        self.must_be("Node");
        self.label(ZONE_LABEL, zone)
    }

    /// With another internal address.
    pub fn address(self, address: &str) -> Self {
        self.must_be("Node");
        self.set("status.addresses", json!([{ "type": "InternalIP", "address": address }]))
    }

    /// Not Ready.
    pub fn not_ready(self) -> Self {
        self.must_be("Node");
        self.set("status.conditions", json!([ready_condition(false)]))
    }

    /// Cordoned.
    pub fn cordoned(self) -> Self {
        self.must_be("Node");
        self.set("spec.unschedulable", true)
    }
}

/// Methods for namespaces.
impl Object {
    /// Opted in to a pool.
    pub fn in_pool(self, pool: &str) -> Self {
        self.must_be("Namespace");
        self.annotation(POOL_ANNOTATION, pool)
    }

    /// With these addresses in its annotation.
    pub fn requesting(self, addresses: &str) -> Self {
        self.must_be("Namespace");
        self.annotation(ADDRESSES_ANNOTATION, addresses)
    }
}

/// Methods for HostSubnets and NetNamespaces.
impl Object {
    /// With these `egressIPs`.
    pub fn addresses(self, addresses: &[&str]) -> Self {
        assert!(matches!(self.kind(), "HostSubnet" | "NetNamespace"), "this method is for another kind");
        self.set("egressIPs", json!(addresses))
    }

    /// With these `egressCIDRs`.
    pub fn cidrs(self, cidrs: &[&str]) -> Self {
        self.must_be("HostSubnet");
        self.set("egressCIDRs", json!(cidrs))
    }
}

/// An address in 172.16.0.0/12 for a node, the same in every run.
fn address_of(node: &str) -> String {
    let host = hash(node) % (1 << 20);
    format!("172.{}.{}.{}", 16 + (host >> 16), (host >> 8) & 255, host & 255)
}

/// FNV-1a: the same number for a name in every run.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
