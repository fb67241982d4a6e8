//! The label by which the network is told on which nodes it may place addresses.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::name::{NodeIndex, NodeName, PoolIndex, PoolName};
use crate::network::guards::Guards;
use crate::network::inputs::Inputs;
use crate::network::writes::Writes;
use crate::network::{Change, Target};
use crate::observed::{Assignable, Blind, CarrierFacts};
use crate::snapshot::{Health, Zone};

/// Which nodes the network may use, as it knows by now.
pub(super) struct Labels<'a> {
    inputs: &'a Inputs<'a>,
    /// Nodes that shall have the label.
    wanted: BTreeSet<NodeIndex>,
    /// By pool, since many namespaces of one may ask.
    known: BTreeMap<&'a PoolName, Known>,
    /// [`is_at_rest`], once it is asked for.
    is_at_rest: OnceCell<bool>,
}

/// What the network knows of a pool's nodes.
#[derive(Clone, Copy, Default)]
pub(super) struct Known {
    /// Whether it is all that it may use, but for those that refuse the label, and one that works at least.
    pub(super) is_complete: bool,
    /// On how many it can put addresses now.
    pub(super) usable: usize,
}

/// Writes labels: first those that come, then those that go.
pub(super) fn write<'a>(inputs: &'a Inputs<'a>, guards: &Guards<'_>, writes: &mut Writes<'_>) -> Labels<'a> {
    let wanted = wanted(inputs);
    let known = known(inputs, &wanted);
    let labels = Labels { inputs, wanted, known, is_at_rest: OnceCell::new() };
    let mut added: BTreeMap<NodeIndex, usize> = BTreeMap::new();
    for &node in &labels.wanted {
        let Some(name) = inputs.node_name(node) else { continue };
        if label_of(inputs, name).is_some_and(|label| label.ours) || !inputs.observed.nodes.contains_key(name) {
            continue;
        }
        let pools: BTreeSet<PoolIndex> = zones_of(inputs, node).map(|zone| zone.pool).collect();
        let pools = pools.into_iter().filter_map(|pool| inputs.snapshot.pool(pool));
        let after = pools.filter_map(|pool| guards.of_pool(&pool.name)).collect();
        let write = writes.push(Target::Carrier(name.clone()), Change::Assignable(true), after);
        added.extend(write.map(|write| (node, write)));
    }
    for (name, facts) in &inputs.observed.carriers {
        let Some(node) = inputs.snapshot.node_named(name) else { continue };
        if facts.assignable.is_some_and(|label| labels.may_go(node, label, facts)) {
            let beside = |other: &&NodeIndex| zones_of(inputs, node).any(|zone| contains(zone, **other));
            let after = added.keys().filter(beside).filter_map(|other| added.get(other).copied()).collect();
            writes.push(Target::Carrier(name.clone()), Change::Assignable(false), after);
        }
    }
    labels
}

impl Labels<'_> {
    /// What the network knows of the nodes of a pool; nothing of one that there is not.
    pub(super) fn known(&self, pool: Option<&PoolName>) -> Known {
        pool.and_then(|pool| self.known.get(pool)).copied().unwrap_or_default()
    }

    /// Whether a node is to lose the label that it has.
    fn may_go(&self, node: NodeIndex, label: Assignable, facts: &CarrierFacts) -> bool {
        let zones: Vec<&Zone> = zones_of(self.inputs, node).collect();
        // Outside of all pools it is the administrator's.
        if self.wanted.contains(&node) || (zones.is_empty() && !label.ours) {
            return false;
        }
        // One that was down when Nodes were last seen may work by now.
        if !self.inputs.snapshot.is_live(node) && self.inputs.observed.sees(Blind::Nodes) {
            // Where nothing else could take over, it has to come back by itself, even while we are away.
            return zones.iter().all(|zone| zone.nodes.iter().any(|&other| other != node && self.takes_over(other)));
        }
        // Which nodes a pool uses, and what they carry, is not known while something cannot be seen.
        if !self.inputs.observed.blind.is_empty() {
            return false;
        }
        let mut carried = facts.egress_ips.iter().filter_map(crate::observed::Listed::address).peekable();
        match (carried.peek(), zones.is_empty()) {
            (None, _) => *self.is_at_rest.get_or_init(|| is_at_rest(self.inputs)),
            (Some(_), true) => carried.all(|address| self.finds_another(node, address)),
            (Some(_), false) => false,
        }
    }

    /// Whether a node works, and has the label or gets it now.
    fn takes_over(&self, node: NodeIndex) -> bool {
        let has_label = || self.inputs.node_name(node).is_some_and(|name| label_of(self.inputs, name).is_some());
        self.inputs.snapshot.is_live(node) && (self.wanted.contains(&node) || has_label())
    }

    /// Whether an address is one of ours, and another node that the network knows of shall carry it.
    fn finds_another(&self, node: NodeIndex, address: IpAddr) -> bool {
        let after = self.inputs.carriers_after(address);
        self.inputs.owner_after(address).is_some()
            && !after.contains(&node)
            && after.iter().any(|&other| is_known(self.inputs, other))
    }
}

/// The nodes that shall have the label: those that carry something after the plan, and some of each zone that stand by,
/// preferably those that have it already.
fn wanted(inputs: &Inputs<'_>) -> BTreeSet<NodeIndex> {
    let held = inputs.plan.end().carried().filter(|(address, _)| !inputs.plan.end().holders_of(*address).is_empty());
    let used: BTreeSet<NodeIndex> =
        held.flat_map(|(_, nodes)| nodes).copied().filter(|&node| inputs.snapshot.is_live(node)).collect();
    let served: BTreeSet<PoolIndex> = inputs.snapshot.owners.iter().map(|owner| owner.pool).collect();
    let mut wanted = BTreeSet::new();
    for zone in inputs.snapshot.zones.iter().filter(|zone| served.contains(&zone.pool)) {
        wanted.extend(zone.nodes.iter().filter(|node| used.contains(node)));
        let is_spare = |node: &NodeIndex| is_healthy(inputs, *node) && !used.contains(node);
        let mut spare: Vec<NodeIndex> = zone.nodes.iter().copied().filter(is_spare).collect();
        spare.sort_by_key(|&node| {
            let has_label = inputs.node_name(node).is_some_and(|name| label_of(inputs, name).is_some());
            (!has_label, node)
        });
        let pool = inputs.snapshot.pool(zone.pool).and_then(|pool| inputs.observed.pools.get(&pool.name));
        let standby = pool.map_or(0, |facts| facts.spec.standby_nodes);
        wanted.extend(spare.into_iter().take(usize::try_from(standby).unwrap_or(usize::MAX)));
    }
    wanted
}

fn known<'a>(inputs: &'a Inputs<'a>, wanted: &BTreeSet<NodeIndex>) -> BTreeMap<&'a PoolName, Known> {
    let mut nodes: BTreeMap<PoolIndex, BTreeSet<NodeIndex>> = BTreeMap::new();
    for zone in &inputs.snapshot.zones {
        nodes.entry(zone.pool).or_default().extend(&zone.nodes);
    }
    let of = |nodes: &BTreeSet<NodeIndex>| {
        let mut awaited = nodes.intersection(wanted).filter(|&&node| !refuses(inputs, node));
        let is_usable = |node: &&NodeIndex| is_healthy(inputs, **node) && is_known(inputs, **node);
        let usable = nodes.iter().filter(is_usable).count();
        Known { is_complete: usable > 0 && awaited.all(|&node| is_known(inputs, node)), usable }
    };
    nodes.iter().filter_map(|(&pool, nodes)| Some((&inputs.snapshot.pool(pool)?.name, of(nodes)))).collect()
}

/// Whether a node does not take the label.
fn refuses(inputs: &Inputs<'_>, node: NodeIndex) -> bool {
    inputs.node_name(node).is_some_and(|name| inputs.avoid.contains(&Target::Carrier(name.clone())))
}

fn is_healthy(inputs: &Inputs<'_>, node: NodeIndex) -> bool {
    inputs.snapshot.node(node).is_some_and(|node| node.health == Health::Healthy)
}

/// Whether the network has put all that owners hold where it wants it, so that a node without any address gets none.
fn is_at_rest(inputs: &Inputs<'_>) -> bool {
    let held = inputs.snapshot.owners.iter().flat_map(|owner| &owner.allocations);
    held.map(|held| held.address).all(|address| inputs.snapshot.carriers(address).next().is_some())
}

fn label_of(inputs: &Inputs<'_>, name: &NodeName) -> Option<Assignable> {
    inputs.observed.carriers.get(name)?.assignable
}

/// Whether a node has had the label for long enough that the network has seen it.
fn is_known(inputs: &Inputs<'_>, node: NodeIndex) -> bool {
    let label = inputs.node_name(node).and_then(|name| label_of(inputs, name));
    label.is_some_and(|label| inputs.observed.network.unseen_until(label, inputs.observed.now).is_none())
}

fn zones_of<'a>(inputs: &Inputs<'a>, node: NodeIndex) -> impl Iterator<Item = &'a Zone> {
    inputs.snapshot.zones.iter().filter(move |zone| contains(zone, node))
}

fn contains(zone: &Zone, node: NodeIndex) -> bool {
    zone.nodes.binary_search(&node).is_ok()
}
