//! Several addresses of a namespace in one zone.

use std::collections::BTreeSet;

use sluice_sandbox_azure::{Settings, Span};

use super::ledger::Ledger;
use super::stage::{A_WHILE, Stage};
use crate::harness::{Launch, eventually, namespace, pool};

const MACHINES: [&str; 5] = ["w1", "w2", "w3", "w4", "w5"];

/// Five machines in one zone, a range for the whole pool, and a namespace that is to get so many addresses of it.
async fn one_zone(settings: Settings) -> Stage {
    let stage = Stage::with(settings).await;
    stage.machines(&MACHINES.map(|name| (name, 1))).await;
    stage.cluster.furnish([pool("egress").set("spec.cidr", "10.20.8.0/24")]).await;
    stage.cluster.furnish([namespace("shop").in_pool("egress")]).await;
    stage
}

/// An operator that gives each namespace so many addresses, and the folder with its settings.
fn giving(stage: &Stage, addresses: usize) -> (Launch, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = folder.path().join("settings.json");
    std::fs::write(&settings, format!(r#"{{"addressesPerOwner": {addresses}}}"#)).expect("the folder is writable");
    let launch = stage.launch().args(&["--settings", settings.to_str().expect("a path in UTF-8")]);
    (launch.env("POD_NAME", "sluice-0"), folder)
}

fn quick() -> Settings {
    Settings { scale: 1000, duration: Span::Fixed(71_000), ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_addresses_take_as_many_writes_of_interfaces() {
    let stage = one_zone(quick()).await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    let (launch, _settings) = giving(&stage, 2);
    let operator = launch.start().await;
    stage.serves(&["shop"], 2).await;
    ledger.closes().await;
    let puts = ledger.puts();
    assert_eq!(puts.len(), 2, "{puts:?}");
    assert!(puts.iter().all(|put| put.ends_with(" 200: 1 of ours")), "{puts:?}");
    operator.stop().await;

    // Two more beside them.
    let before: BTreeSet<String> = stage.cluster.outcome().await.addresses_of("shop").iter().cloned().collect();
    stage.arm.clear_log();
    let (launch, _settings) = giving(&stage, 4);
    let _operator = launch.start().await;
    stage.serves(&["shop"], 4).await;
    ledger.closes().await;
    let after: BTreeSet<String> = stage.cluster.outcome().await.addresses_of("shop").iter().cloned().collect();
    assert!(after.is_superset(&before), "{before:?}, then {after:?}");
    assert_eq!(ledger.puts().len(), 2, "{:?}", ledger.puts());
}

/// What is arriving is known in memory only: who starts again finds addresses of nobody, and comes to an end.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_killed_while_they_arrive_finishes() {
    // Two real seconds for an update.
    let slow = Settings { duration: Span::Fixed(2_000_000), ..quick() };
    let stage = one_zone(slow).await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    let (launch, _settings) = giving(&stage, 3);
    let operator = launch.start().await;
    eventually("three interfaces are being written", A_WHILE, || async {
        let busy = MACHINES.iter().filter(|name| stage.arm.is_busy(&stage.nic(name))).count();
        if busy == 3 { Ok(()) } else { Err(format!("{busy}")) }
    })
    .await;
    operator.kill();
    stage.arm.configure(|settings| settings.duration = Span::Fixed(71_000));
    let (launch, _settings) = giving(&stage, 3);
    let _operator = launch.start().await;
    stage.serves(&["shop"], 3).await;
    ledger.closes().await;
}
