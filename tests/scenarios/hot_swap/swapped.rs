//! Good policies take over, and what works stays where it is.

use std::fs;

use super::{
    Files, PACK, SWAP, ZONE_SPREAD, a_new_namespace_is_served, is_active, nothing_is_refused, running, status,
};
use crate::harness::{History, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_takes_over_and_gives_back_without_moving_anything() {
    let files = Files::new(ZONE_SPREAD, "{}");
    let (cluster, operator) = running(&files).await;
    is_active(&cluster, "zone-spread", ZONE_SPREAD).await;
    let pid = operator.process().id();
    let history = History::start(&cluster).await;

    files.replace_policy(PACK);
    is_active(&cluster, "pack", PACK).await;
    cluster.settled().await;
    assert_eq!(history.transcript().await, "", "nothing moves by itself");
    a_new_namespace_is_served(&cluster, "third").await;
    a_new_namespace_is_served(&cluster, "fourth").await;

    files.replace_policy(ZONE_SPREAD);
    is_active(&cluster, "zone-spread", ZONE_SPREAD).await;
    cluster.settled().await;
    a_new_namespace_is_served(&cluster, "fifth").await;
    // One fills a node, the other takes the emptier one; which is the fuller one at first is the seed's choice.
    let outcome = cluster.outcome().await;
    let nodes = |name: &str| outcome.addresses_of(name).iter().flat_map(|ip| outcome.nodes_of(ip)).collect::<Vec<_>>();
    assert_eq!(outcome.addresses_of("third"), ["10.20.0.4", "10.21.0.4"]);
    assert_eq!(outcome.addresses_of("fourth"), ["10.20.0.5", "10.21.0.5"]);
    assert_eq!(outcome.addresses_of("fifth"), ["10.20.0.6", "10.21.0.6"]);
    assert_eq!(nodes("third"), nodes("fourth"));
    assert!(nodes("fifth").iter().all(|node| !nodes("third").contains(node)), "{outcome}");
    cluster.assert_sound().await;
    let moved: Vec<_> = history.steps().await.into_iter().filter(has_lost).collect();
    assert!(moved.is_empty(), "{moved:?}");
    assert!(operator.is_running() && operator.process().id() == pid);
}

fn has_lost(step: &crate::harness::history::Step) -> bool {
    step.before.iter().any(|address| !step.after.contains(address))
}

/// Writing in place shows half a file for a moment, or for longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_in_two_halves_is_used_once_it_is_whole() {
    let files = Files::new(ZONE_SPREAD, "{}");
    let (cluster, operator) = running(&files).await;
    let (first, second) = PACK.split_at(PACK.len() / 2);
    fs::write(&files.policy, first).expect("the folder is writable");
    a_new_namespace_is_served(&cluster, "meanwhile").await;
    assert_eq!(status(&cluster).await["policy"]["name"], "zone-spread");
    fs::write(&files.policy, [first, second].concat()).expect("the folder is writable");
    is_active(&cluster, "pack", PACK).await;
    nothing_is_refused(&cluster).await;
    a_new_namespace_is_served(&cluster, "afterwards").await;
    assert!(operator.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_file_changes_nothing_until_there_is_another() {
    let files = Files::new(ZONE_SPREAD, "{}");
    let (cluster, operator) = running(&files).await;
    fs::remove_file(&files.policy).expect("it is there");
    eventually("the log says so", SWAP, || async {
        if operator.log().contains("policy.wasm") { Ok(()) } else { Err(operator.log()) }
    })
    .await;
    a_new_namespace_is_served(&cluster, "meanwhile").await;
    is_active(&cluster, "zone-spread", ZONE_SPREAD).await;
    files.replace_policy(PACK);
    is_active(&cluster, "pack", PACK).await;
    nothing_is_refused(&cluster).await;
    a_new_namespace_is_served(&cluster, "afterwards").await;
    assert!(operator.is_running());
}
