//! `deploy/admission-policy.yaml`: of a Namespace, Sluice's account changes our annotations and nothing else, of a Node one
//! label and one annotation.

use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{is_served, serves, two_zones};
use crate::harness::audit::Mark;
use crate::harness::bootstrap::{documents, is_served as kind_is_served};
use crate::harness::kinds::within;
use crate::harness::{Cluster, Object, Operator, SOON, User, eventually, namespace, node, workspace};

const RESULT: &str = "egressip-ipam-operator.redhat-cop.io/egressips";
const HOLD: &str = "sluice.dev/hold";
const SECURITY: &str = "pod-security.kubernetes.io/enforce";

async fn patched(client: &Client, name: &str, patch: Value) -> Result<(), String> {
    patched_as(client, "Namespace", name, patch).await
}

async fn patched_as(client: &Client, kind: &str, name: &str, patch: Value) -> Result<(), String> {
    let objects = within(client, kind, None);
    let done = objects.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    done.map(drop).map_err(|error| error.to_string())
}

/// A cluster where the policy is in force, which takes a moment.
async fn guarded() -> (Cluster, Client) {
    let cluster = Cluster::start().await;
    kind_is_served(&cluster.client(), "ValidatingAdmissionPolicy").await;
    let policy = documents(&workspace().join("deploy/admission-policy.yaml"));
    cluster.create(policy.into_iter().map(Object::from_json)).await;
    cluster.create([namespace("probe")]).await;
    let sluice = cluster.sluice_client().await;
    let mut tries = 0;
    eventually("the policy is in force", SOON, || {
        // A patch that changes nothing is allowed.
        tries += 1;
        let patch = json!({"metadata": {"labels": {"try": tries.to_string()}}});
        let sluice = sluice.clone();
        async move {
            match patched(&sluice, "probe", patch).await {
                Err(refusal) if refusal.contains("sluice may not change labels") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        }
    })
    .await;
    (cluster, sluice)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_token_reaches_one_label_of_nodes() {
    let (cluster, sluice) = guarded().await;
    cluster.create([node("worker-a0").zone("zone-a").annotation("team", "red")]).await;
    let (label, mark) = ("k8s.ovn.org/egress-assignable", "sluice.dev/egress-assignable");
    eventually("the policy for nodes is in force", SOON, || async {
        match patched_as(&sluice, "Node", "worker-a0", json!({"metadata": {"labels": {"a": "b"}}})).await {
            Err(refusal) if refusal.contains("one label of a Node") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let refused = [
        (json!({"metadata": {"labels": {"node-role.kubernetes.io/master": ""}}}), "one label"),
        (json!({"metadata": {"labels": null}}), "one label"),
        (json!({"metadata": {"annotations": {"team": "blue", mark: "true"}}}), "its own annotation"),
        (json!({"metadata": {"annotations": {"team": null}}}), "its own annotation"),
        (json!({"metadata": {"finalizers": ["a.b/c"]}}), "finalizers"),
        (json!({"spec": {"unschedulable": true}}), "spec or status"),
        (json!({"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}}), "spec or status"),
    ];
    for (patch, message) in &refused {
        let refusal = patched_as(&sluice, "Node", "worker-a0", patch.clone()).await.expect_err("not ours");
        assert!(refusal.contains(message), "{patch}: {refusal}");
    }
    println!("{} patches of a Node refused", refused.len());
    for value in [json!(""), Value::Null] {
        let mark_value = if value.is_null() { Value::Null } else { json!("true") };
        let ours = json!({"metadata": {"labels": {label: value}, "annotations": {mark: mark_value}}});
        assert_eq!(patched_as(&sluice, "Node", "worker-a0", ours).await, Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_token_reaches_our_annotations_only() {
    let (cluster, sluice) = guarded().await;
    let shop = namespace("shop").set("metadata.labels", json!({SECURITY: "restricted"})).annotation("team", "red");
    cluster.create([shop, namespace("bare")]).await;
    for (patch, message) in [
        (json!({"labels": {SECURITY: "privileged"}}), "labels"),
        (json!({"labels": {SECURITY: null}}), "labels"),
        (json!({"labels": null}), "labels"),
        (json!({"labels": {SECURITY: "privileged"}, "annotations": {HOLD: "x"}}), "labels"),
        (json!({"annotations": {"openshift.io/node-selector": "role=master"}}), "own annotations"),
        (json!({"annotations": {"team": "blue"}}), "own annotations"),
        (json!({"annotations": {"team": null}}), "own annotations"),
        (json!({"annotations": null}), "own annotations"),
        (json!({"finalizers": ["example.com/stay"]}), "finalizers"),
        (
            json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "1"}]}),
            "finalizers or owners",
        ),
    ] {
        let refused = patched(&sluice, "shop", json!({"metadata": patch})).await;
        let refusal = refused.expect_err(&format!("{patch} has to be refused"));
        assert!(refusal.contains(message), "{patch}: {refusal}");
    }
    for name in ["shop", "bare"] {
        for value in [json!("10.20.0.2"), json!("10.20.0.3"), Value::Null] {
            let patch = json!({"metadata": {"annotations": {RESULT: value, HOLD: value}}});
            patched(&sluice, name, patch).await.expect("our own annotations");
        }
    }
    let everything = json!({"metadata": {"labels": {SECURITY: "privileged"}, "annotations": {"team": "blue"}}});
    patched(&cluster.client(), "shop", everything).await.expect("others do as they may");
}

/// Writes on namespaces that were refused to the operator.
async fn refused(cluster: &Cluster, mark: Mark) -> String {
    let asked = cluster.audit().since(mark).await.by(User::Sluice).on("namespaces");
    asked.that(|request| request.code >= 400 && request.code != 409).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_does_its_work_under_the_policy() {
    let (cluster, _) = guarded().await;
    let mark = cluster.audit().mark().await;
    cluster.create(two_zones()).await;
    let operator = Operator::start(&cluster).await;
    serves(&cluster, "shop").await;
    cluster.create([namespace("lost").in_pool("nowhere")]).await;
    cluster.hold_becomes("lost", Some("pool-missing: there is no EgressIPAM nowhere")).await;
    cluster.opt_in("lost", Some("egress")).await;
    is_served(&cluster, "lost").await;
    cluster.hold_becomes("lost", None).await;
    cluster.opt_in("shop", None).await;
    eventually("its addresses are gone", SOON, || async {
        let left = cluster.annotation_of("Namespace", "shop", RESULT).await;
        left.map_or(Ok(()), Err)
    })
    .await;
    operator.stop().await;
    assert_eq!(refused(&cluster, mark).await, "");
}
