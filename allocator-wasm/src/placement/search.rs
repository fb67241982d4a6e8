//! The search for the cheapest chain of moves that serves one more address.
//!
//! Labels are relaxed in order of their cost. A displaced address that may stay where it was costs one, and
//! gives it back where it returns there: labels may still fall, and the search goes on for as long as that
//! could matter. All nodes of a class are offered at once: what follows in the same class at the same cost
//! has to look only at the nodes that the first offer left out, because its owner is there already.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use sluice_policy_sdk::{Family, Health};

use crate::ids::{ClassId, NodeId, SlotId, Table, count};
use crate::model::{Load, index_of};
use crate::placement::board::Board;
use crate::slot::{Slot, Standing};

/// The most steps of all searches together, and for each node and slot: rarely are more than a few needed. A plan
/// that leaves some unserved for a round is better than none, which is what comes of using up the fuel.
const EFFORT: u64 = 100_000;
const EFFORT_PER_ITEM: u64 = 500;

/// Moves that serve one slot more. The last slot may be given up instead of moved.
pub(crate) struct Chain {
    /// What it takes of the budget; less than nothing if it brings back more than it displaces.
    pub(crate) cost: i64,
    /// From the end of the chain to its origin.
    pub(crate) moves: Vec<(SlotId, Option<NodeId>)>,
}

pub(crate) struct Search {
    /// The slots on each node that may be displaced, and some that were.
    pub(crate) occupants: Table<NodeId, Vec<SlotId>>,
    /// The slots that were given up, and some that came back.
    given_up: Vec<SlotId>,
    /// To arrive here leads nowhere.
    dead: Table<NodeId, [bool; 2]>,
    /// Labels of earlier searches bear another number.
    number: u32,
    arrive: Table<NodeId, [Label; 2]>,
    load: Table<NodeId, Label>,
    leave: Table<SlotId, Label>,
    give_up: Label,
    offers: Table<ClassId, [Offer; 2]>,
    /// Of what costs the same the latest comes first: it is next to where the search has got to.
    queue: BinaryHeap<Reverse<(i64, u32, Step)>>,
    queued: u32,
    arrivals: Vec<(NodeId, Family)>,
    /// Nodes and slots that were looked at, in all searches.
    pub(crate) steps: u64,
    most_steps: u64,
}

/// The cheapest way to a step, and the slot that takes it.
#[derive(Clone, Copy, Default)]
struct Label {
    number: u32,
    cost: i64,
    by: Option<SlotId>,
}

/// All nodes of a class have been offered at a cost, but some.
#[derive(Clone, Default)]
struct Offer {
    number: u32,
    cost: i64,
    except: Vec<NodeId>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// An address of the family comes to the node.
    Arrive(NodeId, Family),
    /// The node gets one address more.
    Load(NodeId),
    /// The slot has to leave its node.
    Leave(SlotId),
    /// A slot is given up, so that another one need not be.
    GiveUp,
}

/// The slot that is to be served, and what changes as soon as it is.
#[derive(Clone, Copy)]
struct Origin {
    slot: SlotId,
    family: Family,
    vacates: Option<NodeId>,
    heeds_dead: bool,
}

/// What keeps a slot off a node.
enum Obstacle {
    Nothing,
    /// One sibling, which may be displaced.
    Sibling(SlotId),
    Insurmountable,
}

struct Best {
    cost: i64,
    last: SlotId,
    target: Option<NodeId>,
}

impl Chain {
    /// Whether it keeps the rules. It always does where an owner's addresses are of one family, or nodes have no
    /// limits by family: in other cases two steps can be right, each by itself, and wrong together.
    fn is_sound(&self, board: &Board<'_, '_>) -> bool {
        let goes_to = |id: SlotId| self.moves.iter().find(|(moved, _)| *moved == id).map(|(_, target)| *target);
        self.moves.iter().all(|&(id, target)| {
            let Some(node) = target else { return true };
            let alone = board.siblings(id).all(|sibling| match goes_to(sibling) {
                Some(elsewhere) => elsewhere != target,
                None => !board.slots[sibling].blocks(node),
            });
            let mut load = board.loads[node];
            for &(moved, target) in &self.moves {
                let slot = &board.slots[moved];
                if slot.at == Some(node) {
                    load.remove(slot.family);
                }
                if target == Some(node) {
                    load.add(slot.family);
                }
            }
            let (family, most) = (board.slots[id].family, board.model.nodes[node].capacity);
            alone && load.total <= most.total && load.of(family) <= most.of(family)
        })
    }
}

impl Label {
    /// Takes a cheaper way, if it is one.
    fn improve(&mut self, number: u32, cost: i64, by: SlotId) -> bool {
        if self.number == number && self.cost <= cost {
            return false;
        }
        *self = Self { number, cost, by: Some(by) };
        true
    }
}

impl Search {
    /// For what `steps` are left of, since earlier searches took some.
    pub(crate) fn new(board: &Board<'_, '_>, steps: u64) -> Self {
        let nodes = &board.model.nodes;
        let items = u64::from(count(nodes.len() + board.slots.len()));
        let mut occupants = nodes.parallel(Vec::new());
        for (id, slot) in board.slots.iter().filter(|(_, slot)| slot.standing != Standing::Fixed) {
            if let Some(node) = slot.at {
                occupants[node].push(id);
            }
        }
        let given_up = |slot: &Slot| slot.surplus && slot.released.is_some();
        Self {
            occupants,
            given_up: board.slots.iter().filter(|(_, slot)| given_up(slot)).map(|(id, _)| id).collect(),
            dead: nodes.parallel([false; 2]),
            number: 0,
            arrive: nodes.parallel([Label::default(); 2]),
            load: nodes.parallel(Label::default()),
            leave: board.slots.parallel(Label::default()),
            give_up: Label::default(),
            offers: board.model.classes.parallel([Offer::default(), Offer::default()]),
            queue: BinaryHeap::new(),
            queued: 0,
            arrivals: Vec::new(),
            steps,
            most_steps: EFFORT.saturating_add(items.saturating_mul(EFFORT_PER_ITEM)),
        }
    }

    /// How much of the steps that searches may take is left.
    pub(crate) fn steps_left(&self) -> u64 {
        self.most_steps.saturating_sub(self.steps)
    }

    /// Whether only what is needed most should be searched for.
    pub(crate) fn is_tired(&self) -> bool {
        self.steps > self.most_steps / 2
    }

    /// Whether nothing can arrive at any of the nodes.
    pub(crate) fn all_dead(&self, nodes: &[NodeId], family: usize) -> bool {
        nodes.iter().all(|node| self.dead[*node].get(family).copied().unwrap_or(false))
    }

    /// There is new room: everything has to be tried again.
    pub(crate) fn forget_dead(&mut self) {
        self.dead = self.dead.parallel([false; 2]);
    }

    /// Takes note of moves that are done.
    pub(crate) fn record(&mut self, chain: &Chain) {
        for &(id, target) in &chain.moves {
            match target {
                Some(node) => self.occupants[node].push(id),
                None => self.given_up.push(id),
            }
        }
    }

    /// The cheapest chain that serves a slot. If there is none, remembers where it looked.
    pub(crate) fn find(&mut self, board: &Board<'_, '_>, slot: SlotId, vacates: Option<NodeId>) -> Option<Chain> {
        self.number += 1;
        self.queue.clear();
        self.arrivals.clear();
        // Room that the slot itself leaves behind can revive what is dead, if it is there.
        let heeds_dead = vacates.is_none_or(|node| self.dead[node] == [false; 2]);
        let origin = Origin { slot, family: board.slots[slot].family, vacates, heeds_dead };
        self.leave[slot] = Label { number: self.number, cost: 0, by: None };
        self.push(0, Step::Leave(slot));
        let mut best: Option<Best> = None;
        // Labels come to rest by themselves where nothing is dearer than it has to be. The limit is for what
        // the network of nodes does not express: capacities of families, where owners have both.
        let limit = 100_u32.saturating_add(count(board.slots.len() + board.loads.len()).saturating_mul(8));
        self.queued = 0;
        let refunds = board.displaced + i64::from(count(self.given_up.len()));
        while let Some(Reverse((cost, _, step))) = self.queue.pop() {
            if best.as_ref().is_some_and(|best| cost - refunds >= best.cost) || self.queued > limit {
                break;
            }
            if let Some(end) = self.expand(board, origin, cost, step)
                && best.as_ref().is_none_or(|best| end.cost < best.cost)
            {
                best = Some(end);
            }
        }
        if best.is_none() {
            for &(node, family) in &self.arrivals {
                if let Some(dead) = self.dead[node].get_mut(index_of(family)) {
                    *dead = true;
                }
            }
        }
        best.and_then(|best| self.trace(board, slot, &best))
    }

    /// Follows a step, unless a cheaper way to it was found since. Returns the end of a chain.
    fn expand(&mut self, board: &Board<'_, '_>, origin: Origin, cost: i64, step: Step) -> Option<Best> {
        match step {
            Step::Leave(slot) if self.leave[slot].cost == cost => self.leave(board, origin, cost, slot),
            Step::Arrive(node, family) => {
                let label = self.arrive[node].get(index_of(family)).copied().unwrap_or_default();
                if label.cost == cost {
                    self.arrive(board, origin, label, (node, family));
                }
                None
            }
            Step::Load(node) if self.load[node].cost == cost => self.load(board, origin, node),
            Step::GiveUp if self.give_up.cost == cost => {
                let label = self.give_up;
                let others = self.given_up.clone();
                for other in others.into_iter().filter(|other| board.slots[*other].released.is_some()) {
                    self.displace(label.cost, other, label.by?);
                }
                None
            }
            Step::Leave(_) | Step::Load(_) | Step::GiveUp => None,
        }
    }

    fn leave(&mut self, board: &Board<'_, '_>, origin: Origin, cost: i64, id: SlotId) -> Option<Best> {
        let slot = &board.slots[id];
        let given_up = slot.released.is_some();
        let cost = cost - if given_up { 1 } else { i64::from(slot.price(slot.at)) };
        if let Some(home) = slot.original.filter(|node| board.model.nodes[*node].health == Health::Healthy)
            && (given_up || slot.is_displaced())
        {
            self.enter(board, origin, cost, (id, home));
        }
        self.go_on(board, origin, cost + i64::from(slot.charge), id);
        let expendable = slot.surplus && !given_up && id != origin.slot;
        if expendable && self.give_up.improve(self.number, cost + 1, id) {
            self.push(cost + 1, Step::GiveUp);
        }
        expendable.then_some(Best { cost: cost + 1, last: id, target: None })
    }

    /// A slot looks for any other node.
    fn go_on(&mut self, board: &Board<'_, '_>, origin: Origin, cost: i64, id: SlotId) {
        let slot = &board.slots[id];
        for sibling in board.siblings(id) {
            if let Some(node) = board.slots[sibling].at
                && board.model.is_target(board.reach(slot), node)
            {
                self.enter(board, origin, cost, (id, node));
            }
        }
        self.offer(board, origin, cost, id);
    }

    /// Offers a slot to all nodes of its class.
    fn offer(&mut self, board: &Board<'_, '_>, origin: Origin, cost: i64, id: SlotId) {
        let slot = &board.slots[id];
        let (class, family) = (board.reach(slot), index_of(slot.family));
        let Some(offer) = self.offers[class].get_mut(family) else { return };
        let known = offer.number == self.number && offer.cost <= cost;
        let (level, before) = (offer.cost, std::mem::take(&mut offer.except));
        if !known {
            *offer = Offer { number: self.number, cost, except: Vec::new() };
        }
        // A dearer offer is no reason to leave a node out of the next one.
        let dearer = known && cost > level;
        let nodes = if known { &before } else { &board.model.classes[class].targets };
        self.steps += nodes.len() as u64;
        let mut except = Vec::new();
        for &node in nodes {
            let free = matches!(obstacle(board, origin, id, node), Obstacle::Nothing) && slot.at != Some(node);
            if free {
                self.enter(board, origin, cost, (id, node));
            }
            if !free || dearer {
                except.push(node);
            }
        }
        if let Some(offer) = self.offers[class].get_mut(family) {
            offer.except = except;
        }
    }

    /// A slot comes to a node, or takes the place of a sibling there.
    fn enter(&mut self, board: &Board<'_, '_>, origin: Origin, cost: i64, (id, node): (SlotId, NodeId)) {
        let family = board.slots[id].family;
        match obstacle(board, origin, id, node) {
            Obstacle::Nothing => {
                let of = index_of(family);
                let dead = self.dead[node].get(of).copied().unwrap_or(false);
                if dead && origin.heeds_dead {
                    return;
                }
                let number = self.number;
                if self.arrive[node].get_mut(of).is_some_and(|label| label.improve(number, cost, id)) {
                    self.arrivals.push((node, family));
                    self.push(cost, Step::Arrive(node, family));
                }
            }
            Obstacle::Sibling(sibling) => {
                let (load, most) = (origin.load(board, node), board.model.nodes[node].capacity);
                let alike = u32::from(board.slots[sibling].family != family);
                if load.total <= most.total && load.of(family) + alike <= most.of(family) {
                    self.displace(cost, sibling, id);
                }
            }
            Obstacle::Insurmountable => {}
        }
    }

    fn arrive(&mut self, board: &Board<'_, '_>, origin: Origin, label: Label, at: (NodeId, Family)) {
        let (node, family) = at;
        let (load, most) = (origin.load(board, node), board.model.nodes[node].capacity);
        let Some(by) = label.by else { return };
        if load.total > most.total || load.of(family) > most.of(family) {
            // It has to lose more than one before it can take any.
            return;
        }
        if load.of(family) < most.of(family) {
            if self.load[node].improve(self.number, label.cost, by) {
                self.push(label.cost, Step::Load(node));
            }
        } else {
            self.displace_any(board, node, label, |slot| slot.family == family);
        }
    }

    fn load(&mut self, board: &Board<'_, '_>, origin: Origin, node: NodeId) -> Option<Best> {
        let label = self.load[node];
        if origin.load(board, node).total < board.model.nodes[node].capacity.total {
            return label.by.map(|last| Best { cost: label.cost, last, target: Some(node) });
        }
        self.displace_any(board, node, label, |_| true);
        None
    }

    fn displace_any(&mut self, board: &Board<'_, '_>, node: NodeId, label: Label, of: impl Fn(&Slot) -> bool) {
        let Some(by) = label.by else { return };
        let occupants = std::mem::take(&mut self.occupants[node]);
        self.steps += occupants.len() as u64;
        for &occupant in &occupants {
            let slot = &board.slots[occupant];
            if slot.at == Some(node) && of(slot) {
                self.displace(label.cost, occupant, by);
            }
        }
        self.occupants[node] = occupants;
    }

    fn displace(&mut self, cost: i64, slot: SlotId, by: SlotId) {
        if self.leave[slot].improve(self.number, cost, by) {
            self.push(cost, Step::Leave(slot));
        }
    }

    fn push(&mut self, cost: i64, step: Step) {
        self.queued += 1;
        self.steps += 1;
        self.queue.push(Reverse((cost, u32::MAX - self.queued, step)));
    }

    /// The moves of a chain, from its end. Every slot goes where the one after it was.
    fn trace(&self, board: &Board<'_, '_>, origin: SlotId, best: &Best) -> Option<Chain> {
        let mut moves = vec![(best.last, best.target)];
        let mut slot = best.last;
        while slot != origin {
            let by = self.leave[slot].by?;
            moves.push((by, board.slots[slot].at));
            slot = by;
            if moves.len() > board.slots.len() {
                return None;
            }
        }
        let chain = Chain { cost: best.cost, moves };
        chain.is_sound(board).then_some(chain)
    }
}

impl Origin {
    /// What a node carries without the slot that is to be served.
    fn load(self, board: &Board<'_, '_>, node: NodeId) -> Load {
        let mut load = board.loads[node];
        if self.vacates == Some(node) {
            load.remove(self.family);
        }
        load
    }
}

fn obstacle(board: &Board<'_, '_>, origin: Origin, id: SlotId, node: NodeId) -> Obstacle {
    let others = board.siblings(id).filter(|other| *other != origin.slot);
    let mut there = others.filter(|other| board.slots[*other].blocks(node));
    match (there.next(), there.next()) {
        (None, _) => Obstacle::Nothing,
        (Some(one), None) if board.slots[one].standing != Standing::Fixed => Obstacle::Sibling(one),
        _ => Obstacle::Insurmountable,
    }
}
