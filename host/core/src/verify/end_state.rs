//! Who holds and who carries what, before a plan and after it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Finding, contract};
use crate::name::{NodeIndex, OwnerIndex, ZoneIndex};
use crate::plan::{Holder, Operation, Patch};
use crate::snapshot::{Allocation, Snapshot};

/// Holders and carriers of every address: what a snapshot has, and what patches make of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndState {
    base: Arc<Base>,
    /// Of addresses that patches touch.
    holders: BTreeMap<IpAddr, Vec<Holding>>,
    carriers: BTreeMap<IpAddr, Vec<NodeIndex>>,
}

/// A snapshot's holders and carriers, sorted by address.
#[derive(Debug, Default, PartialEq)]
struct Base {
    holders: Runs<Holding>,
    carriers: Runs<NodeIndex>,
}

/// Values by address; several of one address lie side by side.
#[derive(Debug, PartialEq)]
struct Runs<T> {
    addresses: Vec<IpAddr>,
    values: Vec<T>,
}

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self { addresses: Vec::new(), values: Vec::new() }
    }
}

impl<T> Runs<T> {
    /// Stable: values of one address keep their order.
    fn of(mut pairs: Vec<(IpAddr, T)>) -> Self {
        pairs.sort_by_key(|(address, _)| *address);
        let (addresses, values) = pairs.into_iter().unzip();
        Self { addresses, values }
    }

    fn get(&self, address: IpAddr) -> &[T] {
        let start = self.addresses.partition_point(|&other| other < address);
        let rest = self.addresses.get(start..).unwrap_or_default();
        let count = rest.iter().take_while(|&&other| other == address).count();
        self.values.get(start..start + count).unwrap_or_default()
    }

    fn iter(&self) -> impl Iterator<Item = (IpAddr, &[T])> {
        let mut values = self.values.as_slice();
        self.addresses.chunk_by(|a, b| a == b).filter_map(move |run| {
            let (first, rest) = values.split_at_checked(run.len())?;
            values = rest;
            Some((*run.first()?, first))
        })
    }
}

/// All runs that are not touched, and the touched ones, by address; empty ones left out.
fn merged<'a, T>(base: &'a Runs<T>, touched: &'a BTreeMap<IpAddr, Vec<T>>) -> impl Iterator<Item = (IpAddr, &'a [T])> {
    let mut base = base.iter().peekable();
    let mut over = touched.iter().peekable();
    std::iter::from_fn(move || {
        loop {
            let next = match (base.peek(), over.peek()) {
                (Some((address, _)), Some((touched, _))) if address < *touched => base.next()?,
                (Some((address, _)), Some((touched, _))) if address == *touched => {
                    base.next();
                    continue;
                }
                (_, Some(_)) => over.next().map(|(address, values)| (*address, values.as_slice()))?,
                (_, None) => base.next()?,
            };
            if !next.1.is_empty() {
                return Some(next);
            }
        }
    })
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
        let mut holders = Vec::new();
        for (position, owner) in snapshot.owners.iter().enumerate() {
            let holder = Holder::Owner(OwnerIndex::at(position));
            holders.extend(owner.allocations.iter().map(|a| (a.address, Holding { holder, zone: a.zone })));
        }
        for (position, leaving) in snapshot.leaving.iter().enumerate() {
            let holder = Holder::Leaving(u32::try_from(position).unwrap_or(u32::MAX));
            holders.extend(leaving.addresses.iter().map(|&address| (address, Holding { holder, zone: None })));
        }
        let carriers = snapshot.assignments.iter().map(|assignment| (assignment.address, assignment.node)).collect();
        let base = Base { holders: Runs::of(holders), carriers: Runs::of(carriers) };
        Self { base: Arc::new(base), ..Self::default() }
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

    /// Makes this the state after `patches` again, where patches about some addresses came or went. `base` is the state
    /// before them: the state of an address depends on the patches about that address alone.
    pub(crate) fn renew(&mut self, base: &Self, snapshot: &Snapshot, addresses: &BTreeSet<IpAddr>, patches: &[Patch]) {
        for address in addresses {
            self.holders.remove(address);
            self.carriers.remove(address);
        }
        for patch in patches.iter().filter(|patch| addresses.contains(&patch.operation.address())) {
            // A patch that makes no sense changes nothing, and is a finding of the checker.
            let _ = self.apply(snapshot, base, &patch.operation);
        }
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
                self.holders_mut(address).push(holding);
            }
            Operation::Release { holder, address } => {
                let holder = holder.ok_or("nobody holds it")?;
                let holders = self.holders_mut(address);
                let before = holders.len();
                holders.retain(|holding| holding.holder != holder);
                if holders.len() == before {
                    return Err("not held by the one it is taken from".to_owned());
                }
            }
            Operation::Assign { address, node } => {
                in_bounds(snapshot, node)?;
                self.carriers_mut(address).push(node);
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
                self.carriers_mut(address).push(target);
            }
        }
        Ok(())
    }

    fn take_off(&mut self, base: &Self, address: IpAddr, node: NodeIndex) -> Result<(), String> {
        let carriers = self.carriers_mut(address);
        match carriers.iter().position(|&carrier| carrier == node) {
            Some(position) if base.carriers_of(address).contains(&node) => {
                carriers.remove(position);
                Ok(())
            }
            _ => Err(format!("node #{} does not carry it", node.0)),
        }
    }

    fn holders_mut(&mut self, address: IpAddr) -> &mut Vec<Holding> {
        self.holders.entry(address).or_insert_with(|| self.base.holders.get(address).to_vec())
    }

    fn carriers_mut(&mut self, address: IpAddr) -> &mut Vec<NodeIndex> {
        self.carriers.entry(address).or_insert_with(|| self.base.carriers.get(address).to_vec())
    }

    /// Who holds an address.
    pub fn holders_of(&self, address: IpAddr) -> &[Holding] {
        self.holders.get(&address).map_or_else(|| self.base.holders.get(address), Vec::as_slice)
    }

    /// Which nodes carry an address.
    pub fn carriers_of(&self, address: IpAddr) -> &[NodeIndex] {
        self.carriers.get(&address).map_or_else(|| self.base.carriers.get(address), Vec::as_slice)
    }

    /// The owner that holds an address, with its home zone if known; none: nobody does, or somebody who leaves.
    pub fn ownership_of(&self, address: IpAddr) -> Option<(OwnerIndex, Option<ZoneIndex>)> {
        self.holders_of(address).iter().find_map(|holding| match holding.holder {
            Holder::Owner(owner) => Some((owner, holding.zone)),
            Holder::Leaving(_) => None,
        })
    }

    /// The owner that holds an address; none: nobody does, or somebody who leaves.
    pub fn owner_of(&self, address: IpAddr) -> Option<OwnerIndex> {
        self.ownership_of(address).map(|(owner, _)| owner)
    }

    /// Whether an owner holds an address.
    pub fn is_held_by(&self, address: IpAddr, owner: OwnerIndex) -> bool {
        self.holders_of(address).iter().any(|holding| holding.holder == Holder::Owner(owner))
    }

    /// All addresses with a holder, in order.
    pub fn held(&self) -> impl Iterator<Item = (IpAddr, &[Holding])> {
        merged(&self.base.holders, &self.holders)
    }

    /// All addresses with a carrier, in order.
    pub fn carried(&self) -> impl Iterator<Item = (IpAddr, &[NodeIndex])> {
        merged(&self.base.carriers, &self.carriers)
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
                    allocations.push(Allocation::settled(address, holding.zone));
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
