//! Several addresses of one owner on one node: the network voids all of them.

use std::net::IpAddr;

use super::Round;
use crate::name::{NodeIndex, OwnerIndex};
use crate::network;
use crate::plan::{Holder, Operation, Patch, Reason};
use crate::snapshot::Phase;
use crate::survey::is_live;
use crate::verify::EndState;

/// Addresses of an owner that one node carries.
struct Crowd {
    owner: OwnerIndex,
    node: NodeIndex,
    addresses: Vec<IpAddr>,
}

impl Round {
    /// Where a plan leaves several addresses of an owner on one node, all but one leave it at once, also when no other
    /// node can take them: then one works, instead of none. It is not a move, and so nothing delays it; a policy places
    /// what left in a later round. Their owner keeps them all.
    pub(super) fn part_crowds(&self, end: &EndState) -> Vec<Patch> {
        let snapshot = &self.survey.snapshot;
        let mut parted = Vec::new();
        for crowd in self.crowds() {
            let Crowd { owner, node, mut addresses } = crowd;
            addresses.retain(|address| {
                let holders = end.holders_of(*address).iter();
                end.carriers_of(*address).contains(&node)
                    && holders.into_iter().any(|holding| holding.holder == Holder::Owner(owner))
            });
            let at_rest = |address: &IpAddr| self.phase(*address, node) == Some(Phase::Settled);
            let acts = is_live(snapshot, node) && !network::network_places(snapshot, node);
            if addresses.len() < 2 || !acts || !addresses.iter().all(at_rest) {
                continue;
            }
            let stays = |address: IpAddr| {
                self.survey.fixed.contains(&(address, node)) || self.survey.pinned.contains(&(owner, address))
            };
            let is_half = |address: IpAddr| self.survey.half.contains(&(address, node));
            addresses.sort_by_key(|&address| {
                (!stays(address), is_half(address), !self.is_at_home(owner, address, node), address)
            });
            let keeper = addresses.first().map(ToString::to_string).unwrap_or_default();
            let name = snapshot.node_name(node);
            let leave = addresses.into_iter().skip(1).filter(|&address| !stays(address));
            parted.extend(leave.map(|address| Patch {
                operation: Operation::Unassign { address, node },
                reason: Reason::NodeIneligible,
                text: format!("{name} carries {keeper} of the same namespace, and two on one node void each other"),
                by_host: true,
            }));
        }
        parted
    }

    /// All crowds that were there before.
    fn crowds(&self) -> Vec<Crowd> {
        let mut places: Vec<(OwnerIndex, NodeIndex, IpAddr)> = Vec::new();
        let mut held = self.base.held().peekable();
        for (address, nodes) in self.base.carried() {
            while held.next_if(|(other, _)| *other < address).is_some() {}
            let Some((_, holders)) = held.next_if(|(other, _)| *other == address) else { continue };
            for holding in holders {
                if let Holder::Owner(owner) = holding.holder {
                    places.extend(nodes.iter().map(|&node| (owner, node, address)));
                }
            }
        }
        places.sort_unstable();
        let crowded = places.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).filter(|of_one| of_one.len() > 1);
        let crowd = |of_one: &[(OwnerIndex, NodeIndex, IpAddr)]| {
            let &(owner, node, _) = of_one.first()?;
            Some(Crowd { owner, node, addresses: of_one.iter().map(|(_, _, address)| *address).collect() })
        };
        crowded.filter_map(crowd).collect()
    }

    fn phase(&self, address: IpAddr, node: NodeIndex) -> Option<Phase> {
        let assignments = &self.survey.snapshot.assignments;
        let at = assignments.binary_search_by(|on| (on.address, on.node).cmp(&(address, node))).ok()?;
        assignments.get(at).map(|on| on.phase)
    }

    /// Whether a node is in the home zone of an address.
    fn is_at_home(&self, owner: OwnerIndex, address: IpAddr, node: NodeIndex) -> bool {
        let snapshot = &self.survey.snapshot;
        let held =
            snapshot.owner(owner).and_then(|owner| owner.allocations.iter().find(|held| held.address == address));
        let zone = held.and_then(|held| snapshot.zone(held.zone?));
        zone.is_some_and(|zone| zone.nodes.binary_search(&node).is_ok())
    }
}
