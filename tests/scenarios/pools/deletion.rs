//! A pool is deleted: its finalizer keeps it until everything is cleaned up, and nothing can keep it longer.

use expect_test::expect;
use serde_json::json;

use crate::harness::{
    ADDRESSES_ANNOTATION, Cluster, FINALIZER, History, Operator, POOL_ANNOTATION, While, node, pool, serving, two_zones,
};

async fn finalizers(cluster: &Cluster) -> Vec<String> {
    let pool = cluster.get("EgressIPAM", "egress").await.expect("there");
    pool.metadata.finalizers.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_gets_the_finalizer_of_the_operator_it_comes_from() {
    let (cluster, _operator) = serving(&[]).await;
    crate::harness::eventually("the finalizer is there", crate::harness::SOON, || async {
        let finalizers = finalizers(&cluster).await;
        if finalizers == [FINALIZER] { Ok(()) } else { Err(finalizers.join(" ")) }
    })
    .await;
}

async fn deleted(when: While) {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    let history = History::start(&cluster).await;
    let mark = cluster.audit().mark().await;
    let delete = async || cluster.delete("EgressIPAM", "egress").await;
    let _operator = cluster.disturb(operator, when, delete).await;
    cluster.is_gone("EgressIPAM", "egress").await;
    cluster
        .rests(expect![[r"
            billing: egress
            shop: egress
        "]])
        .await;
    for name in ["billing", "shop"] {
        assert_eq!(cluster.annotation_of("Namespace", name, ADDRESSES_ANNOTATION).await, None);
        assert_eq!(cluster.annotation_of("Namespace", name, POOL_ANNOTATION).await.as_deref(), Some("egress"));
        assert_eq!(cluster.annotation_of("NetNamespace", name, "sluice.dev/pool").await, None);
        cluster.hold_becomes(name, Some("pool-missing: there is no EgressIPAM egress")).await;
    }
    let steps = history.steps().await;
    let order = |kind| steps.iter().position(|step| step.kind == kind).expect("something of each kind changes");
    let last_net = steps.iter().rposition(|step| step.kind == "NetNamespace").expect("two change");
    assert!(last_net < order("HostSubnet"), "{}", history.transcript().await);
    assert!(order("HostSubnet") < order("Namespace"), "{}", history.transcript().await);
    let written = cluster.written_since(mark).await;
    assert_eq!(written.clone().on("netnamespaces").count(), 2, "{}", written.summary());
    assert_eq!(written.clone().on("hostsubnets").count(), 2, "{}", written.summary());
    assert_eq!(written.on("egressipams").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pool_is_cleaned_up_and_the_wish_for_it_stays() {
    deleted(While::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_deleted_while_the_operator_is_down_is_cleaned_up() {
    deleted(While::Down).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_comes_back_serves_those_who_waited() {
    let (cluster, _operator) = serving(&["billing", "shop"]).await;
    cluster.delete("EgressIPAM", "egress").await;
    cluster.is_gone("EgressIPAM", "egress").await;
    cluster.create(two_zones().into_iter().filter(|object| object.kind() == "EgressIPAM")).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    for name in ["billing", "shop"] {
        cluster.hold_becomes(name, None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_deleted_and_made_again_while_the_operator_is_down_serves_on() {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    operator.stop().await;
    let mark = cluster.audit().mark().await;
    cluster.delete("EgressIPAM", "egress").await;
    // Somebody helps with force.
    cluster.patch("EgressIPAM", "egress", &json!({ "metadata": { "finalizers": [] } })).await;
    cluster.is_gone("EgressIPAM", "egress").await;
    cluster.create(two_zones().into_iter().filter(|object| object.kind() == "EgressIPAM")).await;
    let _operator = Operator::start(&cluster).await;
    cluster.condition_becomes("egress", "Ready", expect!["True Served: 2 namespaces served"]).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    let written = cluster.written_since(mark).await.except(&["egressipams/status"]);
    assert_eq!(written.to_string(), "sluice patch egressipams egress\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_pool_can_be_deleted() {
    let (cluster, _operator) = serving(&["billing", "shop"]).await;
    let broken = json!({ "spec": { "topologyLabel": "", "cidrAssignments": [
        { "labelValue": "zone-a", "CIDR": "10.20.0.0/24", "reservedIPs": ["x"] },
    ] } });
    cluster.patch("EgressIPAM", "egress", &broken).await;
    let errors = expect![[
        r#"True LastReconcileCycleFailed: spec.topologyLabel: empty: no node can be in a zone; spec.cidrAssignments[0].reservedIPs[0]: "x" is not an address"#
    ]];
    cluster.condition_becomes("egress", "ReconcileError", errors).await;
    cluster.delete("EgressIPAM", "egress").await;
    cluster.is_gone("EgressIPAM", "egress").await;
    cluster
        .rests(expect![[r"
            billing: egress
            shop: egress
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_can_be_deleted_although_objects_are_missing() {
    let (cluster, operator) = serving(&["billing", "reports", "shop"]).await;
    cluster.furnish([node("worker-a1").zone("zone-a")]).await;
    cluster.keeps_terminating("reports", true);
    operator.stop().await;
    cluster.delete("NetNamespace", "billing").await;
    cluster.delete("Namespace", "reports").await;
    cluster.delete("NetNamespace", "reports").await;
    cluster.delete("HostSubnet", "worker-b0").await;
    cluster.openshift().switch(|switches| switches.host_subnets = false);
    cluster.delete("Node", "worker-a0").await;
    cluster.delete("EgressIPAM", "egress").await;
    let _operator = Operator::start(&cluster).await;
    cluster.is_gone("EgressIPAM", "egress").await;
    cluster
        .rests(expect![[r"
            billing: egress, no NetNamespace
            reports: egress, no NetNamespace, terminating
            shop: egress
        "]])
        .await;
    assert_eq!(cluster.get("NetNamespace", "billing").await, None, "Sluice creates none");
    assert_eq!(cluster.get("HostSubnet", "worker-b0").await, None, "Sluice creates none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finalizer_of_others_keeps_the_pool_and_costs_nothing() {
    let (cluster, operator) = serving(&["billing"]).await;
    let both = json!({ "metadata": { "finalizers": [FINALIZER, "example.com/audit"] } });
    let rounds = operator.rounds().await;
    cluster.patch("EgressIPAM", "egress", &both).await;
    operator.looks_again(rounds).await;
    cluster.delete("EgressIPAM", "egress").await;
    cluster
        .rests(expect![[r"
            billing: egress
        "]])
        .await;
    assert_eq!(finalizers(&cluster).await, ["example.com/audit"]);
    cluster.hold_becomes("billing", Some("pool-deleting: EgressIPAM egress is being deleted")).await;
    cluster.settled().await;
    let (mark, rounds) = (cluster.audit().mark().await, operator.rounds().await);
    cluster.furnish([pool("dmz").range("zone-c", "10.30.0.0/24")]).await;
    operator.looks_again(rounds).await;
    cluster.settled().await;
    let written = cluster.written_since(mark).await;
    assert_eq!(written.that(|request| request.name != "dmz").to_string(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_somebody_took_by_hand_does_not_keep_the_pool() {
    let (cluster, _operator) = serving(&["billing"]).await;
    cluster.create([crate::harness::namespace("partner")]).await;
    cluster.is_there("NetNamespace", "partner").await;
    cluster.patch("NetNamespace", "partner", &json!({ "egressIPs": ["10.20.0.77"] })).await;
    cluster.delete("EgressIPAM", "egress").await;
    cluster.is_gone("EgressIPAM", "egress").await;
    cluster
        .rests(expect![[r"
            billing: egress
            partner: 10.20.0.77 on no node, not annotated
        "]])
        .await;
}
