//! An object as the API server sent it, or as a file has it. Nothing of it is taken for granted.
//!
//! Typed structs fail as a whole: one unreadable field in one object of a list, and the list is lost, for ever. Here
//! any JSON object is an `Object`; what is missing or of the wrong type is found when a fact is asked for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicResourceScope;
use kube::discovery::ApiResource;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// One object of any kind, of any shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Identity only, for kube's watcher.
    identity: ObjectMeta,
    body: Value,
}

impl Object {
    /// Takes any JSON. `metadata.managedFields`, often most of an object, is dropped.
    pub fn new(mut body: Value) -> Self {
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        let text = |field: &str| body.get("metadata")?.get(field)?.as_str().map(str::to_owned);
        let identity = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            resource_version: text("resourceVersion"),
            uid: text("uid"),
            ..ObjectMeta::default()
        };
        Self { identity, body }
    }

    /// The whole object.
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// `metadata.name`; empty if there is none.
    pub fn name(&self) -> &str {
        self.identity.name.as_deref().unwrap_or_default()
    }

    /// `metadata.namespace`; empty if there is none.
    pub fn namespace(&self) -> &str {
        self.identity.namespace.as_deref().unwrap_or_default()
    }

    /// `metadata.uid`; empty if there is none.
    pub fn uid(&self) -> &str {
        self.identity.uid.as_deref().unwrap_or_default()
    }

    /// `metadata.resourceVersion`; empty if there is none.
    pub fn resource_version(&self) -> &str {
        self.identity.resource_version.as_deref().unwrap_or_default()
    }

    /// `metadata.generation`; 0 if there is none.
    pub fn generation(&self) -> i64 {
        self.at("/metadata/generation").as_i64().unwrap_or_default()
    }

    /// `metadata.creationTimestamp` in Unix milliseconds; 0 if there is none.
    pub fn created(&self) -> u64 {
        self.at("/metadata/creationTimestamp").as_str().and_then(unix_milliseconds).unwrap_or_default()
    }

    /// `metadata.deletionTimestamp` is set.
    pub fn is_deleting(&self) -> bool {
        !self.at("/metadata/deletionTimestamp").is_null()
    }

    /// The value of an annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.at("/metadata/annotations").get(name)?.as_str()
    }

    /// `metadata.labels`; values that are not text are left out.
    pub fn labels(&self) -> BTreeMap<String, String> {
        text_map(self.at("/metadata/labels"))
    }

    /// What a JSON pointer leads to; `null` if it leads nowhere.
    pub fn at(&self, pointer: &str) -> &Value {
        self.body.pointer(pointer).unwrap_or(&Value::Null)
    }
}

/// The entries of a JSON object whose values are text.
pub(crate) fn text_map(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// An RFC 3339 time as Unix milliseconds; none if it is no time or before 1970.
pub(crate) fn unix_milliseconds(text: &str) -> Option<u64> {
    let time: Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::new)
    }
}

impl kube::Resource for Object {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.identity
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.identity
    }
}
