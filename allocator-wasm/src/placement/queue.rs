//! The least loaded node of a class, without looking at all of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use sluice_policy_sdk::Family;

use crate::ids::{ClassId, NodeId, Table};
use crate::model::{Load, Model, Node, index_of};

/// What an unlimited node counts as having room for, next to limited ones: an interface of the larger
/// clouds takes about as many.
const NOMINAL_CAPACITY: u64 = 256;

/// For each class and family a heap of nodes, made when it is first needed.
///
/// A heap may know an old load of a node, but never only that: who changes a load calls
/// [`Queues::refresh`] if it fell; one that rose is noticed when the node comes up.
#[derive(Default)]
pub(crate) struct Queues {
    heaps: Table<ClassId, [Option<Heap>; 2]>,
    aside: Vec<Reverse<Entry>>,
}

type Heap = BinaryHeap<Reverse<Entry>>;

/// Ordered by load, then by the node's turn.
type Entry = (u64, u32, NodeId);

impl Queues {
    pub(crate) fn new(model: &Model<'_>) -> Self {
        Self { heaps: model.classes.parallel([None, None]), aside: Vec::new() }
    }

    /// The least loaded node of the class that has room, of those that the caller accepts.
    pub(crate) fn pick(
        &mut self,
        model: &Model<'_>,
        loads: &Table<NodeId, Load>,
        class: ClassId,
        family: Family,
        accept: impl Fn(NodeId) -> bool,
    ) -> Option<NodeId> {
        let rank = |node: NodeId| rank(&model.nodes[node], &loads[node], family);
        let slot = self.heaps[class].get_mut(index_of(family))?;
        let heap = slot.get_or_insert_with(|| {
            let targets = model.classes[class].targets.iter();
            let entry = |node: NodeId| Some(Reverse((rank(node)?, model.nodes[node].turn, node)));
            targets.filter_map(|node| entry(*node)).collect()
        });
        let mut picked = None;
        while let Some(mut top) = heap.peek_mut() {
            let Reverse((known, _, node)) = &mut *top;
            let node = *node;
            match rank(node) {
                None => drop(PeekMut::pop(top)),
                Some(now) if now != *known => *known = now,
                Some(_) if accept(node) => {
                    picked = Some(node);
                    break;
                }
                Some(_) => self.aside.push(PeekMut::pop(top)),
            }
        }
        heap.extend(self.aside.drain(..));
        picked
    }

    /// Takes note of a load that may have fallen.
    pub(crate) fn refresh(&mut self, model: &Model<'_>, loads: &Table<NodeId, Load>, node: NodeId) {
        for class in model.classes.ids() {
            for family in Family::ALL {
                let heap = self.heaps[class].get_mut(index_of(family)).and_then(Option::as_mut);
                if let Some(heap) = heap
                    && model.is_target(class, node)
                    && let Some(rank) = rank(&model.nodes[node], &loads[node], family)
                {
                    heap.push(Reverse((rank, model.nodes[node].turn, node)));
                }
            }
        }
    }
}

/// How loaded a node would be with one address more, relative to what it can carry. None: it is full.
pub(crate) fn rank(node: &Node, load: &Load, family: Family) -> Option<u64> {
    let (total, of_family) = (node.capacity.total, node.capacity.of(family));
    if load.total >= total || load.of(family) >= of_family {
        return None;
    }
    let other = u64::from(node.other_load);
    let all = u64::from(load.total) + 1 + other;
    let room = if total == u32::MAX { NOMINAL_CAPACITY } else { u64::from(total) + other };
    let in_all = (all << 24) / room;
    let alike = if of_family == u32::MAX { 0 } else { ((u64::from(load.of(family)) + 1) << 24) / u64::from(of_family) };
    Some(in_all.max(alike))
}
