//! Zones that fail as a whole.

use expect_test::expect;

use super::Stage;
use crate::harness::{Cluster, History, Operator, infrastructure, namespace, node, pool, reads};

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_a_failed_zone_stay_held_until_it_is_back() {
    let stage = Stage::with_a_spare_node().await;
    let cluster = stage.cluster.clone();
    // The empty node first, so that there is nowhere to go.
    cluster.set_ready("worker-a1", false).await;
    cluster.zone_has("egress", "zone-a", 2, 1).await;
    cluster.set_ready("worker-a0", false).await;
    reads(
        expect!["shop: no-node: all nodes that may carry it are not ready: worker-a0, worker-a1 (zone zone-a)"],
        || cluster.holds(),
    )
    .await;
    reads(
        expect![[r#"
            served 0 of 1, held 1
            zone-a 10.20.0.0/24: 1 of 253 used, 0 of 2 nodes healthy
            zone-b 10.21.0.0/24: 1 of 253 used, 1 of 1 nodes healthy
            Ready=False Held: 1 of 1 namespaces wait, see their annotation sluice.dev/hold
            Degraded=True ZoneWithoutNode: zone zone-a (10.20.0.0/24) has no healthy node, of 2; shop is held in zone zone-a: no-node: all nodes that may carry it are not ready: worker-a0, worker-a1"#]],
        || cluster.status("egress"),
    )
    .await;
    reads(
        expect!["Namespace shop: NoNode: zone zone-a: all nodes that may carry it are not ready: worker-a0, worker-a1"],
        || cluster.warnings(),
    )
    .await;
    expect!["patch namespaces: 1\n"].assert_eq(&stage.written().await);
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0"]).await;

    // The other zone goes on as if nothing had happened.
    cluster.create([node("worker-b1").zone("zone-b")]).await;
    cluster.zone_has("egress", "zone-b", 2, 2).await;
    cluster.set_ready("worker-b0", false).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b1"]).await;

    // The zone is back by its other node.
    cluster.set_ready("worker-a1", true).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a1, 10.21.0.2 on worker-b1"]).await;
    reads(expect![""], || cluster.holds()).await;
    cluster.settled().await;
    expect![[r"
        HostSubnet worker-b0: 10.21.0.2 -> -
        HostSubnet worker-b1: - -> 10.21.0.2
        HostSubnet worker-a0: 10.20.0.2 -> -
        HostSubnet worker-a1: - -> 10.20.0.2
    "]]
    .assert_eq(&stage.history.transcript().await);
    stage.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_is_back_as_it_was_has_nothing_written_but_the_hold() {
    let mut stage = Stage::with_spare_nodes(&[]).await;
    let cluster = stage.cluster.clone();
    cluster.set_ready("worker-a0", false).await;
    reads(expect!["shop: no-node: all nodes that may carry it are not ready: worker-a0 (zone zone-a)"], || {
        cluster.holds()
    })
    .await;
    stage.again().await;
    cluster.set_ready("worker-a0", true).await;
    reads(expect![""], || cluster.holds()).await;
    expect!["patch namespaces: 1\n"].assert_eq(&stage.written().await);
    expect![""].assert_eq(&stage.history.transcript().await);
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0"]).await;
    stage.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_survive_the_deletion_of_all_nodes_of_a_zone() {
    let stage = Stage::with_spare_nodes(&[]).await;
    let cluster = stage.cluster.clone();
    cluster.delete("Node", "worker-a0").await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on no node, 10.21.0.2 on worker-b0"]).await;
    reads(expect![[r#"shop: no-node: no selected node has topology.kubernetes.io/zone=zone-a; those that have the label say "zone-b" (zone zone-a)"#]], || cluster.holds()).await;
    cluster.settled().await;
    cluster.create([node("worker-a7").zone("zone-a")]).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a7, 10.21.0.2 on worker-b0"]).await;
    reads(expect![""], || cluster.holds()).await;
    let steps = stage.history.steps().await;
    assert!(steps.iter().all(|step| step.kind == "HostSubnet"), "nobody's addresses changed: {steps:?}");
    stage.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_a_zone_is_down_is_served_by_the_others() {
    let stage = Stage::with_spare_nodes(&[]).await;
    let cluster = stage.cluster.clone();
    cluster.set_ready("worker-a0", false).await;
    cluster.zone_has("egress", "zone-a", 1, 0).await;
    cluster.create([namespace("billing").in_pool("egress")]).await;
    cluster
        .becomes(expect![[r"
            billing: egress, 10.20.0.3 on no node, 10.21.0.3 on worker-b0
            shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
        "]])
        .await;
    reads(
        expect!["billing: no-node: all nodes that may carry it are not ready: worker-a0 (zone zone-a)\nshop: no-node: all nodes that may carry it are not ready: worker-a0 (zone zone-a)"],
        || cluster.holds(),
    )
    .await;
    cluster.set_ready("worker-a0", true).await;
    cluster
        .becomes(expect![[r"
            billing: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
            shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
        "]])
        .await;
    reads(expect![""], || cluster.holds()).await;
    stage.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_an_address_that_no_node_can_carry() {
    let cluster = Cluster::start().await;
    let egress = pool("egress").set("spec.cidr", "10.20.0.0/24");
    let objects = [infrastructure("BareMetal"), egress, node("worker-a0").zone("zone-a").not_ready()];
    cluster.create(objects.into_iter().chain([namespace("shop").in_pool("egress")])).await;
    cluster.companions_are_there().await;
    let history = History::start(&cluster).await;
    let _operator = Operator::start(&cluster).await;
    reads(expect!["shop: no-node: all nodes that may carry it are not ready: worker-a0 (zone zone-a)"], || {
        cluster.holds()
    })
    .await;
    cluster.settled().await;
    // An empty NetNamespace lets its traffic leave by the node's address; one that nobody carries would silence it.
    expect![""].assert_eq(&history.transcript().await);
    cluster.set_ready("worker-a0", true).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0"]).await;
    reads(expect![""], || cluster.holds()).await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_pool_allows_it_addresses_leave_their_zone() {
    let cluster = Cluster::start().await;
    let egress =
        pool("egress").range("zone-a", "10.20.0.0/24").range("zone-b", "10.21.0.0/24").set("spec.zoneFailover", "Any");
    cluster
        .create([
            infrastructure("BareMetal"),
            egress,
            node("worker-a0").zone("zone-a"),
            node("worker-b0").zone("zone-b"),
            namespace("shop").in_pool("egress"),
        ])
        .await;
    cluster.companions_are_there().await;
    let _operator = Operator::start(&cluster).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0"]).await;
    cluster.settled().await;
    let history = History::start(&cluster).await;
    // The other zone's only node carries an address of the same namespace: two on one node would disable each other.
    cluster.set_ready("worker-a0", false).await;
    reads(expect!["shop: no-node: each healthy node that may carry it has another address of the namespace: worker-b0 (zone zone-a)"], || cluster.holds()).await;
    cluster.settled().await;
    expect![""].assert_eq(&history.transcript().await);
    cluster.create([node("worker-b1").zone("zone-b")]).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-b1, 10.21.0.2 on worker-b0"]).await;
    reads(expect![""], || cluster.holds()).await;
    // Nor does it come back by itself.
    cluster.set_ready("worker-a0", true).await;
    cluster.zone_has("egress", "zone-a", 1, 1).await;
    cluster.settled().await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-b1, 10.21.0.2 on worker-b0"]).await;
    assert_eq!(history.breaches().await, [""; 0]);
    cluster.assert_sound().await;
}
