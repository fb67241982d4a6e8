//! Which zones' addresses may sit in the pool's other zones (R9), and what is said where they may not although the pool
//! wants it.

use ipnet::IpNet;

use super::PoolNote;
use super::members::{Member, shown};
use crate::name::{NodeName, PoolIndex, PoolName};
use crate::observed::PoolFacts;
use crate::snapshot::{Health, Node, Zone};

/// Lets the addresses of a pool's zones leave them, where each node that they could go to has them in its subnet. That
/// is every node that some zone of the pool uses and that is not down. Without a cloud there is no subnet to ask: the
/// administrator's word counts.
///
/// Returns what keeps addresses at home.
pub(super) fn open_zones(
    zones: &mut [Zone],
    index: PoolIndex,
    (pool, facts): (&PoolName, &PoolFacts),
    nodes: &[Node],
    members: &[Member<'_>],
) -> Vec<PoolNote> {
    if !facts.spec.zone_failover {
        return Vec::new();
    }
    let start = zones.partition_point(|zone| zone.pool < index);
    let own = zones.get_mut(start..).unwrap_or_default();
    let is_used = |member: &&Member<'_>| {
        let is_up = nodes.get(member.node.position()).is_some_and(|node| node.health != Health::Down);
        is_up && own.iter().any(|zone| zone.nodes.binary_search(&member.node).is_ok())
    };
    let used: Vec<Member<'_>> = members.iter().filter(is_used).copied().collect();
    let mut stay = Vec::new();
    for (nth, zone) in own.iter_mut().enumerate() {
        let range = facts.spec.entries.get(nth).map(|entry| entry.cidr).or(facts.spec.cidr);
        let elsewhere: Vec<&NodeName> =
            used.iter().filter(|member| range.is_some_and(|range| !member.reaches(range))).map(|of| of.name).collect();
        zone.may_leave = elsewhere.is_empty();
        stay.extend(range.filter(|_| !zone.may_leave).map(|range| stays(pool, zone, range, &elsewhere)));
    }
    stay
}

fn stays(pool: &PoolName, zone: &Zone, range: IpNet, elsewhere: &[&NodeName]) -> PoolNote {
    let nodes = shown(elsewhere);
    let text = format!(
        "zoneFailover is Any, but the addresses of zone {} stay there: the subnet of {nodes} does not contain {range}",
        zone.name
    );
    PoolNote { pool: pool.clone(), text }
}
