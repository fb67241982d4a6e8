//! The list of writes while it is made.

use std::collections::BTreeSet;

use super::{Change, Target, Write};

/// The writes of a schedule, in order. They are only ever appended, so that a position once given stays true.
pub(super) struct Writes<'a> {
    avoid: &'a BTreeSet<Target>,
    list: Vec<Write>,
    unfinished: BTreeSet<Target>,
}

impl<'a> Writes<'a> {
    /// An empty list, into which no write to an object of `avoid` gets.
    pub(super) fn new(avoid: &'a BTreeSet<Target>) -> Self {
        Self { avoid, list: Vec::new(), unfinished: BTreeSet::new() }
    }

    /// Appends a write and returns its position; none: its object is to be avoided, and so its change is unfinished.
    pub(super) fn push(&mut self, target: Target, change: Change, after: Vec<usize>) -> Option<usize> {
        self.push_after_any(target, change, after, Vec::new())
    }

    /// Appends a write as `push` does, which besides needs the success of one of the writes in `after_any`.
    pub(super) fn push_after_any(
        &mut self,
        target: Target,
        change: Change,
        mut after: Vec<usize>,
        after_any: Vec<usize>,
    ) -> Option<usize> {
        if self.avoid.contains(&target) {
            self.postpone(target);
            return None;
        }
        after.sort_unstable();
        after.dedup();
        self.list.push(Write { target, change, after, after_any });
        Some(self.list.len() - 1)
    }

    /// Notes that an object has to change and cannot in this schedule, so that its pool is not taken for cleaned up.
    pub(super) fn postpone(&mut self, target: Target) {
        self.unfinished.insert(target);
    }

    /// What has been appended so far.
    pub(super) fn list(&self) -> &[Write] {
        &self.list
    }

    /// Objects whose change has to wait for a later round.
    pub(super) fn unfinished(&self) -> &BTreeSet<Target> {
        &self.unfinished
    }

    /// The finished schedule.
    pub(super) fn finish(self) -> Vec<Write> {
        self.list
    }
}
