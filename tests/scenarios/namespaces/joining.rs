//! Namespaces opt in, change pools and wait for what is missing; and a restart finds everything as it was.

use expect_test::expect;

use crate::harness::{History, Object, Operator, While, namespace, net_namespace, node, pool, serving};

fn dmz() -> Object {
    pool("dmz").range("zone-a", "10.30.0.0/24").range("zone-b", "10.31.0.0/24")
}

async fn switched(when: While) {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    cluster.create([dmz()]).await;
    cluster.condition_becomes("dmz", "Ready", expect!["True Served: 0 namespaces served"]).await;
    cluster.settled().await;
    let history = History::start(&cluster).await;
    let mark = cluster.audit().mark().await;
    let switch = async || cluster.opt_in("shop", Some("dmz")).await;
    let _operator = cluster.disturb(operator, when, switch).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: dmz, 10.30.0.2 on worker-a0, 10.31.0.2 on worker-b0
        "]])
        .await;
    assert_eq!(cluster.annotation_of("NetNamespace", "shop", "sluice.dev/pool").await.as_deref(), Some("dmz"));
    let written = cluster.written_since(mark).await.except(&["egressipams/status"]);
    assert_eq!(
        written.summary(),
        "create events: 1\npatch hostsubnets: 4\npatch namespaces: 2\npatch netnamespaces: 1\n"
    );
    assert_eq!(history.silences("shop").await, [""; 0]);
    assert_eq!(history.breaches().await, [""; 0]);
    let told: Vec<String> =
        history.transcript().await.lines().filter(|line| line.contains("shop")).map(String::from).collect();
    assert_eq!(
        told,
        [
            "Namespace shop: 10.20.0.3 10.21.0.3 -> -",
            "NetNamespace shop: 10.20.0.3 10.21.0.3 -> 10.30.0.2 10.31.0.2",
            "Namespace shop: - -> 10.30.0.2 10.31.0.2",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_to_another_pool() {
    switched(While::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_to_another_pool_while_the_operator_is_down() {
    switched(While::Down).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_to_a_pool_that_is_not_there_it_keeps_talking() {
    let (cluster, _operator) = serving(&["billing", "shop"]).await;
    let history = History::start(&cluster).await;
    let mark = cluster.audit().mark().await;
    cluster.opt_in("shop", Some("dmz")).await;
    cluster.hold_becomes("shop", Some("pool-missing: there is no EgressIPAM dmz")).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: dmz, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    let written = cluster.written_since(mark).await.except(&["egressipams/status", "events"]);
    assert_eq!(written.summary(), "patch namespaces: 1\n");
    cluster.create([dmz()]).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: dmz, 10.30.0.2 on worker-a0, 10.31.0.2 on worker-b0
        "]])
        .await;
    cluster.hold_becomes("shop", None).await;
    assert_eq!(history.silences("shop").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn opted_in_to_a_pool_that_comes_later() {
    let (cluster, _operator) = serving(&["billing"]).await;
    cluster.create([namespace("shop").in_pool("dmz")]).await;
    cluster.hold_becomes("shop", Some("pool-missing: there is no EgressIPAM dmz")).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: dmz
        "]])
        .await;
    let events = cluster.list("Event").await;
    let told = events.iter().filter(|event| event.data["involvedObject"]["name"] == "shop");
    let told: Vec<String> = told.map(|event| format!("{} {}", event.data["type"], event.data["reason"])).collect();
    assert_eq!(told, [r#""Warning" "PoolMissing""#]);
    cluster.create([dmz()]).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: dmz, 10.30.0.2 on worker-a0, 10.31.0.2 on worker-b0
        "]])
        .await;
    cluster.hold_becomes("shop", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opted_out_and_in_again() {
    let (cluster, _operator) = serving(&["billing", "shop"]).await;
    cluster.opt_in("billing", None).await;
    cluster
        .rests(expect![[r"
            billing: -
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    cluster.opt_in("billing", Some("egress")).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opted_out_and_in_again_at_once() {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    let rounds = operator.rounds().await;
    for _ in 0..5 {
        cluster.opt_in("shop", None).await;
        cluster.opt_in("shop", Some("egress")).await;
    }
    operator.looks_again(rounds).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    cluster.hold_becomes("shop", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_net_namespace_it_waits_for_one() {
    let (cluster, _operator) = serving(&["billing"]).await;
    cluster.gives_no_companion("shop");
    cluster.create([namespace("shop").in_pool("egress")]).await;
    cluster.hold_becomes("shop", Some("no-net-namespace: its NetNamespace does not exist")).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, no NetNamespace
        "]])
        .await;
    cluster.create([net_namespace("shop")]).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    cluster.hold_becomes("shop", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_net_namespace_that_is_lost_gets_the_same_addresses_when_it_is_back() {
    let (cluster, _operator) = serving(&["billing", "shop"]).await;
    cluster.delete("NetNamespace", "billing").await;
    cluster.hold_becomes("billing", Some("no-net-namespace: its NetNamespace does not exist")).await;
    // Nobody holds them, so they are free for others; but nobody asks, and the annotation says whose they were.
    cluster
        .becomes(expect![[r"
            billing: egress, no NetNamespace, annotated 10.20.0.2,10.21.0.2
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    cluster.settled().await;
    assert_eq!(cluster.get("NetNamespace", "billing").await, None, "Sluice creates none");
    cluster.create([net_namespace("billing")]).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    cluster.hold_becomes("billing", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_full_state_writes_nothing() {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    operator.stop().await;
    cluster.keeps_terminating("going", true);
    cluster
        .furnish([
            pool("placed").range("true", "10.40.0.0/24").topology("placed"),
            node("worker-p0").label("placed", "true"),
            dmz().set("spec.zoneFailover", "Any"),
            namespace("going").in_pool("dmz"),
            namespace("reports").in_pool("dmz"),
            namespace("search").in_pool("placed"),
            namespace("plain"),
            namespace("partner"),
            net_namespace("partner").addresses(&["10.99.0.9"]),
        ])
        .await;
    let full = || {
        expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            going: dmz, 10.30.0.2 on worker-a0, 10.31.0.2 on worker-b0, terminating
            partner: 10.99.0.9 on no node, not annotated
            plain: -
            reports: dmz, 10.30.0.3 on worker-a0, 10.31.0.3 on worker-b0
            search: placed, 10.40.0.2 on worker-p0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
            worker-p0: offers 10.40.0.0/24
        "]]
    };
    let operator = Operator::start(&cluster).await;
    cluster.condition_becomes("dmz", "Ready", expect!["True Served: 2 namespaces served"]).await;
    cluster.delete("Namespace", "going").await;
    cluster.rests(full()).await;
    operator.stop().await;
    let mark = cluster.audit().mark().await;
    for _ in 0..2 {
        let operator = Operator::start(&cluster).await;
        operator.looks_again(0.0).await;
        cluster.rests(full()).await;
        operator.stop().await;
    }
    assert_eq!(cluster.written_since(mark).await.to_string(), "");
}
