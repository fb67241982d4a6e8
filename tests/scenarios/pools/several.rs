//! Several pools in one cluster: overlapping ranges (R6), common nodes.

use expect_test::expect;
use serde_json::json;

use crate::harness::{Cluster, Operator, host_subnet, infrastructure, namespace, net_namespace, node, pool, two_zones};

#[tokio::test(flavor = "multi_thread")]
async fn of_overlapping_pools_the_older_owns_the_intersection_and_both_say_so() {
    let cluster = Cluster::start().await;
    let elder = pool("elder").range("zone-a", "10.20.0.0/29").range("zone-b", "10.21.0.0/29");
    let young = pool("young").range("zone-a", "10.20.0.0/28").range("zone-b", "10.31.0.0/29");
    cluster.store([elder.created("2026-01-01T00:00:00Z"), young.created("2026-02-02T00:00:00Z")]).await;
    let held = "10.20.0.4,10.31.0.4";
    cluster
        .furnish([
            infrastructure("BareMetal"),
            node("worker-a0").zone("zone-a"),
            node("worker-b0").zone("zone-b"),
            namespace("kept").in_pool("young").requesting(held),
            net_namespace("kept").addresses(&held.split(',').collect::<Vec<_>>()),
            host_subnet("worker-a0").addresses(&["10.20.0.4"]),
            host_subnet("worker-b0").addresses(&["10.31.0.4"]),
            namespace("new").in_pool("young"),
            namespace("old").in_pool("elder"),
            namespace("taker").in_pool("elder").requesting("10.20.0.4,10.21.0.4"),
            namespace("thief").in_pool("young").requesting("10.20.0.5,10.31.0.5"),
        ])
        .await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            kept: young, 10.20.0.4 on worker-a0, 10.31.0.4 on worker-b0
            new: young, 10.20.0.8 on worker-a0, 10.31.0.2 on worker-b0
            old: elder, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            taker: elder, annotated 10.20.0.4,10.21.0.4
            thief: young, annotated 10.20.0.5,10.31.0.5
        "]])
        .await;
    cluster.settled().await;
    // Whose request is not met keeps it; everything else is sound.
    let faults = cluster.outcome().await.faults();
    assert_eq!(
        faults,
        ["taker holds [] but is annotated 10.20.0.4,10.21.0.4", "thief holds [] but is annotated 10.20.0.5,10.31.0.5",]
    );
    cluster.hold_becomes("taker", Some("request-taken: 10.20.0.4 belongs to kept")).await;
    cluster.hold_becomes("thief", Some("request-invalid: 10.20.0.5 is not in the pool, or reserved")).await;
    let elder = expect![
        "True Held: 10.20.0.0/29 overlaps 10.20.0.0/28 of the younger pool young; this pool owns 10.20.0.0/29 for new addresses; taker is held: request-taken: 10.20.0.4 belongs to kept"
    ];
    cluster.condition_becomes("elder", "Degraded", elder).await;
    let young = expect![
        "True Held: 10.20.0.0/28 overlaps 10.20.0.0/29 of the older pool elder, which owns 10.20.0.0/29 for new addresses; thief is held: request-invalid: 10.20.0.5 is not in the pool, or reserved"
    ];
    cluster.condition_becomes("young", "Degraded", young).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_that_share_nodes_leave_each_others_addresses_alone() {
    let cluster = Cluster::start().await;
    cluster
        .furnish([
            infrastructure("BareMetal"),
            pool("inner").range("zone-a", "10.20.0.0/24"),
            pool("outer").range("zone-a", "10.30.0.0/24"),
            node("worker-a0").zone("zone-a"),
            namespace("billing").in_pool("inner"),
            namespace("shop").in_pool("outer"),
        ])
        .await;
    let operator = Operator::start(&cluster).await;
    let both = || {
        expect![[r"
            billing: inner, 10.20.0.2 on worker-a0
            shop: outer, 10.30.0.2 on worker-a0
        "]]
    };
    cluster.rests(both()).await;
    let mark = cluster.audit().mark().await;
    let rounds = operator.rounds().await;
    cluster.patch("HostSubnet", "worker-a0", &json!({ "egressIPs": ["10.30.0.2"] })).await;
    operator.looks_again(rounds).await;
    cluster.rests(both()).await;
    assert_eq!(cluster.written_since(mark).await.to_string(), "sluice patch hostsubnets worker-a0\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_goes_leaves_the_addresses_of_the_one_it_shares_nodes_with() {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones()).await;
    cluster
        .furnish([
            pool("dmz").range("zone-a", "10.30.0.0/24").range("zone-b", "10.31.0.0/24"),
            namespace("billing").in_pool("egress"),
            namespace("shop").in_pool("dmz"),
        ])
        .await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: dmz, 10.30.0.2 on worker-a0, 10.31.0.2 on worker-b0
        "]])
        .await;
    let mark = cluster.audit().mark().await;
    cluster.delete("EgressIPAM", "dmz").await;
    cluster.is_gone("EgressIPAM", "dmz").await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: dmz
        "]])
        .await;
    let written = cluster.written_since(mark).await;
    assert_eq!(written.that(|request| request.name == "billing").to_string(), "");
}
