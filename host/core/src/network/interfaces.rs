//! Interfaces of a cloud: what each gets and loses, as far as that can begin now.
//!
//! A cloud takes minutes for an update, so what waits for one is not in the schedule: it follows in a later one, from what
//! is seen then.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::guards::Guards;
use super::inputs::Inputs;
use super::writes::Writes;
use super::{Change, Target};
use crate::cloud::{CloudFacts, InterfaceAddress, InterfaceFacts, Moves};
use crate::name::NodeIndex;
use crate::observed::{Listed, Observed};
use crate::plan::Holder;
use crate::snapshot::{Phase, Snapshot};
use crate::verify::Holding;

/// For each address that somebody holds now and that changes its place: the writes after which nobody holds it any more;
/// none: somebody goes on holding it for now. Of an address that is not here nobody has to let go.
pub(super) type Releases = BTreeMap<IpAddr, Option<Vec<usize>>>;

/// The interfaces that we write, beside what carriers list. Where we write none, carriers are all there is.
pub(super) struct Interfaces<'a> {
    inputs: &'a Inputs<'a>,
    /// None: we write no interfaces.
    cloud: Option<&'a CloudFacts>,
    /// The nodes whose carrier lists an address; empty where we write no interfaces, for then it is in the snapshot.
    listed: BTreeMap<IpAddr, Vec<NodeIndex>>,
    left_behind: BTreeSet<IpAddr>,
    /// Interfaces under an update that is older than our first look: they may give back addresses without showing them.
    unshown: Vec<&'a InterfaceFacts>,
}

/// The writes that an interface waits for.
pub(super) struct Before<'a> {
    pub(super) guards: &'a Guards<'a>,
    /// By address, the writes that take it off the carriers that list it.
    pub(super) unlisted: &'a BTreeMap<IpAddr, Vec<usize>>,
    pub(super) released: &'a Releases,
}

/// What one interface gets and loses, and the writes that must have happened before.
#[derive(Default)]
struct InterfaceChange {
    on: BTreeSet<IpAddr>,
    off: BTreeSet<IpAddr>,
    after: Vec<usize>,
}

/// An interface that has an address.
struct Place {
    node: NodeIndex,
    /// The address is there under our name and at rest, so that we may take it off.
    movable: bool,
}

impl<'a> Interfaces<'a> {
    pub(super) fn of(inputs: &'a Inputs<'a>) -> Self {
        let cloud = inputs.observed.written_interfaces();
        let all = cloud.into_iter().flat_map(|cloud| cloud.interfaces.values());
        Self {
            inputs,
            cloud,
            listed: cloud.map(|_| listed(inputs.observed, inputs.snapshot)).unwrap_or_default(),
            left_behind: left_behind(inputs, all.clone()),
            unshown: all.filter(|interface| interface.may_hide_removals).collect(),
        }
    }

    /// The nodes whose carrier lists an address.
    pub(super) fn listed_on(&self, address: IpAddr) -> Vec<NodeIndex> {
        match self.cloud {
            None => self.inputs.snapshot.carriers(address).collect(),
            Some(_) => self.listed.get(&address).cloned().unwrap_or_default(),
        }
    }

    /// Whether a carrier may list an address: the interface has it, so that traffic can come back, the pool uses the node,
    /// and no other address of the owner is there. A policy chose no such node, but an interface may have been found with
    /// what nobody chose.
    pub(super) fn may_list(&self, address: IpAddr, node: NodeIndex) -> bool {
        let is_settled = || self.on_interface(address, node).is_some_and(|on| on.phase == Phase::Settled);
        let is_chosen = || {
            let Some(index) = self.inputs.owner_after(address) else { return false };
            let Some(owner) = self.inputs.snapshot.owner(index) else { return false };
            let mut all = self.inputs.allocations.get(index.position()).into_iter().flatten();
            self.inputs.snapshot.may_carry(owner.pool, None, node)
                && !all
                    .any(|other| other.address != address && self.inputs.carriers_after(other.address).contains(&node))
        };
        self.cloud.is_none() || (is_settled() && is_chosen())
    }

    /// Addresses that shall be on a node of which only the carrier or only the interface has them now: they change
    /// although the plan moves nothing.
    pub(super) fn incomplete(&self) -> BTreeSet<IpAddr> {
        let carried = self.cloud.into_iter().flat_map(|_| self.inputs.plan.end().carried());
        let is_incomplete = |(address, nodes): &(IpAddr, &[NodeIndex])| {
            let listed = self.listed_on(*address);
            nodes.iter().any(|node| !listed.contains(node) || self.on_interface(*address, *node).is_none())
        };
        carried.filter(is_incomplete).map(|(address, _)| address).collect()
    }

    /// Whether an address would be taken off a node that works before the cloud can move it on, or cannot be moved. A node
    /// that has no interface does not carry it, whatever its carrier says.
    pub(super) fn would_get_stuck(&self, address: IpAddr, sources: &[NodeIndex], targets: &[NodeIndex]) -> bool {
        let is_theirs = |&node: &NodeIndex| self.on_interface(address, node).is_some_and(|on| !on.ours);
        let is_live = |&&node: &&NodeIndex| self.inputs.snapshot.is_live(node) && self.interface(node).is_some();
        let mut live = sources.iter().filter(is_live).peekable();
        sources.iter().any(is_theirs) || (live.peek().is_some() && live.chain(targets).any(|&node| self.is_busy(node)))
    }

    /// Addresses that interfaces have under our names for nobody: whoever gave them up has not left them yet.
    pub(super) fn left_behind(&self) -> &BTreeSet<IpAddr> {
        &self.left_behind
    }

    /// Whether an interface may still be giving back addresses of a range, without showing them.
    pub(super) fn may_give_back(&self, range: &IpNet) -> bool {
        self.unshown.iter().any(|interface| interface.contains(range))
    }

    /// Whether an interface may still have an address for nobody.
    pub(super) fn may_still_have(&self, address: IpAddr) -> bool {
        let is_there = || self.left_behind.contains(&address) || self.may_give_back(&IpNet::from(address));
        self.inputs.owner_after(address).is_none() && is_there()
    }

    /// Writes each interface once: what has left its carrier goes, what no other interface has comes. One whose last
    /// update failed is written even if nothing changes, since nobody knows whether its addresses work.
    pub(super) fn write(&self, unsettled: &BTreeSet<IpAddr>, before: &Before<'_>, writes: &mut Writes<'_>) {
        let Some(cloud) = self.cloud else { return };
        let mut places: BTreeMap<IpAddr, Vec<Place>> = BTreeMap::new();
        let mut changes: BTreeMap<NodeIndex, InterfaceChange> = BTreeMap::new();
        for (name, interface) in &cloud.interfaces {
            let Some(node) = self.inputs.snapshot.node_named(name) else { continue };
            if interface.failed && !interface.busy {
                changes.entry(node).or_default();
            }
            for (&address, on) in &interface.addresses {
                let movable = on.ours && on.phase == Phase::Settled;
                places.entry(address).or_default().push(Place { node, movable });
            }
        }
        for &address in unsettled {
            let places = places.get(&address).map(Vec::as_slice).unwrap_or_default();
            for (node, after) in self.leaves(address, places, before) {
                let change = changes.entry(node).or_default();
                change.off.insert(address);
                change.after.extend(after);
            }
            if let Some((node, after)) = self.enters(address, places, before) {
                let change = changes.entry(node).or_default();
                change.on.insert(address);
                change.after.extend(after);
            }
        }
        for (node, InterfaceChange { on, off, after }) in changes {
            if let Some(name) = self.inputs.node_name(node) {
                writes.push(Target::Interface(name.clone()), Change::Interface { on, off }, after);
            }
        }
    }

    /// The interfaces that an address leaves, with the writes before: those that shall not have it, once neither a carrier
    /// lists it there nor anybody holds it who shall not. None where the cloud moves it in one call: then it is not taken off.
    fn leaves(&self, address: IpAddr, places: &[Place], before: &Before<'_>) -> Vec<(NodeIndex, Vec<usize>)> {
        if self.giver(address, places).is_some() {
            return Vec::new();
        }
        let unlisted = before.unlisted.get(&address).map(Vec::as_slice).unwrap_or_default();
        let mut after = unlisted.to_vec();
        if self.inputs.owner_after(address).is_none() {
            match before.released.get(&address) {
                Some(None) => return Vec::new(),
                released => after.extend(released.into_iter().flatten().flatten()),
            }
        }
        let listed = self.listed_on(address);
        let stay = self.inputs.carriers_after(address);
        let leave = places.iter().filter(|place| place.movable && !stay.contains(&place.node)).map(|place| place.node);
        let can_begin = |node: &NodeIndex| !self.is_busy(*node) && (!listed.contains(node) || !unlisted.is_empty());
        leave.filter(can_begin).map(|node| (node, after.clone())).collect()
    }

    /// The interface that an address enters, with the writes before: the one that shall have it, once no other has it or
    /// from the one that gives it.
    fn enters(&self, address: IpAddr, places: &[Place], before: &Before<'_>) -> Option<(NodeIndex, Vec<usize>)> {
        let &[node] = self.inputs.carriers_after(address) else { return None };
        let unlisted = before.unlisted.get(&address);
        let is_given = || {
            self.giver(address, places).is_some_and(|from| {
                !self.is_busy(from) && (unlisted.is_some() || !self.listed_on(address).contains(&from))
            })
        };
        // The cloud does not give it to another interface yet, although none of ours shows it.
        let is_withheld = self.cloud.is_some_and(|cloud| cloud.lingering.contains(&address));
        if !(places.is_empty() || is_given()) || is_withheld || self.is_busy(node) {
            return None;
        }
        let mut after = before.guards.of_addresses(self.inputs, &BTreeSet::from([address]));
        after.extend(unlisted.into_iter().flatten());
        Some((node, after))
    }

    /// The interface that gives an address to the one that shall have it, where the cloud moves it in one call.
    fn giver(&self, address: IpAddr, places: &[Place]) -> Option<NodeIndex> {
        let (&[to], &[Place { node: from, movable: true }]) = (self.inputs.carriers_after(address), places) else {
            return None;
        };
        (self.cloud?.moves == Moves::InOneCall && from != to).then_some(from)
    }

    fn on_interface(&self, address: IpAddr, node: NodeIndex) -> Option<&'a InterfaceAddress> {
        self.interface(node)?.addresses.get(&address)
    }

    fn interface(&self, node: NodeIndex) -> Option<&'a InterfaceFacts> {
        self.cloud?.interfaces.get(self.inputs.node_name(node)?)
    }

    /// Whether the interface of a node cannot be written now: it is under way, or there is none.
    fn is_busy(&self, node: NodeIndex) -> bool {
        self.cloud.is_some() && self.interface(node).is_none_or(|interface| interface.busy)
    }
}

/// The nodes whose carrier lists an address, for all addresses.
fn listed(observed: &Observed, snapshot: &Snapshot) -> BTreeMap<IpAddr, Vec<NodeIndex>> {
    let mut listed: BTreeMap<IpAddr, Vec<NodeIndex>> = BTreeMap::new();
    for (name, facts) in &observed.carriers {
        let Some(node) = snapshot.node_named(name) else { continue };
        let addresses: BTreeSet<IpAddr> = facts.egress_ips.iter().filter_map(Listed::address).collect();
        for address in addresses {
            listed.entry(address).or_default().push(node);
        }
    }
    listed
}

/// Addresses that interfaces have under our names for nobody. Each namespace that leaves asks for them, so they are looked
/// up once.
fn left_behind<'a>(inputs: &Inputs<'_>, interfaces: impl Iterator<Item = &'a InterfaceFacts>) -> BTreeSet<IpAddr> {
    let ours = interfaces.flat_map(|interface| &interface.addresses).filter(|(_, on)| on.ours);
    let is_an_owners = |holding: &Holding| matches!(holding.holder, Holder::Owner(_));
    let is_for_nobody = |address: &IpAddr| {
        // What a stranger holds is none of the snapshot's assignments.
        inputs.snapshot.carriers(*address).next().is_some()
            && !inputs.plan.end().holders_of(*address).iter().any(is_an_owners)
    };
    ours.map(|(&address, _)| address).filter(is_for_nobody).collect()
}
