//! Beside OpenShift's cloud network config controller at work: what HostSubnets say is done by it, not by Sluice.

use std::collections::BTreeSet;

use expect_test::expect;
use sluice_sandbox_azure::{Nics, Span};

use super::cncc::has_controller;
use super::ledger::Ledger;
use super::moves::{first_of, open_the_others};
use super::stage::{A_WHILE, OURS, Stage};
use crate::harness::openshift::cloud::{CONTROLLER, CloudNetwork, Interfaces};
use crate::harness::{Operator, eventually, namespace};

const MACHINES: [&str; 4] = ["w1", "w2", "w3", "w4"];
const OWNERS: [&str; 4] = ["a", "b", "c", "d"];
/// Two machines of one zone.
const PAIR: [&str; 2] = ["w1", "w2"];
const ALWAYS: [&str; 2] = ["--azure-nic-writes", "always"];

/// OpenShift's controllers at work.
async fn controllers(stage: &Stage) -> CloudNetwork {
    has_controller(&stage.cluster).await;
    let interfaces = Interfaces::of(&stage.arm, &stage.place, "10.20.0.0/16");
    CloudNetwork::start(&stage.cluster.client(), interfaces)
}

/// Machines w1 and w2 in one zone, and `crm` and `shop` on w1; w2 is open to them from now on.
async fn pair(arguments: &[&str]) -> (Stage, CloudNetwork, Operator) {
    let stage = first_of(Stage::start().await, &PAIR).await;
    let network = controllers(&stage).await;
    stage.cluster.furnish(["crm", "shop"].map(|name| namespace(name).in_pool("egress"))).await;
    let operator = stage.launch().args(arguments).start().await;
    stage.serves(&["crm", "shop"], 1).await;
    stage.cluster.becomes(expect!["crm: egress, 10.20.1.2 on w1\nshop: egress, 10.20.1.3 on w1"]).await;
    stage.tells(&["Ready=True"]).await;
    open_the_others(&stage, &PAIR).await;
    stage.cluster.settled().await;
    (stage, network, operator)
}

/// How often the controller wrote an interface, and how often anybody else did.
fn writes(stage: &Stage) -> (usize, usize) {
    let writes = stage.arm.log().into_iter().filter(|logged| !["GET", "POST"].contains(&logged.method.as_str()));
    let (controllers, others): (Vec<_>, Vec<_>) =
        writes.partition(|logged| logged.principal.as_deref() == Some(CONTROLLER));
    (controllers.len(), others.len())
}

/// The names of configurations on an interface, without the machine's own.
fn names(stage: &Stage, machine: &str) -> Vec<String> {
    stage.arm.addresses(&stage.nic(machine)).into_keys().filter(|name| name != "ipconfig1").collect()
}

/// All that an operator says nodes can carry.
async fn capacities(operator: &Operator) -> BTreeSet<String> {
    let (_, page) = operator.page("/metrics").await.expect("metrics");
    let of_it = |line: &&str| line.starts_with("egressip_ip_capacity{");
    page.lines().filter(of_it).filter_map(|line| Some(line.rsplit_once(' ')?.1.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn host_subnets_alone_bring_addresses_and_take_them_away() {
    let stage = Stage::start().await;
    stage.machines(&[("w1", 1), ("w2", 1), ("w3", 2), ("w4", 3)]).await;
    stage.cluster.create([Stage::three_zones()]).await;
    let _network = controllers(&stage).await;
    let ledger = Ledger::open(&stage, &MACHINES).await.beside_controller();
    let operator = stage.operator().await;
    stage.cluster.create(OWNERS.map(|name| namespace(name).in_pool("egress"))).await;
    stage.serves(&OWNERS, 3).await;
    ledger.closes().await;
    stage.tells(&["served 4 of 4", "Ready=True"]).await;
    let all: Vec<String> = MACHINES.iter().flat_map(|machine| names(&stage, machine)).collect();
    assert_eq!(all.len(), 12);
    assert!(all.iter().all(|name| name.starts_with('w')), "{all:?}");
    assert_eq!(writes(&stage), (12, 0), "one address after the other, and none by us");
    // What the controller put there is no stranger's, and the machine's own counts.
    assert_eq!(capacities(&operator).await, BTreeSet::from(["256".to_owned()]));

    stage.cluster.opt_in("a", None).await;
    stage.cluster.delete("Namespace", "b").await;
    eventually("their addresses are gone", A_WHILE, || async {
        let all: Vec<String> = MACHINES.iter().flat_map(|machine| names(&stage, machine)).collect();
        let objects = stage.cluster.list("CloudPrivateIPConfig").await.len();
        if (all.len(), objects) == (6, 6) { Ok(()) } else { Err(format!("{objects} objects, {all:?}")) }
    })
    .await;
    stage.serves(&["c", "d"], 3).await;
    ledger.closes().await;
    stage.tells(&["served 2 of 2", "Ready=True"]).await;
    assert_eq!(writes(&stage), (18, 0));
    assert_eq!(capacities(&operator).await, BTreeSet::from(["256".to_owned()]));
    stage.keeps_secrets(&[&operator], &[]).await;
}

/// The controller's only pod was on the node that died.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_lingers_on_a_dead_nodes_interface_is_waited_for() {
    let (stage, network, _operator) = pair(&[]).await;
    let ledger = Ledger::open(&stage, &PAIR).await.beside_controller();
    stage.arm.clear_log();
    network.is_away(true);
    stage.cluster.set_ready("w1", false).await;
    stage.cluster.becomes(expect!["crm: egress, 10.20.1.2 on w2\nshop: egress, 10.20.1.3 on w2"]).await;
    let gone = "it is to be taken off a node";
    let told = format!(
        "Ready=False Awaited: 2 addresses wait for the cloud: CloudPrivateIPConfig 10.20.1.2: {gone}; CloudPrivateIPConfig 10.20.1.3: {gone}"
    );
    stage.tells(&["served 0 of 2", &told, "Degraded=False"]).await;
    stage.cluster.create([namespace("late").in_pool("egress")]).await;
    stage.looks_again().await;
    stage
        .cluster
        .becomes(expect![[r#"
            crm: egress, 10.20.1.2 on w2
            late: egress, 10.20.1.4 on w2
            shop: egress, 10.20.1.3 on w2
        "#]])
        .await;
    assert_eq!((names(&stage, "w1").len(), names(&stage, "w2").len()), (2, 0), "nothing has happened in the cloud");
    assert_eq!(writes(&stage), (0, 0));

    network.is_away(false);
    stage.serves(&["crm", "late", "shop"], 1).await;
    ledger.closes().await;
    stage.tells(&["served 3 of 3", "Ready=True"]).await;
    assert_eq!(names(&stage, "w1"), [""; 0]);
    assert_eq!(names(&stage, "w2"), ["w2_10.20.1.2", "w2_10.20.1.3", "w2_10.20.1.4"]);
    assert_eq!(writes(&stage), (5, 0), "off and on one by one, none refused");
    let warnings = stage.cluster.warnings().await;
    assert!(!warnings.contains("AddressesChanged"), "{warnings}");
}

/// Of a node that is gone the controller does not ask the cloud, so that its interface keeps what it has.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_and_moves_nothing() {
    let (stage, _network, _operator) = pair(&[]).await;
    let mut ledger = Ledger::open(&stage, &PAIR).await.beside_controller();
    stage.cluster.delete("Node", "w1").await;
    stage.cluster.becomes(expect!["crm: egress, 10.20.1.2 on w2\nshop: egress, 10.20.1.3 on w2"]).await;
    let placed = stage.cluster.outcome().await.to_string();
    let refusal = "Error processing cloud assignment request, err: PUT 400 PrivateIPAddressIsAllocated";
    stage.tells(&["Ready=False Failed", &format!("CloudPrivateIPConfig 10.20.1.2: {refusal}")]).await;
    let mark = stage.cluster.audit().mark().await;
    stage.passes(600).await;
    let written = stage.cluster.written_since(mark).await.except(&["events", "egressipams/status"]);
    assert_eq!(written.to_string(), "", "nobody gets another address or node for it");
    assert_eq!(stage.cluster.outcome().await.to_string(), placed);
    assert_eq!(stage.cluster.holds().await, "");

    stage.arm.delete_machine(&stage.place.id("Microsoft.Compute/virtualMachines", "w1"), Nics::Deleted);
    ledger.forget("w1");
    stage.serves(&["crm", "shop"], 1).await;
    ledger.closes().await;
    stage.tells(&["served 2 of 2", "Ready=True"]).await;
    assert_eq!(writes(&stage).1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_controller_waits_for_is_told_and_moves_nothing() {
    let (stage, _network, _operator) = pair(&[]).await;
    let ledger = Ledger::open(&stage, &PAIR).await.beside_controller();
    // From now on Azure does not come to an end.
    let ages = 1_000_000_000;
    stage.arm.configure(|settings| settings.duration = Span::Fixed(ages));
    stage.cluster.create([namespace("late").in_pool("egress")]).await;
    let told = "1 addresses wait for the cloud: CloudPrivateIPConfig 10.20.1.4: Adding IP address since 20";
    stage.tells(&["served 2 of 3, held 0", &format!("Ready=False Awaited: {told}"), "Degraded=False"]).await;
    stage.cluster.settled().await;
    let before = stage.cluster.outcome().await.to_string();
    let mark = stage.cluster.audit().mark().await;
    stage.looks_again().await;
    assert_eq!(stage.cluster.written_since(mark).await.to_string(), "", "it is told once");
    assert_eq!(stage.cluster.outcome().await.to_string(), before);
    assert_eq!((stage.cluster.holds().await, stage.cluster.warnings().await), (String::new(), String::new()));

    stage.arm.clock().advance(ages);
    stage.serves(&["crm", "late", "shop"], 1).await;
    ledger.closes().await;
    stage.tells(&["served 3 of 3", "Ready=True"]).await;
    assert_eq!(writes(&stage), (3, 0));
}

/// SDN ignores the HostSubnet of a node of which it does not know how many addresses it can carry.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_asks_for_is_told() {
    let stage = first_of(Stage::start().await, &["w1"]).await;
    let network = controllers(&stage).await;
    network.is_away(true);
    let _operator = stage.operator().await;
    stage.cluster.create([namespace("shop").in_pool("egress")]).await;
    stage.cluster.becomes(expect!["shop: egress, 10.20.1.2 on w1"]).await;
    let told = "1 addresses wait for the cloud: CloudPrivateIPConfig 10.20.1.2: there is none yet";
    stage.tells(&["served 0 of 1, held 0", &format!("Ready=False Awaited: {told}")]).await;
    network.is_away(false);
    stage.serves(&["shop"], 1).await;
    stage.tells(&["served 1 of 1", "Ready=True"]).await;
    assert_eq!(writes(&stage), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_always_writes_is_first_and_the_controller_finds_it_done() {
    let (stage, network, _operator) = pair(&ALWAYS).await;
    let ledger = Ledger::open(&stage, &PAIR).await.beside_controller();
    assert_eq!(writes(&stage).0, 0, "there is nothing left for the controller");
    stage.cluster.set_ready("w1", false).await;
    stage.cluster.becomes(expect!["crm: egress, 10.20.1.2 on w2\nshop: egress, 10.20.1.3 on w2"]).await;
    stage.serves(&["crm", "shop"], 1).await;
    ledger.closes().await;
    stage.tells(&["served 2 of 2", "Ready=True"]).await;
    assert_eq!(names(&stage, "w2"), ["EgressIP10.20.1.2", "EgressIP10.20.1.3"]);
    // Nobody waits for it either.
    network.is_away(true);
    stage.cluster.create([namespace("late").in_pool("egress")]).await;
    stage.serves(&["late"], 1).await;
    stage.cluster.is_there("CloudPrivateIPConfig", "10.20.1.4").await;
    ledger.closes().await;
    stage.tells(&["served 3 of 3", "Ready=True"]).await;
    network.is_away(false);
    for name in ["crm", "late", "shop"] {
        stage.cluster.opt_in(name, None).await;
    }
    eventually("nothing is left", A_WHILE, || async {
        let left = (names(&stage, "w1"), names(&stage, "w2"), stage.cluster.list("CloudPrivateIPConfig").await.len());
        if left == (Vec::new(), Vec::new(), 0) { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    ledger.closes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_always_writes_bears_a_controller_that_undoes_it() {
    let (stage, _network, _operator) = pair(&ALWAYS).await;
    let ledger = Ledger::open(&stage, &PAIR).await.beside_controller();
    eventually("the controller knows the address", A_WHILE, || async {
        let object = stage.cluster.get("CloudPrivateIPConfig", "10.20.1.2").await;
        let is_given = |object: &kube::core::DynamicObject| object.data["status"]["conditions"][0]["status"] == "True";
        if object.as_ref().is_some_and(is_given) { Ok(()) } else { Err(format!("{object:?}")) }
    })
    .await;
    // It takes the address off, and SDN asks for it again at once.
    stage.cluster.delete("CloudPrivateIPConfig", "10.20.1.2").await;
    eventually("the controller has written", A_WHILE, || async {
        if writes(&stage).0 > 0 { Ok(()) } else { Err("it has not") }
    })
    .await;
    stage.looks_again().await;
    stage.serves(&["crm", "shop"], 1).await;
    ledger.closes().await;
    stage.cluster.becomes(expect!["crm: egress, 10.20.1.2 on w1\nshop: egress, 10.20.1.3 on w1"]).await;
    stage.tells(&["served 2 of 2", "Ready=True"]).await;
    assert_eq!(names(&stage, "w1").len(), 2, "whoever was first, it is there once");
    let warnings = stage.cluster.warnings().await;
    assert!(!warnings.contains("AddressesChanged"), "{warnings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_controller_put_there_is_carried_for_who_writes_after_it() {
    let (stage, network, operator) = pair(&[]).await;
    drop(network);
    operator.stop().await;
    let ledger = Ledger::open(&stage, &PAIR).await;
    stage.arm.clear_log();
    let mark = stage.cluster.audit().mark().await;
    let _operator = stage.launch().args(&ALWAYS).start().await;
    stage.looks_again().await;
    let written = stage.cluster.written_since(mark).await.except(&["leases"]);
    assert_eq!((writes(&stage), written.to_string().as_str()), ((0, 0), ""));
    assert_eq!(names(&stage, "w1"), ["w1_10.20.1.2", "w1_10.20.1.3"]);
    stage.cluster.set_cordoned("w2", true).await;
    stage.cluster.create([namespace("late").in_pool("egress")]).await;
    stage.serves(&["crm", "late", "shop"], 1).await;
    let ours: Vec<String> = PAIR.iter().flat_map(|machine| names(&stage, machine)).collect();
    assert_eq!(ours.iter().filter(|name| name.starts_with(OURS)).count(), 1, "{ours:?}");
    // What the controller left there is of others now, and is as it was.
    ledger.closes().await;

    // Where it may not stay, nobody takes it off any more: its owner gets another.
    stage.cluster.set_cordoned("w2", false).await;
    stage.cluster.set_ready("w1", false).await;
    stage
        .cluster
        .becomes(expect![[r#"
            crm: egress, 10.20.1.5 on w2
            late: egress, 10.20.1.4 on w2
            shop: egress, 10.20.1.6 on w2
        "#]])
        .await;
    let told = "Namespace crm: AddressesChanged: egress addresses changed from 10.20.1.2 to";
    eventually("they are told", A_WHILE, || async {
        let warnings = stage.cluster.warnings().await;
        if warnings.contains(told) { Ok(()) } else { Err(warnings) }
    })
    .await;
    ledger.is_untouched();
}
