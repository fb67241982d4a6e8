//! What nodes carry, and which addresses nobody may get.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Strangers, Survey};
use crate::name::{NodeIndex, ZoneIndex};
use crate::observed::{Listed, Observed};
use crate::snapshot::{Assignment, Phase, Snapshot};

impl Survey {
    /// Adds assignments, strangers' loads and occupied addresses (R11).
    pub(super) fn add_network(&mut self, observed: &Observed) {
        let strangers = strangers(observed, &self.snapshot);
        let mut occupied: BTreeSet<IpAddr> =
            strangers.keys().copied().filter(|&a| self.territory.contains(a)).collect();
        let machines = observed.nodes.values().flat_map(|facts| facts.addresses.iter().copied());
        let overlay = observed.host_subnets.values().filter_map(|facts| facts.host_ip);
        occupied.extend(machines.chain(overlay).filter(|&a| self.territory.contains(a)));
        self.snapshot.occupied = occupied.into_iter().collect();

        for (position, (name, facts)) in observed.host_subnets.iter().enumerate() {
            debug_assert_eq!(self.snapshot.nodes.get(position).map(|node| &node.name), Some(name));
            let addresses: BTreeSet<IpAddr> = facts.egress_ips.iter().filter_map(Listed::address).collect();
            for address in addresses {
                if self.territory.contains(address) && !strangers.contains_key(&address) {
                    let node = NodeIndex::at(position);
                    self.snapshot.assignments.push(Assignment { address, node, phase: Phase::Settled });
                } else if let Some(node) = self.snapshot.nodes.get_mut(position) {
                    node.other_load += 1;
                }
            }
        }
        self.snapshot.assignments.sort_by_key(|assignment| (assignment.address, assignment.node));
        self.home_by_carrier();
    }

    /// An address of a pool-wide range without recorded home is at home where it is carried (R3).
    fn home_by_carrier(&mut self) {
        let mut homes = Vec::new();
        for (owner_position, owner) in self.snapshot.owners.iter().enumerate() {
            for (position, allocation) in owner.allocations.iter().enumerate().filter(|(_, a)| a.zone.is_none()) {
                let home = carriers(&self.snapshot, allocation.address)
                    .find_map(|node| zone_of(&self.snapshot, owner.pool, node));
                homes.extend(home.map(|zone| (owner_position, position, zone)));
            }
        }
        for (owner, position, zone) in homes {
            let allocation = self.snapshot.owners.get_mut(owner).and_then(|owner| owner.allocations.get_mut(position));
            if let Some(allocation) = allocation {
                allocation.zone = Some(zone);
            }
        }
    }
}

/// The nodes that carry an address.
pub(crate) fn carriers(snapshot: &Snapshot, address: IpAddr) -> impl Iterator<Item = NodeIndex> {
    let start = snapshot.assignments.partition_point(|assignment| assignment.address < address);
    snapshot.assignments.iter().skip(start).take_while(move |a| a.address == address).map(|a| a.node)
}

fn zone_of(snapshot: &Snapshot, pool: crate::name::PoolIndex, node: NodeIndex) -> Option<ZoneIndex> {
    snapshot.zones_of(pool).find(|(_, zone)| zone.nodes.binary_search(&node).is_ok()).map(|(index, _)| index)
}

/// Addresses held by namespaces that are neither owners nor leaving.
fn strangers(observed: &Observed, snapshot: &Snapshot) -> Strangers {
    let ours = |name| {
        snapshot.owner_named(name).is_some()
            || snapshot.leaving.binary_search_by(|leaving| leaving.name.cmp(name)).is_ok()
    };
    let owned: BTreeSet<IpAddr> =
        snapshot.owners.iter().flat_map(|o| o.allocations.iter().map(|a| a.address)).collect();
    observed
        .net_namespaces
        .iter()
        .filter(|(name, _)| !ours(*name))
        .flat_map(|(name, facts)| {
            facts.egress_ips.iter().filter_map(Listed::address).map(move |address| (address, name.clone()))
        })
        // What an owner holds as well is an inherited duplicate, not a stranger's alone.
        .filter(|(address, _)| !owned.contains(address))
        .collect()
}
