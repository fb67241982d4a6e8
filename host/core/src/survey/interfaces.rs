//! What the machines' interfaces mean for those who hold addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Displaced, Survey, is_live};
use crate::name::{NodeName, OwnerIndex, PoolIndex, ZoneIndex};
use crate::observed::Observed;
use crate::plan::Reason;

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
        self.displaced.extend(displaced);
    }

    /// Whether an address may be on a node for good.
    fn may_stay(&self, pool: PoolIndex, home: Option<ZoneIndex>, name: &NodeName) -> bool {
        let leaves = home.and_then(|home| self.snapshot.zone(home)).is_none_or(|zone| zone.may_leave);
        let mut zones = self.snapshot.zones_of(pool).filter(|(zone, _)| leaves || Some(*zone) == home);
        self.snapshot
            .node_named(name)
            .filter(|&node| is_live(&self.snapshot, node))
            .is_some_and(|node| zones.any(|(_, zone)| zone.nodes.binary_search(&node).is_ok()))
    }

    /// Finds those to whom addresses on their way were promised, as far as they can still have them.
    pub(super) fn add_promises(&mut self, observed: &Observed) {
        for (&address, promise) in &observed.promises {
            let Some(owner) = self.snapshot.owner_named(&promise.owner) else { continue };
            let Some(pool) = self.snapshot.owner(owner).map(|owner| owner.pool) else { continue };
            let mut zones = self.snapshot.zones_of(pool);
            let zone = zones.find(|(_, zone)| {
                let gives = zone.ranges.is_empty() || zone.ranges.iter().any(|range| range.contains(&address));
                gives && promise.zone.as_deref() == Some(zone.name.as_str())
            });
            self.promised.push(Promised { owner, zone: zone.map(|(index, _)| index), address });
        }
    }
}

/// An address on its way to somebody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promised {
    pub(crate) owner: OwnerIndex,
    pub(crate) zone: Option<ZoneIndex>,
    pub(crate) address: IpAddr,
}
