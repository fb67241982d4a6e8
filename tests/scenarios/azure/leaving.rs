//! Who leaves: an interface is freed before anybody is told so.

use std::collections::BTreeSet;

use expect_test::expect;
use sluice_sandbox_azure::Span;

use super::ledger::Ledger;
use super::stage::{A_WHILE, Stage};
use crate::harness::{ADDRESSES_ANNOTATION, FINALIZER, Operator, eventually, namespace, pool};

const MACHINES: [&str; 2] = ["w1", "w2"];

/// Two zones, and these namespaces served, in a cloud whose updates take two real seconds from now on.
async fn serving(namespaces: &[&str]) -> (Stage, Operator) {
    let stage = Stage::start().await;
    stage.machines(&[("w1", 1), ("w2", 2)]).await;
    let egress = pool("egress").range("eastus-1", "10.20.1.0/24").range("eastus-2", "10.20.2.0/24");
    let namespaces_of = namespaces.iter().map(|name| namespace(name).in_pool("egress"));
    stage.cluster.furnish([egress].into_iter().chain(namespaces_of)).await;
    let operator = incarnation(&stage).await;
    stage.serves(namespaces, 2).await;
    stage.cluster.settled().await;
    stage.arm.configure(|settings| settings.duration = Span::Fixed(2_000_000));
    stage.arm.clear_log();
    (stage, operator)
}

/// An operator: the same container of the same pod each time, so that the lease is its own at once.
async fn incarnation(stage: &Stage) -> Operator {
    stage.launch().env("POD_NAME", "sluice-0").start().await
}

impl Stage {
    /// Addresses of ours, and interfaces that are being updated.
    fn left(&self) -> (BTreeSet<String>, Vec<&str>) {
        let carried = self.carried(&MACHINES).into_values().flatten().collect();
        let busy = MACHINES.into_iter().filter(|machine| self.arm.is_busy(&self.nic(machine)));
        (carried, busy.collect())
    }

    /// The finalizers of the pool, unless it is gone.
    async fn finalizers(&self) -> Option<String> {
        let pool = self.cluster.get("EgressIPAM", "egress").await?;
        Some(pool.metadata.finalizers.unwrap_or_default().join(","))
    }

    /// Waits until all interfaces are being updated.
    async fn all_are_busy(&self) {
        eventually("both interfaces are being updated", A_WHILE, || async {
            let (carried, busy) = self.left();
            if busy == MACHINES { Ok(()) } else { Err(format!("{busy:?} are, {carried:?} are carried")) }
        })
        .await;
    }

    /// Waits until nothing is left to tell of somebody, and sees that nothing of his was in the cloud any more by then.
    async fn is_told_last<F: Future<Output = Option<String>>>(&self, stays: usize, told: impl Fn() -> F) {
        eventually("it is told", A_WHILE, || async {
            let seen = told().await;
            if let Some(seen) = seen {
                return Err(seen);
            }
            let (carried, busy) = self.left();
            assert_eq!((carried.len(), busy.as_slice()), (stays, [].as_slice()), "it was told too early: {carried:?}");
            Ok(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opts_out_is_told_when_the_interfaces_are_free() {
    let (stage, _operator) = serving(&["crm", "shop"]).await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    stage.cluster.opt_in("shop", None).await;
    stage.all_are_busy().await;
    let annotated = || stage.cluster.annotation_of("Namespace", "shop", ADDRESSES_ANNOTATION);
    assert_eq!(annotated().await.as_deref(), Some("10.20.1.3,10.20.2.3"), "it stays while they are being freed");
    assert_eq!(stage.cluster.outcome().await.addresses_of("shop"), [""; 0], "nobody uses them any more");
    stage.is_told_last(2, annotated).await;
    stage.cluster.becomes(expect!["crm: egress, 10.20.1.2 on w1, 10.20.2.2 on w2\nshop: -"]).await;
    ledger.closes().await;
    let mut puts = ledger.puts();
    puts.sort();
    assert_eq!(puts, ["w1-nic 200: 1 of ours", "w2-nic 200: 1 of ours"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pool_goes_when_the_interfaces_are_free() {
    let (stage, _operator) = serving(&["crm", "shop"]).await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    stage.cluster.delete("EgressIPAM", "egress").await;
    stage.all_are_busy().await;
    let finalizers = || stage.finalizers();
    assert_eq!(finalizers().await.as_deref(), Some(FINALIZER), "it stays while they are being freed");
    stage.is_told_last(0, finalizers).await;
    ledger.closes().await;
    let mut puts = ledger.puts();
    puts.sort();
    assert_eq!(puts, ["w1-nic 200: 0 of ours", "w2-nic 200: 0 of ours"]);
    stage.cluster.becomes(expect!["crm: egress\nshop: egress"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_while_interfaces_are_freed_tells_nobody_too_early() {
    let (stage, operator) = serving(&["crm", "shop", "till"]).await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    stage.arm.configure(|settings| settings.duration = Span::Fixed(6_000_000));
    stage.cluster.opt_in("shop", None).await;
    stage.all_are_busy().await;
    operator.kill();
    // Azure shows what is being freed no more, and the one who knew of it is dead.
    assert_eq!(stage.left().0.len(), 4);
    let operator = incarnation(&stage).await;
    let annotated = || stage.cluster.annotation_of("Namespace", "shop", ADDRESSES_ANNOTATION);
    stage.is_told_last(4, annotated).await;
    ledger.closes().await;

    let puts = ledger.puts().len();
    stage.cluster.delete("EgressIPAM", "egress").await;
    stage.all_are_busy().await;
    operator.kill();
    let _operator = incarnation(&stage).await;
    let finalizers = || stage.finalizers();
    stage.is_told_last(0, finalizers).await;
    ledger.closes().await;
    assert_eq!(ledger.puts().len(), puts + 2, "each interface is freed once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_namespace_leaves_nothing_behind() {
    let (stage, _operator) = serving(&["crm", "shop"]).await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    stage.cluster.delete("Namespace", "shop").await;
    stage.cluster.becomes(expect!["crm: egress, 10.20.1.2 on w1, 10.20.2.2 on w2"]).await;
    ledger.closes().await;
    let mut puts = ledger.puts();
    puts.sort();
    assert_eq!(puts, ["w1-nic 200: 1 of ours", "w2-nic 200: 1 of ours"]);
    // Its addresses are free again, for somebody else.
    stage.cluster.create([namespace("wiki").in_pool("egress")]).await;
    stage.serves(&["crm", "wiki"], 2).await;
    assert_eq!(stage.cluster.outcome().await.addresses_of("wiki"), ["10.20.1.3", "10.20.2.3"]);
    ledger.closes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_freed_is_not_handed_out() {
    let (stage, _operator) = serving(&["crm", "shop"]).await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    stage.cluster.opt_in("shop", None).await;
    stage.all_are_busy().await;
    stage.cluster.create([namespace("wiki").in_pool("egress")]).await;
    stage.serves(&["crm", "wiki"], 2).await;
    ledger.closes().await;
    let refused: Vec<String> = ledger.puts().into_iter().filter(|put| !put.contains(" 200: ")).collect();
    assert_eq!(refused, [""; 0], "azure never had to refuse anything");
}
