//! R17: while the old operator holds its lock, Sluice plans and reports, and writes nothing.

use std::fs;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    HOLDER, folder, lock_record, plan, planned_targets, release_lock, renew_lock, taken_over, written_targets,
};
use crate::harness::{Cluster, Operator, PEER_LOCK, SOON, bootstrap, eventually};

const HOUR: i64 = 3600;

/// Longest from the lock's end to the first write. Nothing announces that end.
const NOTICED: SignedDuration = SignedDuration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_until_the_old_operators_lock_runs_out() {
    let repairs = planned_targets(&plan(&["--adopt"], &folder("messy-duplicates")).await.json());
    let cluster = Cluster::start().await;
    cluster.load_dump("messy-duplicates").await;
    renew_lock(&cluster, Timestamp::now(), 15).await;
    let before = cluster.outcome().await;
    let mark = cluster.audit().mark().await;
    let _operator = Operator::start(&cluster).await;
    let renewed = Timestamp::now();
    renew_lock(&cluster, renewed, 15).await;
    cluster.settled().await;
    assert_eq!(written_targets(cluster.written_since(mark).await), Vec::<String>::new());
    assert_eq!(cluster.outcome().await, before);

    // The lock says when it was renewed in whole seconds.
    let end = renewed + SignedDuration::from_secs(14);
    eventually("everything is repaired", Duration::from_mins(1), || async {
        let done = written_targets(cluster.written_since(mark).await);
        let now = Timestamp::now();
        assert!(done.is_empty() || now >= end, "written before the lock ran out: {done:#?}");
        assert!(!done.is_empty() || now < end + NOTICED, "nobody noticed that the lock ran out");
        if done == repairs { Ok(()) } else { Err(format!("{done:#?}")) }
    })
    .await;
    taken_over(&cluster).await;
    cluster.assert_sound().await;
}

/// A clock that went wrong on the old operator's node, or a hand that wrote the lock: nobody is there to release it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_from_the_future_is_believed_for_its_duration_only() {
    let cluster = Cluster::start().await;
    cluster.load_dump("two-pools").await;
    renew_lock(&cluster, Timestamp::now() + SignedDuration::from_hours(24 * 365), 3).await;
    let operator = Operator::start(&cluster).await;
    eventually("the lock is seen", SOON, || async {
        let log = operator.log();
        if log.contains("holds its lock") { Ok(()) } else { Err(log) }
    })
    .await;
    taken_over(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_operator_coming_back_stops_all_writes() {
    let cluster = Cluster::start().await;
    cluster.load_dump("two-pools").await;
    let _operator = Operator::start(&cluster).await;
    taken_over(&cluster).await;
    cluster.settled().await;
    renew_lock(&cluster, Timestamp::now(), HOUR).await;
    let mark = cluster.audit().mark().await;
    cluster.opt_in("shop", None).await;
    cluster.set_ready("dmz-b1", false).await;
    cluster.settled().await;
    assert_eq!(written_targets(cluster.written_since(mark).await), Vec::<String>::new());
    release_lock(&cluster).await;
    eventually("what was due is done", SOON, || async {
        let outcome = cluster.outcome().await;
        let is_done = outcome.addresses_of("shop").is_empty() && outcome.nodes_of("10.31.0.4") == ["dmz-b0"];
        if is_done { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_shows_no_writes_under_the_lock_unless_told_to_adopt() {
    let copy = tempfile::tempdir().expect("a temporary folder");
    for entry in fs::read_dir(folder("messy-duplicates")).expect("the dump is there").flatten() {
        fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a file can be copied");
    }
    let mut locks = bootstrap::documents(&copy.path().join("configmaps.yaml")).remove(0);
    let lock = &mut locks["items"][0]["metadata"];
    assert_eq!(lock["name"], PEER_LOCK);
    lock["annotations"] = json!({
        "control-plane.alpha.kubernetes.io/leader": lock_record(HOLDER, Timestamp::now(), HOUR),
    });
    fs::write(copy.path().join("configmaps.yaml"), locks.to_string()).expect("the folder is writable");

    let waiting = plan(&[], copy.path()).await.ended_with(10).json();
    assert_eq!(waiting["writes"], json!([]));
    let adopting = plan(&["--adopt"], copy.path()).await.ended_with(10).json();
    let anyway = plan(&["--adopt"], &folder("messy-duplicates")).await.ended_with(10).json();
    assert_eq!(adopting["writes"], anyway["writes"]);
    assert_eq!(waiting["patches"], adopting["patches"], "what is wrong is shown all the same");
    assert_ne!(adopting["writes"], json!([]));
    let held_long_ago = plan(&[], &folder("messy-duplicates")).await.ended_with(10).json();
    assert_eq!(held_long_ago["writes"], anyway["writes"], "a lock that ran out is no lock");
}
