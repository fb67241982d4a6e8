//! The whole decision, step by step, and the plan that says it.

use sluice_policy_sdk::{
    Allocate, Hold, HoldCode, Operation, Patch, Placement, Plan, PlanError, Reason, Relocation, Snapshot,
};

use crate::allocation::Allocator;
use crate::ids::Id;
use crate::model::Model;
use crate::placement::board::Board;
use crate::placement::place;
use crate::settings::Settings;
use crate::slot::Slot;

/// A plan, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The plan.
    pub plan: Plan,
    /// What it took.
    pub stats: Stats,
}

/// Numbers about a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Addresses that the owners hold in the end.
    pub held: usize,
    /// Addresses for which no node could simply be taken.
    pub defeated_greedy: usize,
    /// Those of them that got one after all, because others made room.
    pub rescued: usize,
    /// Nodes and addresses that searches for room looked at.
    pub steps: u64,
}

/// Plans.
pub fn decide(snapshot: &Snapshot, settings: &Settings) -> Result<Decision, PlanError> {
    let mut model = Model::new(snapshot)?;
    let allocated = Allocator::new(&mut model, settings, snapshot.budget).allocate();
    let mut board = Board::new(&model, allocated);
    let mut stats = Stats::default();
    place(&mut board, &mut stats);
    Ok(write(board, stats))
}

impl Board<'_, '_> {
    /// All holds, by owner and zone.
    fn into_holds(mut self) -> Vec<Hold> {
        for id in std::mem::take(&mut self.pending) {
            let code = self.slots[id].hold.unwrap_or(HoldCode::Budget);
            let text = if code == HoldCode::Other { "the search for room took too long" } else { "" };
            self.hold(id, code, text.to_owned());
        }
        for id in self.slots.ids() {
            let slot = &self.slots[id];
            if slot.surplus && slot.released.is_none() {
                let in_flight = self.is_in_flight(slot);
                let code = if in_flight { HoldCode::InFlight } else { HoldCode::Budget };
                self.hold(id, code, format!("{} is to be released", slot.address));
            }
        }
        let mut ranks = vec![0; self.model.owners.len()];
        for (rank, owner) in self.model.owners.iter() {
            if let Some(slot) = ranks.get_mut(owner.index as usize) {
                *slot = rank.position();
            }
        }
        let rank = |hold: &Hold| ranks.get(hold.owner as usize).copied();
        self.holds.sort_by(|a, b| (rank(a), a.zone, a.code, &a.text).cmp(&(rank(b), b.zone, b.code, &b.text)));
        self.holds.dedup();
        self.holds
    }
}

fn write(board: Board<'_, '_>, mut stats: Stats) -> Decision {
    let owner = |slot: &Slot| board.model.owners[slot.owner].index;
    let patches_of = |slot: &Slot| usize::from(slot.fresh.is_some()) + usize::from(slot.at != slot.original);
    let mut patches = Vec::with_capacity(board.slots.iter().map(|(_, slot)| patches_of(slot)).sum());
    for (_, slot) in board.slots.iter() {
        stats.held += usize::from(slot.released.is_none());
        if let Some(reason) = slot.released {
            patches.push(patch(Operation::Release(slot.address), reason));
            continue;
        }
        if let Some(reason) = slot.fresh {
            let zone = slot.zone.map(Id::position);
            let allocate = Allocate { owner: owner(slot), zone, address: slot.address };
            patches.push(patch(Operation::Allocate(allocate), reason));
        }
        patches.extend(placing(slot));
    }
    let plan = Plan {
        generation: board.model.snapshot.generation,
        patches,
        holds: board.into_holds(),
        attributes: Vec::new(),
    };
    Decision { plan, stats }
}

/// What brings the slot to its node.
fn placing(slot: &Slot) -> Option<Patch> {
    let target = slot.at.filter(|_| slot.at != slot.original)?.position();
    let address = slot.address;
    Some(match slot.original.map(Id::position) {
        Some(source) => patch(Operation::Move(Relocation { address, source, target }), slot.cause),
        None => patch(Operation::Assign(Placement { address, node: target }), slot.fresh.unwrap_or(Reason::Wanted)),
    })
}

fn patch(operation: Operation, reason: Reason) -> Patch {
    let text = match (&operation, reason) {
        (Operation::Move(_), Reason::Other) => "another address of its owner is on the node",
        _ => "",
    };
    Patch { operation, reason, text: text.to_owned() }
}
