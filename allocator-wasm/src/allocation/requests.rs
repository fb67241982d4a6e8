//! Requests: addresses that owners ask for by name. All of a request is granted, or nothing.

use sluice_policy_sdk::{Family, Hold, HoldCode, IpAddress};

use crate::allocation::Allocator;
use crate::allocation::need::{Counted, Need};
use crate::book::Holder;
use crate::ids::{AddressId, OwnerId, ZoneId, count};

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// These addresses come, with these homes, and those go.
    Granted { fresh: Vec<(IpAddress, ZoneId)>, given_up: Vec<AddressId> },
    /// The owner keeps what it holds, and gets nothing new.
    Refused,
}

struct Refusal(HoldCode, String);

/// A request on its way through the checks.
struct Request {
    owner: OwnerId,
    /// What is asked for and not held yet, by address, with its home.
    fresh: Vec<(IpAddress, ZoneId)>,
    given_up: Vec<AddressId>,
}

impl Allocator<'_, '_> {
    /// Answers the requests in the order of the owners' names.
    pub(crate) fn answer_requests(&mut self) {
        for owner in self.model.owners.ids() {
            if self.model.owners[owner].input.requested.is_empty() {
                continue;
            }
            let answer = self.judge(owner).unwrap_or_else(|Refusal(code, text)| {
                let owner = self.model.owners[owner].index;
                self.holds.push(Hold { owner, zone: None, code, text });
                Answer::Refused
            });
            self.answers.push((owner, answer));
        }
    }

    fn judge(&mut self, owner: OwnerId) -> Result<Answer, Refusal> {
        let mut wishes = self.model.owners[owner].input.requested.clone();
        wishes.sort_unstable();
        wishes.dedup();
        wishes.retain(|wish| !self.model.held(owner).iter().any(|held| held.address == *wish));
        let mut request = Request { owner, fresh: Vec::new(), given_up: Vec::new() };
        if !wishes.is_empty() {
            for family in Family::ALL {
                self.find_homes(&mut request, family, &wishes)?;
            }
            self.check_free(&request)?;
            // From here on the request can only be late: others have to leave its addresses alone.
            self.set_holder(&request, Holder::Claimed(owner));
            for family in Family::ALL {
                self.find_given_up(&mut request, family)?;
            }
            self.check_shares(&request)?;
            self.pay(&request)?;
            self.record(&request);
        }
        Ok(Answer::Granted { fresh: request.fresh, given_up: request.given_up })
    }

    /// Gives every address the zone it lies in, or for ranges of the pool the zone it fits best.
    fn find_homes(&mut self, request: &mut Request, family: Family, wishes: &[IpAddress]) -> Result<(), Refusal> {
        let wishes: Vec<_> = wishes.iter().copied().filter(|w| w.family() == family).collect();
        if wishes.is_empty() {
            return Ok(());
        }
        let mut need = Need::default();
        self.count_need(&mut need, request.owner, family, &request.fresh);
        let pool = &self.model.pools[self.model.owners[request.owner].pool];
        for wish in &wishes {
            if !pool.zones.iter().any(|zone| self.sources.contains(*zone, *wish)) {
                return Err(invalid(format!("{wish} is not in the pool, or reserved")));
            }
        }
        let named: u32 = need.zones.iter().map(|zone| zone.named).sum();
        if named.saturating_add(count(wishes.len())) > need.total() {
            let total = need.total();
            return Err(invalid(format!("more than the {total} addresses that the owner gets")));
        }
        let shared = !pool.input.ranges.is_empty();
        let (each, mut extra) = if shared { need.even() } else { (1, 0) };
        let more = need.zones.iter().filter(|zone| zone.named > each).count();
        extra = extra.saturating_sub(count(more));
        let mut homeless = Vec::new();
        for own_share in [true, false] {
            let open: Vec<_> = if own_share { wishes.clone() } else { std::mem::take(&mut homeless) };
            for wish in open {
                let fits = |zone: ZoneId| !own_share || self.sources.contains(zone, wish);
                let most = each + u32::from(extra > 0);
                let zones = need.zones.iter_mut().filter(|need| fits(need.zone));
                let free = zones.filter(|need| need.named < most).min_by_key(|need| need.named);
                match free {
                    Some(zone) => {
                        extra -= u32::from(zone.named == each);
                        zone.named += 1;
                        request.fresh.push((wish, zone.zone));
                    }
                    None if own_share && shared => homeless.push(wish),
                    None => return Err(invalid(format!("{wish} is one too many for its zone"))),
                }
            }
        }
        Ok(())
    }

    fn check_free(&self, request: &Request) -> Result<(), Refusal> {
        let mut under_way = None;
        for &(address, _) in &request.fresh {
            let Some(known) = self.model.book.get(address) else { continue };
            let by = match known.holder {
                Holder::Nobody => None,
                Holder::Stranger => Some("somebody else"),
                Holder::Owner(other) | Holder::Claimed(other) => Some(self.model.owners[other].input.name.as_str()),
            };
            if let Some(by) = by {
                let text = format!("{address} belongs to {by}");
                return Err(Refusal(HoldCode::RequestTaken, text));
            }
            if known.carried.is_some_and(|carried| !carried.settled) {
                under_way = Some(address);
            }
        }
        under_way.map_or(Ok(()), |address| Err(in_flight(address)))
    }

    /// Chooses what the owner gives up for what it asks for: of the same zones first.
    fn find_given_up(&mut self, request: &mut Request, family: Family) -> Result<(), Refusal> {
        let mut due = count(request.fresh.iter().filter(|(a, _)| a.family() == family).count());
        if due == 0 {
            return Ok(());
        }
        let mut need = Need::default();
        self.count_need(&mut need, request.owner, family, &request.fresh);
        need.set_quotas(self.model, &mut self.sources, family);
        let fresh = |zone| request.fresh.iter().filter(|f| f.0.family() == family && f.1 == zone).count();
        let mut excess: Vec<(Option<ZoneId>, u32, u32)> = Vec::new();
        let mut missing = 0;
        for zone in &need.zones {
            let fresh = count(fresh(zone.zone));
            let after = zone.held + fresh;
            missing += zone.quota.saturating_sub(after);
            excess.push((Some(zone.zone), fresh, after.saturating_sub(zone.quota)));
        }
        excess.push((None, 0, need.unknown.saturating_sub(missing)));
        // First where the new ones are, as many as those; then from the last zone.
        let named = excess.iter().map(|&(zone, fresh, excess)| (zone, excess.min(fresh)));
        let others = excess.iter().rev().map(|&(zone, fresh, excess)| (zone, excess.saturating_sub(fresh)));
        for (zone, number) in named.chain(others) {
            let going = self.expendable(request.owner, family, zone, number.min(due));
            due -= count(going.len());
            for (id, address) in going {
                if self.model.book.at(id).carried.is_some_and(|carried| !carried.settled) {
                    return Err(in_flight(address));
                }
                request.given_up.push(id);
            }
        }
        Ok(())
    }

    /// The last addresses of a zone that the owner does not ask for.
    fn expendable(
        &self,
        owner: OwnerId,
        family: Family,
        zone: Option<ZoneId>,
        number: u32,
    ) -> Vec<(AddressId, IpAddress)> {
        let requested = &self.model.owners[owner].input.requested;
        let held = self.model.held(owner).iter().rev();
        held.filter(|held| held.zone == zone && held.address.family() == family && !held.duplicate)
            .filter(|held| !requested.contains(&held.address))
            .take(number as usize)
            .map(|held| (held.id, held.address))
            .collect()
    }

    fn check_shares(&self, request: &Request) -> Result<(), Refusal> {
        for &(_, zone) in &request.fresh {
            let coming = count(request.fresh.iter().filter(|fresh| fresh.1 == zone).count());
            let held = self.model.held(request.owner).iter().filter(|held| held.zone == Some(zone));
            let going = count(held.filter(|held| request.given_up.contains(&held.id)).count());
            let zone = &self.model.zones[zone];
            let limit = zone.input.share.unwrap_or(u32::MAX);
            if coming > going && zone.held + coming - going > limit {
                let text = format!("zone {} has {limit} addresses for all owners", zone.input.name);
                return Err(Refusal(HoldCode::Share, text));
            }
        }
        Ok(())
    }

    fn pay(&mut self, request: &Request) -> Result<(), Refusal> {
        let releases = count(request.given_up.len());
        let Some(rest) = self.budget.checked_sub(releases) else {
            let text = format!("{releases} to release for it, and the budget has {}", self.budget);
            return Err(Refusal(HoldCode::Budget, text));
        };
        self.budget = rest;
        Ok(())
    }

    fn record(&mut self, request: &Request) {
        self.set_holder(request, Holder::Owner(request.owner));
        for &(address, zone) in &request.fresh {
            self.model.count(zone, address.family());
        }
        let held = self.model.held(request.owner).iter();
        let going: Vec<_> = held.filter(|held| request.given_up.contains(&held.id)).copied().collect();
        for held in going {
            if let Some(zone) = held.zone {
                self.model.discount(zone, held.address.family());
            }
        }
    }

    fn set_holder(&mut self, request: &Request, holder: Holder) {
        for &(address, _) in &request.fresh {
            let id = self.model.book.enter(address);
            self.model.book.at_mut(id).holder = holder;
        }
    }

    /// Counts what an owner holds, and the part of a request that is not held yet as named only.
    fn count_need(&self, need: &mut Need, owner: OwnerId, family: Family, fresh: &[(IpAddress, ZoneId)]) {
        let requested = &self.model.owners[owner].input.requested;
        let held = self.model.held(owner).iter().map(|held| Counted {
            zone: held.zone,
            family: held.address.family(),
            named: requested.contains(&held.address),
            held: true,
        });
        let fresh = fresh.iter().map(|(address, zone)| Counted {
            zone: Some(*zone),
            family: address.family(),
            named: true,
            held: false,
        });
        need.count((self.model, &self.sources, self.settings), owner, family, held.chain(fresh));
    }
}

fn invalid(text: String) -> Refusal {
    Refusal(HoldCode::RequestInvalid, text)
}

fn in_flight(address: IpAddress) -> Refusal {
    Refusal(HoldCode::InFlight, format!("{address} is under way"))
}
