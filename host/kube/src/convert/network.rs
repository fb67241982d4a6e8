//! `HostSubnet` and `NetNamespace` of OpenShift SDN.

use std::net::IpAddr;

use serde_json::Value;

use sluice_core::name::{NodeName, PoolName};
use sluice_core::observed::{CarrierFacts, HoldingFacts, PrivateIpFacts};

use super::Unreadable;
use super::read::{Note, Notes, address, check_texts, list, listed, shown, text};
use crate::failure;
use crate::names;
use crate::object::Object;

/// What a node carries. Unreadable without its list of addresses: a write would lose what is there.
pub fn host_subnet_facts(object: &Object, notes: &mut Notes) -> Result<CarrierFacts, Unreadable> {
    let egress_ips = addresses(object, notes)?;
    let cidrs = readable(list(object.at("/egressCIDRs"), "egressCIDRs", notes), notes)?;
    let mut ranges = Vec::with_capacity(cidrs.len());
    for (position, cidr) in cidrs.iter().enumerate() {
        let read = text(cidr, &format!("egressCIDRs[{position}]"), notes);
        ranges.push(read.map_or_else(|| cidr.to_string(), str::to_owned));
    }
    Ok(CarrierFacts {
        resource_version: object.resource_version().to_owned(),
        host_ip: address(object.at("/hostIP"), "hostIP", notes),
        egress_ips,
        ranges,
    })
}

/// What a namespace holds. Unreadable without its list of addresses: a write would lose what is there.
pub fn net_namespace_facts(object: &Object, notes: &mut Notes) -> Result<HoldingFacts, Unreadable> {
    check_texts(object.at("/metadata/annotations"), "metadata.annotations", notes);
    let egress_ips = addresses(object, notes)?;
    let pool = object.annotation(names::OWNED_BY_POOL_ANNOTATION).filter(|name| !name.is_empty());
    let zones = object.annotation(names::ZONES_ANNOTATION).unwrap_or_default();
    Ok(HoldingFacts {
        resource_version: object.resource_version().to_owned(),
        created: object.created(),
        egress_ips,
        pool: pool.map(PoolName::from),
        zones: zones
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .filter_map(|text| home(text, notes))
            .collect(),
        network_id: network_id(object.at("/netid"), notes),
    })
}

/// The network's number; none is noted if it is something else.
fn network_id(value: &Value, notes: &mut Notes) -> Option<u32> {
    let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
    if id.is_none() && !value.is_null() {
        notes.push(Note::new("netid", format!("{} is no network id", shown(value))));
    }
    id
}

/// An address and its zone, whose name may be empty as a label's value may.
fn home(text: &str, notes: &mut Notes) -> Option<(IpAddr, String)> {
    let home = text.split_once('=').and_then(|(address, zone)| Some((address.parse().ok()?, zone.to_owned())));
    if home.is_none() {
        let field = format!("metadata.annotations[{}]", names::ZONES_ANNOTATION);
        notes.push(Note::new(field, format!("{} is not like 10.20.0.5=east-1", shown(&text.into()))));
    }
    home
}

fn addresses(object: &Object, notes: &mut Notes) -> Result<Vec<sluice_core::observed::Listed>, Unreadable> {
    let items = readable(list(object.at("/egressIPs"), "egressIPs", notes), notes)?;
    Ok(listed(items, "egressIPs", notes))
}

/// Turns the last note into the reason why nothing can be read.
fn readable<T>(value: Option<T>, notes: &mut Notes) -> Result<T, Unreadable> {
    value.ok_or_else(|| Unreadable(notes.pop().unwrap_or_else(|| super::Note::new("", "cannot be read"))))
}

/// The address that a `CloudPrivateIPConfig` is named after. IPv6 addresses are written out with dots for colons, since
/// no object may be named with colons.
pub fn private_ip(name: &str) -> Option<IpAddr> {
    name.parse().ok().or_else(|| name.replace('.', ":").parse().ok())
}

/// What the cloud network config controller says of an address. Its condition `Assigned` is `False` when the cloud
/// refused, `Unknown` while it works, and missing until it begins.
pub fn private_ip_facts(object: &Object, notes: &mut Notes) -> PrivateIpFacts {
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
