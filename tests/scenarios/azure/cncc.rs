//! Who writes the interfaces: OpenShift's cloud network config controller where there is one, or whom the flag names.

use serde_json::json;

use super::ledger::Ledger;
use super::stage::{A_WHILE, Stage};
use crate::harness::bootstrap::{documents, fixtures, is_served};
use crate::harness::openshift::cloud::CAPACITY_ANNOTATION;
use crate::harness::{Cluster, Object, eventually, namespace};

const MACHINES: [&str; 4] = ["w1", "w2", "w3", "w4"];
const OWNERS: [&str; 4] = ["a", "b", "c", "d"];

/// Two machines in the first zone, one in each other, and a pool.
async fn stage() -> Stage {
    let stage = Stage::start().await;
    stage.machines(&[("w1", 1), ("w2", 1), ("w3", 2), ("w4", 3)]).await;
    stage.cluster.create([Stage::three_zones()]).await;
    stage
}

/// The cluster has the controller's definition.
pub(super) async fn has_controller(cluster: &Cluster) {
    let definition = documents(&fixtures().join("crds/001_cloudprivateipconfigs.crd.yaml")).remove(0);
    cluster.create([Object::from_json(definition)]).await;
    is_served(&cluster.client(), "CloudPrivateIPConfig").await;
}

/// Waits until HostSubnets carry what each namespace holds.
async fn are_placed(stage: &Stage, owners: &[&str]) {
    eventually("addresses are placed", A_WHILE, || async {
        let outcome = stage.cluster.outcome().await;
        let is_placed = |owner: &&str| {
            let held = outcome.addresses_of(owner);
            held.len() == 3 && held.iter().all(|address| outcome.nodes_of(address).len() == 1)
        };
        if owners.iter().all(is_placed) { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
    stage.cluster.settled().await;
    stage.cluster.assert_sound().await;
}

/// An address as the controller reports it.
fn reported(address: &str, node: &str, assigned: bool, message: &str) -> Object {
    Object::from_json(json!({
        "apiVersion": "cloud.network.openshift.io/v1",
        "kind": "CloudPrivateIPConfig",
        "metadata": {"name": address},
        "spec": {"node": node},
        "status": {"node": node, "conditions": [{
            "type": "Assigned",
            "status": if assigned { "True" } else { "False" },
            "reason": if assigned { "CloudResponseSuccess" } else { "CloudResponseError" },
            "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]},
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_controller_is_interfaces_are_only_read() {
    let stage = stage().await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    has_controller(&stage.cluster).await;
    for (node, limit) in [("w1", 1), ("w2", 3)] {
        let interface = json!({"interface": "nic", "ifaddr": {"ipv4": "10.20.0.0/16"}, "capacity": {"ip": limit}});
        stage.cluster.annotate("Node", node, CAPACITY_ANNOTATION, Some(&json!([interface]).to_string())).await;
    }
    let operator = stage.operator().await;
    stage.cluster.create(OWNERS.map(|name| namespace(name).in_pool("egress"))).await;
    are_placed(&stage, &OWNERS).await;
    let outcome = stage.cluster.outcome().await;
    let load = |node: &str| outcome.host_subnets[node].carried.len();
    assert_eq!((load("w1"), load("w2"), load("w3"), load("w4")), (1, 3, 4, 4), "{outcome}");

    let error = "PrivateIPAddressIsAllocated: somebody else has it";
    stage.cluster.create([reported("10.20.2.2", "w3", false, error), reported("10.20.2.3", "w3", true, "ok")]).await;
    let status =
        stage.tells(&["CloudPrivateIPConfig 10.20.2.2: PrivateIPAddressIsAllocated: somebody else has it"]).await;
    assert!(!status.contains("10.20.2.3"), "{status}");
    stage.cluster.delete("CloudPrivateIPConfig", "10.20.2.2").await;
    stage.tells(&["CloudPrivateIPConfig 10.20.2.2: there is none yet"]).await;

    stage.cluster.set_ready("w2", false).await;
    stage.cluster.zone_has("egress", "eastus-1", 2, 1).await;
    stage.cluster.settled().await;
    let outcome = stage.cluster.outcome().await;
    assert_eq!(outcome.host_subnets["w1"].carried.len(), 1, "w1 has no room: {outcome}");
    stage.cluster.opt_in("a", None).await;
    eventually("a is gone", A_WHILE, || async {
        let outcome = stage.cluster.outcome().await;
        if outcome.addresses_of("a").is_empty() { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
    assert_eq!(stage.arm.count("PUT", ""), 0, "interfaces are only read");
    ledger.is_untouched();
    stage.keeps_secrets(&[&operator], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn always_writes_beside_the_controller() {
    let stage = stage().await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    has_controller(&stage.cluster).await;
    stage.cluster.create([namespace("shop").in_pool("egress")]).await;
    let _operator = stage.launch().args(&["--azure-nic-writes", "always"]).start().await;
    stage.serves(&["shop"], 3).await;
    assert_eq!(stage.arm.count("PUT", "networkInterfaces"), 3);
    ledger.closes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn never_writes_without_the_controller() {
    let stage = stage().await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    stage.cluster.create([namespace("shop").in_pool("egress")]).await;
    let operator = stage.launch().args(&["--azure-nic-writes", "never"]).start().await;
    are_placed(&stage, &["shop"]).await;
    ledger.is_untouched();
    // Somebody does what the HostSubnets say.
    let before = stage.cluster.outcome().await;
    for address in before.addresses_of("shop") {
        let [node] = before.nodes_of(address)[..] else { panic!("{before}") };
        let config = format!("by-hand-{address}");
        stage.arm.add_config(&stage.nic(node), &config, address.parse().expect("an address"));
    }
    stage.looks_again().await;
    stage.serves(&["shop"], 3).await;
    assert_eq!(stage.cluster.outcome().await, before);
    assert_eq!(stage.arm.count("PUT", ""), 0);
    // Nobody says otherwise: the cloud's limit, the machine's own address included.
    let capacity = r#"egressip_ip_capacity{egressipam="egress",node="w1"}"#;
    assert_eq!(operator.metric(capacity).await, Some(256.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_comes_while_we_write() {
    let stage = stage().await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    stage.cluster.create([namespace("shop").in_pool("egress")]).await;
    let _operator = stage.operator().await;
    stage.serves(&["shop"], 3).await;
    let before = stage.arm.count("PUT", "");
    has_controller(&stage.cluster).await;
    let report = reported("10.20.1.2", "w1", false, "it has begun");
    stage.cluster.create([report]).await;
    stage.tells(&["CloudPrivateIPConfig 10.20.1.2: it has begun"]).await;
    stage.cluster.create([namespace("till").in_pool("egress")]).await;
    are_placed(&stage, &["shop", "till"]).await;
    assert_eq!(stage.arm.count("PUT", ""), before, "from now on interfaces are only read");
    ledger.is_untouched();
}
