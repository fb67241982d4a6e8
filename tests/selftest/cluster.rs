use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, VersionMatch, WatchEvent, WatchParams};
use serde_json::json;

use crate::harness::{
    Cluster, FINALIZER, Object, ZONE_LABEL, host_subnet, infrastructure, kinds, namespace, net_namespace, node, pool,
    until,
};

#[tokio::test(flavor = "multi_thread")]
async fn fixtures_are_accepted_and_keep_their_status() {
    let cluster = Cluster::start().await;
    cluster
        .create([
            infrastructure("BareMetal"),
            pool("egress").range_reserving("zone-a", "10.20.0.0/24", &["10.20.0.1"]),
            node("worker-a0").zone("zone-a").cordoned(),
            node("worker-a1").not_ready(),
            namespace("shop").in_pool("egress").requesting("10.20.0.9"),
            host_subnet("worker-a0").addresses(&["10.20.0.9"]),
            net_namespace("shop").addresses(&["10.20.0.9"]),
        ])
        .await;
    let platform = cluster.get("Infrastructure", "cluster").await.expect("just made");
    assert_eq!(platform.data["status"]["platformStatus"]["type"], "BareMetal");
    let cordoned = cluster.get("Node", "worker-a0").await.expect("just made");
    assert_eq!(cordoned.data["spec"]["unschedulable"], true);
    assert_eq!(cordoned.metadata.labels.expect("labels")[ZONE_LABEL], "zone-a");
    let down = cluster.get("Node", "worker-a1").await.expect("just made");
    assert_eq!(down.data["status"]["conditions"][0]["status"], "False");
    cluster
        .becomes(expect_test::expect![[r"
            shop: egress, 10.20.0.9 on worker-a0
        "]])
        .await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reset_removes_everything_a_scenario_left() {
    let cluster = Cluster::start().await;
    let mess = [
        pool("egress").finalizer(FINALIZER),
        node("worker-a0"),
        namespace("shop").finalizer("example.com/stuck"),
        Object::from_json(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "left", "namespace": "default" },
        })),
    ];
    cluster.create(mess).await;
    cluster.is_there("HostSubnet", "worker-a0").await;
    cluster.delete("EgressIPAM", "egress").await;
    cluster.delete("Namespace", "shop").await;
    cluster.annotate("Namespace", "default", "example.com/changed", Some("yes")).await;

    cluster.reset().await;

    for kind in ["EgressIPAM", "HostSubnet", "NetNamespace", "Node"] {
        assert!(cluster.list(kind).await.is_empty(), "{kind} left over");
    }
    assert!(cluster.get("Namespace", "shop").await.is_none());
    assert_eq!(cluster.get("Namespace", "default").await.expect("there").metadata.annotations, None);
    assert!(cluster.api("ConfigMap", Some("default")).get_opt("left").await.expect("allowed").is_none());
    cluster.create([namespace("shop")]).await;
    cluster.is_there("NetNamespace", "shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scenario_that_changes_a_definition_leaves_no_trace() {
    let cluster = Cluster::start().await;
    let name = "egressipams.redhatcop.redhat.io";
    cluster.serve_peer_definition().await;
    let extra = json!({ "spec": { "names": { "shortNames": ["eip"] } } });
    cluster.patch("CustomResourceDefinition", name, &extra).await;
    drop(cluster);
    for _ in 0..8 {
        let next = Cluster::start().await;
        let definition = next.get("CustomResourceDefinition", name).await;
        assert_ne!(definition.expect("there").data["spec"]["names"]["shortNames"], json!(["eip"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_still_on_their_way_do_not_reach_the_next_scenario() {
    for _ in 0..10 {
        let cluster = Cluster::start().await;
        let left = cluster.outcome().await.to_string();
        assert_eq!(left, "", "left over");
        cluster.create((0..8).map(|number| namespace(&format!("n{number}")))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn user_sluice_may_not_do_what_nobody_granted() {
    let cluster = Cluster::start().await;
    cluster.create([node("worker-a0"), namespace("shop")]).await;
    let sluice = cluster.sluice_client().await;
    let forbidden = |result: kube::Result<()>| match result {
        Err(kube::Error::Api(status)) => status.code == 403,
        _ => false,
    };
    let deletion = DeleteParams::default();
    for (kind, name) in [("Node", "worker-a0"), ("Namespace", "shop"), ("EgressIPAM", "egress")] {
        let deleted = kinds::all(&sluice, kind).delete(name, &deletion).await;
        assert!(forbidden(deleted.map(drop)), "may delete {kind}");
    }
    for object in [host_subnet("worker-b0"), net_namespace("new"), pool("egress")] {
        let created = kinds::all(&sluice, object.kind())
            .create(&PostParams::default(), &kinds::dynamic(object.json().clone()))
            .await;
        assert!(forbidden(created.map(drop)), "may create {}", object.kind());
    }
    let secrets = kinds::all(&sluice, "Secret").list(&ListParams::default()).await;
    assert!(forbidden(secrets.map(drop)), "may list secrets");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_answers_what_is_compacted_with_410() {
    let cluster = Cluster::start().await;
    let nets = cluster.api("NetNamespace", None);
    let list = nets.list(&ListParams::default()).await.expect("allowed");
    let old = list.metadata.resource_version.expect("lists have a version");
    cluster.create([namespace("shop")]).await;
    cluster.is_there("NetNamespace", "shop").await;
    cluster.stop_apiserver();
    cluster.compact().await;
    cluster.start_apiserver().await;
    let exactly = ListParams::default().at(&old).matching(VersionMatch::Exact);
    match nets.list(&exactly).await {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 410, "{status:?}"),
        other => panic!("expected 410, got {other:?}"),
    }
    let mut events = nets.watch(&WatchParams::default(), &old).await.expect("watches answer in their stream").boxed();
    match events.try_next().await {
        Ok(Some(WatchEvent::Error(status))) => assert_eq!(status.code, 410, "{status:?}"),
        other => panic!("expected 410, got {other:?}"),
    }
    cluster.create([namespace("billing")]).await;
    cluster.is_there("NetNamespace", "billing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_at_the_same_time_are_apart() {
    let server_apart = async |name: &'static str| {
        let cluster = Cluster::start().await;
        cluster.create([namespace(name)]).await;
        let names = cluster.outcome().await.namespaces.into_keys().collect::<Vec<_>>();
        assert_eq!(names, [name]);
    };
    futures::join!(server_apart("one"), server_apart("two"), server_apart("three"));
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_writes_fail() {
    let cluster = Cluster::start().await;
    cluster.create([host_subnet("worker-a0")]).await;
    let before = cluster.get("HostSubnet", "worker-a0").await.expect("just made").metadata.resource_version;
    let patch = |address: &str| json!({ "metadata": { "resourceVersion": before }, "egressIPs": [address] });
    cluster.patch("HostSubnet", "worker-a0", &patch("10.20.0.2")).await;
    let second = Patch::Merge(patch("10.20.0.3"));
    let refused = cluster.api("HostSubnet", None).patch("worker-a0", &PatchParams::default(), &second).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 409));
}

#[tokio::test]
async fn until_hands_back_the_last_thing_seen() {
    let mut looks = 0;
    let seen = until(Duration::from_millis(200), || {
        looks += 1;
        let look = looks;
        async move { if look > 1_000 { Ok(()) } else { Err("not yet") } }
    });
    assert_eq!(seen.await, Err("not yet".into()));
}
