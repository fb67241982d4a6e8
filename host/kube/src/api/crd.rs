//! The CRD as the API server gets it.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt as _;

use super::EgressIPAM;

/// What `kubectl get egressipam` shows: name, type, path and meaning.
const COLUMNS: [(&str, &str, &str, &str); 9] = [
    ("Ready", "string", r#".status.conditions[?(@.type=="Ready")].status"#, "Every namespace of the pool is served."),
    ("Served", "integer", ".status.owners.served", "Namespaces whose addresses are all seen to be on live nodes."),
    ("Held", "integer", ".status.owners.held", "Namespaces that wait; their annotation sluice.dev/hold says why."),
    ("Waiting", "integer", ".status.owners.waiting", "Other namespaces that are not served; the message says why."),
    ("Used", "string", ".status.summary.used", "Addresses in use, of those that can be handed out."),
    ("Zones", "string", ".status.summary.zones", "Zones with a healthy node, of all."),
    ("Policy", "string", ".status.policy.name", "The policy that planned."),
    ("Message", "string", r#".status.conditions[?(@.type=="Ready")].message"#, "Why the pool is not ready."),
    ("Age", "date", ".metadata.creationTimestamp", ""),
];

/// Every CRD that Sluice brings along.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crd = EgressIPAM::crd();
    for version in &mut crd.spec.versions {
        version.additional_printer_columns = Some(COLUMNS.iter().map(column).collect());
    }
    for schema in schemas_mut(&mut crd) {
        like_the_old_one(schema);
    }
    vec![crd]
}

/// [`crds`] as YAML documents, ready for `kubectl apply`. The same bytes every time.
pub fn crds_yaml() -> Result<String, serde_yaml_ng::Error> {
    let mut text = "# Generated from host/kube/src/api; `cargo xtask crds` writes it.\n".to_owned();
    for crd in crds() {
        text.push_str("---\n");
        text.push_str(&serde_yaml_ng::to_string(&crd)?);
    }
    Ok(text)
}

/// Paths of fields that Sluice writes or reads and the API server would silently drop, because it serves an older
/// CRD: `spec.cidr`, `status.zones`. Paths below a missing field are not repeated. Empty: all is well.
pub fn pruned_fields(served: &CustomResourceDefinition) -> Vec<String> {
    let mut pruned = Vec::new();
    for crd in crds() {
        for version in &crd.spec.versions {
            let same = served.spec.versions.iter().find(|other| other.name == version.name);
            let Some(ours) = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()) else {
                continue;
            };
            match same.and_then(|other| other.schema.as_ref()?.open_api_v3_schema.as_ref()) {
                Some(theirs) => collect_pruned(ours, theirs, "", &mut pruned),
                None => pruned.push(format!("version {}", version.name)),
            }
        }
    }
    pruned
}

fn collect_pruned(ours: &JSONSchemaProps, theirs: &JSONSchemaProps, path: &str, pruned: &mut Vec<String>) {
    if theirs.x_kubernetes_preserve_unknown_fields == Some(true) {
        return;
    }
    for (name, schema) in ours.properties.iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match theirs.properties.as_ref().and_then(|properties| properties.get(name)) {
            Some(other) => collect_pruned(schema, other, &path, pruned),
            None => pruned.push(path),
        }
    }
    if let (Some(JSONSchemaPropsOrArray::Schema(ours)), Some(JSONSchemaPropsOrArray::Schema(theirs))) =
        (&ours.items, &theirs.items)
    {
        collect_pruned(ours, theirs, &format!("{path}[]"), pruned);
    }
}

fn schemas_mut(crd: &mut CustomResourceDefinition) -> impl Iterator<Item = &mut JSONSchemaProps> {
    crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut())
}

fn column((name, type_, json_path, description): &(&str, &str, &str, &str)) -> CustomResourceColumnDefinition {
    CustomResourceColumnDefinition {
        name: (*name).to_owned(),
        type_: (*type_).to_owned(),
        json_path: (*json_path).to_owned(),
        description: Some((*description).to_owned()).filter(|text| !text.is_empty()),
        ..CustomResourceColumnDefinition::default()
    }
}

/// Takes back what generation adds and the CRD of redhat-cop's operator does not have, so that every object it
/// accepted is accepted, and every object it refused is refused.
fn like_the_old_one(root: &mut JSONSchemaProps) {
    without_null(root);
    root.required = None;
    let properties = root.properties.get_or_insert_with(BTreeMap::new);
    for name in ["apiVersion", "kind"] {
        properties.entry(name.to_owned()).or_insert_with(|| of_type("string"));
    }
    properties.entry("metadata".to_owned()).or_insert_with(|| of_type("object"));
}

fn of_type(name: &str) -> JSONSchemaProps {
    JSONSchemaProps { type_: Some(name.to_owned()), ..JSONSchemaProps::default() }
}

/// An optional field may be absent, but not `null`.
fn without_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.default = None;
    schema.properties.iter_mut().flatten().for_each(|(_, property)| without_null(property));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        without_null(items);
    }
}
