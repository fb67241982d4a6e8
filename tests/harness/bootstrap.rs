//! What a new API server gets before its first scenario: definitions, rights, the operator's namespace.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use kube::Client;
use kube::api::{ListParams, PostParams};
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::wait::eventually;
use super::{kinds, workspace};

/// The namespace the operator lives in: its lease and its lock are there.
pub const OPERATOR_NAMESPACE: &str = "sluice";

/// Where OpenShift is asked for accounts in clouds.
pub const CREDENTIALS_NAMESPACE: &str = "openshift-cloud-credential-operator";

const DEADLINE: Duration = Duration::from_secs(30);

/// Prepares a new server.
pub async fn bootstrap(client: &Client) {
    system_namespaces_exist(client).await;
    for name in [OPERATOR_NAMESPACE, CREDENTIALS_NAMESPACE] {
        create(client, json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })).await;
    }
    join_all(definitions().into_iter().map(|definition| create(client, definition))).await;
    custom_kinds_are_served(client).await;
    join_all(rights().into_iter().map(|object| create(client, object))).await;
}

/// Waits until all custom kinds can be listed. A server that has just started refuses them for a moment.
pub async fn custom_kinds_are_served(client: &Client) {
    join_all(kinds::CUSTOM_KINDS.map(|kind| is_served(client, kind))).await;
}

/// Waits until objects of a kind can be listed.
pub async fn is_served(client: &Client, kind: &str) {
    eventually(&format!("{kind} is served"), DEADLINE, || async {
        kinds::all(client, kind).list(&ListParams::default()).await
    })
    .await;
}

/// The API server makes these a moment after it calls itself ready; a reset must not take them for a scenario's.
async fn system_namespaces_exist(client: &Client) {
    eventually("the system namespaces exist", DEADLINE, || async {
        let namespaces = kinds::all(client, "Namespace");
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            namespaces.get(name).await?;
        }
        Ok::<_, kube::Error>(())
    })
    .await;
}

async fn create(client: &Client, object: Value) {
    let object = kinds::dynamic(object);
    let kind = object.types.as_ref().map(|types| types.kind.clone()).expect("objects have a kind");
    let api = kinds::within(client, &kind, object.metadata.namespace.as_deref());
    if let Err(error) = api.create(&PostParams::default(), &object).await {
        panic!("{kind} {}: {error}", object.metadata.name.unwrap_or_default());
    }
}

/// The definitions all scenarios use.
fn definitions() -> Vec<Value> {
    let fixtures = fixtures().join("crds");
    let mut definitions: Vec<Value> =
        ["002_hostsubnets.crd.yaml", "003_netnamespaces.crd.yaml", "infrastructures.crd.yaml"]
            .into_iter()
            .flat_map(|name| documents(&fixtures.join(name)))
            .collect();
    let ours = workspace().join("deploy/crds/egressipams.redhatcop.redhat.io.yaml");
    if ours.exists() {
        definitions.extend(documents(&ours));
    } else {
        definitions.push(peer_definition());
    }
    definitions
}

/// The EgressIPAM definition of redhat-cop/egressip-ipam-operator, which lacks our fields.
pub fn peer_definition() -> Value {
    documents(&fixtures().join("crds/peer-egressipams.yaml")).remove(0)
}

/// The operator's account and its rights, as the manifests have them.
fn rights() -> Vec<Value> {
    manifests().into_iter().map(|(_, object)| object).filter(is_of_rights).collect()
}

fn is_of_rights(object: &Value) -> bool {
    let kinds = ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ServiceAccount"];
    object["kind"].as_str().is_some_and(|kind| kinds.contains(&kind))
}

/// Every object in `deploy/`, with the file it is in, sorted by that.
pub fn manifests() -> Vec<(String, Value)> {
    let root = workspace().join("deploy");
    let (mut folders, mut files) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                files.push(path);
            }
        }
    }
    files.sort();
    let name = |path: &Path| path.strip_prefix(&root).expect("it is in there").display().to_string();
    files.iter().flat_map(|path| documents(path).into_iter().map(|object| (name(path), object))).collect()
}

/// All documents of a YAML file.
pub fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_yaml_ng::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .filter(|document| !document.is_null())
        .collect()
}

/// The folder of fixtures.
pub fn fixtures() -> std::path::PathBuf {
    workspace().join("tests/fixtures")
}
