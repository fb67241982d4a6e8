//! OpenShift SDN: an owner's NetNamespace says what it holds, and a node's HostSubnet says what the node carries.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use sluice_core::name::PoolName;
use sluice_core::network::{Home, Words};
use sluice_core::observed::{CarrierFacts, HoldingFacts, Listed};

use crate::convert::read::{address, check_texts, list, listed, readable, shown, text};
use crate::convert::{FieldNote, FieldNotes, Unreadable};
use crate::kind::Coordinates;
use crate::object::Object;

/// Where NetNamespaces are served.
pub(crate) const NET_NAMESPACE: Coordinates = ("network.openshift.io", "v1", "NetNamespace", "netnamespaces");
/// Where HostSubnets are served.
pub(crate) const HOST_SUBNET: Coordinates = ("network.openshift.io", "v1", "HostSubnet", "hostsubnets");

/// What people call these objects.
pub(super) const WORDS: Words = Words {
    holding: NET_NAMESPACE.2,
    holdings: "NetNamespaces",
    carrier: HOST_SUBNET.2,
    carriers: "HostSubnets",
    no_carrier: "there is no HostSubnet of it",
};

/// Annotation of a NetNamespace: the pool Sluice wrote its addresses for.
const OWNED_BY_POOL_ANNOTATION: &str = "sluice.dev/pool";
/// Annotation of a NetNamespace: home zones of its addresses, such as `10.20.0.5=east-1,10.21.0.7=east-2`.
const ZONES_ANNOTATION: &str = "sluice.dev/zones";

/// What a node carries. Unreadable without its list of addresses: a write would lose what is there.
pub(crate) fn carrier_facts(object: &Object, notes: &mut FieldNotes) -> Result<CarrierFacts, Unreadable> {
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
        ..CarrierFacts::default()
    })
}

/// What a namespace holds. Unreadable without its list of addresses: a write would lose what is there.
pub(crate) fn holding_facts(object: &Object, notes: &mut FieldNotes) -> Result<HoldingFacts, Unreadable> {
    check_texts(object.at("/metadata/annotations"), "metadata.annotations", notes);
    let egress_ips = addresses(object, notes)?;
    let pool = object.annotation(OWNED_BY_POOL_ANNOTATION).filter(|name| !name.is_empty());
    let zones = object.annotation(ZONES_ANNOTATION).unwrap_or_default();
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
        ..HoldingFacts::default()
    })
}

/// The network's number; none is noted if it is something else.
fn network_id(value: &Value, notes: &mut FieldNotes) -> Option<u32> {
    let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
    if id.is_none() && !value.is_null() {
        notes.push(FieldNote::new("netid", format!("{} is no network id", shown(value))));
    }
    id
}

/// An address and its zone, whose name may be empty as a label's value may.
fn home(text: &str, notes: &mut FieldNotes) -> Option<(IpAddr, String)> {
    let home = text.split_once('=').and_then(|(address, zone)| Some((address.parse().ok()?, zone.to_owned())));
    if home.is_none() {
        let field = format!("metadata.annotations[{ZONES_ANNOTATION}]");
        notes.push(FieldNote::new(field, format!("{} is not like 10.20.0.5=east-1", shown(&text.into()))));
    }
    home
}

fn addresses(object: &Object, notes: &mut FieldNotes) -> Result<Vec<Listed>, Unreadable> {
    let items = readable(list(object.at("/egressIPs"), "egressIPs", notes), notes)?;
    Ok(listed(items, "egressIPs", notes))
}

/// The body of a merge patch of a HostSubnet, without the precondition.
pub(crate) fn carrier_patch(egress_ips: Option<&[String]>, ranges: Option<&[String]>) -> Value {
    let fields = [("egressIPs", egress_ips), ("egressCIDRs", ranges)];
    let given = fields.into_iter().filter_map(|(name, list)| Some((name.to_owned(), json!(list?))));
    Value::Object(given.collect::<Map<_, _>>())
}

/// The body of a merge patch of a NetNamespace, without the precondition.
pub(crate) fn holding_patch(egress_ips: &[IpAddr], home: Option<&Home>) -> Value {
    json!({
        "egressIPs": egress_ips,
        "metadata": {"annotations": {
            OWNED_BY_POOL_ANNOTATION: home.map(|home| home.pool.as_str()),
            ZONES_ANNOTATION: home.and_then(zones_text),
        }},
    })
}

/// The text of [`ZONES_ANNOTATION`]; none: no zone is known.
fn zones_text(home: &Home) -> Option<String> {
    let zones = home.zones.iter().map(|(address, zone)| format!("{address}={zone}"));
    (!home.zones.is_empty()).then(|| zones.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests;
