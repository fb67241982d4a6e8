//! OVN-Kubernetes: the real binary, a real API server, and the played cluster manager.

mod life;
mod plan;
mod take_over;

use std::fmt::Write as _;

use expect_test::Expect;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::harness::ovn::Ovn;
use crate::harness::{Cluster, Launch, Object, Operator, infrastructure, node, pool, reads};

/// What an `EgressIP` is called for a namespace.
fn object_of(namespace: &str) -> String {
    format!("egressip-{namespace}")
}

/// A node in a zone and in that zone's network.
fn in_network(name: &str, zone: &str, address: &str) -> Object {
    let annotation = json!({ "ipv4": format!("{address}/24") }).to_string();
    let hosts = json!([format!("{address}/24")]).to_string();
    let subnets = json!({ "default": ["10.128.0.0/24"] }).to_string();
    node(name)
        .zone(zone)
        .annotation("k8s.ovn.org/node-primary-ifaddr", &annotation)
        .annotation("k8s.ovn.org/host-cidrs", &hosts)
        .annotation("k8s.ovn.org/node-subnets", &subnets)
}

/// Two zones of two nodes, each zone with a network of its own.
fn two_zones() -> Vec<Object> {
    vec![
        infrastructure("BareMetal"),
        pool("egress").range("zone-a", "10.20.0.0/24").range("zone-b", "10.21.0.0/24"),
        in_network("worker-a0", "zone-a", "10.20.0.250"),
        in_network("worker-a1", "zone-a", "10.20.0.251"),
        in_network("worker-b0", "zone-b", "10.21.0.250"),
        in_network("worker-b1", "zone-b", "10.21.0.251"),
    ]
}

/// A cluster with [`two_zones`] and its cluster manager.
async fn cluster(seed: u64) -> (Cluster, Ovn) {
    let cluster = Cluster::start().await;
    let ovn = Ovn::start(&cluster, seed).await;
    cluster.create(two_zones()).await;
    (cluster, ovn)
}

/// How to start the operator: the API server knows both networks' kinds.
fn launch(cluster: &Cluster) -> Launch {
    Operator::launch(cluster).args(&["--network", "ovn"])
}

/// Which nodes have the label, and whose it is, and what each object says.
async fn state(cluster: &Cluster) -> String {
    let mut text = String::new();
    let labels: Vec<String> = cluster.list("Node").await.iter().filter_map(label).collect();
    writeln!(text, "labels: {}", labels.join(" ")).expect("a string takes all");
    for object in cluster.list("EgressIP").await {
        let listed = texts(&object.data["spec"]["egressIPs"]);
        let items = object.data["status"]["items"].as_array().cloned().unwrap_or_default();
        // Which of the zone's nodes it is, is left to chance.
        let zone = |node: &Value| node.as_str().unwrap_or_default().trim_end_matches(char::is_numeric).to_owned();
        let mut carried: Vec<String> = items
            .iter()
            .map(|item| format!("{}@{}", item["egressIP"].as_str().unwrap_or_default(), zone(&item["node"])))
            .collect();
        carried.sort();
        let ours: Vec<String> = object
            .labels()
            .iter()
            .filter(|(key, _)| key.contains("sluice.dev"))
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        writeln!(text, "{}: {} on {} ({})", object.name_any(), listed.join(","), carried.join(" "), ours.join(" "))
            .expect("a string takes all");
    }
    text
}

fn label(node: &DynamicObject) -> Option<String> {
    node.labels().get("k8s.ovn.org/egress-assignable")?;
    let is_ours = node.annotations().contains_key("sluice.dev/egress-assignable");
    Some(format!("{}{}", node.name_any(), if is_ours { "" } else { " (not ours)" }))
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Waits until the cluster is as expected.
async fn becomes(cluster: &Cluster, expected: Expect) {
    reads(expected, || state(cluster)).await;
}

/// An `EgressIP` that somebody made by hand.
fn by_hand(name: &str, selector: &Value, addresses: &[&str]) -> Object {
    Object::from_json(json!({
        "apiVersion": "k8s.ovn.org/v1",
        "kind": "EgressIP",
        "metadata": { "name": name },
        "spec": { "egressIPs": addresses, "namespaceSelector": selector },
    }))
}

/// The selector of one namespace.
fn of(namespace: &str) -> Value {
    json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace } })
}

/// A namespace's annotation about its addresses.
async fn told(cluster: &Cluster, namespace: &str, annotation: &str) -> String {
    let object = cluster.get("Namespace", namespace).await.expect("it is there");
    object.annotations().get(annotation).cloned().unwrap_or_default()
}
