//! What a new API server gets before its first scenario: definitions, rights, the operator's namespace.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use kube::Client;
use kube::api::{ListParams, PostParams};
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::server::User;
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

/// The rights in `deploy/rbac/`, each bound to user `sluice`. Empty as long as that folder is not there.
fn rights() -> Vec<Value> {
    let Ok(folder) = fs::read_dir(workspace().join("deploy/rbac")) else {
        return Vec::new();
    };
    let mut files: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .flat_map(|path| documents(path))
        .flat_map(bound)
        .collect()
}

/// A role and its binding; nothing for other objects.
fn bound(role: Value) -> Vec<Value> {
    let text = |role: &Value, pointer| role.pointer(pointer).and_then(Value::as_str).map(String::from);
    let (Some(kind), Some(name)) = (text(&role, "/kind"), text(&role, "/metadata/name")) else {
        return Vec::new();
    };
    let namespace = text(&role, "/metadata/namespace");
    if kind != "ClusterRole" && kind != "Role" {
        return Vec::new();
    }
    let mut metadata = json!({ "name": name });
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": format!("{kind}Binding"),
        "metadata": metadata,
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": User::Sluice.name() }],
    });
    vec![role, binding]
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
