//! Defects 6, 7, 8 and 15: what goes unnoticed, who keeps what is placed elsewhere, and who undoes whose work.

use std::time::Duration;

use expect_test::expect;
use serde_json::json;

use super::{
    add, at_rest, carrier, cluster_with, is_served, one_zone, served, two_zones, until_outcome, used_nodes, with_nodes,
};
use crate::harness::{
    Cluster, History, Matcher, Operator, Outcome, POOL_ANNOTATION, Proxy, Rule, SOON, ZONE_LABEL, eventually,
    host_subnet, infrastructure, namespace, net_namespace, node, pool,
};

/// Defect 6: a change of a node's labels goes unnoticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_label_change_is_noticed() {
    let cluster = cluster_with(two_zones(&["worker-a0"])).await;
    add(&cluster, [node("worker-x"), namespace("shop").in_pool("egress")]).await;
    let _operator = Operator::start(&cluster).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on no node"]).await;
    cluster.label("Node", "worker-x", ZONE_LABEL, Some("zone-b")).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-x"]).await;
    cluster.assert_sound().await;
}

/// Defect 6: the deletion of a Ready node goes unnoticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_deletion_is_noticed() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-a1", "worker-b0"])).await;
    add(&cluster, [namespace("shop").in_pool("egress")]).await;
    let _operator = Operator::start(&cluster).await;
    let outcome = served(&cluster, &["shop"], 2).await;
    let gone = carrier(&outcome, "10.20.0.2");
    cluster.delete("Node", &gone).await;
    let outcome = served_elsewhere(&cluster, &gone).await;
    assert_eq!(outcome.addresses_of("shop"), ["10.20.0.2", "10.21.0.2"]);
}

async fn served_elsewhere(cluster: &Cluster, gone: &str) -> Outcome {
    until_outcome(cluster, "its address is on the other node", |outcome| {
        let left = outcome.host_subnets.get(gone).is_none_or(|subnet| subnet.carried.is_empty());
        left && is_served(outcome, "shop", 2) && outcome.faults().is_empty()
    })
    .await
}

/// Defect 6: an opt-out by the one annotation alone leaves the addresses on their nodes.
#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_alone_is_noticed() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-b0"])).await;
    add(&cluster, [namespace("shop").in_pool("egress")]).await;
    let _operator = Operator::start(&cluster).await;
    served(&cluster, &["shop"], 2).await;
    cluster.opt_in("shop", None).await;
    cluster.becomes(expect!["shop: -"]).await;
    assert_eq!(used_nodes(&cluster).await, [""; 0]);
}

/// Defect 6: a switch from one pool to another goes unnoticed, and later stops all namespaces of the new pool.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_to_another_pool_is_noticed() {
    let cluster = two_pools().await;
    add(&cluster, [namespace("shop").in_pool("gold"), namespace("till").in_pool("silver")]).await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            shop: gold, 10.20.0.2 on worker-a0
            till: silver, 10.30.0.2 on worker-a0
        "]])
        .await;
    cluster.opt_in("shop", Some("silver")).await;
    cluster
        .becomes(expect![[r"
            shop: silver, 10.30.0.3 on worker-a0
            till: silver, 10.30.0.2 on worker-a0
        "]])
        .await;
    add(&cluster, [namespace("wharf").in_pool("silver")]).await;
    cluster
        .becomes(expect![[r"
            shop: silver, 10.30.0.3 on worker-a0
            till: silver, 10.30.0.2 on worker-a0
            wharf: silver, 10.30.0.4 on worker-a0
        "]])
        .await;
    cluster.assert_sound().await;
}

/// Two pools that share one node.
async fn two_pools() -> Cluster {
    let pools = [pool("gold").range("zone-a", "10.20.0.0/24"), pool("silver").range("zone-a", "10.30.0.0/24")];
    let objects = pools.into_iter().chain([infrastructure("BareMetal")]).collect();
    cluster_with(with_nodes(objects, &["worker-a0"])).await
}

/// Defect 6: an edited annotation goes unnoticed; only whether there is one makes a difference.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_edit_is_noticed() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-b0"])).await;
    add(&cluster, [namespace("shop").in_pool("egress")]).await;
    let _operator = Operator::start(&cluster).await;
    served(&cluster, &["shop"], 2).await;
    cluster.request("shop", Some("10.20.0.77,10.21.0.77")).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.77 on worker-a0, 10.21.0.77 on worker-b0"]).await;
    cluster.assert_sound().await;
}

/// Defect 6: what somebody else changes on a HostSubnet is never repaired.
#[tokio::test(flavor = "multi_thread")]
async fn drift_is_repaired() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-b0"])).await;
    add(&cluster, [namespace("shop").in_pool("egress")]).await;
    let _operator = Operator::start(&cluster).await;
    let served = || cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0"]);
    served().await;
    cluster.settled().await;
    let drifted = [
        ("HostSubnet", "worker-a0", json!({ "egressIPs": [] })),
        ("HostSubnet", "worker-b0", json!({ "egressIPs": ["10.20.0.2"] })),
        ("HostSubnet", "worker-b0", json!({ "egressCIDRs": ["10.21.0.0/24"] })),
        ("NetNamespace", "shop", json!({ "egressIPs": ["10.21.0.2"] })),
    ];
    for (kind, name, drift) in drifted {
        let mark = cluster.audit().mark().await;
        cluster.patch(kind, name, &drift).await;
        served().await;
        cluster.settled().await;
        assert!(cluster.written_since(mark).await.count() > 0, "{kind} {name}: {drift} was not repaired by us");
        cluster.assert_sound().await;
    }
}

/// Defect 7: a deselected node keeps its addresses while they are placed elsewhere too, and success is reported.
#[tokio::test(flavor = "multi_thread")]
async fn a_deselected_node_does_not_keep_what_is_placed_elsewhere() {
    let cluster = Cluster::start().await;
    let egress = pool("egress").range("zone-a", "10.20.0.0/24").range("zone-b", "10.21.0.0/24");
    let gateway = |name: &str, zone: &str| node(name).zone(zone).label("gateway", "yes");
    add(
        &cluster,
        [
            infrastructure("BareMetal"),
            egress.selecting("gateway", "yes"),
            gateway("worker-a0", "zone-a"),
            gateway("worker-a1", "zone-a"),
            gateway("worker-b0", "zone-b"),
            namespace("shop").in_pool("egress"),
        ],
    )
    .await;
    let _operator = Operator::start(&cluster).await;
    let outcome = served(&cluster, &["shop"], 2).await;
    let history = History::start(&cluster).await;
    let deselected = carrier(&outcome, "10.20.0.2");
    cluster.label("Node", &deselected, "gateway", None).await;
    let outcome = served_elsewhere(&cluster, &deselected).await;
    assert_eq!(outcome.addresses_of("shop"), ["10.20.0.2", "10.21.0.2"]);
    assert_eq!(history.breaches().await, [""; 0]);
}

/// Defect 7: a node that is relabelled into another zone keeps addresses of a range it cannot route.
#[tokio::test(flavor = "multi_thread")]
async fn a_relabelled_node_does_not_keep_addresses_of_its_old_zone() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-a1", "worker-b0"])).await;
    add(&cluster, [namespace("shop").in_pool("egress")]).await;
    let _operator = Operator::start(&cluster).await;
    let outcome = served(&cluster, &["shop"], 2).await;
    let history = History::start(&cluster).await;
    let relabelled = carrier(&outcome, "10.20.0.2");
    cluster.label("Node", &relabelled, ZONE_LABEL, Some("zone-b")).await;
    let outcome = served_elsewhere(&cluster, &relabelled).await;
    assert_eq!(outcome.addresses_of("shop"), ["10.20.0.2", "10.21.0.2"]);
    assert_eq!(history.breaches().await, [""; 0]);
}

/// Defect 8: two pools that share nodes undo each other's work; and whatever others have put on a node is stripped,
/// wholesale when a pool is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn pools_that_share_nodes_do_not_undo_each_other() {
    let cluster = two_pools().await;
    let legacy = net_namespace("legacy").addresses(&["192.0.2.7"]);
    add(&cluster, [namespace("legacy"), legacy, host_subnet("worker-a0").addresses(&["192.0.2.7"])]).await;
    add(&cluster, [namespace("shop").in_pool("gold"), namespace("till").in_pool("silver")]).await;
    let _operator = at_rest(&cluster).await;
    cluster
        .becomes(expect![[r"
            legacy: 192.0.2.7 on worker-a0, not annotated
            shop: gold, 10.20.0.2 on worker-a0
            till: silver, 10.30.0.2 on worker-a0
        "]])
        .await;
    let mark = cluster.audit().mark().await;
    // Something happens that concerns neither pool's addresses.
    cluster.label("Node", "worker-a0", "example.com/rack", Some("r1")).await;
    cluster.settled().await;
    // The status of what came before may be up to a second late.
    assert_eq!(cluster.written_since(mark).await.except(&["egressipams/status"]).to_string(), "");

    cluster.delete("EgressIPAM", "gold").await;
    cluster.is_gone("EgressIPAM", "gold").await;
    cluster
        .becomes(expect![[r"
            legacy: 192.0.2.7 on worker-a0, not annotated
            shop: gold
            till: silver, 10.30.0.2 on worker-a0
            worker-a0: offers 10.30.0.0/24 192.0.2.7/32
        "]])
        .await;
}

/// Defect 15: who opts out and in again quickly has its new state wiped by the cleaning up of the old one.
#[tokio::test(flavor = "multi_thread")]
async fn stale_intent_does_not_wipe_a_quick_opt_in() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-b0"])).await;
    add(&cluster, [namespace("shop").in_pool("egress")]).await;
    let proxy = Proxy::start(&cluster).await;
    let _operator = Operator::launch(&cluster).through(&proxy).start().await;
    served(&cluster, &["shop"], 2).await;
    for delay in [0, 20, 100, 400] {
        proxy.clear();
        proxy.rule(Rule::delay(Matcher::changes(), Duration::from_millis(delay)));
        let before = proxy.asked(&Matcher::changes()).len();
        cluster.opt_in("shop", None).await;
        // The first time at once; then in the middle of the cleaning up.
        if delay > 0 {
            eventually("the cleaning up begins", SOON, || async {
                if proxy.asked(&Matcher::changes()).len() > before { Ok(()) } else { Err("no write") }
            })
            .await;
        }
        cluster
            .patch("Namespace", "shop", &json!({ "metadata": { "annotations": { POOL_ANNOTATION: "egress" } } }))
            .await;
        let outcome = served(&cluster, &["shop"], 2).await;
        assert_eq!(outcome.namespaces["shop"].pool.as_deref(), Some("egress"));
    }
}

/// Defect 6, in a pool whose addresses the network places: a label change is noticed there as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_label_change_is_noticed_where_the_network_places() {
    let cluster = cluster_with(one_zone("10.20.0.0/24", &["worker-a0"])).await;
    add(&cluster, [node("worker-x"), namespace("shop").in_pool("egress")]).await;
    let _operator = at_rest(&cluster).await;
    cluster.label("Node", "worker-x", ZONE_LABEL, Some("zone-a")).await;
    cluster.label("Node", "worker-a0", ZONE_LABEL, None).await;
    cluster
        .becomes(expect![[r"
            shop: egress, 10.20.0.2 on worker-x
            worker-x: offers 10.20.0.0/24
        "]])
        .await;
}
