//! Defects 11 and 12: arithmetic on ranges, and two ranges for one zone.

use expect_test::expect;

use super::{add, at_rest, cluster_with, is_held, one_zone, served, with_nodes};
use crate::harness::{infrastructure, namespace, pool};

/// Defect 11: a range with host bits, `10.20.0.9/24`, hands out the network address `10.20.0.0`.
#[tokio::test(flavor = "multi_thread")]
async fn host_bits_do_not_hand_out_the_network_address() {
    let cluster = cluster_with(one_zone("10.20.0.9/24", &["worker-a0"])).await;
    add(&cluster, ["n1", "n2"].map(|name| namespace(name).in_pool("egress"))).await;
    let _operator = at_rest(&cluster).await;
    cluster
        .becomes(expect![[r"
            n1: egress, 10.20.0.2 on worker-a0
            n2: egress, 10.20.0.3 on worker-a0
            worker-a0: offers 10.20.0.0/24
        "]])
        .await;
}

/// Defect 11: off by one: the last free address of a range is never handed out. A /29 without network, gateway and
/// broadcast address has five.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_free_address_is_handed_out() {
    let cluster = cluster_with(one_zone("10.20.0.0/29", &["worker-a0"])).await;
    add(&cluster, ["n1", "n2", "n3", "n4", "n5", "n6"].map(|name| namespace(name).in_pool("egress"))).await;
    let _operator = at_rest(&cluster).await;
    cluster
        .becomes(expect![[r"
            n1: egress, 10.20.0.2 on worker-a0
            n2: egress, 10.20.0.3 on worker-a0
            n3: egress, 10.20.0.4 on worker-a0
            n4: egress, 10.20.0.5 on worker-a0
            n5: egress, 10.20.0.6 on worker-a0
            n6: egress
            worker-a0: offers 10.20.0.0/29
        "]])
        .await;
    is_held(&cluster, "n6", "exhausted: no free address (zone zone-a)").await;
}

/// Defect 11: a range of one address serves nobody, and fails with "we should never get here".
#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_one_address_serves_one_namespace() {
    let cluster = cluster_with(one_zone("10.20.0.7/32", &["worker-a0"])).await;
    add(&cluster, ["n1", "n2"].map(|name| namespace(name).in_pool("egress"))).await;
    let _operator = at_rest(&cluster).await;
    cluster
        .becomes(expect![[r"
            n1: egress, 10.20.0.7 on worker-a0
            n2: egress
            worker-a0: offers 10.20.0.7/32
        "]])
        .await;
    is_held(&cluster, "n2", "exhausted: no free address (zone zone-a)").await;
}

/// Defect 11: on bare metal the gateway, `.1`, is the first address that is handed out.
#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_is_not_handed_out() {
    let cluster = cluster_with(one_zone("10.20.0.0/30", &["worker-a0"])).await;
    add(&cluster, ["n1", "n2"].map(|name| namespace(name).in_pool("egress"))).await;
    let _operator = at_rest(&cluster).await;
    cluster
        .becomes(expect![[r"
            n1: egress, 10.20.0.2 on worker-a0
            n2: egress
            worker-a0: offers 10.20.0.0/30
        "]])
        .await;
}

/// Defect 12: two ranges with the same label value, the natural set-up for two addresses where there are no zones, can
/// never work: the first range gets no nodes.
#[tokio::test(flavor = "multi_thread")]
async fn two_ranges_with_the_same_label_value_work() {
    let egress = pool("egress").range("zone-a", "10.20.0.0/24").range("zone-a", "10.21.0.0/24");
    let objects = with_nodes(vec![infrastructure("BareMetal"), egress], &["worker-a0", "worker-a1"]);
    let cluster = cluster_with(objects).await;
    add(&cluster, ["billing", "shop"].map(|name| namespace(name).in_pool("egress"))).await;
    let _operator = at_rest(&cluster).await;
    let outcome = served(&cluster, &["billing", "shop"], 2).await;
    assert_eq!(outcome.addresses_of("billing"), ["10.20.0.2", "10.21.0.2"]);
    assert_eq!(outcome.addresses_of("shop"), ["10.20.0.3", "10.21.0.3"]);
    for (node, subnet) in &outcome.host_subnets {
        assert_eq!(subnet.carried.len(), 2, "{node}\n{outcome}");
        // The network drops the traffic of a namespace with two addresses on one node.
        for name in ["billing", "shop"] {
            let here = outcome.addresses_of(name).iter().filter(|address| subnet.carried.contains(address));
            assert_eq!(here.count(), 1, "{node}\n{outcome}");
        }
    }
}
