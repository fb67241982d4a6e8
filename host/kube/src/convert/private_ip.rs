//! `CloudPrivateIPConfig` of OpenShift's cloud network config controller.

use std::net::IpAddr;

use serde_json::Value;

use sluice_core::name::NodeName;
use sluice_core::observed::PrivateIpFacts;

use super::read::{FieldNotes, list};
use crate::failure;
use crate::object::Object;

/// The address that a `CloudPrivateIPConfig` is named after. IPv6 addresses are written out with dots for colons, since
/// no object may be named with colons.
pub fn private_ip(name: &str) -> Option<IpAddr> {
    name.parse().ok().or_else(|| name.replace('.', ":").parse().ok())
}

/// What the cloud network config controller says of an address. Its condition `Assigned` is `False` when the cloud
/// refused, `Unknown` while it works, and missing until it begins.
pub fn private_ip_facts(object: &Object, notes: &mut FieldNotes) -> PrivateIpFacts {
    let conditions = list(object.at("/status/conditions"), "status.conditions", notes).unwrap_or_default();
    let condition = conditions.iter().find(|condition| condition.get("type").is_some_and(|name| name == "Assigned"));
    let field = |name| condition.and_then(|condition| condition.get(name)).and_then(Value::as_str);
    let says = |instead: &str| failure::bounded(field("message").filter(|text| !text.is_empty()).unwrap_or(instead));
    match field("status") {
        Some("False") => PrivateIpFacts::Refused(says("the cloud refused it")),
        Some("True") if !object.is_deleting() => {
            let node = object.at("/status/node").as_str().filter(|node| !node.is_empty());
            PrivateIpFacts::Given(node.map(NodeName::from))
        }
        Some("True") => PrivateIpFacts::Awaited("it is to be taken off a node".to_owned()),
        _ => {
            let since = field("lastTransitionTime").map(|time| format!(" since {time}")).unwrap_or_default();
            PrivateIpFacts::Awaited(says("the controller has not begun") + &since)
        }
    }
}
