//! Clusters as redhat-cop's operator left them, from `tests/fixtures/peer-dumps/`.

use std::path::PathBuf;

use serde_json::Value;

use super::Cluster;
use super::bootstrap::{documents, fixtures};
use super::objects::Object;

/// The files of a dump whose objects the tests load. Owners come before what belongs to them.
const FILES: [&str; 7] = [
    "infrastructures.yaml",
    "nodes.yaml",
    "hostsubnets.yaml",
    "namespaces.yaml",
    "netnamespaces.yaml",
    "configmaps.yaml",
    "egressipams.yaml",
];

/// The dumps of clusters without a cloud.
pub const DUMPS: [&str; 5] =
    ["baremetal-one-cidr", "baremetal-three-zones", "two-pools", "messy-duplicates", "mid-deletion"];

/// The objects of a dump.
pub fn objects(dump: &str) -> Vec<Object> {
    FILES.into_iter().flat_map(|file| list(&folder(dump).join(file))).collect()
}

fn folder(dump: &str) -> PathBuf {
    fixtures().join("peer-dumps").join(dump)
}

fn list(path: &std::path::Path) -> Vec<Object> {
    let lists = documents(path);
    let items = lists.iter().filter_map(|list| list.get("items").and_then(Value::as_array)).flatten();
    items.cloned().map(Object::from_json).collect()
}

impl Cluster {
    /// Loads a dump exactly as it was: uids, times, status, finalizers, half-done deletions. The stand-in adds nothing to it:
    /// missing NetNamespaces stay missing, terminating namespaces stay.
    pub async fn load_dump(&self, dump: &str) {
        let objects = objects(dump);
        self.openshift().switch(|switches| {
            for object in objects.iter().filter(|object| matches!(object.kind(), "Namespace" | "Node")) {
                switches.without.insert(object.name().into());
                if object.json().pointer("/metadata/deletionTimestamp").is_some() {
                    switches.held.insert(object.name().into());
                }
            }
        });
        // With watches alone it might see addresses on nodes before it sees who claims them, and take them off.
        self.openshift().stop().await;
        self.store(objects).await;
        self.openshift().resume();
    }
}
