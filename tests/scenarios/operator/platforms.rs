//! Where addresses need a cloud that there is no provider for, everything is planned and nothing is written.

use serde_json::{Value, json};

use super::{becomes, condition, is_served, serves, two_zones};
use crate::harness::{Cluster, Object, Operator, infrastructure, namespace};

/// Two zones on a platform, and a namespace that wants addresses.
fn on(platform: Option<Object>) -> Vec<Object> {
    let others = two_zones().into_iter().filter(|object| object.kind() != "Infrastructure");
    others.chain(platform).chain([namespace("shop").in_pool("egress")]).collect()
}

/// As older clusters say it.
fn old_style(platform: &str) -> Object {
    infrastructure(platform).set("status.platformStatus", Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn clouds_without_a_provider_are_left_alone() {
    let cluster = Cluster::start().await;
    let platforms = ["Azure", "AWS", "GCP"];
    let objects = platforms.map(|name| (Some(infrastructure(name)), name));
    let old = (Some(old_style("Azure")), "Azure");
    for (platform, why) in objects.into_iter().chain([old, (None, "Infrastructure/cluster")]) {
        cluster.reset().await;
        cluster.create(on(platform)).await;
        cluster.is_there("NetNamespace", "shop").await;
        for node in ["worker-a0", "worker-a1", "worker-b0", "worker-b1"] {
            cluster.is_there("HostSubnet", node).await;
        }
        let before = cluster.outcome().await;
        let mark = cluster.audit().mark().await;
        let operator = Operator::start(&cluster).await;
        becomes(&cluster, "egress", "Ready", "False", why).await;
        cluster.settled().await;
        let written = cluster.written_since(mark).await.except(&["egressipams/status"]);
        assert_eq!(written.to_string(), "", "{why}");
        assert_eq!(cluster.outcome().await, before, "{why}");
        assert!(operator.metric_sum("sluice_rounds_total").await > 0.0, "it plans all the same");
        let of_success = condition(&cluster, "egress", "ReconcileSuccess").await;
        assert!(of_success.starts_with("True"), "planning did not fail: {of_success}");
        operator.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_without_a_cloud_are_served() {
    let cluster = Cluster::start().await;
    let names = ["BareMetal", "VSphere", "None", "oVirt", "OpenStack"];
    for platform in names.map(infrastructure).into_iter().chain(["BareMetal", "None"].map(old_style)) {
        cluster.reset().await;
        cluster.create(on(Some(platform))).await;
        let operator = Operator::start(&cluster).await;
        is_served(&cluster, "shop").await;
        becomes(&cluster, "egress", "Ready", "True", "1 namespaces served").await;
        operator.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_is_told_later_is_served_from_then_on() {
    let cluster = Cluster::start().await;
    cluster.create(on(None)).await;
    let _operator = Operator::start(&cluster).await;
    becomes(&cluster, "egress", "Ready", "False", "Infrastructure/cluster").await;
    cluster.create([infrastructure("BareMetal")]).await;
    is_served(&cluster, "shop").await;
    becomes(&cluster, "egress", "Ready", "True", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_infrastructure_object_means_nothing() {
    let cluster = Cluster::start().await;
    cluster.create(on(Some(infrastructure("BareMetal")))).await;
    let other = infrastructure("Azure").set("metadata.name", "other");
    cluster.create([other]).await;
    let _operator = Operator::start(&cluster).await;
    is_served(&cluster, "shop").await;
    cluster.patch("Infrastructure", "other", &json!({ "metadata": { "labels": { "changed": "yes" } } })).await;
    serves(&cluster, "billing").await;
}
