//! One index, many tasks: watches and writers feed it, rounds and status read it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use sluice_core::observed::Observed;

use super::Index;

/// An [`Index`] behind a lock, and a bell that rings when something decisive changed.
///
/// The bell carries no data: whoever hears it looks at everything again. The lock is never held across an await.
#[derive(Debug)]
pub struct SharedIndex {
    index: Mutex<Index>,
    bell: watch::Sender<()>,
}

impl Default for SharedIndex {
    fn default() -> Self {
        Self { index: Mutex::default(), bell: watch::Sender::new(()) }
    }
}

impl SharedIndex {
    /// Wakes whenever something decisive changed; changes that come while nobody listens are one wake-up.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    /// Wakes all subscribers, for instance after the periodic tick.
    pub fn ring(&self) {
        self.bell.send_replace(());
    }

    /// Changes the index; `change` says whether that decided something, and then the bell rings.
    pub fn change(&self, change: impl FnOnce(&mut Index) -> bool) -> bool {
        let changed = change(&mut self.lock());
        if changed {
            self.ring();
        }
        changed
    }

    /// Changes the index without ringing, in the middle of a list.
    pub fn quietly<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        change(&mut self.lock())
    }

    /// Reads the index. Copy out what is needed and return: watches wait meanwhile.
    pub fn read<T>(&self, read: impl FnOnce(&Index) -> T) -> T {
        read(&self.lock())
    }

    /// The cluster at this instant; none until every kind has been listed. `now` is Unix time in milliseconds.
    pub fn snapshot(&self, now: u64) -> Option<Observed> {
        self.read(|index| index.snapshot(now))
    }

    /// A panic elsewhere leaves whole facts behind: every method stores before it returns.
    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
