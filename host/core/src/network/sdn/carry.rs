//! HostSubnets: which node carries what.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::holdings::Holders;
use super::ranges::Ranges;
use crate::name::{NodeName, PoolName};
use crate::network::guards::Guards;
use crate::network::inputs::Inputs;
use crate::network::interfaces::{Interfaces, Releases};
use crate::network::results::Removals;
use crate::network::writes::Writes;
use crate::network::{Change, Target};
use crate::observed::{CarrierFacts, Listed};

/// What one HostSubnet gets and loses, by when it may happen.
#[derive(Default)]
pub(super) struct NodeChange {
    /// Off at once: nobody holds it, or it moves.
    off: BTreeSet<IpAddr>,
    /// Off once no NetNamespace names it any more.
    off_later: BTreeSet<IpAddr>,
    /// On at once: nobody else carries it.
    on: BTreeSet<IpAddr>,
    /// On once its old carrier is rid of it.
    on_later: BTreeSet<IpAddr>,
}

/// What HostSubnets get and lose, by node.
pub(super) type NodeChanges<'a> = BTreeMap<&'a NodeName, NodeChange>;

/// The writes to HostSubnets.
#[derive(Default)]
pub(super) struct CarrierWrites<'a> {
    /// By address, the writes that take it off its carriers, one for each.
    pub(super) off: Removals,
    /// By address, the write that puts it onto its carrier.
    pub(super) on: BTreeMap<IpAddr, usize>,
    /// By pool, the writes that let the network place its addresses.
    pub(super) ranges: BTreeMap<&'a PoolName, Vec<usize>>,
    /// The last write to each HostSubnet, with the list of addresses that it leaves.
    last: BTreeMap<&'a NodeName, (usize, Vec<String>)>,
}

/// What each node gets and loses of the addresses that change their place. Nodes whose ranges may have to change come
/// along with an empty change.
pub(super) fn changes<'a>(
    inputs: &Inputs<'a>,
    interfaces: &Interfaces<'_>,
    ranges: &Ranges<'a>,
    unsettled: &BTreeSet<IpAddr>,
    holders: &Holders<'_>,
) -> NodeChanges<'a> {
    let mut changes: NodeChanges<'a> = ranges.nodes().map(|name| (name, NodeChange::default())).collect();
    for &address in unsettled {
        let before = interfaces.listed_on(address);
        let after = inputs.carriers_after(address);
        // Whoever holds it now and will not has to let go first; if somebody keeps it, it only changes nodes.
        let later = inputs.owner_after(address).is_none() && holders.contains_key(&address);
        let leaves = before.iter().filter(|node| !after.contains(node));
        for name in leaves.filter_map(|&node| inputs.node_name(node)) {
            let change = changes.entry(name).or_default();
            if later { &mut change.off_later } else { &mut change.off }.insert(address);
        }
        let enters = after.iter().filter(|&node| !before.contains(node) && interfaces.may_list(address, *node));
        for name in enters.filter_map(|&node| inputs.node_name(node)) {
            let change = changes.entry(name).or_default();
            if before.is_empty() { &mut change.on } else { &mut change.on_later }.insert(address);
        }
    }
    changes
}

/// Writes what can happen before holdings change. First ranges for the network to place from, and addresses off nodes that
/// they move away from; what such a node gets from nowhere else comes in the same write. Then addresses come to others.
pub(super) fn before_holdings<'a>(
    inputs: &Inputs<'a>,
    changes: &NodeChanges<'a>,
    ranges: &Ranges<'a>,
    guards: &Guards<'_>,
    writes: &mut Writes<'_>,
) -> CarrierWrites<'a> {
    let mut carrier_writes = CarrierWrites::default();
    for (&name, NodeChange { off, on, on_later, .. }) in changes {
        let Some(facts) = inputs.observed.carriers.get(name) else {
            continue;
        };
        let cidrs = ranges.change(name, facts, !on.is_empty() || !on_later.is_empty());
        if off.is_empty() && cidrs.is_none() {
            continue;
        }
        let list = (!off.is_empty() || !on.is_empty()).then(|| relist(&texts(facts), off, on));
        let placing = ranges.on_node(name);
        let mut after = guards.of_addresses(inputs, on);
        after.extend(placing.and_then(|placing| guards.of_pool(placing.pool)));
        let change = Change::Carrier { egress_ips: list.clone(), ranges: cidrs };
        if let Some(write) = writes.push(Target::Carrier(name.clone()), change, after) {
            if let Some(placing) = placing {
                carrier_writes.ranges.entry(placing.pool).or_default().push(write);
            }
            carrier_writes.note(name, write, (off, on), list.unwrap_or_else(|| texts(facts)));
        }
    }
    write_the_rest(inputs, changes, guards, carrier_writes, writes)
}

/// What comes from elsewhere, and what is new on nodes that lose nothing.
fn write_the_rest<'a>(
    inputs: &Inputs<'a>,
    changes: &NodeChanges<'a>,
    guards: &Guards<'_>,
    mut carrier_writes: CarrierWrites<'a>,
    writes: &mut Writes<'_>,
) -> CarrierWrites<'a> {
    for (&name, change) in changes {
        let all = change.on.union(&change.on_later).copied();
        let on: BTreeSet<IpAddr> = all.filter(|address| !carrier_writes.on.contains_key(address)).collect();
        if on.is_empty() {
            continue;
        }
        let mut after = guards.of_addresses(inputs, &on);
        after.extend(on.iter().filter_map(|address| carrier_writes.off.get(address)).flatten());
        carrier_writes.write(inputs, name, (&BTreeSet::new(), &on), after, writes);
    }
    carrier_writes
}

/// Writes what a NetNamespace had to let go of first.
pub(super) fn after_holdings<'a>(
    inputs: &Inputs<'a>,
    changes: &NodeChanges<'a>,
    released: &Releases,
    mut carrier_writes: CarrierWrites<'a>,
    writes: &mut Writes<'_>,
) -> CarrierWrites<'a> {
    for (&name, change) in changes {
        let mut off = BTreeSet::new();
        let mut after = Vec::new();
        for &address in &change.off_later {
            if let Some(Some(releases)) = released.get(&address) {
                off.insert(address);
                after.extend(releases);
            } else {
                writes.postpone(Target::Carrier(name.clone()));
            }
        }
        if !off.is_empty() {
            carrier_writes.write(inputs, name, (&off, &BTreeSet::new()), after, writes);
        }
    }
    carrier_writes
}

impl<'a> CarrierWrites<'a> {
    /// Writes a HostSubnet, after the last write to it and from the list that one leaves.
    fn write(
        &mut self,
        inputs: &Inputs<'_>,
        name: &'a NodeName,
        (off, on): (&BTreeSet<IpAddr>, &BTreeSet<IpAddr>),
        mut after: Vec<usize>,
        writes: &mut Writes<'_>,
    ) {
        let Some(facts) = inputs.observed.carriers.get(name) else {
            return;
        };
        let (previous, base) = match self.last.get(name) {
            Some((write, list)) => (Some(*write), list.clone()),
            None => (None, texts(facts)),
        };
        after.extend(previous);
        let list = relist(&base, off, on);
        let change = Change::Carrier { egress_ips: Some(list.clone()), ranges: None };
        if let Some(write) = writes.push(Target::Carrier(name.clone()), change, after) {
            self.note(name, write, (off, on), list);
        }
    }

    /// Notes what a write to a HostSubnet takes off and puts on, and the list it leaves.
    fn note(
        &mut self,
        name: &'a NodeName,
        write: usize,
        (off, on): (&BTreeSet<IpAddr>, &BTreeSet<IpAddr>),
        list: Vec<String>,
    ) {
        for &address in off {
            self.off.entry(address).or_default().push(write);
        }
        self.on.extend(on.iter().map(|&address| (address, write)));
        self.last.insert(name, (write, list));
    }
}

fn texts(facts: &CarrierFacts) -> Vec<String> {
    facts.egress_ips.iter().map(ToString::to_string).collect()
}

/// The new list of a HostSubnet: what stays keeps its place, so that no more changes than has to; what comes follows in
/// order.
pub(super) fn relist(base: &[String], off: &BTreeSet<IpAddr>, on: &BTreeSet<IpAddr>) -> Vec<String> {
    let stays = |text: &&String| Listed::from(text.as_str()).address().is_none_or(|address| !off.contains(&address));
    let mut list: Vec<String> = base.iter().filter(stays).cloned().collect();
    let new: Vec<String> = on.iter().map(ToString::to_string).filter(|text| !list.contains(text)).collect();
    list.extend(new);
    list
}
