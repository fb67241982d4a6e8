//! Who holds and who carries what, before a plan and after it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Finding, contract};
use crate::name::{NodeIndex, OwnerIndex, ZoneIndex};
use crate::plan::{Holder, Operation, Patch};
use crate::snapshot::{Allocation, Snapshot};

/// Holders and carriers of every address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndState {
    holders: BTreeMap<IpAddr, Vec<Holding>>,
    carriers: BTreeMap<IpAddr, Vec<NodeIndex>>,
}

/// One holder of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Who.
    pub holder: Holder,
    /// Its home zone, if known.
    pub zone: Option<ZoneIndex>,
}

impl EndState {
    /// The state of a snapshot.
    pub(crate) fn before(snapshot: &Snapshot) -> Self {
        let mut state = Self::default();
        for (position, owner) in snapshot.owners.iter().enumerate() {
            for allocation in &owner.allocations {
                let holding = Holding { holder: Holder::Owner(OwnerIndex::at(position)), zone: allocation.zone };
                state.holders.entry(allocation.address).or_default().push(holding);
            }
        }
        for (position, leaving) in snapshot.leaving.iter().enumerate() {
            for &address in &leaving.addresses {
                let holder = Holder::Leaving(u32::try_from(position).unwrap_or(u32::MAX));
                state.holders.entry(address).or_default().push(Holding { holder, zone: None });
            }
        }
        for assignment in &snapshot.assignments {
            state.carriers.entry(assignment.address).or_default().push(assignment.node);
        }
        state
    }

    /// The state once the patches are applied. Patches that make no sense are findings and change nothing.
    pub(crate) fn after(&self, snapshot: &Snapshot, patches: &[Patch], findings: &mut Vec<Finding>) -> Self {
        let mut state = self.clone();
        for patch in patches {
            if let Err(text) = state.apply(snapshot, self, &patch.operation) {
                findings.push(contract(format!("{} {}: {text}", patch.operation.name(), patch.operation.address())));
            }
        }
        state
    }

    fn apply(&mut self, snapshot: &Snapshot, base: &Self, operation: &Operation) -> Result<(), String> {
        match *operation {
            Operation::Allocate { owner, zone, address } => {
                let pool =
                    snapshot.owner(owner).ok_or_else(|| out_of_bounds("owner", owner.0, snapshot.owners.len()))?.pool;
                if let Some(zone) = zone {
                    let of = snapshot.zone(zone).ok_or_else(|| out_of_bounds("zone", zone.0, snapshot.zones.len()))?;
                    if of.pool != pool {
                        return Err(format!("zone {} belongs to another pool", of.name));
                    }
                }
                let holding = Holding { holder: Holder::Owner(owner), zone };
                self.holders.entry(address).or_default().push(holding);
            }
            Operation::Release { holder, address } => {
                let holder = holder.ok_or("nobody holds it")?;
                let holders = self.holders.entry(address).or_default();
                let before = holders.len();
                holders.retain(|holding| holding.holder != holder);
                if holders.len() == before {
                    return Err("not held by the one it is taken from".to_owned());
                }
            }
            Operation::Assign { address, node } => {
                in_bounds(snapshot, node)?;
                self.carriers.entry(address).or_default().push(node);
            }
            Operation::Unassign { address, node } => {
                in_bounds(snapshot, node)?;
                self.take_off(base, address, node)?;
            }
            Operation::Move { address, source, target } => {
                in_bounds(snapshot, source)?;
                in_bounds(snapshot, target)?;
                if source == target {
                    return Err("moved to where it is".to_owned());
                }
                self.take_off(base, address, source)?;
                self.carriers.entry(address).or_default().push(target);
            }
        }
        Ok(())
    }

    fn take_off(&mut self, base: &Self, address: IpAddr, node: NodeIndex) -> Result<(), String> {
        let carriers = self.carriers.entry(address).or_default();
        match carriers.iter().position(|&carrier| carrier == node) {
            Some(position) if base.carriers_of(address).contains(&node) => {
                carriers.remove(position);
                Ok(())
            }
            _ => Err(format!("node #{} does not carry it", node.0)),
        }
    }

    /// Who holds an address.
    pub fn holders_of(&self, address: IpAddr) -> &[Holding] {
        self.holders.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Which nodes carry an address.
    pub fn carriers_of(&self, address: IpAddr) -> &[NodeIndex] {
        self.carriers.get(&address).map_or(&[], Vec::as_slice)
    }

    /// All addresses with a holder.
    pub fn held(&self) -> impl Iterator<Item = (IpAddr, &[Holding])> {
        self.holders
            .iter()
            .filter(|(_, holders)| !holders.is_empty())
            .map(|(address, holders)| (*address, holders.as_slice()))
    }

    /// All addresses with a carrier.
    pub fn carried(&self) -> impl Iterator<Item = (IpAddr, &[NodeIndex])> {
        self.carriers.iter().filter(|(_, nodes)| !nodes.is_empty()).map(|(address, nodes)| (*address, nodes.as_slice()))
    }

    /// What each owner holds: by zone in spec order, unknown homes last, then by address.
    pub fn allocations(&self, owners: usize) -> Vec<Vec<Allocation>> {
        let mut of_owner = vec![Vec::new(); owners];
        for (address, holders) in self.held() {
            for holding in holders {
                let Holder::Owner(index) = holding.holder else {
                    continue;
                };
                if let Some(allocations) = of_owner.get_mut(index.position()) {
                    allocations.push(Allocation { address, zone: holding.zone });
                }
            }
        }
        for allocations in &mut of_owner {
            allocations.sort_by_key(|allocation| (allocation.zone.is_none(), allocation.zone, allocation.address));
        }
        of_owner
    }
}

fn in_bounds(snapshot: &Snapshot, node: NodeIndex) -> Result<(), String> {
    snapshot.node(node).map(|_| ()).ok_or_else(|| out_of_bounds("node", node.0, snapshot.nodes.len()))
}

fn out_of_bounds(what: &str, index: u32, len: usize) -> String {
    format!("{what} {index} does not exist; the snapshot has {len}")
}
