//! The policy's file and the settings' file change while the operator runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use sluice_builtin_policies::{PACK, ZONE_SPREAD};

use crate::harness::{Cluster, Launch, Operator, eventually, infrastructure, namespace, node, pool};

pub(super) mod components;
mod refused;
mod restless;
mod settings;
mod stand_in;
mod swapped;

/// From a changed file to its effect: "within seconds", on a machine that does other things as well.
const SWAP: Duration = Duration::from_secs(15);

/// The files an operator is started with.
struct Files {
    _folder: tempfile::TempDir,
    policy: PathBuf,
    settings: PathBuf,
}

impl Files {
    fn new(policy: &[u8], settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let files = Self {
            policy: folder.path().join("policy.wasm"),
            settings: folder.path().join("settings.json"),
            _folder: folder,
        };
        files.replace_policy(policy);
        files.replace_settings(settings);
        files
    }

    /// As an administrator's tools do: written aside, then renamed over.
    fn replace_policy(&self, component: &[u8]) {
        rename_over(&self.policy, component);
    }

    fn replace_settings(&self, settings: &str) {
        rename_over(&self.settings, settings.as_bytes());
    }

    /// How to start an operator that uses them.
    fn launch(&self, cluster: &Cluster) -> Launch {
        let text = |path: &'_ Path| path.to_str().expect("a path in UTF-8").to_owned();
        Operator::launch(cluster).args(&["--policy", &text(&self.policy), "--settings", &text(&self.settings)])
    }
}

fn rename_over(path: &Path, content: &[u8]) {
    let aside = path.with_extension("new");
    fs::write(&aside, content).expect("the folder is writable");
    fs::rename(&aside, path).expect("the folder is writable");
}

/// A cluster with two namespaces that are served, two nodes for each of two zones, and an operator with these files.
async fn running(files: &Files) -> (Cluster, Operator) {
    let cluster = Cluster::start().await;
    cluster
        .create([
            infrastructure("BareMetal"),
            pool("egress").range("zone-a", "10.20.0.0/24").range("zone-b", "10.21.0.0/24"),
            node("worker-a0").zone("zone-a"),
            node("worker-a1").zone("zone-a"),
            node("worker-b0").zone("zone-b"),
            node("worker-b1").zone("zone-b"),
            namespace("billing").in_pool("egress"),
            namespace("shop").in_pool("egress"),
        ])
        .await;
    let operator = files.launch(&cluster).start().await;
    is_served(&cluster, "billing", 2).await;
    is_served(&cluster, "shop", 2).await;
    cluster.settled().await;
    (cluster, operator)
}

/// Waits until a namespace holds this many addresses, each on a node, and says so.
async fn is_served(cluster: &Cluster, namespace: &str, addresses: usize) {
    eventually(&format!("{namespace} is served"), SWAP, || async {
        let outcome = cluster.outcome().await;
        let held = outcome.addresses_of(namespace);
        let is_carried = held.iter().all(|address| outcome.nodes_of(address).len() == 1);
        let is_told = outcome.namespaces.get(namespace).and_then(|state| state.annotated.clone());
        let is_served = held.len() == addresses && is_carried && is_told == Some(held.join(","));
        if is_served { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await;
}

/// One more namespace; it has to be served like any other.
async fn a_new_namespace_is_served(cluster: &Cluster, name: &str) {
    cluster.create([namespace(name).in_pool("egress")]).await;
    is_served(cluster, name, 2).await;
}

async fn status(cluster: &Cluster) -> Value {
    cluster.get("EgressIPAM", "egress").await.expect("there").data["status"].clone()
}

/// Waits until the pool says that this policy plans.
async fn is_active(cluster: &Cluster, name: &str, component: &[u8]) {
    let digest = digest(component);
    eventually(&format!("{name} is active"), SWAP, || async {
        let status = status(cluster).await;
        let policy = &status["policy"];
        let is_it = policy["name"] == name && policy["digest"] == digest && policy["version"] == "0.1.0";
        if is_it { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

/// What the operator says of a component.
fn digest(component: &[u8]) -> String {
    sluice_policy::PolicyHost::new(sluice_policy::Limits::default(), sluice_policy::Compiler::InProcess)
        .expect("this machine runs wasm")
        .inspect(component)
        .digest
}

/// Waits until log and status of the pool say why something was refused.
async fn is_refused(cluster: &Cluster, operator: &Operator, why: &str) {
    eventually(&format!("refused: {why}"), SWAP, || async {
        let status = status(cluster).await;
        if !status["conditions"].to_string().contains(why) {
            return Err(status.to_string());
        }
        if operator.log().contains(why) { Ok(()) } else { Err(operator.log()) }
    })
    .await;
}

/// Waits until the status of the pool no longer speaks of a refusal.
async fn nothing_is_refused(cluster: &Cluster) {
    eventually("no refusal is left", SWAP, || async {
        let status = status(cluster).await;
        if status["conditions"].to_string().contains("refused") { Err(status.to_string()) } else { Ok(()) }
    })
    .await;
}

/// How many candidates were refused so far.
async fn refusals(operator: &Operator) -> f64 {
    let refused = operator.metric(r#"sluice_policy_swaps_total{outcome="refused"}"#).await;
    refused.unwrap_or_default()
}
