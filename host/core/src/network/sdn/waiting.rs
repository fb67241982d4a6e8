//! Addresses whose place does not change in this schedule, since a step of the change cannot be made now. A change is
//! made whole or not at all: an address that is taken off one node must be able to reach the other.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Draft;
use super::intent::Intent;
use crate::name::{NodeIndex, OwnerIndex};
use crate::network::Target;
use crate::plan::{Holder, Operation};
use crate::survey::carriers;

/// An address that changes its carriers and that somebody holds afterwards.
struct Trip {
    address: IpAddr,
    owner: OwnerIndex,
    /// The owner held it before.
    held: bool,
    sources: Vec<NodeIndex>,
    targets: Vec<NodeIndex>,
}

impl Draft<'_> {
    /// Finds all addresses that stay where they are for now.
    pub(super) fn find_waiting(&mut self, intents: &[Intent<'_>]) {
        let trips = self.trips();
        let deaf: BTreeSet<OwnerIndex> = intents
            .iter()
            .filter(|intent| self.is_deaf(intent))
            .filter_map(|intent| self.snapshot.owner_named(&intent.owner))
            .collect();
        // Until an owner has let go of an address, its others cannot come to the same node.
        let lingering: BTreeSet<(NodeIndex, OwnerIndex)> = self.released().collect();
        let mut occupied: BTreeSet<(NodeIndex, OwnerIndex)> = BTreeSet::new();
        loop {
            let before = self.waiting.len();
            for trip in &trips {
                let meets =
                    |places: &BTreeSet<_>| trip.targets.iter().any(|&node| places.contains(&(node, trip.owner)));
                let avoided = trip.sources.iter().chain(&trip.targets).any(|&node| self.is_avoided(node))
                    || self.would_get_stuck(trip.address, &trip.sources, &trip.targets);
                let unheard = !trip.held && deaf.contains(&trip.owner);
                let stuck = meets(&occupied) || avoided || unheard || self.lacks_finalizer(trip);
                let lingers = trip.held && meets(&lingering);
                if stuck || lingers {
                    self.waiting.insert(trip.address);
                    occupied.extend(trip.sources.iter().map(|&node| (node, trip.owner)));
                }
                if stuck {
                    self.next_round.remove(&trip.address);
                } else if lingers {
                    self.next_round.insert(trip.address);
                }
            }
            if self.waiting.len() == before {
                return;
            }
        }
    }

    fn trips(&self) -> Vec<Trip> {
        let trip = |address: IpAddr| {
            let owner = self.owner_after(address)?;
            let before: Vec<NodeIndex> = carriers(self.snapshot, address).collect();
            let after = self.plan.end().carriers_of(address);
            let held = self.snapshot.owner(owner)?.held().any(|held| held == address);
            let sources = before.iter().copied().filter(|node| !after.contains(node)).collect();
            let targets = after.iter().copied().filter(|node| !before.contains(node)).collect();
            Some(Trip { address, owner, held, sources, targets })
        };
        self.moving().into_iter().filter_map(trip).collect()
    }

    /// Addresses that come to nodes or leave them.
    pub(super) fn moving(&self) -> BTreeSet<IpAddr> {
        let stays = |operation: &Operation| matches!(operation, Operation::Allocate { .. } | Operation::Release { .. });
        let operations = self.plan.patches().iter().map(|patch| patch.operation);
        operations.filter(|operation| !stays(operation)).map(|operation| operation.address()).collect()
    }

    /// Nodes that carry addresses which their owner gives up.
    fn released(&self) -> impl Iterator<Item = (NodeIndex, OwnerIndex)> {
        self.plan.patches().iter().flat_map(|patch| {
            let released = match patch.operation {
                Operation::Release { holder: Some(Holder::Owner(owner)), address } => Some((owner, address)),
                _ => None,
            };
            released
                .into_iter()
                .flat_map(|(owner, address)| carriers(self.snapshot, address).map(move |node| (node, owner)))
        })
    }

    fn is_avoided(&self, node: NodeIndex) -> bool {
        self.node_name(node).is_none_or(|name| self.avoid.contains(&Target::Carrier(name.clone())))
    }

    /// Whether the NetNamespace of a namespace cannot be written now.
    pub(super) fn is_deaf(&self, intent: &Intent<'_>) -> bool {
        self.avoid.contains(&Target::Holding(intent.owner.clone()))
            || (self.has_to_be_cleared(intent) && self.avoid.contains(&Target::Namespace(intent.owner.clone())))
            || (!intent.shall.is_empty() && intent.pool.as_ref().is_some_and(|pool| self.unguarded.contains(pool)))
    }

    fn lacks_finalizer(&self, trip: &Trip) -> bool {
        let pool = self.snapshot.owner(trip.owner).and_then(|owner| self.snapshot.pool(owner.pool));
        !trip.targets.is_empty() && pool.is_some_and(|pool| self.unguarded.contains(&pool.name))
    }
}
