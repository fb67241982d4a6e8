//! R17: while redhat-cop's operator holds its lock, Sluice looks on.

use std::time::Duration;

use expect_test::expect;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::json;

use crate::harness::audit::Mark;
use crate::harness::{Cluster, Object, Operator, eventually, namespace, peer_lock, serving, two_zones};

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
    cluster.create([namespace("openshift-peer")]).await;
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
