//! Allocation: which address an owner holds, gets or gives up. Nodes do not matter here.

mod need;
mod requests;
pub(crate) mod sources;
mod spans;

use std::ops::Range;

use sluice_policy_sdk::{Family, Hold, HoldCode, IpAddress, Reason};

use crate::allocation::need::{Counted, Need};
use crate::allocation::requests::Answer;
use crate::allocation::sources::Sources;
use crate::book::Holder;
use crate::ids::{AddressId, Id, OwnerId, SlotId, Table, ZoneId};
use crate::model::Model;
use crate::settings::Settings;
use crate::slot::Slot;

/// Decides who holds what.
pub(crate) struct Allocator<'m, 'a> {
    pub(crate) model: &'m mut Model<'a>,
    pub(crate) settings: &'m Settings,
    pub(crate) sources: Sources,
    pub(crate) budget: u32,
    pub(crate) holds: Vec<Hold>,
    /// The answers to requests, in the order of the owners.
    pub(crate) answers: Vec<(OwnerId, Answer)>,
}

/// What was decided.
pub(crate) struct Allocated {
    /// One owner's after the other's; of an owner by zone and address.
    pub(crate) slots: Table<SlotId, Slot>,
    pub(crate) by_owner: Table<OwnerId, Range<SlotId>>,
    pub(crate) budget: u32,
    pub(crate) holds: Vec<Hold>,
}

/// Buffers that serve one owner after the other.
#[derive(Default)]
struct Scratch {
    mine: Vec<Slot>,
    need: Need,
}

impl<'m, 'a> Allocator<'m, 'a> {
    pub(crate) fn new(model: &'m mut Model<'a>, settings: &'m Settings, budget: u32) -> Self {
        let sources = Sources::new(model);
        Self { model, settings, sources, budget, holds: Vec::new(), answers: Vec::new() }
    }

    pub(crate) fn allocate(mut self) -> Allocated {
        self.answer_requests();
        let mut answers = std::mem::take(&mut self.answers).into_iter().peekable();
        let mut slots = Table::new();
        slots.reserve(self.model.expected(self.model.snapshot));
        let mut by_owner = Table::new();
        let mut scratch = Scratch::default();
        for owner in self.model.owners.ids() {
            let answer = answers.next_if(|(asking, _)| *asking == owner).map(|(_, answer)| answer);
            self.serve(owner, answer.as_ref(), &mut scratch);
            let start = slots.next_id();
            scratch.mine.drain(..).for_each(|slot| {
                slots.push(slot);
            });
            by_owner.push(start..slots.next_id());
        }
        Allocated { slots, by_owner, budget: self.budget, holds: self.holds }
    }

    fn serve(&mut self, owner: OwnerId, answer: Option<&Answer>, scratch: &mut Scratch) {
        let Scratch { mine, need } = scratch;
        self.take_stock(owner, answer, mine);
        if !matches!(answer, Some(Answer::Refused)) {
            let pool = self.model.owners[owner].pool;
            for family in Family::ALL {
                if !self.sources.serve(pool, family) && mine.iter().all(|slot| slot.family != family) {
                    continue;
                }
                self.serve_family(owner, family, mine, need);
            }
        }
        if !mine.is_sorted_by_key(|slot| (slot.zone.is_none(), slot.zone, slot.address)) {
            mine.sort_unstable_by_key(|slot| (slot.zone.is_none(), slot.zone, slot.address));
        }
    }

    /// Makes slots of what the owner holds, and of what it was granted.
    fn take_stock(&mut self, owner: OwnerId, answer: Option<&Answer>, mine: &mut Vec<Slot>) {
        mine.extend(self.model.held(owner).iter().map(|held| {
            let mut slot = Slot::new(owner, held.zone, held.id, held.address);
            slot.duplicate = held.duplicate;
            slot
        }));
        if let Some(Answer::Granted { fresh, given_up }) = answer {
            for slot in mine.iter_mut().filter(|slot| given_up.contains(&slot.id)) {
                slot.released = Some(Reason::Requested);
            }
            for &(address, zone) in fresh {
                let id = self.model.book.enter(address);
                let mut slot = Slot::new(owner, Some(zone), id, address);
                slot.fresh = Some(Reason::Requested);
                mine.push(slot);
            }
        }
    }

    fn serve_family(&mut self, owner: OwnerId, family: Family, mine: &mut Vec<Slot>, need: &mut Need) {
        let requested = &self.model.owners[owner].input.requested;
        let addresses = mine.iter().filter(|slot| slot.released.is_none()).map(|slot| Counted {
            zone: slot.zone,
            family: slot.family,
            named: requested.contains(&slot.address),
            held: true,
        });
        need.count((self.model, &self.sources, self.settings), owner, family, addresses);
        need.set_quotas(self.model, &mut self.sources, family);
        // Addresses of unknown home stand in for the last zones that lack one.
        let missing = |need: &Need| need.zones.iter().map(|z| z.quota.saturating_sub(z.held)).sum::<u32>();
        let mut stand_ins = need.unknown.min(missing(need));
        mark_surplus(mine, family, None, need.unknown - stand_ins, requested);
        for zone in need.zones.iter_mut().rev() {
            let covered = zone.quota.saturating_sub(zone.held).min(stand_ins);
            zone.held += covered;
            stand_ins -= covered;
        }
        for zone in &need.zones {
            if zone.held > zone.quota {
                mark_surplus(mine, family, Some(zone.zone), zone.held - zone.quota, requested);
            } else if zone.open {
                self.fill(owner, family, zone.zone, zone.quota - zone.held, mine);
            }
        }
    }

    /// Allocates what is missing in a zone.
    fn fill(&mut self, owner: OwnerId, family: Family, zone: ZoneId, missing: u32, mine: &mut Vec<Slot>) {
        for _ in 0..missing {
            let limits = &self.model.zones[zone];
            let address = if limits.held >= limits.input.share.unwrap_or(u32::MAX) {
                Err(HoldCode::Share)
            } else {
                self.sources.next(self.model, zone, family).ok_or(HoldCode::Exhausted)
            };
            match address {
                Ok(address) => {
                    let id = self.take(owner, zone, address);
                    let mut slot = Slot::new(owner, Some(zone), id, address);
                    slot.fresh = Some(Reason::Wanted);
                    mine.push(slot);
                }
                Err(code) => {
                    let owner = self.model.owners[owner].index;
                    let zone = Some(zone.position());
                    self.holds.push(Hold { owner, zone, code, text: String::new() });
                    return;
                }
            }
        }
    }

    fn take(&mut self, owner: OwnerId, zone: ZoneId, address: IpAddress) -> AddressId {
        let id = self.model.book.enter(address);
        self.model.book.at_mut(id).holder = Holder::Owner(owner);
        self.model.count(zone, address.family());
        id
    }
}

/// Marks the last addresses of a zone that the owner does not ask for.
fn mark_surplus(mine: &mut [Slot], family: Family, zone: Option<ZoneId>, number: u32, requested: &[IpAddress]) {
    if number == 0 {
        return;
    }
    let going = mine.iter_mut().rev().filter(|slot| {
        slot.zone == zone
            && slot.family == family
            && slot.fresh.is_none()
            && slot.released.is_none()
            && !slot.duplicate
            && !requested.contains(&slot.address)
    });
    going.take(number as usize).for_each(|slot| slot.surplus = true);
}
