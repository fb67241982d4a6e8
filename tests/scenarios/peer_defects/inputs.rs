//! Defects 1 to 3: what a namespace's annotation or one more range can do to others.

use expect_test::expect;
use serde_json::json;

use super::{at_rest, carrier, cluster_with, hold_of, is_held, is_served, one_zone, served, two_zones, until_outcome};
use crate::harness::{Cluster, History, Operator, Outcome, infrastructure, namespace, node, pool};

/// Defect 1: a namespace that names fewer addresses than its pool has ranges crashes the operator, at every restart.
///
/// Sluice takes what it names as a request and adds what is missing.
#[tokio::test(flavor = "multi_thread")]
async fn fewer_addresses_than_ranges_do_not_kill_the_operator_for_everybody() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-b0"])).await;
    cluster
        .create([namespace("shop").in_pool("egress"), namespace("torn").in_pool("egress").requesting("10.20.0.9")])
        .await;
    let operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            torn: egress, 10.20.0.9 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    assert!(operator.is_running());
    cluster.assert_sound().await;
}

/// Defect 1: a second range on a live pool crashes the operator at once.
///
/// Sluice keeps what everybody has and gives each namespace a second address; no traffic is interrupted, although the
/// network placed the first ones and Sluice now places all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_range_on_a_live_pool_does_not_kill_the_operator() {
    let cluster = cluster_with(one_zone("10.20.0.0/24", &["worker-a0", "worker-b0"])).await;
    cluster.create([namespace("mirror").in_pool("egress"), namespace("shop").in_pool("egress")]).await;
    let operator = at_rest(&cluster).await;
    cluster
        .becomes(expect![[r"
            mirror: egress, 10.20.0.2 on worker-a0
            shop: egress, 10.20.0.3 on worker-a0
            worker-a0: offers 10.20.0.0/24
        "]])
        .await;
    let history = History::start(&cluster).await;
    let ranges = json!([
        { "labelValue": "zone-a", "CIDR": "10.20.0.0/24" },
        { "labelValue": "zone-b", "CIDR": "10.21.0.0/24" },
    ]);
    cluster.patch("EgressIPAM", "egress", &json!({ "spec": { "cidrAssignments": ranges } })).await;
    cluster
        .becomes(expect![[r"
            mirror: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    for step in history.steps().await.iter().filter(|step| step.kind != "Namespace") {
        assert!(step.before.iter().all(|address| step.after.contains(address)), "an address went: {step:?}");
    }
    assert!(operator.is_running());
    cluster.assert_sound().await;
}

/// Defect 2: one value that cannot be parsed, lies outside its range or has a space in it stops all namespaces of the pool,
/// failover included; and the corrected value raises no event.
///
/// Sluice holds the two that make no sense, tells them why, and serves everybody else; a corrected value is served at once.
#[tokio::test(flavor = "multi_thread")]
async fn one_bad_value_does_not_stop_all_namespaces_of_the_pool() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-a1", "worker-b0"])).await;
    cluster
        .create([
            namespace("broken").in_pool("egress").requesting("10.20.0.300,10.21.0.9"),
            namespace("outside").in_pool("egress").requesting("10.99.0.1,10.21.0.8"),
            namespace("spaced").in_pool("egress").requesting("10.20.0.7, 10.21.0.7"),
            namespace("shop").in_pool("egress"),
        ])
        .await;
    let _operator = Operator::start(&cluster).await;
    let waiting = |outcome: &Outcome| ["broken", "outside"].iter().all(|name| outcome.addresses_of(name).is_empty());
    let all_well =
        |outcome: &Outcome| ["shop", "spaced"].iter().all(|name| is_served(outcome, name, 2)) && waiting(outcome);
    let outcome = until_outcome(&cluster, "the two good ones are served", all_well).await;
    assert_eq!(outcome.addresses_of("spaced"), ["10.20.0.7", "10.21.0.7"]);
    is_held(&cluster, "broken", r#"request-invalid: annotation egressips: "10.20.0.300" is not an address"#).await;
    is_held(&cluster, "outside", "request-invalid: 10.99.0.1 is not in the pool, or reserved").await;

    let down = carrier(&outcome, &outcome.addresses_of("shop")[0]);
    cluster.set_ready(&down, false).await;
    until_outcome(&cluster, "what was on the failed node is on the other", |outcome| {
        all_well(outcome) && outcome.host_subnets[&down].carried.is_empty()
    })
    .await;

    cluster.request("broken", Some("10.20.0.30,10.21.0.9")).await;
    let outcome =
        until_outcome(&cluster, "the corrected value is served", |outcome| is_served(outcome, "broken", 2)).await;
    assert_eq!(outcome.addresses_of("broken"), ["10.20.0.30", "10.21.0.9"]);
    assert_eq!(hold_of(&cluster, "broken").await, None);
}

/// Defect 3: a namespace may name an address of another one, and gets it as well; the network then drops the traffic of both.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_another_namespace_cannot_be_stolen() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-b0"])).await;
    cluster.create([namespace("shop").in_pool("egress")]).await;
    let _operator = Operator::start(&cluster).await;
    served(&cluster, &["shop"], 2).await;
    let history = History::start(&cluster).await;
    cluster.create([namespace("thief").in_pool("egress").requesting("10.20.0.2,10.21.0.9")]).await;
    is_held(&cluster, "thief", "request-taken: 10.20.0.2 belongs to shop").await;
    cluster.settled().await;
    cluster
        .becomes(expect![[r"
            shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            thief: egress, annotated 10.20.0.2,10.21.0.9
        "]])
        .await;
    // Only what the thief wrote into its annotation.
    expect!["Namespace thief: - -> 10.20.0.2 10.21.0.9\n"].assert_eq(&history.transcript().await);
}

/// Defect 3: extra addresses, `8.8.8.8` behind the good ones, reach the NetNamespace.
#[tokio::test(flavor = "multi_thread")]
async fn extra_foreign_addresses_do_not_reach_the_netnamespace() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-b0"])).await;
    cluster.create([namespace("greedy").in_pool("egress").requesting("10.20.0.9,10.21.0.9,8.8.8.8")]).await;
    let _operator = at_rest(&cluster).await;
    is_held(&cluster, "greedy", "request-invalid: 8.8.8.8 is not in the pool, or reserved").await;
    cluster.becomes(expect!["greedy: egress, annotated 10.20.0.9,10.21.0.9,8.8.8.8"]).await;
}

/// Defect 3: two pools whose ranges overlap give the same address to two namespaces.
///
/// Sluice lets the older pool own what both claim. The younger one here has the other half of its range to itself.
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_pools_do_not_give_an_address_twice() {
    let cluster = Cluster::start().await;
    cluster.create([infrastructure("BareMetal"), pool("elder").range("zone-a", "10.20.0.0/24")]).await;
    cluster.create([pool("younger").range("zone-a", "10.20.0.0/23"), node("worker-a0").zone("zone-a")]).await;
    cluster
        .create([
            namespace("shop").in_pool("elder"),
            namespace("thief").in_pool("younger").requesting("10.20.0.2"),
            namespace("till").in_pool("younger"),
        ])
        .await;
    let _operator = at_rest(&cluster).await;
    is_held(&cluster, "thief", "request-invalid: 10.20.0.2 is not in the pool, or reserved").await;
    cluster
        .becomes(expect![[r"
            shop: elder, 10.20.0.2 on worker-a0
            thief: younger, annotated 10.20.0.2
            till: younger, 10.20.1.0 on worker-a0
        "]])
        .await;
}

/// Defect 3: what a namespace held that opted out while the operator was down is given to another one as well.
#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_while_the_operator_is_down_does_not_give_an_address_twice() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-b0"])).await;
    cluster.create([namespace("shop").in_pool("egress")]).await;
    let operator = Operator::start(&cluster).await;
    served(&cluster, &["shop"], 2).await;
    operator.stop().await;
    cluster.opt_in("shop", None).await;
    cluster.create([namespace("heir").in_pool("egress").requesting("10.20.0.2,10.21.0.2")]).await;
    cluster.is_there("NetNamespace", "heir").await;
    let history = History::start(&cluster).await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            heir: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: -
        "]])
        .await;
    assert_eq!(history.breaches().await, [""; 0]);
    cluster.assert_sound().await;
}
