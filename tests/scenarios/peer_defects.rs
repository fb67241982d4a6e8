//! Defects of redhat-cop/egressip-ipam-operator, each with what Sluice does instead.
//!
//! The numbers are those of a list of that operator's defects, ranked by harm. Two of them concern only clouds and have
//! no scenario here, and of two more only a part has:
//!
//! - 8: it strips secondary addresses of cloud NICs that others put there. Its part about pools that share nodes is here,
//!   and what it does to addresses of others on HostSubnets.
//! - 9: on Azure it writes network interfaces without a precondition, and crashes on nodes without a machine.
//! - 10: the Secret with cloud credentials is shown in log, event and status. Sluice reads no Secret at all.
//! - 14: on AWS, errors of the lookup of addresses in use are swallowed, and terminated machines crash it.
//! - 6 and 13 name an Azure annotation and a lookup of capacity on AWS, besides what is here.

use kube::ResourceExt;

use crate::harness::kinds::{annotation, strings};
use crate::harness::{Cluster, Object, Operator, Outcome, SOON, eventually, infrastructure, node, pool};

mod deletion;
mod events;
mod inputs;
mod order;
mod ranges;

const HOLD_ANNOTATION: &str = "sluice.dev/hold";

/// A cluster with these objects and what OpenShift adds to them.
async fn cluster_with(objects: impl IntoIterator<Item = Object>) -> Cluster {
    let cluster = Cluster::start().await;
    add(&cluster, objects).await;
    cluster
}

/// Creates objects and waits for what OpenShift adds to them.
async fn add(cluster: &Cluster, objects: impl IntoIterator<Item = Object>) {
    let objects: Vec<Object> = objects.into_iter().collect();
    cluster.create(objects.clone()).await;
    for object in objects {
        match object.kind() {
            "Namespace" => drop(cluster.is_there("NetNamespace", object.name()).await),
            "Node" => drop(cluster.is_there("HostSubnet", object.name()).await),
            _ => {}
        }
    }
}

/// Bare metal with a pool of two zones, and these nodes: the zone is in the name, as in `worker-a0`.
fn two_zones(nodes: &[&str]) -> Vec<Object> {
    let egress = pool("egress").range("zone-a", "10.20.0.0/24").range("zone-b", "10.21.0.0/24");
    with_nodes(vec![infrastructure("BareMetal"), egress], nodes)
}

/// Bare metal with a pool of one zone, whose addresses the network places, and these nodes.
fn one_zone(range: &str, nodes: &[&str]) -> Vec<Object> {
    with_nodes(vec![infrastructure("BareMetal"), pool("egress").range("zone-a", range)], nodes)
}

fn with_nodes(mut objects: Vec<Object>, nodes: &[&str]) -> Vec<Object> {
    objects.extend(nodes.iter().map(|name| node(name).zone(zone_of(name))));
    objects
}

fn zone_of(node: &str) -> &'static str {
    if node.starts_with("worker-a") { "zone-a" } else { "zone-b" }
}

/// Waits until the outcome meets a condition, and everything is at rest.
async fn until_outcome(cluster: &Cluster, what: &str, meets: impl Fn(&Outcome) -> bool) -> Outcome {
    eventually(what, SOON, || async {
        let outcome = cluster.outcome().await;
        if meets(&outcome) { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
    cluster.settled().await;
    let outcome = cluster.outcome().await;
    assert!(meets(&outcome), "no longer: {what}\n{outcome}");
    outcome
}

/// Waits until these namespaces have so many addresses each, all of them on some node, and nothing is wrong.
async fn served(cluster: &Cluster, namespaces: &[&str], addresses: usize) -> Outcome {
    until_outcome(cluster, "served", |outcome| {
        namespaces.iter().all(|name| is_served(outcome, name, addresses)) && outcome.faults().is_empty()
    })
    .await
}

fn is_served(outcome: &Outcome, namespace: &str, addresses: usize) -> bool {
    let held = outcome.addresses_of(namespace);
    held.len() == addresses && held.iter().all(|address| outcome.nodes_of(address).len() == 1)
}

/// The node that carries an address.
fn carrier(outcome: &Outcome, address: &str) -> String {
    let nodes = outcome.nodes_of(address);
    assert_eq!(nodes.len(), 1, "{address} is on {nodes:?}");
    nodes[0].to_owned()
}

/// Waits until a namespace is told why it has to wait.
async fn is_held(cluster: &Cluster, namespace: &str, why: &str) {
    eventually(&format!("{namespace} is held"), SOON, || async {
        let hold = hold_of(cluster, namespace).await;
        if hold.as_deref() == Some(why) { Ok(()) } else { Err(format!("{hold:?}")) }
    })
    .await;
}

async fn hold_of(cluster: &Cluster, namespace: &str) -> Option<String> {
    let object = cluster.get("Namespace", namespace).await?;
    annotation(&object, HOLD_ANNOTATION).map(String::from)
}

/// Waits until a pool's conditions `ReconcileSuccess` and `ReconcileError` say this.
async fn reconciles(cluster: &Cluster, pool: &str, success: bool) {
    eventually("the conditions are right", SOON, || async {
        let object = cluster.get("EgressIPAM", pool).await.ok_or("no pool")?;
        let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let status = |kind: &str| {
            let found = conditions.iter().find(|condition| condition["type"] == kind);
            found.and_then(|condition| condition["status"].as_str()).unwrap_or("-").to_owned()
        };
        let now = (status("ReconcileSuccess"), status("ReconcileError"));
        let wanted = if success { ("True", "False") } else { ("False", "True") };
        if (now.0.as_str(), now.1.as_str()) == wanted { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
}

/// The nodes whose HostSubnet carries or offers anything.
async fn used_nodes(cluster: &Cluster) -> Vec<String> {
    let subnets = cluster.list("HostSubnet").await;
    let used = subnets
        .iter()
        .filter(|subnet| !strings(subnet, "egressIPs").is_empty() || !strings(subnet, "egressCIDRs").is_empty());
    used.map(ResourceExt::name_any).collect()
}

/// The operator, at work on a cluster and at rest.
async fn at_rest(cluster: &Cluster) -> Operator {
    let operator = Operator::start(cluster).await;
    cluster.settled().await;
    operator
}
