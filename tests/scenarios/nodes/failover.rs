//! Nodes that fail.

use expect_test::expect;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::Stage;
use std::time::Duration;

use crate::harness::{
    Cluster, History, Matcher, Operator, Proxy, Rule, SOON, eventually, infrastructure, namespace, node, pool,
};

/// Sets all conditions of a node.
async fn set_conditions(cluster: &Cluster, node: &str, conditions: Value) {
    let patch = Patch::Merge(json!({ "status": { "conditions": conditions } }));
    let patched = cluster.api("Node", None).patch_status(node, &PatchParams::default(), &patch).await;
    patched.unwrap_or_else(|error| panic!("Node {node}: {error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn off_the_failed_node_before_onto_the_next_and_not_back_again() {
    let mut stage = Stage::with_a_spare_node().await;
    stage.cluster.set_ready("worker-a0", false).await;
    stage.cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a1, 10.21.0.2 on worker-b0"]).await;
    expect!["patch hostsubnets: 2\n"].assert_eq(&stage.written().await);
    expect![[r"
        HostSubnet worker-a0: 10.20.0.2 -> -
        HostSubnet worker-a1: - -> 10.20.0.2
    "]]
    .assert_eq(&stage.history.transcript().await);
    assert_eq!(stage.history.breaches().await, [""; 0]);

    stage.again().await;
    stage.cluster.set_ready("worker-a0", true).await;
    stage.cluster.zone_has("egress", "zone-a", 2, 2).await;
    expect![""].assert_eq(&stage.written().await);
    // But it takes part again.
    stage.cluster.create([namespace("billing").in_pool("egress")]).await;
    stage
        .cluster
        .becomes(expect![[r"
            billing: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
            shop: egress, 10.20.0.2 on worker-a1, 10.21.0.2 on worker-b0
        "]])
        .await;
    stage.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_nobody_knows_about_counts_as_failed() {
    let mut stage = Stage::with_a_spare_node().await;
    let unknown = json!([{ "type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "" }]);
    set_conditions(&stage.cluster, "worker-a0", unknown).await;
    stage.cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a1, 10.21.0.2 on worker-b0"]).await;
    stage.cluster.set_ready("worker-a0", true).await;
    stage.cluster.zone_has("egress", "zone-a", 2, 2).await;
    stage.again().await;
    set_conditions(&stage.cluster, "worker-a1", json!([])).await;
    stage.cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0"]).await;
    expect!["patch hostsubnets: 2\n"].assert_eq(&stage.written().await);
    stage.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_node_is_a_failed_one() {
    let stage = Stage::with_a_spare_node().await;
    stage.cluster.delete("Node", "worker-a0").await;
    stage.cluster.is_gone("HostSubnet", "worker-a0").await;
    stage.cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a1, 10.21.0.2 on worker-b0"]).await;
    stage.cluster.zone_has("egress", "zone-a", 1, 1).await;
    let net = stage.history.steps().await;
    assert!(net.iter().all(|step| step.kind == "HostSubnet"), "{net:?}");
    stage.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_subnet_that_outlives_its_node_is_emptied() {
    let stage = Stage::with_a_spare_node().await;
    stage.cluster.openshift().switch(|switches| switches.host_subnets = false);
    stage.cluster.delete("Node", "worker-a0").await;
    stage.cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a1, 10.21.0.2 on worker-b0"]).await;
    expect!["patch hostsubnets: 2\n"].assert_eq(&stage.written().await);
    expect![[r"
        HostSubnet worker-a0: 10.20.0.2 -> -
        HostSubnet worker-a1: - -> 10.20.0.2
    "]]
    .assert_eq(&stage.history.transcript().await);
    stage.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_fail_together() {
    let stage = Stage::with_spare_nodes(&["worker-a1", "worker-a2"]).await;
    let (first, second) =
        tokio::join!(stage.cluster.set_ready("worker-a0", false), stage.cluster.set_ready("worker-a1", false));
    assert_eq!((first, second), ((), ()));
    stage.cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a2, 10.21.0.2 on worker-b0"]).await;
    let steps = stage.history.steps().await;
    assert!(steps.iter().all(|step| step.kind == "HostSubnet"), "{steps:?}");
    stage.ends_well().await;
}

const MANY: usize = 150;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_is_left_with_one_write_for_each_node_touched() {
    let cluster = Cluster::start().await;
    let names = (0..MANY).map(|n| namespace(&format!("ns-{n:03}")).in_pool("egress"));
    let egress = pool("egress").set("spec.cidr", "10.20.0.0/24");
    let objects = [infrastructure("BareMetal"), egress, node("worker-a0").zone("zone-a")];
    cluster.create(objects.into_iter().chain(names)).await;
    cluster.companions_are_there().await;
    let _operator = Operator::start(&cluster).await;
    eventually("all are on the one node", SOON * 3, || async {
        let outcome = cluster.outcome().await;
        let carried = outcome.host_subnets["worker-a0"].carried.len();
        if carried == MANY && outcome.unplaced().is_empty() && outcome.faults().is_empty() {
            Ok(())
        } else {
            Err(format!("{carried} are"))
        }
    })
    .await;
    cluster.create([node("worker-a1").zone("zone-a"), node("worker-a2").zone("zone-a")]).await;
    cluster.zone_has("egress", "zone-a", 3, 3).await;
    cluster.settled().await;
    let (before, history) = (cluster.outcome().await, History::start(&cluster).await);
    let mark = cluster.audit().mark().await;

    cluster.set_ready("worker-a0", false).await;
    eventually("all are elsewhere", SOON, || async {
        let outcome = cluster.outcome().await;
        let left = outcome.host_subnets["worker-a0"].carried.len();
        if left == 0 && outcome.unplaced().is_empty() { Ok(()) } else { Err(format!("{left} are left\n{outcome}")) }
    })
    .await;
    cluster.settled().await;
    let outcome = cluster.outcome().await;
    for name in ["worker-a1", "worker-a2"] {
        assert_eq!(outcome.host_subnets[name].carried.len(), MANY / 2, "{name}");
    }
    assert_eq!(outcome.namespaces, before.namespaces, "nobody's addresses changed");
    let written = cluster.written_since(mark).await.except(&["egressipams/status"]);
    expect!["patch hostsubnets: 3\n"].assert_eq(&written.summary());
    let steps = history.steps().await;
    let order: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!((order.len(), order[0]), (3, "worker-a0"), "off the old node first: {order:?}");
    assert_eq!(history.breaches().await, [""; 0]);
    cluster.assert_sound().await;
}

const HANGING: usize = 640;

/// The API server answers none of the writes about NetNamespaces. Waiting for all of them, each with its deadline, would
/// take minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_while_hundreds_of_writes_hang_is_left_within_seconds() {
    let cluster = Cluster::start().await;
    let egress = pool("egress").range("zone-a", "10.20.0.0/20").range("zone-b", "10.24.0.0/20");
    let nodes = [node("worker-a0").zone("zone-a"), node("worker-b0").zone("zone-b")];
    cluster.create([infrastructure("BareMetal"), egress].into_iter().chain(nodes)).await;
    let proxy = Proxy::start(&cluster).await;
    let operator = Operator::launch(&cluster).through(&proxy).start().await;
    cluster.create([namespace("shop").in_pool("egress")]).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.24.0.2 on worker-b0"]).await;
    cluster.create([node("worker-a1").zone("zone-a")]).await;
    cluster.zone_has("egress", "zone-a", 2, 2).await;
    cluster.settled().await;

    proxy.rule(Rule::hang(Matcher::writes().on("netnamespaces")));
    let struck_before = proxy.asked(&Matcher::writes().on("netnamespaces")).len();
    cluster.create((0..HANGING).map(|n| namespace(&format!("ns-{n:03}")).in_pool("egress"))).await;
    eventually("its writes hang", SOON * 2, || async {
        let hanging = proxy.asked(&Matcher::writes().on("netnamespaces")).len() - struck_before;
        if hanging >= 32 { Ok(()) } else { Err(format!("{hanging} of 32")) }
    })
    .await;
    cluster.set_ready("worker-a0", false).await;
    let died = std::time::Instant::now();
    eventually("what it carried for shop is on the other node", Duration::from_secs(10), || async {
        let subnets = cluster.outcome().await.host_subnets;
        let on = |name: &str| subnets[name].carried.iter().any(|address| address == "10.20.0.2");
        if !on("worker-a0") && on("worker-a1") { Ok(()) } else { Err(format!("{subnets:?}")) }
    })
    .await;
    println!("left after {:?}", died.elapsed());
    // It goes on looking, and its liveness is its own, although nothing that hangs has ended.
    operator.plans_again().await;
    assert!(operator.probe("/healthz").await.expect("it answers").0.is_success());
    assert_eq!(operator.metric("sluice_leader").await, Some(1.0));

    proxy.clear();
    eventually("everybody is served", SOON * 6, || async {
        let outcome = cluster.outcome().await;
        let unserved = outcome.namespaces.values().filter(|one| one.pool.is_some() && one.annotated.is_none()).count();
        if unserved == 0 && outcome.unplaced().is_empty() { Ok(()) } else { Err(format!("{unserved} are not")) }
    })
    .await;
    cluster.assert_sound().await;
}
