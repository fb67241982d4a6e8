//! Which interface is which node's, and whose the other addresses are. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use sluice_core::name::NodeName;

use super::{Listing, Machine};
use crate::id::ResourceId;
use crate::machine::{MachineRef, Named};
use crate::nic::{Configuration, Interface};

/// Whose is what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// The interface of each node, and of each machine without Node whose interface has addresses of ours.
    pub(crate) carriers: BTreeMap<NodeName, ResourceId>,
    pub(crate) unusable: BTreeMap<NodeName, String>,
    pub(crate) occupied: BTreeSet<IpAddr>,
    pub(crate) reserved: BTreeSet<IpNet>,
}

/// Judges what was listed. `before` has the carriers of the last judgement: what was ours then is ours without its Node.
pub(crate) fn judge(
    listing: &Listing,
    nodes: &BTreeMap<NodeName, MachineRef>,
    before: &BTreeMap<NodeName, ResourceId>,
) -> Judged {
    let mut judged = Judged::default();
    let mut taken: BTreeMap<ResourceId, NodeName> = BTreeMap::new();
    let names = by_name(listing);
    for (node, machine) in nodes {
        match interface_of(listing, &names, node, machine) {
            Err(reason) => {
                judged.unusable.insert(node.clone(), reason);
            }
            Ok(interface) => {
                if let Some(other) = taken.get(&interface.id) {
                    judged.unusable.insert(node.clone(), format!("its machine is that of Node {other}"));
                    continue;
                }
                taken.insert(interface.id.clone(), node.clone());
                judged.carriers.insert(node.clone(), interface.id.clone());
            }
        }
    }
    let cluster = Cluster::of(listing, nodes, &taken, before);
    add_left_behind(listing, nodes, &cluster, &mut taken, &mut judged);
    mark_addresses(listing, &taken, &mut judged);
    judged
}

fn by_name(listing: &Listing) -> BTreeMap<String, Vec<&Machine>> {
    let mut names: BTreeMap<String, Vec<&Machine>> = BTreeMap::new();
    for machine in listing.machines.values() {
        names.entry(machine.id.name().to_ascii_lowercase()).or_default().push(machine);
    }
    names
}

fn interface_of<'a>(
    listing: &'a Listing,
    names: &BTreeMap<String, Vec<&'a Machine>>,
    node: &NodeName,
    told: &MachineRef,
) -> Result<&'a Interface, String> {
    let machine = match told.named(node.as_str()).map_err(|error| error.to_string())? {
        Named::Id(id) => {
            if let Some(ours) =
                listing.subscription.as_ref().filter(|ours| !ours.eq_ignore_ascii_case(id.subscription()))
            {
                return Err(format!(
                    "its machine is in subscription {}, and the credentials are for {ours}",
                    id.subscription()
                ));
            }
            match listing.machines.get(&id) {
                Some(machine) => machine,
                // A file may have interfaces only.
                None if listing.subscription.is_none() => return attached(listing, &id),
                // A machine that is gone has let its interfaces go. As long as one of them names it, it is the list that
                // is wrong: Azure may say for a while that a whole resource group is not there.
                None => {
                    return attached(listing, &id).map_err(|_| {
                        format!("there is no virtual machine {} in resource group {}", id.name(), id.group())
                    });
                }
            }
        }
        Named::Name(name) => match names.get(&name.to_ascii_lowercase()).map(Vec::as_slice) {
            Some([machine]) => machine,
            Some([_, _, ..]) => return Err(format!("there are several virtual machines called {name}")),
            _ => return Err(format!("there is no virtual machine called {name}")),
        },
    };
    let id = machine.primary().ok_or_else(|| format!("virtual machine {} has no interface", machine.id.name()))?;
    let interface = listing.interfaces.get(id).ok_or_else(|| format!("there is no interface {id}"))?;
    usable(interface)
}

fn attached<'a>(listing: &'a Listing, machine: &ResourceId) -> Result<&'a Interface, String> {
    let mut found: Vec<&Interface> =
        listing.interfaces.values().filter(|interface| interface.machine.as_ref() == Some(machine)).collect();
    found.sort_by_key(|interface| !interface.primary);
    usable(found.first().ok_or_else(|| format!("there is no interface of virtual machine {}", machine.name()))?)
}

fn usable(interface: &Interface) -> Result<&Interface, String> {
    match interface.own() {
        Some(own) if own.subnet.is_some() => Ok(interface),
        _ => Err(format!("interface {} has no primary configuration with a subnet", interface.id.name())),
    }
}

/// What tells this cluster's interfaces from those of another one, which may share networks and resource groups with it
/// and use Sluice, too.
struct Cluster<'a> {
    /// Cluster tags of the interfaces of Nodes.
    tags: BTreeSet<&'a String>,
    /// Resource groups of Nodes' machines and interfaces, in lower case.
    groups: BTreeSet<String>,
    /// Interfaces that were carriers before.
    before: BTreeSet<&'a ResourceId>,
}

impl<'a> Cluster<'a> {
    fn of(
        listing: &'a Listing,
        nodes: &BTreeMap<NodeName, MachineRef>,
        taken: &BTreeMap<ResourceId, NodeName>,
        before: &'a BTreeMap<NodeName, ResourceId>,
    ) -> Self {
        let interfaces = || taken.keys().filter_map(|id| listing.interfaces.get(id));
        let told = nodes.iter().filter_map(|(name, machine)| match machine.named(name.as_str()) {
            Ok(Named::Id(id)) => Some(id),
            _ => None,
        });
        let seen = interfaces().flat_map(|interface| [Some(&interface.id), interface.machine.as_ref()]).flatten();
        Self {
            tags: interfaces().flat_map(|interface| &interface.clusters).collect(),
            groups: seen.cloned().chain(told).map(|id| id.group().to_ascii_lowercase()).collect(),
            before: before.values().collect(),
        }
    }

    /// Whether an interface without Node is another cluster's: by its tags, or since it has none and is where this cluster
    /// has no machine. As long as nothing is known of this one nobody can tell.
    fn is_foreign(&self, interface: &Interface) -> bool {
        if self.groups.is_empty() || self.before.contains(&interface.id) {
            return false;
        }
        let tags = &interface.clusters;
        let mut ids = [Some(&interface.id), interface.machine.as_ref()].into_iter().flatten();
        if tags.is_empty() {
            ids.all(|id| !self.groups.contains(&id.group().to_ascii_lowercase()))
        } else {
            tags.iter().all(|tag| !self.tags.contains(tag))
        }
    }
}

/// Interfaces without Node that still have addresses of ours go by the name of their machine, or by their own if they
/// have none any more. Those of another cluster are strangers.
fn add_left_behind(
    listing: &Listing,
    nodes: &BTreeMap<NodeName, MachineRef>,
    cluster: &Cluster<'_>,
    taken: &mut BTreeMap<ResourceId, NodeName>,
    judged: &mut Judged,
) {
    let served: BTreeSet<&ResourceId> =
        taken.keys().filter_map(|id| listing.interfaces.get(id)?.machine.as_ref()).collect();
    let mut found = Vec::new();
    let is_candidate = |interface: &&Interface| interface.has_ours() && !cluster.is_foreign(interface);
    for interface in listing.interfaces.values().filter(is_candidate) {
        let is_further = interface.machine.as_ref().is_some_and(|machine| served.contains(machine));
        if is_further || taken.contains_key(&interface.id) || usable(interface).is_err() {
            continue;
        }
        let names = [interface.machine.as_ref().map(ResourceId::name), Some(interface.id.name())];
        let name = names.into_iter().flatten().map(NodeName::from);
        let name = name.into_iter().find(|name| !judged.carriers.contains_key(name) && !nodes.contains_key(name));
        if let Some(name) = name {
            judged.carriers.insert(name.clone(), interface.id.clone());
            found.push((interface.id.clone(), name));
        }
    }
    taken.extend(found);
}

fn mark_addresses(listing: &Listing, taken: &BTreeMap<ResourceId, NodeName>, judged: &mut Judged) {
    let own = taken.keys().filter_map(|id| listing.interfaces.get(id)?.own()?.subnet.as_ref());
    let networks: BTreeSet<ResourceId> = own.map(ResourceId::resource).collect();
    let is_near =
        |subnet: &Option<ResourceId>| subnet.as_ref().is_some_and(|subnet| networks.contains(&subnet.resource()));
    for interface in listing.interfaces.values() {
        let is_carrier = taken.contains_key(&interface.id);
        let near = interface.configurations.iter().filter(|configuration| is_near(&configuration.subnet));
        // A carrier's secondary addresses are told with the carrier.
        let strange = near.filter(|one| !is_carrier || one.primary || one.prefix.is_some());
        judged.occupied.extend(strange.flat_map(Configuration::addresses));
    }
    judged.occupied.extend(listing.frontends.iter().filter(|(_, subnet)| is_near(subnet)).map(|(address, _)| address));
    let near = listing.subnets.iter().filter(|(id, _)| networks.contains(&id.resource()));
    judged.reserved.extend(near.flat_map(|(_, prefixes)| prefixes).flat_map(reserved_of));
}

/// What Azure keeps of a subnet's prefix: the first four addresses and the last one.
fn reserved_of(prefix: &IpNet) -> Vec<IpNet> {
    let IpNet::V4(prefix) = prefix else { return Vec::new() };
    let single = |address: Ipv4Addr, bits: u8| Ipv4Net::new(address, bits).ok().map(IpNet::V4);
    let first = single(prefix.network(), prefix.prefix_len().max(30));
    first.into_iter().chain(single(prefix.broadcast(), 32)).collect()
}
