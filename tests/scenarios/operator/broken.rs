//! Objects that make no sense: put into storage as they are, since the API server would refuse some of them.

use std::time::Duration;

use serde_json::json;

use super::{becomes, is_served, serves, two_zones};
use crate::harness::{
    Cluster, Matcher, Object, Operator, Proxy, Rule, SOON, eventually, host_subnet, namespace, net_namespace, node,
    pool,
};

/// The longest pause that two refusals lead to, and more.
const HEALED: Duration = Duration::from_mins(1);

/// Everything that other controllers, older versions and people may leave in storage.
fn broken() -> Vec<Object> {
    vec![
        host_subnet("broken-list").set("egressIPs", "10.20.0.9"),
        host_subnet("broken-entries").set("egressIPs", json!([1, { "ip": "10.20.0.9" }, null, "nonsense", ""])),
        host_subnet("broken-cidrs").set("egressCIDRs", json!({ "0": "10.20.0.0/24" })),
        host_subnet("broken-host").set("host", 7).set("hostIP", "not an address"),
        net_namespace("broken-list").set("egressIPs", true),
        net_namespace("broken-entries").set("egressIPs", json!(["10.20.0.300", 4, "2001:db8::zz"])),
        net_namespace("broken-fields").set("netid", "text").set("unheardOf", json!({ "a": [1, 2] })),
        pool("broken-spec").set("spec", "text"),
        pool("broken-entries").set("spec.cidrAssignments", json!([{ "CIDR": 7 }, "text", null])),
        pool("broken-selector").set("spec.nodeSelector", json!({ "matchLabels": ["a"], "matchExpressions": "b" })),
        pool("broken-status").range("zone-a", "10.90.0.0/24").set("status", json!({ "conditions": "all is well" })),
    ]
}

/// Namespaces and nodes whose content people write freely.
fn odd() -> Vec<Object> {
    vec![
        namespace("broken-list").in_pool("egress").requesting("10.20.0.1;10.21.0.1"),
        namespace("broken-entries").in_pool("egress").requesting(", ,\n"),
        namespace("broken-pool").in_pool("no such pool, and no name either"),
        namespace("empty-pool").in_pool(""),
        node("odd-address").zone("zone-a").set("status.addresses", json!([{ "type": "InternalIP", "address": "x" }])),
        node("broken-list").zone("zone-a"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn they_kill_no_watch_and_stop_nobody_else() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    cluster.store(broken()).await;
    cluster.create(odd()).await;
    let operator = Operator::start(&cluster).await;
    serves(&cluster, "shop").await;
    becomes(&cluster, "egress", "ReconcileSuccess", "True", "").await;
    assert!(operator.is_running());
    let outcome = cluster.outcome().await;
    assert_eq!(outcome.nodes_of("10.20.0.9"), Vec::<&str>::new(), "{outcome}");
    // Events come after all that is done.
    cluster.settled().await;
    let mark = cluster.audit().mark().await;
    let ((), ()) = tokio::join!(operator.plans_again(), cluster.create([namespace("bystander")]));
    cluster.settled().await;
    // The API server refuses even the status of a pool whose spec breaks the definition.
    let written = cluster.written_since(mark).await.that(|request| request.name != "broken-spec");
    assert_eq!(written.to_string(), "", "it does not try the same again and again");
    let log = operator.log();
    for (kind, name, field) in [
        ("HostSubnet", "broken-host", "hostIP"),
        ("NetNamespace", "broken-list", "egressIPs"),
        ("Node", "odd-address", "x"),
    ] {
        let of_it = |line: &&str| {
            line.contains("cannot read a field") && [kind, name, field].iter().all(|word| line.contains(word))
        };
        assert_eq!(log.lines().filter(of_it).count(), 1, "{kind} {name} {field} is told once: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_may_come_at_any_time_and_be_mended() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let operator = Operator::start(&cluster).await;
    serves(&cluster, "before").await;
    cluster.store(broken()).await;
    cluster.create(odd()).await;
    serves(&cluster, "meanwhile").await;
    let spec = pool("broken-spec").range("zone-a", "10.91.0.0/24").json()["spec"].clone();
    cluster.patch("EgressIPAM", "broken-spec", &json!({ "spec": spec })).await;
    cluster.create([namespace("mended").in_pool("broken-spec")]).await;
    is_served(&cluster, "mended").await;
    serves(&cluster, "after").await;
    assert!(operator.is_running());
}

/// What was right before it broke stays applied.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_subnet_that_breaks_keeps_what_it_is_not_asked_about() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let operator = Operator::start(&cluster).await;
    serves(&cluster, "shop").await;
    let before = cluster.outcome().await;
    let carrier = before.nodes_of(&before.addresses_of("shop")[0])[0].to_owned();
    let mut broken = cluster.get("HostSubnet", &carrier).await.expect("there");
    broken.data["egressIPs"] = json!({ "what": "is this" });
    cluster.store([Object::from_json(json!(broken))]).await;
    eventually("its address is carried by the other node", SOON, || async {
        let outcome = cluster.outcome().await;
        let nodes = outcome.nodes_of(&outcome.addresses_of("shop")[0]).join(" ");
        if nodes.starts_with("worker-a") && nodes != carrier { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
    serves(&cluster, "billing").await;
    assert!(operator.is_running());
}

/// An admission webhook, or storage, that takes no change of one object.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_subnet_that_refuses_writes_keeps_its_own_and_gets_nothing_new() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    cluster.companions_are_there().await;
    let proxy = Proxy::start(&cluster).await;
    let _operator = Operator::launch(&cluster).through(&proxy).start().await;
    for name in ["shop", "billing"] {
        serves(&cluster, name).await;
    }
    let before = cluster.outcome().await;
    let on_a0 = before.host_subnets["worker-a0"].carried.clone();
    assert_eq!(on_a0.len(), 1, "{before}");

    proxy.rule(Rule::answer(Matcher::writes().on("hostsubnets").named("worker-a0"), 422));
    for name in ["one", "two", "three", "four"] {
        serves(&cluster, name).await;
    }
    let after = cluster.outcome().await;
    assert_eq!(after.host_subnets["worker-a0"].carried, on_a0, "{after}");
    becomes(&cluster, "egress", "ReconcileError", "True", "HostSubnet worker-a0: refused").await;

    proxy.clear();
    eventually("it is used again", HEALED, || async {
        let name = format!("new-{}", cluster.list("Namespace").await.len());
        serves(&cluster, &name).await;
        let outcome = cluster.outcome().await;
        if outcome.host_subnets["worker-a0"].carried.len() > 1 { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
    cluster.assert_sound().await;
}
