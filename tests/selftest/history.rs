use serde_json::json;

use crate::harness::{Cluster, History, host_subnet, namespace, net_namespace};

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_in_order_over_all_kinds() {
    let cluster = Cluster::start().await;
    cluster.openshift().stop().await;
    cluster
        .create([
            namespace("shop"),
            net_namespace("shop"),
            host_subnet("worker-a0").addresses(&["10.20.0.2"]),
            host_subnet("worker-a1"),
        ])
        .await;
    let history = History::start(&cluster).await;
    cluster.patch("HostSubnet", "worker-a1", &json!({ "egressIPs": ["10.20.0.2"] })).await;
    cluster.patch("NetNamespace", "shop", &json!({ "egressIPs": ["10.20.0.2"] })).await;
    cluster.patch("HostSubnet", "worker-a0", &json!({ "egressIPs": [] })).await;
    cluster.request("shop", Some("10.20.0.2")).await;
    cluster.delete("NetNamespace", "shop").await;
    expect_test::expect![[r"
        HostSubnet worker-a1: - -> 10.20.0.2
        NetNamespace shop: - -> 10.20.0.2
        HostSubnet worker-a0: 10.20.0.2 -> -
        Namespace shop: - -> 10.20.0.2
        NetNamespace shop: 10.20.0.2 -> -
    "]]
    .assert_eq(&history.transcript().await);
    let breaches = history.breaches().await;
    assert_eq!(breaches.len(), 1, "{breaches:?}");
    assert!(breaches[0].ends_with("HostSubnet worker-a1 takes 10.20.0.2 while worker-a0 has it"), "{breaches:?}");
}
