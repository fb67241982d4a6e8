//! Defects 13 and 16: pools that cannot be deleted, conditions that stay, metrics that are wrong.

use expect_test::expect;
use serde_json::json;

use super::{add, at_rest, cluster_with, one_zone, reconciles, served, two_zones, used_nodes};
use crate::harness::{Operator, SOON, eventually, namespace};

/// Defect 13: the deletion of a pool is stuck as long as its spec is invalid.
#[tokio::test(flavor = "multi_thread")]
async fn deletion_is_not_stuck_on_an_invalid_spec() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-b0"])).await;
    add(&cluster, [namespace("shop").in_pool("egress")]).await;
    let _operator = Operator::start(&cluster).await;
    served(&cluster, &["shop"], 2).await;
    cluster.patch("EgressIPAM", "egress", &json!({ "spec": { "cidrAssignments": invalid() } })).await;
    reconciles(&cluster, "egress", false).await;
    // An invalid spec takes nothing away.
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0"]).await;
    cluster.delete("EgressIPAM", "egress").await;
    cluster.is_gone("EgressIPAM", "egress").await;
    cluster.becomes(expect!["shop: egress"]).await;
    assert_eq!(used_nodes(&cluster).await, [""; 0]);
}

/// The ranges of [`two_zones`], with a reserved address that is none.
fn invalid() -> serde_json::Value {
    json!([
        { "labelValue": "zone-a", "CIDR": "10.20.0.0/24", "reservedIPs": ["10.20.0"] },
        { "labelValue": "zone-b", "CIDR": "10.21.0.0/24" },
    ])
}

/// Defect 13: the deletion of a pool is stuck as long as one of its namespaces has no NetNamespace.
#[tokio::test(flavor = "multi_thread")]
async fn deletion_is_not_stuck_on_a_missing_netnamespace() {
    let cluster = cluster_with(one_zone("10.20.0.0/24", &["worker-a0"])).await;
    add(&cluster, ["lost", "shop"].map(|name| namespace(name).in_pool("egress"))).await;
    let _operator = Operator::start(&cluster).await;
    served(&cluster, &["lost", "shop"], 1).await;
    cluster.delete("NetNamespace", "lost").await;
    cluster.delete("EgressIPAM", "egress").await;
    cluster.is_gone("EgressIPAM", "egress").await;
    cluster
        .becomes(expect![[r"
            lost: egress, no NetNamespace
            shop: egress
        "]])
        .await;
    assert_eq!(used_nodes(&cluster).await, [""; 0]);
}

/// Defect 13: after an error both conditions are True, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn the_error_condition_is_cleared() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-b0"])).await;
    let _operator = Operator::start(&cluster).await;
    reconciles(&cluster, "egress", true).await;
    cluster.patch("EgressIPAM", "egress", &json!({ "spec": { "cidrAssignments": invalid() } })).await;
    reconciles(&cluster, "egress", false).await;
    let mut valid = invalid();
    valid[0]["reservedIPs"] = json!(["10.20.0.5"]);
    cluster.patch("EgressIPAM", "egress", &json!({ "spec": { "cidrAssignments": valid } })).await;
    reconciles(&cluster, "egress", true).await;
}

/// Defect 13: a capacity of 0, which fires both alerts, and series of nodes that are long gone.
#[tokio::test(flavor = "multi_thread")]
async fn series_go_with_their_node_and_capacity_is_never_zero() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-b0", "worker-b1"])).await;
    add(&cluster, [namespace("shop").in_pool("egress")]).await;
    let operator = at_rest(&cluster).await;
    let series = |metric: &str, node: &str| format!(r#"{metric}{{egressipam="egress",node="{node}"}}"#);
    for node in ["worker-a0", "worker-b0", "worker-b1"] {
        let capacity = operator.metric(&series("egressip_ip_capacity", node)).await;
        assert_eq!(capacity, Some(4_294_967_295.0), "{node}");
    }
    assert_eq!(operator.metric(&series("egressip_ip_allocated", "worker-a0")).await, Some(2.0));
    cluster.delete("Node", "worker-b1").await;
    eventually("the series of worker-b1 are gone", SOON, || async {
        let (_, text) = operator.page("/metrics").await?;
        let left: Vec<&str> = text.lines().filter(|line| line.contains("worker-b1")).collect();
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    })
    .await;
    assert!(operator.metric(&series("egressip_ip_capacity", "worker-b0")).await.is_some());
}

/// Defect 16: with one range on bare metal the metrics tell a random plan, not where the network has placed the addresses.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_with_one_range_are_no_fiction() {
    let cluster = cluster_with(one_zone("10.20.0.0/24", &["worker-a0", "worker-a1", "worker-a2"])).await;
    add(&cluster, ["n1", "n2", "n3", "n4"].map(|name| namespace(name).in_pool("egress"))).await;
    let operator = at_rest(&cluster).await;
    served(&cluster, &["n1", "n2", "n3", "n4"], 1).await;
    cluster.set_ready("worker-a0", false).await;
    eventually("the metrics are what the HostSubnets say", SOON, || async {
        let outcome = cluster.outcome().await;
        let mut told = Vec::new();
        let mut seen = Vec::new();
        for (node, subnet) in &outcome.host_subnets {
            let series = format!(r#"egressip_ip_allocated{{egressipam="egress",node="{node}"}}"#);
            told.push(operator.metric(&series).await.map(|number| number.to_string()));
            // The node's own address counts.
            seen.push(Some((subnet.carried.len() + 1).to_string()));
        }
        let failed_over = outcome.unplaced().is_empty() && outcome.host_subnets["worker-a0"].carried.is_empty();
        if failed_over && told == seen { Ok(()) } else { Err(format!("told {told:?}, there is {seen:?}\n{outcome}")) }
    })
    .await;
}
