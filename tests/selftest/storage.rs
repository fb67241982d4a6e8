use serde_json::json;

use crate::harness::{Cluster, FINALIZER, namespace, node, pool};

#[tokio::test(flavor = "multi_thread")]
async fn stored_objects_keep_times_and_half_done_deletions() {
    let cluster = Cluster::start().await;
    cluster.openshift().switch(|switches| switches.held = ["ending".to_owned()].into());
    cluster
        .store([
            namespace("old").created("2020-01-01T00:00:00Z"),
            namespace("ending").created("2020-01-01T00:00:00Z").deleted("2020-01-02T00:00:00Z"),
            pool("egress").finalizer(FINALIZER).deleted("2020-01-02T00:00:00Z"),
            node("worker-a0").zone("zone-a"),
        ])
        .await;
    let old = cluster.get("Namespace", "old").await.expect("stored");
    assert_eq!(json!(old.metadata.creation_timestamp), "2020-01-01T00:00:00Z");
    assert_eq!(old.data["status"]["phase"], "Active");
    let ending = cluster.get("Namespace", "ending").await.expect("stored");
    assert_eq!(ending.data["status"]["phase"], "Terminating");
    cluster.is_there("NetNamespace", "old").await;
    cluster.is_there("HostSubnet", "worker-a0").await;

    cluster.openshift().switch(|switches| switches.held.clear());
    cluster.is_gone("Namespace", "ending").await;
    cluster.patch("EgressIPAM", "egress", &json!({ "metadata": { "finalizers": [] } })).await;
    cluster.is_gone("EgressIPAM", "egress").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_objects_are_stored_and_removed() {
    let cluster = Cluster::start().await;
    cluster.openshift().stop().await;
    cluster.store((0..2_000).map(|number| namespace(&format!("n{number:04}")).in_pool("egress"))).await;
    assert_eq!(cluster.outcome().await.namespaces.len(), 2_000);
    cluster.reset().await;
    assert_eq!(cluster.outcome().await.namespaces.len(), 0);
}
