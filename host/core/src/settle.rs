//! What the host settles by itself before a policy plans: it takes back what those who leave still hold, and cleans up
//! an inherited mess (R4, R18). Its wishes are patches with a reason, verified like a policy's.

mod refused;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::name::{NodeIndex, OwnerIndex, PoolIndex};
use crate::network::{Target, network_places};
use crate::plan::{Holder, Operation, Patch, Reason};
use crate::snapshot::{Assignment, Departure, Health, Phase, Pool, Snapshot};
use crate::survey::ranges::spec_pool_of;
use crate::survey::{Survey, at_most};

/// The host's patches, and the snapshot as a policy sees it: as if they were applied.
#[derive(Clone, Debug, Default)]
pub struct Settlement {
    /// What a policy plans from. Same indices as the surveyed snapshot.
    pub snapshot: Snapshot,
    /// Releases and unassigns of the host.
    pub patches: Vec<Patch>,
}

impl Settlement {
    /// Settles a survey. Objects of `refused` could not be written when they were tried last.
    pub fn of(survey: &Survey, refused: &BTreeSet<Target>) -> Self {
        let mut settlement = Self { snapshot: survey.snapshot.clone(), patches: Vec::new() };
        settlement.unassign_duplicates(survey);
        settlement.release_leaving();
        settlement.release_displaced(survey);
        settlement.release_duplicates(survey);
        settlement.hide_released(survey);
        settlement.hide_immovable(survey);
        settlement.unassign_misplaced(survey);
        settlement.unassign_refused(survey);
        if survey.blind.is_none() {
            settlement.unassign_untaken(refused);
        }
        settlement.leave_flapped();
        settlement
    }

    fn release_leaving(&mut self) {
        for (position, leaving) in std::mem::take(&mut self.snapshot.leaving).into_iter().enumerate() {
            let holder = Holder::Leaving(u32::try_from(position).unwrap_or(u32::MAX));
            let reason = match leaving.why {
                Departure::OptedOut => Reason::OptedOut,
                Departure::NamespaceGone => Reason::NamespaceGone,
                Departure::PoolDeleted => Reason::PoolDeleted,
            };
            for address in leaving.addresses {
                self.release(holder, address, reason, String::new());
            }
        }
    }

    fn release_displaced(&mut self, survey: &Survey) {
        for gone in &survey.constraints.displaced {
            self.forget(gone.owner, gone.address);
            self.release(Holder::Owner(gone.owner), gone.address, gone.reason, gone.text.clone());
        }
    }

    /// Of several owners of one address that keeps it for whom the network carries it, or else the oldest namespace.
    fn release_duplicates(&mut self, survey: &Survey) {
        let owners = self.snapshot.owners.iter().enumerate();
        let mut held: Vec<(IpAddr, OwnerIndex)> = owners
            .flat_map(|(position, owner)| owner.allocations.iter().map(move |a| (a.address, OwnerIndex::at(position))))
            .collect();
        held.sort_unstable();
        for of_one in held.chunk_by(|a, b| a.0 == b.0).filter(|of_one| of_one.len() > 1) {
            let Some(&(address, _)) = of_one.first() else { continue };
            let mut owners: Vec<OwnerIndex> = of_one.iter().map(|&(_, owner)| owner).collect();
            let is_carried = |index| survey.constraints.carried.contains(&(index, address));
            owners.sort_by_key(|&index| {
                (!is_carried(index), self.snapshot.owner(index).map(|owner| (owner.created, owner.name.clone())))
            });
            let keeper = owners.first().map(|&index| self.snapshot.owner_name(index)).unwrap_or_default();
            let works = owners.first().is_some_and(|&keeper| is_carried(keeper));
            let why = if works { "has it on a node" } else { "is the older namespace" };
            for &loser in owners.iter().skip(1) {
                self.forget(loser, address);
                let text = format!("{keeper} holds it too and {why}");
                self.release(Holder::Owner(loser), address, Reason::Duplicate, text);
            }
        }
    }

    fn release(&mut self, holder: Holder, address: IpAddr, reason: Reason, text: String) {
        self.patches.push(Patch {
            operation: Operation::Release { holder: Some(holder), address },
            reason,
            text,
            by_host: true,
        });
    }

    fn forget(&mut self, owner: OwnerIndex, address: IpAddr) {
        if let Some(owner) = self.snapshot.owners.get_mut(owner.position()) {
            owner.allocations.retain(|allocation| allocation.address != address);
        }
    }

    /// Released addresses are occupied, and a load of others, until they are gone everywhere.
    fn hide_released(&mut self, survey: &Survey) {
        let released = self.patches.iter().filter(|patch| matches!(patch.operation, Operation::Release { .. }));
        let mut released: BTreeSet<IpAddr> = released.map(|patch| patch.operation.address()).collect();
        self.drop_held(&mut released);
        self.hide(survey, &released);
    }

    /// Addresses that nobody may touch now are not shown, and of those who get nothing new just as many are wanted
    /// as are shown.
    fn hide_immovable(&mut self, survey: &Survey) {
        for &(owner, address) in &survey.constraints.immovable {
            self.forget(owner, address);
        }
        let mut immovable = survey.constraints.immovable.iter().map(|&(_, address)| address).collect();
        self.drop_held(&mut immovable);
        self.hide(survey, &immovable);
        for &suspended in &survey.constraints.suspended {
            if let Some(owner) = self.snapshot.owners.get_mut(suspended.position()) {
                owner.wanted = Some(at_most(&owner.allocations));
            }
        }
    }

    fn drop_held(&self, addresses: &mut BTreeSet<IpAddr>) {
        if addresses.is_empty() {
            return;
        }
        for allocation in self.snapshot.owners.iter().flat_map(|owner| &owner.allocations) {
            addresses.remove(&allocation.address);
        }
    }

    fn hide(&mut self, survey: &Survey, addresses: &BTreeSet<IpAddr>) {
        if addresses.is_empty() {
            return;
        }
        let nodes = &mut self.snapshot.nodes;
        self.snapshot.assignments.retain(|assignment| {
            let hidden = addresses.contains(&assignment.address);
            if hidden && let Some(node) = nodes.get_mut(assignment.node.position()) {
                node.hide(assignment.address);
            }
            !hidden
        });
        self.snapshot.occupied.extend(addresses.iter().filter(|&&address| survey.territory.contains(address)));
        self.snapshot.occupied.sort_unstable();
        self.snapshot.occupied.dedup();
    }

    /// Of several nodes that carry one address the best one keeps it.
    fn unassign_duplicates(&mut self, survey: &Survey) {
        let runs = self.snapshot.assignments.chunk_by(|a, b| a.address == b.address);
        let at_rest = |run: &&[Assignment]| run.iter().all(|assignment| assignment.phase == Phase::Settled);
        let runs: Vec<&[Assignment]> = runs.filter(|run| run.len() > 1).filter(at_rest).collect();
        if runs.is_empty() || survey.blind.as_ref().is_some_and(|blind| !blind.may_move) {
            return;
        }
        let homes = Homes::of(&self.snapshot);
        let mut duplicates = Vec::new();
        for run in runs {
            let Some(address) = run.first().map(|assignment| assignment.address) else { continue };
            let mut nodes: Vec<NodeIndex> = run.iter().map(|assignment| assignment.node).collect();
            // Where the network places, what it placed stays.
            let placed =
                |node: &NodeIndex| homes.self_placing(&self.snapshot, address) && network_places(&self.snapshot, *node);
            let bound = |node: &NodeIndex| placed(node) || survey.constraints.foreign.contains(&(address, *node));
            let incomplete = |node: NodeIndex| survey.constraints.incomplete.contains(&(address, node));
            nodes.sort_by_key(|&node| {
                (!bound(&node), homes.rank(&self.snapshot, address, node), incomplete(node), node)
            });
            let keeper = nodes.first().map(|&node| self.snapshot.node_name(node)).unwrap_or_default();
            for &node in nodes.iter().skip(1).filter(|node| !bound(node)) {
                duplicates.push((address, node, Reason::Duplicate, format!("{keeper} carries it too")));
            }
        }
        self.unassign(duplicates);
    }

    /// SDN takes nothing off nodes that it does not place on: what is left there would stay. It does stay as long as no
    /// other node can take it.
    fn unassign_misplaced(&mut self, survey: &Survey) {
        if survey.blind.is_some() || self.snapshot.pools.iter().all(|pool| !pool.is_self_placing()) {
            return;
        }
        let homes = Homes::of(&self.snapshot);
        let is_misplaced = |assignment: &&Assignment| {
            homes.self_placing(&self.snapshot, assignment.address)
                && !network_places(&self.snapshot, assignment.node)
                && homes.can_be_placed(&self.snapshot, assignment.address)
                && homes
                    .pool(&self.snapshot, assignment.address)
                    .is_none_or(|pool| !survey.constraints.invalid.contains(&pool))
        };
        let misplaced = self.snapshot.assignments.iter().filter(is_misplaced);
        let misplaced = misplaced
            .map(|a| (a.address, a.node, Reason::NodeIneligible, "the pool does not use this node".to_owned()));
        let misplaced: Vec<_> = misplaced.collect();
        self.unassign(misplaced);
    }

    /// What was put onto a node for an owner whose holding then could not be written is carried for nobody, as stale
    /// addresses are. A policy that takes fresh addresses first would choose another for the next try, and so in turns;
    /// one that sees them as free chooses as it did before, and then nothing moves.
    fn unassign_untaken(&mut self, refused: &BTreeSet<Target>) {
        let pools: BTreeSet<PoolIndex> = refused
            .iter()
            .filter_map(|target| match target {
                Target::Holding(name) => Some(self.snapshot.owner(self.snapshot.owner_named(name)?)?.pool),
                _ => None,
            })
            .collect();
        if pools.is_empty() {
            return;
        }
        let homes = Homes::of(&self.snapshot);
        let untaken = self.snapshot.assignments.iter().filter(|assignment| {
            !homes.of_address.contains_key(&assignment.address)
                && !network_places(&self.snapshot, assignment.node)
                && spec_pool_of(&self.snapshot, assignment.address).is_some_and(|pool| pools.contains(&pool))
        });
        let untaken: Vec<_> = untaken.map(|a| (a.address, a.node, Reason::Stale, String::new())).collect();
        self.unassign(untaken);
    }

    /// What flapped stays where it is if it may: a policy sees it as arriving there, and so leaves it alone.
    fn leave_flapped(&mut self) {
        if self.snapshot.flapped.is_empty() {
            return;
        }
        let homes = Homes::of(&self.snapshot);
        let may_stay = |assignment: &Assignment| {
            self.snapshot.flapped(assignment.address).is_some()
                && homes.may_stay(&self.snapshot, assignment.address, assignment.node)
        };
        let stays: Vec<bool> = self.snapshot.assignments.iter().map(may_stay).collect();
        for (assignment, _) in self.snapshot.assignments.iter_mut().zip(stays).filter(|(_, stays)| *stays) {
            if assignment.phase == Phase::Settled {
                assignment.phase = Phase::Arriving;
            }
        }
    }

    fn unassign(&mut self, unassigns: Vec<(IpAddr, NodeIndex, Reason, String)>) {
        let gone: BTreeSet<(IpAddr, NodeIndex)> =
            unassigns.iter().map(|(address, node, ..)| (*address, *node)).collect();
        self.snapshot.assignments.retain(|assignment| !gone.contains(&(assignment.address, assignment.node)));
        self.patches.extend(unassigns.into_iter().map(|(address, node, reason, text)| Patch {
            operation: Operation::Unassign { address, node },
            reason,
            text,
            by_host: true,
        }));
    }
}

/// How good a carrier is; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Healthy,
    Draining,
    /// Works, but should not carry it.
    Ineligible,
    Down,
}

/// Where held addresses are at home.
struct Homes {
    of_address: BTreeMap<IpAddr, (PoolIndex, Option<crate::name::ZoneIndex>)>,
}

impl Homes {
    fn of(snapshot: &Snapshot) -> Self {
        let of_address = snapshot
            .owners
            .iter()
            .flat_map(|owner| owner.allocations.iter().map(move |a| (a.address, (owner.pool, a.zone))))
            .collect();
        Self { of_address }
    }

    fn pool(&self, snapshot: &Snapshot, address: IpAddr) -> Option<PoolIndex> {
        self.of_address.get(&address).map(|(pool, _)| *pool).or_else(|| spec_pool_of(snapshot, address))
    }

    fn self_placing(&self, snapshot: &Snapshot, address: IpAddr) -> bool {
        self.pool(snapshot, address).and_then(|pool| snapshot.pool(pool)).is_some_and(Pool::is_self_placing)
    }

    fn rank(&self, snapshot: &Snapshot, address: IpAddr, node: NodeIndex) -> Rank {
        let home = self.of_address.get(&address).and_then(|(_, zone)| *zone);
        let eligible = self.pool(snapshot, address).is_some_and(|pool| {
            let mut zones = snapshot.zones_of(pool).filter(|(index, _)| home.is_none_or(|home| home == *index));
            zones.any(|(_, zone)| zone.nodes.binary_search(&node).is_ok())
        });
        match snapshot.node(node).map(|node| node.health) {
            Some(Health::Healthy) if eligible => Rank::Healthy,
            Some(Health::Draining) if eligible => Rank::Draining,
            Some(Health::Healthy | Health::Draining) => Rank::Ineligible,
            Some(Health::Down) | None => Rank::Down,
        }
    }

    /// Whether nothing forces a held address off a node.
    fn may_stay(&self, snapshot: &Snapshot, address: IpAddr, node: NodeIndex) -> bool {
        let home = self.of_address.get(&address);
        snapshot.is_live(node) && home.is_some_and(|&(pool, home)| snapshot.may_carry(pool, home, node))
    }

    /// The nodes on which a held address may be.
    fn eligible(&self, snapshot: &Snapshot, address: IpAddr) -> BTreeSet<NodeIndex> {
        let Some(&(pool, home)) = self.of_address.get(&address) else { return BTreeSet::new() };
        snapshot.may_be_on(pool, home).collect()
    }

    fn can_be_placed(&self, snapshot: &Snapshot, address: IpAddr) -> bool {
        spec_pool_of(snapshot, address)
            .filter(|&pool| self.pool(snapshot, address) == Some(pool))
            .is_some_and(|pool| snapshot.zones_of(pool).any(|(_, z)| z.nodes.iter().any(|&n| snapshot.is_live(n))))
    }
}
