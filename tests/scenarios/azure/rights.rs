//! What is asked, of the API server and of Azure, is what the manifests and the request for an account ask for.

use std::collections::BTreeSet;

use serde_json::json;

use super::account::request;
use super::ledger::Ledger;
use super::stage::{A_WHILE, Stage};
use crate::harness::audit::Requests;
use crate::harness::rights::{denied, unused};
use crate::harness::{User, eventually, namespace, pool};

const MACHINES: [&str; 3] = ["w1", "w2", "w3"];

/// Everything that a write of an interface has to name again, and so needs permission to join.
fn refer_to_everything(stage: &Stage) {
    let network = |kind: &str, name: &str| json!({"id": stage.place.id(&format!("Microsoft.Network/{kind}"), name)});
    // The second one is not joined by our addresses, which is an event.
    for pool in ["internal", "outbound"] {
        stage.arm.join_pool(&stage.nic("w2"), &stage.balancer(pool));
    }
    stage.arm.edit(&stage.nic("w2"), |nic| {
        nic["properties"]["networkSecurityGroup"] = network("networkSecurityGroups", "workers");
        let own = &mut nic["properties"]["ipConfigurations"][0]["properties"];
        own["applicationSecurityGroups"] = json!([network("applicationSecurityGroups", "workers")]);
        own["publicIPAddress"] = network("publicIPAddresses", "w2");
        own["loadBalancerInboundNatRules"] = json!([network("loadBalancers", "ocp1-lb/inboundNatRules/ssh")]);
    });
}

/// Two namespaces get addresses, a machine dies, the pool is deleted.
async fn a_life(stage: &Stage, ledger: &Ledger<'_>) {
    stage.serves(&["crm", "shop"], 2).await;
    ledger.closes().await;
    stage.cluster.set_ready("w1", false).await;
    eventually("w2 carries what w1 did", A_WHILE, || async {
        let carried = stage.carried(&["w1", "w2"]);
        if (carried["w1"].len(), carried["w2"].len()) == (0, 2) { Ok(()) } else { Err(format!("{carried:?}")) }
    })
    .await;
    stage.serves(&["crm", "shop"], 2).await;
    ledger.closes().await;
    stage.cluster.delete("EgressIPAM", "egress").await;
    stage.cluster.is_gone("EgressIPAM", "egress").await;
    ledger.closes().await;
}

/// Of all Secrets one was asked for.
fn only_one_secret(asked: &Requests) {
    let secrets = asked.clone().on("secrets");
    let places: BTreeSet<String> =
        secrets.iter().map(|request| format!("{}/{}", request.namespace, request.name)).collect();
    assert_eq!(places, BTreeSet::from(["sluice/egress-ipam-operator-cloud-credentials".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_for_nothing_else() {
    let stage = Stage::start().await;
    stage.machines(&[("w1", 1), ("w2", 1), ("w3", 2)]).await;
    stage.cluster.set_cordoned("w2", true).await;
    refer_to_everything(&stage);
    let ledger = Ledger::open(&stage, &MACHINES).await;
    let egress = pool("egress").range("eastus-1", "10.20.1.0/24").range("eastus-2", "10.20.2.0/24");
    let namespaces = ["crm", "shop"].map(|name| namespace(name).in_pool("egress"));
    stage.cluster.furnish([egress].into_iter().chain(namespaces)).await;
    let mark = stage.cluster.audit().mark().await;
    let operator = stage.operator().await;
    stage.serves(&["crm", "shop"], 2).await;
    stage.cluster.set_cordoned("w2", false).await;
    a_life(&stage, &ledger).await;
    operator.stop().await;

    let asked = stage.cluster.audit().since(mark).await.by(User::Sluice);
    assert_eq!(denied(&asked), "");
    assert_eq!(unused("azure.yaml", &asked), "");
    only_one_secret(&asked);
    assert_eq!(stage.arm.actions(), requested(), "what azure demanded, and what is asked for");
}

/// The permissions that the manifest asks for.
fn requested() -> BTreeSet<String> {
    let permissions = request()["spec"]["providerSpec"]["permissions"].as_array().cloned().expect("a list");
    permissions.iter().map(|permission| permission.as_str().expect("a text").to_owned()).collect()
}
