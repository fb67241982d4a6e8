//! Policies whose every plan is legal, and which never let the cluster rest.

use std::time::Duration;

use super::components::restless;
use super::{Files, SWAP, ZONE_SPREAD, a_new_namespace_is_served, is_active, running, status};
use crate::harness::{User, eventually};

/// So long after the last write nothing more comes: at full speed there would be hundreds of writes a second.
const QUIET: Duration = Duration::from_secs(10);

/// An address that goes to and fro comes to rest after its third return, which is told; it is still moved when it must be.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_a_policy_moves_to_and_fro_comes_to_rest() {
    let files = Files::new(ZONE_SPREAD, "{}");
    let (cluster, operator) = running(&files).await;
    let home = cluster.outcome().await.nodes_of("10.20.0.2").join(" ");
    let mark = cluster.audit().mark().await;

    files.replace_policy(&restless());
    let told = "policy restless moved 10.20.0.2 to and fro";
    eventually("it is told", SWAP, || async {
        let status = status(&cluster).await.to_string();
        if status.contains(told) { Ok(()) } else { Err(status) }
    })
    .await;
    cluster.audit().silence(User::Sluice, QUIET, 3 * QUIET).await;
    let written = cluster.written_since(mark).await.on("hostsubnets");
    assert_eq!(written.summary(), "patch hostsubnets: 8\n", "four moves");
    assert_eq!(cluster.outcome().await.nodes_of("10.20.0.2").join(" "), home);
    assert!(operator.log().contains("it stays for now"), "{}", operator.log());

    files.replace_policy(ZONE_SPREAD);
    is_active(&cluster, "zone-spread", ZONE_SPREAD).await;
    a_new_namespace_is_served(&cluster, "third").await;
    assert_eq!(cluster.outcome().await.nodes_of("10.20.0.2").join(" "), home, "it works where it is");
    cluster.set_ready(&home, false).await;
    eventually("it is failed over", SWAP, || async {
        let outcome = cluster.outcome().await;
        let nodes = outcome.nodes_of("10.20.0.2");
        if nodes.len() == 1 && nodes != [home.as_str()] { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
    cluster.assert_sound().await;
}
