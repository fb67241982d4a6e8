//! Pools, zones and nodes.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::failover::open_zones;
use super::members::{Member, Members};
use super::ranges::{common, customary_reserved, precedes, subtract};
use super::{PoolNote, Survey};
use crate::cloud::{CloudFacts, InterfaceFacts};
use crate::name::{NodeIndex, NodeName, PoolIndex, PoolName, ZoneName};
use crate::network::Network;
use crate::network::write::Target;
use crate::observed::{Blind, NodeFacts, Observed, Platform, PoolFacts};
use crate::snapshot::{Health, Node, Placement, Pool, Zone};
use crate::text::listed;

/// The part of a snapshot that pools and nodes alone decide.
pub(super) struct Topology {
    pub(super) pools: Vec<Pool>,
    pub(super) zones: Vec<Zone>,
    pub(super) nodes: Vec<Node>,
    pub(super) notes: Vec<PoolNote>,
    pub(super) invalid: BTreeSet<PoolIndex>,
}

impl Topology {
    pub(super) fn of(observed: &Observed) -> Self {
        let nodes = carriers(observed);
        let mut topology =
            Self { pools: Vec::new(), zones: Vec::new(), nodes, notes: Vec::new(), invalid: BTreeSet::new() };
        let bare: Vec<&NodeName> =
            observed.nodes.keys().filter(|name| !observed.carriers.contains_key(*name)).collect();
        for (name, facts) in observed.pools.iter().filter(|(_, facts)| !facts.deleting) {
            topology.add_pool(observed, name, facts, &bare);
        }
        topology.find_placements(observed);
        topology
    }

    fn add_pool(&mut self, observed: &Observed, name: &PoolName, facts: &PoolFacts, bare: &[&NodeName]) {
        let index = PoolIndex::at(self.pools.len());
        let spec = &facts.spec;
        if !facts.errors.is_empty() {
            self.invalid.insert(index);
        }
        self.notes.extend(facts.warnings.iter().map(|text| PoolNote { pool: name.clone(), text: text.clone() }));
        let older = older(observed, name, facts);
        self.note_overlaps(name, facts, &older);
        let holes: Vec<IpNet> = older.iter().flat_map(|(_, other)| other.spec.ranges()).collect();
        let own = |range: IpNet| holes.iter().fold(vec![range], |rest, &hole| subtract(&rest, hole));

        let mut reserved: Vec<IpNet> = spec.ranges().flat_map(customary_reserved).collect();
        reserved.extend(
            spec.entries.iter().flat_map(|entry| &entry.reserved).chain(&spec.reserved).map(|&a| IpNet::from(a)),
        );
        let clouds = observed.cloud.iter().flat_map(|cloud| &cloud.reserved);
        reserved.extend(clouds.flat_map(|theirs| spec.ranges().filter_map(|range| common(range, *theirs))));
        reserved.sort();
        reserved.dedup();

        let members = Members::of(observed, facts, &self.nodes, bare);
        self.note_unusable(observed, name, &members);
        let mut earlier: Vec<IpNet> = Vec::new();
        for entry in &spec.entries {
            let ranges = earlier.iter().fold(own(entry.cidr), |rest, &hole| subtract(&rest, hole));
            if ranges.is_empty() {
                let what = format!("{} of zone {}", entry.cidr, entry.label_value);
                let text = format!(
                    "{what} belongs to other entries or older pools as a whole, so that nothing of it is given out"
                );
                self.notes.push(PoolNote { pool: name.clone(), text });
            }
            earlier.push(entry.cidr);
            self.zones.push(zone(index, (&entry.label_value, entry.cidr), ranges, &members));
        }
        if let Some(whole) = spec.cidr {
            for value in members.label_values(observed, name) {
                self.zones.push(zone(index, (&value, whole), Vec::new(), &members));
            }
        }
        let all: Vec<Member<'_>> = members.all().copied().collect();
        self.notes.extend(open_zones(&mut self.zones, index, (name, facts), &self.nodes, &all, observed.network));
        self.pools.push(Pool {
            name: name.clone(),
            ranges: spec.cidr.map_or_else(Vec::new, own),
            reserved,
            placement: observed.network.placement(),
        });
    }

    /// Says which of a pool's nodes can carry nothing, and why.
    fn note_unusable(&mut self, observed: &Observed, pool: &PoolName, members: &Members<'_>) {
        let Some(facts) = observed.pools.get(pool) else { return };
        let mut of_reason: BTreeMap<String, Vec<&NodeName>> = BTreeMap::new();
        let has_zone = |value: &str| {
            facts.spec.cidr.is_some() || facts.spec.entries.iter().any(|entry| entry.label_value == value)
        };
        let left_out = members.without_subnet.iter().filter(|(value, _)| has_zone(value)).map(|(_, name)| *name);
        let left_out: Vec<&NodeName> = left_out.collect();
        if !left_out.is_empty() {
            of_reason.insert(observed.words.no_carrier.to_owned(), left_out);
        }
        if let Some(cloud) = observed.cloud.as_deref() {
            unusable_in(cloud, facts, members, &mut of_reason);
        }
        outside_of_networks(facts, members, &mut of_reason);
        self.notes.extend(of_reason.into_iter().map(|(reason, nodes)| {
            let text = format!("no address can be carried by {}: {reason}", listed(&nodes, ", "));
            PoolNote { pool: pool.clone(), text }
        }));
    }

    fn note_overlaps(&mut self, name: &PoolName, facts: &PoolFacts, older: &[(&PoolName, &PoolFacts)]) {
        for (older_name, other) in older {
            for range in facts.spec.ranges() {
                for theirs in other.spec.ranges().filter(|theirs| theirs.contains(&range) || range.contains(theirs)) {
                    let intersection = if theirs.contains(&range) { range } else { theirs };
                    self.notes.push(PoolNote {
                        pool: name.clone(),
                        text: format!("{range} overlaps {theirs} of the older pool {older_name}, which owns {intersection} for new addresses"),
                    });
                    self.notes.push(PoolNote {
                        pool: (*older_name).clone(),
                        text: format!("{theirs} overlaps {range} of the younger pool {name}; this pool owns {intersection} for new addresses"),
                    });
                }
            }
        }
    }

    /// SDN may place the addresses of a pool by itself where nothing else has a say on its nodes (R13).
    fn find_placements(&mut self, observed: &Observed) {
        if observed.network != Network::OpenShiftSdn || !matches!(observed.platform, Platform::SelfManaged(_)) {
            return;
        }
        let mut pools_of_node: BTreeMap<NodeIndex, BTreeSet<PoolIndex>> = BTreeMap::new();
        for zone in &self.zones {
            for &node in &zone.nodes {
                pools_of_node.entry(node).or_default().insert(zone.pool);
            }
        }
        for (position, pool) in self.pools.iter_mut().enumerate() {
            let index = PoolIndex::at(position);
            let Some(facts) = observed.pools.get(&pool.name) else {
                continue;
            };
            let alone = self
                .zones
                .iter()
                .filter(|zone| zone.pool == index)
                .flat_map(|zone| &zone.nodes)
                .all(|node| pools_of_node.get(node).is_none_or(|pools| pools.len() == 1));
            let [entry] = facts.spec.entries.as_slice() else {
                continue;
            };
            // Of a spec with errors an entry may be missing: then only what is there already counts.
            let range = entry.cidr.to_string();
            let nodes = || self.zones.iter().filter(|zone| zone.pool == index).flat_map(|zone| &zone.nodes);
            let subnet = |node: &NodeIndex| observed.carriers.get(&self.nodes.get(node.position())?.name);
            let placed = || nodes().filter_map(subnet).any(|subnet| subnet.ranges.contains(&range));
            if alone && facts.spec.cidr.is_none() && (facts.errors.is_empty() || placed()) {
                pool.placement = Placement::Network;
            }
        }
    }
}

impl Survey {
    /// A node whose carrier or interface refuses writes keeps what it has and gets nothing new, as if it was cordoned
    /// (R10): whoever was placed there would wait. It counts as before where a zone has no other healthy node, since then
    /// nobody could be served anyway, and a fault of all of them (a right that is missing) is none of this one.
    pub(crate) fn spare_nodes(&mut self, observed: &Observed, refused: &BTreeSet<Target>) {
        let subnets = refused.iter().filter_map(|target| match target {
            Target::Carrier(name) => Some((name, format!("{} {name}", observed.words.carrier))),
            _ => None,
        });
        let interfaces = observed.written_interfaces().into_iter().flat_map(|cloud| &cloud.interfaces);
        // One that is not busy any more may be tried again.
        let resting = interfaces.filter(|(_, interface)| interface.busy && interface.complaint.is_some());
        let avoided = subnets.chain(resting.map(|(name, _)| (name, format!("the interface of {name}"))));
        let avoided: BTreeMap<NodeIndex, String> =
            avoided.filter_map(|(name, what)| Some((self.snapshot.node_named(name)?, what))).collect();
        let is_open = |node: &NodeIndex| {
            !avoided.contains_key(node) && self.snapshot.node(*node).is_some_and(|node| node.health == Health::Healthy)
        };
        let zones_of = |node| self.snapshot.zones.iter().filter(move |zone| zone.nodes.binary_search(&node).is_ok());
        let spared: Vec<(NodeIndex, &String)> = avoided
            .iter()
            .map(|(&node, what)| (node, what))
            .filter(|&(node, _)| zones_of(node).all(|zone| zone.nodes.iter().any(is_open)))
            .collect();
        for (node, what) in spared {
            let pools: BTreeSet<PoolIndex> = zones_of(node).map(|zone| zone.pool).collect();
            let text = format!("{what} refuses writes: the node gets nothing new");
            let names = pools.iter().filter_map(|&pool| self.snapshot.pool(pool));
            self.notes.extend(names.map(|pool| PoolNote { pool: pool.name.clone(), text: text.clone() }));
            if let Some(node) = self.snapshot.nodes.get_mut(node.position())
                && node.health == Health::Healthy
            {
                node.health = Health::Draining;
            }
        }
    }
}

/// The nodes that the cloud lets carry nothing, by reason.
fn unusable_in<'a>(
    cloud: &CloudFacts,
    facts: &PoolFacts,
    members: &Members<'a>,
    of_reason: &mut BTreeMap<String, Vec<&'a NodeName>>,
) {
    for (value, member) in members.by_value.iter().flat_map(|(value, of)| of.iter().map(move |one| (*value, one))) {
        let entries = facts.spec.entries.iter().filter(|entry| entry.label_value == value).map(|entry| entry.cidr);
        let mut foreign = entries.chain(facts.spec.cidr).filter(|range| !member.reaches(*range));
        let reason = match (cloud.unusable.get(member.name), member.interface, foreign.next()) {
            (Some(reason), ..) => reason.clone(),
            (None, None, _) if cloud.writes => "the cloud shows no interface of it".to_owned(),
            (None, Some(_), Some(range)) => format!("its subnet does not contain {range}"),
            (None, ..) => continue,
        };
        of_reason.entry(reason).or_default().push(member.name);
    }
}

/// The nodes whose networks contain nothing of what they would carry, with these networks.
fn outside_of_networks<'a>(
    facts: &PoolFacts,
    members: &Members<'a>,
    of_reason: &mut BTreeMap<String, Vec<&'a NodeName>>,
) {
    for (value, member) in members.by_value.iter().flat_map(|(value, of)| of.iter().map(move |one| (*value, one))) {
        let entries = facts.spec.entries.iter().filter(|entry| entry.label_value == value).map(|entry| entry.cidr);
        let Some(networks) = member.networks else { continue };
        for range in entries.chain(facts.spec.cidr).filter(|range| !member.reaches(*range)) {
            let names: Vec<String> = networks.iter().map(ToString::to_string).collect();
            let of_it = if names.is_empty() { "it has no network".to_owned() } else { names.join(", ") };
            of_reason.entry(format!("{range} is in none of its networks: {of_it}")).or_default().push(member.name);
        }
    }
}

/// Pools that own what they share with this one.
fn older<'a>(observed: &'a Observed, name: &PoolName, facts: &PoolFacts) -> Vec<(&'a PoolName, &'a PoolFacts)> {
    observed
        .pools
        .iter()
        .map(|(other_name, other)| (other_name, other.as_ref()))
        .filter(|&(other_name, other)| {
            other_name != name && !other.deleting && precedes((other_name, other), (name, facts))
        })
        .collect()
}

/// Nodes with a carrier, and machines whose interface has addresses of ours; one whose Node is gone is a carrier that
/// is down (R10, R12).
fn carriers(observed: &Observed) -> Vec<Node> {
    let has_ours = |interface: &InterfaceFacts| interface.addresses.values().any(|address| address.ours);
    let interfaces = observed.written_interfaces().into_iter().flat_map(|cloud| &cloud.interfaces);
    let with_ours = interfaces.filter(|(_, interface)| has_ours(interface)).map(|(name, _)| name);
    let names: BTreeSet<&NodeName> = observed.carriers.keys().chain(with_ours).collect();
    // One that is not known, where Nodes cannot be seen, may work.
    let missing = if observed.sees(Blind::Nodes) { Health::Down } else { Health::Draining };
    let node = |name: &NodeName| Node {
        name: name.clone(),
        health: observed.nodes.get(name).map_or(missing, |facts| health(facts)),
        capacity: observed.capacity(name),
        other_load: 0,
    };
    names.into_iter().map(node).collect()
}

fn health(facts: &NodeFacts) -> Health {
    match (facts.ready, facts.unschedulable) {
        (false, _) => Health::Down,
        (true, true) => Health::Draining,
        (true, false) => Health::Healthy,
    }
}

fn zone(pool: PoolIndex, (label_value, range): (&str, IpNet), ranges: Vec<IpNet>, members: &Members<'_>) -> Zone {
    let reach = || members.of_value(label_value).filter(|member| member.reaches(range));
    Zone {
        pool,
        name: ZoneName::from(label_value),
        ranges: within_networks(ranges, reach()),
        nodes: reach().map(|member| member.node).collect(),
        may_leave: false,
        share: None,
    }
}

/// What of a zone's ranges some node of it can carry: new addresses come from there. All of them where there is no node to
/// ask, or one that can carry any.
fn within_networks<'a>(ranges: Vec<IpNet>, nodes: impl Iterator<Item = &'a Member<'a>>) -> Vec<IpNet> {
    let mut networks: BTreeSet<IpNet> = BTreeSet::new();
    for node in nodes {
        let Some(of_node) = node.networks else { return ranges };
        networks.extend(of_node.iter().copied());
    }
    if networks.is_empty() || ranges.iter().all(|range| networks.iter().any(|network| network.contains(range))) {
        return ranges;
    }
    let inside = ranges.iter().flat_map(|&range| networks.iter().filter_map(move |&network| common(range, network)));
    IpNet::aggregate(&inside.collect())
}
