//! What the host makes of a policy's plan: it holds back what would silence an owner or change one that must not
//! change, and adds what follows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Round;
use crate::name::{NodeIndex, OwnerIndex, OwnerName, PoolIndex};
use crate::network;
use crate::plan::{Hold, HoldCode, Holder, Operation, Patch, Reason};
use crate::snapshot::{Owner, Phase};
use crate::survey::{NamedHold, is_live};
use crate::verify::{EndState, VerifiedPlan};

impl Round {
    /// Owners of a pool whose spec has errors, and those that go away, keep what they have: of what a policy wants
    /// for them only moves count, and assignments of what they hold. A policy cannot know the reason, so this is no
    /// fault of its; but of an owner for whom it wants more, nothing counts.
    pub(super) fn restrain(&self, patches: &mut Vec<Patch>) {
        let survey = &self.survey;
        if survey.closed.is_empty() {
            return;
        }
        let settled = &self.settlement.snapshot;
        let held = survey.closed.iter().filter_map(|&index| Some((index, settled.owner(index)?)));
        let mut owner_of: BTreeMap<IpAddr, OwnerIndex> = held
            .flat_map(|(index, owner)| owner.allocations.iter().map(move |allocation| (allocation.address, index)))
            .collect();
        let mut refused: BTreeSet<OwnerIndex> = BTreeSet::new();
        for patch in patches.iter().filter(|patch| !patch.by_host) {
            match patch.operation {
                Operation::Allocate { owner, address, .. } if survey.closed.contains(&owner) => {
                    owner_of.insert(address, owner);
                    refused.insert(owner);
                }
                Operation::Release { address, .. } | Operation::Unassign { address, .. } => {
                    refused.extend(owner_of.get(&address));
                }
                _ => {}
            }
        }
        // A policy does not see the addresses that stay, so it may choose their nodes for others of the same owner.
        let pinned: BTreeSet<(OwnerIndex, NodeIndex)> = survey
            .pinned
            .iter()
            .flat_map(|&(owner, address)| self.base.carriers_of(address).iter().map(move |&node| (owner, node)))
            .collect();
        patches.retain(|patch| {
            let Some(&owner) = owner_of.get(&patch.operation.address()).filter(|_| !patch.by_host) else {
                return true;
            };
            let target = match patch.operation {
                Operation::Assign { node, .. } | Operation::Move { target: node, .. } => Some(node),
                _ => None,
            };
            !refused.contains(&owner) && target.is_none_or(|node| !pinned.contains(&(owner, node)))
        });
    }

    /// While something cannot be seen, only moves count, and assignments of what is seen to be nowhere; nothing does where
    /// Nodes cannot be seen. What a policy gives out, takes away or clears up may be so for something it does not see.
    pub(super) fn restrain_the_blind(&self, patches: &mut Vec<Patch>) {
        let Some(blind) = &self.survey.blind else { return };
        patches.retain(|patch| match patch.operation {
            Operation::Move { .. } => blind.may_move,
            Operation::Assign { .. } => blind.may_move && blind.may_assign,
            Operation::Allocate { .. } | Operation::Release { .. } | Operation::Unassign { .. } => false,
        });
    }

    /// A stale address cannot be adopted while another address of the owner sits on the same node: named together they
    /// would disable each other. Then nothing changes for that owner in this round; the stale address is swept, and
    /// free for the next.
    pub(super) fn untangle(&self, patches: &mut Vec<Patch>, end: &EndState) {
        let snapshot = &self.survey.snapshot;
        let mut places: BTreeMap<(OwnerIndex, NodeIndex), BTreeSet<IpAddr>> = BTreeMap::new();
        let mut adopting: BTreeSet<OwnerIndex> = BTreeSet::new();
        let mut adopted: BTreeMap<IpAddr, OwnerIndex> = BTreeMap::new();
        for patch in patches.iter() {
            if let Operation::Allocate { owner, address, .. } = patch.operation
                && !self.base.carriers_of(address).is_empty()
            {
                adopting.insert(owner);
                adopted.insert(address, owner);
            }
        }
        if adopting.is_empty() {
            return;
        }
        let keeps = |owner: OwnerIndex, address: IpAddr| {
            end.holders_of(address).iter().any(|holding| holding.holder == Holder::Owner(owner))
        };
        for &owner in &adopting {
            let held = snapshot.owner(owner).into_iter().flat_map(|owner| &owner.allocations).map(|held| held.address);
            let new = adopted.iter().filter(|&(_, to)| *to == owner).map(|(&address, _)| address);
            for address in held.filter(|&address| keeps(owner, address)).chain(new) {
                let carriers = self.base.carriers_of(address).iter();
                for &node in carriers.filter(|&&node| !network::network_places(snapshot, node)) {
                    places.entry((owner, node)).or_default().insert(address);
                }
            }
        }
        let tangled: BTreeSet<OwnerIndex> = places
            .iter()
            .filter(|(_, here)| here.len() > 1 && here.iter().any(|address| adopted.contains_key(address)))
            .map(|(&(owner, _), _)| owner)
            .collect();
        patches.retain(|patch| {
            let holding = end.holders_of(patch.operation.address()).first().map(|holding| holding.holder);
            let owner = changed_owner(&patch.operation).or(match holding {
                Some(Holder::Owner(owner)) => Some(owner),
                _ => None,
            });
            patch.by_host || owner.is_none_or(|owner| !tangled.contains(&owner))
        });
    }

    /// R2: a network object is first written when one of its addresses is carried, and an owner that talks through an
    /// address keeps it until another one carries its traffic. Where the plan would leave an owner without, nothing of
    /// what it holds changes; only an address that belongs to somebody else goes at once.
    ///
    /// Returns the state after the patches, if that is another one now, and the owners who get nothing although the
    /// policy wants to give them something.
    pub(super) fn keep_until_replaced(
        &self,
        patches: &mut Vec<Patch>,
        after: &EndState,
    ) -> (Option<EndState>, BTreeSet<OwnerIndex>) {
        let snapshot = &self.survey.snapshot;
        let touched: BTreeSet<OwnerIndex> =
            patches.iter().filter_map(|patch| changed_owner(&patch.operation)).collect();
        if touched.is_empty() {
            return (None, touched);
        }
        let mut held_after: BTreeMap<OwnerIndex, Vec<IpAddr>> =
            touched.iter().map(|&owner| (owner, Vec::new())).collect();
        for (address, holders) in after.held() {
            for holding in holders {
                if let Holder::Owner(owner) = holding.holder
                    && let Some(held) = held_after.get_mut(&owner)
                {
                    held.push(address);
                }
            }
        }
        let works = |address: &IpAddr| after.carriers_of(*address).iter().any(|&node| is_live(snapshot, node));
        let silent: BTreeSet<OwnerIndex> = held_after
            .iter()
            .filter(|(owner, held)| !held.iter().any(works) && !self.will_be_placed(**owner, held))
            .map(|(&owner, _)| owner)
            .collect();
        if silent.is_empty() {
            return (None, silent);
        }
        let held_by_silent: BTreeSet<IpAddr> = silent
            .iter()
            .filter_map(|&owner| snapshot.owner(owner))
            .flat_map(|owner| owner.allocations.iter().map(|allocation| allocation.address))
            .collect();
        let mut waiting = BTreeSet::new();
        patches.retain(|patch| match patch.operation {
            Operation::Allocate { owner, .. } if silent.contains(&owner) => {
                waiting.insert(owner);
                false
            }
            Operation::Release { holder: Some(Holder::Owner(owner)), address } if silent.contains(&owner) => {
                let goes = patch.reason == Reason::Duplicate || self.base.holders_of(address).len() > 1;
                if !goes {
                    waiting.insert(owner);
                }
                goes
            }
            Operation::Unassign { address, .. } => patch.by_host || !held_by_silent.contains(&address),
            _ => true,
        });
        (Some(self.base.after(snapshot, patches, &mut Vec::new())), waiting)
    }

    /// Nobody waits without a word: an owner that no node serves is held, also where the policy says nothing of it,
    /// as in self-placing pools.
    pub(super) fn explain(&self, mut waiting: BTreeSet<OwnerIndex>, holds: &mut Vec<Hold>) {
        let snapshot = &self.survey.snapshot;
        let nodes = |pool| snapshot.zones_of(pool).flat_map(|(_, zone)| &zone.nodes);
        let deserted: Vec<bool> = (0..snapshot.pools.len())
            .map(PoolIndex::at)
            .map(|pool| {
                snapshot.pool(pool).is_some_and(|pool| pool.self_placing)
                    && !nodes(pool).any(|&node| is_live(snapshot, node))
            })
            .collect();
        if deserted.contains(&true) {
            let is_deserted = |owner: &Owner| deserted.get(owner.pool.position()) == Some(&true);
            let owners = snapshot.owners.iter().enumerate().filter(|(_, owner)| is_deserted(owner));
            waiting.extend(owners.map(|(position, _)| OwnerIndex::at(position)));
        }
        let known: BTreeSet<OwnerIndex> = holds.iter().map(|hold| hold.owner).collect();
        holds.extend(waiting.into_iter().filter(|owner| !known.contains(owner)).map(|owner| {
            let text = "no node of the pool can carry its addresses".to_owned();
            Hold { owner, zone: None, code: HoldCode::NoNode, text }
        }));
    }

    /// Owners who get nothing, or not what they ask for, and of whom the policy does not say why. Of those for whom it
    /// `meant` something that the host put off there is nothing to say.
    pub(super) fn unexplained(&self, plan: &VerifiedPlan, holds: &[NamedHold], meant: &[OwnerIndex]) -> Vec<NamedHold> {
        let snapshot = &self.survey.snapshot;
        let mut counts: Vec<usize> = snapshot.owners.iter().map(|owner| owner.allocations.len()).collect();
        for patch in plan.patches() {
            let (owner, change): (_, fn(usize) -> usize) = match patch.operation {
                Operation::Allocate { owner, .. } => (owner, |count| count + 1),
                Operation::Release { holder: Some(Holder::Owner(owner)), .. } => {
                    (owner, |count| count.saturating_sub(1))
                }
                _ => continue,
            };
            if let Some(count) = counts.get_mut(owner.position()) {
                *count = change(*count);
            }
        }
        let known: BTreeSet<&OwnerName> = holds.iter().map(|hold| &hold.owner).collect();
        let hold = |((position, owner), count): ((usize, &Owner), usize)| {
            let holder = Holder::Owner(OwnerIndex::at(position));
            let lacks = |address: &&IpAddr| plan.end().holders_of(**address).iter().all(|on| on.holder != holder);
            let (code, text) = if count > 0 {
                let address = owner.requested.iter().find(lacks)?;
                (HoldCode::Other, format!("it asks for {address}, which the policy neither gave nor refused"))
            } else if snapshot.zones_of(owner.pool).next().is_some() {
                (HoldCode::Other, "the policy allocated nothing".to_owned())
            } else {
                (HoldCode::NoNode, "no node that the pool selects is in a zone".to_owned())
            };
            let pool = snapshot.pool(owner.pool).filter(|_| !known.contains(&owner.name))?.name.clone();
            Some(NamedHold { pool, zone: None, owner: owner.name.clone(), code, text })
        };
        let mut unexplained: Vec<NamedHold> = snapshot.owners.iter().enumerate().zip(counts).filter_map(hold).collect();
        if !unexplained.is_empty() {
            let meant: BTreeSet<&OwnerName> =
                meant.iter().filter_map(|&owner| Some(&snapshot.owner(owner)?.name)).collect();
            unexplained.retain(|hold| !meant.contains(&hold.owner));
        }
        unexplained
    }

    /// In a self-placing pool the network carries what is held, if a zone has a node that can.
    fn will_be_placed(&self, owner: OwnerIndex, addresses: &[IpAddr]) -> bool {
        let snapshot = &self.survey.snapshot;
        let Some(pool_index) = snapshot.owner(owner).map(|owner| owner.pool) else {
            return false;
        };
        !addresses.is_empty()
            && snapshot.pool(pool_index).is_some_and(|pool| pool.self_placing)
            && snapshot.zones_of(pool_index).any(|(_, zone)| zone.nodes.iter().any(|&node| is_live(snapshot, node)))
    }

    /// R11: what a node carries and nobody holds is removed, unless SDN does so itself.
    pub(super) fn sweeps(&self, patches: &[Patch], after: &EndState) -> Vec<Patch> {
        // Somebody who cannot be seen may hold it.
        if self.survey.blind.is_some() {
            return Vec::new();
        }
        let mut unheld = after.carried().filter(|(address, _)| after.holders_of(*address).is_empty()).peekable();
        if unheld.peek().is_none() {
            return Vec::new();
        }
        let reasons: BTreeMap<IpAddr, Reason> = patches
            .iter()
            .filter(|patch| matches!(patch.operation, Operation::Release { .. }))
            .map(|patch| (patch.operation.address(), patch.reason))
            .collect();
        let snapshot = &self.survey.snapshot;
        let leaving = snapshot.assignments.iter().filter(|assignment| assignment.phase == Phase::Leaving);
        let leaving: BTreeSet<(IpAddr, NodeIndex)> = leaving.map(|leaving| (leaving.address, leaving.node)).collect();
        let mut sweeps = Vec::new();
        for (address, nodes) in unheld {
            for &node in nodes.iter().filter(|&node| self.base.carriers_of(address).contains(node)) {
                if !network::network_places(snapshot, node) && !leaving.contains(&(address, node)) {
                    sweeps.push(Patch {
                        operation: Operation::Unassign { address, node },
                        reason: reasons.get(&address).copied().unwrap_or(Reason::Stale),
                        text: String::new(),
                        by_host: true,
                    });
                }
            }
        }
        sweeps
    }
}

/// Who gets an address or gives it up.
pub(super) fn changed_owner(operation: &Operation) -> Option<OwnerIndex> {
    match *operation {
        Operation::Allocate { owner, .. } | Operation::Release { holder: Some(Holder::Owner(owner)), .. } => {
            Some(owner)
        }
        _ => None,
    }
}
