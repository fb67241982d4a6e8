//! What the machines' interfaces mean for those who hold addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::network::all_held;
use super::{Displaced, PoolNote, Survey};
use crate::name::{NodeIndex, NodeName, OwnerIndex, PoolIndex, ZoneIndex};
use crate::observed::Observed;
use crate::plan::Reason;
use crate::snapshot::{Allocation, Owner, Phase, Zone};

/// How many addresses of a pool notes are about.
const BALANCED_SHOWN: usize = 5;

impl Survey {
    /// An address that somebody else in the cloud has cannot be carried by any node of ours: its owner needs another.
    pub(super) fn displace_taken(&mut self, observed: &Observed) {
        let Some(cloud) = observed.written_interfaces() else { return };
        let mut strangers: BTreeMap<IpAddr, &NodeName> = BTreeMap::new();
        for (name, interface) in &cloud.interfaces {
            let theirs = interface.addresses.iter().filter(|(_, on)| !on.ours);
            strangers.extend(theirs.map(|(&address, _)| (address, name)));
        }
        let mut displaced = Vec::new();
        for (position, owner) in self.snapshot.owners.iter().enumerate() {
            for held in &owner.allocations {
                let address = held.address;
                let carried = || cloud.interfaces.values().any(|interface| interface.addresses.contains_key(&address));
                let text = match strangers.get(&address) {
                    Some(name) if self.may_stay(owner.pool, held.zone, name) => continue,
                    Some(name) => format!("it is on the interface of {name} under a name that is not ours to remove"),
                    None if cloud.occupied.contains(&address) && !carried() => {
                        "somebody else in the cloud has it, or it is given to nobody".to_owned()
                    }
                    None => continue,
                };
                let (owner, reason) = (OwnerIndex::at(position), Reason::Duplicate);
                displaced.push(Displaced { owner, address, reason, text });
            }
        }
        self.constraints.displaced.extend(displaced);
    }

    /// Says which addresses get requests from load balancers although their pool wants them out of that: they joined
    /// before it said so. People take them out: whoever put them back would be in dispute with us otherwise.
    pub(super) fn note_balanced(&mut self, observed: &Observed) {
        let Some(cloud) = observed.cloud.as_deref().filter(|cloud| !cloud.balanced.is_empty()) else { return };
        for (pool, facts) in observed.pools.iter().filter(|(_, facts)| facts.no_load_balancer && !facts.deleting) {
            let inside = |address: IpAddr| facts.spec.ranges().any(|range| range.contains(&address));
            let all: Vec<(&IpAddr, &String)> = cloud.balanced.iter().filter(|(address, _)| inside(**address)).collect();
            let note = |text: String| PoolNote { pool: pool.clone(), text };
            self.notes.extend(
                all.iter()
                    .take(BALANCED_SHOWN)
                    .map(|(address, text)| note(format!("{address} should be in no load balancer pool: {text}"))),
            );
            let more = all.len().saturating_sub(BALANCED_SHOWN);
            if more > 0 {
                self.notes.push(note(format!("{more} more addresses should be in no load balancer pool")));
            }
        }
    }

    /// Whether an address may be on a node for good.
    fn may_stay(&self, pool: PoolIndex, home: Option<ZoneIndex>, name: &NodeName) -> bool {
        let node = self.snapshot.node_named(name).filter(|&node| self.snapshot.is_live(node));
        node.is_some_and(|node| self.snapshot.may_carry(pool, home, node))
    }

    /// An address that an interface gets for somebody is theirs already, as an allocation that is arriving, however many
    /// of a zone they get: a policy chooses no other while the cloud takes its time.
    pub(super) fn add_arriving(&mut self, observed: &Observed) {
        if observed.promises.is_empty() {
            return;
        }
        let mut held = all_held(&self.snapshot);
        let lost = self.to_be_released();
        for (&address, promise) in &observed.promises {
            let Some(owner) = self.snapshot.owner_named(&promise.owner) else { continue };
            if self.may_arrive(owner, address, promise.zone.as_deref(), &lost)
                && held.insert(address)
                && let Some(owner) = self.snapshot.owners.get_mut(owner.position())
            {
                let zone = promise.zone.as_deref();
                let mut zones = self.snapshot.zones.iter().enumerate().filter(|(_, of)| of.pool == owner.pool);
                let zone = zones.find(|(_, of)| zone == Some(of.name.as_str()) && gives(of, address));
                let zone = zone.map(|(position, _)| ZoneIndex::at(position));
                owner.allocations.push(Allocation { address, zone, phase: Phase::Arriving });
            }
        }
    }

    /// Addresses that an owner may have to give up, or that somebody else holds, too.
    fn to_be_released(&self) -> BTreeSet<IpAddr> {
        let mut seen = BTreeSet::new();
        let allocations = self.snapshot.owners.iter().flat_map(Owner::held);
        let twice = allocations.filter(|&address| !seen.insert(address));
        twice.chain(self.constraints.displaced.iter().map(|gone| gone.address)).collect()
    }

    /// Whether an owner can still have an address that was meant for it. One that cannot is nobody's, and is taken off
    /// its interface.
    fn may_arrive(&self, index: OwnerIndex, address: IpAddr, zone: Option<&str>, lost: &BTreeSet<IpAddr>) -> bool {
        let snapshot = &self.snapshot;
        let Some(owner) = snapshot.owner(index).filter(|_| !self.constraints.suspended.contains(&index)) else {
            return false;
        };
        let Some(pool) = snapshot.pool(owner.pool) else { return false };
        let inside = |ranges: &[IpNet]| ranges.iter().any(|range| range.contains(&address));
        let mut zones = snapshot.zones_of(owner.pool).map(|(_, of)| of);
        let is_given = inside(&pool.ranges)
            || zones.any(|of| inside(&of.ranges) && zone.is_none_or(|zone| zone == of.name.as_str()));
        let is_free = snapshot.occupied.binary_search(&address).is_err() && !inside(&pool.reserved);
        let nodes: Vec<NodeIndex> = snapshot.carriers(address).collect();
        // What goes is not in the way of what replaces it.
        let mut kept = owner.allocations.iter().filter(|held| !lost.contains(&held.address));
        let meets = |held: &Allocation| snapshot.carriers(held.address).any(|node| nodes.contains(&node));
        is_given && is_free && nodes.iter().any(|&node| snapshot.is_live(node)) && !kept.any(meets)
    }
}

fn gives(zone: &Zone, address: IpAddr) -> bool {
    zone.ranges.is_empty() || zone.ranges.iter().any(|range| range.contains(&address))
}
