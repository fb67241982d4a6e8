//! The work queue: a key is worked on once at a time, and what comes meanwhile is remembered once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How often a key is put back after failures, one after the other. Then it is forgotten until the next event.
const RETRIES: u32 = 15;
const FIRST_DELAY: u64 = 5;

#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    ready: VecDeque<String>,
    dirty: BTreeSet<String>,
    working: BTreeSet<String>,
    failures: BTreeMap<String, u32>,
    later: BTreeMap<String, u64>,
}

impl Queue {
    pub(super) fn add(&mut self, key: &str) {
        if self.dirty.insert(key.to_owned()) && !self.working.contains(key) {
            self.ready.push_back(key.to_owned());
        }
    }

    pub(super) fn take(&mut self) -> Option<String> {
        let key = self.ready.pop_front()?;
        self.dirty.remove(&key);
        self.working.insert(key.clone());
        Some(key)
    }

    /// How many keys are being worked on.
    pub(super) fn busy(&self) -> usize {
        self.working.len()
    }

    pub(super) fn done(&mut self, key: &str) {
        self.failures.remove(key);
        self.put_down(key);
    }

    /// Puts a key back after a delay that doubles.
    pub(super) fn failed(&mut self, key: &str, now: u64) {
        let failures = self.failures.get(key).copied().unwrap_or(0);
        if failures > RETRIES {
            self.failures.remove(key);
        } else {
            self.failures.insert(key.to_owned(), failures + 1);
            self.later.insert(key.to_owned(), now + (FIRST_DELAY << failures));
        }
        self.put_down(key);
    }

    /// Adds what has waited long enough.
    pub(super) fn release(&mut self, now: u64) {
        let due: Vec<String> = self.later.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            self.later.remove(&key);
            self.add(&key);
        }
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.later.values().copied().min()
    }

    fn put_down(&mut self, key: &str) {
        if self.working.remove(key) && self.dirty.contains(key) {
            self.ready.push_back(key.to_owned());
        }
    }
}
