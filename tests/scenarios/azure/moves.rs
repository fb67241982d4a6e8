//! Nodes and zones that fail: addresses go from interface to interface.

use expect_test::expect;
use sluice_sandbox_azure::{Nics, Settings, Span};

use super::ledger::Ledger;
use super::stage::{A_WHILE, Stage};
use crate::harness::{Object, Operator, eventually, namespace, pool, reads};

/// A pool in one zone.
fn one_zone() -> Object {
    pool("egress").range("eastus-1", "10.20.1.0/24")
}

/// Machines in zone 1 with interfaces; all but the first are cordoned.
pub(super) async fn first_of(stage: Stage, machines: &[&str]) -> Stage {
    stage.machines(&machines.iter().map(|name| (*name, 1)).collect::<Vec<_>>()).await;
    for name in machines.iter().skip(1) {
        stage.cluster.set_cordoned(name, true).await;
    }
    stage.cluster.create([one_zone()]).await;
    stage
}

/// Opens all machines but the first to addresses.
pub(super) async fn open_the_others(stage: &Stage, machines: &[&str]) {
    for name in machines.iter().skip(1) {
        stage.cluster.set_cordoned(name, false).await;
    }
    let count = u64::try_from(machines.len()).expect("few machines");
    stage.cluster.zone_has("egress", "eastus-1", count, count).await;
}

/// Waits until none of ours is on a machine's interface.
pub(super) async fn is_emptied(stage: &Stage, machine: &str) {
    eventually(&format!("{machine} is empty"), A_WHILE, || async {
        let left = stage.carried(&[machine])[machine].len();
        if left == 0 { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_addresses_leave_a_dead_node_in_one_write() {
    let machines = ["w1", "w2", "w3", "w4"];
    let stage = first_of(Stage::start().await, &machines).await;
    let ledger = Ledger::open(&stage, &machines).await;
    let names: Vec<String> = (0..100).map(|number| format!("shop-{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stage.cluster.furnish(names.iter().map(|name| namespace(name).in_pool("egress"))).await;
    let _operator = stage.operator().await;
    stage.serves(&names, 1).await;
    assert_eq!(stage.carried(&["w1"])["w1"].len(), 100);
    let before = held(&stage).await;
    open_the_others(&stage, &machines).await;
    stage.cluster.settled().await;
    stage.arm.clear_log();

    stage.cluster.set_ready("w1", false).await;
    is_emptied(&stage, "w1").await;
    stage.serves(&names, 1).await;
    let mut puts = ledger.puts();
    assert_eq!(puts.remove(0), "w1-nic 200: 0 of ours", "first all go off, at once");
    let mut targets: Vec<(&str, &str)> = puts.iter().filter_map(|put| put.split_once(' ')).collect();
    targets.sort_unstable();
    let (nics, mut counts): (Vec<&str>, Vec<&str>) = targets.into_iter().unzip();
    counts.sort_unstable();
    assert_eq!(nics, ["w2-nic", "w3-nic", "w4-nic"], "then each interface gets its share, at once");
    assert_eq!(counts, ["200: 33 of ours", "200: 33 of ours", "200: 34 of ours"]);
    assert_eq!(held(&stage).await, before, "everybody holds what he held");
    ledger.closes().await;
}

/// Who holds what.
async fn held(stage: &Stage) -> Vec<(String, Vec<String>)> {
    let outcome = stage.cluster.outcome().await;
    outcome.namespaces.iter().map(|(name, state)| (name.clone(), state.addresses().to_vec())).collect()
}

/// Azure may take minutes until an address that one interface gave back may be put onto another one.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_azure_is_slow_to_give_back_is_waited_for() {
    // Updates take as long as the median, and some minutes more pass before an address is free.
    let settings =
        Settings { scale: 200, duration: Span::Fixed(71_000), release_lag_ms: 240_000, ..Settings::default() };
    let machines = ["w1", "w2"];
    let stage = first_of(Stage::with(settings).await, &machines).await;
    let ledger = Ledger::open(&stage, &machines).await;
    stage.cluster.furnish(["crm", "shop"].map(|name| namespace(name).in_pool("egress"))).await;
    let _operator = stage.operator().await;
    stage.serves(&["crm", "shop"], 1).await;
    open_the_others(&stage, &machines).await;
    stage.cluster.settled().await;
    stage.arm.clear_log();
    let began = stage.arm.clock().now();
    stage.cluster.set_ready("w1", false).await;
    stage.cluster.becomes(expect!["crm: egress, 10.20.1.2 on w2\nshop: egress, 10.20.1.3 on w2"]).await;
    stage.serves(&["crm", "shop"], 1).await;
    let passed = (stage.arm.clock().now() - began) / 1000;
    assert!(passed >= 240, "{passed} s");
    let refused = ledger.puts().iter().filter(|put| put.starts_with("w2-nic 400")).count();
    assert!((1..=60).contains(&refused), "{:?}", ledger.puts());
    let warnings = stage.cluster.warnings().await;
    assert!(!warnings.contains("AddressesChanged"), "{warnings}");
    stage.tells(&["Ready=True"]).await;
    ledger.closes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_takes_over_looks_at_the_cloud_first() {
    // Slow enough that the lists that the standby read before the move are its last ones.
    let settings = Settings { scale: 50, duration: Span::Fixed(30_000), ..Settings::default() };
    let machines = ["w1", "w2"];
    let stage = first_of(Stage::with(settings).await, &machines).await;
    let ledger = Ledger::open(&stage, &machines).await;
    stage.cluster.furnish([namespace("shop").in_pool("egress")]).await;
    let leader = stage.launch().env("POD_NAME", "sluice-0").start().await;
    stage.serves(&["shop"], 1).await;
    stage.cluster.becomes(expect!["shop: egress, 10.20.1.2 on w1"]).await;
    let standby = stage.launch().env("POD_NAME", "sluice-1").start().await;
    eventually("the standby has read the cloud", A_WHILE, || async {
        let capacity = standby.metric_sum("egressip_ip_capacity").await;
        if capacity > 0.0 { Ok(()) } else { Err("it has not") }
    })
    .await;
    stage.cluster.set_cordoned("w2", false).await;
    stage.cluster.set_ready("w1", false).await;
    stage.cluster.becomes(expect!["shop: egress, 10.20.1.2 on w2"]).await;
    stage.serves(&["shop"], 1).await;
    stage.cluster.set_ready("w1", true).await;
    stage.cluster.zone_has("egress", "eastus-1", 2, 2).await;
    let mark = stage.cluster.audit().mark().await;
    stage.arm.clear_log();
    leader.stop().await;
    eventually("the standby leads and has looked again", A_WHILE, || async {
        let (looked, leads) = (stage.arm.count("GET", "networkInterfaces"), standby.metric("sluice_leader").await);
        if looked > 0 && leads == Some(1.0) { Ok(()) } else { Err(format!("{looked} looks, {leads:?}")) }
    })
    .await;
    ledger.closes().await;
    let written = stage.cluster.written_since(mark).await.except(&["leases", "events", "egressipams/status"]);
    assert_eq!((ledger.puts(), written.to_string().as_str()), (Vec::new(), ""), "all is well already");
    assert_eq!(stage.cluster.outcome().await.nodes_of("10.20.1.2"), ["w2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_released_although_its_node_object_is_gone() {
    let machines = ["w1", "w2"];
    let stage = first_of(Stage::start().await, &machines).await;
    let ledger = Ledger::open(&stage, &machines).await;
    stage.cluster.furnish(["crm", "shop"].map(|name| namespace(name).in_pool("egress"))).await;
    let _operator = stage.operator().await;
    stage.serves(&["crm", "shop"], 1).await;
    open_the_others(&stage, &machines).await;
    stage.cluster.settled().await;
    stage.arm.clear_log();
    stage.cluster.delete("Node", "w1").await;
    stage.cluster.becomes(expect!["crm: egress, 10.20.1.2 on w2\nshop: egress, 10.20.1.3 on w2"]).await;
    stage.serves(&["crm", "shop"], 1).await;
    assert_eq!(ledger.puts(), ["w1-nic 200: 0 of ours", "w2-nic 200: 2 of ours"]);
    ledger.closes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_may_be_deleted_with_its_interface_or_without() {
    let machines = ["w1", "w2", "w3"];
    let stage = first_of(Stage::start().await, &machines).await;
    let mut ledger = Ledger::open(&stage, &machines).await;
    stage.cluster.furnish(["crm", "shop"].map(|name| namespace(name).in_pool("egress"))).await;
    let _operator = stage.operator().await;
    stage.serves(&["crm", "shop"], 1).await;
    stage.cluster.set_cordoned("w2", false).await;
    stage.cluster.zone_has("egress", "eastus-1", 3, 2).await;
    stage.arm.delete_machine(&stage.place.id("Microsoft.Compute/virtualMachines", "w1"), Nics::Kept);
    ledger.note("w1");
    stage.cluster.delete("Node", "w1").await;
    stage.cluster.becomes(expect!["crm: egress, 10.20.1.2 on w2\nshop: egress, 10.20.1.3 on w2"]).await;
    ledger.closes().await;
    stage.cluster.set_cordoned("w3", false).await;
    stage.arm.delete_machine(&stage.place.id("Microsoft.Compute/virtualMachines", "w2"), Nics::Deleted);
    ledger.forget("w2");
    stage.cluster.delete("Node", "w2").await;
    stage.cluster.becomes(expect!["crm: egress, 10.20.1.2 on w3\nshop: egress, 10.20.1.3 on w3"]).await;
    ledger.closes().await;
}

/// Three zones with a machine each, namespace `shop` on all of them, and a machine in zone 1 that has nothing.
async fn spare_in_the_first_zone(failover: &str) -> (Stage, Operator) {
    let stage = Stage::start().await;
    stage.machines(&[("w1", 1), ("w2", 2), ("w3", 3), ("spare", 1)]).await;
    stage.cluster.set_cordoned("spare", true).await;
    let egress = Stage::three_zones().set("spec.zoneFailover", failover);
    stage.cluster.furnish([egress, namespace("shop").in_pool("egress")]).await;
    let operator = stage.operator().await;
    stage.serves(&["shop"], 3).await;
    stage.cluster.set_cordoned("spare", false).await;
    stage.cluster.settled().await;
    stage.arm.clear_log();
    (stage, operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_is_down_keeps_its_addresses() {
    let (stage, _operator) = spare_in_the_first_zone("Same").await;
    let ledger = Ledger::open(&stage, &["w1", "w2", "w3", "spare"]).await;
    stage.cluster.set_ready("w3", false).await;
    reads(expect!["shop: no-node: all nodes that may carry it are not ready: w3 (zone eastus-3)"], || {
        stage.cluster.holds()
    })
    .await;
    reads(expect!["Namespace shop: NoNode: zone eastus-3: all nodes that may carry it are not ready: w3"], || {
        stage.cluster.warnings()
    })
    .await;
    ledger.closes().await;
    let placed = "shop: egress, 10.20.1.2 on w1, 10.20.2.2 on w2, 10.20.3.2 on w3\n";
    assert_eq!(stage.cluster.outcome().await.to_string(), placed);
    stage.cluster.set_ready("w3", true).await;
    reads(expect![""], || stage.cluster.holds()).await;
    ledger.closes().await;
    assert_eq!(stage.cluster.outcome().await.to_string(), placed);
    assert_eq!(ledger.puts(), [""; 0], "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_leave_their_zone_where_the_pool_allows_it() {
    let (stage, _operator) = spare_in_the_first_zone("Any").await;
    let ledger = Ledger::open(&stage, &["w1", "w2", "w3", "spare"]).await;
    stage.cluster.set_ready("w3", false).await;
    stage.cluster.becomes(expect!["shop: egress, 10.20.1.2 on w1, 10.20.2.2 on w2, 10.20.3.2 on spare"]).await;
    reads(expect![""], || stage.cluster.holds()).await;
    ledger.closes().await;
    // It does not come back by itself, but may when it has to move again.
    stage.cluster.set_ready("w3", true).await;
    stage.cluster.zone_has("egress", "eastus-3", 1, 1).await;
    stage.cluster.settled().await;
    stage.cluster.set_ready("spare", false).await;
    stage.cluster.becomes(expect!["shop: egress, 10.20.1.2 on w1, 10.20.2.2 on w2, 10.20.3.2 on w3"]).await;
    ledger.closes().await;
    let puts =
        ["w3-nic 200: 0 of ours", "spare-nic 200: 1 of ours", "spare-nic 200: 0 of ours", "w3-nic 200: 1 of ours"];
    assert_eq!(ledger.puts(), puts);
}
