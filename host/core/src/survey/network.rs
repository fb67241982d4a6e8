//! What nodes carry, and which addresses nobody may get.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Displaced, PoolNote, Strangers, Survey};
use crate::cloud::InterfaceFacts;
use crate::name::{NodeIndex, OwnerIndex, OwnerName, PoolIndex, ZoneIndex};
use crate::observed::{Blind, HoldingFacts, Listed, Observed, PrivateIpFacts};
use crate::plan::Reason;
use crate::snapshot::{Assignment, Node, Phase, Placement, Snapshot};

impl Survey {
    /// Adds assignments, strangers' loads and occupied addresses (R11).
    pub(super) fn add_network(&mut self, observed: &Observed) {
        let strangers = strangers(observed, &self.snapshot);
        let mut occupied: BTreeSet<IpAddr> = strangers.keys().copied().collect();
        let machines = observed.nodes.values().flat_map(|facts| facts.addresses.iter().copied());
        let overlay = observed.carriers.values().filter_map(|facts| facts.host_ip);
        let cloud = observed.cloud.iter().flat_map(|cloud| cloud.occupied.iter().copied());
        occupied.extend(machines.chain(overlay).chain(cloud));
        let doubtful = observed.cloud.iter().flat_map(|cloud| cloud.doubtful.iter().copied());
        let mut doubtful: BTreeSet<IpAddr> = doubtful.collect();
        if !doubtful.is_empty() {
            let held = all_held(&self.snapshot);
            doubtful.retain(|address| !held.contains(address));
            occupied.extend(doubtful);
        }
        self.displace_taken(observed);
        // Who is a stranger is known of those Namespaces only that can be seen.
        if observed.sees(Blind::Namespaces) {
            self.yield_to(&strangers);
        }
        self.add_assignments(observed, &strangers, &mut occupied);
        self.make_room_for_what_works(observed);
        self.snapshot.occupied = occupied.into_iter().filter(|&a| self.territory.contains(a)).collect();
        self.home_by_carrier();
        self.add_arriving(observed);
    }

    /// What each node carries: by the network, and on its interface if that is ours to write.
    fn add_assignments(&mut self, observed: &Observed, strangers: &Strangers, occupied: &mut BTreeSet<IpAddr>) {
        let mut nodes = std::mem::take(&mut self.snapshot.nodes);
        let mut assignments = Vec::new();
        let carried_for_owners: BTreeSet<IpAddr> =
            self.constraints.carried.iter().map(|&(_, address)| address).collect();
        let mut known = None;
        let mut is_held = |address: IpAddr| known.get_or_insert_with(|| all_held(&self.snapshot)).contains(&address);
        for (position, node) in nodes.iter_mut().enumerate() {
            let index = NodeIndex::at(position);
            let listed = observed.carriers.get(&node.name).into_iter().flat_map(|facts| &facts.egress_ips);
            let listed = listed.filter_map(Listed::address).map(|address| (address, Phase::Settled));
            let mut carried: BTreeMap<IpAddr, Phase> = listed.collect();
            if let Some(interface) = observed.interface(&node.name) {
                let listed: BTreeSet<IpAddr> = carried.keys().copied().collect();
                let foreign = add_interface(interface, node, &mut carried, occupied, &mut is_held);
                self.constraints.foreign.extend(foreign.into_iter().map(|address| (address, index)));
                let whole = |address| listed.contains(address) && interface.addresses.contains_key(address);
                let incomplete = carried.keys().filter(|address| !whole(address));
                self.constraints.incomplete.extend(incomplete.map(|&address| (address, index)));
            }
            for (address, phase) in carried {
                // Outside every pool an address is still ours to move or to take off while one of ours holds it. What is
                // stale is not ours where we cannot take it off: the network will, and nobody gets it before.
                let stale_is_ours = observed.network.placement() == Placement::Exact;
                let ours = is_held(address) || (stale_is_ours && self.territory.contains(address));
                let is_a_strangers = strangers.contains_key(&address) && !carried_for_owners.contains(&address);
                if ours && !is_a_strangers {
                    assignments.push(Assignment { address, node: index, phase });
                } else {
                    node.hide(address);
                    occupied.extend(Some(address).filter(|_| !stale_is_ours));
                }
            }
        }
        // Who else writes interfaces may have addresses there that nobody may get.
        let read = observed.cloud.iter().filter(|cloud| !cloud.writes).flat_map(|cloud| cloud.interfaces.values());
        let theirs = read.flat_map(|interface| interface.addresses.keys().copied());
        occupied.extend(theirs.filter(|&address| !is_held(address)));
        assignments.sort_by_key(|assignment| (assignment.address, assignment.node));
        self.snapshot.nodes = nodes;
        self.snapshot.assignments = assignments;
    }

    /// Where somebody else writes interfaces he says how many addresses a node can carry, and the number shrinks when he
    /// merely starts anew. What he has given works, however many that are: it is no reason to move anything, and nothing
    /// new comes to the node. What he refused, or has not heard of, has no such room.
    fn make_room_for_what_works(&mut self, observed: &Observed) {
        let read_only = observed.cloud.as_deref().is_some_and(|cloud| !cloud.writes);
        let Some(told) = observed.private_ips.as_ref().filter(|_| read_only) else { return };
        let mut working: BTreeMap<NodeIndex, (u32, u32)> = BTreeMap::new();
        for on in &self.snapshot.assignments {
            match told.get(&on.address) {
                None => {}
                Some(PrivateIpFacts::Refused(_)) => _ = self.constraints.refused.insert((on.address, on.node)),
                Some(PrivateIpFacts::Given(_) | PrivateIpFacts::Awaited(_)) => {
                    let (ipv4, ipv6) = working.entry(on.node).or_default();
                    *if on.address.is_ipv4() { ipv4 } else { ipv6 } += 1;
                }
            }
        }
        for (index, (ipv4, ipv6)) in working {
            let Some(node) = self.snapshot.nodes.get_mut(index.position()) else { continue };
            let before = node.capacity;
            node.capacity.raise_to(ipv4, ipv6);
            if node.capacity == before {
                continue;
            }
            let text = format!(
                "{} carries {} addresses that the cloud has given it, which is more than are announced for it now: they \
                 stay, and it gets nothing new",
                node.name,
                ipv4 + ipv6
            );
            let zones = self.snapshot.zones.iter().filter(|zone| zone.nodes.binary_search(&index).is_ok());
            let pools: BTreeSet<PoolIndex> = zones.map(|zone| zone.pool).collect();
            let pools = pools.into_iter().filter_map(|pool| self.snapshot.pool(pool));
            self.notes.extend(pools.map(|pool| PoolNote { pool: pool.name.clone(), text: text.clone() }));
        }
    }

    /// An address that a stranger holds as well works for neither of the two. The stranger's is not ours to take away.
    fn yield_to(&mut self, strangers: &Strangers) {
        for (position, owner) in self.snapshot.owners.iter().enumerate() {
            for address in owner.allocations.iter().map(|allocation| allocation.address) {
                let index = OwnerIndex::at(position);
                let works = self.constraints.carried.contains(&(index, address));
                if let Some(stranger) = strangers.get(&address).filter(|_| !works) {
                    self.constraints.displaced.push(Displaced {
                        owner: index,
                        address,
                        reason: Reason::Duplicate,
                        text: format!("{stranger}, which has opted into no pool, holds it too"),
                    });
                }
            }
        }
        // Twice displaced is displaced as a duplicate: that one cannot wait for a replacement.
        self.constraints.displaced.sort_by_key(|gone| (gone.owner, gone.address, gone.reason != Reason::Duplicate));
        self.constraints.displaced.dedup_by_key(|gone| (gone.owner, gone.address));
    }

    /// What waits for the network to see where it may place is due a moment later.
    pub(super) fn await_network(&mut self, observed: &Observed) {
        let marks = observed.carriers.values().filter_map(|facts| facts.assignable);
        let unseen = marks.filter_map(|mark| observed.network.unseen_until(mark, observed.now));
        if let Some(latest) = unseen.max() {
            self.look_again(latest);
        }
    }

    /// An address of a pool-wide range without recorded home is at home where it is carried (R3).
    fn home_by_carrier(&mut self) {
        let mut homes = Vec::new();
        for (owner_position, owner) in self.snapshot.owners.iter().enumerate() {
            for (position, allocation) in owner.allocations.iter().enumerate().filter(|(_, a)| a.zone.is_none()) {
                let home = self
                    .snapshot
                    .carriers(allocation.address)
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

/// Adds what is on an interface that is ours to write: our addresses, and others that somebody of ours holds, which are
/// returned. Other addresses are a stranger's.
fn add_interface(
    interface: &InterfaceFacts,
    node: &mut Node,
    carried: &mut BTreeMap<IpAddr, Phase>,
    occupied: &mut BTreeSet<IpAddr>,
    is_held: &mut impl FnMut(IpAddr) -> bool,
) -> Vec<IpAddr> {
    let mut foreign = Vec::new();
    for (&address, on) in &interface.addresses {
        if on.ours || is_held(address) {
            carried.insert(address, on.phase);
        } else {
            occupied.insert(address);
        }
        if !on.ours && is_held(address) {
            // What is shown as carried counts against what the node can carry, whoever put it there.
            node.capacity.give(address);
            foreign.push(address);
        }
    }
    foreign
}

fn zone_of(snapshot: &Snapshot, pool: PoolIndex, node: NodeIndex) -> Option<ZoneIndex> {
    snapshot.zones_of(pool).find(|(_, zone)| zone.nodes.binary_search(&node).is_ok()).map(|(index, _)| index)
}

/// What owners and those who leave hold.
pub(super) fn all_held(snapshot: &Snapshot) -> BTreeSet<IpAddr> {
    let owned = snapshot.owners.iter().flat_map(|owner| owner.allocations.iter().map(|a| a.address));
    owned.chain(snapshot.leaving.iter().flat_map(|leaving| leaving.addresses.iter().copied())).collect()
}

/// Addresses held by namespaces that are neither owners nor leaving.
fn strangers(observed: &Observed, snapshot: &Snapshot) -> Strangers {
    let ours = |name: &OwnerName| {
        snapshot.owner_named(name).is_some()
            || snapshot.leaving.binary_search_by(|leaving| leaving.name.cmp(name)).is_ok()
    };
    let of_one = |(name, facts): (&OwnerName, &Arc<HoldingFacts>)| {
        let name = name.clone();
        let addresses: Vec<IpAddr> = facts.egress_ips.iter().filter_map(Listed::address).collect();
        addresses.into_iter().map(move |address| (address, name.clone()))
    };
    observed.holdings.iter().filter(|(name, _)| !ours(name)).flat_map(of_one).collect()
}
