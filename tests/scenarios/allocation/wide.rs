//! One range for all zones of a pool: each has its share, and borrows when that is used up.

use expect_test::expect;

use super::there_are;
use crate::harness::{Cluster, History, Object, Operator, infrastructure, namespace, node, pool, reads};

/// A pool with one range over these zones, `zone-a` and so on, with a node in each.
fn zones<const N: usize>(range: &str, zones: [&str; N]) -> impl Iterator<Item = Object> {
    let nodes = zones.map(|zone| node(&format!("worker-{zone}0")).zone(&format!("zone-{zone}")));
    [infrastructure("BareMetal"), pool("egress").set("spec.cidr", range)].into_iter().chain(nodes)
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_have_equal_shares_and_nothing_is_wasted() {
    let cluster = Cluster::start().await;
    let names = ["ns-1", "ns-2", "ns-3", "ns-4", "ns-5"].map(|name| namespace(name).in_pool("egress"));
    there_are(&cluster, zones("10.20.0.0/28", ["a", "b", "c"]).chain(names)).await;
    let _operator = Operator::start(&cluster).await;
    // Of 13 addresses the first zone has five, the others four.
    cluster
        .becomes(expect![[r"
            ns-1: egress, 10.20.0.2 on worker-a0, 10.20.0.7 on worker-b0, 10.20.0.11 on worker-c0
            ns-2: egress, 10.20.0.3 on worker-a0, 10.20.0.8 on worker-b0, 10.20.0.12 on worker-c0
            ns-3: egress, 10.20.0.4 on worker-a0, 10.20.0.9 on worker-b0, 10.20.0.13 on worker-c0
            ns-4: egress, 10.20.0.5 on worker-a0, 10.20.0.10 on worker-b0, 10.20.0.14 on worker-c0
            ns-5: egress, 10.20.0.6 on worker-a0
        "]])
        .await;
    reads(expect!["ns-5: exhausted: no free address (zone zone-b); exhausted: no free address (zone zone-c)"], || {
        cluster.holds()
    })
    .await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_borrows_when_its_share_is_used_up() {
    let cluster = Cluster::start().await;
    // Two addresses of the share of zone b, asked for by name: one of them has to serve zone a.
    let names = [namespace("ns-1").requesting("10.20.0.5,10.20.0.6"), namespace("ns-2"), namespace("ns-3")]
        .map(|namespace| namespace.in_pool("egress"));
    there_are(&cluster, zones("10.20.0.0/29", ["a", "b"]).chain(names)).await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            ns-1: egress, 10.20.0.6 on worker-a0, 10.20.0.5 on worker-b0
            ns-2: egress, 10.20.0.2 on worker-a0, 10.20.0.3 on worker-b0
            ns-3: egress, 10.20.0.4 on worker-a0
        "]])
        .await;
    reads(expect!["ns-3: exhausted: no free address (zone zone-b)"], || cluster.holds()).await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_appears_later_moves_nobody() {
    let cluster = Cluster::start().await;
    let names = ["ns-1", "ns-2"].map(|name| namespace(name).in_pool("egress"));
    there_are(&cluster, zones("10.20.0.0/28", ["a", "b"]).chain(names)).await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            ns-1: egress, 10.20.0.2 on worker-a0, 10.20.0.9 on worker-b0
            ns-2: egress, 10.20.0.3 on worker-a0, 10.20.0.10 on worker-b0
        "]])
        .await;
    cluster.settled().await;
    let history = History::start(&cluster).await;
    cluster.create([node("worker-c0").zone("zone-c")]).await;
    cluster
        .becomes(expect![[r"
            ns-1: egress, 10.20.0.2 on worker-a0, 10.20.0.9 on worker-b0, 10.20.0.11 on worker-c0
            ns-2: egress, 10.20.0.3 on worker-a0, 10.20.0.10 on worker-b0, 10.20.0.12 on worker-c0
        "]])
        .await;
    cluster.settled().await;
    let steps = history.steps().await;
    let touched = steps.iter().filter(|step| ["worker-a0", "worker-b0"].contains(&step.name.as_str())).count();
    assert_eq!(touched, 0, "{}", history.transcript().await);
    assert_eq!(history.breaches().await, [""; 0]);
    cluster.assert_sound().await;
}
