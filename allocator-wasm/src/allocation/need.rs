//! How many addresses of a family an owner should hold in which zone.

use sluice_policy_sdk::Family;

use crate::allocation::sources::Sources;
use crate::ids::{OwnerId, ZoneId, count};
use crate::model::{Model, index_of};
use crate::settings::Settings;

/// What one owner should hold of one family.
#[derive(Debug, Default)]
pub(crate) struct Need {
    /// The zones that count, in order.
    pub(crate) zones: Vec<ZoneNeed>,
    /// Addresses held with no known home: any zone's.
    pub(crate) unknown: u32,
    /// Addresses in all.
    total: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ZoneNeed {
    pub(crate) zone: ZoneId,
    pub(crate) held: u32,
    /// Those of them, and of the addresses to come, that the owner asks for by name.
    pub(crate) named: u32,
    /// What it should be.
    pub(crate) quota: u32,
    /// Whether new addresses can come from it.
    pub(crate) open: bool,
}

/// An address that counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) zone: Option<ZoneId>,
    pub(crate) family: Family,
    pub(crate) named: bool,
    /// Held, or to be; if not, only a wish.
    pub(crate) held: bool,
}

impl Need {
    /// Counts what an owner has, and how many addresses it should have in all. Quotas come later.
    pub(crate) fn count(
        &mut self,
        (model, sources, settings): (&Model<'_>, &Sources, &Settings),
        owner: OwnerId,
        family: Family,
        addresses: impl Iterator<Item = Counted>,
    ) {
        let owner = &model.owners[owner];
        let pool = &model.pools[owner.pool];
        self.zones.clear();
        self.unknown = 0;
        self.zones.extend(pool.zones.iter().map(|&zone| {
            let open = sources.has(zone, family);
            ZoneNeed { zone, held: 0, named: 0, quota: 0, open }
        }));
        for counted in addresses.filter(|counted| counted.family == family) {
            let (held, named) = (u32::from(counted.held), u32::from(counted.named));
            let zone = self.zones.iter_mut().find(|need| Some(need.zone) == counted.zone);
            match zone {
                Some(zone) => {
                    zone.held += held;
                    zone.named += named;
                }
                None => self.unknown += held,
            }
        }
        let shared = !pool.input.ranges.is_empty();
        if !shared {
            // A zone that lost its ranges of this family counts as long as something is held there.
            self.zones.retain(|need| need.open || need.held > 0);
        }
        let zones = count(self.zones.len());
        let setting = settings.addresses_per_owner.map(std::num::NonZeroU32::get);
        self.total = match owner.input.wanted {
            Some(wanted) if shared => wanted,
            Some(wanted) => wanted.min(zones),
            None if shared => setting.unwrap_or(zones),
            None => zones,
        };
        if zones == 0 {
            self.total = 0;
        }
    }

    /// How many addresses the owner should hold in all.
    pub(crate) fn total(&self) -> u32 {
        self.total
    }

    /// Every zone's part, and how many zones get one more than that.
    pub(crate) fn even(&self) -> (u32, u32) {
        let zones = count(self.zones.len());
        (self.total.checked_div(zones).unwrap_or(0), self.total.checked_rem(zones).unwrap_or(0))
    }

    /// Distributes the total: evenly, and what does not divide to the zones where the owner has or wants
    /// more already, then to those that can serve it, then to those with the fewest addresses.
    pub(crate) fn set_quotas(&mut self, model: &Model<'_>, sources: &mut Sources, family: Family) {
        let (each, mut extra) = self.even();
        for need in &mut self.zones {
            need.quota = each;
        }
        while extra > 0 {
            let candidates = self.zones.iter_mut().filter(|need| need.quota == each);
            let best = candidates.min_by_key(|need| {
                let kept = need.held > each;
                let new = (!kept).then(|| {
                    let zone = &model.zones[need.zone];
                    let coming = zone.held + each.saturating_sub(need.held);
                    let full = coming >= zone.input.share.unwrap_or(u32::MAX);
                    let unable = full || sources.next(model, need.zone, family).is_none();
                    let no_node = model.classes[zone.reach].targets.is_empty();
                    (unable, no_node, zone.held_of.get(index_of(family)).copied())
                });
                (need.named <= each, new)
            });
            let Some(best) = best else { break };
            best.quota += 1;
            extra -= 1;
        }
    }
}
