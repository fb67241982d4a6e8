//! The lock by which redhat-cop's operator elects its leader.
//!
//! Believed as client-go's leader election believes it: for its duration since its last change was *seen*, by our clock.
//! What the record says of the time counts once only, when it is found: a lock that ran out long before is nobody's.

use std::fmt;

use crate::convert::{FieldNotes, LockRecord, lock_record};
use crate::object::Object;

use super::lock_scope::LockGround;

/// Longest a lock is believed after its last change, in milliseconds. The old operator renews every two seconds for
/// fifteen; who is silent for forty times as long is gone, whatever its record promises, and nodes fail meanwhile.
const LONGEST: u64 = 10 * 60 * 1000;

/// Somebody else who writes egress addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// Where the lock is.
    pub namespace: String,
    /// Usually the name of a pod and a uid.
    pub identity: String,
    /// When the lock runs out unless it is renewed, in Unix milliseconds.
    pub until: u64,
    /// Why it counts; none: it does not.
    pub ground: Option<LockGround>,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} holds its lock in namespace {}", self.identity, self.namespace)?;
        self.ground.as_ref().map_or(Ok(()), |ground| write!(f, ", {ground}"))
    }
}

/// One lock object; nobody may hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lock {
    record: Option<LockRecord>,
    /// When it came to say so, in Unix milliseconds; none: it had run out when it was found.
    seen: Option<u64>,
}

impl Lock {
    /// Reads the lock at `now`. `before`: what was known of it, if anything.
    pub(super) fn read(object: &Object, before: Option<&Self>, now: u64, notes: &mut FieldNotes) -> Self {
        let record = lock_record(object, notes);
        let seen = match before {
            Some(before) if before.record == record => before.seen,
            Some(_) => Some(now),
            None => record.as_ref().filter(|found| now < found.renewed.saturating_add(found.lasts)).map(|_| now),
        };
        Self { record, seen }
    }

    /// Who holds it at `now`, and until when. A clock that was set back gives nobody more time.
    pub(super) fn live(&self, now: u64) -> Option<(&str, u64)> {
        let (record, seen) = (self.record.as_ref()?, self.seen?);
        let lasts = record.lasts.min(LONGEST);
        let until = seen.saturating_add(lasts);
        (now.abs_diff(seen) < lasts).then_some((record.identity.as_str(), until))
    }

    /// Whether somebody else holds it at `now`, or it was taken up again after it had run out. A renewal in time, every
    /// few seconds, changes nothing that was decided.
    pub(super) fn is_decisively_other(&self, before: &Self, now: u64) -> bool {
        self.live(now).map(|(identity, _)| identity) != before.live(now).map(|(identity, _)| identity)
    }
}
