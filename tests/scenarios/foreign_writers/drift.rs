//! Somebody changes what Sluice wrote.

use std::time::{Duration, Instant};

use expect_test::expect;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::{Cluster, FINALIZER, SOON, eventually, host_subnet, namespace, serving};

/// Something that is put back exactly as it was.
struct Meddling {
    what: &'static str,
    kind: &'static str,
    name: &'static str,
    patch: Value,
}

fn meddlings() -> Vec<Meddling> {
    let of = |what, kind, name, patch| Meddling { what, kind, name, patch };
    let on_a0 = |what, addresses: Value| of(what, "HostSubnet", "worker-a0", json!({ "egressIPs": addresses }));
    // Half of it happens to another: the same change made once too often would be a dispute.
    let billing_holds = |what, addresses: Value| of(what, "NetNamespace", "billing", json!({ "egressIPs": addresses }));
    let shop_holds = |what, addresses: Value| of(what, "NetNamespace", "shop", json!({ "egressIPs": addresses }));
    let noted = |what, kind, key: &str, value: Value| {
        of(what, kind, "shop", json!({ "metadata": { "annotations": { key: value } } }))
    };
    let result = crate::harness::ADDRESSES_ANNOTATION;
    vec![
        on_a0("HostSubnet emptied", json!([])),
        on_a0("HostSubnet without its list", Value::Null),
        on_a0("HostSubnet in another order", json!(["10.20.0.3", "10.20.0.2"])),
        on_a0("HostSubnet loses one", json!(["10.20.0.3"])),
        on_a0("HostSubnet gets one of the pool that nobody holds", json!(["10.20.0.2", "10.20.0.99", "10.20.0.3"])),
        on_a0("HostSubnet gets one that another node carries", json!(["10.20.0.2", "10.20.0.3", "10.21.0.2"])),
        of("HostSubnet offers the pool's range", "HostSubnet", "worker-a0", json!({ "egressCIDRs": ["10.20.0.0/16"] })),
        billing_holds("NetNamespace emptied", json!([])),
        billing_holds("NetNamespace loses one", json!(["10.21.0.2"])),
        shop_holds("NetNamespace gets others of the pool", json!(["10.20.0.77", "10.21.0.77"])),
        shop_holds("NetNamespace gets another's", json!(["10.20.0.2", "10.21.0.2"])),
        shop_holds("NetNamespace gets one more, of no pool", json!(["10.20.0.3", "10.21.0.3", "8.8.8.8"])),
        noted("NetNamespace says another pool", "NetNamespace", "sluice.dev/pool", "other".into()),
        noted("annotation egressips removed", "Namespace", result, Value::Null),
        noted("annotation egressips emptied", "Namespace", result, "".into()),
        noted("a hold that is none", "Namespace", "sluice.dev/hold", "because".into()),
        of("finalizer removed", "EgressIPAM", "egress", json!({ "metadata": { "finalizers": null } })),
        of("status without conditions", "EgressIPAM", "egress", json!({ "status": { "conditions": [] } })),
        of(
            "status overwritten",
            "EgressIPAM",
            "egress",
            json!({ "status": { "owners": { "served": 9 }, "zones": [] } }),
        ),
    ]
}

/// Everything that Sluice writes, except the time and order of conditions.
async fn everything(cluster: &Cluster) -> String {
    let pool = cluster.get("EgressIPAM", "egress").await.expect("there");
    let status = &pool.data["status"];
    let mut conditions = String::new();
    for kind in ["ReconcileSuccess", "ReconcileError", "Ready", "Degraded"] {
        conditions.push_str(&[kind, " ", &cluster.condition("egress", kind).await, "\n"].concat());
    }
    let annotation = async |kind, key| cluster.annotation_of(kind, "shop", key).await.unwrap_or_default();
    format!(
        "{}{:?}\n{conditions}{} {}\nhold: {}\npool: {}\n",
        cluster.outcome().await,
        pool.metadata.finalizers.unwrap_or_default(),
        status["owners"],
        status["zones"],
        annotation("Namespace", "sluice.dev/hold").await,
        annotation("NetNamespace", "sluice.dev/pool").await,
    )
}

async fn meddle(cluster: &Cluster, meddling: &Meddling) {
    if meddling.patch.get("status").is_none() {
        return cluster.patch(meddling.kind, meddling.name, &meddling.patch).await;
    }
    let (params, patch) = (PatchParams::default(), Patch::Merge(&meddling.patch));
    let patched = cluster.api(meddling.kind, None).patch_status(meddling.name, &params, &patch).await;
    patched.expect("a tester may do everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_changed_is_put_back_with_the_fewest_writes() {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    let before = everything(&cluster).await;
    let mut story = String::new();
    for meddling in meddlings() {
        let (mark, rounds) = (cluster.audit().mark().await, operator.rounds().await);
        meddle(&cluster, &meddling).await;
        // A status decides nothing: it is put right without a round.
        let is_about_status = meddling.patch.get("status").is_some();
        if !is_about_status {
            operator.looks_again(rounds).await;
        }
        eventually(meddling.what, SOON, || async {
            let now = everything(&cluster).await;
            if now == before { Ok(()) } else { Err(now) }
        })
        .await;
        cluster.settled().await;
        assert_eq!(everything(&cluster).await, before, "{}: it does not stay", meddling.what);
        let written = cluster.written_since(mark).await;
        // For a moment the status may tell of what is being repaired.
        let written = if is_about_status { written } else { written.except(&["egressipams/status"]) };
        let written = written.to_string().replace("sluice patch ", "");
        let written = if written.is_empty() { "nothing".into() } else { written };
        story.push_str(&[meddling.what, ": ", &written.lines().collect::<Vec<_>>().join(", "), "\n"].concat());
    }
    cluster.assert_sound().await;
    expect![[r"
        HostSubnet emptied: hostsubnets worker-a0
        HostSubnet without its list: hostsubnets worker-a0
        HostSubnet in another order: nothing
        HostSubnet loses one: hostsubnets worker-a0
        HostSubnet gets one of the pool that nobody holds: hostsubnets worker-a0
        HostSubnet gets one that another node carries: hostsubnets worker-a0
        HostSubnet offers the pool's range: hostsubnets worker-a0
        NetNamespace emptied: netnamespaces billing
        NetNamespace loses one: netnamespaces billing
        NetNamespace gets others of the pool: netnamespaces shop
        NetNamespace gets another's: netnamespaces shop, sluice create events 
        NetNamespace gets one more, of no pool: netnamespaces shop, sluice create events 
        NetNamespace says another pool: netnamespaces shop
        annotation egressips removed: namespaces shop
        annotation egressips emptied: namespaces shop
        a hold that is none: namespaces shop
        finalizer removed: egressipams egress
        status without conditions: egressipams/status egress
        status overwritten: egressipams/status egress
    "]]
    .assert_eq(&story);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_address_on_a_node_is_kept_beside_ours() {
    let (cluster, operator) = serving(&["billing", "shop"]).await;
    let (mark, rounds) = (cluster.audit().mark().await, operator.rounds().await);
    cluster.patch("HostSubnet", "worker-a0", &json!({ "egressIPs": ["10.20.0.2", "10.99.0.9", "10.20.0.3"] })).await;
    operator.looks_again(rounds).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
            worker-a0: 10.99.0.9 of nobody
        "]])
        .await;
    assert_eq!(cluster.written_since(mark).await.to_string(), "");

    let mark = cluster.audit().mark().await;
    cluster.patch("HostSubnet", "worker-b0", &json!({ "egressIPs": ["10.99.0.10"] })).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
            worker-a0: 10.99.0.9 of nobody
            worker-b0: 10.99.0.10 of nobody
        "]])
        .await;
    assert_eq!(cluster.written_since(mark).await.to_string(), "sluice patch hostsubnets worker-b0\n");

    cluster.opt_in("billing", None).await;
    cluster
        .rests(expect![[r"
            billing: -
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
            worker-a0: 10.99.0.9 of nobody
            worker-b0: 10.99.0.10 of nobody
        "]])
        .await;
    cluster.create([namespace("later").in_pool("egress")]).await;
    cluster
        .rests(expect![[r"
            billing: -
            later: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
            worker-a0: 10.99.0.9 of nobody
            worker-b0: 10.99.0.10 of nobody
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_offer_that_makes_the_network_take_ours_away_goes() {
    let (cluster, _operator) = serving(&["billing", "shop"]).await;
    cluster.patch("HostSubnet", "worker-a0", &json!({ "egressCIDRs": ["10.99.0.0/24"] })).await;
    eventually("the network has taken them off, or they are back", SOON, || async {
        let outcome = cluster.outcome().await;
        let state = &outcome.host_subnets["worker-a0"];
        if state.carried.is_empty() || state.offered.is_empty() { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_keeps_undoing_is_made_ever_more_slowly() {
    let (cluster, _operator) = serving(&["shop"]).await;
    let mark = cluster.audit().mark().await;
    let begin = Instant::now();
    for _ in 0..6 {
        eventually("it is put back", SOON, || async {
            let carried = cluster.outcome().await.host_subnets["worker-a0"].carried.clone();
            if carried == ["10.20.0.2"] { Ok(()) } else { Err(carried.join(" ")) }
        })
        .await;
        cluster.patch("HostSubnet", "worker-a0", &json!({ "egressIPs": [] })).await;
    }
    assert!(begin.elapsed() > Duration::from_secs(2), "it was put back at once each time");
    cluster
        .rests(expect![[r"
            shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
        "]])
        .await;
    let written = cluster.written_since(mark).await.except(&["egressipams/status"]);
    assert_eq!(written.summary(), "patch hostsubnets: 6\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_in_another_order_or_in_other_words_is_left_alone() {
    let (cluster, operator) = serving(&["shop"]).await;
    let mark = cluster.audit().mark().await;
    for list in [json!(["10.21.0.2", "10.20.0.2"]), json!(["10.20.0.2", "10.21.0.2"])] {
        let rounds = operator.rounds().await;
        cluster.patch("NetNamespace", "shop", &json!({ "egressIPs": list })).await;
        operator.looks_again(rounds).await;
    }
    let rounds = operator.rounds().await;
    cluster.request("shop", Some(" 10.21.0.2, 10.20.0.2")).await;
    operator.looks_again(rounds).await;
    cluster.settled().await;
    assert_eq!(cluster.written_since(mark).await.to_string(), "");
    let held = cluster.outcome().await;
    assert_eq!(held.namespaces["shop"].annotated.as_deref(), Some(" 10.21.0.2, 10.20.0.2"));
    assert_eq!(held.addresses_of("shop"), ["10.20.0.2", "10.21.0.2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_marks_are_not_forced_on_anybody() {
    let (cluster, operator) = serving(&["shop"]).await;
    let (mark, rounds) = (cluster.audit().mark().await, operator.rounds().await);
    let unmarked = json!({ "metadata": { "annotations": { "sluice.dev/pool": null, "sluice.dev/zones": null } } });
    cluster.patch("NetNamespace", "shop", &unmarked).await;
    operator.looks_again(rounds).await;
    cluster
        .rests(expect![[r"
            shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
        "]])
        .await;
    assert_eq!(cluster.written_since(mark).await.to_string(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_subnet_that_is_lost_is_filled_when_it_is_back() {
    let (cluster, _operator) = serving(&["billing", "shop"]).await;
    cluster.delete("HostSubnet", "worker-a0").await;
    cluster.hold_becomes("shop", Some("no-node: there is no HostSubnet of worker-a0 (zone zone-a)")).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on no node, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on no node, 10.21.0.3 on worker-b0
        "]])
        .await;
    cluster.create([host_subnet("worker-a0")]).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    cluster.hold_becomes("shop", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_and_finalizers_of_others_stay() {
    let (cluster, operator) = serving(&["shop"]).await;
    let foreign = json!({ "type": "Audited", "status": "True", "reason": "Yes", "message": "",
                          "lastTransitionTime": "2026-01-01T00:00:00Z" });
    let rounds = operator.rounds().await;
    let finalizers = json!({ "metadata": { "finalizers": ["example.com/audit"] } });
    meddle(
        &cluster,
        &Meddling {
            what: "a foreign condition",
            kind: "EgressIPAM",
            name: "egress",
            patch: json!({ "status": { "conditions": [foreign] } }),
        },
    )
    .await;
    cluster.patch("EgressIPAM", "egress", &finalizers).await;
    operator.looks_again(rounds).await;
    cluster.condition_becomes("egress", "Ready", expect!["True Served: 1 namespaces served"]).await;
    cluster.settled().await;
    assert_eq!(cluster.condition("egress", "Audited").await, "True Yes: ");
    let pool = cluster.get("EgressIPAM", "egress").await.expect("there");
    assert_eq!(pool.metadata.finalizers.unwrap_or_default(), ["example.com/audit", FINALIZER]);
    cluster.assert_sound().await;
}
