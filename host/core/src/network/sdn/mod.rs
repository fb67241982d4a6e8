//! OpenShift SDN: what an owner holds is its NetNamespace, what a node carries is its HostSubnet, and carrying comes before
//! holding.
//!
//! Order of an addition: cloud, HostSubnet, NetNamespace, annotation. Of a removal: NetNamespace, HostSubnet, cloud,
//! annotation. Of a move: off the old node, onto the new one. A cloud takes minutes, so what waits for it is not in the
//! schedule: it follows in a later one, from what is seen then. Before an allocation changes, the annotation that states the
//! old one is removed, so that a crash cannot turn an old result into a request.
//!
//! What is written is the difference between what is seen and what shall be, not what the plan changed: a write that
//! was lost, or undone by somebody else, is made again.

mod carry;
mod hold;
mod intent;
mod interfaces;
mod pools;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Change, Target, Write};
use crate::cloud::InterfaceFacts;
use crate::name::{NodeIndex, NodeName, OwnerIndex, OwnerName, PoolName};
use crate::observed::{Listed, Observed};
use crate::snapshot::{Allocation, Snapshot};
use crate::survey::{NamedHold, Survey, Wish};
use crate::verify::VerifiedPlan;

pub(crate) use carry::network_places;

/// The kind of the object that has what an owner holds.
pub(crate) const HOLDING: &str = "NetNamespace";
/// The kind of the object that has what a node carries.
pub(crate) const CARRIER: &str = "HostSubnet";
/// Several of the former.
pub(crate) const HOLDINGS: &str = "NetNamespaces";
/// Several of the latter.
pub(crate) const CARRIERS: &str = "HostSubnets";
/// What is said of an owner without such an object.
pub(crate) const NO_HOLDING: &str = "its NetNamespace does not exist";

/// Makes the writes of a verified plan. `holds`: everyone who is not served, for the annotation; none: unknown this
/// time, so the annotations stay. Objects in `avoid` are left alone, and so is what depends on them.
pub fn schedule(
    observed: &Observed,
    survey: &Survey,
    plan: &VerifiedPlan,
    holds: Option<&[NamedHold]>,
    avoid: &BTreeSet<Target>,
) -> Vec<Write> {
    let (left_behind, obscure) = interfaces::left_behind(observed, &survey.snapshot, plan);
    let mut draft = Draft {
        observed,
        snapshot: &survey.snapshot,
        wishes: &survey.wishes,
        plan,
        avoid,
        writes: Vec::new(),
        waiting: BTreeSet::new(),
        next_round: BTreeSet::new(),
        holding_now: holding_now(observed, &survey.snapshot),
        finalizer_of: BTreeMap::new(),
        unguarded: BTreeSet::new(),
        cleared: BTreeMap::new(),
        allocations: plan.end().allocations(survey.snapshot.owners.len()),
        listed: interfaces::listed(observed, &survey.snapshot),
        left_behind,
        obscure,
        taken_off: BTreeMap::new(),
        put_on: BTreeMap::new(),
        ranged: BTreeMap::new(),
        last_of_node: BTreeMap::new(),
        net_of: BTreeMap::new(),
        unfinished: BTreeSet::new(),
    };
    draft.add_finalizers();
    let intents = draft.intents();
    draft.find_waiting(&intents);
    let unsettled = draft.unsettled();
    let holders = carry::holders(&intents, &unsettled);
    let loads = draft.loads(&unsettled, &holders);
    draft.carry_now(&loads);
    draft.carry_moved(&loads);
    draft.hold(&intents);
    draft.carry_no_longer(&loads, &holders);
    draft.write_interfaces(&unsettled, &holders);
    draft.state_results(&intents, holds);
    draft.remove_finalizers(&intents);
    draft.writes
}

/// Who holds each address, as far as self-placing pools need it, those who leave left out: what they hold is on its way out.
fn holding_now(observed: &Observed, snapshot: &Snapshot) -> BTreeMap<IpAddr, Option<OwnerIndex>> {
    if snapshot.pools.iter().all(|pool| !pool.self_placing) {
        return BTreeMap::new();
    }
    let leaving = |name: &OwnerName| snapshot.leaving.binary_search_by(|leaving| leaving.name.cmp(name)).is_ok();
    let mut holding = BTreeMap::new();
    for (name, facts) in observed.holdings.iter().filter(|(name, _)| !leaving(name)) {
        let owner = snapshot.owner_named(name);
        holding.extend(facts.egress_ips.iter().filter_map(Listed::address).map(|address| (address, owner)));
    }
    holding
}

/// A schedule in the making.
struct Draft<'a> {
    observed: &'a Observed,
    snapshot: &'a Snapshot,
    /// What each owner asks for.
    wishes: &'a [Wish],
    plan: &'a VerifiedPlan,
    avoid: &'a BTreeSet<Target>,
    writes: Vec<Write>,
    /// Addresses that stay where they are for now.
    waiting: BTreeSet<IpAddr>,
    /// Of these, those that only wait until their owner has let go of another address.
    next_round: BTreeSet<IpAddr>,
    /// Who holds each address now: an owner, or a stranger.
    holding_now: BTreeMap<IpAddr, Option<OwnerIndex>>,
    /// The write that adds a pool's finalizer.
    finalizer_of: BTreeMap<PoolName, usize>,
    /// Pools that should have the finalizer and cannot get it now.
    unguarded: BTreeSet<PoolName>,
    /// The write that removes the annotation of a namespace whose allocation changes.
    cleared: BTreeMap<OwnerName, usize>,
    /// What each owner shall hold.
    allocations: Vec<Vec<Allocation>>,
    /// The nodes whose `HostSubnet` lists an address; none: they are the snapshot's carriers, for there is no cloud.
    listed: Option<BTreeMap<IpAddr, Vec<NodeIndex>>>,
    /// Addresses that interfaces still have for nobody.
    left_behind: BTreeSet<IpAddr>,
    /// Interfaces that may be giving addresses back without showing them.
    obscure: Vec<&'a InterfaceFacts>,
    /// The write that takes an address off its carriers, one for each.
    taken_off: BTreeMap<IpAddr, Vec<usize>>,
    /// The write that puts an address onto its carrier.
    put_on: BTreeMap<IpAddr, usize>,
    /// The writes that let the network place a pool's addresses.
    ranged: BTreeMap<PoolName, Vec<usize>>,
    /// The last write to a HostSubnet, with the list it leaves.
    last_of_node: BTreeMap<NodeName, (usize, Vec<String>)>,
    /// The write to a NetNamespace.
    net_of: BTreeMap<OwnerName, usize>,
    /// Namespaces and nodes whose change has to wait for a later round.
    unfinished: BTreeSet<Target>,
}

impl Draft<'_> {
    /// Appends a write unless its object is to be avoided.
    fn push(&mut self, target: Target, change: Change, mut after: Vec<usize>, after_any: Vec<usize>) -> Option<usize> {
        if self.avoid.contains(&target) {
            self.unfinished.insert(target);
            return None;
        }
        after.sort_unstable();
        after.dedup();
        self.writes.push(Write { target, change, after, after_any });
        Some(self.writes.len() - 1)
    }

    fn node_name(&self, index: NodeIndex) -> Option<&NodeName> {
        self.snapshot.node(index).map(|node| &node.name)
    }
}

#[cfg(test)]
mod tests;
