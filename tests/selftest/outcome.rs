use crate::harness::{Cluster, FINALIZER, host_subnet, namespace, net_namespace, node, pool};

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_found_and_shown() {
    let cluster = Cluster::start().await;
    cluster.openshift().stop().await;
    cluster
        .create([
            pool("egress").finalizer(FINALIZER),
            node("worker-a0"),
            host_subnet("worker-a0").addresses(&["10.20.0.2", "10.20.0.8"]),
            host_subnet("worker-a1").addresses(&["10.20.0.2"]).cidrs(&["10.20.0.0/24"]),
            namespace("shop").in_pool("egress").requesting("10.20.0.2"),
            net_namespace("shop").addresses(&["10.20.0.2"]),
            namespace("mirror").in_pool("egress").requesting("10.20.0.9"),
            net_namespace("mirror").addresses(&["10.20.0.2", "10.20.0.7"]),
            namespace("bare"),
            namespace("plain"),
            net_namespace("plain"),
            net_namespace("orphan").addresses(&["10.20.0.6"]),
        ])
        .await;
    let outcome = cluster.outcome().await;
    expect_test::expect![[r"
        bare: no NetNamespace
        mirror: egress, 10.20.0.2 on worker-a0 and worker-a1, 10.20.0.7 on no node, annotated 10.20.0.9
        plain: -
        shop: egress, 10.20.0.2 on worker-a0 and worker-a1
        orphan: NetNamespace without Namespace, 10.20.0.6 on no node
        worker-a0: 10.20.0.8 of nobody
        worker-a1: offers 10.20.0.0/24
    "]]
    .assert_eq(&outcome.to_string());
    expect_test::expect![[r#"
        10.20.0.2 is held by mirror and shop
        10.20.0.2 is on worker-a0 and worker-a1
        mirror holds ["10.20.0.2", "10.20.0.7"] but is annotated 10.20.0.9"#]]
    .assert_eq(&outcome.faults().join("\n"));
    assert_eq!(outcome.unplaced(), ["10.20.0.7", "10.20.0.6"]);
}
