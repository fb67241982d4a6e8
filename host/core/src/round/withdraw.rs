//! What depends on a patch that the host held back goes with it: whoever was to get a place that is not left after all
//! waits for another round.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Round;
use crate::name::{NodeIndex, OwnerIndex};
use crate::plan::{Hold, HoldCode, Holder, Operation, Patch};
use crate::verify::EndState;

/// Why an owner waits whose patches were withdrawn.
const WHY: &str = "what was to make room for its address stays where it is";

/// A patch that puts an address onto a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    /// Failover goes last: a place that is left is first of all for what a dead node carried.
    urgent: bool,
    address: IpAddr,
    owner: OwnerIndex,
}

impl Round {
    /// Takes back those of the policy's patches that put too much onto a node, or two addresses of one owner, now that
    /// `end` is the state after all patches. Returns whether there were any; `waiting` gets their owners, except those
    /// whose addresses work where they are.
    pub(super) fn withdraw_dependents(
        &self,
        patches: &mut Vec<Patch>,
        end: &EndState,
        waiting: &mut BTreeSet<OwnerIndex>,
    ) -> bool {
        let mut surplus: BTreeSet<Arrival> = BTreeSet::new();
        let (loads_before, loads_after) = (loads(&self.base), loads(end));
        let load = |loads: &BTreeMap<NodeIndex, Load>, node| loads.get(&node).copied().unwrap_or_default();
        for (node, arrivals) in self.arrivals(patches, end) {
            let (before, after) = (load(&loads_before, node), load(&loads_after, node));
            surplus.extend(self.beyond_capacity(node, &arrivals, before, after));
            surplus.extend(self.beside_another(node, &arrivals, end));
        }
        if surplus.is_empty() {
            return false;
        }
        let owners: BTreeSet<OwnerIndex> = surplus.iter().map(|arrival| arrival.owner).collect();
        let addresses: BTreeSet<IpAddr> = surplus.iter().map(|arrival| arrival.address).collect();
        let snapshot = &self.survey.snapshot;
        let holds = |owner: OwnerIndex, address: IpAddr| {
            snapshot.owner(owner).is_some_and(|owner| owner.allocations.iter().any(|held| held.address == address))
        };
        patches.retain(|patch| {
            let address = patch.operation.address();
            let owner = self.owner_of(&patch.operation, end);
            let Some(owner) = owner.filter(|owner| !patch.by_host && owners.contains(owner)) else { return true };
            // What an owner gets and what it gives up are one exchange. Its other addresses move by themselves.
            let (by_itself, works) = match patch.operation {
                Operation::Move { source, .. } => (true, snapshot.is_live(source)),
                Operation::Assign { .. } => (true, false),
                Operation::Allocate { .. } => (false, false),
                Operation::Release { .. } | Operation::Unassign { .. } => (false, true),
            };
            let stays = by_itself && holds(owner, address) && !addresses.contains(&address);
            if !stays && !works {
                waiting.insert(owner);
            }
            stays
        });
        true
    }

    /// Says of owners whose patches were withdrawn why they wait.
    pub(super) fn explain_withdrawn(owners: BTreeSet<OwnerIndex>, holds: &mut Vec<Hold>) {
        let known: BTreeSet<OwnerIndex> = holds.iter().map(|hold| hold.owner).collect();
        let unknown = owners.into_iter().filter(|owner| !known.contains(owner));
        holds.extend(unknown.map(|owner| Hold { owner, zone: None, code: HoldCode::NoCapacity, text: WHY.to_owned() }));
    }

    /// What the policy puts onto each node.
    fn arrivals(&self, patches: &[Patch], end: &EndState) -> BTreeMap<NodeIndex, Vec<Arrival>> {
        let mut arrivals: BTreeMap<NodeIndex, Vec<Arrival>> = BTreeMap::new();
        for patch in patches.iter().filter(|patch| !patch.by_host) {
            let (address, node, urgent) = match patch.operation {
                Operation::Assign { address, node } => (address, node, false),
                Operation::Move { address, source, target } => (address, target, !self.survey.snapshot.is_live(source)),
                _ => continue,
            };
            if let Some(owner) = self.owner_of(&patch.operation, end) {
                arrivals.entry(node).or_default().push(Arrival { urgent, address, owner });
            }
        }
        for of_one in arrivals.values_mut() {
            of_one.sort_unstable_by_key(|arrival| (arrival.urgent, std::cmp::Reverse(arrival.address)));
        }
        arrivals
    }

    /// Of what comes to a node, as much as is too much: more than it can carry, and more than it carries already.
    fn beyond_capacity(&self, node: NodeIndex, arrivals: &[Arrival], before: Load, after: Load) -> Vec<Arrival> {
        let Some(capacity) = self.survey.snapshot.node(node).map(|node| node.capacity) else { return Vec::new() };
        let over = |limit: Option<u32>, before: usize, after: usize| {
            limit.map_or(0, |limit| after.saturating_sub(before.max(limit as usize)))
        };
        let mut total = over(capacity.total, before.ipv4 + before.ipv6, after.ipv4 + after.ipv6);
        let mut ipv4 = over(capacity.ipv4, before.ipv4, after.ipv4);
        let mut ipv6 = over(capacity.ipv6, before.ipv6, after.ipv6);
        let mut surplus = Vec::new();
        for arrival in arrivals {
            let of_family = if arrival.address.is_ipv4() { &mut ipv4 } else { &mut ipv6 };
            if total > 0 || *of_family > 0 {
                total = total.saturating_sub(1);
                *of_family = of_family.saturating_sub(1);
                surplus.push(*arrival);
            }
        }
        surplus
    }

    /// Of what comes to a node, what would find another address of its owner there.
    fn beside_another(&self, node: NodeIndex, arrivals: &[Arrival], end: &EndState) -> Vec<Arrival> {
        let has = |state: &EndState, owner, address: IpAddr| {
            let holds = state.holders_of(address).iter().any(|holding| holding.holder == Holder::Owner(owner));
            holds && state.carriers_of(address).contains(&node)
        };
        let crowded = |arrival: &&Arrival| {
            let held = self.survey.snapshot.owner(arrival.owner).into_iter().flat_map(|owner| &owner.allocations);
            let siblings = arrivals.iter().filter(|other| other.owner == arrival.owner).map(|other| other.address);
            let mut others = held.map(|held| held.address).chain(siblings);
            others.any(|other| other != arrival.address && has(end, arrival.owner, other))
        };
        arrivals.iter().filter(crowded).copied().collect()
    }

    /// Whom an operation is about: who gets the address or gives it up, or holds it in the end.
    fn owner_of(&self, operation: &Operation, end: &EndState) -> Option<OwnerIndex> {
        let holder_in = |state: &EndState| {
            state.holders_of(operation.address()).iter().find_map(|holding| match holding.holder {
                Holder::Owner(owner) => Some(owner),
                Holder::Leaving(_) => None,
            })
        };
        super::adjust::changed_owner(operation).or_else(|| holder_in(end)).or_else(|| holder_in(&self.base))
    }
}

/// How many addresses a node carries.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    ipv4: usize,
    ipv6: usize,
}

fn loads(state: &EndState) -> BTreeMap<NodeIndex, Load> {
    let mut loads: BTreeMap<NodeIndex, Load> = BTreeMap::new();
    for (address, nodes) in state.carried() {
        for &node in nodes {
            let load = loads.entry(node).or_default();
            *(if address.is_ipv4() { &mut load.ipv4 } else { &mut load.ipv6 }) += 1;
        }
    }
    loads
}
