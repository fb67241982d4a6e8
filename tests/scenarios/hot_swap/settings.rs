//! The settings' file is watched like the policy's.

use super::{Files, PACK, ZONE_SPREAD, components, is_active, is_refused, is_served, nothing_is_refused, refusals};
use crate::harness::{Cluster, Operator, SOON, eventually, infrastructure, namespace, node, pool};
use serde_json::Value;

/// One range for two zones: how many addresses an owner gets from it is a setting.
async fn running(files: &Files) -> (Cluster, Operator) {
    let cluster = Cluster::start().await;
    cluster
        .create([
            infrastructure("BareMetal"),
            pool("egress").set("spec.cidr", "10.20.0.0/24").set("spec.cidrAssignments", Value::Null),
            node("worker-a0").zone("zone-a"),
            node("worker-a1").zone("zone-a"),
            node("worker-b0").zone("zone-b"),
            node("worker-b1").zone("zone-b"),
            namespace("shop").in_pool("egress"),
        ])
        .await;
    let operator = files.launch(&cluster).start().await;
    (cluster, operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn valid_ones_take_effect_and_invalid_ones_are_refused() {
    let files = Files::new(ZONE_SPREAD, r#"{"addressesPerOwner": 1}"#);
    let (cluster, operator) = running(&files).await;
    is_served(&cluster, "shop", 1).await;
    let first = cluster.outcome().await.addresses_of("shop").to_vec();

    files.replace_settings(r#"{"addressesPerOwner": 2}"#);
    is_served(&cluster, "shop", 2).await;
    assert_eq!(cluster.outcome().await.addresses_of("shop")[0], first[0], "what it has stays");

    for (settings, why) in [
        (r#"{"addressesPerOwner": 0}"#, "/addressesPerOwner"),
        (r#"{"unheardOf": true}"#, "unheardOf"),
        (r#"{"addressesPerOwner": 3"#, "settings.json"),
    ] {
        let before = refusals(&operator).await;
        files.replace_settings(settings);
        is_refused(&cluster, &operator, why).await;
        eventually("it is counted", SOON, || async {
            let now = refusals(&operator).await;
            if now > before { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    }
    cluster.create([namespace("meanwhile").in_pool("egress")]).await;
    is_served(&cluster, "meanwhile", 2).await;

    files.replace_settings(r#"{"addressesPerOwner": 1}"#);
    is_served(&cluster, "shop", 1).await;
    is_served(&cluster, "meanwhile", 1).await;
    nothing_is_refused(&cluster).await;
    is_active(&cluster, "zone-spread", ZONE_SPREAD).await;
    cluster.assert_sound().await;
}

/// Policy and settings belong together: with the wrong half neither is used.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_refuses_the_settings_waits_for_its_own() {
    let files = Files::new(ZONE_SPREAD, r#"{"addressesPerOwner": 1}"#);
    let (cluster, operator) = running(&files).await;
    is_served(&cluster, "shop", 1).await;
    files.replace_policy(PACK);
    is_refused(&cluster, &operator, "addressesPerOwner").await;
    is_active(&cluster, "zone-spread", ZONE_SPREAD).await;
    files.replace_settings("{}");
    is_active(&cluster, "pack", PACK).await;
    nothing_is_refused(&cluster).await;
}

/// A policy that is accepted with any settings, and plans nothing: what is applied stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_does_nothing_takes_nothing_away() {
    let files = Files::new(ZONE_SPREAD, "{}");
    let (cluster, _operator) = running(&files).await;
    is_served(&cluster, "shop", 2).await;
    let before = cluster.outcome().await;
    files.replace_policy(&components::idle());
    eventually("it is active", super::SWAP, || async {
        let status = super::status(&cluster).await;
        if status["policy"]["name"] == "hostile" { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    cluster.settled().await;
    assert_eq!(cluster.outcome().await, before);
}
