//! Others who use the same interfaces and the same subnet.

use std::net::IpAddr;

use expect_test::expect;
use serde_json::json;
use sluice_sandbox_azure::{Fault, Place, Wrong};

use super::ledger::Ledger;
use super::moves::{first_of, open_the_others};
use super::stage::{A_WHILE, SUBSCRIPTION, Stage};
use crate::harness::{Object, Operator, eventually, namespace, pool, reads};

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A pool in one zone.
fn one_zone() -> Object {
    pool("egress").range("eastus-1", "10.20.1.0/24")
}

/// Machine w1 and these namespaces.
async fn furnished(namespaces: &[&str]) -> Stage {
    let stage = Stage::start().await;
    stage.machines(&[("w1", 1)]).await;
    let namespaces = namespaces.iter().map(|name| namespace(name).in_pool("egress"));
    stage.cluster.furnish([one_zone()].into_iter().chain(namespaces)).await;
    stage
}

/// The same, served.
async fn serving(namespaces: &[&str]) -> (Stage, Operator) {
    let stage = furnished(namespaces).await;
    let operator = stage.operator().await;
    stage.serves(namespaces, 1).await;
    (stage, operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_interface_takes_no_more_until_somebody_leaves() {
    let stage = furnished(&["crm", "shop"]).await;
    let nic = stage.nic("w1");
    // With the machine's own, one short of the limit of 256.
    for number in 0..254 {
        stage.arm.add_config(&nic, &format!("person-{number}"), address(&format!("10.20.200.{number}")));
    }
    let mut ledger = Ledger::open(&stage, &["w1"]).await;
    let _operator = stage.operator().await;
    stage.serves(&["crm"], 1).await;
    reads(expect!["shop: no-capacity: no node has room (zone eastus-1)"], || stage.cluster.holds()).await;
    reads(
        expect![[r#"
        Namespace shop: NoCapacity: zone eastus-1: no node has room
    "#]],
        || stage.cluster.warnings(),
    )
    .await;
    reads(
        expect![[r#"
        served 1 of 2, held 1
        eastus-1 10.20.1.0/24: 1 of 253 used, 1 of 1 nodes healthy
        Ready=False Held: 1 of 2 namespaces wait, see their annotation sluice.dev/hold
        Degraded=True Held: shop is held in zone eastus-1: no-capacity: no node has room"#]],
        || stage.cluster.status("egress"),
    )
    .await;
    ledger.closes().await;
    assert_eq!(stage.arm.addresses(&nic).len(), 256);
    assert_eq!(ledger.puts(), ["w1-nic 200: 1 of ours"]);

    stage.arm.remove_config(&nic, "person-17");
    ledger.note("w1");
    stage.serves(&["crm", "shop"], 1).await;
    reads(expect![""], || stage.cluster.holds()).await;
    ledger.closes().await;
    assert_eq!(ledger.puts(), ["w1-nic 200: 1 of ours", "w1-nic 200: 2 of ours"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_a_stranger_has_is_given_up() {
    let names = ["blog", "crm", "mail", "shop", "wiki"];
    let stage = furnished(&names).await;
    let mut ledger = Ledger::open(&stage, &["w1"]).await;
    // Somewhere that is not looked at, but in the subnet.
    let elsewhere = Place::new(SUBSCRIPTION, "elsewhere-rg", "eastus");
    let subnet = Place::new(SUBSCRIPTION, "network-rg", "eastus").id("Microsoft.Network/virtualNetworks", "ocp1-vnet");
    let theirs = stage.arm.add_nic(&elsewhere, "theirs", &format!("{subnet}/subnets/workers"), address("10.20.1.3"));
    ledger.watch(&theirs);
    let _operator = stage.operator().await;
    stage.serves(&names, 1).await;
    stage
        .cluster
        .becomes(expect![[r#"
        blog: egress, 10.20.1.2 on w1
        crm: egress, 10.20.1.4 on w1
        mail: egress, 10.20.1.5 on w1
        shop: egress, 10.20.1.6 on w1
        wiki: egress, 10.20.1.7 on w1
    "#]])
        .await;
    ledger.closes().await;
    expect![[r#"
        w1-nic 400: 5 of ours
        w1-nic 200: 5 of ours"#]]
    .assert_eq(&ledger.puts().join("\n"));
    // Whoever comes later does not get it either.
    stage.cluster.create([namespace("zoo").in_pool("egress")]).await;
    stage.serves(&["zoo"], 1).await;
    assert_ne!(stage.cluster.outcome().await.addresses_of("zoo"), ["10.20.1.3"]);
    ledger.closes().await;
    assert_eq!(stage.arm.addresses(&theirs)["ipconfig1"], "10.20.1.3");
}

/// Waits until somebody reads a machine's interface by itself, which is done before it is written.
async fn is_being_read(stage: &Stage, machine: &str) {
    eventually("the interface is being read", A_WHILE, || async {
        match stage.arm.count("GET", &format!("/networkInterfaces/{machine}-nic")) {
            0 => Err("nobody asks"),
            _ => Ok(()),
        }
    })
    .await;
}

/// Between its release by a dead machine's interface and its next one somebody else takes it.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_snatched_while_it_moves_is_replaced_and_told() {
    let machines = ["w1", "w2"];
    let stage = first_of(Stage::start().await, &machines).await;
    let mut ledger = Ledger::open(&stage, &machines).await;
    stage.cluster.furnish(["crm", "shop"].map(|name| namespace(name).in_pool("egress"))).await;
    let _operator = stage.operator().await;
    stage.serves(&["crm", "shop"], 1).await;
    open_the_others(&stage, &machines).await;
    stage.cluster.settled().await;
    let late = Fault::once("GET", "/networkInterfaces/w2-nic", Wrong::Slow(2_000_000));
    stage.arm.inject(late);
    stage.cluster.set_ready("w1", false).await;
    is_being_read(&stage, "w2").await;
    assert_eq!((stage.carried(&["w1"])["w1"].len(), stage.arm.is_busy(&stage.nic("w1"))), (0, false), "it is free");
    let network = Place::new(SUBSCRIPTION, "network-rg", "eastus").id("Microsoft.Network/virtualNetworks", "ocp1-vnet");
    let theirs = stage.arm.add_nic(&stage.place, "theirs", &format!("{network}/subnets/workers"), address("10.20.1.2"));
    ledger.watch(&theirs);
    stage.cluster.becomes(expect!["crm: egress, 10.20.1.4 on w2\nshop: egress, 10.20.1.3 on w2"]).await;
    stage.serves(&["crm", "shop"], 1).await;
    ledger.closes().await;
    let told = "Namespace crm: AddressesChanged: egress addresses changed from 10.20.1.2 to 10.20.1.4: 10.20.1.2: somebody else in the cloud has it, or it is given to nobody";
    let warnings = stage.cluster.warnings().await;
    assert!(warnings.contains(told), "{warnings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_between_reading_and_writing_is_merged() {
    let stage = furnished(&["shop"]).await;
    let mut ledger = Ledger::open(&stage, &["w1"]).await;
    let nic = stage.nic("w1");
    let late = Fault::once("GET", "/networkInterfaces/w1-nic", Wrong::Slow(2_000_000));
    stage.arm.inject(late);
    let _operator = stage.operator().await;
    is_being_read(&stage, "w1").await;
    stage.arm.join_pool(&nic, &stage.balancer("internal"));
    stage.arm.add_config(&nic, "person", address("10.20.7.7"));
    ledger.note("w1");
    stage.serves(&["shop"], 1).await;
    ledger.closes().await;
    assert_eq!(ledger.puts(), ["w1-nic 412: 1 of ours", "w1-nic 200: 1 of ours"]);
    expect![[r#"
        ipconfig1: internal
        person: 
        EgressIP10.20.1.2: internal"#]]
    .assert_eq(&stage.memberships("w1"));
    reads(expect![""], || stage.cluster.warnings()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_removes_comes_back() {
    let (stage, _operator) = serving(&["crm", "shop"]).await;
    let nic = stage.nic("w1");
    let mut ledger = Ledger::open(&stage, &["w1"]).await;
    stage.arm.clear_log();
    // A client that knows nothing of us writes what it read an hour ago, with a change of its own.
    stage.arm.edit(&nic, |nic| {
        let configs = nic["properties"]["ipConfigurations"].as_array_mut().expect("a list");
        configs.truncate(1);
        nic["tags"]["owner"] = json!("somebody");
    });
    ledger.note("w1");
    ledger.closes().await;
    stage.cluster.becomes(expect!["crm: egress, 10.20.1.2 on w1\nshop: egress, 10.20.1.3 on w1"]).await;
    stage.arm.remove_config(&nic, "EgressIP10.20.1.3");
    ledger.closes().await;
    assert_eq!(ledger.puts(), ["w1-nic 200: 2 of ours", "w1-nic 200: 2 of ours"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_others_are_not_handed_out() {
    let stage = furnished(&["crm", "shop"]).await;
    stage.machine("w2", 1, 9).await;
    let (w1, w2) = (stage.nic("w1"), stage.nic("w2"));
    stage.arm.cncc_assign(&w1, "w1", address("10.20.1.2"));
    stage.arm.add_config(&w2, "person", address("10.20.1.4"));
    stage.arm.add_config(&w2, "EgressIPnot", address("10.20.1.5"));
    stage.arm.add_nic(
        &stage.place,
        "printer",
        &format!(
            "{}/subnets/workers",
            Place::new(SUBSCRIPTION, "network-rg", "eastus").id("Microsoft.Network/virtualNetworks", "ocp1-vnet")
        ),
        address("10.20.1.6"),
    );
    let mut ledger = Ledger::open(&stage, &["w1", "w2"]).await;
    ledger.watch(&stage.place.id("Microsoft.Network/networkInterfaces", "printer"));
    let _operator = stage.operator().await;
    stage.serves(&["crm", "shop"], 1).await;
    let outcome = stage.cluster.outcome().await;
    assert_eq!(["crm", "shop"].map(|name| outcome.addresses_of(name).join(" ")), ["10.20.1.3", "10.20.1.7"]);
    ledger.closes().await;
    // Nobody gets one by asking for it.
    stage.cluster.create([namespace("bold").in_pool("egress").requesting("10.20.1.4")]).await;
    reads(expect!["bold: request-taken: 10.20.1.4 belongs to somebody else"], || stage.cluster.holds()).await;
    ledger.is_untouched();
    stage.arm.remove_config(&w2, "person");
    ledger.note("w2");
    stage.serves(&["bold"], 1).await;
    ledger.closes().await;
    assert_eq!(stage.cluster.outcome().await.addresses_of("bold"), ["10.20.1.4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_carried_whatever_its_configuration_is_called() {
    let (stage, _operator) = serving(&["shop"]).await;
    let nic = stage.nic("w1");
    let mut ledger = Ledger::open(&stage, &["w1"]).await;
    stage.arm.clear_log();
    stage.arm.edit(&nic, |nic| {
        nic["properties"]["ipConfigurations"][1]["name"] = json!("w1_10.20.1.2");
    });
    ledger.note("w1");
    let asked = stage.arm.count("GET", "networkInterfaces");
    eventually("the interfaces are listed again, and more than once", A_WHILE, || async {
        let now = stage.arm.count("GET", "networkInterfaces");
        if now > asked + 2 { Ok(()) } else { Err(format!("{now}, {asked} before")) }
    })
    .await;
    ledger.closes().await;
    assert_eq!(ledger.puts(), [""; 0]);
    stage.cluster.becomes(expect!["shop: egress, 10.20.1.2 on w1"]).await;
}
