//! What pools and namespaces are told.

use std::time::Duration;

use expect_test::expect;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::{becomes, condition, is_served, pool_status, serves, two_zones};
use crate::harness::{Cluster, Operator, SOON, eventually, infrastructure, kinds, namespace, node, pool};

const HOLD: &str = "sluice.dev/hold";

/// Exactly one of the two conditions that people wait on is True, and both are there.
async fn reconcile(cluster: &Cluster, pool: &str) -> (bool, bool) {
    let success = condition(cluster, pool, "ReconcileSuccess").await;
    let error = condition(cluster, pool, "ReconcileError").await;
    assert!(!success.is_empty() && !error.is_empty(), "both have to be there: {success:?} {error:?}");
    (success.starts_with("True"), error.starts_with("True"))
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_of_success_and_error_is_true() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let good = pool("second").range("zone-a", "10.30.0.0/24");
    let bad = pool("second").range_reserving("zone-a", "10.30.0.0/24", &["ten"]);
    cluster.create([bad]).await;
    let _operator = Operator::start(&cluster).await;
    becomes(&cluster, "second", "ReconcileError", "True", "ten").await;
    becomes(&cluster, "egress", "ReconcileSuccess", "True", "").await;
    assert_eq!(reconcile(&cluster, "second").await, (false, true));
    assert_eq!(reconcile(&cluster, "egress").await, (true, false));
    becomes(&cluster, "second", "Ready", "False", "ten").await;
    becomes(&cluster, "second", "Degraded", "True", "ten").await;
    serves(&cluster, "shop").await;

    cluster.patch("EgressIPAM", "second", &json!({ "spec": good.json()["spec"] })).await;
    becomes(&cluster, "second", "ReconcileSuccess", "True", "").await;
    assert_eq!(reconcile(&cluster, "second").await, (true, false));
    becomes(&cluster, "second", "Ready", "True", "").await;
    becomes(&cluster, "second", "Degraded", "False", "").await;
    let generation = cluster.get("EgressIPAM", "second").await.expect("there").metadata.generation;
    eventually("the status is about the new spec", SOON, || async {
        let observed = pool_status(&cluster, "second").await["observedGeneration"].as_i64();
        if observed == generation { Ok(()) } else { Err(format!("{observed:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_tell_their_use_and_which_of_them_has_no_node() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let _operator = Operator::start(&cluster).await;
    serves(&cluster, "shop").await;
    cluster.set_ready("worker-b0", false).await;
    cluster.set_ready("worker-b1", false).await;
    becomes(&cluster, "egress", "Degraded", "True", "zone zone-b (10.21.0.0/24) has no healthy node, of 2").await;
    cluster.settled().await;
    let status = pool_status(&cluster, "egress").await;
    let facts = json!({ "owners": status["owners"], "zones": status["zones"], "summary": status["summary"] });
    expect![[r#"
        {
          "owners": {
            "held": 1,
            "served": 0,
            "total": 1,
            "waiting": 0
          },
          "summary": {
            "used": "2/506",
            "zones": "1/2"
          },
          "zones": [
            {
              "free": 252,
              "healthyNodes": 2,
              "name": "zone-a",
              "nodes": 2,
              "range": "10.20.0.0/24",
              "size": 253,
              "used": 1
            },
            {
              "free": 252,
              "healthyNodes": 0,
              "name": "zone-b",
              "nodes": 2,
              "range": "10.21.0.0/24",
              "size": 253,
              "used": 1
            }
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&facts).expect("JSON"));
    cluster.set_ready("worker-b0", true).await;
    becomes(&cluster, "egress", "Degraded", "False", "").await;
    becomes(&cluster, "egress", "Ready", "True", "1 namespaces served").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_overwritten_is_written_again_soon_and_not_in_a_storm() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let operator = Operator::start(&cluster).await;
    serves(&cluster, "shop").await;
    becomes(&cluster, "egress", "Ready", "True", "1 namespaces served").await;
    cluster.settled().await;
    // From here to the next round that nothing asks for it is half a minute.
    let ((), ()) = tokio::join!(operator.plans_again(), cluster.create([namespace("bystander")]));
    cluster.settled().await;
    let before = pool_status(&cluster, "egress").await;
    let mark = cluster.audit().mark().await;
    let theirs = json!({ "status": { "conditions": [], "owners": null, "summary": { "used": "0/0" } } });
    let overwrite = async || {
        let api = cluster.api("EgressIPAM", None);
        let patch = kube::api::Patch::Merge(theirs.clone());
        api.patch_status("egress", &kube::api::PatchParams::default(), &patch).await.expect("the pool is there");
    };
    let repaired = async || {
        eventually("it is as it was", Duration::from_secs(12), || async {
            let mut after = pool_status(&cluster, "egress").await;
            let times = after["conditions"]
                .as_array_mut()
                .into_iter()
                .flatten()
                .zip(before["conditions"].as_array().into_iter().flatten());
            times.for_each(|(condition, old)| condition["lastTransitionTime"] = old["lastTransitionTime"].clone());
            if after == before { Ok(()) } else { Err(after.to_string()) }
        })
        .await;
    };
    overwrite().await;
    repaired().await;
    for _ in 0..20 {
        overwrite().await;
    }
    repaired().await;
    cluster.settled().await;
    let written = cluster.written_since(mark).await;
    assert!(written.clone().count() <= 4, "{written}");
}

/// The columns of `kubectl get egressipam`, but for the age.
async fn table(cluster: &Cluster) -> String {
    let request = hyper::Request::get("/apis/redhatcop.redhat.io/v1alpha1/egressipams")
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())
        .expect("a request");
    let table: Value = cluster.client().request(request).await.expect("a table");
    let names: Vec<&str> =
        table["columnDefinitions"].as_array().expect("columns").iter().filter_map(|c| c["name"].as_str()).collect();
    let age = names.iter().position(|name| *name == "Age").expect("a column of ages");
    let shown = |cells: Vec<String>| {
        let cells: Vec<String> =
            cells.into_iter().enumerate().filter(|(at, _)| *at != age).map(|(_, cell)| cell).collect();
        cells.join(" | ") + "\n"
    };
    let rows = table["rows"].as_array().expect("rows").iter().map(|row| {
        let cells = row["cells"].as_array().expect("cells").iter();
        shown(cells.map(|cell| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned)).collect())
    });
    shown(names.iter().map(ToString::to_string).collect()) + &rows.collect::<String>()
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_get_tells_the_story() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    cluster
        .create([
            pool("broken").range_reserving("zone-a", "10.40.0.0/24", &["ten"]),
            pool("tiny").range("zone-a", "10.30.0.0/30"),
            namespace("first").in_pool("tiny"),
        ])
        .await;
    let _operator = Operator::start(&cluster).await;
    is_served(&cluster, "first").await;
    cluster.create([namespace("second").in_pool("tiny")]).await;
    serves(&cluster, "shop").await;
    becomes(&cluster, "tiny", "Ready", "False", "1 of 2 namespaces wait").await;
    becomes(&cluster, "broken", "Ready", "False", "ten").await;
    becomes(&cluster, "egress", "Ready", "True", "1 namespaces served").await;
    expect![[r#"
        Name | Ready | Served | Held | Waiting | Used | Zones | Policy | Message
        broken | False | 0 | 0 | 0 | 0/253 | 1/1 | zone-spread | spec.cidrAssignments[0].reservedIPs[0]: "ten" is not an address
        egress | True | 1 | 0 | 0 | 2/506 | 2/2 | zone-spread | 1 namespaces served
        tiny | False | 1 | 1 | 0 | 1/1 | 1/1 | zone-spread | 1 of 2 namespaces wait, see their annotation sluice.dev/hold
    "#]].assert_eq(&table(&cluster).await);
}

/// Reason, type and message of the events in a namespace.
async fn events(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let events = kinds::all(&cluster.client(), "Event").list(&ListParams::default()).await.expect("events");
    let of_it = events.items.iter().filter(|event| event.metadata.namespace.as_deref() == Some(namespace));
    let text = |event: &kube::api::DynamicObject, name: &str| event.data[name].as_str().unwrap_or_default().to_owned();
    of_it.map(|event| format!("{} {} {}", text(event, "type"), text(event, "reason"), text(event, "message"))).collect()
}

async fn hold(cluster: &Cluster, namespace: &str) -> Option<String> {
    let namespace = cluster.get("Namespace", namespace).await.expect("there");
    namespace.metadata.annotations.unwrap_or_default().get(HOLD).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_namespace_gets_an_event_and_an_annotation_until_it_is_served() {
    let cluster = Cluster::start().await;
    cluster
        .create([
            infrastructure("BareMetal"),
            pool("tiny").range("zone-a", "10.30.0.0/30"),
            node("worker-a0").zone("zone-a"),
            node("worker-a1").zone("zone-a"),
            namespace("first").in_pool("tiny"),
        ])
        .await;
    let _operator = Operator::start(&cluster).await;
    is_served(&cluster, "first").await;
    assert_eq!(hold(&cluster, "first").await, None);
    cluster.create([namespace("second").in_pool("tiny")]).await;
    let why = eventually("it is told why it waits", SOON, || async {
        hold(&cluster, "second").await.filter(|why| why.contains("exhausted")).ok_or("nothing")
    })
    .await;
    expect!["exhausted: no free address (zone zone-a)"].assert_eq(&why);
    let told = eventually("there is an event", SOON, || async {
        let events = events(&cluster, "second").await;
        if events.iter().any(|event| event.contains("Exhausted")) { Ok(events) } else { Err(format!("{events:?}")) }
    })
    .await;
    expect!["Warning Exhausted zone zone-a: no free address"].assert_eq(&told.join("\n"));

    cluster.create([namespace("bystander")]).await;
    cluster.settled().await;
    assert_eq!(events(&cluster, "second").await.len(), told.len(), "told once");

    cluster.opt_in("first", None).await;
    is_served(&cluster, "second").await;
    eventually("the annotation goes", SOON, || async { hold(&cluster, "second").await.map_or(Ok(()), Err) }).await;
    assert_eq!(events(&cluster, "first").await, Vec::<String>::new());
}
