//! Arithmetic on ranges: what is reserved by custom, and what an older pool takes away.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::name::{PoolIndex, PoolName};
use crate::observed::{Observed, PoolFacts};
use crate::snapshot::Snapshot;

/// Network and broadcast address and the first host, which is the gateway by custom (R5). Ranges of one or two
/// addresses have none of these.
pub(crate) fn customary_reserved(range: IpNet) -> Vec<IpNet> {
    match range {
        IpNet::V4(net) if net.prefix_len() < 31 => {
            let first = u32::from(net.network());
            [first, first + 1, u32::from(net.broadcast())]
                .iter()
                .map(|&a| IpNet::V4(Ipv4Net::from(std::net::Ipv4Addr::from(a))))
                .collect()
        }
        IpNet::V6(net) if net.prefix_len() < 127 => {
            let first = u128::from(net.network());
            [first, first + 1].iter().map(|&a| IpNet::from(IpAddr::from(std::net::Ipv6Addr::from(a)))).collect()
        }
        IpNet::V4(_) | IpNet::V6(_) => Vec::new(),
    }
}

/// The addresses that two ranges have in common: one of two networks contains the other, or there are none.
pub(crate) fn common(one: IpNet, other: IpNet) -> Option<IpNet> {
    if one.contains(&other) { Some(other) } else { Some(one).filter(|_| other.contains(&one)) }
}

/// How many addresses a range has.
pub(crate) fn addresses(range: IpNet) -> u128 {
    1u128.checked_shl(u32::from(range.max_prefix_len() - range.prefix_len())).unwrap_or(u128::MAX)
}

/// `ranges` without the addresses of `hole`.
pub(crate) fn subtract(ranges: &[IpNet], hole: IpNet) -> Vec<IpNet> {
    let mut rest = Vec::new();
    let mut pending: Vec<IpNet> = ranges.to_vec();
    while let Some(range) = pending.pop() {
        if hole.contains(&range) {
            continue;
        }
        if !range.contains(&hole) {
            rest.push(range);
            continue;
        }
        // The range is larger than the hole, so it has two halves.
        if let Ok(halves) = range.subnets(range.prefix_len() + 1) {
            pending.extend(halves);
        }
    }
    rest.sort();
    rest
}

/// The pool that may hand out an address now.
pub(crate) fn spec_pool_of(snapshot: &Snapshot, address: IpAddr) -> Option<PoolIndex> {
    let inside = |ranges: &[IpNet]| ranges.iter().any(|range| range.contains(&address));
    let by_zone = snapshot.zones.iter().find(|zone| inside(&zone.ranges)).map(|zone| zone.pool);
    by_zone.or_else(|| snapshot.pools.iter().position(|pool| inside(&pool.ranges)).map(PoolIndex::at))
}

/// Of two pools, whether the first owns what both claim: the older one, then the one that sorts first (R6).
pub(crate) fn precedes(a: (&PoolName, &PoolFacts), b: (&PoolName, &PoolFacts)) -> bool {
    (a.1.created, a.0) < (b.1.created, b.0)
}

/// All ranges that are or were some pool's to give, deleted pools included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Territory {
    /// Without overlaps, by their first address: there may be hundreds, and every address is looked up.
    ranges: Vec<IpNet>,
}

impl Territory {
    /// The territory of all pools.
    pub(crate) fn of(observed: &Observed) -> Self {
        let all: Vec<IpNet> = observed.pools.values().flat_map(|facts| facts.spec.ranges()).collect();
        let mut ranges = IpNet::aggregate(&all);
        ranges.sort_by_key(IpNet::network);
        Self { ranges }
    }

    /// Whether an address is inside some pool.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let begun = self.ranges.partition_point(|range| range.network() <= address);
        let last = begun.checked_sub(1).and_then(|at| self.ranges.get(at));
        last.is_some_and(|range| range.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn subtracting_splits_the_range_around_the_hole() {
        let rest = subtract(&nets(&["10.0.0.0/29"]), "10.0.0.2/31".parse().unwrap());
        assert_eq!(rest, nets(&["10.0.0.0/31", "10.0.0.4/30"]));
    }

    #[test]
    fn subtracting_a_larger_hole_leaves_nothing() {
        assert_eq!(subtract(&nets(&["10.0.0.0/29"]), "10.0.0.0/8".parse().unwrap()), Vec::new());
    }

    #[test]
    fn subtracting_elsewhere_changes_nothing() {
        assert_eq!(subtract(&nets(&["10.0.0.0/29"]), "10.1.0.0/16".parse().unwrap()), nets(&["10.0.0.0/29"]));
    }

    #[test]
    fn tiny_ranges_reserve_nothing_by_custom() {
        assert_eq!(customary_reserved("10.0.0.7/32".parse().unwrap()), Vec::new());
        assert_eq!(customary_reserved("10.0.0.6/31".parse().unwrap()), Vec::new());
        assert_eq!(
            customary_reserved("10.0.0.4/30".parse().unwrap()),
            nets(&["10.0.0.4/32", "10.0.0.5/32", "10.0.0.7/32"])
        );
    }
}
