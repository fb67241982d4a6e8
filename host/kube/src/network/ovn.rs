//! OVN-Kubernetes: an `EgressIP` says what an owner holds, its status which nodes carry it, and a label of a node whether the
//! network may place addresses there.
//!
//! Our records are labels: the first status that the network writes replaces all annotations of an object
//! (OVN-Kubernetes, `egressip_controller.go`).

mod assembly;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use sluice_core::name::{NodeName, OwnerName, PoolName};
use sluice_core::network::{Home, Words};
use sluice_core::observed::Listed;

use crate::convert::read::{list, listed, readable, shown};
use crate::convert::{FieldNote, FieldNotes, Unreadable, private_ip};
use crate::kind::Coordinates;
use crate::names::CAPACITY_ANNOTATION;
use crate::object::Object;
pub(super) use assembly::show;

/// Where `EgressIP` objects are served.
pub(crate) const EGRESS_IP: Coordinates = ("k8s.ovn.org", "v1", "EgressIP", "egressips");

/// What people call these objects.
pub(super) const WORDS: Words = Words {
    holding: EGRESS_IP.2,
    holdings: "EgressIPs",
    carrier: "Node",
    carriers: "Nodes",
    no_carrier: "OVN-Kubernetes does not say in which network it is",
};

/// Label of a Node: the network may place addresses on it. Only its presence counts.
pub(crate) const ASSIGNABLE_LABEL: &str = "k8s.ovn.org/egress-assignable";
/// Annotation of a Node: we set the label.
pub(crate) const ASSIGNABLE_MARK: &str = "sluice.dev/egress-assignable";
/// Annotation of a Node: addresses of its primary interface, with their networks.
const PRIMARY_ANNOTATION: &str = "k8s.ovn.org/node-primary-ifaddr";
/// Annotation of a Node: all its addresses, with their networks.
const HOST_CIDRS_ANNOTATION: &str = "k8s.ovn.org/host-cidrs";
/// Annotations of a Node: egress addresses that the network has put on its interfaces.
const PLACED_ANNOTATIONS: [&str; 2] = ["k8s.ovn.org/bridge-egress-ips", "k8s.ovn.org/secondary-host-egress-ips"];

/// Label of an `EgressIP`: the pool Sluice wrote its addresses for.
const POOL_LABEL: &str = "sluice.dev/pool";
/// Label of an `EgressIP`: the namespace Sluice wrote it for.
const NAMESPACE_LABEL: &str = "sluice.dev/namespace";
/// Prefix of labels of an `EgressIP`, before an address: its home zone.
const ZONE_LABEL: &str = "zone.sluice.dev/";
/// Prefix of labels of an `EgressIP`, before an address: another one takes its place.
const REPLACED_LABEL: &str = "replaced.sluice.dev/";
/// Label of a Namespace that Kubernetes sets to its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// What one `EgressIP` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EgressIpFacts {
    /// Precondition of a write.
    pub(crate) resource_version: String,
    created: u64,
    /// The one namespace that it selects, by name and as a whole; none: it selects otherwise.
    selects: Option<OwnerName>,
    /// Our labels: the pool and the namespace it was written for.
    pool: Option<PoolName>,
    namespace: Option<OwnerName>,
    listed: Vec<Listed>,
    /// Which node carries what, as status says.
    carried: Vec<(NodeName, IpAddr)>,
    /// Our labels: home zones, and what is being replaced.
    zones: BTreeMap<IpAddr, String>,
    replaced: BTreeSet<IpAddr>,
}

impl EgressIpFacts {
    /// Reads an object. Unreadable without its list of addresses: a write would lose what is there.
    pub(crate) fn read(object: &Object, notes: &mut FieldNotes) -> Result<Self, Unreadable> {
        let items = readable(list(object.at("/spec/egressIPs"), "spec.egressIPs", notes), notes)?;
        let labels = object.labels();
        let named = |prefix: &str| {
            let addresses = labels.iter().filter_map(|(key, value)| Some((key.strip_prefix(prefix)?, value)));
            addresses.filter_map(|(name, value)| Some((private_ip(name)?, value.clone()))).collect::<BTreeMap<_, _>>()
        };
        let label = |name: &str| labels.get(name).filter(|value| !value.is_empty());
        Ok(Self {
            resource_version: object.resource_version().to_owned(),
            created: object.created(),
            selects: selected(object),
            pool: label(POOL_LABEL).map(|name| PoolName::from(name.as_str())),
            namespace: label(NAMESPACE_LABEL).map(|name| OwnerName::from(name.as_str())),
            listed: listed(items, "spec.egressIPs", notes),
            carried: carried(object, notes),
            zones: named(ZONE_LABEL),
            replaced: named(REPLACED_LABEL).into_keys().collect(),
        })
    }
}

/// The namespace that an object selects by name and as a whole.
fn selected(object: &Object) -> Option<OwnerName> {
    let is_empty = |value: &Value| value.is_null() || value.as_object().is_some_and(Map::is_empty);
    let pods = object.at("/spec/podSelector").as_object().into_iter().flatten();
    let by_expressions = object.at("/spec/namespaceSelector/matchExpressions");
    let selects_pods = pods.map(|(_, value)| value).any(|value| !is_empty(value) && value != &json!([]));
    if selects_pods || !(is_empty(by_expressions) || by_expressions == &json!([])) {
        return None;
    }
    let labels = object.at("/spec/namespaceSelector/matchLabels").as_object()?;
    let name = labels.get(NAME_LABEL)?.as_str().filter(|_| labels.len() == 1)?;
    Some(OwnerName::from(name))
}

fn carried(object: &Object, notes: &mut FieldNotes) -> Vec<(NodeName, IpAddr)> {
    let items = list(object.at("/status/items"), "status.items", notes).unwrap_or_default();
    let text = |item: &Value, field: &str| item.get(field).and_then(Value::as_str).map(str::to_owned);
    let item = |item: &Value| {
        let (node, address) = (text(item, "node")?, text(item, "egressIP")?);
        Some((NodeName::from(node.as_str()), address.parse().ok()?))
    };
    items.iter().filter_map(item).collect()
}

/// What is said about one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NodeNetwork {
    /// `metadata.uid`: the precondition of a write. Nodes change all the time, so that their version is none.
    pub(crate) uid: String,
    /// It has the label.
    assignable: bool,
    /// The label is ours.
    ours: bool,
    /// When the label was seen first, Unix milliseconds of our clock.
    since: u64,
    /// The networks whose addresses it can carry; none: nobody says.
    networks: Option<Vec<IpNet>>,
    /// It is the cloud's controller that says so.
    told_by_cloud: bool,
}

impl NodeNetwork {
    /// Reads a Node, of which `before` was known so far, at `now`.
    pub(crate) fn read(object: &Object, before: Option<&Self>, now: u64, notes: &mut FieldNotes) -> Self {
        let assignable = object.labels().contains_key(ASSIGNABLE_LABEL);
        let known = before.filter(|before| before.assignable && before.uid == object.uid());
        Self {
            uid: object.uid().to_owned(),
            assignable,
            ours: assignable && object.annotation(ASSIGNABLE_MARK).is_some(),
            since: known.map_or(if assignable { now } else { 0 }, |known| known.since),
            networks: networks(object, notes),
            told_by_cloud: object.annotation(CAPACITY_ANNOTATION).is_some(),
        }
    }
}

/// The networks of a node: on a cloud those that its controller says, which reads the first interface only, and otherwise
/// those of the primary interface and of all others.
fn networks(object: &Object, notes: &mut FieldNotes) -> Option<Vec<IpNet>> {
    if let Some(config) = object.annotation(CAPACITY_ANNOTATION) {
        let config: Value = serde_json::from_str(config).ok()?;
        return Some(families(config.get(0)?.get("ifaddr")?));
    }
    let primary = parsed(object, PRIMARY_ANNOTATION, notes)?;
    let mut networks = families(&primary);
    let own: BTreeSet<IpNet> = networks.iter().map(IpNet::trunc).collect();
    networks.extend(host_cidrs(object, notes).into_iter().filter(|cidr| is_global(cidr.addr())));
    let networks: BTreeSet<IpNet> = networks.iter().map(IpNet::trunc).collect();
    // The primary ones first: they are what people look for.
    let (mut first, others): (Vec<IpNet>, Vec<IpNet>) = networks.into_iter().partition(|net| own.contains(net));
    first.extend(others);
    Some(first)
}

/// `{"ipv4": "10.0.0.1/24", "ipv6": "..."}`.
fn families(value: &Value) -> Vec<IpNet> {
    let of_family = |name| value.get(name).and_then(Value::as_str)?.parse::<IpNet>().ok();
    ["ipv4", "ipv6"].into_iter().filter_map(of_family).map(|net| net.trunc()).collect()
}

fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_link_local() && !address.is_loopback(),
        IpAddr::V6(address) => !address.is_unicast_link_local() && !address.is_loopback(),
    }
}

/// All addresses that a node says it has, without those that the network has put there.
pub(crate) fn own_addresses(object: &Object, notes: &mut FieldNotes) -> Vec<IpAddr> {
    let placed: BTreeSet<IpAddr> = PLACED_ANNOTATIONS
        .into_iter()
        .filter_map(|name| parsed(object, name, notes))
        .flat_map(|list| list.as_array().cloned().unwrap_or_default())
        .filter_map(|text| text.as_str()?.parse().ok())
        .collect();
    let own = host_cidrs(object, notes).into_iter().map(|cidr| cidr.addr());
    own.filter(|address| !placed.contains(address)).collect()
}

fn host_cidrs(object: &Object, notes: &mut FieldNotes) -> Vec<IpNet> {
    let all = parsed(object, HOST_CIDRS_ANNOTATION, notes);
    let all = all.as_ref().and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|text| text.as_str()?.parse().ok()).collect()
}

/// The JSON in an annotation of a node; none if there is none, or if it cannot be read, which is noted.
fn parsed(object: &Object, annotation: &str, notes: &mut FieldNotes) -> Option<Value> {
    let text = object.annotation(annotation)?;
    let parsed = serde_json::from_str(text);
    if parsed.is_err() {
        let field = format!("metadata.annotations[{annotation}]");
        notes.push(FieldNote::new(field, format!("{} is not JSON", shown(&Value::from(text)))));
    }
    parsed.ok()
}

/// The name of the object that we make for a namespace. OpenShift's migration from SDN gives the same.
pub(crate) fn object_name(owner: &OwnerName) -> String {
    format!("egressip-{owner}")
}

/// A new object.
pub(crate) fn new_object(owner: &OwnerName, egress_ips: &[IpAddr], home: &Home) -> Value {
    let (group, version, kind, _) = EGRESS_IP;
    json!({
        "apiVersion": format!("{group}/{version}"),
        "kind": kind,
        "metadata": {"name": object_name(owner), "labels": labels(owner, home)},
        "spec": {
            "egressIPs": egress_ips,
            "namespaceSelector": {"matchLabels": {NAME_LABEL: owner.as_str()}},
        },
    })
}

/// The body of a merge patch of an object, without the precondition. Labels about addresses of which there is a record
/// and shall be none go.
pub(crate) fn patch(
    owner: &OwnerName,
    egress_ips: &[IpAddr],
    home: Option<&Home>,
    recorded: &BTreeSet<IpAddr>,
) -> Value {
    let known = recorded.iter().flat_map(|address| [ZONE_LABEL, REPLACED_LABEL].map(|prefix| (prefix, *address)));
    let mut all: Map<String, Value> =
        known.map(|(prefix, address)| (format!("{prefix}{}", label_name(address)), Value::Null)).collect();
    match home {
        Some(home) => all.extend(labels(owner, home)),
        None => all.extend([POOL_LABEL, NAMESPACE_LABEL].map(|key| (key.to_owned(), Value::Null))),
    }
    json!({"metadata": {"labels": all}, "spec": {"egressIPs": egress_ips}})
}

fn labels(owner: &OwnerName, home: &Home) -> Map<String, Value> {
    let mut labels = Map::from_iter([
        (POOL_LABEL.to_owned(), json!(home.pool.as_str())),
        (NAMESPACE_LABEL.to_owned(), json!(owner.as_str())),
    ]);
    labels.extend(
        home.zones.iter().map(|(address, zone)| (format!("{ZONE_LABEL}{}", label_name(*address)), json!(zone))),
    );
    let replaced = home.replaced.iter().map(|address| (format!("{REPLACED_LABEL}{}", label_name(*address)), json!("")));
    labels.extend(replaced);
    labels
}

/// An address in the name of a label, which cannot have colons: as `CloudPrivateIPConfig` names it.
fn label_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments().map(|part| format!("{part:04x}")).join("."),
    }
}

/// The body of a merge patch of a Node, without the precondition.
pub(crate) fn node_patch(assignable: bool) -> Value {
    let (label, mark) = if assignable { (json!(""), json!("true")) } else { (Value::Null, Value::Null) };
    json!({"metadata": {"labels": {ASSIGNABLE_LABEL: label}, "annotations": {ASSIGNABLE_MARK: mark}}})
}

#[cfg(test)]
mod tests;
