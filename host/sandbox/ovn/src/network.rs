//! What a node's annotations say about networks (OVN-Kubernetes, `util/node_annotations.go`).

use crate::names::{CLOUD_CONFIG, HOST_CIDRS, PRIMARY, SUBNETS};
use crate::object::Node;
use ipnet::IpNet;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// How many addresses a node can carry. What is absent is unlimited, and 0 is full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Of both families together.
    pub ip: Option<i64>,
    /// Of IPv4.
    pub ipv4: Option<i64>,
    /// Of IPv6.
    pub ipv6: Option<i64>,
}

/// What a node can carry: addresses of its network, and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    v4: Option<IpNet>,
    v6: Option<IpNet>,
    pub(crate) capacity: Capacity,
}

impl Config {
    /// Reads a node. There is nothing to read while an annotation is missing or broken.
    pub(crate) fn of(node: &Node, cloud: bool) -> Option<Self> {
        has_subnets(node)?;
        if !cloud {
            let (v4, v6) = addresses(&parsed(node, PRIMARY)?)?;
            (v4.is_some() || v6.is_some()).then_some(())?;
            return Some(Self { v4, v6, capacity: Capacity::default() });
        }
        let list = parsed(node, CLOUD_CONFIG)?;
        let elements = list.as_array()?;
        elements.iter().all(|element| element.is_object() || element.is_null()).then_some(())?;
        // Only the first interface counts, whatever follows.
        let first = elements.first()?;
        let nothing = Value::Null;
        let (v4, v6) = addresses(first.get("ifaddr").unwrap_or(&nothing))?;
        // The node's own address is read too, so that a node without it is not used.
        let (own_v4, own_v6) = addresses(&parsed(node, PRIMARY)?)?;
        (own_v4.is_some() || own_v6.is_some()).then_some(())?;
        Some(Self { v4, v6, capacity: capacity(first.get("capacity").unwrap_or(&nothing))? })
    }

    /// Whether the network of the cluster contains an address on this node.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        [self.v4, self.v6].into_iter().flatten().any(|network| network.contains(&ip))
    }
}

/// An annotation could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// The network beside the cluster's that contains an address: the longest prefix of the host's addresses of global
/// scope, without those of the primary interface.
pub(crate) fn secondary(node: &Node, ip: IpAddr) -> Result<Option<IpNet>, Unreadable> {
    let Some(annotation) = node.annotations.get(HOST_CIDRS) else { return Ok(None) };
    let listed: Vec<String> = serde_json::from_str(annotation).map_err(|_| Unreadable)?;
    let primary = parsed(node, PRIMARY).ok_or(Unreadable)?;
    let own: Vec<&str> = ["ipv4", "ipv6"].iter().filter_map(|family| primary.get(family)?.as_str()).collect();
    if own.iter().all(|address| address.is_empty()) {
        return Err(Unreadable);
    }
    let mut networks = Vec::new();
    for cidr in listed.iter().filter(|cidr| !own.contains(&cidr.as_str())) {
        let network: IpNet = cidr.parse().map_err(|_| Unreadable)?;
        if network.contains(&ip) && is_global(network.addr()) {
            networks.push(network.trunc());
        }
    }
    Ok(networks.into_iter().max_by_key(IpNet::prefix_len))
}

/// All addresses of a host. Unlike for [`secondary`], a missing annotation is an error here.
pub(crate) fn host_addresses(node: &Node) -> Result<BTreeSet<IpAddr>, Unreadable> {
    let annotation = node.annotations.get(HOST_CIDRS).ok_or(Unreadable)?;
    let listed: Vec<String> = serde_json::from_str(annotation).map_err(|_| Unreadable)?;
    listed.iter().map(|cidr| cidr.parse::<IpNet>().map(|network| network.addr()).map_err(|_| Unreadable)).collect()
}

/// An address as Go reads it: one of IPv4 that is written as IPv6 is one of IPv4.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

fn is_global(ip: IpAddr) -> bool {
    let of_link = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(of_link || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast())
}

fn parsed(node: &Node, annotation: &str) -> Option<Value> {
    serde_json::from_str(node.annotations.get(annotation)?).ok()
}

/// A node's range of pods is one text or a list of them, per network.
fn has_subnets(node: &Node) -> Option<()> {
    let subnets = parsed(node, SUBNETS)?;
    let default = subnets.get("default")?;
    let listed: Vec<&str> = match default {
        Value::String(one) => vec![one.as_str()],
        Value::Array(many) => many.iter().map(Value::as_str).collect::<Option<_>>()?,
        _ => return None,
    };
    (!listed.is_empty() && listed.iter().all(|subnet| subnet.parse::<IpNet>().is_ok())).then_some(())
}

/// The two families of an `ifaddr`. None if one of them is there and is no network.
fn addresses(value: &Value) -> Option<(Option<IpNet>, Option<IpNet>)> {
    let family = |name| match value.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) if text.is_empty() => Some(None),
        Some(Value::String(text)) => text.parse().ok().map(Some),
        Some(_) => None,
    };
    Some((family("ipv4")?, family("ipv6")?))
}

/// None if one of them is there and is no whole number.
fn capacity(value: &Value) -> Option<Capacity> {
    let field = |name| match value.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(number) => number.as_i64().map(Some),
    };
    Some(Capacity { ip: field("ip")?, ipv4: field("ipv4")?, ipv6: field("ipv6")? })
}
