//! Sets of addresses of one family, as disjoint spans of numbers in ascending order.

use sluice_policy_sdk::{Cidr, Family};

/// Numbers from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    first: u128,
    last: u128,
}

/// Spans in ascending order, with gaps between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spans(Vec<Span>);

impl Spans {
    /// What can be handed out: the ranges without what is reserved. A pool may reserve much and have many zones, so the
    /// work for each must not grow with all that is reserved.
    pub(crate) fn usable(ranges: &[Cidr], reserved: &Self, family: Family) -> Self {
        let mut usable = Self(Vec::new());
        for mut span in Self::union(ranges, family).0 {
            let mut left = true;
            let before = reserved.0.partition_point(|hole| hole.last < span.first);
            for hole in reserved.0.iter().skip(before) {
                if hole.first > span.last {
                    break;
                }
                if hole.first > span.first {
                    usable.0.push(Span { first: span.first, last: hole.first - 1 });
                }
                if hole.last >= span.last {
                    left = false;
                    break;
                }
                span.first = hole.last + 1;
            }
            if left {
                usable.0.push(span);
            }
        }
        usable
    }

    /// All addresses of the family in the ranges.
    pub(crate) fn union(ranges: &[Cidr], family: Family) -> Self {
        let of_family = ranges.iter().filter(|range| range.family() == family);
        let mut spans: Vec<Span> = of_family.map(|r| Span { first: r.first(), last: r.last() }).collect();
        spans.sort_unstable();
        let mut union: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match union.last_mut() {
                Some(before) if span.first <= before.last.saturating_add(1) => {
                    before.last = before.last.max(span.last);
                }
                _ => union.push(span),
            }
        }
        Self(union)
    }

    pub(crate) fn contains(&self, number: u128) -> bool {
        let after = self.0.partition_point(|span| span.last < number);
        self.0.get(after).is_some_and(|span| span.first <= number)
    }

    /// Contiguous parts of equal size, the first ones greater by one where it does not divide evenly.
    pub(crate) fn split(&self, parts: u32) -> Vec<Self> {
        let size = |span: &Span| (span.last - span.first).saturating_add(1);
        let total = self.0.iter().map(size).fold(0, u128::saturating_add);
        let each = total.checked_div(u128::from(parts)).unwrap_or(0);
        let mut greater = total.checked_rem(u128::from(parts)).unwrap_or(0);
        let mut spans = self.0.iter().copied();
        let mut rest = spans.next();
        let mut split = Vec::new();
        for _ in 0..parts {
            let mut missing = each + u128::from(greater > 0);
            greater = greater.saturating_sub(1);
            let mut part = Vec::new();
            while let Some(span) = rest.filter(|_| missing > 0) {
                let taken = size(&span).min(missing);
                part.push(Span { first: span.first, last: span.first + (taken - 1) });
                missing -= taken;
                rest = if taken == size(&span) {
                    spans.next()
                } else {
                    Some(Span { first: span.first + taken, last: span.last })
                };
            }
            split.push(Self(part));
        }
        split
    }

    /// A walk over all numbers, lowest first.
    pub(crate) fn walk(&self) -> Walk {
        Walk { spans: self.clone(), span: 0, next: self.0.first().map_or(0, |span| span.first) }
    }
}

/// A place in spans that only moves forward.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    spans: Spans,
    span: usize,
    next: u128,
}

impl Walk {
    /// The first number from here on that is free. It stays there to be found again.
    pub(crate) fn first(&mut self, free: impl Fn(u128) -> bool) -> Option<u128> {
        while let Some(span) = self.spans.0.get(self.span) {
            if free(self.next) {
                return Some(self.next);
            }
            if self.next < span.last {
                self.next += 1;
            } else {
                self.span += 1;
                self.next = self.spans.0.get(self.span).map_or(0, |span| span.first);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usable(ranges: &[&str], reserved: &[&str], family: Family) -> Spans {
        let parse = |texts: &[&str]| -> Vec<Cidr> { texts.iter().map(|t| t.parse().unwrap()).collect() };
        Spans::usable(&parse(ranges), &Spans::union(&parse(reserved), family), family)
    }

    fn numbers(spans: &Spans) -> Vec<u128> {
        spans.0.iter().flat_map(|span| span.first..=span.last).map(|n| n & 0xff).collect()
    }

    #[test]
    fn reserved_addresses_are_left_out() {
        let spans = usable(&["10.0.0.0/29"], &["10.0.0.0/32", "10.0.0.4/31", "10.0.0.7/32"], Family::V4);
        assert_eq!(numbers(&spans), [1, 2, 3, 6]);
        assert!(spans.contains(0x0a00_0003) && !spans.contains(0x0a00_0004));
        assert!(usable(&["10.0.0.0/29"], &["10.0.0.0/8"], Family::V4).0.is_empty());
        assert!(usable(&["10.0.0.0/29"], &[], Family::V6).0.is_empty());
    }

    #[test]
    fn overlapping_ranges_count_once() {
        let spans = usable(&["10.0.0.4/30", "10.0.0.0/29", "10.0.0.8/31"], &[], Family::V4);
        assert_eq!(numbers(&spans), (0..10).collect::<Vec<_>>());
        assert_eq!(spans.0.len(), 1);
    }

    #[test]
    fn shares_partition_what_is_usable() {
        let spans = usable(&["10.0.0.0/24"], &["10.0.0.0/32", "10.0.0.255/32"], Family::V4);
        let shares = spans.split(3);
        assert_eq!(shares.iter().map(|s| numbers(s).len()).collect::<Vec<_>>(), [85, 85, 84]);
        let all: Vec<_> = shares.iter().flat_map(numbers).collect();
        assert_eq!(all, (1..255).collect::<Vec<_>>());
    }

    #[test]
    fn few_addresses_and_very_many() {
        let shares = usable(&["10.0.0.0/31"], &[], Family::V4).split(3);
        assert_eq!(shares.iter().map(|s| numbers(s).len()).collect::<Vec<_>>(), [1, 1, 0]);
        let shares = usable(&["::/0"], &[], Family::V6).split(2);
        assert_eq!(shares[1].0[0].last, u128::MAX - 1, "the last of 2^128 is beyond counting");
        assert!(usable(&["10.0.0.0/24"], &[], Family::V4).split(0).is_empty());
    }

    #[test]
    fn a_walk_finds_the_lowest_free_number() {
        let mut walk = usable(&["10.0.0.0/31", "10.0.0.8/31"], &[], Family::V4).walk();
        assert_eq!(walk.first(|n| n & 0xff > 0), Some(0x0a00_0001));
        assert_eq!(walk.first(|n| n & 0xff > 1), Some(0x0a00_0008));
        assert_eq!(walk.first(|n| n & 0xff > 9), None);
        assert_eq!(walk.first(|_| true), None);
    }
}
