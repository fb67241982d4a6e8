//! Room for an address that no node can simply take: others move on, from node to node, until one finds
//! room or is given up.
//!
//! Together this is a flow: an address goes through a pair of its owner and a node (room for one), then
//! through the node's family (its capacity), then through the node (its total capacity). Every chain of moves
//! found is the cheapest for what is served by then, so that all of them together are, too.
//! Nodes that were searched in vain are left alone until room appears.

use sluice_policy_sdk::{Family, Health, HoldCode};

use crate::ids::{ClassId, NodeId, SlotId, Table};
use crate::model::{Load, index_of};
use crate::placement::board::Board;
use crate::placement::outlook::{Outlook, Room};
use crate::placement::search::{Chain, Search};
use crate::slot::Standing;

/// What is known from one chain to the next.
pub(crate) struct Augmenter {
    search: Search,
    outlook: Outlook,
    /// What any address of the class and family gets to hear that has no sibling on its nodes.
    verdicts: Table<ClassId, [Option<HoldCode>; 2]>,
}

impl Augmenter {
    /// `steps` is what earlier searches took.
    pub(crate) fn new(board: &Board<'_, '_>, steps: u64) -> Self {
        let verdicts = board.model.classes.parallel([None, None]);
        let search = Search::new(board, steps);
        let outlook = Outlook::new(board, &search.occupants);
        Self { search, outlook, verdicts }
    }

    /// What searches took by now.
    pub(crate) fn steps(&self) -> u64 {
        self.search.steps
    }

    /// Serves the pending slots, in order, and notes on the others why not.
    pub(crate) fn serve_all(&mut self, board: &mut Board<'_, '_>) {
        self.bring_back(board);
        loop {
            // What is served may leave room behind, and may take what others could have had for more budget.
            let (mut made_room, mut too_dear, start) = (false, false, board.pending.len());
            for id in std::mem::take(&mut board.pending) {
                let vacates = vacates(board, id);
                if board.slots[id].standing != Standing::Pending {
                    continue;
                }
                if let Err(code) = self.serve(board, id) {
                    too_dear |= code == HoldCode::Budget;
                    board.slots[id].hold = Some(code);
                    board.pending.push(id);
                } else if vacates.is_some() {
                    made_room = true;
                    self.bring_back(board);
                }
            }
            // Some may have been served after all, in order to make room for others.
            let Board { slots, pending, .. } = board;
            pending.retain(|id| slots[*id].standing == Standing::Pending);
            let served = start - board.pending.len();
            if served == 0 || !(made_room || too_dear) {
                return;
            }
        }
    }

    /// Where room appeared, fewer addresses than before may need to be away from where they may stay.
    fn bring_back(&mut self, board: &mut Board<'_, '_>) {
        let mut displaced = board.displaced + 1;
        while board.displaced > 0 && board.displaced < displaced && !self.search.is_tired() {
            displaced = board.displaced;
            let away: Vec<_> = board.slots.iter().filter(|(_, slot)| slot.is_displaced()).map(|(id, _)| id).collect();
            for id in away {
                if self.search.is_tired() {
                    break;
                }
                let vacates = vacates(board, id);
                if let Some(chain) = self.search.find(board, id, vacates)
                    && chain.cost < 0
                {
                    self.apply(board, &chain, vacates);
                }
            }
        }
    }

    fn serve(&mut self, board: &mut Board<'_, '_>, id: SlotId) -> Result<(), HoldCode> {
        let slot = &board.slots[id];
        let (class, family) = (board.reach(slot), index_of(slot.family));
        let targets = &board.model.classes[class].targets;
        let vacates = vacates(board, id);
        let mut blocked: Vec<NodeId> = board
            .siblings(id)
            .flat_map(|other| [board.slots[other].at, board.slots[other].also])
            .flatten()
            .filter(|node| board.model.is_target(class, *node))
            .collect();
        blocked.sort_unstable();
        blocked.dedup();
        let full = if blocked.len() == targets.len() { HoldCode::NoNode } else { HoldCode::NoCapacity };
        if targets.is_empty() {
            return Err(HoldCode::NoNode);
        }
        let plain = blocked.is_empty() && vacates.is_none();
        match self.verdicts[class].get(family).copied().flatten() {
            Some(HoldCode::NoCapacity) if vacates.is_none() => return Err(full),
            Some(verdict) if plain => return Err(verdict),
            _ => {}
        }
        let freed = vacates.map(|node| (node, load_without(board, id, node)));
        let (kind, occupants) = ((class, slot.family), &self.search.occupants);
        if !self.outlook.is_open(board, occupants, kind, freed) {
            return Err(full);
        }
        if self.search.steps_left() == 0 {
            return Err(HoldCode::Other);
        }
        let (code, applies) = match self.search.find(board, id, vacates) {
            Some(chain) if chain.cost <= i64::from(board.budget) => {
                self.apply(board, &chain, vacates);
                return Ok(());
            }
            Some(_) => (HoldCode::Budget, plain),
            None => (full, self.search.all_dead(targets, family)),
        };
        if applies && let Some(verdict) = self.verdicts[class].get_mut(family) {
            *verdict = Some(if code == HoldCode::Budget { code } else { HoldCode::NoCapacity });
        }
        Err(code)
    }

    fn apply(&mut self, board: &mut Board<'_, '_>, chain: &Chain, vacates: Option<NodeId>) {
        let mut touched: Vec<NodeId> =
            chain.moves.iter().flat_map(|(id, to)| [board.slots[*id].at, *to]).flatten().collect();
        touched.sort_unstable();
        touched.dedup();
        for &node in &touched {
            self.outlook.remove(board, &self.search.occupants, node);
        }
        for &(id, target) in &chain.moves {
            match target {
                Some(_) => board.put(id, target),
                None => board.release(id),
            }
        }
        self.search.record(chain);
        for &node in &touched {
            self.outlook.add(board, &self.search.occupants, node);
        }
        board.pay(chain.cost);
        if vacates.is_some() {
            self.search.forget_dead();
        }
        // What was beyond the budget may now be beyond reach; where room appeared, nothing holds any more.
        for class in self.verdicts.ids() {
            for verdict in &mut self.verdicts[class] {
                if vacates.is_some() || *verdict == Some(HoldCode::Budget) {
                    *verdict = None;
                }
            }
        }
    }
}

/// The node on which something can arrive as soon as the slot is served. One that carries too much even then is none.
fn vacates(board: &Board<'_, '_>, id: SlotId) -> Option<NodeId> {
    let node = board.slots[id].at.filter(|node| board.model.nodes[*node].health == Health::Healthy)?;
    let (load, most) = (load_without(board, id, node), &board.model.nodes[node].capacity);
    Family::ALL.into_iter().any(|family| Room::of(&load, most, family) != Room::None).then_some(node)
}

/// What a node carries besides an address that is there.
fn load_without(board: &Board<'_, '_>, id: SlotId, node: NodeId) -> Load {
    let mut load = board.loads[node];
    load.remove(board.slots[id].family);
    load
}
