//! Ids, and dense tables that they index. An id of one table cannot be used for another.

use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut, Range};

/// A position in a [`Table`].
pub(crate) trait Id: Copy {
    fn new(position: u32) -> Self;
    fn position(self) -> u32;
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $name(NonZeroU32);

        impl Id for $name {
            fn new(position: u32) -> Self {
                // Zero stands for none, so that an optional id takes no more space.
                Self(NonZeroU32::MIN.saturating_add(position))
            }

            fn position(self) -> u32 {
                self.0.get() - 1
            }
        }
    )* };
}

ids! {
    /// A pool: its index in the snapshot.
    PoolId
    /// A zone: its index in the snapshot.
    ZoneId
    /// A node: its index in the snapshot.
    NodeId
    /// An owner: its rank by name, whatever the snapshot's order.
    OwnerId
    /// An address that the snapshot or the plan mentions.
    AddressId
    /// A set of nodes that serve the same addresses.
    ClassId
    /// An address that an owner holds or gets.
    SlotId
}

/// A list whose positions are ids.
///
/// Ids come from [`Table::push`], [`Table::ids`] and [`Table::check`] alone, tables never shrink, and
/// tables with the same ids have the same length: every id is inside.
#[derive(Debug)]
pub(crate) struct Table<I, T> {
    items: Vec<T>,
    ids: PhantomData<fn(I)>,
}

impl<I: Id, T> Table<I, T> {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn reserve(&mut self, items: usize) {
        self.items.reserve(items);
    }

    pub(crate) fn push(&mut self, item: T) -> I {
        let id = self.next_id();
        self.items.push(item);
        id
    }

    /// The id that the next item will have.
    pub(crate) fn next_id(&self) -> I {
        I::new(count(self.items.len()))
    }

    /// The id for an index of unknown origin, if it is inside.
    pub(crate) fn check(&self, index: u32) -> Option<I> {
        (index < count(self.items.len())).then(|| I::new(index))
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn ids(&self) -> impl DoubleEndedIterator<Item = I> + use<I, T> {
        ids(I::new(0)..self.next_id())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (I, &T)> {
        self.ids().zip(&self.items)
    }

    /// A table for the same ids.
    pub(crate) fn parallel<U: Clone>(&self, item: U) -> Table<I, U> {
        vec![item; self.items.len()].into()
    }
}

impl<I, T> Default for Table<I, T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<I, T> From<Vec<T>> for Table<I, T> {
    fn from(items: Vec<T>) -> Self {
        Self { items, ids: PhantomData }
    }
}

impl<I: Id, T> Index<I> for Table<I, T> {
    type Output = T;

    #[expect(clippy::indexing_slicing, reason = "every id is inside its table")]
    fn index(&self, id: I) -> &T {
        &self.items[id.position() as usize]
    }
}

impl<I: Id, T> IndexMut<I> for Table<I, T> {
    #[expect(clippy::indexing_slicing, reason = "every id is inside its table")]
    fn index_mut(&mut self, id: I) -> &mut T {
        &mut self.items[id.position() as usize]
    }
}

/// All ids of a range.
pub(crate) fn ids<I: Id>(range: Range<I>) -> impl DoubleEndedIterator<Item = I> {
    (range.start.position()..range.end.position()).map(I::new)
}

/// A length as a number of ids. No list of a 32-bit policy is longer.
pub(crate) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
