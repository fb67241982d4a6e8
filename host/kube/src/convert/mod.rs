//! From objects to core's facts. Pure, total and lenient: every object gives facts, or a reason why not.
//!
//! A field that cannot be read becomes a [`FieldNote`], and the rest of the object counts. Only where the unreadable field
//! is the very thing an object says (the addresses of a [network](crate::network)'s objects) the object is [`Unreadable`]
//! and is treated as if it were missing: then its node is out, or its namespace waits, and nothing else.

mod cluster;
mod pool;
mod private_ip;
pub(crate) mod read;
mod selector;

pub use cluster::{LockRecord, lock_record, namespace_facts, node_facts, platform};
pub use pool::pool_facts;
pub use private_ip::{private_ip, private_ip_facts};
pub use read::{FieldNote, FieldNotes};

/// Why an object says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub FieldNote);

#[cfg(test)]
pub(crate) mod tests;
