//! The manifests in `deploy/` give exactly the rights the code needs, and say what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use k8s_openapi::api::rbac::v1::ClusterRole;
use serde_json::Value;

use crate::kind::Kind;
use crate::names;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn documents(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(deploy().join(file)).unwrap();
    text.split("\n---\n").map(|document| serde_yaml_ng::from_str(document).unwrap()).collect()
}

/// Verbs by group and resource, then the names they are limited to.
type Rights = BTreeMap<String, (BTreeSet<String>, Vec<String>)>;

fn rights() -> Rights {
    let text = std::fs::read_to_string(deploy().join("rbac/cluster-role.yaml")).unwrap();
    let role: ClusterRole = serde_yaml_ng::from_str(&text).unwrap();
    let mut rights = Rights::new();
    for rule in role.rules.unwrap() {
        for group in rule.api_groups.unwrap() {
            for resource in rule.resources.iter().flatten() {
                let name = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
                let (verbs, names) = rights.entry(name).or_default();
                verbs.extend(rule.verbs.iter().cloned());
                names.extend(rule.resource_names.iter().flatten().cloned());
            }
        }
    }
    rights
}

#[test]
fn every_watch_is_allowed() {
    let rights = rights();
    for kind in Kind::ALL {
        let (verbs, names) = &rights[&kind.resource()];
        assert!(verbs.contains("list") && verbs.contains("watch"), "{kind}");
        // Limits by name work for list and watch only with the field selector that names it.
        if let Some(name) = names.first() {
            assert_eq!(kind.field_selector(), Some(format!("metadata.name={name}")));
        }
    }
}

#[test]
fn every_write_is_allowed_and_no_other() {
    let written: BTreeSet<String> = rights()
        .into_iter()
        .filter(|(_, (verbs, _))| verbs.iter().any(|verb| !matches!(verb.as_str(), "get" | "list" | "watch")))
        .map(|(name, (verbs, _))| format!("{name}: {}", verbs.into_iter().collect::<Vec<_>>().join(" ")))
        .collect();
    let expected = [
        "egressipams.redhatcop.redhat.io: get list patch watch",
        "egressipams/status.redhatcop.redhat.io: patch",
        "events: create",
        "hostsubnets.network.openshift.io: get list patch watch",
        "leases.coordination.k8s.io: create get patch",
        "namespaces: get list patch watch",
        "netnamespaces.network.openshift.io: get list patch watch",
        "subjectaccessreviews.authorization.k8s.io: create",
    ];
    assert_eq!(written, expected.map(str::to_owned).into());
    assert_eq!(rights()["customresourcedefinitions.apiextensions.k8s.io"].1, [names::POOL_CRD]);
}

#[test]
fn every_manifest_is_yaml_with_a_kind() {
    let files = ["namespace.yaml", "manager.yaml", "alerts.yaml", "kustomization.yaml"];
    for file in files {
        assert!(documents(file).iter().all(|document| document["kind"].is_string()), "{file}");
    }
    for document in documents("kustomization.yaml")[0]["resources"].as_array().unwrap() {
        assert!(deploy().join(document.as_str().unwrap()).exists(), "{document}");
    }
}

#[test]
fn old_alert_names_are_kept() {
    let rules = documents("alerts.yaml").pop().unwrap();
    let alerts: Vec<&Value> =
        rules["spec"]["groups"][0]["rules"].as_array().unwrap().iter().map(|rule| &rule["alert"]).collect();
    assert_eq!(alerts, ["HighEgressIPUtilization", "ExtremelyHighEgressIPUtilization"]);
}
