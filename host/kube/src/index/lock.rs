//! The lock by which redhat-cop's operator elects its leader.

use crate::convert::{LockRecord, Notes, lock_record};
use crate::object::Object;

/// Somebody else who writes egress addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// Usually the name of a pod and a uid.
    pub identity: String,
    /// When the lock runs out unless it is renewed, in Unix milliseconds.
    pub until: u64,
}

/// One lock object; nobody may hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lock(Option<LockRecord>);

impl Lock {
    pub(super) fn read(object: &Object, notes: &mut Notes) -> Self {
        Self(lock_record(object, notes))
    }

    pub(super) fn live(&self, now: u64) -> Option<LockHolder> {
        let record = self.0.as_ref().filter(|record| record.until > now)?;
        Some(LockHolder { identity: record.identity.clone(), until: record.until })
    }

    /// Whether somebody else holds it now, or it was taken up again after it had run out. A renewal in time, every
    /// few seconds, changes nothing that was decided.
    pub(super) fn is_decisively_other(&self, before: &Self) -> bool {
        match (&before.0, &self.0) {
            (None, None) => false,
            (Some(before), Some(after)) => before.identity != after.identity || before.until < after.renewed,
            _ => true,
        }
    }
}
