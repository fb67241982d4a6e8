use std::process::Command;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use kube::api::{DynamicObject, Patch, PatchParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;

use crate::harness::process::Process;
use crate::harness::{Cluster, Matcher, Object, Proxy, Rule, SOON, User, kinds, namespace, net_namespace};

/// A cluster where user `sluice` may do everything, a proxy to it, and a client of that proxy.
async fn proxied() -> (Cluster, Proxy, Client) {
    let cluster = Cluster::start().await;
    cluster.openshift().stop().await;
    cluster.create([namespace("shop"), net_namespace("shop"), all_rights()]).await;
    let proxy = Proxy::start(&cluster).await;
    let kubeconfig = Kubeconfig::read_from(proxy.kubeconfig()).expect("the proxy wrote it");
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("valid");
    config.default_retry = false;
    let client = Client::try_from(config).expect("a valid configuration");
    (cluster, proxy, client)
}

fn all_rights() -> Object {
    Object::from_json(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": { "name": "sluice-may-do-everything" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": User::Sluice.account() }],
    }))
}

async fn write(client: &Client, address: &str) -> kube::Result<DynamicObject> {
    let patch = Patch::Merge(json!({ "egressIPs": [address] }));
    kinds::all(client, "NetNamespace").patch("shop", &PatchParams::default(), &patch).await
}

fn code<T: std::fmt::Debug>(result: &kube::Result<T>) -> Option<u16> {
    match result {
        Err(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_dies_after_the_kth_write_is_committed() {
    let (cluster, proxy, client) = proxied().await;
    let mut command = Command::new("sleep");
    command.arg("600");
    let target = Process::spawn("target", command).expect("sleep is there");
    proxy.target().set(target.clone());
    proxy.kill_after(3, Matcher::changes());
    write(&client, "10.20.0.1").await.expect("the first write passes");
    kinds::all(&client, "NetNamespace").get("shop").await.expect("reads pass");
    write(&client, "10.20.0.2").await.expect("the second write passes");
    assert!(target.status().is_none());
    write(&client, "10.20.0.3").await.expect_err("the third write has no answer");
    assert!(target.wait(SOON).await.is_some());
    assert_eq!(cluster.outcome().await.addresses_of("shop"), ["10.20.0.3"]);
    write(&client, "10.20.0.4").await.expect("the proxy goes on");
    let writes = cluster.audit().since(cluster.audit().mark().await).await;
    assert_eq!(writes.by(User::Sluice).count(), 0);
    assert_eq!(proxy.asked(&Matcher::writes().on("netnamespaces").named("shop")).len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_dies_before_the_kth_write_is_committed() {
    let (cluster, proxy, client) = proxied().await;
    let mut command = Command::new("sleep");
    command.arg("600");
    let target = Process::spawn("target", command).expect("sleep is there");
    proxy.target().set(target.clone());
    proxy.kill_before(2, Matcher::changes());
    write(&client, "10.20.0.1").await.expect("the first write passes");
    assert!(target.status().is_none());
    write(&client, "10.20.0.2").await.expect_err("the second write has no answer");
    assert!(target.wait(SOON).await.is_some());
    assert_eq!(cluster.outcome().await.addresses_of("shop"), ["10.20.0.1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_refused_as_often_as_asked() {
    let (cluster, proxy, client) = proxied().await;
    for status in [409, 410, 429, 500, 503] {
        proxy.clear();
        proxy.rule(Rule::answer(Matcher::writes().on("netnamespaces"), status).times(2));
        assert_eq!(code(&write(&client, "10.20.0.1").await), Some(status));
        assert_eq!(code(&write(&client, "10.20.0.1").await), Some(status));
        write(&client, "10.20.0.2").await.expect("the third passes");
    }
    assert_eq!(cluster.outcome().await.addresses_of("shop"), ["10.20.0.2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_late_lost_or_never_come() {
    let (cluster, proxy, client) = proxied().await;
    let delay = Duration::from_millis(200);
    proxy.rule(Rule::delay(Matcher::writes(), delay).times(1));
    let begin = Instant::now();
    write(&client, "10.20.0.1").await.expect("late, but answered");
    assert!(begin.elapsed() >= delay);

    proxy.rule(Rule::cut_after(Matcher::writes()).times(1));
    write(&client, "10.20.0.2").await.expect_err("no answer");
    assert_eq!(cluster.outcome().await.addresses_of("shop"), ["10.20.0.2"]);

    proxy.rule(Rule::cut_before(Matcher::writes()).times(1));
    write(&client, "10.20.0.3").await.expect_err("no answer");
    assert_eq!(cluster.outcome().await.addresses_of("shop"), ["10.20.0.2"]);

    proxy.rule(Rule::hang(Matcher::writes()).times(1));
    tokio::time::timeout(delay, write(&client, "10.20.0.4")).await.expect_err("hangs");
    write(&client, "10.20.0.5").await.expect("the rule is used up");
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_stream_through_and_can_be_cut() {
    let (_cluster, proxy, client) = proxied().await;
    let api = kinds::all(&client, "NetNamespace");
    let events = api.watch(&WatchParams::default(), "0").await.expect("the watch starts");
    let mut events = Box::pin(events);
    assert!(matches!(events.try_next().await, Ok(Some(WatchEvent::Added(_)))));
    write(&client, "10.20.0.9").await.expect("passes");
    loop {
        match events.try_next().await {
            Ok(Some(WatchEvent::Modified(object))) => break assert_eq!(object.data["egressIPs"], json!(["10.20.0.9"])),
            Ok(Some(WatchEvent::Bookmark(_))) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(proxy.asked(&Matcher::watches().on("netnamespaces")).len(), 1);
    proxy.cut();
    assert!(!matches!(events.try_next().await, Ok(Some(_))), "the watch is still open");
    write(&client, "10.20.0.10").await.expect("new connections pass");
}
