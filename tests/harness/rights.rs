//! What the manifests let the operator do, and whether it did.

use std::fmt;

use serde_json::Value;

use super::audit::{Request, Requests};
use super::bootstrap::manifests;

/// One verb on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    verb: String,
    resource: String,
    /// Only objects of this name.
    name: Option<String>,
    /// Only in this namespace.
    namespace: Option<String>,
}

impl Right {
    fn covers(&self, request: &Request) -> bool {
        self.verb == request.verb
            && self.resource == request.resource
            // A name cannot be asked of what is only being created.
            && self.name.as_ref().is_none_or(|name| *name == request.name)
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == request.namespace)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.verb, self.resource)?;
        self.name.iter().try_for_each(|name| write!(out, " {name}"))?;
        self.namespace.iter().try_for_each(|namespace| write!(out, " in {namespace}"))
    }
}

/// The rights in the roles of a file in `deploy/`, by that file's bindings the operator's.
pub fn granted(file: &str) -> Vec<Right> {
    let objects: Vec<Value> =
        manifests().into_iter().filter(|(name, _)| name == file).map(|(_, object)| object).collect();
    let is_role = |object: &&Value| matches!(object["kind"].as_str(), Some("Role" | "ClusterRole"));
    let rights: Vec<Right> = objects.iter().filter(is_role).flat_map(of_role).collect();
    assert!(!rights.is_empty(), "deploy/{file} grants nothing");
    rights
}

fn of_role(role: &Value) -> Vec<Right> {
    let namespace = role["metadata"]["namespace"].as_str();
    let rules = role["rules"].as_array().expect("rules").iter();
    rules
        .flat_map(|rule| {
            let names = texts(&rule["resourceNames"]);
            let names = if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
            let mut rights = Vec::new();
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    rights.extend(names.iter().map(|name| Right {
                        verb: verb.clone(),
                        resource: resource.clone(),
                        name: name.clone(),
                        namespace: namespace.map(str::to_owned),
                    }));
                }
            }
            rights
        })
        .collect()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Rights of a file in `deploy/` that none of these requests needed, one a line.
pub fn unused(file: &str, requests: &Requests) -> String {
    let rights = granted(file).into_iter().filter(|right| !requests.iter().any(|request| right.covers(request)));
    rights.map(|right| right.to_string()).collect::<Vec<_>>().join("\n")
}

/// Requests that were refused for want of a right.
pub fn denied(requests: &Requests) -> String {
    requests.clone().that(|request| request.code == 401 || request.is_forbidden).to_string()
}
