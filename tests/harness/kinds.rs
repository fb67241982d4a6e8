//! The kinds of object that scenarios touch, by name.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use serde_json::Value;

/// Kind, group, version, and whether objects of it are in namespaces.
const KINDS: [(&str, &str, &str, bool); 22] = [
    ("CloudPrivateIPConfig", "cloud.network.openshift.io", "v1", false),
    ("ClusterRole", "rbac.authorization.k8s.io", "v1", false),
    ("ClusterRoleBinding", "rbac.authorization.k8s.io", "v1", false),
    ("ConfigMap", "", "v1", true),
    ("CredentialsRequest", "cloudcredential.openshift.io", "v1", true),
    ("CustomResourceDefinition", "apiextensions.k8s.io", "v1", false),
    ("EgressIP", "k8s.ovn.org", "v1", false),
    ("EgressIPAM", "redhatcop.redhat.io", "v1alpha1", false),
    ("Event", "", "v1", true),
    ("HostSubnet", "network.openshift.io", "v1", false),
    ("Infrastructure", "config.openshift.io", "v1", false),
    ("Lease", "coordination.k8s.io", "v1", true),
    ("Namespace", "", "v1", false),
    ("NetNamespace", "network.openshift.io", "v1", false),
    ("Network", "config.openshift.io", "v1", false),
    ("Node", "", "v1", false),
    ("Role", "rbac.authorization.k8s.io", "v1", true),
    ("RoleBinding", "rbac.authorization.k8s.io", "v1", true),
    ("Secret", "", "v1", true),
    ("ServiceAccount", "", "v1", true),
    ("ValidatingAdmissionPolicy", "admissionregistration.k8s.io", "v1", false),
    ("ValidatingAdmissionPolicyBinding", "admissionregistration.k8s.io", "v1", false),
];

/// Kinds with a definition of their own, which the API server serves only once it has that.
pub const CUSTOM_KINDS: [&str; 4] = ["EgressIPAM", "HostSubnet", "Infrastructure", "NetNamespace"];

/// The API resource of a kind.
pub fn resource(kind: &str) -> ApiResource {
    let (kind, group, version, _) = lookup(kind);
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// An API for all objects of a kind, in all namespaces. Reads and watches only, for kinds that are in namespaces.
pub fn all(client: &Client, kind: &str) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &resource(kind))
}

/// An API that can write objects of a kind in `namespace`; cluster-scoped kinds ignore it.
pub fn within(client: &Client, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) if lookup(kind).3 => Api::namespaced_with(client.clone(), namespace, &resource(kind)),
        _ => all(client, kind),
    }
}

/// The key under which the API server stores an object.
pub fn storage_key(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").expect("objects have a kind");
    let resource = resource(kind);
    let folder = match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "nodes") => "minions".into(),
        ("apiextensions.k8s.io", plural) => format!("apiextensions.k8s.io/{plural}"),
        (group, plural) if CUSTOM_KINDS.contains(&kind) => format!("{group}/{plural}"),
        (_, plural) => plural.into(),
    };
    let name = text("/metadata/name").expect("objects have a name");
    match text("/metadata/namespace") {
        Some(namespace) => format!("/registry/{folder}/{namespace}/{name}"),
        None => format!("/registry/{folder}/{name}"),
    }
}

/// An API's object from JSON.
pub fn dynamic(object: Value) -> DynamicObject {
    let text = object.to_string();
    serde_json::from_value(object).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Namespaces that Kubernetes makes, and the operator's own.
pub fn is_system_namespace(name: &str) -> bool {
    let ours = [super::bootstrap::OPERATOR_NAMESPACE, super::bootstrap::CREDENTIALS_NAMESPACE];
    name == "default" || name.starts_with("kube-") || ours.contains(&name)
}

/// A list of strings in an object's data, empty if it is not there.
pub fn strings(object: &DynamicObject, field: &str) -> Vec<String> {
    let list = object.data.get(field).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(String::from).collect()
}

/// The value of an annotation.
pub fn annotation<'a>(object: &'a DynamicObject, key: &str) -> Option<&'a str> {
    object.annotations().get(key).map(String::as_str)
}

/// Whether the object is being deleted.
pub fn is_terminating(metadata: &ObjectMeta) -> bool {
    metadata.deletion_timestamp.is_some()
}

fn lookup(kind: &str) -> (&'static str, &'static str, &'static str, bool) {
    *KINDS.iter().find(|known| known.0 == kind).unwrap_or_else(|| panic!("{kind} is not in tests/harness/kinds.rs"))
}
