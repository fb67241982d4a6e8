//! From answers to patches, in one pass.
//!
//! The answers and the host's own patches make one state. What the host does not allow is withdrawn from it, owner by
//! owner, until all that is left goes together; last comes what follows from it. There is one list of patches and one
//! state, which always belong together.

mod crowds;
mod followed;
mod refused;
mod replaced;
mod room;
mod silenced;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Round;
use crate::name::{NodeIndex, OwnerIndex};
use crate::plan::{Hold, HoldCode, Holder, Operation, Patch, Plan};
use crate::verify::EndState;

/// A plan in the making.
pub(super) struct Draft<'a> {
    round: &'a Round,
    patches: Vec<Patch>,
    /// The state after `patches`.
    end: EndState,
    /// What owners wait for whose patches were withdrawn.
    waiting: BTreeMap<OwnerIndex, (HoldCode, String)>,
    /// It is not just what one policy answered, and so it was not checked as a whole.
    is_altered: bool,
}

/// Patches that cannot be, by position, and what their owners wait for.
#[derive(Default)]
struct Withdrawal {
    patches: BTreeSet<usize>,
    waiting: BTreeMap<OwnerIndex, (HoldCode, String)>,
}

/// Finds patches that cannot be.
type Rule = fn(&Draft<'_>) -> Withdrawal;

/// In this order: what an owner may not have at all says more than that there is no room for it.
const RULES: [Rule; 5] = [refused::patches, crowds::adopted, replaced::patches, silenced::patches, room::patches];

/// What became of answers and the host's patches.
pub(super) struct Drafted {
    pub(super) patches: Vec<Patch>,
    /// The state after them.
    pub(super) end: EndState,
    /// Of owners whose patches were withdrawn, unless the policy says itself what they wait for.
    pub(super) holds: Vec<Hold>,
    /// It is not just what one policy answered.
    pub(super) is_altered: bool,
}

impl<'a> Draft<'a> {
    /// The answers of policies, and the host's own patches.
    pub(super) fn of(round: &'a Round, answers: &[&Plan]) -> Self {
        let settled = &round.settlement.patches;
        let answered = answers.iter().flat_map(|plan| &plan.patches);
        let mut patches: Vec<Patch> = answered.chain(settled).cloned().collect();
        cancel(&mut patches);
        let end = round.base.after(&round.survey.snapshot, &patches, &mut Vec::new());
        let is_altered = answers.len() != 1 || !round.is_shown_whole();
        Self { round, patches, end, waiting: BTreeMap::new(), is_altered }
    }

    /// Withdraws what cannot be, and adds what follows. `holds` are those of the policies.
    pub(super) fn finish(mut self, holds: &[Hold]) -> Drafted {
        // Each turn but the last withdraws a patch.
        for _ in 0..=self.patches.len() {
            let withdrawals = RULES.iter().map(|rule| rule(&self));
            let Some(found) = withdrawals.into_iter().find(|found| !found.patches.is_empty()) else { break };
            self.withdraw(found);
        }
        let follows = followed::patches(&self);
        if !follows.is_empty() {
            self.is_altered = true;
            let addresses = follows.iter().map(|patch| patch.operation.address()).collect();
            self.patches.extend(follows);
            self.renew(&addresses);
        }
        let known: BTreeSet<OwnerIndex> = holds.iter().map(|hold| hold.owner).collect();
        let waiting = self.waiting.into_iter().filter(|(owner, _)| !known.contains(owner));
        let holds = waiting.map(|(owner, (code, text))| Hold { owner, zone: None, code, text }).collect();
        Drafted { patches: self.patches, end: self.end, holds, is_altered: self.is_altered }
    }

    fn withdraw(&mut self, found: Withdrawal) {
        let mut addresses = BTreeSet::new();
        let mut position = 0;
        self.patches.retain(|patch| {
            let goes = found.patches.contains(&position);
            position += 1;
            if goes {
                addresses.insert(patch.operation.address());
            }
            !goes
        });
        self.renew(&addresses);
        self.is_altered = true;
        for (owner, why) in found.waiting {
            self.waiting.entry(owner).or_insert(why);
        }
    }

    /// Makes the state that of the patches again, where patches about these addresses came or went.
    fn renew(&mut self, addresses: &BTreeSet<IpAddr>) {
        self.end.renew(&self.round.base, &self.round.survey.snapshot, addresses, &self.patches);
    }

    /// The patches of policies, with their positions.
    fn answered(&self) -> impl Iterator<Item = (usize, &Patch)> {
        self.patches.iter().enumerate().filter(|(_, patch)| !patch.by_host)
    }

    /// The positions of the policies' patches that are so.
    fn positions(&self, is_so: impl Fn(&Patch) -> bool) -> BTreeSet<usize> {
        self.answered().filter(|(_, patch)| is_so(patch)).map(|(position, _)| position).collect()
    }

    /// Whom a patch is about: who gets the address or gives it up, or holds it in the end, or held it before.
    fn owner_of(&self, operation: &Operation) -> Option<OwnerIndex> {
        let address = operation.address();
        let holder = || self.end.owner_of(address).or_else(|| self.round.base.owner_of(address));
        changed_owner(operation).or_else(holder)
    }

    /// What an owner holds before any patch.
    fn held(&self, owner: OwnerIndex) -> impl Iterator<Item = IpAddr> {
        let facts = self.round.survey.snapshot.owner(owner);
        facts.into_iter().flat_map(|owner| &owner.allocations).map(|held| held.address)
    }

    /// Whether a node that works carries an address in the end.
    fn works(&self, address: IpAddr) -> bool {
        self.end.carriers_of(address).iter().any(|&node| self.round.survey.snapshot.is_live(node))
    }
}

/// Who gets an address or gives it up.
fn changed_owner(operation: &Operation) -> Option<OwnerIndex> {
    match *operation {
        Operation::Allocate { owner, .. } | Operation::Release { holder: Some(Holder::Owner(owner)), .. } => {
            Some(owner)
        }
        _ => None,
    }
}

/// What the host takes off a node and a policy puts onto the same one stays.
fn cancel(patches: &mut Vec<Patch>) {
    let places = |patches: &[Patch], by_host| -> BTreeSet<(IpAddr, NodeIndex)> {
        let place = |patch: &Patch| match patch.operation {
            Operation::Unassign { address, node } if by_host && patch.by_host => Some((address, node)),
            Operation::Assign { address, node } if !by_host && !patch.by_host => Some((address, node)),
            _ => None,
        };
        patches.iter().filter_map(place).collect()
    };
    let off = places(patches, true);
    if off.is_empty() {
        return;
    }
    let stays: BTreeSet<_> = off.intersection(&places(patches, false)).copied().collect();
    patches.retain(|patch| match patch.operation {
        Operation::Assign { address, node } | Operation::Unassign { address, node } => {
            !stays.contains(&(address, node))
        }
        _ => true,
    });
}
