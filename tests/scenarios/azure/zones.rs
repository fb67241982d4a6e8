//! Zones with several machines that fail as a whole, and updates that take as long as they take.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::expect;
use sluice_sandbox_azure::{Settings, Span};

use super::ledger::Ledger;
use super::moves::{first_of, is_emptied, open_the_others};
use super::stage::{A_WHILE, Stage};
use crate::harness::{Operator, eventually, namespace, reads};

const MACHINES: [&str; 6] = ["a1", "a2", "b1", "b2", "c1", "c2"];
const OWNERS: [&str; 3] = ["crm", "shop", "wiki"];

/// Addresses of ours, by machine.
type Carried = BTreeMap<String, BTreeSet<String>>;

/// Three zones with two machines each, and all owners served.
async fn serving(failover: &str) -> (Stage, Operator) {
    let stage = Stage::start().await;
    stage.machines(&[("a1", 1), ("a2", 1), ("b1", 2), ("b2", 2), ("c1", 3), ("c2", 3)]).await;
    let egress = Stage::three_zones().set("spec.zoneFailover", failover);
    let owners = OWNERS.map(|name| namespace(name).in_pool("egress"));
    stage.cluster.furnish([egress].into_iter().chain(owners)).await;
    let operator = stage.operator().await;
    stage.serves(&OWNERS, 3).await;
    stage.cluster.settled().await;
    stage.arm.clear_log();
    (stage, operator)
}

/// The machines of zone 3 are down, or up, at once: whoever looks sees all of them so.
async fn third_zone(stage: &Stage, operator: Operator, ready: bool) -> Operator {
    operator.stop().await;
    for machine in ["c1", "c2"] {
        stage.cluster.set_ready(machine, ready).await;
    }
    stage.operator().await
}

/// Waits until all owners are told that zone 3 has nobody to carry their addresses.
async fn owners_are_held(stage: &Stage) {
    reads(
        expect![[r#"
            crm: no-node: all nodes that may carry it are not ready: c1, c2 (zone eastus-3)
            shop: no-node: all nodes that may carry it are not ready: c1, c2 (zone eastus-3)
            wiki: no-node: all nodes that may carry it are not ready: c1, c2 (zone eastus-3)"#]],
        || stage.cluster.holds(),
    )
    .await;
}

/// How often each interface was written; each time with success.
fn writes(ledger: &Ledger<'_>) -> BTreeMap<String, usize> {
    let mut writes = BTreeMap::new();
    for put in ledger.puts() {
        let (nic, rest) = put.split_once("-nic ").expect("an interface");
        assert!(rest.starts_with("200: "), "{put}");
        *writes.entry(nic.to_owned()).or_default() += 1;
    }
    writes
}

/// The machines whose interfaces differ.
fn touched(before: &Carried, after: &Carried) -> BTreeSet<String> {
    before.keys().filter(|machine| before[*machine] != after[*machine]).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_of_a_zone_that_is_down_are_held_and_nothing_is_written() {
    let (stage, operator) = serving("Same").await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    let before = stage.carried(&MACHINES);
    let placed = stage.cluster.outcome().await.to_string();
    let operator = third_zone(&stage, operator, false).await;
    owners_are_held(&stage).await;
    ledger.closes().await;
    let _operator = third_zone(&stage, operator, true).await;
    reads(expect![""], || stage.cluster.holds()).await;
    ledger.closes().await;
    assert_eq!(stage.cluster.outcome().await.to_string(), placed);
    assert_eq!((stage.carried(&MACHINES), ledger.puts()), (before, Vec::new()), "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_a_zone_that_is_down_leave_it_and_others_stay() {
    let (stage, operator) = serving("Any").await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    let before = stage.carried(&MACHINES);
    let moving = before["c1"].union(&before["c2"]).count();
    assert_eq!((moving, before["c1"].is_empty() || before["c2"].is_empty()), (3, false), "{before:?}");
    let _operator = third_zone(&stage, operator, false).await;
    eventually("the zone is empty", A_WHILE, || async {
        let carried = stage.carried(&["c1", "c2"]);
        if carried.values().all(BTreeSet::is_empty) { Ok(()) } else { Err(format!("{carried:?}")) }
    })
    .await;
    stage.serves(&OWNERS, 3).await;
    reads(expect![""], || stage.cluster.holds()).await;
    ledger.closes().await;
    let after = stage.carried(&MACHINES);
    for machine in ["a1", "a2", "b1", "b2"] {
        assert!(after[machine].is_superset(&before[machine]), "{machine}: {before:?}, then {after:?}");
    }
    let writes = writes(&ledger);
    assert_eq!(writes.keys().cloned().collect::<BTreeSet<_>>(), touched(&before, &after), "no other is written");
    for (machine, count) in &writes {
        // Who gets addresses of both machines gets those of the second one later if that is freed later.
        let most = if machine.starts_with('c') { 1 } else { 2 };
        assert!(*count <= most, "{writes:?}");
    }
}

/// What the first machine carried is off its interface already when the second one fails: it is nowhere for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_fails_machine_by_machine_is_served_again_when_it_returns() {
    let (stage, _operator) = serving("Same").await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    let before = stage.cluster.outcome().await;
    // Two real seconds for an update.
    stage.arm.configure(|settings| settings.duration = Span::Fixed(2_000_000));
    stage.cluster.set_ready("c1", false).await;
    eventually("the first one is being freed", A_WHILE, || async {
        if stage.arm.is_busy(&stage.nic("c1")) { Ok(()) } else { Err("it is not") }
    })
    .await;
    stage.cluster.set_ready("c2", false).await;
    owners_are_held(&stage).await;
    stage.arm.configure(|settings| settings.duration = Span::Fixed(71_000));
    eventually("the first one is free", A_WHILE, || async {
        let carried = stage.carried(&["c1", "c2"]);
        let is_so = carried["c1"].is_empty() && !carried["c2"].is_empty() && !stage.arm.is_busy(&stage.nic("c1"));
        if is_so { Ok(()) } else { Err(format!("{carried:?}")) }
    })
    .await;
    for machine in ["c1", "c2"] {
        stage.cluster.set_ready(machine, true).await;
    }
    stage.serves(&OWNERS, 3).await;
    reads(expect![""], || stage.cluster.holds()).await;
    ledger.closes().await;
    let after = stage.cluster.outcome().await;
    for name in OWNERS {
        assert_eq!(after.addresses_of(name), before.addresses_of(name), "{name}");
    }
}

/// Each update takes as long as Azure's do: 30 s to 198 s, and none as long as another.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_move_however_long_each_update_takes() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let settings = Settings { seed, duration: Span::Drawn, ..Settings::default() };
    let machines = ["w1", "w2", "w3", "w4"];
    let stage = first_of(Stage::with(settings).await, &machines).await;
    let ledger = Ledger::open(&stage, &machines).await;
    let names: Vec<String> = (0..12).map(|number| format!("shop-{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stage.cluster.furnish(names.iter().map(|name| namespace(name).in_pool("egress"))).await;
    let _operator = stage.operator().await;
    stage.serves(&names, 1).await;
    ledger.closes().await;
    let before = stage.cluster.outcome().await;
    open_the_others(&stage, &machines).await;
    stage.cluster.settled().await;
    stage.arm.clear_log();

    let began = stage.arm.clock().now();
    stage.cluster.set_ready("w1", false).await;
    is_emptied(&stage, "w1").await;
    stage.serves(&names, 1).await;
    let passed = (stage.arm.clock().now() - began) / 1000;
    assert!(passed >= 2 * 30, "{passed} s: two updates, one after the other");
    let mut puts = ledger.puts();
    puts.sort();
    let wanted = ["w1-nic 200: 0 of ours", "w2-nic 200: 4 of ours", "w3-nic 200: 4 of ours", "w4-nic 200: 4 of ours"];
    assert_eq!(puts, wanted);
    let outcome = stage.cluster.outcome().await;
    for name in &names {
        assert_eq!(outcome.addresses_of(name), before.addresses_of(name), "{name}");
    }
    ledger.closes().await;
}
