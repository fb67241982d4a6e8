//! What is known of every single address that matters: who has it, and where it sits.

use sluice_policy_sdk::IpAddress;

use crate::ids::{AddressId, Id, NodeId, OwnerId, Table};

/// Who has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Nobody,
    /// Somebody who is not shown: never to be handed out.
    Stranger,
    /// It is allocated to the owner, by the snapshot or by the plan.
    Owner(OwnerId),
    /// The owner's request waits for it.
    Claimed(OwnerId),
}

/// Where an address sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) node: NodeId,
    /// A second node, where two carry it or it is on its way from one to the other.
    pub(crate) also: Option<NodeId>,
    /// Whether it is, or is to be, on `node`, and on `also`.
    pub(crate) stays: [bool; 2],
    /// One node carries it, and nothing is under way.
    pub(crate) settled: bool,
}

/// An entry of the book.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) address: IpAddress,
    pub(crate) holder: Holder,
    pub(crate) carried: Option<Carried>,
}

/// A hash table from addresses to what is known of them. The order of its entries is that of their insertion.
#[derive(Debug)]
pub(crate) struct Book {
    known: Table<AddressId, Known>,
    /// Open addressing with linear probing; a power of two in size, and at most half full.
    places: Vec<u32>,
}

const EMPTY: u32 = u32::MAX;

/// How many neighbouring addresses are neighbours here, too: those in one cache line.
const BLOCK: usize = 16;

/// From one try to the next: to another block, and, as it is odd, to all places in the end.
const STEP: usize = BLOCK + 1;

impl Default for Book {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl Book {
    pub(crate) fn with_capacity(addresses: usize) -> Self {
        let mut known = Table::new();
        known.reserve(addresses);
        Self { known, places: vec![EMPTY; (addresses.max(BLOCK) * 2).next_power_of_two()] }
    }

    pub(crate) fn find(&self, address: IpAddress) -> Option<AddressId> {
        self.probe(address).ok()
    }

    pub(crate) fn get(&self, address: IpAddress) -> Option<&Known> {
        self.find(address).map(|id| &self.known[id])
    }

    pub(crate) fn at(&self, id: AddressId) -> &Known {
        &self.known[id]
    }

    pub(crate) fn at_mut(&mut self, id: AddressId) -> &mut Known {
        &mut self.known[id]
    }

    /// The entry of an address, made if there is none.
    pub(crate) fn enter(&mut self, address: IpAddress) -> AddressId {
        let place = match self.probe(address) {
            Ok(id) => return id,
            Err(place) => place,
        };
        let id = self.known.push(Known { address, holder: Holder::Nobody, carried: None });
        if let Some(free) = self.places.get_mut(place) {
            *free = id.position();
        }
        if self.known.len() * 2 > self.places.len() {
            self.grow();
        }
        id
    }

    /// Nobody has it and no node carries it.
    pub(crate) fn is_free(&self, address: IpAddress) -> bool {
        let free = |known: &Known| known.holder == Holder::Nobody && known.carried.is_none();
        self.get(address).is_none_or(free)
    }

    /// Nobody has it, though a node may carry it.
    pub(crate) fn is_available(&self, address: IpAddress) -> bool {
        let settled = |known: &Known| known.carried.is_none_or(|carried| carried.settled);
        self.get(address).is_none_or(|known| known.holder == Holder::Nobody && settled(known))
    }

    /// The place of the entry, or the place for it.
    fn probe(&self, address: IpAddress) -> Result<AddressId, usize> {
        let mask = self.places.len() - 1;
        let mut place = place(address) & mask;
        loop {
            let Some(id) = self.places.get(place).and_then(|&id| self.known.check(id)) else {
                return Err(place);
            };
            if self.known[id].address == address {
                return Ok(id);
            }
            place = (place + STEP) & mask;
        }
    }

    fn grow(&mut self) {
        self.places = vec![EMPTY; self.places.len() * 2];
        for (id, known) in self.known.iter() {
            if let Err(place) = self.probe(known.address)
                && let Some(free) = self.places.get_mut(place)
            {
                *free = id.position();
            }
        }
    }
}

/// Spreads blocks of neighbouring addresses over the table.
#[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
fn place(address: IpAddress) -> usize {
    let (upper, lower) = match address {
        IpAddress::Ipv4(bits) => (0, u64::from(bits)),
        IpAddress::Ipv6((upper, lower)) => (upper.rotate_left(29) ^ 1, lower),
    };
    let block = BLOCK as u64;
    mix(upper ^ (lower / block)) as usize / BLOCK * BLOCK + (lower % block) as usize
}

/// A bijection that looks random (the finaliser of `SplitMix64`).
pub(crate) fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_again_while_the_book_grows() {
        let mut book = Book::with_capacity(0);
        let addresses = (0..1000).flat_map(|n| [IpAddress::Ipv4(n), IpAddress::Ipv6((0, n.into()))]);
        let entered: Vec<_> = addresses.map(|address| (address, book.enter(address))).collect();
        for (address, id) in entered {
            assert_eq!(book.find(address), Some(id));
            assert_eq!(book.at(id).address, address);
        }
        assert_eq!(book.find(IpAddress::Ipv4(1000)), None);
    }
}
