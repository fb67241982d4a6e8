//! Pools without a free address.

use expect_test::expect;

use super::{cost, one_zone, there_are};
use crate::harness::{Cluster, History, Operator, infrastructure, namespace, node, pool, reads};

/// Six namespaces of a pool with five addresses, and one of another pool, which has nothing to do with it.
async fn six_for_five() -> Cluster {
    let cluster = Cluster::start().await;
    let names = ["ns-1", "ns-2", "ns-3", "ns-4", "ns-5", "ns-6"].map(|name| namespace(name).in_pool("egress"));
    let other = [pool("other").set("spec.cidr", "10.30.0.0/29"), namespace("other-1").in_pool("other")];
    there_are(&cluster, one_zone("10.20.0.0/29").into_iter().chain(names).chain(other)).await;
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_too_late_is_told() {
    let cluster = six_for_five().await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            ns-1: egress, 10.20.0.2 on worker-a0
            ns-2: egress, 10.20.0.3 on worker-a0
            ns-3: egress, 10.20.0.4 on worker-a0
            ns-4: egress, 10.20.0.5 on worker-a0
            ns-5: egress, 10.20.0.6 on worker-a0
            ns-6: egress
            other-1: other, 10.30.0.2 on worker-a0
        "]])
        .await;
    reads(expect!["ns-6: exhausted: no free address (zone zone-a)"], || cluster.holds()).await;
    reads(expect!["Namespace ns-6: Exhausted: zone zone-a: no free address"], || cluster.warnings()).await;
    reads(
        expect![[r#"
            served 5 of 6, held 1
            zone-a 10.20.0.0/29: 5 of 5 used, 1 of 1 nodes healthy
            Ready=False Held: 1 of 6 namespaces wait, see their annotation sluice.dev/hold
            Degraded=True Held: ns-6 is held in zone zone-a: exhausted: no free address"#]],
        || cluster.status("egress"),
    )
    .await;
    reads(
        expect![[r"
            served 1 of 1, held 0
            zone-a 10.30.0.0/29: 1 of 5 used, 1 of 1 nodes healthy
            Ready=True Served: 1 namespaces served
            Degraded=False AsExpected:
        "]],
        || cluster.status("other"),
    )
    .await;
    cluster.settled().await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_becomes_free_goes_to_who_waits() {
    let cluster = six_for_five().await;
    let history = History::start(&cluster).await;
    let _operator = Operator::start(&cluster).await;
    reads(expect!["ns-6: exhausted: no free address (zone zone-a)"], || cluster.holds()).await;
    cluster.settled().await;
    let mark = cluster.audit().mark().await;
    cluster.delete("Namespace", "ns-2").await;
    cluster
        .becomes(expect![[r"
            ns-1: egress, 10.20.0.2 on worker-a0
            ns-3: egress, 10.20.0.4 on worker-a0
            ns-4: egress, 10.20.0.5 on worker-a0
            ns-5: egress, 10.20.0.6 on worker-a0
            ns-6: egress, 10.20.0.3 on worker-a0
            other-1: other, 10.30.0.2 on worker-a0
        "]])
        .await;
    reads(expect![""], || cluster.holds()).await;
    reads(
        expect![[r"
            served 5 of 5, held 0
            zone-a 10.20.0.0/29: 5 of 5 used, 1 of 1 nodes healthy
            Ready=True Served: 5 namespaces served
            Degraded=False AsExpected:
        "]],
        || cluster.status("egress"),
    )
    .await;
    cluster.settled().await;
    let written = cost(cluster.written_since(mark).await);
    let uninvolved = ["ns-1", "ns-3", "ns-4", "ns-5", "other-1"];
    expect![""].assert_eq(&written.that(|write| uninvolved.contains(&write.name.as_str())).to_string());
    assert_eq!(history.breaches().await, [""; 0]);
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_exhausted_zone_does_not_keep_the_others() {
    let cluster = Cluster::start().await;
    let egress = pool("egress").range("zone-a", "10.20.0.0/30").range("zone-b", "10.21.0.0/24");
    there_are(
        &cluster,
        [
            infrastructure("BareMetal"),
            egress,
            node("worker-a0").zone("zone-a"),
            node("worker-b0").zone("zone-b"),
            namespace("ns-1").in_pool("egress"),
            namespace("ns-2").in_pool("egress"),
        ],
    )
    .await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            ns-1: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            ns-2: egress, 10.21.0.3 on worker-b0
        "]])
        .await;
    reads(expect!["ns-2: exhausted: no free address (zone zone-a)"], || cluster.holds()).await;
    cluster.settled().await;
    cluster.assert_sound().await;

    // Its new address goes where its zone stands, not to the end.
    cluster.opt_in("ns-1", None).await;
    cluster
        .becomes(expect![[r"
            ns-1: -
            ns-2: egress, 10.20.0.2 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    reads(expect![""], || cluster.holds()).await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tiny_ranges_give_what_they_have() {
    let cluster = Cluster::start().await;
    let egress =
        pool("egress").range("zone-a", "10.20.0.4/30").range("zone-b", "10.21.0.7/32").range("zone-c", "10.22.0.8/31");
    let names = ["ns-1", "ns-2", "ns-3"].map(|name| namespace(name).in_pool("egress"));
    let nodes = [("worker-a0", "zone-a"), ("worker-b0", "zone-b"), ("worker-c0", "zone-c")]
        .map(|(name, zone)| node(name).zone(zone));
    there_are(&cluster, [infrastructure("BareMetal"), egress].into_iter().chain(nodes).chain(names)).await;
    let _operator = Operator::start(&cluster).await;
    cluster
        .becomes(expect![[r"
            ns-1: egress, 10.20.0.6 on worker-a0, 10.21.0.7 on worker-b0, 10.22.0.8 on worker-c0
            ns-2: egress, 10.22.0.9 on worker-c0
            ns-3: egress
        "]])
        .await;
    reads(
        expect![[r"
            ns-2: exhausted: no free address (zone zone-a); exhausted: no free address (zone zone-b)
            ns-3: exhausted: no free address (zone zone-a); exhausted: no free address (zone zone-b); exhausted: no free address (zone zone-c)
        "]],
        || cluster.holds(),
    )
    .await;
    reads(
        expect![[r#"
            served 1 of 3, held 2
            zone-a 10.20.0.4/30: 1 of 1 used, 1 of 1 nodes healthy
            zone-b 10.21.0.7/32: 1 of 1 used, 1 of 1 nodes healthy
            zone-c 10.22.0.8/31: 2 of 2 used, 1 of 1 nodes healthy
            Ready=False Held: 2 of 3 namespaces wait, see their annotation sluice.dev/hold
            Degraded=True Held: ns-2 is held in zone zone-a: exhausted: no free address; ns-3 is held in zone zone-a: exhausted: no free address; ns-2 is held in zone zone-b: exhausted: no free address; ns-3 is held in zone zone-b: exhausted: no free address; ns-3 is held in zone zone-c: exhausted: no free address"#]],
        || cluster.status("egress"),
    )
    .await;
    cluster.assert_sound().await;
}
