//! The everyday life of addresses: they come, move, go.

use expect_test::expect;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use sluice_sandbox_azure::{Settings, Span};

use super::ledger::Ledger;
use super::stage::{A_WHILE, Stage};
use crate::harness::{eventually, namespace, peer_lock};

#[tokio::test(flavor = "multi_thread")]
async fn three_zones_share_a_subnet() {
    let stage = Stage::start().await;
    stage.machines(&[("w1", 1), ("w2", 2), ("w3", 3)]).await;
    let ledger = Ledger::open(&stage, &["w1", "w2", "w3"]).await;
    stage.cluster.create([Stage::three_zones(), namespace("shop").in_pool("egress")]).await;
    let _operator = stage.operator().await;
    stage.serves(&["shop"], 3).await;
    stage.cluster.becomes(expect!["shop: egress, 10.20.1.2 on w1, 10.20.2.2 on w2, 10.20.3.2 on w3"]).await;
    assert_eq!(stage.arm.count("PUT", "networkInterfaces"), 3, "one for each address");
    ledger.closes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_of_an_address_before_its_interface_has_it() {
    // Two real seconds for an update.
    let settings = Settings { duration: Span::Fixed(2_000_000), ..Settings::default() };
    let stage = Stage::with(settings).await;
    let machines = ["w1", "w2", "w3"];
    stage.machines(&[("w1", 1), ("w2", 2), ("w3", 3)]).await;
    let ledger = Ledger::open(&stage, &machines).await;
    stage.cluster.furnish([Stage::three_zones(), namespace("shop").in_pool("egress")]).await;
    let _operator = stage.operator().await;
    eventually("all interfaces are being written", A_WHILE, || async {
        let idle: Vec<&&str> = machines.iter().filter(|name| !stage.arm.is_busy(&stage.nic(name))).collect();
        if idle.is_empty() { Ok(()) } else { Err(format!("{idle:?}")) }
    })
    .await;
    assert_eq!(ledger.transcript().await, "", "nobody knows yet");
    stage.serves(&["shop"], 3).await;
    let transcript = ledger.transcript().await;
    let at = |kind: &str| transcript.lines().position(|line| line.starts_with(kind));
    assert!(at("HostSubnet ") < at("NetNamespace ") && at("NetNamespace ") < at("Namespace "), "{transcript}");
    ledger.closes().await;
}

/// R17: interfaces have no writer's name on them, so that only the lock keeps two operators apart.
#[tokio::test(flavor = "multi_thread")]
async fn no_interface_is_written_while_the_old_operator_holds_its_lock() {
    let stage = Stage::start().await;
    let machines = ["w1", "w2", "w3"];
    stage.machines(&[("w1", 1), ("w2", 2), ("w3", 3)]).await;
    let ledger = Ledger::open(&stage, &machines).await;
    // It is held for fifteen seconds from when it is seen, if it has not run out by then.
    let until = Timestamp::now() + SignedDuration::from_secs(14);
    let lock = peer_lock(until - SignedDuration::from_secs(15));
    stage.cluster.create([lock, Stage::three_zones(), namespace("shop").in_pool("egress")]).await;
    let operator = stage.operator().await;
    eventually("the lock runs out", A_WHILE, || async {
        if Timestamp::now() >= until {
            return Ok(());
        }
        assert_eq!(stage.arm.count("PUT", "networkInterfaces"), 0, "written while the lock is held");
        Err(format!("held until {until}, planned {:?}", operator.metric("sluice_rounds_total").await))
    })
    .await;
    assert!(stage.arm.count("GET", "networkInterfaces") > 0, "it reads meanwhile");
    stage.serves(&["shop"], 3).await;
    assert_eq!(stage.arm.count("PUT", "networkInterfaces"), 3, "one for each address");
    ledger.closes().await;
}
