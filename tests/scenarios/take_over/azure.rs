//! A cluster on Azure that is well: no write to Azure, and none to the cluster but the pool's status.

use serde_json::{Value, json};
use sluice_sandbox_azure::{Arm, Client, Place, Pool, Settings};

use super::{folder, plan, taken_over};
use crate::harness::{Cluster, History, Operator, SOON, eventually, namespace};
use crate::scenarios::azure::stage::secret;

const FILES: [&str; 3] = ["nics.json", "vms.json", "vnet.json"];

/// The cloud as the old operator left it.
async fn cloud() -> (Arm, String) {
    let arm = Arm::start(Settings::default()).await.expect("the simulator starts");
    let mut subscription = String::new();
    for file in FILES {
        let text = std::fs::read_to_string(folder("azure").join(file)).expect("the dump is there");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        let resources = answer["value"].as_array().cloned().unwrap_or_else(|| vec![answer.clone()]);
        for resource in resources {
            let id = resource["id"].as_str().expect("resources have an id");
            id.split('/').nth(2).expect("an id names its subscription").clone_into(&mut subscription);
            arm.put_resource(resource);
        }
    }
    // The dump has no load balancers.
    let place = Place::new(&subscription, "ocp1-x7k2p-rg", "westeurope");
    arm.add_load_balancer(&place, "ocp1-x7k2p", &[Pool { name: "ocp1-x7k2p".into(), outbound: false }]);
    arm.put_client(client());
    (arm, subscription)
}

fn client() -> Client {
    Client::with_secret("t", "c", "s")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_and_then_it_goes_on() {
    let (arm, subscription) = cloud().await;
    let cluster = Cluster::start().await;
    cluster.load_dump("azure").await;
    cluster.create([secret(client().account(&subscription))]).await;
    let before = cluster.outcome().await;
    let history = History::start(&cluster).await;
    let mark = cluster.audit().mark().await;
    let _operator = Operator::launch(&cluster).on_azure(&arm).start().await;
    taken_over(&cluster).await;
    cluster.settled().await;
    let written = cluster.written_since(mark).await;
    assert_eq!(written.summary(), "patch egressipams/status: 1\n", "{written}");
    assert_eq!(cluster.outcome().await, before);
    assert_eq!(history.transcript().await, "");
    assert_eq!(arm.counts().get("PUT"), None, "no interface is written");

    cluster.create([namespace("new").in_pool("egressipam-azure")]).await;
    let held = eventually("the new namespace is served", SOON, || async {
        let outcome = cluster.outcome().await;
        match outcome.addresses_of("new") {
            [address] if outcome.nodes_of(address).len() == 1 => Ok(address.clone()),
            _ => Err(outcome.to_string()),
        }
    })
    .await;
    assert_eq!(held, "10.0.40.2", "the lowest that is free");
    assert_eq!(arm.counts()["PUT"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_from_dumps_says_so_beforehand() {
    let folder = folder("azure");
    let paths = FILES.map(|file| folder.join(file).to_str().expect("a path in UTF-8").to_owned());
    let flags: Vec<&str> = paths.iter().flat_map(|path| ["--azure-dump", path]).chain(["--adopt"]).collect();
    let plan = plan(&flags, &folder).await.ended_with(0).json();
    for list in ["writes", "patches", "holds", "findings", "inputErrors"] {
        assert_eq!(plan[list], json!([]), "{list}");
    }
}
