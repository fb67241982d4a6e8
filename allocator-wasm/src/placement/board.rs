//! Which address sits where, as the plan changes it, and what that means for nodes and budget.

use std::ops::Range;

use sluice_policy_sdk::{Health, Hold, HoldCode, PlacementMode, Reason};

use crate::allocation::Allocated;
use crate::ids::{ClassId, Id, NodeId, OwnerId, SlotId, Table, ids};
use crate::model::{Load, Model};
use crate::placement::queue::Queues;
use crate::slot::{Slot, Standing};

pub(crate) struct Board<'m, 'a> {
    pub(crate) model: &'m Model<'a>,
    pub(crate) slots: Table<SlotId, Slot>,
    by_owner: Table<OwnerId, Range<SlotId>>,
    /// What the nodes carry once the plan is done.
    pub(crate) loads: Table<NodeId, Load>,
    pub(crate) budget: u32,
    /// How many slots are not where they may stay.
    pub(crate) displaced: i64,
    pub(crate) holds: Vec<Hold>,
    queues: Queues,
    /// The slots that need a node and have none, in order.
    pub(crate) pending: Vec<SlotId>,
}

impl<'m, 'a> Board<'m, 'a> {
    pub(crate) fn new(model: &'m Model<'a>, allocated: Allocated) -> Self {
        let loads = model.nodes.ids().map(|node| model.loads[node]).collect::<Vec<_>>().into();
        let Allocated { slots, by_owner, budget, holds } = allocated;
        let queues = Queues::new(model);
        let mut board =
            Self { model, slots, by_owner, loads, budget, displaced: 0, holds, queues, pending: Vec::new() };
        for owner in board.by_owner.ids() {
            board.survey(owner);
        }
        board
    }

    /// Finds out where the owner's addresses are, and which of them need another place.
    fn survey(&mut self, owner: OwnerId) {
        let range = self.by_owner[owner].clone();
        for id in ids(range.clone()) {
            self.locate(id);
        }
        for id in ids(range) {
            if self.shares_node(id) {
                let slot = &mut self.slots[id];
                slot.standing = if slot.surplus { Standing::Idle } else { Standing::Pending };
                slot.may_stay = false;
                slot.cause = Reason::Other;
            }
            if self.slots[id].standing == Standing::Pending {
                self.pending.push(id);
            }
        }
    }

    fn locate(&mut self, id: SlotId) {
        let slot = &self.slots[id];
        let pool = self.model.owners[slot.owner].pool;
        if slot.duplicate {
            self.hold(id, HoldCode::Other, format!("{} has two owners", slot.address));
            return;
        }
        let carried = self.model.book.at(slot.id).carried;
        let mode = self.model.pools[pool].input.placement;
        if mode == PlacementMode::Network {
            return;
        }
        let Some(carried) = carried else {
            if slot.released.is_none() && !slot.surplus {
                self.slots[id].standing = Standing::Pending;
            }
            return;
        };
        let fits = |node: NodeId| self.may_carry(slot, node);
        if !carried.settled {
            let served = carried.stays().any(fits);
            let slot = &mut self.slots[id];
            (slot.original, slot.at, slot.also) = (Some(carried.node), Some(carried.node), carried.also);
            if !served {
                self.hold(id, HoldCode::InFlight, String::new());
            }
            return;
        }
        let (fits, down) = (fits(carried.node), self.model.nodes[carried.node].health == Health::Down);
        let slot = &mut self.slots[id];
        (slot.original, slot.at) = (Some(carried.node), Some(carried.node));
        if slot.released.is_some() {
            slot.at = None;
            self.loads[carried.node].remove(slot.family);
        } else if fits && mode == PlacementMode::Among {
            // It stays where the network has put it.
            slot.standing = Standing::Fixed;
        } else if fits {
            (slot.standing, slot.charge, slot.may_stay) = (Standing::Served, 1, true);
            slot.cause = Reason::MakeRoom;
        } else {
            slot.standing = if slot.surplus { Standing::Idle } else { Standing::Pending };
            slot.cause = if down { Reason::NodeDown } else { Reason::NodeIneligible };
        }
    }

    /// Whether an address of the owner that may stay keeps the node from this one, which could.
    fn shares_node(&self, id: SlotId) -> bool {
        let slot = &self.slots[id];
        let (true, Some(node)) = (slot.may_stay, slot.at) else { return false };
        self.siblings(id).any(|other| {
            let sibling = &self.slots[other];
            let settled = sibling.may_stay && other < id;
            sibling.blocks(node) && (settled || sibling.standing == Standing::Fixed)
        })
    }

    /// The owner's other slots.
    pub(crate) fn siblings(&self, id: SlotId) -> impl Iterator<Item = SlotId> + use<> {
        ids(self.by_owner[self.slots[id].owner].clone()).filter(move |other| *other != id)
    }

    /// Whether another address of the owner is on the node.
    pub(crate) fn is_blocked(&self, id: SlotId, node: NodeId) -> bool {
        self.siblings(id).any(|other| self.slots[other].blocks(node))
    }

    /// Whether a write is under way for the address.
    pub(crate) fn is_in_flight(&self, slot: &Slot) -> bool {
        self.model.book.at(slot.id).carried.is_some_and(|carried| !carried.settled)
    }

    /// The nodes that a slot may go to.
    pub(crate) fn reach(&self, slot: &Slot) -> ClassId {
        self.model.reach(self.model.owners[slot.owner].pool, slot.zone)
    }

    /// Whether the address may stay on a node where it is.
    fn may_carry(&self, slot: &Slot, node: NodeId) -> bool {
        let healthy = self.model.nodes[node].health != Health::Down;
        healthy && self.model.classes[self.reach(slot)].contains(node)
    }

    /// Puts a slot on a node, or takes it off all. The caller has checked that it may, and paid.
    pub(crate) fn put(&mut self, id: SlotId, node: Option<NodeId>) {
        let slot = &mut self.slots[id];
        let (before, family) = (slot.at, slot.family);
        self.displaced -= i64::from(slot.is_displaced());
        slot.at = node;
        slot.released = slot.released.filter(|_| node.is_none());
        self.displaced += i64::from(slot.is_displaced());
        slot.standing = match node {
            None => Standing::Fixed,
            Some(_) if node == slot.original && !slot.may_stay => Standing::Idle,
            Some(_) => Standing::Served,
        };
        if let Some(before) = before {
            self.loads[before].remove(family);
            self.queues.refresh(self.model, &self.loads, before);
        }
        if let Some(node) = node {
            self.loads[node].add(family);
        }
    }

    /// Takes a surplus address from its owner. The caller pays.
    pub(crate) fn release(&mut self, id: SlotId) {
        self.displaced -= i64::from(self.slots[id].is_displaced());
        self.slots[id].released = Some(Reason::Surplus);
        self.put(id, None);
    }

    /// Takes from the budget, or gives back to it.
    pub(crate) fn pay(&mut self, cost: i64) {
        let rest = i64::from(self.budget).saturating_sub(cost);
        self.budget = u32::try_from(rest.max(0)).unwrap_or(u32::MAX);
    }

    /// Puts a slot on the least loaded node that can take it, of the home zone if possible.
    pub(crate) fn place(&mut self, id: SlotId) -> bool {
        let slot = &self.slots[id];
        let family = slot.family;
        let home = slot.zone.map(|zone| self.model.zones[zone].class);
        let reach = self.reach(slot);
        let home = home.filter(|home| *home != reach);
        let mut target = None;
        for class in home.into_iter().chain([reach]) {
            let mut queues = std::mem::take(&mut self.queues);
            let free = |node| !self.is_blocked(id, node);
            target = queues.pick(self.model, &self.loads, class, family, free);
            self.queues = queues;
            if target.is_some() {
                break;
            }
        }
        if target.is_some() {
            self.put(id, target);
        }
        target.is_some()
    }

    pub(crate) fn hold(&mut self, id: SlotId, code: HoldCode, text: String) {
        let slot = &self.slots[id];
        let owner = self.model.owners[slot.owner].index;
        let zone = slot.zone.map(Id::position);
        self.holds.push(Hold { owner, zone, code, text });
    }
}
