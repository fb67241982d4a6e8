//! Watches that show nothing any more.

use std::time::Duration;

use hyper::StatusCode;
use tokio::time::Instant;

use super::{becomes, is_served, is_served_within, serves, two_zones};
use crate::harness::{Cluster, Matcher, Operator, Proxy, Rule, SOON, eventually, namespace};

/// How long a failover may take whatever became of connections.
const FAILOVER: Duration = Duration::from_secs(10);

/// Two zones with two nodes each, `shop` served, and an operator behind a proxy.
async fn proxied() -> (Cluster, Proxy, Operator) {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones()).await;
    let proxy = Proxy::start(&cluster).await;
    let operator = Operator::launch(&cluster).through(&proxy).start().await;
    serves(&cluster, "shop").await;
    cluster.settled().await;
    (cluster, proxy, operator)
}

/// Fails the node that carries the first address of `shop`, and waits until another one does. Returns how long it took.
async fn fails_over(cluster: &Cluster, deadline: Duration) -> Duration {
    let outcome = cluster.outcome().await;
    let address = outcome.addresses_of("shop")[0].clone();
    let node = outcome.nodes_of(&address)[0].to_owned();
    let start = Instant::now();
    cluster.set_ready(&node, false).await;
    eventually("its address is on another node", deadline, || async {
        let outcome = cluster.outcome().await;
        let now = outcome.nodes_of(&address);
        if now.len() == 1 && now[0] != node { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
    start.elapsed()
}

/// A host or a zone with an API server is lost, or a hosted control plane's proxy keeps connections for a server that is
/// gone: no connection ends, and none shows anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_while_all_connections_are_dead_is_failed_over_within_ten_seconds() {
    let (cluster, proxy, operator) = proxied().await;
    proxy.swallow();
    fails_over(&cluster, FAILOVER).await;
    // Nor is it in the way of anything else: the lease is kept, and writes get through.
    is_served(&cluster, "shop").await;
    cluster.create([namespace("billing").in_pool("egress")]).await;
    is_served_within(&cluster, "billing", SOON).await;
    proxy.swallow();
    cluster.create([namespace("third").in_pool("egress")]).await;
    is_served_within(&cluster, "third", Duration::from_secs(20)).await;
    assert_eq!(operator.metric("sluice_leader").await, Some(1.0));
    let log = operator.log();
    let said = log.matches("the watch failed, and is made anew").count();
    assert!((1..=24).contains(&said), "once for each kind and each time that they died: {said}");
    cluster.assert_sound().await;
}

/// Writes that are under way when their connections die are tried again on others.
#[tokio::test(flavor = "multi_thread")]
async fn writes_whose_connections_die_are_made_again() {
    let (cluster, proxy, _operator) = proxied().await;
    proxy.rule(Rule::hang(Matcher::changes().on("hostsubnets")).times(1));
    cluster.create([namespace("billing").in_pool("egress")]).await;
    proxy.struck(1, SOON).await;
    proxy.swallow();
    is_served_within(&cluster, "billing", Duration::from_secs(40)).await;
    cluster.assert_sound().await;
}

/// One kind cannot be read, for a minute and more. Nothing is taken for gone, nothing new is given out, everybody is told,
/// and nodes that fail are left all the same.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_kind_cannot_be_seen_nothing_new_is_given_out_and_failed_nodes_are_left() {
    let (cluster, proxy, operator) = proxied().await;
    proxy.rule(Rule::hang(Matcher::watches().on("egressipams")));
    let state = |state: &str| format!("sluice_watch_state{{kind=\"EgressIPAM\",state=\"{state}\"}}");
    eventually("it is blind", Duration::from_secs(90), || async {
        let (status, text) = operator.probe("/readyz").await?;
        let blind = status == StatusCode::SERVICE_UNAVAILABLE && text.starts_with("EgressIPAM, blind for 6");
        if blind { Ok(()) } else { Err(format!("{status} {text}")) }
    })
    .await;
    assert_eq!(operator.metric(&state("blind")).await, Some(1.0));
    let age = operator.metric("sluice_watch_age_seconds{kind=\"EgressIPAM\"}").await.unwrap();
    assert!(age >= 60.0, "{age}");
    assert!(operator.metric("sluice_watch_age_seconds{kind=\"Node\"}").await.unwrap() < 15.0);

    cluster.create([namespace("billing").in_pool("egress")]).await;
    let hold = "other: nothing has been heard of EgressIPAMs for a minute, so nothing new is given out";
    cluster.hold_becomes("billing", Some(hold)).await;
    becomes(&cluster, "egress", "Degraded", "True", "nothing heard for a minute: cannot read egressipams").await;
    fails_over(&cluster, SOON).await;
    assert_eq!(cluster.outcome().await.addresses_of("billing"), [""; 0]);

    proxy.clear();
    is_served_within(&cluster, "billing", Duration::from_secs(20)).await;
    cluster.hold_becomes("billing", None).await;
    operator.ready().await;
    assert_eq!(operator.metric(&state("following")).await, Some(1.0));
    cluster.assert_sound().await;
}
