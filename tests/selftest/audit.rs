use serde_json::json;

use crate::harness::{Cluster, User, namespace, node};

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_exactly() {
    let cluster = Cluster::start().await;
    cluster.create([namespace("shop")]).await;
    cluster.is_there("NetNamespace", "shop").await;
    for round in 0..5_usize {
        let mark = cluster.audit().mark().await;
        for number in 0..round {
            cluster.patch("NetNamespace", "shop", &json!({ "egressIPs": [format!("10.{round}.0.{number}")] })).await;
        }
        cluster.get("NetNamespace", "shop").await;
        let requests = cluster.audit().since(mark).await.by(User::Tester);
        let writes = requests.clone().writes();
        assert_eq!(writes.count(), round, "{writes}");
        assert_eq!(requests.on("netnamespaces").count(), round + 1);
        let sluice = cluster.audit().since(mark).await.by(User::Sluice);
        assert_eq!(sluice.count(), 0, "{sluice}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subresources_and_failures_are_told_apart() {
    let cluster = Cluster::start().await;
    let mark = cluster.audit().mark().await;
    cluster.create([node("worker-a0")]).await;
    assert!(cluster.get("Node", "worker-b0").await.is_none());
    let nodes =
        cluster.audit().since(mark).await.by(User::Tester).that(|request| request.resource.starts_with("nodes"));
    expect_test::expect![[r"
        tester create nodes worker-a0
        tester patch nodes/status worker-a0
        tester get nodes worker-b0 -> 404
    "]]
    .assert_eq(&nodes.to_string());
    expect_test::expect![[r"
        create nodes: 1
        get nodes: 1
        patch nodes/status: 1
    "]]
    .assert_eq(&nodes.summary());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_operator_is_settled() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.settled().await.count(), 0);
}
