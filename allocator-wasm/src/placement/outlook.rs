//! Whether a search for room can find anything at all.
//!
//! Seen from afar, what matters of an address is its family and its class of nodes: from a node that is full it
//! leads on to whatever its occupants may go to. Where that ends nowhere, no search is needed. To be kept up to
//! date costs little, so that thousands of addresses for which there is no room are told so at once. That owners
//! keep their own addresses apart is not seen from here: what looks possible may still fail.

use sluice_policy_sdk::Family;

use crate::ids::{ClassId, NodeId, SlotId, Table};
use crate::model::{Load, index_of};
use crate::placement::board::Board;
use crate::slot::Slot;

pub(crate) struct Outlook {
    /// The classes that a node is a target of.
    classes: Table<NodeId, Vec<ClassId>>,
    views: Table<ClassId, [View; 2]>,
    /// Views of this number have been looked at.
    number: u32,
}

/// What awaits an address of one family on the nodes of a class.
#[derive(Clone, Default)]
struct View {
    /// Nodes that have room.
    open: u32,
    /// Addresses on full nodes that can be given up.
    expendable: u32,
    /// Addresses on full nodes that could go elsewhere: where, and how many.
    next: Vec<(ClassFamily, u32)>,
    seen: u32,
}

type ClassFamily = (ClassId, Family);

/// What a node is for one more address of a family.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Free,
    /// If another one goes, of the family if there is one.
    Exchange(Option<Family>),
    /// It has to lose more than one before it can take any.
    None,
}

impl Room {
    pub(crate) fn of(load: &Load, most: &Load, family: Family) -> Self {
        if load.total > most.total || load.of(family) > most.of(family) {
            Self::None
        } else if load.of(family) == most.of(family) {
            Self::Exchange(Some(family))
        } else if load.total == most.total {
            Self::Exchange(None)
        } else {
            Self::Free
        }
    }
}

impl View {
    fn change(&mut self, kind: ClassFamily, change: impl Fn(&mut u32)) {
        if let Some((_, number)) = self.next.iter_mut().find(|(known, _)| *known == kind) {
            change(number);
            return;
        }
        let mut number = 0;
        change(&mut number);
        self.next.push((kind, number));
    }
}

impl Outlook {
    pub(crate) fn new(board: &Board<'_, '_>, occupants: &Table<NodeId, Vec<SlotId>>) -> Self {
        let classes = &board.model.classes;
        let views = classes.parallel([View::default(), View::default()]);
        let mut outlook = Self { classes: board.model.nodes.parallel(Vec::new()), views, number: 0 };
        for class in classes.ids() {
            for &node in &classes[class].targets {
                outlook.classes[node].push(class);
            }
        }
        for node in board.model.nodes.ids() {
            outlook.add(board, occupants, node);
        }
        outlook
    }

    /// Takes note of what a node has become.
    pub(crate) fn add(&mut self, board: &Board<'_, '_>, occupants: &Table<NodeId, Vec<SlotId>>, node: NodeId) {
        self.count(board, occupants, node, |number| *number += 1);
    }

    /// Forgets a node that is about to change.
    pub(crate) fn remove(&mut self, board: &Board<'_, '_>, occupants: &Table<NodeId, Vec<SlotId>>, node: NodeId) {
        self.count(board, occupants, node, |number| *number -= 1);
    }

    fn count(
        &mut self,
        board: &Board<'_, '_>,
        occupants: &Table<NodeId, Vec<SlotId>>,
        node: NodeId,
        change: impl Fn(&mut u32),
    ) {
        for family in Family::ALL {
            let room = Room::of(&board.loads[node], &board.model.nodes[node].capacity, family);
            for &class in &self.classes[node] {
                let Some(view) = self.views[class].get_mut(index_of(family)) else { continue };
                if room == Room::Free {
                    change(&mut view.open);
                }
                for slot in in_the_way(board, occupants, node, room) {
                    if is_expendable(slot) {
                        change(&mut view.expendable);
                    }
                    view.change((board.reach(slot), slot.family), &change);
                }
            }
        }
    }

    /// Whether an address of this kind may find room, if another node carries one address less by then.
    pub(crate) fn is_open(
        &mut self,
        board: &Board<'_, '_>,
        occupants: &Table<NodeId, Vec<SlotId>>,
        kind: ClassFamily,
        freed: Option<(NodeId, Load)>,
    ) -> bool {
        self.number += 1;
        let mut kinds = vec![kind];
        while let Some((class, family)) = kinds.pop() {
            let Some(view) = self.views[class].get_mut(index_of(family)) else { continue };
            if view.seen == self.number {
                continue;
            }
            view.seen = self.number;
            if view.open > 0 || view.expendable > 0 {
                return true;
            }
            kinds.extend(view.next.iter().filter(|(_, number)| *number > 0).map(|(kind, _)| *kind));
            if let Some((node, load)) = &freed
                && board.model.is_target(class, *node)
            {
                let room = Room::of(load, &board.model.nodes[*node].capacity, family);
                let mut others = in_the_way(board, occupants, *node, room);
                if room == Room::Free || others.any(is_expendable) {
                    return true;
                }
                let others = in_the_way(board, occupants, *node, room);
                kinds.extend(others.map(|slot| (board.reach(slot), slot.family)));
            }
        }
        false
    }
}

/// What may have to leave a node for another address.
fn in_the_way<'b>(
    board: &'b Board<'_, '_>,
    occupants: &'b Table<NodeId, Vec<SlotId>>,
    node: NodeId,
    room: Room,
) -> impl Iterator<Item = &'b Slot> {
    let (some, family) = match room {
        Room::Exchange(family) => (true, family),
        Room::Free | Room::None => (false, None),
    };
    let occupants = occupants[node].iter().filter(move |_| some).map(|id| &board.slots[*id]);
    occupants.filter(move |slot| slot.at == Some(node) && family.is_none_or(|family| slot.family == family))
}

fn is_expendable(slot: &Slot) -> bool {
    slot.surplus && slot.released.is_none()
}
