//! Invariant 6, as far as one plan shows it: what works is not changed without need.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::checks::View;
use super::{EndState, Finding, Invariant};
use crate::name::{NodeIndex, OwnerIndex};
use crate::plan::Operation;
use crate::snapshot::{Health, Placement};

impl View<'_> {
    /// No owner that works is silenced, and what was moved to and fro stays for a while, unless it must not stay. An
    /// address that is released leaves its node anyway: what becomes of its owner is the host's business.
    pub(super) fn stable(&self, findings: &mut Vec<Finding>) {
        let released = |address: IpAddr| self.end.holders_of(address) != self.base.holders_of(address);
        let mut silenced: BTreeMap<OwnerIndex, BTreeSet<IpAddr>> = BTreeMap::new();
        for patch in self.patches.iter().filter(|patch| !patch.by_host) {
            let (address, node, unassigns) = match patch.operation {
                Operation::Move { address, source, .. } => (address, source, false),
                Operation::Unassign { address, node } if !released(address) => (address, node, true),
                _ => continue,
            };
            let Some(owner) = self.end.owner_of(address).filter(|_| !self.forced_off(address, node)) else {
                continue;
            };
            if let Some(flapped) = self.snapshot.flapped(address) {
                let text = format!("{address} was moved to and fro by policy {}: it stays for now", flapped.policy);
                findings.push(self.finding(Invariant::Stable, owner, text));
            }
            if self.is_placed_among(owner) {
                let name = self.snapshot.node_name(node);
                let text = format!("the network has put {address} on node {name}, where it may be: it stays");
                findings.push(self.finding(Invariant::Stable, owner, text));
            }
            if unassigns {
                silenced.entry(owner).or_default().insert(address);
            }
        }
        silenced.retain(|&owner, _| self.works(owner, self.base) && !self.works(owner, self.end));
        for (owner, addresses) in silenced {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let text = format!("without {} no node would carry any of its addresses", addresses.join(", "));
            findings.push(self.finding(Invariant::Stable, owner, text));
        }
    }

    /// Whether the network chooses the nodes of an owner's addresses, among those that we mark.
    fn is_placed_among(&self, owner: OwnerIndex) -> bool {
        let pool = self.snapshot.owner(owner).and_then(|owner| self.snapshot.pool(owner.pool));
        pool.is_some_and(|pool| pool.placement == Placement::Among)
    }

    /// Whether a node that is not down carries an address of the owner.
    fn works(&self, owner: OwnerIndex, state: &EndState) -> bool {
        let lives = |node: &NodeIndex| self.snapshot.node(*node).is_some_and(|node| node.health != Health::Down);
        let held = self.snapshot.owner(owner).into_iter().flat_map(|owner| &owner.allocations);
        let given = self.patches.iter().filter(|patch| matches!(patch.operation, Operation::Allocate { .. }));
        let mut addresses = held.map(|held| held.address).chain(given.map(|patch| patch.operation.address()));
        addresses.any(|address| state.is_held_by(address, owner) && state.carriers_of(address).iter().any(lives))
    }
}
