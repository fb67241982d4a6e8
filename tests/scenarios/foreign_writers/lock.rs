//! R17: while redhat-cop's operator holds its lock, Sluice looks on.

use std::time::Duration;

use expect_test::expect;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::json;

use crate::harness::audit::Mark;
use crate::harness::{
    Cluster, Matcher, Object, Operator, Proxy, Rule, SOON, User, eventually, namespace, peer_lock, serving, two_zones,
};

/// For how long the lock is taken after its renewal.
const LEASE: i64 = 15;
const PATIENCE: Duration = Duration::from_secs(30);

/// A lock that runs out this many seconds from now, and the time at which it does.
fn lock_for(seconds: i64) -> (Object, Timestamp) {
    let until = Timestamp::from_second(Timestamp::now().as_second() + seconds).expect("a time");
    (peer_lock(until - SignedDuration::from_secs(LEASE)), until)
}

fn locks(cluster: &Cluster, lock: &Object) -> Api<DynamicObject> {
    cluster.api("ConfigMap", lock.namespace())
}

async fn renew(cluster: &Cluster, lock: &Object) {
    let renewed = locks(cluster, lock).patch(lock.name(), &PatchParams::default(), &Patch::Merge(lock.json())).await;
    renewed.expect("a tester may do everything");
}

fn account(namespace: &str, name: &str) -> Object {
    let metadata = json!({ "namespace": namespace, "name": name });
    Object::from_json(json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }))
}

/// Lets somebody do what the operator may, patching NetNamespaces included.
fn may_patch_net_namespaces(subject: &serde_json::Value) -> Object {
    Object::from_json(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": { "name": "peer" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sluice" },
        "subjects": [subject],
    }))
}

/// A lock in a namespace that may be anybody's, held for ten minutes.
fn lock_in(namespace: &str) -> Object {
    let now = Timestamp::now();
    let record = json!({
        "holderIdentity": "egressip-ipam-operator-controller-manager-6d9fbd7c5b-ngq2c_1",
        "leaseDurationSeconds": 600,
        "renewTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    });
    let key = "control-plane.alpha.kubernetes.io/leader";
    peer_lock(now).annotation(key, &record.to_string()).set("metadata.namespace", namespace)
}

async fn metric_becomes(operator: &Operator, name: &str, expected: f64) {
    eventually(name, SOON, || async {
        let seen = operator.metric(name).await;
        if seen == Some(expected) { Ok(()) } else { Err(format!("{name} {seen:?}, not {expected}")) }
    })
    .await;
}

/// Waits for a time, and fails if Sluice writes anything before.
async fn nothing_is_written_until(cluster: &Cluster, mark: Mark, until: Timestamp) {
    eventually("the lock runs out", PATIENCE, || async {
        let written = cluster.written_since(mark).await;
        if Timestamp::now() >= until {
            return Ok(());
        }
        assert_eq!(written.to_string(), "", "written while the lock is held");
        Err(format!("held until {until}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_until_the_lock_runs_out() {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones()).await;
    cluster.furnish([namespace("shop").in_pool("egress"), namespace("lost").in_pool("nowhere")]).await;
    let (lock, _) = lock_for(12);
    cluster.create([lock]).await;
    let mark = cluster.audit().mark().await;
    let operator = Operator::launch(&cluster).spawn();
    operator.looks_again(0.0).await;
    for _ in 0..2 {
        let (lock, until) = lock_for(3);
        renew(&cluster, &lock).await;
        let nearly = until - SignedDuration::from_secs(1);
        nothing_is_written_until(&cluster, mark, nearly).await;
    }
    let (lock, until) = lock_for(3);
    renew(&cluster, &lock).await;
    nothing_is_written_until(&cluster, mark, until).await;
    cluster
        .rests(expect![[r"
            lost: nowhere
            shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
        "]])
        .await;
    cluster.hold_becomes("lost", Some("pool-missing: there is no EgressIPAM nowhere")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_taken_while_sluice_runs_stops_it() {
    let (cluster, operator) = serving(&["shop"]).await;
    let (lock, until) = lock_for(4);
    cluster.create([namespace("openshift-peer"), account("openshift-peer", "manager")]).await;
    cluster
        .create([may_patch_net_namespaces(
            &json!({"kind": "ServiceAccount", "namespace": "openshift-peer", "name": "manager"}),
        )])
        .await;
    let lock = lock.set("metadata.namespace", "openshift-peer");
    let rounds = operator.rounds().await;
    cluster.create([lock.clone()]).await;
    operator.looks_again(rounds).await;
    let mark = cluster.audit().mark().await;
    cluster.patch("HostSubnet", "worker-a0", &json!({ "egressIPs": [] })).await;
    cluster.opt_in("shop", None).await;
    nothing_is_written_until(&cluster, mark, until).await;
    cluster
        .rests(expect![[r"
            openshift-peer: -
            shop: -
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_given_back_is_no_obstacle() {
    let (cluster, operator) = serving(&["billing"]).await;
    let (lock, _) = lock_for(600);
    let rounds = operator.rounds().await;
    cluster.create([lock.clone()]).await;
    operator.looks_again(rounds).await;
    let (mark, rounds) = (cluster.audit().mark().await, operator.rounds().await);
    cluster.furnish([namespace("shop").in_pool("egress")]).await;
    operator.looks_again(rounds).await;
    cluster.settled().await;
    assert_eq!(cluster.written_since(mark).await.to_string(), "");
    let key = "control-plane.alpha.kubernetes.io/leader";
    let nobody = json!({ "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": "2026-01-01T00:00:00Z" });
    renew(&cluster, &lock.annotation(key, &nobody.to_string())).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_whose_holder_is_long_gone_is_no_obstacle() {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones()).await;
    cluster.furnish([namespace("shop").in_pool("egress")]).await;
    cluster.create([peer_lock("2026-01-01T00:00:00Z".parse().expect("a time"))]).await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .rests(expect![[r"
            shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_a_tenant_forged_stops_nothing_and_is_told() {
    let (cluster, operator) = serving(&["billing"]).await;
    cluster.create([namespace("tenant"), account("tenant", "default")]).await;
    cluster.create([lock_in("tenant")]).await;
    metric_becomes(&operator, "sluice_ignored_locks", 1.0).await;
    metric_becomes(&operator, "sluice_foreign_lock", 0.0).await;
    cluster.furnish([namespace("shop").in_pool("egress")]).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
            tenant: -
        "]])
        .await;
    let log = operator.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("do not count")).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("tenant"), "{told:#?}");
    // Changes of it wake nobody.
    let rounds = operator.rounds().await;
    for seconds in [500, 400, 300] {
        renew(&cluster, &lock_for(seconds).0.set("metadata.namespace", "tenant")).await;
    }
    cluster.settled().await;
    assert!(operator.rounds().await < rounds + 3.0, "a round for each of its changes");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_of_a_group_of_accounts_count_too() {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones()).await;
    cluster.furnish([namespace("shop").in_pool("egress"), namespace("ops")]).await;
    cluster.create([account("ops", "manager")]).await;
    let group = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:serviceaccounts:ops"});
    cluster.create([may_patch_net_namespaces(&group)]).await;
    cluster.create([lock_in("ops")]).await;
    let mark = cluster.audit().mark().await;
    let operator = Operator::start(&cluster).await;
    eventually("it is known why", SOON, || async {
        let log = operator.log();
        if log.contains("where a service account may patch NetNamespaces") { Ok(()) } else { Err(log) }
    })
    .await;
    assert_eq!(cluster.written_since(mark).await.to_string(), "");
    // A tenant who is not the old operator frees nobody: it is asked again long before the answer runs out.
    metric_becomes(&operator, "sluice_foreign_lock", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_namespace_counts_without_a_question() {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones()).await;
    cluster.furnish([namespace("shop").in_pool("egress"), namespace("ops")]).await;
    cluster.create([lock_in("ops")]).await;
    let mark = cluster.audit().mark().await;
    let operator = Operator::launch(&cluster).args(&["--old-operator-namespace", "ops"]).start().await;
    metric_becomes(&operator, "sluice_foreign_lock", 1.0).await;
    eventually("it is known why", SOON, || async {
        let log = operator.log();
        if log.contains("in namespace ops, where it is expected") { Ok(()) } else { Err(log) }
    })
    .await;
    let asked = cluster.audit().since(mark).await.by(User::Sluice);
    assert_eq!(asked.clone().on("subjectaccessreviews").count(), 0);
    assert_eq!(asked.writes().except(&["leases"]).to_string(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_without_an_answer_counts_as_yes() {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones()).await;
    cluster.furnish([namespace("shop").in_pool("egress"), namespace("tenant")]).await;
    cluster.create([account("tenant", "default"), lock_in("tenant")]).await;
    for (resource, effect) in [("subjectaccessreviews", None), ("serviceaccounts", Some(503))] {
        let proxy = Proxy::start(&cluster).await;
        let matcher = Matcher::any().on(resource);
        proxy.rule(effect.map_or_else(|| Rule::hang(matcher.clone()), |code| Rule::answer(matcher.clone(), code)));
        let mark = cluster.audit().mark().await;
        let operator = Operator::launch(&cluster).through(&proxy).start().await;
        eventually("it is told", SOON, || async {
            let log = operator.log();
            let why = if effect.is_none() { "no answer within 5 s" } else { "serviceaccounts: " };
            let is_told =
                log.contains("it is not known whether a service account may patch NetNamespaces") && log.contains(why);
            if is_told { Ok(()) } else { Err(log) }
        })
        .await;
        metric_becomes(&operator, "sluice_foreign_lock", 1.0).await;
        metric_becomes(&operator, "sluice_ignored_locks", 0.0).await;
        assert_eq!(cluster.written_since(mark).await.to_string(), "");
        operator.stop().await;
    }
    let proxy = Proxy::start(&cluster).await;
    proxy.rule(Rule::answer(Matcher::any().on("subjectaccessreviews"), 403).times(1));
    let operator = Operator::launch(&cluster).through(&proxy).start().await;
    eventually("it is asked again", Duration::from_mins(1), || async {
        let ignored = operator.metric("sluice_ignored_locks").await;
        if ignored == Some(1.0) { Ok(()) } else { Err(format!("{ignored:?}")) }
    })
    .await;
    cluster
        .rests(expect![[r"
            shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            tenant: -
        "]])
        .await;
}

/// Accounts are cheap: making many of them neither stops writes nor has us ask without end.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_many_accounts_stops_nothing() {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones()).await;
    cluster.furnish([namespace("shop").in_pool("egress"), namespace("tenant")]).await;
    cluster.store((0..700).map(|number| account("tenant", &format!("robot-{number}")))).await;
    cluster.create([lock_in("tenant")]).await;
    let mark = cluster.audit().mark().await;
    let operator = Operator::start(&cluster).await;
    metric_becomes(&operator, "sluice_ignored_locks", 1.0).await;
    cluster
        .rests(expect![[r"
            shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            tenant: -
        "]])
        .await;
    let asked = cluster.audit().since(mark).await.by(User::Sluice);
    let lists = asked.clone().on("serviceaccounts").count();
    assert!(lists > 0 && asked.on("subjectaccessreviews").count() <= 500 * lists);
}

/// Each write of this round is answered late, and those of namespaces wait for those of nodes: the lock comes between.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_taken_in_the_middle_of_a_round_stops_the_rest_of_it() {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones()).await;
    cluster.furnish([namespace("egressip-ipam-operator"), namespace("shop").in_pool("egress")]).await;
    let proxy = Proxy::start(&cluster).await;
    proxy.rule(Rule::delay(Matcher::changes().on("hostsubnets"), Duration::from_secs(3)));
    let mark = cluster.audit().mark().await;
    let operator = Operator::launch(&cluster).through(&proxy).spawn();
    eventually("nodes are written", SOON, || async {
        let asked = proxy.asked(&Matcher::changes().on("hostsubnets")).len();
        if asked > 0 { Ok(()) } else { Err("nothing is asked") }
    })
    .await;
    cluster.create([lock_in("egressip-ipam-operator")]).await;
    metric_becomes(&operator, "sluice_foreign_lock", 1.0).await;
    cluster.settled().await;
    let written = cluster.written_since(mark).await;
    assert_eq!(written.clone().on("netnamespaces").to_string(), "", "{written}");
    assert_eq!(written.on("namespaces").to_string(), "");
}
