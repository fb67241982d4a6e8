//! Our CRD accepts and refuses what the one of redhat-cop's operator does.

use std::collections::BTreeSet;

use expect_test::{expect, expect_file};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use super::{EgressIPAM, crds, crds_yaml, pruned_fields};

const OLD: &str = include_str!("../../tests/fixtures/redhat-cop-egressipams.yaml");

fn old_crd() -> CustomResourceDefinition {
    serde_yaml_ng::from_str(OLD).unwrap()
}

fn schema(crd: &CustomResourceDefinition) -> Value {
    serde_json::to_value(&crd.spec.versions[0].schema).unwrap()["openAPIV3Schema"].clone()
}

/// Collects what differs, except for descriptions. Additions are properties and rules that only `new` has.
fn compare(old: &Value, new: &Value, path: &str, differences: &mut Vec<String>, additions: &mut Vec<String>) {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else {
        if !equal(old, new) {
            differences.push(format!("{path}: {old} is now {new}"));
        }
        return;
    };
    for (key, value) in old.iter().filter(|(key, value)| *key != "description" || value.is_object()) {
        let path = format!("{path}.{key}");
        match new.get(key) {
            Some(other) if key == "required" => {
                if names(value) != names(other) {
                    differences.push(format!("{path}: {value} is now {other}"));
                }
            }
            Some(other) => compare(value, other, &path, differences, additions),
            None => differences.push(format!("{path}: gone")),
        }
    }
    for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key) && *key != "description") {
        let shown = if value.is_object() { String::new() } else { format!(": {value}") };
        additions.push(format!("{path}.{key}{shown}"));
    }
}

fn names(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

fn equal(old: &Value, new: &Value) -> bool {
    old == new || old.as_f64().is_some_and(|number| new.as_f64() == Some(number))
}

#[test]
fn old_schema_is_kept_and_additions_are_known() {
    let (mut differences, mut additions) = (Vec::new(), Vec::new());
    compare(&schema(&old_crd()), &schema(&crds()[0]), "", &mut differences, &mut additions);
    assert_eq!(differences, Vec::<String>::new());
    expect![[r#"
        .properties.spec.properties.nodeSelector.x-kubernetes-preserve-unknown-fields: true
        .properties.spec.properties.cidr
        .properties.spec.properties.reservedIPs
        .properties.spec.properties.standbyNodesPerZone
        .properties.spec.properties.zoneFailover
        .properties.spec.x-kubernetes-validations: [{"message":"cidr and cidrAssignments exclude each other","rule":"!has(self.cidr) || !has(self.cidrAssignments) || size(self.cidrAssignments) == 0"}]
        .properties.status.properties.observedGeneration
        .properties.status.properties.owners
        .properties.status.properties.policy
        .properties.status.properties.summary
        .properties.status.properties.zones
        .title: "EgressIPAM""#]]
    .assert_eq(&additions.join("\n"));
}

#[test]
fn names_scope_and_subresources_are_kept() {
    let (old, new) = (serde_json::to_value(old_crd()).unwrap(), serde_json::to_value(&crds()[0]).unwrap());
    assert_eq!(old["metadata"]["name"], new["metadata"]["name"]);
    for pointer in ["/spec/group", "/spec/scope", "/spec/versions/0/name", "/spec/versions/0/subresources"] {
        assert_eq!(old.pointer(pointer), new.pointer(pointer), "{pointer}");
    }
    for (field, value) in old["spec"]["names"].as_object().unwrap() {
        // `listKind` is the default and not repeated.
        assert!(new["spec"]["names"].get(field).is_none_or(|new| new == value), "{field}");
    }
}

#[test]
fn no_field_may_be_null() {
    assert!(!crds_yaml().unwrap().contains("nullable"));
}

#[test]
fn crd_file_is_up_to_date() {
    expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/crds/egressipams.redhatcop.redhat.io.yaml")]
        .assert_eq(&crds_yaml().unwrap());
}

#[test]
fn an_older_served_crd_prunes_our_fields() {
    expect![[r#"
        [
            "spec.cidr",
            "spec.reservedIPs",
            "spec.standbyNodesPerZone",
            "spec.zoneFailover",
            "status.observedGeneration",
            "status.owners",
            "status.policy",
            "status.summary",
            "status.zones",
        ]
    "#]]
    .assert_debug_eq(&pruned_fields(&old_crd()));
    assert_eq!(pruned_fields(&crds()[0]), Vec::<String>::new());
}

#[test]
fn a_crd_without_our_version_or_schema_prunes_the_version() {
    let mut crd = old_crd();
    crd.spec.versions[0].schema = None;
    assert_eq!(pruned_fields(&crd), ["version v1alpha1"]);
    crd.spec.versions.clear();
    assert_eq!(pruned_fields(&crd), ["version v1alpha1"]);
}

#[test]
fn built_objects_have_the_wire_names() {
    let pool: EgressIPAM = serde_yaml_ng::from_str(
        "
apiVersion: redhatcop.redhat.io/v1alpha1
kind: EgressIPAM
metadata: {name: east}
spec:
  topologyLabel: zone
  cidrAssignments: [{CIDR: 10.0.0.0/24, labelValue: a, reservedIPs: [10.0.0.9]}]
  nodeSelector: {matchExpressions: [{key: role, operator: Exists}]}
  zoneFailover: Any
",
    )
    .unwrap();
    expect![[
        r#"{"apiVersion":"redhatcop.redhat.io/v1alpha1","kind":"EgressIPAM","metadata":{"name":"east"},"spec":{"cidrAssignments":[{"CIDR":"10.0.0.0/24","labelValue":"a","reservedIPs":["10.0.0.9"]}],"topologyLabel":"zone","nodeSelector":{"matchExpressions":[{"key":"role","operator":"Exists"}]},"zoneFailover":"Any"}}"#
    ]]
    .assert_eq(&serde_json::to_string(&pool).unwrap());
}
