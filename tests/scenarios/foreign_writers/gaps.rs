//! Sluice does not see everything, or sees it late.

use std::collections::BTreeSet;

use expect_test::expect;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{ListParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

use crate::harness::{
    ADDRESSES_ANNOTATION, Cluster, Matcher, Object, Operator, Proxy, Rule, SOON, User, eventually, namespace,
    net_namespace, serving, two_zones,
};

/// An object as it is stored.
async fn stored(cluster: &Cluster, kind: &str, name: &str) -> Object {
    Object::from_json(json!(cluster.get(kind, name).await.expect("there")))
}

async fn is_answered_with_410(cluster: &Cluster, version: &str) {
    let nets = cluster.api("NetNamespace", None);
    let mut events =
        nets.watch(&WatchParams::default(), version).await.expect("watches answer in their stream").boxed();
    match events.try_next().await {
        Ok(Some(WatchEvent::Error(status))) => assert_eq!(status.code, 410, "{status:?}"),
        other => panic!("expected 410, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_in_a_watch_gap_is_found() {
    let (cluster, operator) = serving(&["billing", "gone", "shop"]).await;
    cluster.openshift().stop().await;
    let list = cluster.api("NetNamespace", None).list(&ListParams::default()).await.expect("allowed");
    let version = list.metadata.resource_version.expect("lists have a version");
    let a0 = stored(&cluster, "HostSubnet", "worker-a0").await.addresses(&["10.99.0.9"]);
    let billing = stored(&cluster, "NetNamespace", "billing").await.addresses(&[]);
    let shop = stored(&cluster, "Namespace", "shop").await;
    let shop = shop.set("metadata.annotations", json!({ ADDRESSES_ANNOTATION: "10.20.0.4,10.21.0.4" }));
    let mark = cluster.audit().mark().await;

    cluster.stop_apiserver();
    // It asks for what is free only once everything is seen.
    let later = namespace("later").in_pool("egress").requesting("10.20.0.3,10.21.0.3");
    cluster.store([a0, billing, shop, later, net_namespace("later")]).await;
    cluster.erase([namespace("gone"), net_namespace("gone")]).await;
    cluster.compact().await;
    cluster.start_apiserver().await;
    cluster.openshift().resume();

    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            later: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
            shop: -
            worker-a0: 10.99.0.9 of nobody
        "]])
        .await;
    assert!(operator.is_running());
    is_answered_with_410(&cluster, &version).await;
    // That answer made it list everything anew: a watch that goes on lists nothing.
    eventually("everything is listed anew", SOON, || async {
        let lists = cluster.audit().since(mark).await.by(User::Sluice).that(|request| request.verb == "list");
        let listed = lists.iter().filter(|list| list.code == 200).map(|list| list.resource.clone());
        let mut missing = BTreeSet::from(["egressipams", "hostsubnets", "namespaces", "netnamespaces", "nodes"]);
        for resource in listed {
            missing.remove(resource.as_str());
        }
        if missing.is_empty() { Ok(()) } else { Err(format!("not listed: {missing:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_was_away_finds_sluice_waiting() {
    let (cluster, operator) = serving(&["billing"]).await;
    cluster.openshift().stop().await;
    let mark = cluster.audit().mark().await;
    cluster.stop_apiserver();
    eventually("Sluice cannot renew its lease and steps down", SOON, || async {
        let leads = operator.metric("sluice_leader").await;
        if leads == Some(0.0) { Ok(()) } else { Err(format!("{leads:?}")) }
    })
    .await;
    assert!(operator.probe("/healthz").await.expect("it answers").0.is_success());
    cluster.start_apiserver().await;
    cluster.openshift().resume();
    operator.ready().await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
        "]])
        .await;
    assert_eq!(cluster.written_since(mark).await.to_string(), "");
    cluster.create([namespace("shop").in_pool("egress")]).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
}

/// A served cluster whose operator talks through a proxy.
async fn proxied() -> (Cluster, Proxy, Operator) {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones()).await;
    cluster.furnish([namespace("billing").in_pool("egress")]).await;
    let proxy = Proxy::start(&cluster).await;
    let operator = Operator::launch(&cluster).through(&proxy).start().await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
        "]])
        .await;
    (cluster, proxy, operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_write_is_refused_and_looked_at_again() {
    let (cluster, proxy, _operator) = proxied().await;
    let mark = cluster.audit().mark().await;
    proxy.rule(Rule::hang(Matcher::watches().on("hostsubnets")));
    proxy.cut();
    eventually("Sluice hears of no HostSubnet any more", SOON, || async {
        let asked = proxy.asked(&Matcher::watches().on("hostsubnets")).len();
        if asked > 1 { Ok(()) } else { Err(format!("{asked} watches")) }
    })
    .await;
    let theirs = json!({ "egressIPs": ["10.20.0.2", "10.99.0.9"] });
    cluster.patch("HostSubnet", "worker-a0", &theirs).await;
    cluster.create([namespace("shop").in_pool("egress")]).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
            worker-a0: 10.99.0.9 of nobody
        "]])
        .await;
    let written = cluster.written_since(mark).await;
    let refused = written.that(|request| request.code == 409);
    assert_eq!(refused.to_string(), "sluice patch hostsubnets worker-a0 -> 409\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_writes_are_made_anew() {
    let (cluster, proxy, _operator) = proxied().await;
    for status in [409, 429, 500, 503] {
        for resource in ["hostsubnets", "netnamespaces", "namespaces"] {
            proxy.rule(Rule::answer(Matcher::writes().on(resource), status).times(2));
        }
        let name = format!("after-{status}");
        cluster.create([namespace(&name).in_pool("egress")]).await;
        eventually("it is served", SOON, || async {
            let outcome = cluster.outcome().await;
            let served = outcome.namespaces.get(&name).is_some_and(|state| state.annotated.is_some());
            if served { Ok(()) } else { Err(outcome.to_string()) }
        })
        .await;
        proxy.clear();
    }
    cluster
        .rests(expect![[r"
            after-409: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
            after-429: egress, 10.20.0.4 on worker-a0, 10.21.0.4 on worker-b0
            after-500: egress, 10.20.0.5 on worker-a0, 10.21.0.5 on worker-b0
            after-503: egress, 10.20.0.6 on worker-a0, 10.21.0.6 on worker-b0
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
        "]])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_not_made_twice() {
    let (cluster, proxy, _operator) = proxied().await;
    cluster.furnish([namespace("shop")]).await;
    let mark = cluster.audit().mark().await;
    for resource in ["hostsubnets", "netnamespaces", "namespaces"] {
        proxy.rule(Rule::cut_after(Matcher::writes().on(resource)).times(1));
    }
    cluster.opt_in("shop", Some("egress")).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    let written = cluster.written_since(mark).await.except(&["egressipams/status", "events"]);
    let committed = written.that(|request| request.code == 200);
    assert_eq!(committed.summary(), "patch hostsubnets: 2\npatch namespaces: 1\npatch netnamespaces: 1\n");
}

/// Nobody holds it yet, so to the next round it is stale. It must not leave and come back with every try.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_carried_before_a_refused_write_stays_there() {
    let (cluster, proxy, _operator) = proxied().await;
    cluster.furnish([namespace("shop")]).await;
    let mark = cluster.audit().mark().await;
    proxy.rule(Rule::answer(Matcher::writes().on("netnamespaces"), 500).times(5));
    cluster.opt_in("shop", Some("egress")).await;
    cluster
        .rests(expect![[r"
            billing: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0
            shop: egress, 10.20.0.3 on worker-a0, 10.21.0.3 on worker-b0
        "]])
        .await;
    let written = cluster.written_since(mark).await.except(&["egressipams/status", "events"]);
    assert_eq!(written.summary(), "patch hostsubnets: 2\npatch namespaces: 1\npatch netnamespaces: 1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_and_expired_watches_lose_nothing() {
    let (cluster, proxy, _operator) = proxied().await;
    for number in 0..5 {
        if number % 2 == 1 {
            proxy.rule(Rule::answer(Matcher::watches(), 410).times(3));
        }
        proxy.cut();
        cluster.create([namespace(&format!("n{number}")).in_pool("egress")]).await;
        cluster.patch("HostSubnet", "worker-b0", &json!({ "egressIPs": Value::Null })).await;
        if number > 0 {
            cluster.opt_in(&format!("n{}", number - 1), None).await;
        }
    }
    eventually("only billing and the last one are served", SOON, || async {
        let outcome = cluster.outcome().await;
        let served = |name: &&String| outcome.addresses_of(name).len() == 2;
        let served: Vec<&String> = outcome.namespaces.keys().filter(served).collect();
        let annotated = outcome.namespaces.get("n4").is_some_and(|state| state.annotated.is_some());
        let placed = outcome.unplaced().is_empty();
        if served == ["billing", "n4"] && annotated && placed { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
    cluster.settled().await;
    cluster.assert_sound().await;
    let outcome = cluster.outcome().await;
    for number in 0..4 {
        assert_eq!(outcome.namespaces[&format!("n{number}")].annotated, None, "{outcome}");
    }
    let carried: usize = outcome.host_subnets.values().map(|state| state.carried.len()).sum();
    assert_eq!(carried, 4, "{outcome}");
}
