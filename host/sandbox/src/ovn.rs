//! OVN-Kubernetes in a cluster in memory: its cluster manager puts what owners hold onto nodes that may have it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use sluice_core::name::{NodeName, OwnerName};
use sluice_core::network::Words;
use sluice_core::observed::{CarrierFacts, HoldingFacts, Listed, NodeFacts, Observed};
use sluice_sandbox_ovn::{
    ASSIGNABLE, Action, Cluster, ClusterManager, EgressIp, HOST_CIDRS, Node, PRIMARY, SUBNETS, Settings, StatusItem,
};

/// What people call its objects.
pub const WORDS: Words = Words {
    holding: "EgressIP",
    holdings: "EgressIPs",
    carrier: "Node",
    carriers: "Nodes",
    no_carrier: "OVN-Kubernetes does not say in which network it is",
};

/// Most answers of the cluster manager to its own writes until nothing changes.
const MOST_PASSES: usize = 8;

/// Lets a cluster manager look at everything, and waits until it is done. It is a new one each time, so that all it knows is
/// what is seen; the seed decides what it leaves to chance. Whether anything changed.
pub fn act(observed: &mut Observed, seed: u64) -> bool {
    let mut objects: BTreeMap<String, EgressIp> =
        observed.holdings.iter().map(|(name, facts)| (name.to_string(), object(observed, name, facts))).collect();
    let nodes = observed.carriers.iter().filter_map(|(name, facts)| Some(node(name, facts, observed.nodes.get(name)?)));
    // What it starts with is at rest: where it starts with work to do, the first node that it looks at takes all.
    let at_rest = objects.values().map(|object| EgressIp {
        egress_ips: object.status.iter().map(|item| item.egress_ip.clone()).collect(),
        ..object.clone()
    });
    let cluster = Cluster { nodes: nodes.collect(), egress_ips: at_rest.collect(), cpics: Vec::new() };
    let settings = Settings { seed, ..Settings::default() };
    let (mut manager, mut actions) = ClusterManager::start(settings, observed.now, cluster);
    for object in objects.values() {
        actions.extend(manager.egress_ip_changed(observed.now, object.clone()));
    }
    for _ in 0..MOST_PASSES {
        let mut answers = Vec::new();
        for action in std::mem::take(&mut actions) {
            let Action::PatchEgressIp { name, patch } = action else { continue };
            let Some(object) = objects.get_mut(&name) else { continue };
            object.status = status(&patch).unwrap_or_else(|| object.status.clone());
            answers.extend(manager.egress_ip_changed(observed.now, object.clone()));
        }
        if answers.is_empty() {
            break;
        }
        actions = answers;
    }
    show(observed, &objects)
}

/// The objects that the cluster manager sees.
fn object(observed: &Observed, name: &OwnerName, facts: &HoldingFacts) -> EgressIp {
    let listed = || facts.egress_ips.iter().filter_map(Listed::address);
    let carriers = |address: IpAddr| {
        let nodes = observed.carriers.iter();
        let nodes = nodes.filter(move |(_, on)| {
            facts.carried.contains(&address) && on.egress_ips.contains(&Listed::Address(address))
        });
        nodes.map(move |(node, _)| StatusItem { node: node.to_string(), egress_ip: address.to_string() })
    };
    EgressIp {
        name: name.to_string(),
        egress_ips: facts.egress_ips.iter().map(ToString::to_string).collect(),
        status: listed().flat_map(carriers).collect(),
        ..EgressIp::default()
    }
}

/// A node as it describes itself. One whose networks are not known is in all of them.
fn node(name: &NodeName, carrier: &CarrierFacts, facts: &NodeFacts) -> Node {
    let mut labels = facts.labels.clone();
    labels.extend(carrier.assignable.map(|_| (ASSIGNABLE.to_owned(), String::new())));
    let networks: Vec<String> = match &carrier.networks {
        Some(networks) => networks.iter().map(ToString::to_string).collect(),
        None => vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()],
    };
    let first = |v6: bool| networks.iter().find(|network| network.contains(':') == v6).cloned().unwrap_or_default();
    let own = facts.addresses.iter().map(|address| ipnet::IpNet::from(*address).to_string());
    let hosts: Vec<String> =
        own.chain(networks.iter().skip(1).filter(|_| carrier.networks.is_some()).cloned()).collect();
    let annotations = BTreeMap::from([
        (PRIMARY.to_owned(), json!({"ipv4": first(false), "ipv6": first(true)}).to_string()),
        (HOST_CIDRS.to_owned(), json!(hosts).to_string()),
        (SUBNETS.to_owned(), json!({"default": ["10.128.0.0/24"]}).to_string()),
    ]);
    Node { name: name.to_string(), labels, annotations, ready: facts.ready, ..Node::default() }
}

/// The status that a patch sets, if it does.
fn status(patch: &Value) -> Option<Vec<StatusItem>> {
    let sets = |operation: &&Value| operation.get("path").is_some_and(|path| path == "/status");
    let items = patch.as_array()?.iter().find(sets)?.pointer("/value/items")?.as_array()?;
    let text = |item: &Value, field: &str| item.get(field).and_then(Value::as_str).map(str::to_owned);
    let item = |item: &Value| Some(StatusItem { node: text(item, "node")?, egress_ip: text(item, "egressIP")? });
    Some(items.iter().filter_map(item).collect())
}

/// Shows on objects and nodes what the objects' status says.
fn show(observed: &mut Observed, objects: &BTreeMap<String, EgressIp>) -> bool {
    let mut carried: BTreeMap<NodeName, Vec<Listed>> = BTreeMap::new();
    for item in objects.values().flat_map(|object| &object.status) {
        carried.entry(NodeName::from(item.node.as_str())).or_default().push(Listed::from(item.egress_ip.as_str()));
    }
    let mut changed = false;
    for (name, facts) in &mut observed.holdings {
        let items = objects.get(name.as_str()).into_iter().flat_map(|object| &object.status);
        let carried: BTreeSet<IpAddr> = items.filter_map(|item| item.egress_ip.parse().ok()).collect();
        if facts.carried != carried {
            Arc::make_mut(facts).carried = carried;
            changed = true;
        }
    }
    for (name, facts) in &mut observed.carriers {
        let mut listed = carried.remove(name).unwrap_or_default();
        listed.sort_by_key(Listed::address);
        if facts.egress_ips != listed {
            Arc::make_mut(facts).egress_ips = listed;
            changed = true;
        }
    }
    if changed {
        observed.next_version();
    }
    changed
}
