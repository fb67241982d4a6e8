//! The spec of a pool changes: what its namespaces hold follows, with the fewest writes and nobody silent.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::harness::{
    Cluster, History, Operator, While, infrastructure, namespace, node, pool, ranges, serving, two_zones,
};

const TWO: [(&str, &str); 2] = [("zone-a", "10.20.0.0/24"), ("zone-b", "10.21.0.0/24")];
const THREE: [(&str, &str); 3] = [TWO[0], TWO[1], ("zone-c", "10.22.0.0/24")];

/// Changes the pool and checks outcome, writes, and that neither namespace was ever without a carried address.
async fn changed(cluster: &Cluster, operator: Operator, when: While, patch: Value, outcome: Expect, writes: Expect) {
    let history = History::start(cluster).await;
    let mark = cluster.audit().mark().await;
    let change = async || cluster.patch("EgressIPAM", "egress", &patch).await;
    let _operator = cluster.disturb(operator, when, change).await;
    cluster.rests(outcome).await;
    writes.assert_eq(&cluster.written_since(mark).await.except(&["egressipams/status"]).summary());
    for name in ["billing", "shop"] {
        assert_eq!(history.silences(name).await, [""; 0]);
    }
    assert_eq!(history.breaches().await, [""; 0]);
}

async fn with_a_third_zone(entries: &[(&str, &str)]) -> (Cluster, Operator) {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones()).await;
    cluster.patch("EgressIPAM", "egress", &ranges(entries)).await;
    cluster
        .furnish([
            node("worker-c0").zone("zone-c"),
            namespace("billing").in_pool("egress"),
            namespace("shop").in_pool("egress"),
        ])
        .await;
    let operator = Operator::start(&cluster).await;
    cluster.condition_becomes("egress", "Ready", expect!["True Served: 2 namespaces served"]).await;
    cluster.settled().await;
    (cluster, operator)
}

async fn entry_added(when: While) {
    let (cluster, operator) = with_a_third_zone(&TWO).await;
    let outcome = expect![[r"
        billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0, 10.22.0.2 on worker-c0
        shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0, 10.22.0.3 on worker-c0
    "]];
    let writes = expect![[r#"
        patch hostsubnets: 1
        patch namespaces: 4
        patch netnamespaces: 2
    "#]];
    changed(&cluster, operator, when, ranges(&THREE), outcome, writes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_added_gives_everybody_one_more() {
    entry_added(While::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_added_while_the_operator_is_down_gives_everybody_one_more() {
    entry_added(While::Down).await;
}

async fn entry_removed(when: While) {
    let (cluster, operator) = with_a_third_zone(&THREE).await;
    let outcome = expect![[r"
        billing: egress, 10.20.0.2 on worker-a0, 10.22.0.2 on worker-c0
        shop: egress, 10.20.0.3 on worker-a0, 10.22.0.3 on worker-c0
    "]];
    let writes = expect![[r#"
        create events: 2
        patch hostsubnets: 1
        patch namespaces: 4
        patch netnamespaces: 2
    "#]];
    changed(&cluster, operator, when, ranges(&[THREE[0], THREE[2]]), outcome, writes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_removed_takes_its_addresses_along() {
    entry_removed(While::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_removed_while_the_operator_is_down_takes_its_addresses_along() {
    entry_removed(While::Down).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_in_another_order_change_nothing_that_is_held() {
    let (cluster, operator) = with_a_third_zone(&THREE).await;
    let outcome = expect![[r"
        billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0, 10.22.0.2 on worker-c0
        shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0, 10.22.0.3 on worker-c0
    "]];
    let mark = cluster.audit().mark().await;
    let rounds = operator.rounds().await;
    cluster.patch("EgressIPAM", "egress", &ranges(&[THREE[2], THREE[0], THREE[1]])).await;
    operator.looks_again(rounds).await;
    cluster.rests(outcome).await;
    let written = cluster.written_since(mark).await.except(&["egressipams/status"]);
    assert_eq!(written.to_string(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_cidr_replaces_its_addresses() {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    let outcome = expect![[r"
        billing: egress, 10.20.0.2 on worker-a0, 10.41.0.2 on worker-b0
        shop: egress, 10.20.0.3 on worker-a0, 10.41.0.3 on worker-b0
    "]];
    let writes = expect![[r#"
        create events: 2
        patch hostsubnets: 2
        patch namespaces: 4
        patch netnamespaces: 2
    "#]];
    let patch = ranges(&[TWO[0], ("zone-b", "10.41.0.0/24")]);
    changed(&cluster, operator, While::Running, patch, outcome, writes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cidr_that_grows_or_is_written_otherwise_changes_nothing_that_is_held() {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    let outcome = || {
        expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]]
    };
    let mark = cluster.audit().mark().await;
    for cidr in ["10.21.0.0/23", "10.21.0.77/24"] {
        let rounds = operator.rounds().await;
        cluster.patch("EgressIPAM", "egress", &ranges(&[TWO[0], ("zone-b", cidr)])).await;
        operator.looks_again(rounds).await;
        cluster.rests(outcome()).await;
    }
    let written = cluster.written_since(mark).await.except(&["egressipams/status"]);
    assert_eq!(written.to_string(), "");
}

/// Zone-b with these reserved addresses.
fn reserving(addresses: &[&str]) -> Value {
    json!({ "spec": { "cidrAssignments": [
        { "labelValue": "zone-a", "CIDR": "10.20.0.0/24" },
        { "labelValue": "zone-b", "CIDR": "10.21.0.0/24", "reservedIPs": addresses },
    ] } })
}

async fn reserved(when: While) {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    let outcome = expect![[r"
        billing: egress, 10.20.0.2 on worker-a0, 10.21.0.4 on worker-b0
        shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
    "]];
    let writes = expect![[r#"
        create events: 1
        patch hostsubnets: 2
        patch namespaces: 2
        patch netnamespaces: 1
    "#]];
    changed(&cluster, operator, when, reserving(&["10.21.0.2"]), outcome, writes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_that_is_reserved_is_replaced() {
    reserved(While::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_that_is_reserved_while_the_operator_is_down_is_replaced() {
    reserved(While::Down).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_reserved_no_longer_is_free_but_moves_nobody() {
    let (cluster, operator) = serving(&["billing"]).await;
    cluster.patch("EgressIPAM", "egress", &reserving(&["10.21.0.2"])).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    let rounds = operator.rounds().await;
    cluster.patch("EgressIPAM", "egress", &reserving(&[])).await;
    operator.looks_again(rounds).await;
    cluster.create([namespace("shop").in_pool("egress")]).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.3 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.2 on worker-b0
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reserved_address_outside_its_range_is_only_a_warning() {
    let (cluster, _operator) = serving(&["billing"]).await;
    cluster.patch("EgressIPAM", "egress", &reserving(&["10.99.0.9"])).await;
    let warning = expect![
        "False AsExpected: spec.cidrAssignments[1].reservedIPs[0]: 10.99.0.9 is outside 10.21.0.0/24 and reserves nothing"
    ];
    cluster.condition_becomes("egress", "Degraded", warning).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_wide_range_serves_each_zone_and_fails_over_to_the_others() {
    let cluster = Cluster::start().await;
    let workers =
        ["a0", "b0", "c0", "c1"].map(|name| node(&format!("worker-{name}")).zone(&format!("zone-{}", &name[..1])));
    cluster.furnish(workers).await;
    let wide = pool("wide").set("spec.cidr", "10.50.0.0/24").set("spec.zoneFailover", "Any");
    let wide = wide.set("spec.cidrAssignments", Value::Null).set("spec.reservedIPs", json!(["10.50.0.2"]));
    cluster.furnish([infrastructure("BareMetal"), wide, namespace("shop").in_pool("wide")]).await;
    let _operator = Operator::start(&cluster).await;
    cluster.condition_becomes("wide", "Ready", expect!["True Served: 1 namespaces served"]).await;
    cluster.settled().await;
    cluster.assert_sound().await;
    let outcome = cluster.outcome().await;
    let held = outcome.addresses_of("shop").to_vec();
    assert_eq!(held.len(), 3, "{outcome}");
    assert!(!held.contains(&"10.50.0.2".to_owned()), "{outcome}");
    let zones_of = |outcome: &crate::harness::Outcome| -> Vec<String> {
        let zone = |address: &String| outcome.nodes_of(address).join(" ").replace("worker-", "")[..1].to_owned();
        held.iter().map(zone).collect()
    };
    assert_eq!(zones_of(&outcome), ["a", "b", "c"], "{outcome}");
    let homes = cluster.annotation_of("NetNamespace", "shop", "sluice.dev/zones").await;
    let recorded: Vec<String> =
        held.iter().zip(["a", "b", "c"]).map(|(address, zone)| format!("{address}=zone-{zone}")).collect();
    assert_eq!(homes, Some(recorded.join(",")));

    let mark = cluster.audit().mark().await;
    cluster.set_ready("worker-a0", false).await;
    let free = ["worker-c0", "worker-c1"].into_iter().find(|name| !outcome.nodes_of(&held[2]).contains(name));
    let free = free.expect("one of the two carries nothing");
    crate::harness::eventually("zone-a's address is on the node that was free", crate::harness::SOON, || async {
        let now = cluster.outcome().await;
        if now.nodes_of(&held[0]) == [free] { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    cluster.settled().await;
    cluster.assert_sound().await;
    let now = cluster.outcome().await;
    assert_eq!(now.addresses_of("shop"), held, "failover changes no allocation");
    let written = cluster.written_since(mark).await.except(&["egressipams/status"]);
    assert_eq!(written.summary(), "patch hostsubnets: 2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_of_a_pool_wide_range_come_and_move_nobody() {
    let cluster = Cluster::start().await;
    let wide = pool("wide").set("spec.cidr", "10.50.0.0/24").set("spec.cidrAssignments", Value::Null);
    cluster
        .furnish([
            infrastructure("BareMetal"),
            wide,
            node("worker-a0").zone("zone-a"),
            node("worker-b0").zone("zone-b"),
            namespace("shop").in_pool("wide"),
        ])
        .await;
    let operator = Operator::start(&cluster).await;
    cluster.condition_becomes("wide", "Ready", expect!["True Served: 1 namespaces served"]).await;
    cluster.settled().await;
    let before = cluster.outcome().await.addresses_of("shop").to_vec();
    assert_eq!(before.len(), 2);
    let rounds = operator.rounds().await;
    cluster.furnish([node("worker-c0").zone("zone-c")]).await;
    operator.looks_again(rounds).await;
    crate::harness::eventually("one more address, in the new zone", crate::harness::SOON, || async {
        let now = cluster.outcome().await;
        let held = now.addresses_of("shop");
        let in_new_zone = held.len() == 3 && now.nodes_of(&held[2]) == ["worker-c0"];
        if in_new_zone { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    cluster.settled().await;
    cluster.assert_sound().await;
    assert_eq!(cluster.outcome().await.addresses_of("shop")[..2], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_a_pool_wide_range_keep_their_zones_in_any_order() {
    let cluster = Cluster::start().await;
    let wide = pool("wide").set("spec.cidr", "10.50.0.0/24").set("spec.cidrAssignments", Value::Null);
    let workers = ["a0", "b0", "c0"].map(|name| node(&format!("worker-{name}")).zone(&format!("zone-{}", &name[..1])));
    cluster.furnish([infrastructure("BareMetal"), wide, namespace("shop").in_pool("wide")]).await;
    cluster.furnish(workers).await;
    let operator = Operator::start(&cluster).await;
    cluster.condition_becomes("wide", "Ready", expect!["True Served: 1 namespaces served"]).await;
    cluster.settled().await;
    let before = cluster.outcome().await;
    let held = before.addresses_of("shop").to_vec();
    assert_eq!(held.len(), 3, "{before}");

    let (mark, rounds) = (cluster.audit().mark().await, operator.rounds().await);
    let turned: Vec<&String> = held.iter().rev().collect();
    cluster.patch("NetNamespace", "shop", &json!({ "egressIPs": turned })).await;
    operator.looks_again(rounds).await;
    cluster.settled().await;
    assert_eq!(cluster.written_since(mark).await.to_string(), "", "another order means nothing");

    // The record is all there is to tell whose zone has no node to carry the address.
    cluster.set_ready("worker-a0", false).await;
    cluster
        .hold_becomes("shop", Some("no-node: all nodes that may carry it are not ready: worker-a0 (zone zone-a)"))
        .await;
    cluster.patch("NetNamespace", "shop", &json!({ "egressIPs": [turned[1], turned[2]] })).await;
    crate::harness::eventually("what was taken away is back", crate::harness::SOON, || async {
        let now = cluster.outcome().await;
        let same = held.iter().all(|address| now.addresses_of("shop").contains(address));
        if same { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    cluster.set_ready("worker-a0", true).await;
    cluster.hold_becomes("shop", None).await;
    cluster.settled().await;
    cluster.assert_sound().await;
    let now = cluster.outcome().await;
    assert!(held.iter().all(|address| now.nodes_of(address) == before.nodes_of(address)), "{now} but before {before}");
}
