//! A spec that makes no sense: what is held stays, nothing new is given, other pools go on.

use expect_test::expect;
use serde_json::{Value, json};

use crate::harness::{Cluster, Operator, While, infrastructure, namespace, node, pool, serving};

/// Zone-a of pool `egress` with a reserved address that is none, as the API server lets it pass.
fn broken() -> Value {
    json!({ "spec": { "cidrAssignments": [
        { "labelValue": "zone-a", "CIDR": "10.20.0.0/24", "reservedIPs": ["the gateway"] },
        { "labelValue": "zone-b", "CIDR": "10.21.0.0/24" },
    ] } })
}

fn mended() -> Value {
    json!({ "spec": { "cidrAssignments": [
        { "labelValue": "zone-a", "CIDR": "10.20.0.0/24", "reservedIPs": ["10.20.0.1"] },
        { "labelValue": "zone-b", "CIDR": "10.21.0.0/24" },
    ] } })
}

async fn says_what_is_wrong(cluster: &Cluster) {
    let error = expect![
        "True LastReconcileCycleFailed: spec.cidrAssignments[0].reservedIPs[0]: \"the gateway\" is not an address"
    ];
    cluster.condition_becomes("egress", "ReconcileError", error).await;
    assert_eq!(cluster.condition("egress", "ReconcileSuccess").await, "False LastReconcileCycleFailed: ");
}

async fn breaks_and_is_mended(when: While) {
    let (cluster, operator) = serving(&["billing"]).await;
    let break_it = async || cluster.patch("EgressIPAM", "egress", &broken()).await;
    let operator = cluster.disturb(operator, when, break_it).await;
    says_what_is_wrong(&cluster).await;
    cluster.furnish([pool("dmz").range("zone-a", "10.30.0.0/24").range("zone-b", "10.31.0.0/24")]).await;
    cluster.furnish([namespace("partners").in_pool("dmz"), namespace("shop").in_pool("egress")]).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            partners: dmz, 10.30.0.2 on worker-a0, 10.31.0.2 on worker-b0
            shop: egress
        "]])
        .await;
    let why = "pool-invalid: the pool's spec has errors, of which the first is \
               spec.cidrAssignments[0].reservedIPs[0]: \"the gateway\" is not an address";
    cluster.hold_becomes("shop", Some(why)).await;
    assert_eq!(cluster.hold_of("billing").await, None);
    let fine = expect!["False LastReconcileCycleSucceded: "];
    cluster.condition_becomes("dmz", "ReconcileError", fine).await;

    let mend = async || cluster.patch("EgressIPAM", "egress", &mended()).await;
    let _operator = cluster.disturb(operator, when, mend).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            partners: dmz, 10.30.0.2 on worker-a0, 10.31.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    cluster.hold_becomes("shop", None).await;
    let fine = expect!["False LastReconcileCycleSucceded: "];
    cluster.condition_becomes("egress", "ReconcileError", fine).await;
    assert_eq!(cluster.condition("egress", "ReconcileSuccess").await, "True LastReconcileCycleSucceded: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_breaks_keeps_what_it_gave_until_it_is_mended() {
    breaks_and_is_mended(While::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_breaks_while_the_operator_is_down_keeps_what_it_gave_until_it_is_mended() {
    breaks_and_is_mended(While::Down).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_pool_still_fails_over() {
    let (cluster, _operator) = serving(&["billing"]).await;
    cluster.patch("EgressIPAM", "egress", &broken()).await;
    says_what_is_wrong(&cluster).await;
    cluster.furnish([node("worker-a1").zone("zone-a")]).await;
    cluster.set_ready("worker-a0", false).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a1, 10.21.0.2 on worker-b0
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_broken_pool_is_cleaned_up() {
    let (cluster, _operator) = serving(&["billing", "shop"]).await;
    cluster.patch("EgressIPAM", "egress", &broken()).await;
    says_what_is_wrong(&cluster).await;
    cluster.opt_in("shop", None).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: -
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_errors_of_a_spec_are_told_at_once() {
    let cluster = Cluster::start().await;
    let pool = pool("egress").range_reserving("zone-a", "10.20.0.0/24", &["x"]).range("zone-b", "10.20.0.7/24");
    cluster
        .furnish([pool.topology("").set(
            "spec.nodeSelector",
            json!({ "matchExpressions": [{
        "key": "rack", "operator": "Near", "values": ["1"],
    }] }),
        )])
        .await;
    let _operator = Operator::start(&cluster).await;
    cluster.condition_becomes("egress", "ReconcileError", expect![[
        r#"True LastReconcileCycleFailed: spec.topologyLabel: empty: no node can be in a zone; spec.nodeSelector.matchExpressions[0].operator: unknown operator "Near"; known are In, NotIn, Exists and DoesNotExist; spec.cidrAssignments[0].reservedIPs[0]: "x" is not an address; spec.cidrAssignments[1].CIDR: 10.20.0.0/24 is there already, in an earlier entry"#
    ]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selector_that_is_a_plain_map_is_refused_and_not_read_as_all_nodes() {
    let cluster = Cluster::start().await;
    let plain = pool("egress").range("zone-a", "10.20.0.0/24").range("zone-b", "10.21.0.0/24");
    let plain = plain.set("spec.nodeSelector", json!({ "egressGateway": "true" }));
    cluster
        .furnish([
            infrastructure("BareMetal"),
            plain,
            node("worker-a0").zone("zone-a"),
            namespace("shop").in_pool("egress"),
        ])
        .await;
    let _operator = Operator::start(&cluster).await;
    let error = expect![
        "True LastReconcileCycleFailed: spec.nodeSelector.egressGateway: unknown field; known are matchLabels, matchExpressions"
    ];
    cluster.condition_becomes("egress", "ReconcileError", error).await;
    cluster.rests(expect!["shop: egress"]).await;
}
