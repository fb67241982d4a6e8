//! `Node`, `Namespace`, `Infrastructure` and the lock of redhat-cop's operator.

use std::collections::BTreeMap;

use serde_json::Value;

use sluice_core::name::PoolName;
use sluice_core::observed::{CloudPlatform, NamespaceFacts, NodeFacts, Platform};
use sluice_core::snapshot::Capacity;
use sluice_core::text::printable;

use super::read::{FieldNote, FieldNotes, address, check_texts, flag, list, shown, text};
use crate::names;
use crate::network::ovn;
use crate::object::{Object, unix_milliseconds};

/// The longest name that an object can have, in bytes.
const LONGEST_NAME: usize = 253;

/// Platforms whose network does not have to agree to an address.
///
/// * `None`, `BareMetal`, `EquinixMetal`: the machines' own layer 2, gratuitous ARP moves an address.
/// * `VSphere`, `oVirt`, `Nutanix`, `KubeVirt`, `Libvirt`: virtual machines on networks of the administrator, who allows
///   additional addresses per port group or bridge; OpenShift SDN supports egress addresses there without a cloud step.
/// * `OpenStack`: port security has to allow the pool's range (`allowed_address_pairs`), which the administrator sets once.
/// * `External`: the cluster was told that nobody integrates it with its cloud, so nobody writes its NICs.
///
/// Names as in openshift/api `config/v1` `PlatformType`.
const SELF_MANAGED: [&str; 10] = [
    "None",
    "BareMetal",
    "VSphere",
    "oVirt",
    "OpenStack",
    "Nutanix",
    "KubeVirt",
    "Libvirt",
    "EquinixMetal",
    "External",
];

/// The clouds that have a provider, and where `platformStatus` tells more of each.
const CLOUDS: [(&str, &str); 1] = [("Azure", "azure")];

/// Who serves addresses to the machines, from `Infrastructure/cluster`. A platform that is not known to need nothing
/// is taken to need a provider: the mistake is then a missing service, not a black hole.
pub fn platform(object: &Object, notes: &mut FieldNotes) -> Platform {
    let current = text(object.at("/status/platformStatus/type"), "status.platformStatus.type", notes);
    let old = text(object.at("/status/platform"), "status.platform", notes);
    match [current, old].into_iter().flatten().find(|name| !name.is_empty()) {
        None => Platform::Unknown,
        // The spelling differs between versions (`Ovirt`, `oVirt`).
        Some(name) if SELF_MANAGED.iter().any(|known| known.eq_ignore_ascii_case(name)) => {
            Platform::SelfManaged(name.to_owned())
        }
        Some(name) => match CLOUDS.into_iter().find(|(cloud, _)| name.eq_ignore_ascii_case(cloud)) {
            Some((cloud, field)) => {
                Platform::Cloud(CloudPlatform { name: cloud.to_owned(), settings: settings(object, field) })
            }
            None => Platform::Unserved(name.to_owned()),
        },
    }
}

/// The texts that `platformStatus` has about a cloud.
fn settings(object: &Object, cloud: &str) -> BTreeMap<String, String> {
    let fields = object.at(&format!("/status/platformStatus/{cloud}")).as_object();
    let texts = fields.into_iter().flatten().filter_map(|(name, value)| Some((name.clone(), value.as_str()?)));
    texts.filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name, text.to_owned())).collect()
}

/// Labels, health and addresses of a node. A condition that cannot be read is not `True`.
pub fn node_facts(object: &Object, notes: &mut FieldNotes) -> NodeFacts {
    check_texts(object.at("/metadata/labels"), "metadata.labels", notes);
    let conditions = list(object.at("/status/conditions"), "status.conditions", notes).unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.get("type").is_some_and(|kind| kind == "Ready"));
    let mut addresses = Vec::new();
    let entries = list(object.at("/status/addresses"), "status.addresses", notes).unwrap_or_default();
    for (position, entry) in entries.iter().enumerate() {
        // Host names stand in the same list.
        let is_address = entry.get("type").and_then(|kind| kind.as_str()).is_none_or(|kind| kind.ends_with("IP"));
        if is_address {
            let field = format!("status.addresses[{position}].address");
            let value = entry.get("address").unwrap_or(&Value::Null);
            addresses.extend(address(value, &field, notes));
        }
    }
    addresses.extend(ovn::own_addresses(object, notes));
    // Their order means nothing and changes with the node's heartbeats.
    addresses.sort_unstable();
    addresses.dedup();
    NodeFacts {
        labels: object.labels(),
        ready: ready.and_then(|condition| condition.get("status")).is_some_and(|status| status == "True"),
        unschedulable: flag(object.at("/spec/unschedulable"), "spec.unschedulable", notes),
        addresses,
        provider_id: text(object.at("/spec/providerID"), "spec.providerID", notes).map(str::to_owned),
        machine: object.annotation(names::MACHINE_ANNOTATION).map(str::to_owned),
        capacity: object.annotation(names::CAPACITY_ANNOTATION).map_or_else(Capacity::default, |json| {
            capacity(json).unwrap_or_else(|| {
                let field = format!("metadata.annotations[{}]", names::CAPACITY_ANNOTATION);
                let json = shown(&Value::from(json));
                notes.push(FieldNote::new(field, format!("{json} is no list of interfaces with their capacity")));
                Capacity::default()
            })
        }),
    }
}

/// The capacity in the annotation of the cloud network config controller: `[{"capacity":{"ip":255}}]`, or by family.
/// Only the first interface counts. What is absent is not limited.
fn capacity(json: &str) -> Option<Capacity> {
    let interfaces: Value = serde_json::from_str(json).ok()?;
    let limits = interfaces.as_array()?.first()?.get("capacity")?.as_object()?;
    let limit = |name| limits.get(name).and_then(Value::as_u64).map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
    Some(Capacity { total: limit("ip"), ipv4: limit("ipv4"), ipv6: limit("ipv6") })
}

/// What a namespace asks for.
pub fn namespace_facts(object: &Object, notes: &mut FieldNotes) -> NamespaceFacts {
    check_texts(object.at("/metadata/labels"), "metadata.labels", notes);
    check_texts(object.at("/metadata/annotations"), "metadata.annotations", notes);
    let annotation = |name| object.annotation(name).map(str::to_owned);
    NamespaceFacts {
        resource_version: object.resource_version().to_owned(),
        created: object.created(),
        terminating: object.is_deleting() || object.at("/status/phase") == "Terminating",
        labels: object.labels(),
        // No object has a name that is longer or has other characters, but this one is shown to people.
        pool: object
            .annotation(names::POOL_ANNOTATION)
            .filter(|name| !name.is_empty())
            .map(|name| PoolName::from(printable(name, LONGEST_NAME).as_str())),
        egress_ips: annotation(names::RESULT_ANNOTATION),
        hold: annotation(names::HOLD_ANNOTATION),
    }
}

/// A record of client-go's leader election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRecord {
    /// Who holds the lock.
    pub identity: String,
    /// When it was renewed last, Unix milliseconds.
    pub renewed: u64,
    /// For how long, in milliseconds.
    pub lasts: u64,
}

/// Who holds redhat-cop's lock, if anybody does: no record, or no holder in it, is nobody.
pub fn lock_record(object: &Object, notes: &mut FieldNotes) -> Option<LockRecord> {
    let field = format!("metadata.annotations[{}]", names::LEADER_ANNOTATION);
    let text = object.annotation(names::LEADER_ANNOTATION)?;
    let record: Value = match serde_json::from_str(text) {
        Ok(record) => record,
        Err(error) => {
            notes.push(FieldNote::new(field, format!("not JSON: {error}")));
            return None;
        }
    };
    let identity = record.get("holderIdentity")?.as_str().filter(|identity| !identity.is_empty())?;
    let seconds = record.get("leaseDurationSeconds").and_then(Value::as_u64);
    let renewed = record.get("renewTime").and_then(|time| unix_milliseconds(time.as_str()?));
    let (Some(seconds), Some(renewed)) = (seconds, renewed) else {
        notes.push(FieldNote::new(field, format!("no renewTime or leaseDurationSeconds in {}", shown(&record))));
        return None;
    };
    Some(LockRecord { identity: identity.to_owned(), renewed, lasts: seconds.saturating_mul(1000) })
}
