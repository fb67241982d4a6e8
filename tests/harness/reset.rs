//! Puts a used server back to how it was before its first scenario.
//!
//! Below the API, in etcd: whatever a scenario left, with whatever finalizer, is gone at once, and the API server's
//! watches report it like any other deletion. Deleting through the API would need a request or two for each object.

use std::collections::BTreeMap;

use futures::future::join_all;
use kube::Client;
use serde_json::Value;

use super::audit::AuditLog;
use super::etcd::{Change, Etcd};
use super::{bootstrap, kinds};

/// Built-in objects that a scenario or the operator may touch. The rest belongs to the API server, which changes it by itself.
const FOLDERS: [&str; 19] = [
    "clusterrolebindings",
    "clusterroles",
    "configmaps",
    "deployments",
    "events",
    "ipaddresses",
    "leases",
    "minions",
    "namespaces",
    "networkpolicies",
    "poddisruptionbudgets",
    "pods",
    "rolebindings",
    "roles",
    "secrets",
    "serviceaccounts",
    "services",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
];

const DEFINITIONS: &str = "/registry/apiextensions.k8s.io/customresourcedefinitions/";

/// The server cannot be reset: a scenario changed the API itself. Start another.
#[derive(Debug)]
pub struct Unusable;

/// The stored objects of a server before its first scenario.
#[derive(Debug)]
pub struct Baseline {
    objects: Objects,
}

/// Stored objects by key.
type Objects = BTreeMap<String, Vec<u8>>;

impl Baseline {
    /// Records what is there now.
    pub async fn record(database: &Etcd) -> Self {
        Self { objects: scenario_objects(database).await }
    }

    /// Removes what is new and restores what has changed, until nothing more of either appears: a killed operator's last write may
    /// still be on its way.
    pub async fn restore(&self, database: &Etcd, client: &Client, audit: &AuditLog) -> Result<(), Unusable> {
        loop {
            audit.no_write_is_open().await;
            let changes = self.changes(&scenario_objects(database).await);
            if changes.iter().any(is_of_definition) {
                return Err(Unusable);
            }
            if changes.is_empty() {
                break;
            }
            database.apply(&changes).await.unwrap_or_else(|error| panic!("reset: {error}"));
        }
        caches_are_fresh(client).await;
        Ok(())
    }

    fn changes(&self, now: &Objects) -> Vec<Change> {
        let removed = now.keys().filter(|key| !self.objects.contains_key(*key)).cloned().map(Change::Delete);
        let restored = self
            .objects
            .iter()
            .filter(|(key, value)| now.get(*key) != Some(*value))
            .map(|(key, value)| Change::Put(key.clone(), value.clone()));
        removed.chain(restored).collect()
    }
}

fn is_of_definition(change: &Change) -> bool {
    let (Change::Put(key, _) | Change::Delete(key)) = change;
    key.starts_with(DEFINITIONS)
}

async fn scenario_objects(database: &Etcd) -> Objects {
    let mut objects = database.range("/registry/").await.unwrap_or_else(|error| panic!("reset: {error}"));
    objects.retain(|key, _| is_scenario_object(key));
    for (_, stored) in objects.iter_mut().filter(|(key, _)| key.starts_with(DEFINITIONS)) {
        *stored = specification(stored);
    }
    objects
}

/// What a scenario can change of a definition: its status goes on changing for a while after the kind is served.
fn specification(stored: &[u8]) -> Vec<u8> {
    let definition: Value = serde_json::from_slice(stored).unwrap_or_default();
    definition["spec"].to_string().into_bytes()
}

fn is_scenario_object(key: &str) -> bool {
    let Some((folder, rest)) = key.strip_prefix("/registry/").and_then(|path| path.split_once('/')) else {
        return false;
    };
    let is_custom = folder.contains('.') && !folder.ends_with(".k8s.io");
    let is_built_in = FOLDERS.contains(&folder) && !rest.starts_with("kube-system/");
    is_custom || is_built_in || key.starts_with(DEFINITIONS)
}

/// A list without a resource version is answered from a cache only once that has caught up with etcd.
async fn caches_are_fresh(client: &Client) {
    let built_in = ["Namespace", "Node", "ConfigMap", "Lease", "Event"];
    join_all(built_in.into_iter().chain(kinds::CUSTOM_KINDS).map(|kind| bootstrap::is_served(client, kind))).await;
}
