//! Clusters as text, one object a line, and what a round makes of them as text.
//!
//! ```text
//! pool egress zone=a:10.20.0.0/29 cidr=10.9.0.0/24 reserved=10.20.0.3 created=1 label=zone failover deleting unguarded error
//! node n1 zone=a carries=10.20.0.2 cidrs=10.20.0.0/29 ip=10.0.0.1 also=10.20.0.9 room=9 down cordoned unselected nosubnet nonode
//! cloud azure reads reassigns reserved=10.20.0.0/30 occupied=10.20.0.9 lingering=10.20.0.4 doubtful=10.20.0.7   before any node
//! node n2 zone=a nic=10.20.0.2 theirs=10.20.0.3 subnet=10.20.0.0/16 limit=256 limit4=9 limit6=9 busy may_hide_removals complains=why nonic=why
//! private 10.20.0.2 given=n1 awaited=why refused=why
//! ns shop pool=egress holds=10.20.0.2 says=10.20.0.2 mark=egress zones=a,10.20.0.9=b created=1 netcreated=1 net=7 hold=text terminating nonet nons
//! blind nodes
//! ```
//!
//! With OVN-Kubernetes (`network ovn` first) there is more, and `nonet` is an owner without object:
//!
//! ```text
//! pool egress standby=2
//! node n1 assignable assignable=theirs networks=10.20.0.0/16,10.21.0.0/16
//! ns shop adopted replaced=10.20.0.2 obstacle=why
//! ```
//!
//! In `obstacle`, `says`, `hold`, `awaited` and `refused` an underscore is a space; `says` alone repeats `holds`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use sluice_core::cloud::{CloudFacts, InterfaceAddress, InterfaceFacts, Moves};
use sluice_core::name::{NodeName, OwnerName, PoolName};
use sluice_core::network::Network;
use sluice_core::observed::{
    Assignable, Blind, CarrierFacts, CloudPlatform, HoldingFacts, Listed, NamespaceFacts, NodeFacts, NodeSelector,
    Observed, Platform, PoolEntry, PoolFacts, PoolSpec, PrivateIpFacts, Requirement, SpecError,
};
use sluice_core::round::{Outcome, Round};
use sluice_core::snapshot::{Capacity, Phase};

use crate::cluster::Cluster;
use crate::{ovn, sdn};

/// The time of these clusters in Unix milliseconds: nothing is new unless it says so.
const NOW: u64 = 600_000;

pub(crate) fn cluster(text: &str) -> Cluster {
    let mut observed = Observed {
        generation: 1,
        now: NOW,
        platform: Platform::SelfManaged("None".to_owned()),
        words: sluice_sandbox::sdn::WORDS,
        ..Observed::default()
    };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words = Words::of(line);
        match words.kind {
            "pool" => pool(&mut observed, &words),
            "node" => node(&mut observed, &words),
            "ns" => namespace(&mut observed, &words),
            "cloud" => cloud(&mut observed, &words),
            "private" => private_ip(&mut observed, &words),
            "blind" => blind(&mut observed, &words),
            "network" => {
                assert_eq!(words.name, "ovn", "the other one is served anyway");
                observed.network = Network::OvnKubernetes;
                observed.words = sluice_sandbox::ovn::WORDS;
            }
            kind => panic!("what is a {kind}?"),
        }
    }
    if observed.network == Network::OvnKubernetes {
        tell_whose(&mut observed);
    }
    let on_interfaces = observed.cloud.iter().flat_map(|cloud| cloud.interfaces.values());
    let mut seen = BTreeSet::new();
    let was_twice =
        on_interfaces.flat_map(|on| on.addresses.keys()).filter(|address| !seen.insert(**address)).count() > 0;
    Cluster { observed, was_twice }
}

/// What nodes carry is for the first object that lists it.
fn tell_whose(observed: &mut Observed) {
    let lists = observed.carriers.values().flat_map(|facts| &facts.egress_ips);
    let mut carried: BTreeSet<_> = lists.filter_map(Listed::address).collect();
    for facts in observed.holdings.values_mut().map(Arc::make_mut) {
        facts.carried = facts.egress_ips.iter().filter_map(Listed::address).filter(|a| carried.remove(a)).collect();
    }
}

struct Words<'a> {
    kind: &'a str,
    name: &'a str,
    flags: BTreeSet<&'a str>,
    values: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Self {
        let mut words = line.split_whitespace();
        let (kind, name) = (words.next().expect("a kind"), words.next().expect("a name"));
        let (mut flags, mut values) = (BTreeSet::new(), Vec::new());
        for word in words {
            match word.split_once('=') {
                Some(pair) => values.push(pair),
                None => {
                    flags.insert(word);
                }
            }
        }
        Self { kind, name, flags, values }
    }

    fn all(&self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.values.iter().filter(move |(name, _)| *name == key).map(|(_, value)| *value)
    }

    fn value(&self, key: &'a str) -> Option<&'a str> {
        self.all(key).next()
    }

    fn list(&self, key: &'a str) -> Vec<&'a str> {
        self.value(key).into_iter().flat_map(|value| value.split(',')).filter(|item| !item.is_empty()).collect()
    }

    fn listed(&self, key: &'a str) -> Vec<Listed> {
        self.list(key).into_iter().map(Listed::from).collect()
    }

    fn is(&self, flag: &str) -> bool {
        self.flags.contains(flag)
    }
}

fn pool(observed: &mut Observed, words: &Words<'_>) {
    let reserved: BTreeSet<_> = words.list("reserved").iter().map(|a| a.parse().expect("an address")).collect();
    let entry = |text: &str| {
        let (label_value, cidr) = text.split_once(':').expect("zone:range");
        PoolEntry {
            cidr: cidr.parse::<ipnet::IpNet>().expect("a range").trunc(),
            label_value: label_value.to_owned(),
            reserved: BTreeSet::new(),
        }
    };
    let mut entries: Vec<PoolEntry> = words.all("zone").map(entry).collect();
    let cidr: Option<ipnet::IpNet> = words.value("cidr").map(|cidr| cidr.parse().expect("a range"));
    for entry in &mut entries {
        entry.reserved = reserved.iter().copied().filter(|a| entry.cidr.contains(a)).collect();
    }
    let select = Requirement::Exists(words.value("select").unwrap_or("egress").to_owned());
    let error = SpecError { field: "spec".to_owned(), text: "nonsense".to_owned() };
    let facts = PoolFacts {
        resource_version: "1".to_owned(),
        generation: 1,
        created: words.value("created").map_or(1, |text| text.parse().expect("a number")),
        deleting: words.is("deleting"),
        guarded: !words.is("unguarded"),
        other_guards: Vec::new(),
        spec: PoolSpec {
            topology_label: words.value("label").unwrap_or("zone").to_owned(),
            node_selector: NodeSelector { requirements: vec![select] },
            entries,
            cidr,
            reserved: if cidr.is_some() { reserved } else { BTreeSet::new() },
            zone_failover: words.is("failover"),
            standby_nodes: words.value("standby").map_or(1, |text| text.parse().expect("a number")),
        },
        errors: if words.is("error") { vec![error] } else { Vec::new() },
        warnings: Vec::new(),
        no_load_balancer: false,
    };
    observed.pools.insert(PoolName::from(words.name), Arc::new(facts));
}

fn node(observed: &mut Observed, words: &Words<'_>) {
    let name = NodeName::from(words.name);
    let mut labels: BTreeMap<String, String> =
        words.all("zone").map(|zone| ("zone".to_owned(), zone.to_owned())).collect();
    labels.extend(words.all("label").filter_map(|l| l.split_once(':')).map(|(k, v)| (k.to_owned(), v.to_owned())));
    if !words.is("unselected") {
        labels.insert("egress".to_owned(), String::new());
    }
    let ip = words.value("ip").map(|text| text.parse().expect("an address"));
    if !words.is("nonode") {
        let room = words.value("room").map(|text| text.parse().expect("a number"));
        let facts = NodeFacts {
            labels,
            ready: !words.is("down"),
            unschedulable: words.is("cordoned"),
            addresses: ip
                .into_iter()
                .chain(words.value("also").map(|text| text.parse().expect("an address")))
                .collect(),
            capacity: Capacity { total: room, ..Capacity::default() },
            ..NodeFacts::default()
        };
        observed.nodes.insert(name.clone(), Arc::new(facts));
    }
    interface(observed, &name, words);
    if !words.is("nosubnet") {
        let facts = CarrierFacts {
            resource_version: "1".to_owned(),
            host_ip: ip,
            egress_ips: words.listed("carries"),
            ranges: words.list("cidrs").into_iter().map(str::to_owned).collect(),
            assignable: match words.value("assignable") {
                Some("theirs") => Some(Assignable { ours: false, since: 0 }),
                _ => words.is("assignable").then_some(Assignable { ours: true, since: 0 }),
            },
            networks: words.value("networks").map(|list| {
                list.split(',').filter(|text| !text.is_empty()).map(|text| text.parse().expect("a network")).collect()
            }),
        };
        observed.carriers.insert(name, Arc::new(facts));
    }
}

fn cloud(observed: &mut Observed, words: &Words<'_>) {
    let addresses = |key| words.list(key).into_iter().map(|text| text.parse().expect("an address")).collect();
    let facts = CloudFacts {
        writes: !words.is("reads"),
        moves: if words.is("reassigns") { Moves::InOneCall } else { Moves::OffThenOn },
        occupied: addresses("occupied"),
        lingering: addresses("lingering"),
        doubtful: addresses("doubtful"),
        reserved: words.list("reserved").into_iter().map(|text| text.parse().expect("a range")).collect(),
        ..CloudFacts::default()
    };
    observed.platform = Platform::Cloud(CloudPlatform { name: words.name.to_owned(), ..CloudPlatform::default() });
    observed.cloud = Some(Arc::new(facts));
}

fn private_ip(observed: &mut Observed, words: &Words<'_>) {
    let text = |key| words.value(key).map(|text| text.replace('_', " "));
    let refused = text("refused").map(PrivateIpFacts::Refused);
    let given = || PrivateIpFacts::Given(words.value("given").map(NodeName::from));
    let facts = refused.or_else(|| text("awaited").map(PrivateIpFacts::Awaited)).unwrap_or_else(given);
    let known = observed.private_ips.get_or_insert_default();
    known.insert(words.name.parse().expect("an address"), facts);
}

fn blind(observed: &mut Observed, words: &Words<'_>) {
    observed.blind.insert(match words.name {
        "pools" => Blind::Pools,
        "nodes" => Blind::Nodes,
        "namespaces" => Blind::Namespaces,
        "netnamespaces" => Blind::Holdings,
        "hostsubnets" => Blind::Carriers,
        name => panic!("what are {name}?"),
    });
}

fn interface(observed: &mut Observed, name: &NodeName, words: &Words<'_>) {
    let Some(cloud) = observed.cloud.as_mut() else { return };
    let cloud = Arc::make_mut(cloud);
    if let Some(reason) = words.value("nonic") {
        cloud.unusable.insert(name.clone(), reason.to_owned());
        return;
    }
    let on = |key, ours| {
        let address =
            move |text: &str| (text.parse().expect("an address"), InterfaceAddress { ours, phase: Phase::Settled });
        words.list(key).into_iter().map(address)
    };
    let subnet = if words.value("subnet").is_some() { words.list("subnet") } else { vec!["10.0.0.0/8"] };
    let limit = |key| words.value(key).map(|text| text.parse::<u32>().expect("a number"));
    let facts = InterfaceFacts {
        version: "1".to_owned(),
        subnet: subnet.into_iter().map(|text| text.parse().expect("a range")).collect(),
        addresses: on("nic", true).chain(on("theirs", false)).collect(),
        limit: Capacity {
            total: Some(limit("limit").unwrap_or(256) - 1),
            ipv4: limit("limit4"),
            ipv6: limit("limit6"),
        },
        own: 1,
        busy: words.is("busy"),
        failed: words.is("failed"),
        may_hide_removals: words.is("may_hide_removals"),
        complaint: words.value("complains").map(str::to_owned),
    };
    cloud.interfaces.insert(name.clone(), facts);
}

fn namespace(observed: &mut Observed, words: &Words<'_>) {
    let name = OwnerName::from(words.name);
    let says = words.is("says").then(|| words.value("holds").unwrap_or_default()).or_else(|| words.value("says"));
    let spaced = |text: &str| text.replace('_', " ");
    if !words.is("nons") {
        let facts = NamespaceFacts {
            resource_version: "1".to_owned(),
            created: words.value("created").map_or(1, |text| text.parse().expect("a number")),
            terminating: words.is("terminating"),
            labels: BTreeMap::new(),
            pool: words.value("pool").map(PoolName::from),
            egress_ips: says.map(spaced),
            hold: words.value("hold").map(spaced),
        };
        observed.namespaces.insert(name.clone(), Arc::new(facts));
    }
    if !words.is("nonet") {
        let egress_ips = words.listed("holds");
        let zones = words.value("zones").into_iter().flat_map(|zones| zones.split(','));
        let home = |(nth, zone): (usize, &str)| match zone.split_once('=') {
            Some((address, zone)) => Some((address.parse().expect("an address"), zone.to_owned())),
            None => Some((egress_ips.get(nth)?.address()?, zone.to_owned())).filter(|(_, zone)| !zone.is_empty()),
        };
        let zones = zones.enumerate().filter_map(home).collect();
        let pool = words.value("mark").map(PoolName::from);
        let created = words.value("netcreated").map_or(1, |text| text.parse().expect("a number"));
        let network_id = words.value("net").map(|text| text.parse().expect("a number"));
        let facts = HoldingFacts {
            resource_version: "1".to_owned(),
            created,
            egress_ips,
            pool,
            zones,
            network_id,
            object: String::new(),
            obstacle: words.value("obstacle").map(|text| text.replace('_', " ")),
            deletable: !words.is("adopted"),
            carried: BTreeSet::new(),
            replaced: words.list("replaced").iter().map(|text| text.parse().expect("an address")).collect(),
        };
        observed.holdings.insert(name, Arc::new(facts));
    }
}

/// What a round says and writes.
pub(crate) fn transcript(round: &Round, outcome: &Outcome, network: Network) -> String {
    let mut text = round.diff(outcome).to_string();
    for (position, write) in outcome.writes.iter().enumerate() {
        let waits: Vec<String> = write.after.iter().map(|before| format!("{}", before + 1)).collect();
        let any: Vec<String> = write.after_any.iter().map(|before| format!("{}", before + 1)).collect();
        let after = if waits.is_empty() { String::new() } else { format!("  after {}", waits.join(" ")) };
        let any = if any.is_empty() { String::new() } else { format!("  after one of {}", any.join(" ")) };
        let (target, patch) = match network {
            Network::OpenShiftSdn => (sdn::object(&write.target), sdn::patch(&write.change)),
            Network::OvnKubernetes => (ovn::object(&write.target), ovn::patch(&write.change)),
        };
        let patch = short(&patch.to_string());
        writeln!(text, "{}. {target} {patch}{after}{any}", position + 1).expect("a string takes all");
    }
    for note in &round.surveyed().notes {
        writeln!(text, "note on {}: {}", note.pool, note.text).expect("a string takes all");
    }
    text
}

fn short(patch: &str) -> String {
    let peer = "egressip-ipam-operator.redhat-cop.io/";
    let text = patch.replace(peer, "").replace('"', "").replace("metadata:{annotations:", "").replace("metadata:{", "");
    let opened = text.matches('{').count();
    let closed = text.matches('}').count();
    text[..text.len() - (closed - opened)].replace(',', ", ").replace(':', ": ")
}

/// What the network has put where, on one line.
pub(crate) fn carried(cluster: &Cluster) -> String {
    let lists =
        cluster.observed.carriers.iter().filter(|(_, facts)| !facts.egress_ips.is_empty()).map(|(name, facts)| {
            let list: Vec<String> = facts.egress_ips.iter().map(ToString::to_string).collect();
            format!("{name} {}", list.join(" "))
        });
    lists.collect::<Vec<_>>().join(", ")
}

/// A cluster's state, for failures of the model.
pub(crate) fn state(cluster: &Cluster) -> String {
    let mut text = String::new();
    for (name, facts) in &cluster.observed.carriers {
        let list: Vec<String> = facts.egress_ips.iter().map(ToString::to_string).collect();
        writeln!(text, "  {name}: {} {:?}", list.join(","), facts.ranges).expect("a string takes all");
    }
    for (name, facts) in cluster.observed.cloud.iter().flat_map(|cloud| &cloud.interfaces) {
        writeln!(text, "  interface {name}: {:?} busy {}", facts.addresses, facts.busy).expect("a string takes all");
    }
    for (name, facts) in &cluster.observed.holdings {
        let list: Vec<String> = facts.egress_ips.iter().map(ToString::to_string).collect();
        let namespace = cluster.observed.namespaces.get(name);
        let (says, hold) = namespace.map_or((None, None), |facts| (facts.egress_ips.clone(), facts.hold.clone()));
        writeln!(text, "  {name}: {} says {says:?} hold {hold:?} mark {:?}", list.join(","), facts.pool)
            .expect("a string takes all");
    }
    text
}
