//! Whether one more address could have been served, by trying everything.

use std::collections::BTreeSet;

use sluice_policy_sdk::{Family, Health, IpAddress, Phase, PlacementMode, Reason};

use crate::laws::Case;

/// An address that a plan may place.
struct Piece {
    address: IpAddress,
    owner: u32,
    /// Where it is now.
    original: Option<u32>,
    /// Where it is now, it may stay.
    may_stay: bool,
    /// What it costs to have it elsewhere.
    charge: u32,
    /// It has to be served in the end.
    required: bool,
    /// It may be released instead, at a charge of one.
    surplus: bool,
    /// The healthy nodes that may carry it.
    targets: Vec<u32>,
}

/// All placements of some addresses, each in turn.
pub(crate) struct Search<'a> {
    case: &'a Case<'a>,
    pieces: Vec<Piece>,
    /// Addresses that stay where they are, by node.
    fixed: Vec<(u32, IpAddress, Option<u32>)>,
    budget: u32,
}

impl<'a> Search<'a> {
    /// Asks for what the plan serves, and for one address more.
    pub(crate) fn new(case: &'a Case<'a>, more: IpAddress, budget: u32) -> Self {
        let mut search = Self { case, pieces: Vec::new(), fixed: Vec::new(), budget };
        let mut paid = 0;
        for owner in 0..u32::try_from(case.snapshot.owners.len()).unwrap() {
            paid += search.add_owner(owner, more);
        }
        let held: BTreeSet<_> = search.held().into_iter().map(|(address, ..)| address).collect();
        for assignment in &case.snapshot.assignments {
            if !held.contains(&assignment.address) {
                search.fixed.push((assignment.node, assignment.address, None));
            }
        }
        search.budget = budget.saturating_sub(paid);
        search
    }

    /// All addresses that are held before or after the plan.
    fn held(&self) -> Vec<(IpAddress, u32, Option<u32>)> {
        let before = (0..).zip(&self.case.snapshot.owners);
        let before =
            before.flat_map(|(index, owner)| owner.allocations.iter().map(move |a| (a.address, index, a.zone)));
        let allocated = self.case.allocated.iter().map(|address| {
            let (owner, zone) = self.case.held[address];
            (*address, owner, zone)
        });
        before.chain(allocated).collect()
    }

    /// Adds what an owner has. Returns what its request costs of the budget.
    fn add_owner(&mut self, owner: u32, more: IpAddress) -> u32 {
        let mut paid = 0;
        let case = self.case;
        let chooser = case.snapshot.pools[case.snapshot.owners[owner as usize].pool as usize].placement;
        let mine: Vec<_> = self.held().into_iter().filter(|(_, holder, _)| *holder == owner).collect();
        for (address, _, zone) in mine {
            let released = case.released.get(&address);
            if released == Some(&Reason::Requested) {
                paid += 1;
                continue;
            }
            let assignment = case.snapshot.assignments.iter().find(|a| a.address == address);
            let original = assignment.map(|assignment| assignment.node);
            if chooser == PlacementMode::Network || assignment.is_some_and(|a| a.phase != Phase::Settled) {
                self.fixed.extend(original.map(|node| (node, address, Some(owner))));
                continue;
            }
            let reach = case.reach(owner, zone);
            let fits = original.is_some_and(|node| reach.contains(&node) && case.health(node) != Health::Down);
            let at = case.carriers(address);
            let served = at.iter().any(|node| reach.contains(node) && case.health(*node) != Health::Down);
            let healthy = |node: &u32| case.health(*node) == Health::Healthy;
            self.pieces.push(Piece {
                address,
                owner,
                original,
                may_stay: fits,
                charge: u32::from(fits),
                required: released.is_none() && (served || address == more),
                surplus: released.is_some() || case.is_surplus(address),
                targets: if fits && chooser == PlacementMode::Among {
                    original.into_iter().collect()
                } else {
                    reach.into_iter().filter(healthy).collect()
                },
            });
        }
        paid
    }

    /// Whether there is a placement that serves all that is required within the budget.
    pub(crate) fn is_feasible(&self) -> bool {
        let mut nodes = Vec::new();
        self.try_from(0, 0, &mut nodes)
    }

    fn try_from(&self, piece: usize, cost: u32, nodes: &mut Vec<Option<u32>>) -> bool {
        if cost > self.budget {
            return false;
        }
        let Some(next) = self.pieces.get(piece) else { return self.is_sound(nodes) };
        let stays = next.may_stay || !next.required;
        let mut options: Vec<(Option<u32>, u32)> = Vec::new();
        options.extend(stays.then_some((next.original, 0)));
        options.extend(next.surplus.then_some((None, 1)));
        options.extend(next.targets.iter().map(|node| (Some(*node), next.charge)));
        options.into_iter().any(|(node, charge)| {
            let is_move = node != next.original;
            if is_move && node.is_some() && self.is_taken(piece, node, nodes) {
                return false;
            }
            nodes.push(node);
            let found = self.try_from(piece + 1, cost + if is_move { charge } else { 0 }, nodes);
            nodes.pop();
            found
        })
    }

    /// Whether an earlier address of the same owner is on the node.
    fn is_taken(&self, piece: usize, node: Option<u32>, nodes: &[Option<u32>]) -> bool {
        let owner = self.pieces[piece].owner;
        let before = self.pieces.iter().zip(nodes).any(|(other, at)| other.owner == owner && *at == node);
        before || self.fixed.iter().any(|(at, _, holder)| Some(*at) == node && *holder == Some(owner))
    }

    fn is_sound(&self, nodes: &[Option<u32>]) -> bool {
        let moved = |position: usize| nodes[position] != self.pieces[position].original;
        let placed: Vec<(usize, u32)> = (0..).zip(nodes).filter_map(|(i, node)| node.map(|node| (i, node))).collect();
        placed.iter().filter(|(i, _)| moved(*i)).all(|(i, node)| {
            let piece = &self.pieces[*i];
            let here = || placed.iter().filter(|(_, at)| at == node).map(|(other, _)| &self.pieces[*other]);
            if here().filter(|other| other.owner == piece.owner).count() > 1 {
                return false;
            }
            let capacity = self.case.snapshot.nodes[*node as usize].capacity;
            let load = |family: Option<Family>| {
                let fixed = self.fixed.iter().filter(|(at, ..)| at == node).map(|(_, address, _)| *address);
                let addresses = here().map(|other| other.address).chain(fixed);
                addresses.filter(|address| family.is_none_or(|family| family == address.family())).count()
            };
            let within = |limit: Option<u32>, load: usize| limit.is_none_or(|limit| load <= limit as usize);
            within(capacity.total, load(None))
                && within(capacity.ipv4, load(Some(Family::V4)))
                && within(capacity.ipv6, load(Some(Family::V6)))
        })
    }
}
