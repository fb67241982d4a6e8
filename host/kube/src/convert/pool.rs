//! `EgressIPAM`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use sluice_core::observed::{PoolEntry, PoolFacts, PoolSpec, SpecError};

use super::read::{FieldNote, FieldNotes, list, shown, text, unknown_fields};
use super::selector::node_selector;
use crate::names;
use crate::object::Object;

const SPEC_FIELDS: [&str; 7] =
    ["topologyLabel", "nodeSelector", "cidrAssignments", "cidr", "reservedIPs", "zoneFailover", "standbyNodesPerZone"];
const ENTRY_FIELDS: [&str; 3] = ["CIDR", "labelValue", "reservedIPs"];

/// Nodes of each zone that stand by, unless the pool says how many.
const STANDBY_NODES: u32 = 1;

/// What a pool asks for. Whatever can be read counts; all that cannot is in `errors`, not only the first.
pub fn pool_facts(object: &Object) -> PoolFacts {
    let mut reading = Reading::default();
    let spec = reading.spec(object.at("/spec"));
    let finalizers = object.at("/metadata/finalizers").as_array().into_iter().flatten().filter_map(Value::as_str);
    let (ours, others): (Vec<&str>, Vec<&str>) = finalizers.partition(|name| *name == names::FINALIZER);
    PoolFacts {
        resource_version: object.resource_version().to_owned(),
        generation: object.generation(),
        created: object.created(),
        deleting: object.is_deleting(),
        guarded: !ours.is_empty(),
        other_guards: others.into_iter().map(str::to_owned).collect(),
        spec,
        errors: reading.errors.into_iter().map(|note| SpecError { field: note.field, text: note.text }).collect(),
        warnings: reading.warnings,
        no_load_balancer: object.annotation(names::LOAD_BALANCER_ANNOTATION) == Some("none"),
    }
}

#[derive(Default)]
struct Reading {
    errors: FieldNotes,
    warnings: Vec<String>,
}

impl Reading {
    fn error(&mut self, field: impl Into<String>, text: impl Into<String>) {
        self.errors.push(FieldNote::new(field, text));
    }

    fn warn_of_unknown(&mut self, value: &Value, field: &str, known: &[&str]) {
        self.warnings.extend(unknown_fields(value, field, known).iter().map(ToString::to_string));
    }

    fn spec(&mut self, spec: &Value) -> PoolSpec {
        if !spec.is_object() {
            let text =
                if spec.is_null() { "missing".to_owned() } else { format!("expected a map, found {}", shown(spec)) };
            self.error("spec", text);
            return PoolSpec::default();
        }
        self.warn_of_unknown(spec, "spec", &SPEC_FIELDS);
        let part = |name: &str| spec.get(name).unwrap_or(&Value::Null);
        let topology_label = self.topology_label(part("topologyLabel"));
        let node_selector = node_selector(part("nodeSelector"), "spec.nodeSelector", &mut self.errors);
        let entries = self.entries(part("cidrAssignments"));
        let has_entries = part("cidrAssignments").as_array().is_some_and(|items| !items.is_empty());
        let cidr = self.pool_wide_cidr(part("cidr"), has_entries);
        let reserved = self.reserved(part("reservedIPs"), "spec.reservedIPs", cidr);
        if cidr.is_none() && !part("reservedIPs").is_null() {
            self.warnings.push("spec.reservedIPs: belongs to spec.cidr, which is not set".to_owned());
        }
        let assignments = part("cidrAssignments");
        let is_empty = assignments.is_null() || assignments.as_array().is_some_and(Vec::is_empty);
        if is_empty && part("cidr").is_null() {
            self.error("spec.cidrAssignments", "missing or empty, and so is spec.cidr: the pool has no addresses");
        }
        PoolSpec {
            topology_label,
            node_selector,
            entries,
            cidr,
            reserved,
            zone_failover: self.zone_failover(part("zoneFailover")),
            standby_nodes: self.standby_nodes(part("standbyNodesPerZone")),
        }
    }

    fn topology_label(&mut self, value: &Value) -> String {
        let before = self.errors.len();
        let label = text(value, "spec.topologyLabel", &mut self.errors).unwrap_or_default();
        if label.is_empty() && self.errors.len() == before {
            self.error("spec.topologyLabel", "empty: no node can be in a zone");
        }
        label.to_owned()
    }

    fn entries(&mut self, value: &Value) -> Vec<PoolEntry> {
        let mut entries: Vec<PoolEntry> = Vec::new();
        let items = list(value, "spec.cidrAssignments", &mut self.errors).unwrap_or_default();
        for (position, item) in items.iter().enumerate() {
            let field = format!("spec.cidrAssignments[{position}]");
            let Some(entry) = self.entry(item, &field) else { continue };
            if entries.iter().any(|other| other.cidr == entry.cidr) {
                self.error(format!("{field}.CIDR"), format!("{} is there already, in an earlier entry", entry.cidr));
                continue;
            }
            entries.push(entry);
        }
        entries
    }

    fn entry(&mut self, item: &Value, field: &str) -> Option<PoolEntry> {
        if !item.is_object() {
            self.error(field, format!("expected a map, found {}", shown(item)));
            return None;
        }
        self.warn_of_unknown(item, field, &ENTRY_FIELDS);
        let part = |name: &str| item.get(name).unwrap_or(&Value::Null);
        let cidr = self.cidr(part("CIDR"), &format!("{field}.CIDR"));
        let before = self.errors.len();
        let label_value = text(part("labelValue"), &format!("{field}.labelValue"), &mut self.errors);
        if label_value.is_none() && self.errors.len() == before {
            self.error(format!("{field}.labelValue"), "missing");
        }
        let reserved = self.reserved(part("reservedIPs"), &format!("{field}.reservedIPs"), cidr);
        Some(PoolEntry { cidr: cidr?, label_value: label_value?.to_owned(), reserved })
    }

    fn pool_wide_cidr(&mut self, value: &Value, has_entries: bool) -> Option<IpNet> {
        if value.is_null() {
            return None;
        }
        let cidr = self.cidr(value, "spec.cidr");
        if has_entries {
            self.error("spec.cidr", "excludes cidrAssignments; the entries count until one of them is removed");
            return None;
        }
        cidr
    }

    /// A range, its host bits masked: `10.20.0.9/24` is `10.20.0.0/24`.
    fn cidr(&mut self, value: &Value, field: &str) -> Option<IpNet> {
        let before = self.errors.len();
        let Some(text) = text(value, field, &mut self.errors) else {
            if self.errors.len() == before {
                self.error(field, "missing");
            }
            return None;
        };
        match text.parse::<IpNet>() {
            Ok(IpNet::V4(range)) => Some(IpNet::V4(range.trunc())),
            Ok(IpNet::V6(_)) => {
                self.error(field, format!("{} is IPv6, which OpenShift SDN does not carry", shown(value)));
                None
            }
            Err(_) => {
                self.error(field, format!("{} is not a range such as 10.20.0.0/24", shown(value)));
                None
            }
        }
    }

    fn reserved(&mut self, value: &Value, field: &str, range: Option<IpNet>) -> BTreeSet<IpAddr> {
        let mut reserved = BTreeSet::new();
        let items = list(value, field, &mut self.errors).unwrap_or_default();
        for (position, item) in items.iter().enumerate() {
            let field = format!("{field}[{position}]");
            match item.as_str().and_then(|text| text.parse::<IpAddr>().ok()) {
                Some(address) => {
                    if let Some(range) = range.filter(|range| !range.contains(&address)) {
                        self.warnings.push(format!("{field}: {address} is outside {range} and reserves nothing"));
                    }
                    reserved.insert(address);
                }
                None => self.error(field, format!("{} is not an address", shown(item))),
            }
        }
        reserved
    }

    fn standby_nodes(&mut self, value: &Value) -> u32 {
        if value.is_null() {
            return STANDBY_NODES;
        }
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.unwrap_or_else(|| {
            self.error("spec.standbyNodesPerZone", format!("{} is no number of nodes", shown(value)));
            STANDBY_NODES
        })
    }

    fn zone_failover(&mut self, value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::String(word) if word == "Same" => false,
            Value::String(word) if word == "Any" => true,
            other => {
                self.error("spec.zoneFailover", format!("{} is neither Same nor Any", shown(other)));
                false
            }
        }
    }
}
