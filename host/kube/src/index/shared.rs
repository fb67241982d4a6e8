//! One index, many tasks: watches and writers feed it, rounds and status read it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use sluice_core::observed::Observed;

use super::{Index, LockHolder};

/// An [`Index`] behind a lock, and a bell that rings when something decisive changed.
///
/// The bell carries no data: whoever hears it looks at everything again. The lock is never held across an await.
#[derive(Debug)]
pub struct SharedIndex {
    index: Mutex<Index>,
    bell: watch::Sender<()>,
    statuses: watch::Sender<u64>,
    /// Unix time in milliseconds.
    clock: fn() -> u64,
}

#[cfg(test)]
impl Default for SharedIndex {
    fn default() -> Self {
        Self::new(|| 0)
    }
}

impl SharedIndex {
    /// An empty index. `clock` is asked for the Unix time in milliseconds at each change.
    pub fn new(clock: fn() -> u64) -> Self {
        Self { index: Mutex::default(), bell: watch::Sender::new(()), statuses: watch::Sender::new(0), clock }
    }

    /// Wakes whenever something decisive changed; changes that come while nobody listens are one wake-up.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    /// Wakes whenever the status of a pool changed, by whomever. That decides nothing, but somebody may have overwritten
    /// what was told.
    pub fn subscribe_statuses(&self) -> watch::Receiver<u64> {
        self.statuses.subscribe()
    }

    /// Wakes all subscribers, for instance after the periodic tick.
    pub fn ring(&self) {
        self.bell.send_replace(());
    }

    /// Changes the index; `change` says whether that decided something, and then the bell rings.
    pub fn change(&self, change: impl FnOnce(&mut Index) -> bool) -> bool {
        let changed = self.quietly(change);
        if changed {
            self.ring();
        }
        changed
    }

    /// Changes the index without ringing, in the middle of a list.
    pub fn quietly<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        let mut index = self.lock();
        index.set_time((self.clock)());
        let result = change(&mut index);
        let seen = index.statuses();
        self.statuses.send_if_modified(|known| std::mem::replace(known, seen) != seen);
        result
    }

    /// Reads the index. Copy out what is needed and return: watches wait meanwhile.
    pub fn read<T>(&self, read: impl FnOnce(&Index) -> T) -> T {
        read(&self.lock())
    }

    /// The cluster at this instant; none until every kind has been listed. `now` is Unix time in milliseconds.
    pub fn snapshot(&self, now: u64) -> Option<Observed> {
        self.read(|index| index.snapshot(now))
    }

    /// Who holds redhat-cop's lock right now; while somebody does, nothing may be written.
    pub fn foreign_lock(&self) -> Option<LockHolder> {
        let now = (self.clock)();
        self.read(|index| index.foreign_lock(now))
    }

    /// A panic elsewhere leaves whole facts behind: every method stores before it returns.
    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
