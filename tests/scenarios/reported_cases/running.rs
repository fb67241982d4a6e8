//! The same while Sluice runs: what it writes and tells, and what ends it.

use expect_test::expect;
use serde_json::json;

use crate::harness::{Cluster, Operator, infrastructure, namespace, node, pool, ranges, reads, serving};

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_with_one_network_id_are_held_until_they_are_taken_apart() {
    let (cluster, _operator) = serving(&["shop"]).await;
    let joined = [("left", 62), ("right", 62), ("web", 63), ("web-batch", 63)];
    cluster.furnish(joined.map(|(name, _)| namespace(name))).await;
    for (name, id) in joined {
        cluster.patch("NetNamespace", name, &json!({ "netid": id })).await;
    }
    let batch = cluster.is_there("NetNamespace", "web-batch").await;
    for name in ["left", "right", "web"] {
        cluster.opt_in(name, Some("egress")).await;
    }
    for (name, other, id) in [("left", "right", 62), ("right", "left", 62), ("web", "web-batch", 63)] {
        let text = format!(
            "shared-network-id: {other} has the same network id {id}, so that neither can have egress addresses of its own; \
             oc adm pod-network isolate-projects takes them apart"
        );
        cluster.hold_becomes(name, Some(&text)).await;
    }
    cluster
        .rests(expect![[r"
            left: egress
            right: egress
            shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            web: egress
            web-batch: -
        "]])
        .await;
    let after = cluster.is_there("NetNamespace", "web-batch").await;
    assert_eq!(after.metadata.resource_version, batch.metadata.resource_version, "web-batch is not written");

    cluster.patch("NetNamespace", "right", &json!({ "netid": 64 })).await;
    cluster.hold_becomes("left", None).await;
    cluster.hold_becomes("right", None).await;
    cluster
        .rests(expect![[r"
            left: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
            right: egress, 10.20.0.4 on worker-a0, 10.21.0.4 on worker-b0
            shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            web: egress
            web-batch: -
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_machine_with_an_egress_address_as_its_own_is_told() {
    let (cluster, _operator) = serving(&["shop"]).await;
    let before = cluster.outcome().await;
    let held = before.addresses_of("shop").first().expect("shop has one in each zone").clone();
    cluster.create([node("new").zone("zone-b").address(&held)]).await;
    reads(expect!["shop: address-conflict: 10.20.0.2 is the own address of machine new, and worker-a0 carries it, so that two machines answer for it; once the pool reserves it, the namespace gets another (zone zone-a)"], || cluster.holds()).await;
    cluster.settled().await;
    assert_eq!(cluster.outcome().await.addresses_of("shop"), before.addresses_of("shop"), "they stay");

    let entries = json!([
        { "labelValue": "zone-a", "CIDR": "10.20.0.0/24", "reservedIPs": [held] },
        { "labelValue": "zone-b", "CIDR": "10.21.0.0/24" },
    ]);
    cluster.patch("EgressIPAM", "egress", &json!({ "spec": { "cidrAssignments": entries } })).await;
    cluster.hold_becomes("shop", None).await;
    cluster
        .rests(expect![[r"
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.2 on worker-b0
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_addresses_on_the_last_node_one_leaves_at_once() {
    let cluster = Cluster::start().await;
    let edge = pool("egress").range("edge", "10.20.0.0/26").range("edge", "10.20.0.64/26");
    let nodes = [node("e1").zone("edge"), node("e2").zone("edge").not_ready()];
    let pay = namespace("pay").in_pool("egress").requesting("10.20.0.10,10.20.0.74");
    cluster.furnish([infrastructure("BareMetal"), edge, pay].into_iter().chain(nodes)).await;
    let both = json!({ "egressIPs": ["10.20.0.10", "10.20.0.74"] });
    cluster.patch("NetNamespace", "pay", &both).await;
    cluster.patch("HostSubnet", "e1", &both).await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            pay: egress, 10.20.0.10 on e1, 10.20.0.74 on no node
        "]])
        .await;
    cluster
        .hold_becomes(
            "pay",
            Some("no-node: each healthy node that may carry it has another address of the namespace: e1 (zone edge)"),
        )
        .await;
    cluster.set_ready("e2", true).await;
    cluster
        .rests(expect![[r"
            pay: egress, 10.20.0.10 on e1, 10.20.0.74 on e2
        "]])
        .await;
    cluster.hold_becomes("pay", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_is_too_small_takes_no_address_without_another() {
    let (cluster, _operator) = serving(&["billing", "search", "shop"]).await;
    cluster.patch("EgressIPAM", "egress", &ranges(&[("zone-a", "10.30.0.0/30"), ("zone-b", "10.21.0.0/24")])).await;
    reads(
        expect!["search: exhausted: no free address (zone zone-a)\nshop: exhausted: no free address (zone zone-a)"],
        || cluster.holds(),
    )
    .await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.30.0.2 on worker-a0, 10.21.0.2 on worker-b0
            search: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
            shop: egress, 10.20.0.4 on worker-a0, 10.21.0.4 on worker-b0
        "]])
        .await;
    reads(expect![[r"
            Namespace billing: AddressesChanged: egress addresses changed from 10.20.0.2,10.21.0.2 to 10.30.0.2,10.21.0.2: 10.20.0.2: no longer an address of its pool
            Namespace search: Exhausted: zone zone-a: no free address
            Namespace shop: Exhausted: zone zone-a: no free address
        "]], || cluster.warnings()).await;

    cluster.patch("EgressIPAM", "egress", &ranges(&[("zone-a", "10.30.0.0/28"), ("zone-b", "10.21.0.0/24")])).await;
    reads(expect![""], || cluster.holds()).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.30.0.2 on worker-a0, 10.21.0.2 on worker-b0
            search: egress, 10.30.0.3 on worker-a0, 10.21.0.3 on worker-b0
            shop: egress, 10.30.0.4 on worker-a0, 10.21.0.4 on worker-b0
        "]])
        .await;
}
