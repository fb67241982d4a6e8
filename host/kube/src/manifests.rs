//! The manifests in `deploy/` give exactly the rights the code needs, and say what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use k8s_openapi::api::rbac::v1::ClusterRole;
use serde_json::Value;

use crate::kind::Kind;
use crate::names;
use crate::network::ovn;

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
fn the_role_is_what_is_used() {
    let granted: BTreeSet<String> = rights()
        .into_iter()
        .map(|(name, (verbs, _))| format!("{name}: {}", verbs.into_iter().collect::<Vec<_>>().join(" ")))
        .collect();
    let expected = [
        "cloudprivateipconfigs.cloud.network.openshift.io: list watch",
        "configmaps: list watch",
        "customresourcedefinitions.apiextensions.k8s.io: get",
        "egressipams.redhatcop.redhat.io: get list patch watch",
        "egressipams/status.redhatcop.redhat.io: patch",
        "egressips.k8s.ovn.org: list watch",
        "events: create",
        "hostsubnets.network.openshift.io: get list patch watch",
        "infrastructures.config.openshift.io: list watch",
        "namespaces: get list patch watch",
        "netnamespaces.network.openshift.io: get list patch watch",
        "networks.config.openshift.io: list watch",
        "nodes: list watch",
        "serviceaccounts: list",
        "subjectaccessreviews.authorization.k8s.io: create",
    ];
    assert_eq!(granted, expected.map(str::to_owned).into());
    assert_eq!(rights()["customresourcedefinitions.apiextensions.k8s.io"].1, [names::POOL_CRD]);
}

/// The integration tests compare each of these roles with what the API server is asked.
#[test]
fn the_account_is_bound_to_these_roles_only() {
    let mut files = vec!["azure.yaml".to_owned()];
    let folder = std::fs::read_dir(deploy().join("rbac")).unwrap();
    files.extend(folder.flatten().map(|entry| format!("rbac/{}", entry.file_name().display())));
    files.sort();
    let ours = |binding: &Value| {
        binding["subjects"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "sluice"))
    };
    let bindings = files.iter().flat_map(|file| documents(file).into_iter().map(move |object| (file, object)));
    let bound: Vec<String> = bindings
        .filter(|(_, object)| ours(object))
        .map(|(file, binding)| format!("{file}: {}", binding["roleRef"]["name"].as_str().unwrap()))
        .collect();
    let expected = [
        "azure.yaml: sluice-azure",
        "rbac/cluster-role-binding.yaml: sluice",
        "rbac/lease.yaml: sluice-lease",
        "rbac/metrics.yaml: sluice-metrics",
        "rbac/ovn.yaml: sluice-ovn",
    ];
    assert_eq!(bound, expected);
}

/// The policy for namespaces lists what the code writes there.
#[test]
fn the_admission_policy_knows_our_annotations() {
    let policy = &documents("admission-policy.yaml")[0];
    let ours = policy["spec"]["variables"][0]["expression"].as_str().unwrap();
    let listed: BTreeSet<&str> = ours.split('"').skip(1).step_by(2).collect();
    assert_eq!(listed, BTreeSet::from([names::RESULT_ANNOTATION, names::HOLD_ANNOTATION]));
    let nodes = documents("admission-policy.yaml").remove(2);
    let variable =
        |nth: usize| nodes["spec"]["variables"][nth]["expression"].as_str().unwrap().trim_matches('"').to_owned();
    assert_eq!([variable(0), variable(1)], [ovn::ASSIGNABLE_LABEL, ovn::ASSIGNABLE_MARK]);
    assert!(!documents("kustomization.yaml")[0].to_string().contains("admission"), "not every cluster serves it");
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
