//! Clusters as redhat-cop's operator left them: what is well stays as it is, what is not is repaired, and nothing else.

use std::path::{Path, PathBuf};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::audit::Requests;
use crate::harness::program::{Ran, sluice};
use crate::harness::{Cluster, PEER_LOCK, SOON, bootstrap, eventually};

mod azure;
mod clean;
mod lock;
mod messy;

/// The folder of a dump.
fn folder(dump: &str) -> PathBuf {
    bootstrap::fixtures().join("peer-dumps").join(dump)
}

/// `sluice plan --adopt --from` a dump, which is what a careful administrator does first.
async fn adopted(dump: &str) -> Ran {
    plan(&["--adopt"], &folder(dump)).await
}

async fn plan(flags: &[&str], folder: &Path) -> Ran {
    let folder = folder.to_str().expect("a path in UTF-8");
    sluice([&["plan", "-o", "json", "--from", folder], flags].concat()).await
}

/// The writes of a plan, one a line, in their order.
fn writes(plan: &Value) -> String {
    let line = |write: &Value| {
        let text = |name: &str| write[name].as_str().unwrap_or_default().to_owned();
        format!("{}. {} {} {}\n", write["order"], text("kind"), text("name"), write["patch"])
    };
    plan["writes"].as_array().expect("a list").iter().map(line).collect()
}

/// The patches of a plan, one a line: what changes and why.
fn patches(plan: &Value) -> String {
    let line = |patch: &Value| {
        let text = |name: &str| patch[name].as_str().unwrap_or("-").to_owned();
        let [op, owner, address, from, to] = ["op", "owner", "address", "from", "to"].map(text);
        let why = patch["text"].as_str().map(|text| format!(": {text}")).unwrap_or_default();
        format!("{op} {address} of {owner}, {from} -> {to}, {}{why}\n", text("reason"))
    };
    plan["patches"].as_array().expect("a list").iter().map(line).collect()
}

/// The objects that a plan writes, as often as it does, sorted.
fn planned_targets(plan: &Value) -> Vec<String> {
    let target = |write: &Value| {
        let kind = write["kind"].as_str().expect("a kind").to_lowercase();
        format!("patch {kind}s {}", write["name"].as_str().expect("a name"))
    };
    sorted(plan["writes"].as_array().expect("a list").iter().map(target))
}

/// The objects that the operator wrote, as often as it did, sorted; what it only tells people aside.
fn written_targets(written: Requests) -> Vec<String> {
    let told = ["egressipams/status", "events"];
    sorted(written.except(&told).iter().map(|request| {
        let refused = if request.code < 400 { String::new() } else { format!(" -> {}", request.code) };
        format!("{} {} {}{refused}", request.verb, request.resource, request.name)
    }))
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

/// Waits until every pool has a status of ours and every pool that was being deleted is gone.
async fn taken_over(cluster: &Cluster) {
    eventually("all pools are taken over", SOON, || async {
        let pools = cluster.list("EgressIPAM").await;
        let open = pools
            .iter()
            .find(|pool| pool.metadata.deletion_timestamp.is_some() || condition(&pool.data, "Ready").is_null());
        open.map_or(Ok(()), |pool| Err(json!(pool).to_string()))
    })
    .await;
}

/// A condition of a pool, or null.
fn condition(pool: &Value, kind: &str) -> Value {
    let conditions = pool["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == kind);
    found.cloned().unwrap_or_default()
}

/// The old operator's lock as if renewed at `renewed`, for `seconds`: an annotation's value.
fn lock_record(holder: &str, renewed: Timestamp, seconds: i64) -> String {
    json!({
        "holderIdentity": holder,
        "leaseDurationSeconds": seconds,
        "acquireTime": "2026-01-01T00:00:00Z",
        "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "leaderTransitions": 0,
    })
    .to_string()
}

const HOLDER: &str = "egressip-ipam-operator-controller-manager-6d9fbd7c5b-ngq2c_1";

/// Renews the lock that came with a dump.
async fn renew_lock(cluster: &Cluster, renewed: Timestamp, seconds: i64) {
    write_lock(cluster, &lock_record(HOLDER, renewed, seconds)).await;
}

/// What a holder writes that ends in good order.
async fn release_lock(cluster: &Cluster) {
    write_lock(cluster, &lock_record("", Timestamp::now(), 1)).await;
}

async fn write_lock(cluster: &Cluster, record: &str) {
    let locks = cluster.api("ConfigMap", Some("egressip-ipam-operator"));
    let annotations = json!({ "control-plane.alpha.kubernetes.io/leader": record });
    let patch = kube::api::Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
    locks.patch(PEER_LOCK, &kube::api::PatchParams::default(), &patch).await.expect("the dump has the lock");
}
