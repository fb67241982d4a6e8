//! Namespaces that ask for addresses by name: annotation `egressips`, written by somebody else than Sluice.

use expect_test::expect;

use crate::harness::{
    Cluster, History, Object, Operator, SOON, eventually, host_subnet, infrastructure, namespace, net_namespace, node,
    pool, reads,
};

/// A pool with a range for each of two zones, and a node in each.
fn two_zones() -> [Object; 4] {
    [
        infrastructure("BareMetal"),
        pool("egress").range_reserving("zone-a", "10.20.0.0/24", &["10.20.0.66"]).range("zone-b", "10.21.0.0/24"),
        node("worker-a0").zone("zone-a").address("10.20.0.77"),
        node("worker-b0").zone("zone-b"),
    ]
}

/// A cluster with two zones and these namespaces, all of the pool, each with what it asks for; no operator yet.
async fn asking<const N: usize>(requests: [(&str, &str); N]) -> Cluster {
    let cluster = Cluster::start().await;
    let namespaces = requests.map(|(name, addresses)| namespace(name).in_pool("egress").requesting(addresses));
    cluster.create(two_zones().into_iter().chain(namespaces)).await;
    cluster.companions_are_there().await;
    cluster
}

/// What was written about namespaces and nodes.
async fn written_since(cluster: &Cluster, mark: crate::harness::audit::Mark) -> String {
    cluster.written_since(mark).await.except(&["egressipams", "egressipams/status", "events"]).summary()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_valid_request_is_honoured_and_left_as_it_is() {
    let cluster = asking([("shop", "10.20.0.50,10.21.0.60")]).await;
    let mark = cluster.audit().mark().await;
    let _operator = Operator::start(&cluster).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.50 on worker-a0, 10.21.0.60 on worker-b0"]).await;
    cluster.settled().await;
    expect![[r"
        patch hostsubnets: 2
        patch netnamespaces: 1
    "]]
    .assert_eq(&written_since(&cluster, mark).await);
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_matched_to_zones_by_range() {
    let cluster = asking([
        ("backwards", "10.21.0.50,10.20.0.60"),
        ("blanks", " 10.20.0.51 , 10.21.0.61 "),
        ("empty", ""),
        ("only-b", "10.21.0.70"),
    ])
    .await;
    let _operator = Operator::start(&cluster).await;
    // Whoever asks for too few gets the rest as everybody does.
    cluster
        .becomes(expect![[r"
            backwards: egress, 10.20.0.60 on worker-a0, 10.21.0.50 on worker-b0
            blanks: egress, 10.20.0.51 on worker-a0, 10.21.0.61 on worker-b0
            empty: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            only-b: egress, 10.20.0.3 on worker-a0, 10.21.0.70 on worker-b0
        "]])
        .await;
    reads(expect![""], || cluster.holds()).await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_met_is_held_and_nobody_else_is() {
    let cluster = asking([
        ("no-zone", "10.99.0.5"),
        ("partly", "10.20.0.31,8.8.8.8"),
        ("same-zone", "10.20.0.32,10.20.0.33"),
        ("too-many", "10.20.0.34,10.21.0.34,10.21.0.35"),
        ("v6", "fd00::5"),
    ])
    .await;
    cluster.create([namespace("plain").in_pool("egress")]).await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            no-zone: egress, annotated 10.99.0.5
            partly: egress, annotated 10.20.0.31,8.8.8.8
            plain: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            same-zone: egress, annotated 10.20.0.32,10.20.0.33
            too-many: egress, annotated 10.20.0.34,10.21.0.34,10.21.0.35
            v6: egress, annotated fd00::5
        "]])
        .await;
    reads(
        expect![[r"
            no-zone: request-invalid: 10.99.0.5 is not in the pool, or reserved
            partly: request-invalid: 8.8.8.8 is not in the pool, or reserved
            same-zone: request-invalid: 10.20.0.33 is one too many for its zone
            too-many: request-invalid: more than the 2 addresses that the owner gets
            v6: request-invalid: fd00::5 is not in the pool, or reserved
        "]],
        || cluster.holds(),
    )
    .await;
    cluster.settled().await;
    // Who mends the request gets what it asks for; who gives up gets what everybody gets.
    cluster.request("same-zone", Some("10.20.0.32,10.21.0.32")).await;
    give_up(&cluster, ["no-zone", "partly", "too-many", "v6"]).await;
    let outcome = cluster.outcome().await;
    assert_eq!(outcome.addresses_of("same-zone"), ["10.20.0.32", "10.21.0.32"]);
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_held_and_told() {
    let cluster =
        asking([("trailing", "10.20.0.36,"), ("twice", "10.20.0.37,10.20.0.37"), ("word", "10.20.0.30,banana")]).await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            trailing: egress, annotated 10.20.0.36,
            twice: egress, annotated 10.20.0.37,10.20.0.37
            word: egress, annotated 10.20.0.30,banana
        "]])
        .await;
    reads(
        expect![[r#"
            trailing: request-invalid: annotation egressips: "" is not an address
            twice: request-invalid: annotation egressips names 10.20.0.37 twice
            word: request-invalid: annotation egressips: "banana" is not an address
        "#]],
        || cluster.holds(),
    )
    .await;
    reads(
        expect![[r#"
            Namespace trailing: RequestInvalid: annotation egressips: "" is not an address
            Namespace twice: RequestInvalid: annotation egressips names 10.20.0.37 twice
            Namespace word: RequestInvalid: annotation egressips: "banana" is not an address
        "#]],
        || cluster.warnings(),
    )
    .await;
    cluster.settled().await;
    cluster.request("word", Some("10.20.0.30")).await;
    give_up(&cluster, ["trailing", "twice"]).await;
    assert_eq!(cluster.outcome().await.addresses_of("word")[0], "10.20.0.30");
    cluster.assert_sound().await;
}

/// These take their requests back; then everybody in the cluster has an address in both zones.
async fn give_up<const N: usize>(cluster: &Cluster, names: [&str; N]) {
    for name in names {
        cluster.request(name, None).await;
    }
    eventually("everybody is served", SOON, || async {
        let outcome = cluster.outcome().await;
        let served = outcome.namespaces.values().all(|state| state.addresses().len() == 2);
        if served && outcome.faults().is_empty() && outcome.unplaced().is_empty() {
            Ok(())
        } else {
            Err(outcome.to_string())
        }
    })
    .await;
    reads(expect![""], || cluster.holds()).await;
    cluster.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_not_to_be_given_cannot_be_had_by_asking() {
    let cluster = asking([
        ("broadcast", "10.20.0.255"),
        ("gateway", "10.20.0.1"),
        ("network", "10.20.0.0"),
        ("node", "10.20.0.77"),
        ("reserved", "10.20.0.66"),
    ])
    .await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            broadcast: egress, annotated 10.20.0.255
            gateway: egress, annotated 10.20.0.1
            network: egress, annotated 10.20.0.0
            node: egress, annotated 10.20.0.77
            reserved: egress, annotated 10.20.0.66
        "]])
        .await;
    reads(
        expect![[r"
            broadcast: request-invalid: 10.20.0.255 is not in the pool, or reserved
            gateway: request-invalid: 10.20.0.1 is not in the pool, or reserved
            network: request-invalid: 10.20.0.0 is not in the pool, or reserved
            node: request-taken: 10.20.0.77 belongs to somebody else
            reserved: request-invalid: 10.20.0.66 is not in the pool, or reserved
        "]],
        || cluster.holds(),
    )
    .await;
    cluster.settled().await;
    give_up(&cluster, ["broadcast", "gateway", "network", "node", "reserved"]).await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_was_given_before_stays_even_the_gateways() {
    let cluster = Cluster::start().await;
    let allocated = [
        host_subnet("worker-a0").set("hostIP", "10.20.0.77").addresses(&["10.20.0.1"]),
        host_subnet("worker-b0").addresses(&["10.21.0.255"]),
        net_namespace("shop").addresses(&["10.20.0.1", "10.21.0.255"]),
        namespace("shop").in_pool("egress").requesting("10.20.0.1,10.21.0.255"),
    ];
    cluster.create(two_zones().into_iter().chain(allocated)).await;
    let mark = cluster.audit().mark().await;
    let _operator = Operator::start(&cluster).await;
    reads(
        expect![[r"
            served 1 of 1, held 0
            zone-a 10.20.0.0/24: 1 of 252 used, 1 of 1 nodes healthy
            zone-b 10.21.0.0/24: 1 of 253 used, 1 of 1 nodes healthy
            Ready=True Served: 1 namespaces served
            Degraded=False AsExpected:
        "]],
        || cluster.status("egress"),
    )
    .await;
    cluster.settled().await;
    cluster.becomes(expect!["shop: egress, 10.20.0.1 on worker-a0, 10.21.0.255 on worker-b0"]).await;
    expect![""].assert_eq(&written_since(&cluster, mark).await);
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_address_is_waited_for() {
    let cluster = asking([("billing", "10.20.0.50"), ("mirror", "10.20.0.50"), ("thief", "10.20.0.40")]).await;
    cluster.create([namespace("by-hand"), net_namespace("by-hand").addresses(&["10.20.0.40"])]).await;
    let _operator = Operator::start(&cluster).await;
    // Of two that ask at the same time the name decides; what a namespace without a pool holds is not for others.
    cluster
        .becomes(expect![[r"
            billing: egress, 10.20.0.50 on worker-a0, 10.21.0.2 on worker-b0
            by-hand: 10.20.0.40 on no node, not annotated
            mirror: egress, annotated 10.20.0.50
            thief: egress, annotated 10.20.0.40
        "]])
        .await;
    reads(
        expect![[r"
            mirror: request-taken: 10.20.0.50 belongs to billing
            thief: request-taken: 10.20.0.40 belongs to somebody else
        "]],
        || cluster.holds(),
    )
    .await;
    cluster.settled().await;

    let history = History::start(&cluster).await;
    cluster.opt_in("billing", None).await;
    cluster.delete("Namespace", "by-hand").await;
    reads(expect![""], || cluster.holds()).await;
    cluster.settled().await;
    let outcome = cluster.outcome().await;
    assert_eq!(outcome.addresses_of("mirror")[0], "10.20.0.50", "{outcome}");
    assert_eq!(outcome.addresses_of("thief")[0], "10.20.0.40", "{outcome}");
    assert_eq!(outcome.addresses_of("billing"), [""; 0], "{outcome}");
    assert_eq!(outcome.unplaced(), [""; 0], "{outcome}");
    assert_eq!(history.breaches().await, [""; 0]);
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_valid_change_of_a_running_namespace_moves_it_without_a_gap() {
    let cluster = asking([("shop", "")]).await;
    let _operator = Operator::start(&cluster).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0"]).await;
    cluster.settled().await;
    let history = History::start(&cluster).await;
    let mark = cluster.audit().mark().await;
    cluster.request("shop", Some("10.20.0.50,10.21.0.2")).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.50 on worker-a0, 10.21.0.2 on worker-b0"]).await;
    cluster.settled().await;
    expect![[r"
        Namespace shop: 10.20.0.2 10.21.0.2 -> 10.20.0.50 10.21.0.2
        HostSubnet worker-a0: 10.20.0.2 -> 10.20.0.2 10.20.0.50
        NetNamespace shop: 10.20.0.2 10.21.0.2 -> 10.20.0.50 10.21.0.2
        HostSubnet worker-a0: 10.20.0.2 10.20.0.50 -> 10.20.0.50
    "]]
    .assert_eq(&history.transcript().await);
    expect![[r"
        patch hostsubnets: 2
        patch netnamespaces: 1
    "]]
    .assert_eq(&written_since(&cluster, mark).await);
    reads(expect![""], || cluster.warnings()).await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_change_of_a_running_namespace_changes_nothing_but_its_hold() {
    let cluster = asking([("billing", ""), ("shop", "")]).await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    cluster.settled().await;
    let history = History::start(&cluster).await;
    let mark = cluster.audit().mark().await;
    for (request, hold) in [
        ("10.20.0.50,8.8.8.8", expect!["shop: request-invalid: 8.8.8.8 is not in the pool, or reserved"]),
        ("10.20.0.2,10.21.0.3", expect!["shop: request-taken: 10.20.0.2 belongs to billing"]),
        (
            "10.20.0.50;10.21.0.50",
            expect![[r#"shop: request-invalid: annotation egressips: "10.20.0.50;10.21.0.50" is not an address"#]],
        ),
    ] {
        cluster.request("shop", Some(request)).await;
        reads(hold, || cluster.holds()).await;
    }
    cluster.settled().await;
    cluster
        .becomes(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0, annotated 10.20.0.50;10.21.0.50
        "]])
        .await;
    reads(
        expect![[r#"
            Namespace shop: RequestInvalid: 8.8.8.8 is not in the pool, or reserved
            Namespace shop: RequestInvalid: annotation egressips: "10.20.0.50;10.21.0.50" is not an address
            Namespace shop: RequestTaken: 10.20.0.2 belongs to billing
        "#]],
        || cluster.warnings(),
    )
    .await;
    expect!["patch namespaces: 3\n"].assert_eq(&written_since(&cluster, mark).await);
    // Without the annotation there is no request, and what is held is stated again.
    cluster.request("shop", None).await;
    reads(expect![""], || cluster.holds()).await;
    cluster
        .becomes(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    let steps = history.steps().await;
    assert!(steps.iter().all(|step| step.kind == "Namespace" && step.name == "shop"), "{steps:?}");
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_in_another_order_is_no_request() {
    let cluster = asking([("shop", "")]).await;
    let _operator = Operator::start(&cluster).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0"]).await;
    cluster.settled().await;
    let mark = cluster.audit().mark().await;
    cluster.request("shop", Some("10.21.0.2,10.20.0.2")).await;
    // Another namespace, so that there is a round to wait for.
    cluster.create([namespace("then").in_pool("egress").requesting("10.20.0.9,10.21.0.9")]).await;
    cluster
        .becomes(expect![[r"
            shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0, annotated 10.21.0.2,10.20.0.2
            then: egress, 10.20.0.9 on worker-a0, 10.21.0.9 on worker-b0
        "]])
        .await;
    cluster.settled().await;
    let about_shop = cluster.written_since(mark).await.that(|request| request.name == "shop");
    expect![""].assert_eq(&about_shop.to_string());
    cluster.request("shop", Some("10.20.0.2,10.21.0.2")).await;
    cluster.settled().await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_want_each_others_addresses_keep_their_own() {
    let cluster = asking([("billing", ""), ("shop", "")]).await;
    let _operator = Operator::start(&cluster).await;
    let expected = expect![[r"
        billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
        shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
    "]];
    cluster.becomes(expected).await;
    cluster.settled().await;
    let mark = cluster.audit().mark().await;
    cluster.request("billing", Some("10.20.0.3,10.21.0.2")).await;
    cluster.request("shop", Some("10.20.0.2,10.21.0.3")).await;
    reads(
        expect![[r"
            billing: request-taken: 10.20.0.3 belongs to shop
            shop: request-taken: 10.20.0.2 belongs to billing
        "]],
        || cluster.holds(),
    )
    .await;
    cluster.settled().await;
    expect!["patch namespaces: 2\n"].assert_eq(&written_since(&cluster, mark).await);
    // As soon as one steps aside, the other has its way, and then the first.
    cluster.request("billing", Some("10.20.0.99,10.21.0.2")).await;
    cluster
        .becomes(expect![[r"
            billing: egress, 10.20.0.99 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.2 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    cluster.request("billing", Some("10.20.0.3,10.21.0.2")).await;
    cluster
        .becomes(expect![[r"
            billing: egress, 10.20.0.3 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.2 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    reads(expect![""], || cluster.holds()).await;
    cluster.settled().await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_made_while_nobody_runs_is_met_by_the_next_start() {
    let cluster = asking([("shop", "")]).await;
    let operator = Operator::start(&cluster).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0"]).await;
    cluster.settled().await;
    operator.stop().await;
    cluster.request("shop", Some("10.21.0.60,10.20.0.50")).await;
    let history = History::start(&cluster).await;
    let _operator = Operator::start(&cluster).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.50 on worker-a0, 10.21.0.60 on worker-b0"]).await;
    cluster.settled().await;
    let steps = history.steps().await;
    let nets = steps.iter().filter(|step| step.kind == "NetNamespace").count();
    assert_eq!(nets, 1, "from old to new in one step:\n{}", history.transcript().await);
    assert_eq!(history.breaches().await, [""; 0]);
    cluster.assert_sound().await;
}
