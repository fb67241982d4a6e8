//! The operator as a process: probes, metrics, status, rights, replicas, its end.

use serde_json::{Value, json};

use crate::harness::{Cluster, Object, eventually, infrastructure, namespace, node, pool};

mod admission;
mod broken;
mod manifests;
mod metrics;
mod platforms;
mod probes;
mod replicas;
mod rights;
mod scrape;
mod served;
mod status;
mod stopping;
mod watches;

/// A pool over two zones with two nodes each, on bare metal.
fn two_zones() -> Vec<Object> {
    vec![
        infrastructure("BareMetal"),
        pool("egress").range("zone-a", "10.20.0.0/24").range("zone-b", "10.21.0.0/24"),
        node("worker-a0").zone("zone-a"),
        node("worker-a1").zone("zone-a"),
        node("worker-b0").zone("zone-b"),
        node("worker-b1").zone("zone-b"),
    ]
}

/// Waits until a namespace holds as many addresses as there are zones, all carried, and says so.
async fn is_served(cluster: &Cluster, name: &str) {
    is_served_within(cluster, name, crate::harness::SOON).await;
}

async fn is_served_within(cluster: &Cluster, name: &str, deadline: std::time::Duration) {
    eventually(&format!("{name} is served"), deadline, || async {
        let outcome = cluster.outcome().await;
        let held = outcome.addresses_of(name);
        let is_carried = held.iter().all(|address| outcome.nodes_of(address).len() == 1);
        let annotated = outcome.namespaces.get(name).and_then(|state| state.annotated.clone());
        let is_served = !held.is_empty() && is_carried && annotated == Some(held.join(","));
        if is_served { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
}

/// Creates a namespace in the pool `egress` and waits until it is served.
async fn serves(cluster: &Cluster, name: &str) {
    cluster.create([namespace(name).in_pool("egress")]).await;
    is_served(cluster, name).await;
}

/// Creates a definition again that a scenario has deleted.
async fn define(cluster: &Cluster, definition: &str) {
    let path = crate::harness::bootstrap::fixtures().join("crds").join(definition);
    let definitions = crate::harness::bootstrap::documents(&path);
    cluster.create(definitions.into_iter().map(Object::from_json)).await;
}

async fn pool_status(cluster: &Cluster, name: &str) -> Value {
    cluster.get("EgressIPAM", name).await.expect("the pool is there").data["status"].clone()
}

/// `status` and `message` of a condition of a pool, as `True: text`; empty if it is not there.
async fn condition(cluster: &Cluster, pool: &str, kind: &str) -> String {
    let status = pool_status(cluster, pool).await;
    let found = status["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == kind);
    let text = |name: &str| found.and_then(|condition| condition[name].as_str()).unwrap_or_default().to_owned();
    if found.is_some() { format!("{}: {}", text("status"), text("message")) } else { String::new() }
}

/// Waits until a condition of a pool has this status and a message that contains this text.
async fn becomes(cluster: &Cluster, pool: &str, kind: &str, status: &str, message: &str) {
    eventually(&format!("{kind} of {pool} is {status}: {message}"), crate::harness::SOON, || async {
        let now = condition(cluster, pool, kind).await;
        let is_so = now.strip_prefix(&format!("{status}: ")).is_some_and(|text| text.contains(message));
        if is_so { Ok(()) } else { Err(json!(pool_status(cluster, pool).await).to_string()) }
    })
    .await;
}
