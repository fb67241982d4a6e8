//! Where new addresses come from: for each zone its own ranges, or its share of the pool's.

use sluice_policy_sdk::{Cidr, Family, IpAddress};

use crate::allocation::spans::{Spans, Walk};
use crate::book::Book;
use crate::ids::{PoolId, Table, ZoneId, count};
use crate::model::{Model, index_of};

/// The addresses that each zone may hand out.
pub(crate) struct Sources {
    zones: Table<ZoneId, [Option<Source>; 2]>,
    /// Which families the pools have.
    families: Table<PoolId, [bool; 2]>,
}

struct Source {
    spans: Spans,
    /// The way through addresses that are free.
    fresh: Walk,
    /// The way through addresses that nobody holds, but a node may still carry.
    stale: Walk,
}

impl Sources {
    pub(crate) fn new(model: &Model<'_>) -> Self {
        let mut zones: Vec<[Option<Source>; 2]> = Vec::new();
        zones.resize_with(model.zones.len(), || [None, None]);
        let mut sources = Self { zones: zones.into(), families: model.pools.parallel([false; 2]) };
        for pool in model.pools.ids() {
            for family in Family::ALL {
                sources.add(model, pool, family);
            }
        }
        sources
    }

    fn add(&mut self, model: &Model<'_>, id: PoolId, family: Family) {
        let pool = &model.pools[id];
        let reserved = &Spans::union(&pool.input.reserved, family);
        let has = |ranges: &[Cidr]| ranges.iter().any(|range| range.family() == family);
        if has(&pool.input.ranges) {
            let usable = Spans::usable(&pool.input.ranges, reserved, family);
            for (&zone, share) in pool.zones.iter().zip(usable.split(count(pool.zones.len()))) {
                self.set(id, zone, family, share);
            }
        } else if pool.input.ranges.is_empty() {
            for &zone in &pool.zones {
                let ranges = &model.zones[zone].input.ranges;
                if has(ranges) {
                    self.set(id, zone, family, Spans::usable(ranges, reserved, family));
                }
            }
        }
    }

    fn set(&mut self, pool: PoolId, zone: ZoneId, family: Family, spans: Spans) {
        let source = Source { fresh: spans.walk(), stale: spans.walk(), spans };
        if let Some(slot) = self.zones[zone].get_mut(index_of(family)) {
            *slot = Some(source);
        }
        if let Some(has) = self.families[pool].get_mut(index_of(family)) {
            *has = true;
        }
    }

    fn get(&self, zone: ZoneId, family: Family) -> Option<&Source> {
        self.zones[zone].get(index_of(family)).and_then(Option::as_ref)
    }

    fn get_mut(&mut self, zone: ZoneId, family: Family) -> Option<&mut Source> {
        self.zones[zone].get_mut(index_of(family)).and_then(Option::as_mut)
    }

    /// Whether the pool has addresses of the family at all.
    pub(crate) fn serve(&self, pool: PoolId, family: Family) -> bool {
        self.families[pool].get(index_of(family)).copied().unwrap_or(false)
    }

    /// Whether new addresses of the family are meant to come from the zone.
    pub(crate) fn has(&self, zone: ZoneId, family: Family) -> bool {
        self.get(zone, family).is_some()
    }

    /// Whether the address is one of the zone's own, or of its share.
    pub(crate) fn contains(&self, zone: ZoneId, address: IpAddress) -> bool {
        let source = self.get(zone, address.family());
        source.is_some_and(|source| source.spans.contains(address.number()))
    }

    /// The address that the zone hands out next: the lowest free one, of its own share first and then of
    /// the others; if none is free, one that a node carries for nobody.
    pub(crate) fn next(&mut self, model: &Model<'_>, zone: ZoneId, family: Family) -> Option<IpAddress> {
        let pool = &model.pools[model.zones[zone].pool];
        let zones: &[ZoneId] = if pool.input.ranges.is_empty() { &[zone] } else { &pool.zones };
        let own = zones.iter().position(|other| *other == zone).unwrap_or(0);
        let (before, from) = zones.split_at(own);
        let mut passes = [false, true].into_iter();
        passes.find_map(|stale| {
            from.iter().chain(before).find_map(|lender| {
                let source = self.get_mut(*lender, family)?;
                source.next(&model.book, family, stale)
            })
        })
    }
}

impl Source {
    fn next(&mut self, book: &Book, family: Family, stale: bool) -> Option<IpAddress> {
        let address = |number| IpAddress::from_number(family, number);
        let number = if stale {
            self.stale.first(|number| address(number).is_some_and(|a| book.is_available(a)))
        } else {
            self.fresh.first(|number| address(number).is_some_and(|a| book.is_free(a)))
        };
        number.and_then(address)
    }
}
