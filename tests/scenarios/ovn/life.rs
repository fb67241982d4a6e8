//! From an empty cluster to namespaces with addresses, through failures, to the end.

use std::time::{Duration, Instant};

use expect_test::expect;

use super::{becomes, cluster, launch, object_of, told};
use crate::harness::rights::{denied, unused};
use crate::harness::{ADDRESSES_ANNOTATION, Matcher, Proxy, Rule, SOON, User, eventually, namespace};

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_gets_its_object_after_the_labels_and_gives_it_back() {
    let (cluster, _ovn) = cluster(1).await;
    let mark = cluster.audit().mark().await;
    let proxy = Proxy::start(&cluster).await;
    // An object that somebody else wrote meanwhile is read by itself.
    proxy.rule(Rule::answer(Matcher::changes().on("egressips"), 409).skip(2).times(1));
    let operator = launch(&cluster).through(&proxy).start().await;
    cluster.create([namespace("docs").in_pool("egress"), namespace("shop").in_pool("egress")]).await;
    becomes(
        &cluster,
        expect![[r#"
            labels: worker-a0 worker-a1 worker-b0 worker-b1
            egressip-docs: 10.20.0.2,10.21.0.2 on 10.20.0.2@worker-a 10.21.0.2@worker-b (sluice.dev/namespace=docs sluice.dev/pool=egress zone.sluice.dev/10.20.0.2=zone-a zone.sluice.dev/10.21.0.2=zone-b)
            egressip-shop: 10.20.0.3,10.21.0.3 on 10.20.0.3@worker-a 10.21.0.3@worker-b (sluice.dev/namespace=shop sluice.dev/pool=egress zone.sluice.dev/10.20.0.3=zone-a zone.sluice.dev/10.21.0.3=zone-b)
        "#]],
    )
    .await;
    assert_eq!(told(&cluster, "shop", ADDRESSES_ANNOTATION).await, "10.20.0.3,10.21.0.3");
    is_ready(&cluster, "2 namespaces served").await;
    cluster.settled().await;
    // At rest nothing is written.
    let rest = cluster.audit().mark().await;
    cluster.settled().await;
    assert_eq!(cluster.written_since(rest).await.to_string(), "");
    // Another address is asked for: it comes first, and the old one goes then.
    cluster.request("shop", Some("10.20.0.77")).await;
    becomes(
        &cluster,
        expect![[r#"
            labels: worker-a0 worker-a1 worker-b0 worker-b1
            egressip-docs: 10.20.0.2,10.21.0.2 on 10.20.0.2@worker-a 10.21.0.2@worker-b (sluice.dev/namespace=docs sluice.dev/pool=egress zone.sluice.dev/10.20.0.2=zone-a zone.sluice.dev/10.21.0.2=zone-b)
            egressip-shop: 10.20.0.77,10.21.0.3 on 10.20.0.77@worker-a 10.21.0.3@worker-b (sluice.dev/namespace=shop sluice.dev/pool=egress zone.sluice.dev/10.20.0.77=zone-a zone.sluice.dev/10.21.0.3=zone-b)
        "#]],
    )
    .await;
    cluster.opt_in("docs", None).await;
    cluster.is_gone("EgressIP", &object_of("docs")).await;
    eventually("docs is told nothing any more", SOON, || async {
        let told = told(&cluster, "docs", ADDRESSES_ANNOTATION).await;
        if told.is_empty() { Ok(()) } else { Err(told) }
    })
    .await;
    cluster.delete("EgressIPAM", "egress").await;
    cluster.is_gone("EgressIPAM", "egress").await;
    becomes(
        &cluster,
        expect![[r#"
        labels: 
    "#]],
    )
    .await;
    operator.stop().await;
    let asked = cluster.audit().since(mark).await.by(User::Sluice);
    assert_eq!(denied(&asked), "");
    assert_eq!(unused("rbac/ovn.yaml", &asked), "", "deploy/rbac/ovn.yaml grants more than is needed");
}

async fn is_ready(cluster: &crate::harness::Cluster, text: &str) {
    eventually("the pool says so", SOON, || async {
        let ready = cluster.condition("egress", "Ready").await;
        if ready.contains(text) { Ok(()) } else { Err(ready) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_loses_its_label_with_one_write_and_its_addresses_go_elsewhere() {
    let (cluster, _ovn) = cluster(2).await;
    let operator = launch(&cluster).start().await;
    let names: Vec<String> = (0..10).map(|number| format!("team-{number}")).collect();
    cluster.create(names.iter().map(|name| namespace(name).in_pool("egress"))).await;
    is_ready(&cluster, "10 namespaces served").await;
    cluster.settled().await;
    let mark = cluster.audit().mark().await;
    let started = Instant::now();
    cluster.set_ready("worker-a0", false).await;
    eventually("its label is gone", SOON, || async {
        let node = cluster.get("Node", "worker-a0").await.expect("it is there");
        let is_gone = super::label(&node).is_none();
        if is_gone { Ok(()) } else { Err("still there") }
    })
    .await;
    let took = started.elapsed();
    eventually("all addresses are on nodes that work", SOON, || async {
        let carried = carried_by(&cluster).await;
        let lost: Vec<&(String, String)> = carried.iter().filter(|(node, _)| node == "worker-a0").collect();
        if carried.len() == 20 && lost.is_empty() { Ok(()) } else { Err(format!("{carried:?}")) }
    })
    .await;
    is_ready(&cluster, "10 namespaces served").await;
    cluster.settled().await;
    let writes = cluster.written_since(mark).await;
    let text = writes.to_string();
    let of_nodes = text.lines().filter(|line| line.contains("nodes")).count();
    println!("label gone after {took:?}; writes since the node died:\n{text}");
    assert_eq!(of_nodes, 1, "{text}");
    assert!(!text.contains("egressips"), "no object changes:\n{text}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    // It comes back, and stands by; nobody is moved.
    cluster.set_ready("worker-a0", true).await;
    eventually("it stands by", SOON, || async {
        let node = cluster.get("Node", "worker-a0").await.expect("it is there");
        if super::label(&node).is_some() { Ok(()) } else { Err("not yet") }
    })
    .await;
    cluster.settled().await;
    let on_it = carried_by(&cluster).await.into_iter().filter(|(node, _)| node == "worker-a0").count();
    assert_eq!(on_it, 0, "nobody is moved back");
    operator.stop().await;
}

/// Node and address of all that is carried.
async fn carried_by(cluster: &crate::harness::Cluster) -> Vec<(String, String)> {
    let mut carried = Vec::new();
    for object in cluster.list("EgressIP").await {
        for item in object.data["status"]["items"].as_array().into_iter().flatten() {
            let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
            carried.push((text("node"), text("egressIP")));
        }
    }
    carried
}
