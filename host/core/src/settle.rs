//! What the host settles by itself before a policy plans: it takes back what those who leave still hold, and cleans up
//! an inherited mess (R4, R18). Its wishes are patches with a reason, verified like a policy's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::name::{NodeIndex, OwnerIndex, PoolIndex};
use crate::plan::{Holder, Operation, Patch, Reason};
use crate::snapshot::{Assignment, Departure, Health, Snapshot};
use crate::survey::Survey;
use crate::survey::ranges::spec_pool_of;

/// The host's patches, and the snapshot as a policy sees it: as if they were applied.
#[derive(Clone, Debug, Default)]
pub struct Settlement {
    /// What a policy plans from. Same indices as the surveyed snapshot.
    pub snapshot: Snapshot,
    /// Releases and unassigns of the host.
    pub patches: Vec<Patch>,
}

impl Settlement {
    /// Settles a survey.
    pub fn of(survey: &Survey) -> Self {
        let mut settlement = Self { snapshot: survey.snapshot.clone(), patches: Vec::new() };
        settlement.release_leaving();
        settlement.release_displaced(survey);
        settlement.release_duplicates();
        settlement.hide_released(survey);
        settlement.unassign_twins();
        settlement.unassign_strays();
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
        for &(owner, address) in &survey.displaced {
            self.forget(owner, address);
            let text = "no longer an address of its pool".to_owned();
            self.release(Holder::Owner(owner), address, Reason::PoolChanged, text);
        }
    }

    /// Of several owners of one address the oldest namespace keeps it.
    fn release_duplicates(&mut self) {
        let mut owners_of: BTreeMap<IpAddr, Vec<OwnerIndex>> = BTreeMap::new();
        for (position, owner) in self.snapshot.owners.iter().enumerate() {
            for allocation in &owner.allocations {
                owners_of.entry(allocation.address).or_default().push(OwnerIndex::at(position));
            }
        }
        for (address, mut owners) in owners_of.into_iter().filter(|(_, owners)| owners.len() > 1) {
            owners.sort_by_key(|&index| self.snapshot.owner(index).map(|owner| (owner.created, owner.name.clone())));
            let keeper = owners.first().map(|&index| self.snapshot.owner_name(index)).unwrap_or_default();
            for &loser in owners.iter().skip(1) {
                self.forget(loser, address);
                let text = format!("{keeper} holds it too and is the older namespace");
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
        let held: BTreeSet<IpAddr> =
            self.snapshot.owners.iter().flat_map(|o| o.allocations.iter().map(|a| a.address)).collect();
        let released: BTreeSet<IpAddr> = self
            .patches
            .iter()
            .map(|patch| patch.operation.address())
            .filter(|address| !held.contains(address))
            .collect();
        let nodes = &mut self.snapshot.nodes;
        self.snapshot.assignments.retain(|assignment| {
            let hidden = released.contains(&assignment.address);
            if hidden && let Some(node) = nodes.get_mut(assignment.node.position()) {
                node.other_load += 1;
            }
            !hidden
        });
        self.snapshot.occupied.extend(released.into_iter().filter(|&address| survey.territory.contains(address)));
        self.snapshot.occupied.sort_unstable();
        self.snapshot.occupied.dedup();
    }

    /// Of several nodes that carry one address the best one keeps it.
    fn unassign_twins(&mut self) {
        let mut nodes_of: BTreeMap<IpAddr, Vec<NodeIndex>> = BTreeMap::new();
        for assignment in &self.snapshot.assignments {
            nodes_of.entry(assignment.address).or_default().push(assignment.node);
        }
        let homes = Homes::of(&self.snapshot);
        let mut twins = Vec::new();
        for (address, mut nodes) in nodes_of.into_iter().filter(|(_, nodes)| nodes.len() > 1) {
            if homes.self_placing(&self.snapshot, address) {
                continue;
            }
            nodes.sort_by_key(|&node| (homes.rank(&self.snapshot, address, node), node));
            let keeper = nodes.first().map(|&node| self.snapshot.node_name(node)).unwrap_or_default();
            for &node in nodes.iter().skip(1) {
                twins.push((address, node, Reason::Duplicate, format!("{keeper} carries it too")));
            }
        }
        self.unassign(twins);
    }

    /// SDN does not take addresses off nodes that it may no longer use; where it places, nobody else would.
    fn unassign_strays(&mut self) {
        let homes = Homes::of(&self.snapshot);
        let stray = |assignment: &&Assignment| {
            homes.self_placing(&self.snapshot, assignment.address)
                && homes.rank(&self.snapshot, assignment.address, assignment.node) == Rank::Ineligible
        };
        let strays = self.snapshot.assignments.iter().filter(stray);
        let strays =
            strays.map(|a| (a.address, a.node, Reason::NodeIneligible, "the pool does not use this node".to_owned()));
        let strays: Vec<_> = strays.collect();
        self.unassign(strays);
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
    Down,
    Ineligible,
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
        self.pool(snapshot, address).and_then(|pool| snapshot.pool(pool)).is_some_and(|pool| pool.self_placing)
    }

    fn rank(&self, snapshot: &Snapshot, address: IpAddr, node: NodeIndex) -> Rank {
        let Some(pool) = self.pool(snapshot, address) else {
            return Rank::Ineligible;
        };
        let home = self.of_address.get(&address).and_then(|(_, zone)| *zone);
        let eligible = snapshot
            .zones_of(pool)
            .filter(|(index, _)| home.is_none_or(|home| home == *index))
            .any(|(_, zone)| zone.nodes.binary_search(&node).is_ok());
        match snapshot.node(node).map(|node| node.health) {
            Some(Health::Healthy) if eligible => Rank::Healthy,
            Some(Health::Draining) if eligible => Rank::Draining,
            Some(Health::Down) if eligible => Rank::Down,
            _ => Rank::Ineligible,
        }
    }
}
