//! Namespaces go and opt out: what they had is free again, in this order and with these writes.

use expect_test::{Expect, expect};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::harness::{
    ADDRESSES_ANNOTATION, Cluster, History, Operator, POOL_ANNOTATION, SOON, While, eventually, host_subnet, namespace,
    net_namespace, serving, two_zones,
};

/// What is left when `shop` has gone.
fn billing_alone() -> Expect {
    expect![[r"
        billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
    "]]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminating_namespace_keeps_its_addresses_until_it_is_gone() {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    cluster.keeps_terminating("shop", true);
    let (mark, rounds) = (cluster.audit().mark().await, operator.rounds().await);
    cluster.delete("Namespace", "shop").await;
    operator.looks_again(rounds).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0, terminating
        "]])
        .await;
    assert_eq!(cluster.written_since(mark).await.to_string(), "");
    cluster.keeps_terminating("shop", false);
    cluster.rests(billing_alone()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminating_namespace_keeps_its_addresses_over_a_restart() {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    cluster.keeps_terminating("shop", true);
    let delete = async || cluster.delete("Namespace", "shop").await;
    let _operator = cluster.disturb(operator, While::Down, delete).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0, terminating
        "]])
        .await;
    cluster.keeps_terminating("shop", false);
    cluster.rests(billing_alone()).await;
}

async fn deleted(when: While) {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    let delete = async || {
        cluster.delete("Namespace", "shop").await;
        cluster.is_gone("Namespace", "shop").await;
        cluster.is_gone("NetNamespace", "shop").await;
    };
    let _operator = cluster.disturb(operator, when, delete).await;
    cluster.rests(billing_alone()).await;
    cluster.create([namespace("later").in_pool("egress")]).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            later: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_addresses_of_a_deleted_namespace_are_free_again() {
    deleted(While::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_addresses_of_a_namespace_deleted_while_the_operator_is_down_are_free_again() {
    deleted(While::Down).await;
}

async fn made_again(when: While) {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    let delete_and_make = async || {
        cluster.delete("Namespace", "shop").await;
        cluster.is_gone("NetNamespace", "shop").await;
        cluster.create([namespace("shop")]).await;
    };
    let _operator = cluster.disturb(operator, when, delete_and_make).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: -
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_made_again_under_its_old_name_inherits_nothing() {
    made_again(While::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_made_again_while_the_operator_is_down_inherits_nothing() {
    made_again(While::Down).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_net_namespace_that_outlives_its_namespace_is_emptied() {
    let (cluster, _operator) = serving(&["billing", "shop"]).await;
    cluster.openshift().switch(|switches| switches.net_namespaces = false);
    let mark = cluster.audit().mark().await;
    cluster.delete("Namespace", "shop").await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: NetNamespace without Namespace
        "]])
        .await;
    let written = cluster.written_since(mark).await.except(&["egressipams/status"]);
    assert_eq!(written.summary(), "patch hostsubnets: 2\npatch netnamespaces: 1\n");
}

/// `shop` opts out by losing these annotations.
async fn opted_out(when: While, keys: &[&str], writes: Expect) {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    let history = History::start(&cluster).await;
    let mark = cluster.audit().mark().await;
    let annotations: serde_json::Map<String, Value> = keys.iter().map(|key| ((*key).into(), Value::Null)).collect();
    let patch = json!({ "metadata": { "annotations": annotations } });
    let opt_out = async || cluster.patch("Namespace", "shop", &patch).await;
    let _operator = cluster.disturb(operator, when, opt_out).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: -
        "]])
        .await;
    writes.assert_eq(&cluster.written_since(mark).await.except(&["egressipams/status"]).summary());
    for (kind, key) in
        [("Namespace", ADDRESSES_ANNOTATION), ("NetNamespace", "sluice.dev/pool"), ("NetNamespace", "sluice.dev/zones")]
    {
        assert_eq!(cluster.annotation_of(kind, "shop", key).await, None, "{key} is still there");
    }
    let steps = history.steps().await;
    let by_sluice = steps.iter().filter(|step| !(keys.contains(&ADDRESSES_ANNOTATION) && step.kind == "Namespace"));
    let order: Vec<&str> = by_sluice.map(|step| step.kind).collect();
    let annotated_last: &[&str] = if keys.contains(&ADDRESSES_ANNOTATION) { &[] } else { &["Namespace"] };
    assert_eq!(order, [&["NetNamespace", "HostSubnet", "HostSubnet"], annotated_last].concat());
}

fn three_kinds() -> Expect {
    expect![[r#"
        patch hostsubnets: 2
        patch namespaces: 1
        patch netnamespaces: 1
    "#]]
}

fn two_kinds() -> Expect {
    expect![[r#"
        patch hostsubnets: 2
        patch netnamespaces: 1
    "#]]
}

#[tokio::test(flavor = "multi_thread")]
async fn opted_out_by_the_pool_annotation_alone() {
    opted_out(While::Running, &[POOL_ANNOTATION], three_kinds()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opted_out_by_both_annotations() {
    opted_out(While::Running, &[POOL_ANNOTATION, ADDRESSES_ANNOTATION], two_kinds()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opted_out_by_the_pool_annotation_alone_while_the_operator_is_down() {
    opted_out(While::Down, &[POOL_ANNOTATION], three_kinds()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opted_out_by_both_annotations_while_the_operator_is_down() {
    opted_out(While::Down, &[POOL_ANNOTATION, ADDRESSES_ANNOTATION], two_kinds()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sluice_did_not_write_it_does_not_take_without_a_word() {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones()).await;
    cluster
        .furnish([
            namespace("partner").in_pool("egress").requesting("10.20.0.9,10.21.0.9"),
            net_namespace("partner").addresses(&["10.20.0.9", "10.21.0.9"]),
            host_subnet("worker-a0").addresses(&["10.20.0.9"]),
            host_subnet("worker-b0").addresses(&["10.21.0.9"]),
        ])
        .await;
    let operator = Operator::start(&cluster).await;
    cluster.condition_becomes("egress", "Ready", expect!["True Served: 1 namespaces served"]).await;
    cluster.settled().await;
    let (mark, rounds) = (cluster.audit().mark().await, operator.rounds().await);
    let neither = json!({ "metadata": { "annotations": { POOL_ANNOTATION: null, ADDRESSES_ANNOTATION: null } } });
    cluster.patch("Namespace", "partner", &neither).await;
    operator.looks_again(rounds).await;
    cluster
        .rests(expect![[r"
            partner: 10.20.0.9 on worker-a0, 10.21.0.9 on worker-b0, not annotated
        "]])
        .await;
    assert_eq!(cluster.written_since(mark).await.except(&["egressipams/status"]).to_string(), "");
    // Now they are a stranger's: nobody else gets them.
    cluster.create([namespace("shop").in_pool("egress").requesting("10.20.0.9,10.21.0.9")]).await;
    cluster.hold_becomes("shop", Some("request-taken: 10.20.0.9 belongs to somebody else")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_opt_out_at_once() {
    let names: Vec<String> = (0..40).map(|number| format!("team-{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (cluster, _operator) = serving(&names).await;
    let history = History::start(&cluster).await;
    let mark = cluster.audit().mark().await;
    let leaving = &names[1..];
    join_all(leaving.iter().map(|name| cluster.opt_in(name, None))).await;
    eventually("all but one have nothing", SOON, || async {
        let outcome = cluster.outcome().await;
        let text = outcome.to_string();
        if leaving.iter().all(|name| text.contains(&format!("{name}: -\n"))) { Ok(()) } else { Err(text) }
    })
    .await;
    cluster.settled().await;
    cluster.assert_sound().await;
    let outcome = cluster.outcome().await;
    assert_eq!(outcome.addresses_of("team-00"), ["10.20.0.2", "10.21.0.2"]);
    let carried: Vec<&Vec<String>> = outcome.host_subnets.values().map(|state| &state.carried).collect();
    assert_eq!(carried, [&["10.20.0.2"], &["10.21.0.2"]]);
    let written = cluster.written_since(mark).await;
    for resource in ["namespaces", "netnamespaces"] {
        assert_eq!(written.clone().on(resource).count(), leaving.len(), "{}", written.summary());
    }
    assert_eq!(history.breaches().await, [""; 0]);
}
