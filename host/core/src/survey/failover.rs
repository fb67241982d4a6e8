//! Which zones' addresses may sit in the pool's other zones (R9), and what is said where they may not although the pool
//! wants it.

use ipnet::IpNet;

use super::PoolNote;
use super::members::Member;
use crate::name::{NodeName, PoolIndex, PoolName};
use crate::network::Network;
use crate::observed::PoolFacts;
use crate::snapshot::{Health, Node, Zone};
use crate::text::listed;

/// Lets the addresses of a pool's zones leave them, where each node that they could go to has them in its subnet. That
/// is every node that some zone of the pool uses and that is not down. Without a cloud there is no subnet to ask: the
/// administrator's word counts. A network that chooses the nodes lets them leave whatever the pool wants.
///
/// Returns what keeps addresses at home although they may leave, or what does not although they may not.
pub(super) fn open_zones(
    zones: &mut [Zone],
    index: PoolIndex,
    (pool, facts): (&PoolName, &PoolFacts),
    nodes: &[Node],
    members: &[Member<'_>],
    network: Network,
) -> Vec<PoolNote> {
    let chosen = facts.spec.zone_failover;
    if !chosen && network == Network::OpenShiftSdn {
        return Vec::new();
    }
    let start = zones.partition_point(|zone| zone.pool < index);
    let own = zones.get_mut(start..).unwrap_or_default();
    let is_used = |member: &&Member<'_>| {
        let is_up = nodes.get(member.node.position()).is_some_and(|node| node.health != Health::Down);
        (is_up || !chosen) && own.iter().any(|zone| zone.nodes.binary_search(&member.node).is_ok())
    };
    let used: Vec<Member<'_>> = members.iter().filter(is_used).copied().collect();
    let mut stay = Vec::new();
    for (nth, zone) in own.iter_mut().enumerate() {
        let range = facts.spec.entries.get(nth).map(|entry| entry.cidr).or(facts.spec.cidr);
        let elsewhere: Vec<&NodeName> =
            used.iter().filter(|member| range.is_some_and(|range| !member.has_all(range))).map(|of| of.name).collect();
        // What the pool wants needs every node; what the network does needs one.
        let is_out = |member: &&Member<'_>| zone.nodes.binary_search(&member.node).is_err();
        let reaches = |member: &Member<'_>| range.is_some_and(|range| member.reaches(range));
        zone.may_leave = if chosen { elsewhere.is_empty() } else { used.iter().filter(is_out).any(reaches) };
        let stays_all_the_same = range.filter(|_| chosen && !zone.may_leave);
        stay.extend(stays_all_the_same.map(|range| stays(pool, zone, range, &elsewhere)));
    }
    if !chosen && own.len() > 1 {
        let open: Vec<&str> = own.iter().filter(|zone| zone.may_leave).map(|zone| zone.name.as_str()).collect();
        stay.extend((!open.is_empty()).then(|| strays(pool, &open)));
    }
    stay
}

/// That zones are not exact: told once for all of them.
fn strays(pool: &PoolName, zones: &[&str]) -> PoolNote {
    let text = format!(
        "the network chooses among the pool's nodes, and no network of a node keeps the addresses of {} at home: they may be \
         on nodes of any zone",
        zones.join(", ")
    );
    PoolNote { pool: pool.clone(), text }
}

fn stays(pool: &PoolName, zone: &Zone, range: IpNet, elsewhere: &[&NodeName]) -> PoolNote {
    let nodes = listed(elsewhere, ", ");
    let text = format!(
        "zoneFailover is Any, but the addresses of zone {} stay there: the subnet of {nodes} does not contain {range}",
        zone.name
    );
    PoolNote { pool: pool.clone(), text }
}
