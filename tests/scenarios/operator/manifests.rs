//! The API server takes every manifest in `deploy/` as it is.

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use serde_json::Value;

use super::define;
use crate::harness::Cluster;
use crate::harness::bootstrap::manifests;
use crate::harness::kinds::dynamic;

/// No API server knows them: one is kustomize's own, the others are served where there is a Prometheus operator.
const NOT_SERVED: [&str; 3] = ["Kustomization", "PrometheusRule", "ServiceMonitor"];

/// Applies an object, with every field checked.
async fn apply(cluster: &Cluster, object: &Value) -> Result<(), String> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
    let kind = GroupVersionKind::gvk(group, version, text("/kind"));
    let (resource, capabilities) = pinned_kind(&cluster.client(), &kind).await.map_err(|error| error.to_string())?;
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(cluster.client(), &resource),
        Scope::Namespaced => Api::namespaced_with(cluster.client(), text("/metadata/namespace"), &resource),
    };
    let params = PatchParams::apply("kubectl").force().validation_strict();
    let applied = api.patch(text("/metadata/name"), &params, &Patch::Apply(dynamic(object.clone()))).await;
    applied.map(drop).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_manifest_is_applied_with_every_field_checked() {
    let cluster = Cluster::start().await;
    define(&cluster, "credentialsrequests.crd.yaml").await;
    crate::harness::bootstrap::is_served(&cluster.client(), "CredentialsRequest").await;
    let (mut applied, mut skipped) = (Vec::new(), Vec::new());
    for (file, object) in manifests() {
        let kind = object["kind"].as_str().expect("a kind").to_owned();
        if NOT_SERVED.contains(&kind.as_str()) {
            skipped.push(format!("{file}: {kind}"));
            continue;
        }
        apply(&cluster, &object).await.unwrap_or_else(|error| panic!("deploy/{file}, {kind}: {error}"));
        applied.push(kind);
    }
    println!("{} manifests applied, skipped: {skipped:?}", applied.len());
    applied.sort();
    applied.dedup();
    expect_test::expect![[r"
        ClusterRole
        ClusterRoleBinding
        CredentialsRequest
        CustomResourceDefinition
        Deployment
        Namespace
        NetworkPolicy
        PodDisruptionBudget
        Role
        RoleBinding
        Service
        ServiceAccount
        ValidatingAdmissionPolicy
        ValidatingAdmissionPolicyBinding"]]
    .assert_eq(&applied.join("\n"));
    assert_eq!(
        skipped,
        ["alerts.yaml: ServiceMonitor", "alerts.yaml: PrometheusRule", "kustomization.yaml: Kustomization"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_no_manifest_has_is_refused() {
    let cluster = Cluster::start().await;
    let (_, mut deployment) =
        manifests().into_iter().find(|(_, object)| object["kind"] == "Deployment").expect("there is one");
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = Value::Object(serde_json::Map::new());
    let refused = apply(&cluster, &deployment).await.expect_err("a field that is spelt wrong");
    assert!(refused.contains("livenesProbe"), "{refused}");
}
