//! More interfaces at once than Azure allows writes: we wait on our side, so that it never has to refuse.

use std::time::Duration;

use sluice_sandbox_azure::{Settings, Span};

use super::ledger::Ledger;
use super::stage::Stage;
use crate::harness::{NamespaceState, eventually, namespace, pool};

/// Azure allows 200 writes at once, and ten in each second after that.
const COUNT: usize = 220;
const LONG: Duration = Duration::from_mins(2);

/// In a cloud that is quick, so that its limits are what there is to wait for, and at a pace at which we could exceed
/// them many times over.
fn quick() -> Settings {
    Settings {
        scale: 5,
        duration: Span::Fixed(500),
        put_retry_after: Some(1),
        poll_retry_after: Some(1),
        ..Settings::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_never_has_to_say_that_there_are_too_many_requests() {
    let stage = Stage::with(quick()).await;
    let names: Vec<String> = (0..COUNT).map(|number| format!("w{number:03}")).collect();
    let machines: Vec<&str> = names.iter().map(String::as_str).collect();
    stage.machines(&machines.iter().map(|name| (*name, 1)).collect::<Vec<_>>()).await;
    let ledger = Ledger::open(&stage, &machines).await;
    let owners: Vec<String> = (0..COUNT).map(|number| format!("shop-{number:03}")).collect();
    let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
    let egress = pool("egress").range("eastus-1", "10.20.4.0/22");
    let namespaces = owners.iter().map(|name| namespace(name).in_pool("egress"));
    stage.cluster.create([egress].into_iter().chain(namespaces)).await;
    eventually("all nodes and namespaces have what the network makes for them", LONG, || async {
        let made = (stage.cluster.list("HostSubnet").await.len(), stage.cluster.list("NetNamespace").await.len());
        if made.0 >= COUNT && made.1 >= COUNT { Ok(()) } else { Err(format!("{made:?}")) }
    })
    .await;

    let operator = stage.operator().await;
    eventually("all are served", LONG, || async {
        let outcome = stage.cluster.outcome().await;
        let is_told = |state: &&NamespaceState| state.annotated.is_some();
        let served = outcome.namespaces.values().filter(is_told).count();
        if served == COUNT { Ok(()) } else { Err(format!("{served} are served")) }
    })
    .await;
    stage.serves(&owners, 1).await;
    stage.tells(&["Ready=True"]).await;
    let log = stage.arm.log();
    let refused: Vec<_> = log.iter().filter(|one| one.status == Some(429)).map(|one| (&one.method, one.at)).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert_eq!(operator.metric("sluice_azure_throttled_total").await, Some(0.0));
    assert_eq!(ledger.puts().iter().filter(|put| put.ends_with(" 200: 1 of ours")).count(), COUNT, "one for each");
    assert_eq!(ledger.puts().len(), COUNT);
    // What is beyond the first 200 comes at the pace of a quota of five minutes: it was waited for.
    let times: Vec<u64> = log.iter().filter(|one| one.method == "PUT").map(|one| one.at).collect();
    let took = (times.last().copied().unwrap_or_default() - times.first().copied().unwrap_or_default()) / 1000;
    assert!(took >= 7, "{took} s");
    ledger.closes().await;
}
