//! Clusters that are well: nothing is written but the pools' status.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::{adopted, condition, taken_over};
use crate::harness::{Cluster, History, Operator, namespace};

/// Takes a dump over: one status patch for each pool, no other write, and no address moves on the way.
async fn is_left_alone(dump: &str, pools: usize) -> (Cluster, Operator) {
    let plan = adopted(dump).await.ended_with(0).json();
    for list in ["writes", "patches", "holds", "findings", "inputErrors"] {
        assert_eq!(plan[list], json!([]), "{dump}: {list}");
    }
    let cluster = Cluster::start().await;
    cluster.load_dump(dump).await;
    let operator = left_alone(&cluster, dump, pools).await;
    (cluster, operator)
}

async fn left_alone(cluster: &Cluster, dump: &str, pools: usize) -> Operator {
    let before = cluster.outcome().await;
    let history = History::start(cluster).await;
    let mark = cluster.audit().mark().await;
    let operator = Operator::start(cluster).await;
    taken_over(cluster).await;
    cluster.settled().await;
    let written = cluster.written_since(mark).await;
    assert_eq!(written.summary(), format!("patch egressipams/status: {pools}\n"), "{dump}:\n{written}");
    assert_eq!(cluster.outcome().await, before, "{dump}");
    assert_eq!(history.transcript().await, "", "{dump}");
    operator
}

/// Type, status, reason and message of the conditions, and the columns' facts.
async fn status(cluster: &Cluster, pool: &str) -> String {
    let pool = cluster.get("EgressIPAM", pool).await.expect("there").data;
    let conditions = pool["status"]["conditions"].as_array().expect("a list").iter().map(|condition| {
        let text = |name: &str| condition[name].as_str().unwrap_or_default().to_owned();
        format!("{}={} {} {}\n", text("type"), text("status"), text("reason"), text("message"))
    });
    let facts = ["owners", "summary"].map(|name| format!("{name} {}\n", pool["status"][name]));
    conditions.chain(facts).collect()
}

async fn status_is(cluster: &Cluster, pool: &str, expected: Expect) {
    expected.assert_eq(&status(cluster, pool).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_cidr() {
    let (cluster, _operator) = is_left_alone("baremetal-one-cidr", 1).await;
    status_is(
        &cluster,
        "egress-prod",
        expect![[r#"
        ReconcileSuccess=True LastReconcileCycleSucceded 
        ReconcileError=False LastReconcileCycleSucceded 
        Ready=True Served 4 namespaces served
        Degraded=False AsExpected 
        owners {"held":0,"served":4,"total":4,"waiting":0}
        summary {"used":"4/253","zones":"1/1"}
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_zones_and_a_stale_error_is_taken_back() {
    let (cluster, _operator) = is_left_alone("baremetal-three-zones", 1).await;
    status_is(
        &cluster,
        "egress-prod",
        expect![[r#"
        ReconcileSuccess=True LastReconcileCycleSucceded 
        ReconcileError=False LastReconcileCycleSucceded 
        Ready=True Served 4 namespaces served
        Degraded=False AsExpected 
        owners {"held":0,"served":4,"total":4,"waiting":0}
        summary {"used":"12/759","zones":"3/3"}
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pools_in_both_modes() {
    let (cluster, _operator) = is_left_alone("two-pools", 2).await;
    status_is(
        &cluster,
        "egress-dmz",
        expect![[r#"
        ReconcileSuccess=True LastReconcileCycleSucceded 
        ReconcileError=False LastReconcileCycleSucceded 
        Ready=True Served 3 namespaces served
        Degraded=False AsExpected 
        owners {"held":0,"served":3,"total":3,"waiting":0}
        summary {"used":"6/505","zones":"2/2"}
    "#]],
    )
    .await;
    status_is(
        &cluster,
        "egress-internal",
        expect![[r#"
        ReconcileSuccess=True LastReconcileCycleSucceded 
        ReconcileError=False LastReconcileCycleSucceded 
        Ready=True Served 3 namespaces served
        Degraded=False AsExpected 
        owners {"held":0,"served":3,"total":3,"waiting":0}
        summary {"used":"3/253","zones":"1/1"}
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_finalizer_and_every_annotation_stay_as_they_were() {
    let cluster = Cluster::start().await;
    cluster.load_dump("two-pools").await;
    let read = async || {
        let mut objects: Vec<Value> = Vec::new();
        for kind in ["EgressIPAM", "Namespace", "NetNamespace", "HostSubnet", "Node"] {
            for mut object in cluster.list(kind).await {
                object.metadata.managed_fields = None;
                if kind == "EgressIPAM" {
                    object.metadata.resource_version = None;
                    object.data["status"] = Value::Null;
                }
                objects.push(json!(object));
            }
        }
        objects
    };
    let before = read().await;
    let _operator = left_alone(&cluster, "two-pools", 2).await;
    assert_eq!(read().await, before);
}

/// Fields of ours are pruned by the definition of the old operator. They would be missing in every round.
#[tokio::test(flavor = "multi_thread")]
async fn under_the_old_definition_pruned_fields_are_not_written_for_ever() {
    let cluster = Cluster::start().await;
    cluster.serve_peer_definition().await;
    cluster.load_dump("baremetal-three-zones").await;
    let operator = left_alone(&cluster, "baremetal-three-zones", 1).await;
    let pool = cluster.get("EgressIPAM", "egress-prod").await.expect("there").data;
    assert_eq!(condition(&pool, "Ready")["status"], "True", "{pool}");
    assert_eq!(pool["status"]["owners"], Value::Null, "the old definition has no such field");

    let mark = cluster.audit().mark().await;
    let ((), ()) = tokio::join!(operator.plans_again(), cluster.create([namespace("bystander")]));
    cluster.settled().await;
    assert_eq!(cluster.written_since(mark).await.to_string(), "", "a later round");

    operator.stop().await;
    let mark = cluster.audit().mark().await;
    let _again = Operator::start(&cluster).await;
    cluster.settled().await;
    assert_eq!(cluster.written_since(mark).await.to_string(), "", "a restart");
}
