//! A policy that fails is stood in for: the last good one plans, then the built-in one, and failovers go on.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value;

use super::{
    Files, PACK, SWAP, ZONE_SPREAD, a_new_namespace_is_served, components, digest, infrastructure, is_active,
    is_served, running, status,
};
use crate::harness::{Cluster, Operator, eventually, namespace, node, pool};

/// Three trials a minute apart, and something for a busy machine.
const COMES_BACK: Duration = Duration::from_mins(5);

/// Waits until status, log, event and metric say who stands in, and why.
pub(super) async fn stands_in(cluster: &Cluster, operator: &Operator, by: &str, why: &str) {
    eventually(&format!("{by} stands in: {why}"), SWAP, || async {
        let (status, log) = (status(cluster).await, operator.log());
        let degraded = condition(&status, "Degraded");
        let is_told = degraded["status"] == "True"
            && degraded["reason"] == "PolicyStandIn"
            && degraded["message"].as_str().is_some_and(|text| text.contains(why));
        if !is_told {
            return Err(format!("{status}"));
        }
        let is_logged =
            |line: &str| line.contains("another policy than the chosen one plans") && line.contains(&escaped(why));
        if !log.lines().any(is_logged) {
            return Err(log);
        }
        let events = cluster.list("Event").await;
        let is_it = |event: &Value| event["reason"] == "PolicyStandIn" && event["involvedObject"]["name"] == "egress";
        if !events.iter().any(|event| is_it(&event.data)) {
            return Err("no event".to_owned());
        }
        match metric(operator, by).await {
            Some(1.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// Waits until nothing speaks of a stand-in any more.
pub(super) async fn nobody_stands_in(cluster: &Cluster, operator: &Operator) {
    within(SWAP, cluster, operator).await;
}

async fn within(deadline: Duration, cluster: &Cluster, operator: &Operator) {
    eventually("nobody stands in", deadline, || async {
        let status = status(cluster).await;
        let metrics = [metric(operator, "last-good").await, metric(operator, "built-in").await];
        let is_over = condition(&status, "Degraded")["reason"] != "PolicyStandIn" && metrics == [Some(0.0), Some(0.0)];
        if is_over { Ok(()) } else { Err(format!("{status} {metrics:?}")) }
    })
    .await;
}

async fn metric(operator: &Operator, by: &str) -> Option<f64> {
    operator.metric(&format!("sluice_policy_stand_in{{by=\"{by}\"}}")).await
}

fn condition(status: &Value, kind: &str) -> Value {
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

/// As in a log in JSON.
fn escaped(text: &str) -> String {
    text.replace('"', "\\\"")
}

/// Stops the node that carries the first address of a namespace, and waits until another one carries it.
async fn fails_over(cluster: &Cluster, namespace: &str) {
    let outcome = cluster.outcome().await;
    let address = outcome.addresses_of(namespace)[0].clone();
    let carrier = outcome.nodes_of(&address)[0].to_owned();
    cluster.set_ready(&carrier, false).await;
    eventually(&format!("{address} leaves {carrier}"), SWAP, || async {
        let outcome = cluster.outcome().await;
        let nodes = outcome.nodes_of(&address);
        if nodes.len() == 1 && nodes[0] != carrier { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
    assert_eq!(cluster.outcome().await.addresses_of(namespace)[0], address);
    cluster.set_ready(&carrier, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_policy_plans_until_the_one_that_failed_makes_good_plans_again() {
    let files = Files::new(ZONE_SPREAD, "{}");
    let (cluster, operator) = running(&files).await;
    let brittle = components::brittle(3);
    files.replace_policy(&brittle);
    let is_promoted = || async {
        let status = status(&cluster).await;
        if status["policy"]["digest"] == digest(&brittle) { Ok(()) } else { Err(status.to_string()) }
    };
    eventually("it is promoted", SWAP, is_promoted).await;

    a_new_namespace_is_served(&cluster, "third").await;
    stands_in(&cluster, &operator, "last-good", "failed 3 times in a row: the policy failed: Trap").await;
    is_active(&cluster, "zone-spread", ZONE_SPREAD).await;
    fails_over(&cluster, "shop").await;

    cluster.delete("Namespace", "third").await;
    within(COMES_BACK, &cluster, &operator).await;
    eventually("it plans again", SWAP, is_promoted).await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_one_moves_what_has_to_move_and_gives_nothing_out() {
    let files = Files::new(ZONE_SPREAD, "{}");
    let (cluster, operator) = running(&files).await;
    operator.stop().await;
    drop(operator);
    files.replace_policy(&components::trapping());
    let operator = files.launch(&cluster).start().await;
    stands_in(&cluster, &operator, "built-in", "failed 3 times in a row").await;

    cluster.create([namespace("late").in_pool("egress")]).await;
    fails_over(&cluster, "billing").await;
    eventually("who waits is told", SWAP, || async {
        let outcome = cluster.outcome().await;
        let text = cluster.hold_of("late").await.unwrap_or_default();
        assert_eq!(outcome.addresses_of("late"), [""; 0], "{outcome}");
        if text.starts_with("policy-failed: policy hostile 0.0.1 fails; the built-in one") { Ok(()) } else { Err(text) }
    })
    .await;
    is_active(&cluster, "zone-spread", ZONE_SPREAD).await;

    files.replace_policy(PACK);
    is_served(&cluster, "late", 2).await;
    nobody_stands_in(&cluster, &operator).await;
    cluster.assert_sound().await;
}

/// Whoever asks how it is gets an answer meanwhile, the built-in policy stands in, and to stop takes no time.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_takes_for_ever_to_compile_keeps_nobody_waiting() {
    let files = Files::new(&components::slow_to_compile(), "{}");
    let cluster = Cluster::start().await;
    cluster
        .create([
            infrastructure("BareMetal"),
            pool("egress").range("zone-a", "10.20.0.0/24"),
            node("n1").zone("zone-a"),
        ])
        .await;
    let operator = files.launch(&cluster).spawn();
    for (path, expected) in [
        ("/startupz", StatusCode::SERVICE_UNAVAILABLE),
        ("/readyz", StatusCode::SERVICE_UNAVAILABLE),
        ("/healthz", StatusCode::OK),
    ] {
        eventually(path, SWAP, || async {
            let (status, text) = operator.probe(path).await?;
            if status == expected { Ok(()) } else { Err(format!("{status} {text}")) }
        })
        .await;
    }
    eventually("it starts without", Duration::from_mins(1), || async {
        let (status, text) = operator.probe("/startupz").await?;
        if status == StatusCode::OK { Ok(()) } else { Err(text) }
    })
    .await;
    stands_in(&cluster, &operator, "built-in", "the policy is still being loaded").await;
    operator.stop().await;
}
