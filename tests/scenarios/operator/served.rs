//! Who counts as served, and what is told when the API server does not listen.

use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};

use super::{becomes, is_served, pool_status, serves, two_zones};
use crate::harness::{Cluster, Matcher, Operator, Proxy, Rule, SOON, eventually, namespace, ranges};
use crate::scenarios::hot_swap::components;

const NAMES: [&str; 5] = ["crm", "desk", "shop", "till", "wiki"];

/// Waits until the status of pool `egress` counts its namespaces so.
async fn counts(cluster: &Cluster, expected: Value) {
    eventually(&format!("{expected}"), SOON, || async {
        let status = pool_status(cluster, "egress").await;
        if status["owners"] == expected { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

async fn shows(operator: &Operator, state: &str, count: f64) {
    eventually(&format!("{count} {state}"), SOON, || async {
        let seen = operator.metric(&format!("sluice_owners{{pool=\"egress\",state=\"{state}\"}}")).await;
        if seen == Some(count) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
}

/// The policy of the README that keeps all as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_allocates_nothing_serves_nobody() {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones()).await;
    cluster.furnish(NAMES.map(|name| namespace(name).in_pool("egress"))).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let policy = folder.path().join("policy.wasm");
    std::fs::write(&policy, components::idle()).expect("the folder is writable");
    let policy = policy.to_str().expect("a path in UTF-8");
    let operator = Operator::launch(&cluster).args(&["--policy", policy]).start().await;
    becomes(&cluster, "egress", "Ready", "False", "5 of 5 namespaces wait").await;
    counts(&cluster, json!({"total": 5, "served": 0, "held": 5, "waiting": 0})).await;
    cluster.hold_becomes("shop", Some("other: the policy allocated nothing")).await;
    shows(&operator, "served", 0.0).await;
    cluster.settled().await;
    becomes(&cluster, "egress", "Ready", "False", "5 of 5 namespaces wait").await;
    operator.stop().await;

    // With another policy they are served, and that one then keeps what they have, but moves nothing.
    let serving = Operator::start(&cluster).await;
    for name in NAMES {
        is_served(&cluster, name).await;
    }
    becomes(&cluster, "egress", "Ready", "True", "5 namespaces served").await;
    counts(&cluster, json!({"total": 5, "served": 5, "held": 0, "waiting": 0})).await;
    serving.stop().await;
    let operator = Operator::launch(&cluster).args(&["--policy", policy]).start().await;
    for node in ["worker-a0", "worker-a1"] {
        cluster.set_ready(node, false).await;
    }
    becomes(&cluster, "egress", "Ready", "False", "which is not ready").await;
    counts(&cluster, json!({"total": 5, "served": 0, "held": 0, "waiting": 5})).await;
    shows(&operator, "waiting", 5.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_refused_serves_nobody() {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones()).await;
    let proxy = Proxy::start(&cluster).await;
    let operator = Operator::launch(&cluster).through(&proxy).start().await;
    serves(&cluster, "shop").await;
    becomes(&cluster, "egress", "Ready", "True", "1 namespaces served").await;
    proxy.rule(Rule::answer(Matcher::writes().on("netnamespaces").named("desk"), 403));
    cluster.create([namespace("desk").in_pool("egress")]).await;
    becomes(&cluster, "egress", "Ready", "False", "NetNamespace desk").await;
    counts(&cluster, json!({"total": 2, "served": 1, "held": 0, "waiting": 1})).await;
    shows(&operator, "served", 1.0).await;
    proxy.clear();
    counts(&cluster, json!({"total": 2, "served": 2, "held": 0, "waiting": 0})).await;
}

/// Reserves the address that the first namespace got, so that it has to be replaced.
async fn reserve_the_first(cluster: &Cluster) {
    let mut patch = ranges(&[("zone-a", "10.20.0.0/24"), ("zone-b", "10.21.0.0/24")]);
    patch["spec"]["cidrAssignments"][0]["reservedIPs"] = json!(["10.20.0.2"]);
    cluster.patch("EgressIPAM", "egress", &patch).await;
}

/// The API server takes no event for a while.
#[tokio::test(flavor = "multi_thread")]
async fn what_changed_is_told_once_the_api_server_takes_it() {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones()).await;
    let proxy = Proxy::start(&cluster).await;
    let _operator = Operator::launch(&cluster).through(&proxy).start().await;
    serves(&cluster, "shop").await;
    cluster.settled().await;
    let events = Matcher::writes().on("events");
    proxy.rule(Rule::answer(events.clone(), 429).times(3));
    reserve_the_first(&cluster).await;
    let told = eventually("it is told", Duration::from_secs(30), || async {
        let warnings = cluster.warnings().await;
        if warnings.contains("AddressesChanged") { Ok(warnings) } else { Err(warnings) }
    })
    .await;
    expect![[r#"
        Namespace shop: AddressesChanged: egress addresses changed from 10.20.0.2,10.21.0.2 to 10.20.0.3,10.21.0.2: 10.20.0.2: no longer an address of its pool
    "#]].assert_eq(&told);
    assert_eq!(proxy.asked(&events).len(), 4, "refused three times, then told once");
}

/// The NetNamespace is written, and nobody hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_changed_by_a_write_without_answer_is_told_too() {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones()).await;
    let proxy = Proxy::start(&cluster).await;
    let _operator = Operator::launch(&cluster).through(&proxy).start().await;
    serves(&cluster, "shop").await;
    cluster.settled().await;
    proxy.rule(Rule::cut_after(Matcher::writes().on("netnamespaces")).times(1));
    reserve_the_first(&cluster).await;
    eventually("it is told", SOON, || async {
        let warnings = cluster.warnings().await;
        if warnings.contains("AddressesChanged") { Ok(()) } else { Err(warnings) }
    })
    .await;
}
