//! Defects 4 and 5: what is written in the wrong order, and what one missing thing stops.

use expect_test::expect;

use super::{add, at_rest, carrier, cluster_with, is_held, is_served, one_zone, served, two_zones, until_outcome};
use crate::harness::{
    Cluster, History, Matcher, Operator, Outcome, Proxy, Rule, SOON, infrastructure, namespace, node, pool,
};

/// Defect 4: the NetNamespace is written first, so a node that cannot be written leaves the namespace without any egress.
#[tokio::test(flavor = "multi_thread")]
async fn the_netnamespace_is_not_written_before_its_carrier() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-b0"])).await;
    add(&cluster, [namespace("shop").in_pool("egress")]).await;
    let history = History::start(&cluster).await;
    let proxy = Proxy::start(&cluster).await;
    proxy.rule(Rule::answer(Matcher::writes().on("hostsubnets"), 500));
    let _operator = Operator::launch(&cluster).through(&proxy).start().await;
    // Both nodes are tried, and tried again.
    proxy.struck(4, SOON).await;
    assert_eq!(history.transcript().await, "");
    proxy.clear();
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0"]).await;
    let steps = history.steps().await;
    let kinds: Vec<&str> = steps.iter().map(|step| step.kind).collect();
    let of_nodes = kinds.iter().take_while(|kind| **kind == "HostSubnet").count();
    assert!(of_nodes > 0 && kinds.ends_with(&["Namespace"]), "{}", history.transcript().await);
    cluster.assert_sound().await;
}

/// Defect 4: when the addresses run out, namespaces that got theirs in the same round have no NetNamespace either.
#[tokio::test(flavor = "multi_thread")]
async fn exhaustion_does_not_starve_those_who_got_an_address() {
    let cluster = Cluster::start().await;
    let egress = pool("egress").range("zone-a", "10.20.0.0/29").range("zone-b", "10.21.0.0/24");
    let nodes = [node("worker-a0").zone("zone-a"), node("worker-b0").zone("zone-b")];
    add(&cluster, nodes.into_iter().chain([infrastructure("BareMetal"), egress])).await;
    add(&cluster, ["n1", "n2", "n3", "n4", "n5", "n6"].map(|name| namespace(name).in_pool("egress"))).await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            n1: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            n2: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
            n3: egress, 10.20.0.4 on worker-a0, 10.21.0.4 on worker-b0
            n4: egress, 10.20.0.5 on worker-a0, 10.21.0.5 on worker-b0
            n5: egress, 10.20.0.6 on worker-a0, 10.21.0.6 on worker-b0
            n6: egress, 10.21.0.7 on worker-b0
        "]])
        .await;
    is_held(&cluster, "n6", "exhausted: no free address (zone zone-a)").await;
    cluster.assert_sound().await;
}

/// Defect 5: a zone without Ready nodes blocks the failover of every other zone.
#[tokio::test(flavor = "multi_thread")]
async fn a_zone_without_ready_nodes_does_not_block_failover_elsewhere() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-a1", "worker-b0"])).await;
    add(&cluster, ["billing", "shop"].map(|name| namespace(name).in_pool("egress"))).await;
    let _operator = Operator::start(&cluster).await;
    let outcome = served(&cluster, &["billing", "shop"], 2).await;
    let history = History::start(&cluster).await;
    cluster.set_ready("worker-b0", false).await;
    let down = carrier(&outcome, "10.20.0.2");
    let other = if down == "worker-a0" { "worker-a1" } else { "worker-a0" };
    cluster.set_ready(&down, false).await;
    let outcome = until_outcome(&cluster, "zone a is on its other node", |outcome| {
        ["10.20.0.2", "10.20.0.3"].iter().all(|address| outcome.nodes_of(address) == [other])
    })
    .await;
    assert!(outcome.host_subnets[&down].carried.is_empty(), "{outcome}");
    // Nobody loses what it has: an empty NetNamespace would let traffic leave with a node's address.
    assert!(history.steps().await.iter().all(|step| step.kind == "HostSubnet"), "{}", history.transcript().await);
    assert_eq!(history.breaches().await, [""; 0]);
}

/// Defect 5: a full pool blocks everything: other namespaces, failover, its own deletion.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_does_not_block_everything() {
    let cluster = cluster_with(two_zones(&["worker-a0", "worker-a1", "worker-b0"])).await;
    let tiny = pool("tiny").range("zone-a", "10.30.0.0/30");
    let namespaces = [("first", "tiny"), ("second", "tiny"), ("shop", "egress")];
    add(&cluster, [tiny]).await;
    add(&cluster, namespaces.map(|(name, pool)| namespace(name).in_pool(pool))).await;
    let _operator = Operator::start(&cluster).await;
    let all_well = |outcome: &Outcome| is_served(outcome, "first", 1) && is_served(outcome, "shop", 2);
    let outcome = until_outcome(&cluster, "all but one are served", all_well).await;
    assert_eq!(outcome.addresses_of("first"), ["10.30.0.2"]);
    is_held(&cluster, "second", "exhausted: no free address (zone zone-a)").await;

    let down = carrier(&outcome, "10.30.0.2");
    cluster.set_ready(&down, false).await;
    until_outcome(&cluster, "failover", |outcome| all_well(outcome) && outcome.host_subnets[&down].carried.is_empty())
        .await;

    cluster.delete("EgressIPAM", "tiny").await;
    cluster.is_gone("EgressIPAM", "tiny").await;
    cluster.settled().await;
    let outcome = cluster.outcome().await;
    assert_eq!(outcome.addresses_of("first"), [""; 0], "{outcome}");
    assert!(is_served(&outcome, "shop", 2), "{outcome}");
}

/// Defect 5: one Node without a HostSubnet, anywhere in the cluster, stops all pools.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_hostsubnet_does_not_block_everything() {
    let cluster = Cluster::start().await;
    cluster.openshift().switch(|switches| switches.without = ["worker-a1".into()].into());
    add(&cluster, two_zones(&["worker-a0", "worker-b0"])).await;
    cluster.create([node("worker-a1").zone("zone-a")]).await;
    add(&cluster, [namespace("shop").in_pool("egress")]).await;
    let _operator = Operator::start(&cluster).await;
    cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0"]).await;
    cluster.delete("EgressIPAM", "egress").await;
    cluster.is_gone("EgressIPAM", "egress").await;
    cluster.becomes(expect!["shop: egress"]).await;
}

/// Defect 5: one namespace without NetNamespace stops all others of the pool.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_netnamespace_does_not_block_everything() {
    let cluster = cluster_with(one_zone("10.20.0.0/24", &["worker-a0"])).await;
    cluster.openshift().switch(|switches| switches.without = ["bare".into()].into());
    cluster.create([namespace("bare").in_pool("egress")]).await;
    add(&cluster, [namespace("shop").in_pool("egress")]).await;
    let _operator = at_rest(&cluster).await;
    is_held(&cluster, "bare", "no-net-namespace: its NetNamespace does not exist").await;
    cluster
        .becomes(expect![[r"
            bare: egress, no NetNamespace
            shop: egress, 10.20.0.2 on worker-a0
            worker-a0: offers 10.20.0.0/24
        "]])
        .await;
}
