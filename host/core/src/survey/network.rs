//! What nodes carry, and which addresses nobody may get.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Displaced, Strangers, Survey};
use crate::name::{NodeIndex, OwnerIndex, OwnerName, PoolIndex, ZoneIndex};
use crate::observed::{Listed, NetNamespaceFacts, Observed};
use crate::plan::Reason;
use crate::snapshot::{Assignment, Health, Phase, Snapshot};

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
        self.yield_to(&strangers);

        let mut held: Option<BTreeSet<IpAddr>> = None;
        for (position, facts) in observed.host_subnets.values().enumerate() {
            let node = NodeIndex::at(position);
            let addresses: BTreeSet<IpAddr> = facts.egress_ips.iter().filter_map(Listed::address).collect();
            for address in addresses {
                // Outside every pool an address is still ours to move or to take off while one of ours holds it.
                let ours = self.territory.contains(address)
                    || held.get_or_insert_with(|| all_held(&self.snapshot)).contains(&address);
                if ours && !strangers.contains_key(&address) {
                    self.snapshot.assignments.push(Assignment { address, node, phase: Phase::Settled });
                } else if let Some(node) = self.snapshot.nodes.get_mut(position) {
                    node.other_load += 1;
                }
            }
        }
        self.snapshot.assignments.sort_by_key(|assignment| (assignment.address, assignment.node));
        self.home_by_carrier();
    }

    /// An address that a stranger holds as well works for neither of the two. The stranger's is not ours to take away.
    fn yield_to(&mut self, strangers: &Strangers) {
        for (position, owner) in self.snapshot.owners.iter().enumerate() {
            for address in owner.allocations.iter().map(|allocation| allocation.address) {
                if let Some(stranger) = strangers.get(&address) {
                    self.displaced.push(Displaced {
                        owner: OwnerIndex::at(position),
                        address,
                        reason: Reason::Duplicate,
                        text: format!("{stranger}, which has opted into no pool, holds it too"),
                    });
                }
            }
        }
        // Twice displaced is displaced as a duplicate: that one cannot wait for a replacement.
        self.displaced.sort_by_key(|gone| (gone.owner, gone.address, gone.reason != Reason::Duplicate));
        self.displaced.dedup_by_key(|gone| (gone.owner, gone.address));
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

/// Whether what a node carries can work.
pub(crate) fn is_live(snapshot: &Snapshot, node: NodeIndex) -> bool {
    snapshot.node(node).is_some_and(|node| node.health != Health::Down)
}

fn zone_of(snapshot: &Snapshot, pool: PoolIndex, node: NodeIndex) -> Option<ZoneIndex> {
    snapshot.zones_of(pool).find(|(_, zone)| zone.nodes.binary_search(&node).is_ok()).map(|(index, _)| index)
}

/// What owners and those who leave hold.
fn all_held(snapshot: &Snapshot) -> BTreeSet<IpAddr> {
    let owned = snapshot.owners.iter().flat_map(|owner| owner.allocations.iter().map(|a| a.address));
    owned.chain(snapshot.leaving.iter().flat_map(|leaving| leaving.addresses.iter().copied())).collect()
}

/// Addresses held by namespaces that are neither owners nor leaving.
fn strangers(observed: &Observed, snapshot: &Snapshot) -> Strangers {
    let ours = |name: &OwnerName| {
        snapshot.owner_named(name).is_some()
            || snapshot.leaving.binary_search_by(|leaving| leaving.name.cmp(name)).is_ok()
    };
    let of_one = |(name, facts): (&OwnerName, &Arc<NetNamespaceFacts>)| {
        let name = name.clone();
        let addresses: Vec<IpAddr> = facts.egress_ips.iter().filter_map(Listed::address).collect();
        addresses.into_iter().map(move |address| (address, name.clone()))
    };
    observed.net_namespaces.iter().filter(|(name, _)| !ours(name)).flat_map(of_one).collect()
}
