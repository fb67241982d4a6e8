//! The order of writes, and what becomes of an allocation that is cut short.

use std::time::Duration;

use expect_test::expect;

use super::{there_are, three_zones};
use crate::harness::{Cluster, History, Matcher, Operator, Proxy, Rule, SOON, infrastructure, namespace, node, pool};

/// What was written, in the order in which it was sent.
fn sent(proxy: &Proxy) -> String {
    let changes = proxy.asked(&Matcher::changes());
    changes.iter().map(|asked| format!("{} {}", asked.resource, asked.name)).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn finalizer_then_nodes_then_net_namespace_then_annotation() {
    let cluster = Cluster::start().await;
    there_are(&cluster, three_zones().into_iter().chain([namespace("shop").in_pool("egress")])).await;
    let history = History::start(&cluster).await;
    let proxy = Proxy::start(&cluster).await;
    // Whoever does not wait for answers is found out.
    proxy.rule(Rule::delay(Matcher::changes(), Duration::from_millis(200)));
    let _operator = Operator::launch(&cluster).through(&proxy).start().await;
    cluster
        .becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0, 10.22.0.2 on worker-c0"])
        .await;
    // The three nodes are written at once, so their order means nothing.
    let sorted = |text: String, nodes: std::ops::Range<usize>| {
        let mut lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() >= nodes.end, "{text}");
        lines[nodes].sort_unstable();
        lines.join("\n")
    };
    expect![[r"
        egressipams egress
        hostsubnets worker-a0
        hostsubnets worker-b0
        hostsubnets worker-c0
        netnamespaces shop
        namespaces shop"]]
    .assert_eq(&sorted(sent(&proxy), 1..4));
    expect![[r"
        HostSubnet worker-a0: - -> 10.20.0.2
        HostSubnet worker-b0: - -> 10.21.0.2
        HostSubnet worker-c0: - -> 10.22.0.2
        NetNamespace shop: - -> 10.20.0.2 10.21.0.2 10.22.0.2
        Namespace shop: - -> 10.20.0.2 10.21.0.2 10.22.0.2"]]
    .assert_eq(&sorted(history.transcript().await, 0..3));
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_held_before_a_node_carries_it() {
    let cluster = Cluster::start().await;
    there_are(&cluster, three_zones().into_iter().chain([namespace("shop").in_pool("egress")])).await;
    let history = History::start(&cluster).await;
    let proxy = Proxy::start(&cluster).await;
    proxy.rule(Rule::answer(Matcher::changes().on("hostsubnets"), 500));
    let _operator = Operator::launch(&cluster).through(&proxy).start().await;
    // All three nodes, and one of them again.
    proxy.struck(4, SOON).await;
    expect![""].assert_eq(&history.transcript().await);
    assert_eq!(proxy.asked(&Matcher::changes().on("netnamespaces")), []);
    proxy.clear();
    cluster
        .becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0, 10.22.0.2 on worker-c0"])
        .await;
    assert_eq!(history.breaches().await, [""; 0]);
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_network_places_it_gets_its_range_first() {
    let cluster = Cluster::start().await;
    let egress = pool("egress").range("zone-a", "10.20.0.0/24");
    there_are(&cluster, [infrastructure("BareMetal"), egress, node("worker-a0").zone("zone-a")]).await;
    there_are(&cluster, [namespace("shop").in_pool("egress")]).await;
    let proxy = Proxy::start(&cluster).await;
    let _operator = Operator::launch(&cluster).through(&proxy).start().await;
    cluster
        .becomes(expect![[r"
            shop: egress, 10.20.0.2 on worker-a0
            worker-a0: offers 10.20.0.0/24
        "]])
        .await;
    cluster.settled().await;
    expect![[r"
        egressipams egress
        hostsubnets worker-a0
        netnamespaces shop
        namespaces shop"]]
    .assert_eq(&sent(&proxy));
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_on_nodes_is_taken_off() {
    let cluster = Cluster::start().await;
    there_are(&cluster, three_zones().into_iter().chain([namespace("shop").in_pool("egress")])).await;
    let history = History::start(&cluster).await;
    let proxy = Proxy::start(&cluster).await;
    // The finalizer and the three nodes, which are written side by side: what comes fifth waited for all of them. The
    // addresses are carried, and nobody holds them.
    proxy.kill_before(5, Matcher::changes());
    let operator = Operator::launch(&cluster).through(&proxy).spawn();
    operator.was_killed(SOON).await;
    cluster
        .becomes(expect![[r"
            shop: egress
            worker-a0: 10.20.0.2 of nobody
            worker-b0: 10.21.0.2 of nobody
            worker-c0: 10.22.0.2 of nobody
        "]])
        .await;
    let mark = cluster.audit().mark().await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect!["shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0, 10.22.0.3 on worker-c0"])
        .await;
    cluster.settled().await;
    expect![[r"
        patch hostsubnets: 3
        patch namespaces: 1
        patch netnamespaces: 1
    "]]
    .assert_eq(&super::cost(cluster.written_since(mark).await).summary());
    assert_eq!(history.breaches().await, [""; 0]);
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_api_server_sees_no_write_twice() {
    let cluster = Cluster::start().await;
    there_are(&cluster, three_zones().into_iter().chain([namespace("shop").in_pool("egress")])).await;
    let proxy = Proxy::start(&cluster).await;
    proxy.rule(Rule::delay(Matcher::changes(), Duration::from_secs(1)));
    let _operator = Operator::launch(&cluster).through(&proxy).start().await;
    cluster
        .becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0, 10.22.0.2 on worker-c0"])
        .await;
    proxy.clear();
    cluster.settled().await;
    assert_eq!(proxy.asked(&Matcher::changes()).len(), 6, "{}", sent(&proxy));
    cluster.assert_sound().await;
}
