//! Names of things, each its own type, so that a node is never taken for a namespace.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $type {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $type {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Name of a pool: of one EgressIPAM object.
    PoolName
);
name!(
    /// Name of a zone: the label value of one range. Not unique within a pool.
    ZoneName
);
name!(
    /// Name of a node, which is also the name of its carrier.
    NodeName
);
name!(
    /// Name of an owner: of a namespace, which is also the name of its holding.
    OwnerName
);

macro_rules! index {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub u32);

        impl $type {
            /// The position as a slice index.
            pub fn position(self) -> usize {
                self.0 as usize
            }

            /// The index of a position; positions past `u32::MAX` do not occur in a snapshot.
            pub fn at(position: usize) -> Self {
                Self(u32::try_from(position).unwrap_or(u32::MAX))
            }
        }
    };
}

index!(
    /// Position in `Snapshot::pools`.
    PoolIndex
);
index!(
    /// Position in `Snapshot::zones`.
    ZoneIndex
);
index!(
    /// Position in `Snapshot::nodes`.
    NodeIndex
);
index!(
    /// Position in `Snapshot::owners`.
    OwnerIndex
);
