//! From objects to what owners hold and nodes carry: which `EgressIP` is whose, and which are not ours to change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use sluice_core::name::{NodeName, OwnerName, PoolName};
use sluice_core::observed::{Assignable, CarrierFacts, HoldingFacts, Listed, Observed, Platform, PoolFacts};
use sluice_core::text::listed;

use super::{EgressIpFacts, NodeNetwork, object_name};
use crate::kind::Kind;
use crate::network::Networks;

/// Longest value of a label, in bytes.
const LONGEST_LABEL: usize = 63;

/// Adds what OVN-Kubernetes' objects say.
pub(in crate::network) fn show(networks: &Networks, observed: &mut Observed) {
    let objects = Objects::of(networks);
    let mut holdings: BTreeMap<OwnerName, Arc<HoldingFacts>> = BTreeMap::new();
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for owner in objects.owners(observed) {
        match objects.of_owner(owner, observed) {
            Ok(None) => {}
            Ok(Some((name, facts))) => {
                taken.insert(name);
                holdings.insert(owner.clone(), Arc::new(holding(owner, name, facts)));
            }
            Err(obstacle) => {
                let facts = HoldingFacts { obstacle: Some(obstacle), ..HoldingFacts::default() };
                holdings.insert(owner.clone(), Arc::new(facts));
            }
        }
    }
    for (name, facts) in networks.egress_ips.iter().filter(|(name, _)| !taken.contains(name.as_str())) {
        let owner = OwnerName::from(format!("egressip/{name}").as_str());
        let obstacle = Some("somebody else made it".to_owned());
        let facts = HoldingFacts { obstacle, pool: None, ..holding(&owner, name, facts) };
        holdings.insert(owner, Arc::new(facts));
    }
    observed.holdings = holdings;
    observed.carriers = carriers(networks, cloud(&observed.platform).is_some());
    settle_platform(observed, networks.choice.unserved.contains(&Kind::PrivateIp));
}

/// Clouds where the network has OpenShift's cloud network config controller put addresses on interfaces (OVN-Kubernetes,
/// `PlatformTypeIsEgressIPCloudProvider`). Elsewhere it announces them itself.
const CLOUDS: [&str; 4] = ["AWS", "Azure", "GCP", "OpenStack"];

fn cloud(platform: &Platform) -> Option<&str> {
    let name = match platform {
        Platform::SelfManaged(name) | Platform::Unserved(name) => name,
        Platform::Cloud(cloud) => &cloud.name,
        Platform::Unknown => return None,
    };
    CLOUDS.iter().any(|cloud| cloud.eq_ignore_ascii_case(name)).then_some(name)
}

/// Where the controller is at work nothing is left for us to do in the cloud.
fn settle_platform(observed: &mut Observed, is_unserved: bool) {
    let Some(name) = cloud(&observed.platform).map(str::to_owned) else { return };
    if is_unserved && observed.network_obstacle.is_none() {
        observed.network_obstacle = Some(format!(
            "OVN-Kubernetes on {name} needs OpenShift's cloud network config controller, and there is none: the API server \
             does not know CloudPrivateIPConfigs"
        ));
    }
    observed.platform = Platform::SelfManaged(name);
}

/// What nodes carry by the status of all objects. A node that status names is one even if it is gone; one that does not say
/// in which network it is can carry nothing, and is none otherwise; in a cloud its controller says so.
fn carriers(networks: &Networks, in_cloud: bool) -> BTreeMap<NodeName, Arc<CarrierFacts>> {
    let mut carried: BTreeMap<&NodeName, BTreeSet<IpAddr>> = BTreeMap::new();
    for (node, address) in networks.egress_ips.values().flat_map(|facts| &facts.carried) {
        carried.entry(node).or_default().insert(*address);
    }
    let speaks = |node: &NodeNetwork| node.networks.is_some() && (node.told_by_cloud || !in_cloud);
    let known = networks.nodes.iter().filter(|(name, node)| speaks(node) || carried.contains_key(name));
    let names: BTreeSet<&NodeName> = known.map(|(name, _)| name).chain(carried.keys().copied()).collect();
    let facts_of = |name: &NodeName| {
        let node = networks.nodes.get(name);
        CarrierFacts {
            resource_version: node.map(|node| node.uid.clone()).unwrap_or_default(),
            host_ip: None,
            egress_ips: carried.get(name).into_iter().flatten().copied().map(Listed::Address).collect(),
            ranges: Vec::new(),
            assignable: node
                .filter(|node| node.assignable)
                .map(|node| Assignable { ours: node.ours, since: node.since }),
            networks: node.and_then(|node| node.networks.clone()),
        }
    };
    names.into_iter().map(|name| (name.clone(), Arc::new(facts_of(name)))).collect()
}

fn holding(owner: &OwnerName, name: &str, facts: &EgressIpFacts) -> HoldingFacts {
    let is_recorded = facts.namespace.as_ref() == Some(owner);
    HoldingFacts {
        resource_version: facts.resource_version.clone(),
        created: facts.created,
        egress_ips: facts.listed.clone(),
        pool: facts.pool.clone().filter(|_| is_recorded),
        zones: facts.zones.clone(),
        network_id: None,
        object: name.to_owned(),
        obstacle: None,
        deletable: name == object_name(owner),
        carried: facts.carried.iter().map(|(_, address)| *address).collect(),
        replaced: facts.replaced.clone(),
    }
}

/// The objects, by namespace.
struct Objects<'a> {
    all: &'a BTreeMap<String, Arc<EgressIpFacts>>,
    /// Those that select this namespace alone, by name.
    selecting: BTreeMap<&'a OwnerName, Vec<(&'a str, &'a EgressIpFacts)>>,
    /// Those that we wrote for this namespace.
    recorded: BTreeMap<&'a OwnerName, Vec<(&'a str, &'a EgressIpFacts)>>,
}

impl<'a> Objects<'a> {
    fn of(networks: &'a Networks) -> Self {
        let mut objects = Self { all: &networks.egress_ips, selecting: BTreeMap::new(), recorded: BTreeMap::new() };
        for (name, facts) in &networks.egress_ips {
            if let Some(namespace) = &facts.selects {
                objects.selecting.entry(namespace).or_default().push((name, facts));
            }
            if let Some(namespace) = facts.namespace.as_ref().filter(|_| facts.pool.is_some()) {
                objects.recorded.entry(namespace).or_default().push((name, facts));
            }
        }
        objects
    }

    /// The namespaces that may have an object: those that opted in, and those for which there is one of ours.
    fn owners<'b>(&'b self, observed: &'b Observed) -> BTreeSet<&'b OwnerName> {
        let opted_in = observed.namespaces.iter().filter(|(_, facts)| facts.pool.is_some()).map(|(name, _)| name);
        opted_in.chain(self.recorded.keys().copied()).collect()
    }

    /// The object of a namespace, or why there can be none. Of those that we wrote the one that still selects the namespace
    /// alone is its; otherwise the only one that does, if the namespace's pool gives all of its addresses.
    fn of_owner(&self, owner: &OwnerName, observed: &Observed) -> Result<Option<(&'a str, &'a EgressIpFacts)>, String> {
        let selecting = self.selecting.get(owner).map(Vec::as_slice).unwrap_or_default();
        let recorded = self.recorded.get(owner).map(Vec::as_slice).unwrap_or_default();
        let ours: Vec<_> =
            recorded.iter().filter(|(name, _)| selecting.iter().any(|(other, _)| other == name)).collect();
        let pool = observed.namespaces.get(owner).and_then(|facts| facts.pool.as_ref());
        if let Some(pool) = pool.filter(|pool| pool.as_str().len() > LONGEST_LABEL) {
            return Err(format!("the name of pool {pool} is too long for a label, by which its objects are known"));
        }
        match (ours.as_slice(), selecting, pool) {
            ([one], ..) => Ok(Some(**one)),
            ([], _, None) => Ok(None),
            ([], [], Some(_)) => self.name_is_free(owner).map(|()| None),
            ([], [one], Some(pool)) => {
                self.name_is_free_for(owner, one.0)?;
                is_of_pool(*one, pool, observed.pools.get(pool).map(AsRef::as_ref))?;
                Ok(Some(*one))
            }
            (_, several, _) => {
                let names: Vec<&str> = several.iter().map(|(name, _)| *name).collect();
                Err(format!(
                    "EgressIPs {} all select this namespace, so that the network chooses one by chance",
                    names.join(", ")
                ))
            }
        }
    }

    /// Whether the object that would be made for a namespace has no name in its way.
    fn name_is_free(&self, owner: &OwnerName) -> Result<(), String> {
        let name = object_name(owner);
        if self.all.contains_key(&name) {
            return Err(format!("EgressIP {name} selects something else than this namespace alone"));
        }
        Ok(())
    }

    fn name_is_free_for(&self, owner: &OwnerName, name: &str) -> Result<(), String> {
        if name == object_name(owner) { Ok(()) } else { self.name_is_free(owner) }
    }
}

/// Whether an object that somebody else made can be taken over: all that it lists is the pool's.
fn is_of_pool((name, facts): (&str, &EgressIpFacts), pool: &PoolName, spec: Option<&PoolFacts>) -> Result<(), String> {
    let Some(spec) = spec else { return Ok(()) };
    let is_given = |address| spec.spec.ranges().any(|range| range.contains(&address));
    let is_foreign = |listed: &&Listed| !listed.address().is_some_and(is_given);
    let foreign: Vec<&Listed> = facts.listed.iter().filter(is_foreign).collect();
    if foreign.is_empty() {
        return Ok(());
    }
    Err(format!("EgressIP {name} has addresses that pool {pool} does not give: {}", listed(foreign, ", ")))
}
