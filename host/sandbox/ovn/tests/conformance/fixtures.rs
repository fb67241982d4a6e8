//! Objects for tests, read from what an API server would send.

use serde_json::{Value, json};
use sluice_sandbox_ovn::{
    ASSIGNABLE, CLOUD_CONFIG, Capacity, CloudController, CloudPrivateIpConfig, CloudSettings, Condition, CpicStatus,
    EgressIp, HOST_CIDRS, Machine, Node, PRIMARY, SUBNETS, Settings, StatusItem, cpic_name,
};
use std::collections::{BTreeMap, BTreeSet};

/// A node that is ready and has no label. Its first address of each family is that of the primary interface.
pub(crate) fn node(name: &str, cidrs: &[&str]) -> Node {
    let first = |v6: bool| cidrs.iter().find(|cidr| cidr.contains(':') == v6).copied().unwrap_or_default();
    let object = json!({
        "metadata": {
            "name": name,
            "labels": { "kubernetes.io/hostname": name },
            "annotations": {
                PRIMARY: json!({ "ipv4": first(false), "ipv6": first(true) }).to_string(),
                SUBNETS: json!({ "default": ["10.128.0.0/24", "ae70::/64"] }).to_string(),
                HOST_CIDRS: json!(cidrs).to_string(),
            },
        },
        "status": { "conditions": [{ "type": "DiskPressure", "status": "False" }, { "type": "Ready", "status": "True" }] },
    });
    Node::from_json(&object).unwrap()
}

/// The same with the label.
pub(crate) fn carrier(name: &str, cidrs: &[&str]) -> Node {
    labelled(node(name, cidrs))
}

pub(crate) fn labelled(mut node: Node) -> Node {
    node.labels.insert(ASSIGNABLE.to_owned(), String::new());
    node
}

/// What a cloud says that a node can carry.
pub(crate) fn on_cloud(mut node: Node, config: &Value) -> Node {
    node.annotations.insert(CLOUD_CONFIG.to_owned(), config.to_string());
    node
}

pub(crate) fn label(node: &mut Node) {
    node.labels.insert(ASSIGNABLE.to_owned(), String::new());
}

pub(crate) fn unlabel(node: &mut Node) {
    node.labels.remove(ASSIGNABLE);
}

pub(crate) fn egress_ip(name: &str, addresses: &[&str]) -> EgressIp {
    let object = json!({
        "metadata": { "name": name, "annotations": { "mine": "kept?" } },
        "spec": { "egressIPs": addresses, "namespaceSelector": {} },
    });
    EgressIp::from_json(&object).unwrap()
}

/// One with status.
pub(crate) fn placed(name: &str, items: &[(&str, &str)]) -> EgressIp {
    let addresses: Vec<&str> = items.iter().map(|(address, _)| *address).collect();
    let mut placed = egress_ip(name, &addresses);
    placed.status = items.iter().map(|(address, node)| item(address, node)).collect();
    placed
}

pub(crate) fn item(address: &str, node: &str) -> StatusItem {
    StatusItem { node: node.to_owned(), egress_ip: address.to_owned() }
}

pub(crate) fn pairs(items: &[(&str, &str)]) -> Vec<(String, String)> {
    items.iter().map(|(address, node)| ((*address).to_owned(), (*node).to_owned())).collect()
}

pub(crate) fn condition(status: &str) -> Condition {
    Condition { kind: "Assigned".into(), status: status.into(), reason: "Test".into(), message: status.into() }
}

/// A `CloudPrivateIPConfig` that the cloud has carried out.
pub(crate) fn cpic(owner: &str, address: &str, node: &str) -> CloudPrivateIpConfig {
    CloudPrivateIpConfig {
        name: cpic_name(address),
        owner: Some(owner.to_owned()),
        node: node.to_owned(),
        status: CpicStatus { node: node.to_owned(), conditions: vec![condition("True")] },
        ..CloudPrivateIpConfig::default()
    }
}

pub(crate) fn bare_metal(seed: u64) -> Settings {
    Settings { seed, ..Settings::default() }
}

pub(crate) fn cloud(seed: u64) -> Settings {
    Settings { seed, cloud: true, ..Settings::default() }
}

/// A cloud whose machines allow some addresses each, and one second per operation.
pub(crate) fn machines(names: &[&str], limit: Option<i64>) -> CloudController {
    let machine = |name: &&str| {
        let machine = Machine {
            interface: format!("{name}-nic"),
            v4: Some("192.168.126.0/24".parse().unwrap()),
            v6: None,
            limit: Capacity { ip: limit, ..Capacity::default() },
            addresses: BTreeSet::new(),
        };
        ((*name).to_owned(), machine)
    };
    let machines: BTreeMap<String, Machine> = names.iter().map(machine).collect();
    CloudController::new(CloudSettings { assign_ms: 1_000, release_ms: 1_000, workers: 10 }, machines)
}

/// Carries out the two operations that the cluster manager's patches have, as an API server would.
pub(crate) fn apply(egress_ip: &mut EgressIp, patch: &Value) {
    for operation in patch.as_array().unwrap() {
        let value = &operation["value"];
        match (operation["op"].as_str().unwrap(), operation["path"].as_str().unwrap()) {
            ("add", "/metadata/annotations") => {
                let fields = value.as_object().unwrap().iter();
                egress_ip.annotations =
                    fields.map(|(key, value)| (key.clone(), value.as_str().unwrap().into())).collect();
            }
            ("replace", "/status") => {
                let items = value["items"].as_array().unwrap().iter();
                egress_ip.status = items
                    .map(|found| item(found["egressIP"].as_str().unwrap(), found["node"].as_str().unwrap()))
                    .collect();
            }
            other => panic!("an operation that was never seen: {other:?}"),
        }
    }
}
