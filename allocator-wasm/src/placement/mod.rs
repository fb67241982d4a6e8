//! Placement: which node carries an address.
//!
//! 1. What works stays where it is.
//! 2. An address that has to come from somewhere goes to the least loaded node of its zone that is healthy, has room, and
//!    carries no other address of its owner ([`queue`] finds that node without looking at all of them).
//! 3. Where there is none, others make room: [`search`] finds the cheapest chain of moves, inside the budget, and
//!    [`augment`] carries it out. [`outlook`] says beforehand whether there can be any.
//! 4. With what is left of the budget, surplus addresses are released and nodes that carry too much are relieved. Both may
//!    make room, so what still waits is tried again.

pub(crate) mod augment;
pub(crate) mod board;
pub(crate) mod outlook;
pub(crate) mod queue;
pub(crate) mod search;

use sluice_policy_sdk::{Health, Reason};

use self::augment::Augmenter;
use self::board::Board;
use crate::ids::{NodeId, SlotId};
use crate::model::Load;
use crate::plan::Stats;
use crate::slot::Standing;

/// Places what waits for a node, step by step.
pub(crate) fn place(board: &mut Board<'_, '_>, stats: &mut Stats) {
    board.place_pending();
    let mut rounds = 0;
    loop {
        let before = board.pending.len();
        if before > 0 {
            let mut augmenter = Augmenter::new(board, stats.steps);
            augmenter.serve_all(board);
            stats.steps = augmenter.steps();
        }
        if rounds == 0 {
            stats.defeated_greedy = before;
            stats.rescued = before - board.pending.len();
        }
        rounds += 1;
        let changed = board.release_surplus() | board.relieve();
        if !changed || board.pending.is_empty() {
            break;
        }
    }
}

impl Board<'_, '_> {
    /// Gives every pending slot the least loaded node, as far as there is one: those first that cost nothing.
    fn place_pending(&mut self) {
        for charge in 0..=1 {
            for id in std::mem::take(&mut self.pending) {
                let due = self.slots[id].charge;
                if due == charge && due <= self.budget && self.place(id) {
                    self.budget -= due;
                } else {
                    self.pending.push(id);
                }
            }
        }
    }

    /// Releases what owners hold too much, as far as the budget goes.
    fn release_surplus(&mut self) -> bool {
        let mut changed = false;
        for id in self.slots.ids() {
            let slot = &self.slots[id];
            if !slot.surplus || slot.released.is_some() || self.is_in_flight(slot) {
                continue;
            }
            // A move was paid already, and the release takes its place.
            let due = 1 - slot.price(slot.at);
            if due <= self.budget {
                self.budget -= due;
                self.release(id);
                changed = true;
            }
        }
        changed
    }

    /// Moves addresses off nodes that carry more than they can, as far as there is room and budget.
    fn relieve(&mut self) -> bool {
        let over = |load: &Load, node: NodeId| {
            let most = &self.model.nodes[node].capacity;
            self.model.nodes[node].health != Health::Down
                && (load.total > most.total || load.of.iter().zip(&most.of).any(|(l, m)| l > m))
        };
        if !self.loads.iter().any(|(node, load)| over(load, node)) {
            return false;
        }
        let mut changed = false;
        for id in self.slots.ids().rev() {
            if self.budget > 0 && self.is_too_much(id) && self.place(id) {
                let slot = &mut self.slots[id];
                (slot.may_stay, slot.cause) = (false, Reason::OverCapacity);
                self.budget -= 1;
                changed = true;
            }
        }
        changed
    }

    /// Whether the slot is part of what its node carries beyond its capacity.
    fn is_too_much(&self, id: SlotId) -> bool {
        let slot = &self.slots[id];
        let (Some(node), Standing::Served, true) = (slot.at, slot.standing, slot.may_stay) else {
            return false;
        };
        let (load, most) = (&self.loads[node], &self.model.nodes[node].capacity);
        slot.at == slot.original && (load.total > most.total || load.of(slot.family) > most.of(slot.family))
    }
}
