//! Self-placing pools (R13): Sluice offers ranges on nodes and gives addresses to namespaces, the network places them.
//! The network is played by the harness.

use expect_test::expect;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::harness::{
    Cluster, History, Matcher, Operator, Proxy, Rule, SOON, While, ZONE_LABEL, eventually, infrastructure, namespace,
    net_namespace, node, pool, ranges,
};

const RANGE: (&str, &str) = ("zone-a", "10.20.0.0/24");

/// One range, two nodes, at rest; then namespaces one after the other, so that it is known where the network puts what.
async fn serving(names: &[&str]) -> (Cluster, Operator) {
    let cluster = Cluster::start().await;
    cluster
        .furnish([
            infrastructure("BareMetal"),
            pool("egress").range(RANGE.0, RANGE.1),
            node("worker-0").zone("zone-a"),
            node("worker-1").zone("zone-a"),
        ])
        .await;
    let operator = Operator::start(&cluster).await;
    cluster
        .rests(expect![[r"
            worker-0: offers 10.20.0.0/24
            worker-1: offers 10.20.0.0/24
        "]])
        .await;
    for name in names {
        join(&cluster, name).await;
    }
    cluster.settled().await;
    (cluster, operator)
}

/// One more namespace, served and placed.
async fn join(cluster: &Cluster, name: &str) {
    cluster.furnish([namespace(name)]).await;
    cluster.opt_in(name, Some("egress")).await;
    eventually("it is served and placed", SOON, || async {
        let outcome = cluster.outcome().await;
        let served = outcome.namespaces.get(name).is_some_and(|state| state.annotated.is_some());
        if served && outcome.unplaced().is_empty() { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
}

/// Fails if Sluice has written `egressIPs` of a HostSubnet.
async fn sluice_places_nothing(cluster: &Cluster) {
    for subnet in cluster.list("HostSubnet").await {
        let ours = subnet.managed_fields().iter().filter(|entry| entry.manager.as_deref() == Some("sluice"));
        let fields: Vec<Value> = ours.filter_map(|entry| entry.fields_v1.clone()).map(|fields| fields.0).collect();
        assert_eq!(fields, [json!({ "f:egressCIDRs": {} })], "{}", subnet.name_any());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sluice_offers_and_allocates_and_the_network_places() {
    let (cluster, _operator) = serving(&[]).await;
    let mark = cluster.audit().mark().await;
    for name in ["billing", "shop"] {
        join(&cluster, name).await;
    }
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-0
            shop: egress, 10.20.0.3 on worker-1
            worker-0: offers 10.20.0.0/24
            worker-1: offers 10.20.0.0/24
        "]])
        .await;
    sluice_places_nothing(&cluster).await;
    let written = cluster.written_since(mark).await.except(&["egressipams/status"]);
    assert_eq!(written.summary(), "patch namespaces: 2\npatch netnamespaces: 2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_holds_an_address_before_a_node_offers_its_range() {
    let cluster = Cluster::start().await;
    cluster
        .furnish([
            infrastructure("BareMetal"),
            pool("egress").range(RANGE.0, RANGE.1),
            node("worker-0").zone("zone-a"),
            namespace("shop").in_pool("egress"),
        ])
        .await;
    let proxy = Proxy::start(&cluster).await;
    proxy.rule(Rule::answer(Matcher::writes().on("hostsubnets"), 500));
    let _operator = Operator::launch(&cluster).through(&proxy).start().await;
    proxy.struck(2, SOON).await;
    assert_eq!(proxy.asked(&Matcher::writes().on("netnamespaces")), []);
    assert_eq!(cluster.outcome().await.to_string(), "shop: egress\n");
    proxy.clear();
    cluster
        .rests(expect![[r"
            shop: egress, 10.20.0.2 on worker-0
            worker-0: offers 10.20.0.0/24
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_node_is_the_networks_business() {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    let mark = cluster.audit().mark().await;
    cluster.set_ready("worker-0", false).await;
    let moved = || {
        expect![[r"
            billing: egress, 10.20.0.2 on worker-1
            shop: egress, 10.20.0.3 on worker-1
            worker-0: offers 10.20.0.0/24
            worker-1: offers 10.20.0.0/24
        "]]
    };
    cluster.rests(moved()).await;
    let rounds = operator.rounds().await;
    cluster.set_ready("worker-0", true).await;
    operator.looks_again(rounds).await;
    cluster.rests(moved()).await;
    let written = cluster.written_since(mark).await.except(&["egressipams/status"]);
    assert_eq!(written.to_string(), "");
    sluice_places_nothing(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_healthy_node_namespaces_keep_their_addresses_and_are_told() {
    let (cluster, _operator) = serving(&["shop"]).await;
    for worker in ["worker-0", "worker-1"] {
        cluster.set_ready(worker, false).await;
    }
    cluster.hold_becomes("shop", Some("no-node: all nodes that may carry it are not ready: worker-0, worker-1")).await;
    cluster
        .rests(expect![[r"
            shop: egress, 10.20.0.2 on no node
            worker-0: offers 10.20.0.0/24
            worker-1: offers 10.20.0.0/24
        "]])
        .await;
    cluster.set_ready("worker-1", true).await;
    cluster
        .rests(expect![[r"
            shop: egress, 10.20.0.2 on worker-1
            worker-0: offers 10.20.0.0/24
            worker-1: offers 10.20.0.0/24
        "]])
        .await;
    cluster.hold_becomes("shop", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_join_offer_and_nodes_that_leave_do_not() {
    let (cluster, _operator) = serving(&["billing", "shop"]).await;
    let mark = cluster.audit().mark().await;
    cluster.furnish([node("worker-2").zone("zone-a")]).await;
    cluster
        .becomes(expect![[r"
            billing: egress, 10.20.0.2 on worker-0
            shop: egress, 10.20.0.3 on worker-1
            worker-0: offers 10.20.0.0/24
            worker-1: offers 10.20.0.0/24
            worker-2: offers 10.20.0.0/24
        "]])
        .await;
    cluster.label("Node", "worker-1", ZONE_LABEL, None).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-0
            shop: egress, 10.20.0.3 on worker-2
            worker-0: offers 10.20.0.0/24
            worker-2: offers 10.20.0.0/24
        "]])
        .await;
    let written = cluster.written_since(mark).await.except(&["egressipams/status"]);
    assert_eq!(written.to_string(), "sluice patch hostsubnets worker-2\nsluice patch hostsubnets worker-1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opts_out_leaves_the_network_to_clean_up() {
    let (cluster, _operator) = serving(&["billing", "shop"]).await;
    let mark = cluster.audit().mark().await;
    cluster.opt_in("shop", None).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-0
            shop: -
            worker-0: offers 10.20.0.0/24
            worker-1: offers 10.20.0.0/24
        "]])
        .await;
    let written = cluster.written_since(mark).await.except(&["egressipams/status"]);
    assert_eq!(written.summary(), "patch namespaces: 1\npatch netnamespaces: 1\n");
    sluice_places_nothing(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_honoured_in_one_step() {
    let (cluster, _operator) = serving(&["shop"]).await;
    let history = History::start(&cluster).await;
    cluster.request("shop", Some("10.20.0.77")).await;
    cluster
        .rests(expect![[r"
            shop: egress, 10.20.0.77 on worker-0
            worker-0: offers 10.20.0.0/24
            worker-1: offers 10.20.0.0/24
        "]])
        .await;
    let steps = history.steps().await;
    let held: Vec<_> = steps.iter().filter(|step| step.kind == "NetNamespace").map(|step| &step.after).collect();
    assert_eq!(held, [&["10.20.0.77"]]);
}

async fn changes_mode_and_back(when: While) {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    cluster.furnish([node("worker-b0").zone("zone-b")]).await;
    let history = History::start(&cluster).await;
    let two = ranges(&[RANGE, ("zone-b", "10.21.0.0/24")]);
    let add = async || cluster.patch("EgressIPAM", "egress", &two).await;
    let operator = cluster.disturb(operator, when, add).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-1, 10.21.0.3 on worker-b0
        "]])
        .await;
    let one = ranges(&[RANGE]);
    let remove = async || cluster.patch("EgressIPAM", "egress", &one).await;
    let _operator = cluster.disturb(operator, when, remove).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-0
            shop: egress, 10.20.0.3 on worker-1
            worker-0: offers 10.20.0.0/24
            worker-1: offers 10.20.0.0/24
        "]])
        .await;
    for name in ["billing", "shop"] {
        assert_eq!(history.silences(name).await, [""; 0]);
    }
    let steps = history.steps().await;
    let moved = steps.iter().filter(|step| ["worker-0", "worker-1"].contains(&step.name.as_str()));
    assert_eq!(moved.count(), 0, "{}", history.transcript().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_entry_makes_sluice_place_and_its_removal_the_network_again() {
    changes_mode_and_back(While::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_entry_comes_and_goes_while_the_operator_is_down() {
    changes_mode_and_back(While::Down).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_comes_to_share_the_nodes_makes_sluice_place() {
    let (cluster, _operator) = serving(&["billing", "shop"]).await;
    let history = History::start(&cluster).await;
    cluster.create([pool("other").range("zone-a", "10.30.0.0/24")]).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-0
            shop: egress, 10.20.0.3 on worker-1
        "]])
        .await;
    cluster.delete("EgressIPAM", "other").await;
    cluster.is_gone("EgressIPAM", "other").await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-0
            shop: egress, 10.20.0.3 on worker-1
            worker-0: offers 10.20.0.0/24
            worker-1: offers 10.20.0.0/24
        "]])
        .await;
    assert_eq!(history.transcript().await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pool_leaves_neither_offers_nor_addresses() {
    let (cluster, _operator) = serving(&["billing", "shop"]).await;
    cluster.delete("EgressIPAM", "egress").await;
    cluster.is_gone("EgressIPAM", "egress").await;
    cluster
        .rests(expect![[r"
            billing: egress
            shop: egress
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_that_somebody_changes_are_put_right() {
    let (cluster, operator) = serving(&["shop"]).await;
    for offers in [json!([]), json!(["10.20.0.0/24", "10.99.0.0/24"]), json!(["10.20.0.0/25"])] {
        let (mark, rounds) = (cluster.audit().mark().await, operator.rounds().await);
        cluster.patch("HostSubnet", "worker-1", &json!({ "egressCIDRs": offers })).await;
        operator.looks_again(rounds).await;
        cluster
            .rests(expect![[r"
                shop: egress, 10.20.0.2 on worker-0
                worker-0: offers 10.20.0.0/24
                worker-1: offers 10.20.0.0/24
            "]])
            .await;
        assert_eq!(cluster.written_since(mark).await.to_string(), "sluice patch hostsubnets worker-1\n", "{offers}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_address_on_an_offering_node_stays() {
    let (cluster, _operator) = serving(&["shop"]).await;
    cluster.openshift().stop().await;
    cluster.create([namespace("partner"), net_namespace("partner").addresses(&["192.0.2.7"])]).await;
    cluster.patch("HostSubnet", "worker-0", &json!({ "egressIPs": ["10.20.0.2", "192.0.2.7"] })).await;
    eventually("worker-0 offers it too", SOON, || async {
        let outcome = cluster.outcome().await;
        let offered = &outcome.host_subnets["worker-0"].offered;
        if offered == &["10.20.0.0/24", "192.0.2.7/32"] { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
    cluster.openshift().resume();
    cluster
        .rests(expect![[r"
            partner: 192.0.2.7 on worker-0, not annotated
            shop: egress, 10.20.0.2 on worker-0
            worker-0: offers 10.20.0.0/24 192.0.2.7/32
            worker-1: offers 10.20.0.0/24
        "]])
        .await;
    sluice_places_nothing(&cluster).await;
}
