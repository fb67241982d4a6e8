//! Nodes that are relabelled, cordoned, deselected, incomplete, new.

use expect_test::expect;
use serde_json::json;

use super::{Stage, two_zones};
use crate::harness::{
    Cluster, HostSubnetState, Operator, ZONE_LABEL, host_subnet, infrastructure, namespace, node, pool, reads,
};

const WORKER_LABEL: &str = "node-role.kubernetes.io/worker";

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_no_longer_selected_loses_its_addresses() {
    let mut stage = Stage::with_a_spare_node().await;
    stage.cluster.label("Node", "worker-a0", WORKER_LABEL, None).await;
    stage.cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a1, 10.21.0.2 on worker-b0"]).await;
    expect!["patch hostsubnets: 2\n"].assert_eq(&stage.written().await);
    expect![[r"
        HostSubnet worker-a0: 10.20.0.2 -> -
        HostSubnet worker-a1: - -> 10.20.0.2
    "]]
    .assert_eq(&stage.history.transcript().await);

    // The same by the pool's selector.
    stage.again().await;
    for name in ["worker-a0", "worker-b0"] {
        stage.cluster.label("Node", name, "egress", Some("yes")).await;
    }
    let selector = json!({ "spec": { "nodeSelector": { "matchLabels": { "egress": "yes", WORKER_LABEL: null } } } });
    stage.cluster.patch("EgressIPAM", "egress", &selector).await;
    stage.cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0"]).await;
    expect!["patch hostsubnets: 2\n"].assert_eq(&stage.written().await);
    expect![[r"
        HostSubnet worker-a1: 10.20.0.2 -> -
        HostSubnet worker-a0: - -> 10.20.0.2
    "]]
    .assert_eq(&stage.history.transcript().await);
    stage.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_in_another_zone_carries_that_zones_addresses() {
    let stage = Stage::with_a_spare_node().await;
    stage.cluster.label("Node", "worker-a0", ZONE_LABEL, Some("zone-b")).await;
    stage.cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a1, 10.21.0.2 on worker-b0"]).await;
    expect!["patch hostsubnets: 2\n"].assert_eq(&stage.written().await);
    expect![[r"
        HostSubnet worker-a0: 10.20.0.2 -> -
        HostSubnet worker-a1: - -> 10.20.0.2
    "]]
    .assert_eq(&stage.history.transcript().await);
    stage.cluster.create([namespace("billing").in_pool("egress")]).await;
    stage
        .cluster
        .becomes(expect![[r"
            billing: egress, 10.20.0.3 on worker-a1, 10.21.0.3 on worker-a0
            shop: egress, 10.20.0.2 on worker-a1, 10.21.0.2 on worker-b0
        "]])
        .await;
    reads(
        expect![[r"
            served 2 of 2, held 0
            zone-a 10.20.0.0/24: 2 of 253 used, 1 of 1 nodes healthy
            zone-b 10.21.0.0/24: 2 of 253 used, 2 of 2 nodes healthy
            Ready=True Served: 2 namespaces served
            Degraded=False AsExpected:
        "]],
        || stage.cluster.status("egress"),
    )
    .await;
    stage.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_zone_carries_nothing() {
    let stage = Stage::with_a_spare_node().await;
    stage.cluster.label("Node", "worker-a0", ZONE_LABEL, None).await;
    stage.cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a1, 10.21.0.2 on worker-b0"]).await;
    expect!["patch hostsubnets: 2\n"].assert_eq(&stage.written().await);
    stage.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cordoned_node_keeps_what_it_has_and_gets_nothing_new() {
    let mut stage = Stage::with_a_spare_node().await;
    let cluster = stage.cluster.clone();
    cluster.set_cordoned("worker-a0", true).await;
    cluster.zone_has("egress", "zone-a", 2, 1).await;
    expect![""].assert_eq(&stage.written().await);
    // The first would go to the empty node anyway, the second would not.
    for name in ["billing", "catalog"] {
        cluster.create([namespace(name).in_pool("egress")]).await;
    }
    reads(expect!["worker-a0: 10.20.0.2\nworker-a1: 10.20.0.3 10.20.0.4"], || zone_a(&cluster)).await;

    // Cordoned, too: nobody new is served there, and nobody loses anything.
    stage.again().await;
    cluster.set_cordoned("worker-a1", true).await;
    cluster.zone_has("egress", "zone-a", 2, 0).await;
    cluster.create([namespace("late").in_pool("egress")]).await;
    reads(
        expect!["late: no-node: all nodes that may carry it are cordoned: worker-a0, worker-a1 (zone zone-a)"],
        || cluster.holds(),
    )
    .await;
    reads(expect!["worker-a0: 10.20.0.2\nworker-a1: 10.20.0.3 10.20.0.4"], || zone_a(&cluster)).await;

    cluster.set_cordoned("worker-a0", false).await;
    reads(expect!["worker-a0: 10.20.0.2 10.20.0.5\nworker-a1: 10.20.0.3 10.20.0.4"], || zone_a(&cluster)).await;
    reads(expect![""], || cluster.holds()).await;
    stage.ends_well().await;
}

/// What the nodes of zone a carry, sorted.
async fn zone_a(cluster: &Cluster) -> String {
    let outcome = cluster.outcome().await;
    let in_zone = outcome.host_subnets.into_iter().filter(|(name, _)| name.starts_with("worker-a"));
    let line = |(name, mut state): (String, HostSubnetState)| {
        state.carried.sort_unstable();
        format!("{name}: {}", state.carried.join(" "))
    };
    in_zone.map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_host_subnet_is_left_out_and_stops_nobody() {
    let cluster = Cluster::start().await;
    cluster.openshift().switch(|switches| switches.without.extend(["worker-a1".into(), "master-0".into()]));
    cluster
        .create(two_zones().into_iter().chain([
            node("worker-a1").zone("zone-a"),
            node("master-0"),
            namespace("billing").in_pool("egress"),
            namespace("shop").in_pool("egress"),
        ]))
        .await;
    for name in ["billing", "shop"] {
        cluster.is_there("NetNamespace", name).await;
    }
    for name in ["worker-a0", "worker-b0"] {
        cluster.is_there("HostSubnet", name).await;
    }
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    cluster.settled().await;
    assert!(cluster.get("HostSubnet", "worker-a1").await.is_none(), "it is not Sluice's to make");
    // It comes late; then the node takes part like any other.
    cluster.create([host_subnet("worker-a1")]).await;
    cluster.zone_has("egress", "zone-a", 2, 2).await;
    cluster.create([namespace("late").in_pool("egress")]).await;
    cluster
        .becomes(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            late: egress, 10.20.0.4 on worker-a1, 10.21.0.4 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_moves_nobody_and_takes_what_comes() {
    let mut stage = Stage::with_spare_nodes(&[]).await;
    let cluster = stage.cluster.clone();
    for name in ["billing", "catalog"] {
        cluster.create([namespace(name).in_pool("egress")]).await;
        cluster.is_there("NetNamespace", name).await;
    }
    reads(expect!["worker-a0: 10.20.0.2 10.20.0.3 10.20.0.4"], || zone_a(&cluster)).await;
    stage.again().await;
    cluster.create([node("worker-a1").zone("zone-a")]).await;
    cluster.zone_has("egress", "zone-a", 2, 2).await;
    expect![""].assert_eq(&stage.written().await);
    for name in ["new-1", "new-2", "new-3"] {
        cluster.create([namespace(name).in_pool("egress")]).await;
    }
    reads(expect!["worker-a0: 10.20.0.2 10.20.0.3 10.20.0.4\nworker-a1: 10.20.0.5 10.20.0.6 10.20.0.7"], || {
        zone_a(&cluster)
    })
    .await;
    stage.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_nodes_waits_for_one() {
    let cluster = Cluster::start().await;
    let egress = pool("egress").range("zone-a", "10.20.0.0/24").range("zone-b", "10.21.0.0/24");
    cluster.create([infrastructure("BareMetal"), egress, namespace("shop").in_pool("egress")]).await;
    cluster.companions_are_there().await;
    let _operator = Operator::start(&cluster).await;
    reads(expect!["shop: no-node: there is no node (zone zone-a); no-node: there is no node (zone zone-b)"], || {
        cluster.holds()
    })
    .await;
    cluster.becomes(expect!["shop: egress"]).await;
    reads(
        expect![[r#"
            served 0 of 1, held 1
            zone-a 10.20.0.0/24: 0 of 253 used, 0 of 0 nodes healthy
            zone-b 10.21.0.0/24: 0 of 253 used, 0 of 0 nodes healthy
            Ready=False Held: 1 of 1 namespaces wait, see their annotation sluice.dev/hold
            Degraded=True ZoneWithoutNode: zone zone-a (10.20.0.0/24) has no healthy node, of 0; zone zone-b (10.21.0.0/24) has no healthy node, of 0; shop is held in zone zone-a: no-node: there is no node; shop is held in zone zone-b: no-node: there is no node"#]],
        || cluster.status("egress"),
    )
    .await;
    cluster.settled().await;
    cluster.create([node("worker-b0").zone("zone-b")]).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on no node, 10.21.0.2 on worker-b0"]).await;
    reads(expect![[r#"shop: no-node: no selected node has topology.kubernetes.io/zone=zone-a; those that have the label say "zone-b" (zone zone-a)"#]], || cluster.holds()).await;
    cluster.create([node("worker-a0").zone("zone-a")]).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0"]).await;
    reads(expect![""], || cluster.holds()).await;
    cluster.assert_sound().await;
}
