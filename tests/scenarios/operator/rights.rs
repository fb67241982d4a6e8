//! The operator needs exactly the rights in `deploy/rbac`: none is missing in a whole life, and a missing one is told.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::{becomes, is_served_within, serves, two_zones};
use crate::harness::bootstrap::{documents, fixtures, is_served};
use crate::harness::rights::{denied, unused};
use crate::harness::{
    Cluster, Matcher, Object, Operator, Proxy, Rule, SOON, User, eventually, namespace, peer_lock, pool,
};

/// A refused write is tried again after 5 s, then 10 s.
const HEALED: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_life_needs_every_right_and_no_other() {
    let cluster = Cluster::start().await;
    serve_private_ips(&cluster).await;
    serve_other_networks(&cluster).await;
    let mark = cluster.audit().mark().await;
    cluster.create(two_zones()).await;
    let proxy = Proxy::start(&cluster).await;
    // An object that somebody else wrote meanwhile is read by itself.
    for resource in ["egressipams", "hostsubnets", "namespaces", "netnamespaces"] {
        proxy.rule(Rule::answer(Matcher::changes().on(resource), 409).times(1));
    }
    let operator = Operator::launch(&cluster).through(&proxy).start().await;
    serves(&cluster, "shop").await;
    serves(&cluster, "billing").await;
    cluster.create([namespace("wrong").in_pool("egress").requesting("192.0.2.1")]).await;
    becomes(&cluster, "egress", "Degraded", "True", "wrong").await;
    forge_a_lock(&cluster, "billing").await;
    eventually("it is known for what it is", SOON, || async {
        let ignored = operator.metric("sluice_ignored_locks").await;
        if ignored == Some(1.0) { Ok(()) } else { Err(format!("{ignored:?}")) }
    })
    .await;
    cluster.set_ready("worker-a0", false).await;
    cluster.opt_in("billing", None).await;
    cluster.delete("Namespace", "wrong").await;
    cluster.create([pool("single").topology("kubernetes.io/hostname").range("worker-b1", "10.50.0.0/24")]).await;
    cluster.create([namespace("alone").in_pool("single")]).await;
    super::is_served(&cluster, "alone").await;
    cluster.delete("EgressIPAM", "egress").await;
    cluster.is_gone("EgressIPAM", "egress").await;
    cluster.settled().await;
    operator.stop().await;
    let asked = cluster.audit().since(mark).await.by(User::Sluice);
    assert_eq!(denied(&asked), "");
    for file in ["rbac/cluster-role.yaml", "rbac/lease.yaml"] {
        assert_eq!(unused(file, &asked), "", "deploy/{file} grants more than is needed");
    }
}

/// Has the cluster serve `CloudPrivateIPConfig`s.
async fn serve_private_ips(cluster: &Cluster) {
    let definition = documents(&fixtures().join("crds/001_cloudprivateipconfigs.crd.yaml")).remove(0);
    cluster.create([Object::from_json(definition)]).await;
    is_served(&cluster.client(), "CloudPrivateIPConfig").await;
}

/// Has the cluster serve what says which network there is, and the kind of the other one.
async fn serve_other_networks(cluster: &Cluster) {
    crate::harness::ovn::define(cluster).await;
    let definition = documents(&fixtures().join("crds/networks.crd.yaml")).remove(0);
    cluster.create([Object::from_json(definition)]).await;
    is_served(&cluster.client(), "Network").await;
}

/// What a tenant can do: a lock in his namespace, and an account that may do nothing.
async fn forge_a_lock(cluster: &Cluster, namespace: &str) {
    let metadata = json!({"name": "default", "namespace": namespace});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
    let lock = peer_lock(Timestamp::now()).set("metadata.namespace", namespace);
    cluster.create([Object::from_json(account), lock]).await;
}

/// Takes verbs on a resource out of the operator's role; returns the rules as they were.
async fn withdraw(cluster: &Cluster, resource: &str, verb: &str) -> Value {
    let granted: DynamicObject = cluster.get("ClusterRole", "sluice").await.expect("the role in deploy/rbac");
    let before = granted.data["rules"].clone();
    let mut remaining = Vec::new();
    for group in before.as_array().expect("rules") {
        for single in group["resources"].as_array().expect("resources") {
            let mut rule = group.clone();
            rule["resources"] = json!([single]);
            if single == resource {
                rule["verbs"].as_array_mut().expect("verbs").retain(|kept| kept != verb);
            }
            remaining.push(rule);
        }
    }
    cluster.patch("ClusterRole", "sluice", &json!({ "rules": remaining })).await;
    before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_is_told_and_its_return_heals() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let operator = Operator::start(&cluster).await;
    serves(&cluster, "shop").await;
    let rules = withdraw(&cluster, "netnamespaces", "patch").await;
    cluster.create([namespace("late").in_pool("egress")]).await;
    eventually("the log says what is not allowed", SOON, || async {
        let log = operator.log();
        if log.contains("cannot patch resource") && log.contains("netnamespaces") { Ok(()) } else { Err(log) }
    })
    .await;
    becomes(&cluster, "egress", "ReconcileError", "True", "netnamespaces").await;
    let before = cluster.outcome().await;
    assert_eq!(before.namespaces["late"].annotated, None, "nothing is claimed that is not so");
    assert!(operator.is_running());

    cluster.patch("ClusterRole", "sluice", &json!({ "rules": rules })).await;
    is_served_within(&cluster, "late", HEALED).await;
    becomes(&cluster, "egress", "ReconcileSuccess", "True", "").await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_to_watch_that_is_missing_at_the_start_is_named_by_the_probe() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let rules = withdraw(&cluster, "hostsubnets", "list").await;
    let operator = Operator::launch(&cluster).spawn();
    eventually("readyz names it", SOON, || async {
        let (_, text) = operator.probe("/readyz").await?;
        if text.contains("hostsubnets") && text.contains("forbidden") { Ok(()) } else { Err(text) }
    })
    .await;
    cluster.patch("ClusterRole", "sluice", &json!({ "rules": rules })).await;
    eventually("it is ready", HEALED, || async {
        let (status, text) = operator.probe("/readyz").await?;
        if status.is_success() { Ok(()) } else { Err(text) }
    })
    .await;
    serves(&cluster, "shop").await;
}

/// The token of the kubeconfig, at every level of the log, through success and failure.
#[tokio::test(flavor = "multi_thread")]
async fn no_token_shows_in_the_log_or_anywhere_else() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let operator = Operator::launch(&cluster).env("RUST_LOG", "trace").start().await;
    serves(&cluster, "shop").await;
    withdraw(&cluster, "namespaces", "patch").await;
    cluster.create([namespace("late").in_pool("egress")]).await;
    becomes(&cluster, "egress", "ReconcileError", "True", "namespaces").await;
    cluster.stop_apiserver();
    eventually("it has noticed", SOON, || async {
        let log = operator.log();
        if log.contains("refused") { Ok(()) } else { Err("nothing in the log") }
    })
    .await;
    let (_, metrics) = operator.page("/metrics").await.expect("metrics");
    let (_, ready) = operator.probe("/readyz").await.expect("an answer");
    operator.stop().await;
    cluster.start_apiserver().await;
    let status = super::pool_status(&cluster, "egress").await.to_string();
    for (place, text) in [("log", operator.log()), ("metrics", metrics), ("readyz", ready), ("status", status)] {
        assert!(!text.contains("sluice-token"), "{place}:\n{}", around(&text, "sluice-token"));
    }
}

fn around(text: &str, what: &str) -> String {
    text.lines().filter(|line| line.contains(what)).take(3).collect::<Vec<_>>().join("\n")
}

/// `GET /apis` is about no resource.
fn what(resource: &str) -> &str {
    if resource.is_empty() { "(which groups are served)" } else { resource }
}

/// What it asks for is what it needs: no lists of secrets, pods or anything else.
#[tokio::test(flavor = "multi_thread")]
async fn it_asks_for_nothing_else() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let proxy = Proxy::start(&cluster).await;
    let operator = Operator::launch(&cluster).through(&proxy).start().await;
    serves(&cluster, "shop").await;
    operator.stop().await;
    let mut resources: Vec<String> = proxy
        .asked(&Matcher::any())
        .into_iter()
        .map(|asked| format!("{} {}", asked.method, what(&asked.resource)))
        .collect();
    resources.sort();
    resources.dedup();
    expect_test::expect![[r#"
        GET (which groups are served)
        GET cloudprivateipconfigs
        GET configmaps
        GET customresourcedefinitions
        GET egressipams
        GET egressips
        GET hostsubnets
        GET infrastructures
        GET leases
        GET namespaces
        GET netnamespaces
        GET networks
        GET nodes
        PATCH egressipams
        PATCH hostsubnets
        PATCH leases
        PATCH namespaces
        PATCH netnamespaces
        POST leases"#]]
    .assert_eq(&resources.join("\n"));
}
