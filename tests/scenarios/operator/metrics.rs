//! `/metrics`: the old operator's two, with their old meaning, and what an engineer on call needs.

use expect_test::expect;

use super::{serves, two_zones};
use crate::harness::{Cluster, Operator, SOON, eventually, namespace, node, pool};

/// The series of some metrics, sorted.
async fn series(operator: &Operator, names: &[&str]) -> String {
    let (_, page) = operator.page("/metrics").await.expect("metrics");
    let wanted = |line: &&str| names.iter().any(|name| line.starts_with(&format!("{name}{{")));
    let mut lines: Vec<&str> = page.lines().filter(wanted).collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Waits until the old operator's series are as expected. Labels may come in any order.
async fn shows(operator: &Operator, expected: expect_test::Expect) {
    let wanted = expected.data().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    let names = ["egressip_ip_allocated", "egressip_ip_capacity"];
    let reached = crate::harness::until(SOON, || async {
        let seen = series(operator, &names).await;
        if seen == wanted { Ok(()) } else { Err(seen) }
    });
    if let Err(last) = reached.await {
        expected.assert_eq(&last);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn capacity_and_load_are_shown_for_each_node_of_a_pool() {
    let cluster = Cluster::start().await;
    let one_each = two_zones().into_iter().filter(|object| !object.name().ends_with('1'));
    cluster.create(one_each).await;
    let operator = Operator::start(&cluster).await;
    for name in ["billing", "reports", "shop"] {
        serves(&cluster, name).await;
    }
    shows(
        &operator,
        expect![[r#"
            egressip_ip_allocated{egressipam="egress",node="worker-a0"} 4
            egressip_ip_allocated{egressipam="egress",node="worker-b0"} 4
            egressip_ip_capacity{egressipam="egress",node="worker-a0"} 4294967295
            egressip_ip_capacity{egressipam="egress",node="worker-b0"} 4294967295"#]],
    )
    .await;

    cluster.create([node("worker-b1").zone("zone-b")]).await;
    shows(
        &operator,
        expect![[r#"
            egressip_ip_allocated{egressipam="egress",node="worker-a0"} 4
            egressip_ip_allocated{egressipam="egress",node="worker-b0"} 4
            egressip_ip_allocated{egressipam="egress",node="worker-b1"} 1
            egressip_ip_capacity{egressipam="egress",node="worker-a0"} 4294967295
            egressip_ip_capacity{egressipam="egress",node="worker-b0"} 4294967295
            egressip_ip_capacity{egressipam="egress",node="worker-b1"} 4294967295"#]],
    )
    .await;

    cluster.delete("Node", "worker-b0").await;
    shows(
        &operator,
        expect![[r#"
            egressip_ip_allocated{egressipam="egress",node="worker-a0"} 4
            egressip_ip_allocated{egressipam="egress",node="worker-b1"} 4
            egressip_ip_capacity{egressipam="egress",node="worker-a0"} 4294967295
            egressip_ip_capacity{egressipam="egress",node="worker-b1"} 4294967295"#]],
    )
    .await;

    // A pool over nodes of which it uses one: the old operator showed the capacity of the others, too.
    cluster.create([pool("empty").range("zone-a", "10.30.0.0/24")]).await;
    cluster.delete("EgressIPAM", "egress").await;
    shows(
        &operator,
        expect![[r#"
            egressip_ip_allocated{egressipam="empty",node="worker-a0"} 1
            egressip_ip_capacity{egressipam="empty",node="worker-a0"} 4294967295
            egressip_ip_capacity{egressipam="empty",node="worker-b1"} 4294967295"#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_writes_owners_and_the_policy_are_shown() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let operator = Operator::start(&cluster).await;
    serves(&cluster, "shop").await;
    cluster.create([namespace("wrong").in_pool("egress").requesting("192.0.2.1")]).await;
    let held = r#"sluice_owners{pool="egress",state="held"}"#;
    eventually("a held namespace is counted", SOON, || async {
        let count = operator.metric(held).await;
        if count == Some(1.0) { Ok(()) } else { Err(format!("{count:?}")) }
    })
    .await;
    cluster.settled().await;
    let policy = series(&operator, &["sluice_policy_info", "sluice_policy"]).await;
    assert!(policy.contains(r#"name="zone-spread""#) && policy.contains("sha256:"), "{policy}");
    assert_eq!(operator.metric(r#"sluice_owners{pool="egress",state="served"}"#).await, Some(1.0));
    assert_eq!(operator.metric(r#"sluice_writes_total{kind="HostSubnet"}"#).await, Some(2.0));
    assert_eq!(operator.metric(r#"sluice_writes_total{kind="NetNamespace"}"#).await, Some(1.0));
    assert_eq!(operator.metric("sluice_leader").await, Some(1.0));
    assert_eq!(operator.metric("sluice_foreign_lock").await, Some(0.0));
    assert!(operator.metric(r#"sluice_rounds_total{outcome="changes"}"#).await >= Some(1.0));
    let (_, page) = operator.page("/metrics").await.expect("metrics");
    for name in
        ["sluice_round_seconds", "sluice_policy_call_seconds", "sluice_policy_fuel", "sluice_policy_memory_bytes"]
    {
        assert!(page.contains(&format!("# TYPE {name} ")), "{name} is missing:\n{page}");
    }
}
