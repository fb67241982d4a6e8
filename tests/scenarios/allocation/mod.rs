//! Who gets which address, in which order that is written, and what it costs.

use std::collections::BTreeSet;

use expect_test::expect;
use serde_json::json;

use crate::harness::audit::Requests;
use crate::harness::{
    Cluster, History, NamespaceState, Object, Operator, SOON, eventually, infrastructure, namespace, net_namespace,
    node, pool, reads,
};

mod exhausted;
mod large;
mod order;
mod wide;

/// A pool with a range for each of three zones, and a node in each.
fn three_zones() -> [Object; 5] {
    [
        infrastructure("BareMetal"),
        pool("egress").range("zone-a", "10.20.0.0/24").range("zone-b", "10.21.0.0/24").range("zone-c", "10.22.0.0/24"),
        node("worker-a0").zone("zone-a"),
        node("worker-b0").zone("zone-b"),
        node("worker-c0").zone("zone-c"),
    ]
}

/// A pool with one range for all zones, over a node in one zone: Sluice places the addresses, not the network.
fn one_zone(range: &str) -> [Object; 3] {
    [infrastructure("BareMetal"), pool("egress").set("spec.cidr", range), node("worker-a0").zone("zone-a")]
}

/// Creates objects, and waits for what OpenShift adds to them.
async fn there_are(cluster: &Cluster, objects: impl IntoIterator<Item = Object>) {
    cluster.create(objects).await;
    cluster.companions_are_there().await;
}

/// What counts as the cost of an allocation.
fn cost(writes: Requests) -> Requests {
    writes.except(&["egressipams/status", "events"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_gets_an_address_in_each_of_three_zones() {
    let cluster = Cluster::start().await;
    there_are(&cluster, three_zones().into_iter().chain([namespace("shop").in_pool("egress"), namespace("plain")]))
        .await;
    let mark = cluster.audit().mark().await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            plain: -
            shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0, 10.22.0.2 on worker-c0
        "]])
        .await;
    cluster.settled().await;
    expect![[r"
        patch egressipams: 1
        patch hostsubnets: 3
        patch namespaces: 1
        patch netnamespaces: 1
    "]]
    .assert_eq(&cost(cluster.written_since(mark).await).summary());
    let net = cluster.is_there("NetNamespace", "shop").await;
    assert_eq!(
        json!(net.metadata.annotations),
        json!({ "sluice.dev/pool": "egress", "sluice.dev/zones": "10.20.0.2=zone-a,10.21.0.2=zone-b,10.22.0.2=zone-c" })
    );
    reads(
        expect![[r"
            served 1 of 1, held 0
            zone-a 10.20.0.0/24: 1 of 253 used, 1 of 1 nodes healthy
            zone-b 10.21.0.0/24: 1 of 253 used, 1 of 1 nodes healthy
            zone-c 10.22.0.0/24: 1 of 253 used, 1 of 1 nodes healthy
            Ready=True Served: 1 namespaces served
            Degraded=False AsExpected:
        "]],
        || cluster.status("egress"),
    )
    .await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_gets_an_address_in_one_zone() {
    let cluster = Cluster::start().await;
    there_are(&cluster, one_zone("10.20.0.0/24").into_iter().chain([namespace("shop").in_pool("egress")])).await;
    let history = History::start(&cluster).await;
    let _operator = Operator::start(&cluster).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0"]).await;
    expect![[r"
        HostSubnet worker-a0: - -> 10.20.0.2
        NetNamespace shop: - -> 10.20.0.2
        Namespace shop: - -> 10.20.0.2
    "]]
    .assert_eq(&history.transcript().await);
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_namespaces_at_once_get_different_addresses() {
    let cluster = Cluster::start().await;
    there_are(&cluster, three_zones()).await;
    let _operator = Operator::start(&cluster).await;
    cluster.create([namespace("billing").in_pool("egress"), namespace("shop").in_pool("egress")]).await;
    // Which of the two is served first is not said.
    let expected: [BTreeSet<String>; 2] = [2, 3].map(|host| (20..23).map(|net| format!("10.{net}.0.{host}")).collect());
    eventually("both are served", SOON, || async {
        let outcome = cluster.outcome().await;
        let served = outcome.faults().is_empty() && outcome.unplaced().is_empty();
        let held: BTreeSet<String> = outcome.namespaces.values().flat_map(|state| state.addresses().to_vec()).collect();
        if served && held == expected.iter().flatten().cloned().collect() { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
    cluster.settled().await;
    let outcome = cluster.outcome().await;
    for name in ["billing", "shop"] {
        assert_eq!(outcome.addresses_of(name).len(), 3, "{outcome}");
    }
    for (node, state) in &outcome.host_subnets {
        assert_eq!(state.carried.len(), 2, "{node}:\n{outcome}");
    }
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_of_one_round_are_served_in_the_order_of_their_names() {
    let cluster = Cluster::start().await;
    let names = ["delta", "alpha", "charlie", "bravo"];
    there_are(
        &cluster,
        one_zone("10.20.0.0/24").into_iter().chain(names.map(|name| namespace(name).in_pool("egress"))),
    )
    .await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            alpha: egress, 10.20.0.2 on worker-a0
            bravo: egress, 10.20.0.3 on worker-a0
            charlie: egress, 10.20.0.4 on worker-a0
            delta: egress, 10.20.0.5 on worker-a0
        "]])
        .await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allocation_costs_three_writes() {
    let cluster = Cluster::start().await;
    there_are(&cluster, one_zone("10.20.0.0/24").into_iter().chain([namespace("a").in_pool("egress")])).await;
    let _operator = Operator::start(&cluster).await;
    cluster.becomes(expect!["a: egress, 10.20.0.2 on worker-a0"]).await;
    for name in ["b", "c", "d"] {
        cluster.settled().await;
        let mark = cluster.audit().mark().await;
        cluster.create([namespace(name).in_pool("egress")]).await;
        eventually(&format!("{name} is served"), SOON, || async {
            let outcome = cluster.outcome().await;
            let state = &outcome.namespaces[name];
            let served = state.annotated.is_some() && outcome.faults().is_empty();
            if served { Ok(()) } else { Err(outcome.to_string()) }
        })
        .await;
        cluster.settled().await;
        expect![[r"
            patch hostsubnets: 1
            patch namespaces: 1
            patch netnamespaces: 1
        "]]
        .assert_eq(&cost(cluster.written_since(mark).await).summary());
    }
    cluster
        .becomes(expect![[r"
            a: egress, 10.20.0.2 on worker-a0
            b: egress, 10.20.0.3 on worker-a0
            c: egress, 10.20.0.4 on worker-a0
            d: egress, 10.20.0.5 on worker-a0
        "]])
        .await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pools_share_nodes_and_their_load() {
    let cluster = Cluster::start().await;
    let names = ["g1", "g2"].map(|name| namespace(name).in_pool("gold"));
    let others = ["s1", "s2"].map(|name| namespace(name).in_pool("silver"));
    there_are(
        &cluster,
        [
            infrastructure("BareMetal"),
            pool("gold").range("zone-a", "10.20.0.0/24"),
            pool("silver").range("zone-a", "10.30.0.0/24"),
            node("worker-a0").zone("zone-a"),
            node("worker-a1").zone("zone-a"),
        ]
        .into_iter()
        .chain(names)
        .chain(others),
    )
    .await;
    let _operator = Operator::start(&cluster).await;
    let annotations = || async {
        let outcome = cluster.outcome().await;
        let line = |(name, state): (&String, &NamespaceState)| {
            format!("{name}: {}\n", state.annotated.as_deref().unwrap_or("-"))
        };
        outcome.namespaces.iter().map(line).collect::<String>()
    };
    reads(
        expect![[r"
            g1: 10.20.0.2
            g2: 10.20.0.3
            s1: 10.30.0.2
            s2: 10.30.0.3
        "]],
        annotations,
    )
    .await;
    cluster.settled().await;
    let outcome = cluster.outcome().await;
    for (node, state) in &outcome.host_subnets {
        assert_eq!(state.carried.len(), 2, "{node} has its half of the addresses of both pools:\n{outcome}");
        assert_eq!(state.offered, [""; 0], "{node}: the network must not place on nodes of two pools");
    }
    assert_eq!(outcome.unplaced(), [""; 0], "{outcome}");
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_others_are_never_handed_out() {
    let cluster = Cluster::start().await;
    let egress =
        pool("egress").range_reserving("zone-a", "10.20.0.0/24", &["10.20.0.4"]).range("zone-b", "10.21.0.0/24");
    there_are(
        &cluster,
        [
            infrastructure("BareMetal"),
            egress,
            node("worker-a0").zone("zone-a").address("10.20.0.2"),
            node("worker-b0").zone("zone-b"),
            // Not a node of the pool, but a machine all the same.
            node("master-0").address("10.20.0.3"),
            namespace("by-hand"),
            net_namespace("by-hand").addresses(&["10.20.0.5"]),
            namespace("shop").in_pool("egress"),
        ],
    )
    .await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            by-hand: 10.20.0.5 on no node, not annotated
            shop: egress, 10.20.0.6 on worker-a0, 10.21.0.2 on worker-b0
        "]])
        .await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_without_net_namespace_is_told_and_stops_nobody() {
    let cluster = Cluster::start().await;
    cluster.openshift().switch(|switches| switches.without.extend(["lost".into()]));
    cluster.create(one_zone("10.20.0.0/24")).await;
    let _operator = Operator::start(&cluster).await;
    cluster.create(["lost", "shop"].map(|name| namespace(name).in_pool("egress"))).await;
    cluster
        .becomes(expect![[r"
            lost: egress, no NetNamespace
            shop: egress, 10.20.0.2 on worker-a0
        "]])
        .await;
    reads(expect!["lost: no-net-namespace: its NetNamespace does not exist"], || cluster.holds()).await;
    reads(expect!["Namespace lost: NoNetNamespace: its NetNamespace does not exist"], || cluster.warnings()).await;
    assert!(cluster.get("NetNamespace", "lost").await.is_none(), "it is not Sluice's to make");
    cluster.create([net_namespace("lost")]).await;
    cluster
        .becomes(expect![[r"
            lost: egress, 10.20.0.3 on worker-a0
            shop: egress, 10.20.0.2 on worker-a0
        "]])
        .await;
    reads(expect![""], || cluster.holds()).await;
    cluster.assert_sound().await;
}
