//! Which object it is, and which version of it.

use std::collections::BTreeMap;
use std::fmt;

use crate::kind::Kind;
use crate::object::Object;

/// Name of an object within its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    namespace: String,
    name: String,
}

impl Key {
    /// Locks are told apart by namespace; all other kinds have none, whatever a file may claim.
    pub(super) fn of(kind: Kind, object: &Object) -> Self {
        let namespace = if kind == Kind::Lock { object.namespace() } else { "" };
        Self { namespace: namespace.to_owned(), name: object.name().to_owned() }
    }

    pub(super) fn cluster_scoped(name: &str) -> Self {
        Self { namespace: String::new(), name: name.to_owned() }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// One life of an object, at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    uid: String,
    resource_version: String,
}

impl Identity {
    pub(super) fn of(object: &Object) -> Self {
        Self { uid: object.uid().to_owned(), resource_version: object.resource_version().to_owned() }
    }

    pub(super) fn uid(&self) -> &str {
        &self.uid
    }

    pub(super) fn resource_version(&self) -> &str {
        &self.resource_version
    }

    /// Whether these are lives of two objects. Files may lack the uid, which then says nothing.
    pub(super) fn is_another_than(&self, other: &Self) -> bool {
        !self.uid.is_empty() && !other.uid.is_empty() && self.uid != other.uid
    }

    /// Whether this is an earlier version of the same object. Versions are compared as numbers, which they are on
    /// every API server backed by etcd (and by contract since Kubernetes 1.35); others are never older.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        let number = |identity: &Self| identity.resource_version.parse::<u128>().ok();
        match (number(self), number(other)) {
            (Some(this), Some(that)) => !self.is_another_than(other) && this < that,
            _ => false,
        }
    }
}

/// The newest version that was shown of any object of a kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Newest(BTreeMap<Kind, u128>);

impl Newest {
    /// Notes an object that was shown.
    pub(super) fn see(&mut self, kind: Kind, identity: &Identity) {
        if let Ok(version) = identity.resource_version.parse::<u128>() {
            let newest = self.0.entry(kind).or_default();
            *newest = version.max(*newest);
        }
    }

    /// Whether an object is newer than all that was shown of its kind.
    pub(super) fn is_before(&self, kind: Kind, identity: &Identity) -> bool {
        let version = identity.resource_version.parse::<u128>();
        version.is_ok_and(|version| self.0.get(&kind).is_none_or(|newest| *newest < version))
    }
}

/// FNV-1a, 64 bits. Written out because the value must never change: plans break ties with it.
pub(crate) fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
