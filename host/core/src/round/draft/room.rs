//! Places that are not left after all: whoever was to get one waits for another round.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Draft, Withdrawal};
use crate::name::{NodeIndex, OwnerIndex};
use crate::plan::{HoldCode, Operation};
use crate::verify::{Load, loads};

/// Why an owner waits whose patches were withdrawn.
const WHY: &str = "what was to make room for its address stays where it is";

/// A patch that puts an address onto a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    /// Failover gives way last: a place that is left is first of all for what a dead node carried.
    urgent: bool,
    /// The slice whose policy wants it: the first ones give way last.
    slice: usize,
    address: IpAddr,
    owner: OwnerIndex,
}

/// Those of the policies' patches that put too much onto a node, or two addresses of one owner. What an owner gets and
/// what it gives up are one exchange; its other addresses move by themselves. Owners whose addresses work where they are
/// wait for nothing.
pub(super) fn patches(draft: &Draft<'_>) -> Withdrawal {
    // A plan as it came was checked as it came.
    if !draft.is_altered {
        return Withdrawal::default();
    }
    let surplus = surplus(draft);
    if surplus.is_empty() {
        return Withdrawal::default();
    }
    let owners: BTreeSet<OwnerIndex> = surplus.iter().map(|arrival| arrival.owner).collect();
    let addresses: BTreeSet<IpAddr> = surplus.iter().map(|arrival| arrival.address).collect();
    let mut found = Withdrawal::default();
    for (position, patch) in draft.answered() {
        let Some(owner) = draft.owner_of(&patch.operation).filter(|owner| owners.contains(owner)) else { continue };
        let address = patch.operation.address();
        let (by_itself, works) = match patch.operation {
            Operation::Move { source, .. } => (true, draft.round.survey.snapshot.is_live(source)),
            Operation::Assign { .. } => (true, false),
            Operation::Allocate { .. } => (false, false),
            Operation::Release { .. } | Operation::Unassign { .. } => (false, true),
        };
        if by_itself && !addresses.contains(&address) && draft.held(owner).any(|held| held == address) {
            continue;
        }
        found.patches.insert(position);
        if !works {
            found.waiting.insert(owner, (HoldCode::NoCapacity, WHY.to_owned()));
        }
    }
    found
}

fn surplus(draft: &Draft<'_>) -> BTreeSet<Arrival> {
    let (before, after) = (loads(&draft.round.base), loads(&draft.end));
    let load = |loads: &BTreeMap<NodeIndex, Load>, node| loads.get(&node).copied().unwrap_or_default();
    let mut surplus = BTreeSet::new();
    for (node, arrivals) in arrivals(draft) {
        surplus.extend(beyond_capacity(draft, node, &arrivals, load(&before, node), load(&after, node)));
        surplus.extend(beside_another(draft, node, &arrivals));
    }
    surplus
}

/// What policies put onto each node, what gives way first in front.
fn arrivals(draft: &Draft<'_>) -> BTreeMap<NodeIndex, Vec<Arrival>> {
    let mut arrivals: BTreeMap<NodeIndex, Vec<Arrival>> = BTreeMap::new();
    for (_, patch) in draft.answered() {
        let (address, node, urgent) = match patch.operation {
            Operation::Assign { address, node } => (address, node, false),
            Operation::Move { address, source, target } => {
                (address, target, !draft.round.survey.snapshot.is_live(source))
            }
            _ => continue,
        };
        if let Some(owner) = draft.owner_of(&patch.operation) {
            let slice = draft.round.slice_of(owner).unwrap_or_default();
            arrivals.entry(node).or_default().push(Arrival { urgent, slice, address, owner });
        }
    }
    for of_one in arrivals.values_mut() {
        let gives_way = |arrival: &Arrival| (arrival.urgent, Reverse(arrival.slice), Reverse(arrival.address));
        of_one.sort_unstable_by_key(gives_way);
    }
    arrivals
}

/// Of what comes to a node, as much as is too much: more than it can carry, and more than it carries already.
fn beyond_capacity(
    draft: &Draft<'_>,
    node: NodeIndex,
    arrivals: &[Arrival],
    before: Load,
    after: Load,
) -> Vec<Arrival> {
    let Some(capacity) = draft.round.survey.snapshot.node(node).map(|node| node.capacity) else { return Vec::new() };
    let over =
        |limit: Option<u32>, before: u32, after: u32| limit.map_or(0, |limit| after.saturating_sub(before.max(limit)));
    let mut total = over(capacity.total, before.total(), after.total());
    let mut ipv4 = over(capacity.ipv4, before.ipv4, after.ipv4);
    let mut ipv6 = over(capacity.ipv6, before.ipv6, after.ipv6);
    let mut surplus = Vec::new();
    for arrival in arrivals {
        let of_family = if arrival.address.is_ipv4() { &mut ipv4 } else { &mut ipv6 };
        if total > 0 || *of_family > 0 {
            total = total.saturating_sub(1);
            *of_family = of_family.saturating_sub(1);
            surplus.push(*arrival);
        }
    }
    surplus
}

/// Of what comes to a node, what would find another address of its owner there.
fn beside_another(draft: &Draft<'_>, node: NodeIndex, arrivals: &[Arrival]) -> Vec<Arrival> {
    let is_here =
        |owner, address: IpAddr| draft.end.is_held_by(address, owner) && draft.end.carriers_of(address).contains(&node);
    let crowded = |arrival: &&Arrival| {
        let siblings = arrivals.iter().filter(|other| other.owner == arrival.owner).map(|other| other.address);
        let mut others = draft.held(arrival.owner).chain(siblings);
        others.any(|other| other != arrival.address && is_here(arrival.owner, other))
    };
    arrivals.iter().filter(crowded).copied().collect()
}
