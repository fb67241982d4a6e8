//! The nodes of a pool.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::ranges::common;
use crate::cloud::InterfaceFacts;
use crate::name::{NodeIndex, NodeName, PoolName};
use crate::observed::{Observed, PoolFacts};
use crate::snapshot::Node;

/// Nodes that a pool selects, by value of its topology label.
pub(super) struct Members<'a> {
    pub(super) by_value: BTreeMap<&'a str, Vec<Member<'a>>>,
    /// Nodes that would be members if the network had a carrier for them, with the value of the label.
    pub(super) without_subnet: Vec<(&'a str, &'a NodeName)>,
}

/// A node of a pool.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    pub(super) node: NodeIndex,
    pub(super) name: &'a NodeName,
    /// Its interface, where the cloud has a say.
    pub(super) interface: Option<&'a InterfaceFacts>,
    /// The networks whose addresses it can carry, where that is limited.
    pub(super) networks: Option<&'a [IpNet]>,
}

impl Member<'_> {
    /// Whether the cloud's subnet of the node has the addresses, and one of its networks some of them. One without
    /// interface is told elsewhere.
    pub(super) fn reaches(&self, range: IpNet) -> bool {
        self.interface.is_none_or(|interface| interface.contains(&range))
            && self.networks.is_none_or(|networks| networks.iter().any(|&network| common(network, range).is_some()))
    }

    /// Whether the node can carry every address of a range.
    pub(super) fn has_all(&self, range: IpNet) -> bool {
        let contains = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&range));
        self.reaches(range) && self.networks.is_none_or(contains)
    }
}

impl<'a> Members<'a> {
    /// `bare`: nodes without a carrier.
    pub(super) fn of(observed: &'a Observed, facts: &PoolFacts, nodes: &[Node], bare: &[&'a NodeName]) -> Self {
        let cloud = observed.cloud.as_deref();
        let mut by_value: BTreeMap<&str, Vec<Member<'_>>> = BTreeMap::new();
        for (position, node) in nodes.iter().enumerate() {
            let Some((name, node_facts)) = observed.nodes.get_key_value::<NodeName>(&node.name) else {
                continue;
            };
            let Some(value) = node_facts.labels.get(&facts.spec.topology_label) else {
                continue;
            };
            let Some(carrier) = observed.carriers.get(name) else { continue };
            if facts.spec.node_selector.matches(&node_facts.labels) {
                let interface = cloud.and_then(|cloud| cloud.interfaces.get(name));
                let networks = carrier.networks.as_deref();
                let node = NodeIndex::at(position);
                by_value.entry(value).or_default().push(Member { node, name, interface, networks });
            }
        }
        let without_subnet = bare.iter().filter_map(|&name| {
            let node = observed.nodes.get(name).filter(|node| facts.spec.node_selector.matches(&node.labels))?;
            Some((node.labels.get(&facts.spec.topology_label)?.as_str(), name))
        });
        Self { by_value, without_subnet: without_subnet.collect() }
    }

    pub(super) fn of_value(&self, value: &str) -> impl Iterator<Item = &Member<'a>> {
        self.by_value.get(value).into_iter().flatten()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Member<'a>> {
        self.by_value.values().flatten()
    }

    /// The zones of a pool-wide range: every label value that has a node, or that is home to an address. A zone
    /// without nodes stays a zone as long as an address calls it home, or its addresses would lose theirs.
    pub(super) fn label_values(&self, observed: &Observed, pool: &PoolName) -> BTreeSet<String> {
        let homes = observed
            .holdings
            .values()
            .filter(|facts| facts.pool.as_ref() == Some(pool))
            .flat_map(|facts| facts.egress_ips.iter().filter_map(|listed| facts.zones.get(&listed.address()?)))
            .cloned();
        self.by_value.keys().map(|&value| value.to_owned()).chain(homes).collect()
    }
}
