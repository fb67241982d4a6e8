use serde_json::json;

use crate::harness::{Cluster, SOON, eventually, host_subnet, namespace, net_namespace, node};

#[tokio::test(flavor = "multi_thread")]
async fn companions_come_and_go_with_their_objects() {
    let cluster = Cluster::start().await;
    cluster.create([namespace("shop"), node("worker-a0").address("192.168.7.7")]).await;
    cluster.is_there("NetNamespace", "shop").await;
    let subnet = cluster.is_there("HostSubnet", "worker-a0").await;
    assert_eq!(subnet.data["hostIP"], "192.168.7.7");
    cluster.delete("Namespace", "shop").await;
    cluster.delete("Node", "worker-a0").await;
    for (kind, name) in [("Namespace", "shop"), ("NetNamespace", "shop"), ("HostSubnet", "worker-a0")] {
        cluster.is_gone(kind, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_companion_deleted_by_hand_stays_away() {
    let cluster = Cluster::start().await;
    cluster.create([namespace("shop")]).await;
    cluster.is_there("NetNamespace", "shop").await;
    cluster.delete("NetNamespace", "shop").await;
    cluster.create([namespace("billing")]).await;
    cluster.is_there("NetNamespace", "billing").await;
    assert!(cluster.get("NetNamespace", "shop").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_made_again_does_not_inherit() {
    let cluster = Cluster::start().await;
    cluster.create([net_namespace("shop").addresses(&["10.20.0.2"]), namespace("shop")]).await;
    cluster.delete("Namespace", "shop").await;
    cluster.is_gone("Namespace", "shop").await;
    cluster.create([namespace("shop")]).await;
    eventually("a NetNamespace without addresses", SOON, || async {
        match cluster.outcome().await.namespaces["shop"].held.as_deref() {
            Some([]) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn switches_work() {
    let cluster = Cluster::start().await;
    cluster.openshift().switch(|switches| {
        switches.net_namespaces = false;
        switches.without.insert("worker-a0".into());
    });
    cluster.create([namespace("shop"), node("worker-a0"), node("worker-a1")]).await;
    cluster.is_there("HostSubnet", "worker-a1").await;
    assert!(cluster.get("HostSubnet", "worker-a0").await.is_none());
    assert!(cluster.get("NetNamespace", "shop").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn claimed_addresses_are_placed_and_move_when_a_node_fails() {
    let cluster = Cluster::start().await;
    cluster.create([node("worker-0"), node("worker-1"), namespace("shop"), namespace("billing")]).await;
    let offer = ["10.20.0.0/24"];
    cluster.openshift().stop().await;
    cluster.create([host_subnet("worker-0").cidrs(&offer), host_subnet("worker-1").cidrs(&offer)]).await;
    cluster.create([net_namespace("billing").addresses(&["10.20.0.3"])]).await;
    cluster.create([net_namespace("shop").addresses(&["10.20.0.2"])]).await;
    cluster.openshift().resume();
    eventually("one address on each node", SOON, || async {
        let outcome = cluster.outcome().await;
        let (shop, billing) = (outcome.nodes_of("10.20.0.2"), outcome.nodes_of("10.20.0.3"));
        if shop.len() == 1 && billing.len() == 1 && shop != billing { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
    cluster.set_ready("worker-1", false).await;
    cluster
        .becomes(expect_test::expect![[r"
            billing: 10.20.0.3 on worker-0, not annotated
            shop: 10.20.0.2 on worker-0, not annotated
            worker-0: offers 10.20.0.0/24
            worker-1: offers 10.20.0.0/24
        "]])
        .await;
    cluster.patch("NetNamespace", "shop", &json!({ "egressIPs": [] })).await;
    cluster
        .becomes(expect_test::expect![[r"
            billing: 10.20.0.3 on worker-0, not annotated
            shop: -
            worker-0: offers 10.20.0.0/24
            worker-1: offers 10.20.0.0/24
        "]])
        .await;
}
