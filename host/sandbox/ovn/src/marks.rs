//! Packet marks: one number per `EgressIP`, handed out in turn.

use std::collections::{BTreeMap, BTreeSet};

/// The first mark.
const FIRST: u32 = 50_000;
/// How many there are. The bound 55000 is valid but never handed out (OVN-Kubernetes, `id.NewIDAllocator`).
const COUNT: u32 = 5_000;

#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    of: BTreeMap<String, u32>,
    taken: BTreeSet<u32>,
    next: u32,
}

impl Marks {
    /// The mark of an object, a new one if it has none. None is left after 5000 objects.
    pub(crate) fn of(&mut self, name: &str) -> Option<u32> {
        if let Some(mark) = self.of.get(name) {
            return Some(*mark);
        }
        let free = (0..COUNT).map(|step| FIRST + (self.next + step) % COUNT).find(|mark| !self.taken.contains(mark))?;
        self.next = (free - FIRST + 1) % COUNT;
        self.of.insert(name.to_owned(), free);
        self.taken.insert(free);
        Some(free)
    }

    /// Takes note of a mark that an object has already. One that another object has is left to that one.
    pub(crate) fn reserve(&mut self, name: &str, mark: &str) {
        let Ok(mark) = mark.parse::<u32>() else { return };
        if (FIRST..=FIRST + COUNT).contains(&mark) && !self.of.contains_key(name) && self.taken.insert(mark) {
            self.of.insert(name.to_owned(), mark);
        }
    }

    /// Gives a mark back.
    pub(crate) fn release(&mut self, name: &str) {
        if let Some(mark) = self.of.remove(name) {
            self.taken.remove(&mark);
        }
    }
}
