//! Bad policies are refused, with the reason, and the one in charge goes on.

use super::stand_in::{nobody_stands_in, stands_in};
use super::{
    Files, PACK, ZONE_SPREAD, a_new_namespace_is_served, components, is_active, is_refused, nothing_is_refused,
    refusals, running,
};
use crate::harness::{Cluster, infrastructure, node, pool};

/// Offers a bad component to a running operator: refused, the old one serves on, and a good one is then accepted.
async fn is_refused_and_the_old_one_goes_on(component: &[u8], why: &str) {
    let files = Files::new(ZONE_SPREAD, "{}");
    let (cluster, operator) = running(&files).await;
    let before = cluster.outcome().await;
    assert!(refusals(&operator).await.abs() < 0.5);

    files.replace_policy(component);
    a_new_namespace_is_served(&cluster, "meanwhile").await;
    is_refused(&cluster, &operator, why).await;
    assert!(refusals(&operator).await > 0.5, "{}", operator.page("/metrics").await.expect("metrics").1);
    is_active(&cluster, "zone-spread", ZONE_SPREAD).await;
    a_new_namespace_is_served(&cluster, "afterwards").await;
    let after = cluster.outcome().await;
    for namespace in ["billing", "shop"] {
        assert_eq!(after.namespaces[namespace], before.namespaces[namespace], "{after}");
    }

    files.replace_policy(PACK);
    is_active(&cluster, "pack", PACK).await;
    nothing_is_refused(&cluster).await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage() {
    is_refused_and_the_old_one_goes_on(b"this is no component", "not a WebAssembly component").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_import() {
    let why = "foreign import `wasi:clocks/wall-clock@0.2.0`";
    is_refused_and_the_old_one_goes_on(&components::curious(), why).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_in_its_shadow_plan() {
    is_refused_and_the_old_one_goes_on(&components::trapping(), "trap: ").await;
}

/// It is tried out beside the rounds of the one in charge: namespaces are served meanwhile as if it were not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_without_end() {
    let files = Files::new(ZONE_SPREAD, "{}");
    let (cluster, operator) = running(&files).await;
    files.replace_policy(&components::endless());
    let mut served = 0;
    while refusals(&operator).await < 0.5 {
        a_new_namespace_is_served(&cluster, &format!("meanwhile-{served}")).await;
        served += 1;
    }
    // Whichever of the two limits a busy machine reaches first.
    let log = operator.log();
    assert!(log.contains("FuelExhausted: out of fuel") || log.contains("Timeout: timeout"), "{log}");
    assert!(served >= 3, "only {served} namespaces were served while it planned");
    is_refused(&cluster, &operator, "shadow plan: the policy failed: ").await;
    is_active(&cluster, "zone-spread", ZONE_SPREAD).await;
    a_new_namespace_is_served(&cluster, "afterwards").await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_breaks_an_invariant() {
    is_refused_and_the_old_one_goes_on(&components::thief(), "unique").await;
}

/// Whoever opened it would wait for a writer, and see no change after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_instead_of_a_file() {
    let files = Files::new(ZONE_SPREAD, "{}");
    let (cluster, operator) = running(&files).await;
    std::fs::remove_file(&files.policy).expect("it is there");
    let made = std::process::Command::new("mkfifo").arg(&files.policy).status().expect("mkfifo is there");
    assert!(made.success(), "{made}");
    is_refused(&cluster, &operator, "policy.wasm: a pipe, not a file").await;
    files.replace_policy(PACK);
    is_active(&cluster, "pack", PACK).await;
    nothing_is_refused(&cluster).await;
}

/// There is no old one that could go on: the built-in one stands in, and a good one takes over when it comes.
#[tokio::test(flavor = "multi_thread")]
async fn at_the_start_the_built_in_one_stands_in() {
    let cluster = Cluster::start().await;
    cluster
        .create([
            infrastructure("BareMetal"),
            pool("egress").range("zone-a", "10.20.0.0/24"),
            node("worker-a0").zone("zone-a"),
        ])
        .await;
    for (component, why) in [
        (b"this is no component".to_vec(), "not a WebAssembly component"),
        (components::curious(), "foreign import `wasi:clocks/wall-clock@0.2.0`"),
    ] {
        let files = Files::new(&component, "{}");
        let operator = files.launch(&cluster).start().await;
        stands_in(&cluster, &operator, "built-in", why).await;
        is_active(&cluster, "zone-spread", ZONE_SPREAD).await;
        files.replace_policy(PACK);
        is_active(&cluster, "pack", PACK).await;
        nobody_stands_in(&cluster, &operator).await;
        operator.stop().await;
    }
    let missing = Files::new(ZONE_SPREAD, "{}");
    std::fs::remove_file(&missing.policy).expect("it is there");
    let operator = missing.launch(&cluster).start().await;
    stands_in(&cluster, &operator, "built-in", "policy.wasm").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_bad_settings_at_the_start_as_well() {
    let cluster = Cluster::start().await;
    cluster
        .create([
            infrastructure("BareMetal"),
            pool("egress").range("zone-a", "10.20.0.0/24"),
            node("worker-a0").zone("zone-a"),
        ])
        .await;
    for (settings, why) in [
        (r#"{"addressesPerOwner": 0}"#, "/addressesPerOwner"),
        (r#"{"addressesPerOwnr": 1}"#, "addressesPerOwnr"),
        (r#"{"addressesPerOwner": "#, "settings.json"),
    ] {
        let files = Files::new(ZONE_SPREAD, settings);
        let operator = files.launch(&cluster).start().await;
        stands_in(&cluster, &operator, "built-in", why).await;
        files.replace_settings("{}");
        nobody_stands_in(&cluster, &operator).await;
        operator.stop().await;
    }
}
