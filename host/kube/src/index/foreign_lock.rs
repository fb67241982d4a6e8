//! Who holds the lock of redhat-cop's operator, where that counts, and where somebody has to be asked whether it does.

use sluice_core::network::Network;
use sluice_core::text::bounded;

use super::identity::Key;
use super::{Index, LOCK_LOOK, LockGround, LockHolder, WriteRights};
use crate::kind::Kind;

/// Longest identity of a holder that is shown, in characters. Anybody may have written it.
const LONGEST_IDENTITY: usize = 200;

impl Index {
    /// Names the namespaces in which redhat-cop's operator is expected: its lock counts there without a question.
    pub fn expect_locks_in(&mut self, namespaces: impl IntoIterator<Item = String>) {
        self.lock_scope.set_named(namespaces);
    }

    /// Takes an answer to one of the [`lock_questions`](Index::lock_questions). True if another lock counts than before.
    pub fn note_write_rights(&mut self, namespace: &str, rights: WriteRights) -> bool {
        let counting = |index: &Self| index.foreign_lock(index.now).map(|lock| (lock.namespace, lock.ground));
        let before = counting(self);
        self.lock_scope.answer(namespace, rights, self.now);
        let changed = counting(self) != before;
        self.counted(changed)
    }

    /// Namespaces whose locks are held at `now` (Unix milliseconds) and of whose service accounts somebody has to ask
    /// whether they may patch NetNamespaces.
    pub fn lock_questions(&self, now: u64) -> Vec<String> {
        if self.network() != Network::OpenShiftSdn {
            return Vec::new();
        }
        self.held_locks(now).map(|lock| lock.namespace).filter(|one| self.lock_scope.has_to_ask(one, now)).collect()
    }

    /// Who holds redhat-cop's lock at `now` (Unix milliseconds) where it counts. While somebody does, nothing may be
    /// written. That operator knows OpenShift SDN only: with another network its lock stops nothing.
    pub fn foreign_lock(&self, now: u64) -> Option<LockHolder> {
        if self.network() != Network::OpenShiftSdn {
            return None;
        }
        let is_certain = |lock: &LockHolder| !matches!(lock.ground, Some(LockGround::Unknown(_)));
        let counting = self.held_locks(now).filter(|lock| lock.ground.is_some());
        counting.max_by_key(|lock| (is_certain(lock), lock.until))
    }

    /// Locks that are held at `now` (Unix milliseconds) and stop nothing: where the old operator cannot be, somebody forged
    /// them, and with another network than its own they do not matter.
    pub fn ignored_locks(&self, now: u64) -> Vec<LockHolder> {
        let is_other = self.network() != Network::OpenShiftSdn;
        self.held_locks(now).filter(|lock| is_other || lock.ground.is_none()).collect()
    }

    /// Whether the lock of that name counts, if it is held.
    pub(super) fn lock_counts(&self, key: &Key) -> bool {
        self.lock_scope.ground(key.namespace(), self.now).is_some()
    }

    /// Judged as of the last sign of life of their watch: who held a lock then may have renewed it since, unseen.
    fn held_locks(&self, now: u64) -> impl Iterator<Item = LockHolder> {
        let known_at = self.watches.known_at(Kind::Lock, now);
        self.locks.iter().filter_map(move |(key, lock)| {
            let (identity, until) = lock.live(known_at)?;
            let until = if until > now { until } else { now.saturating_add(LOCK_LOOK) };
            let identity = bounded(identity, LONGEST_IDENTITY);
            let until = self.lock_scope.until(key.namespace(), until, now);
            let ground = self.lock_scope.ground(key.namespace(), now);
            Some(LockHolder { namespace: key.namespace().to_owned(), identity, until, ground })
        })
    }
}
