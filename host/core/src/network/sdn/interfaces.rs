//! Interfaces of a cloud: what each gets and loses, as far as that can begin now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::Draft;
use super::carry::Holders;
use crate::cloud::{InterfaceAddress, InterfaceFacts, Moves};
use crate::name::NodeIndex;
use crate::network::{Change, Target};
use crate::observed::{Listed, Observed};
use crate::plan::Holder;
use crate::snapshot::{Phase, Snapshot};
use crate::verify::{Holding, VerifiedPlan};

/// What one interface gets and loses, and the writes that must have happened before.
#[derive(Default)]
struct InterfaceLoad {
    on: BTreeSet<IpAddr>,
    off: BTreeSet<IpAddr>,
    after: Vec<usize>,
}

/// The nodes whose `HostSubnet` lists an address, where that is not all there is to carrying it.
pub(super) fn listed(observed: &Observed, snapshot: &Snapshot) -> Option<BTreeMap<IpAddr, Vec<NodeIndex>>> {
    observed.written_interfaces()?;
    let mut listed: BTreeMap<IpAddr, Vec<NodeIndex>> = BTreeMap::new();
    for (name, facts) in &observed.carriers {
        let Some(node) = snapshot.node_named(name) else { continue };
        let addresses: BTreeSet<IpAddr> = facts.egress_ips.iter().filter_map(Listed::address).collect();
        for address in addresses {
            listed.entry(address).or_default().push(node);
        }
    }
    Some(listed)
}

impl Draft<'_> {
    /// The nodes whose `HostSubnet` lists an address.
    pub(super) fn listed_on(&self, address: IpAddr) -> Vec<NodeIndex> {
        match &self.listed {
            None => self.snapshot.carriers(address).collect(),
            Some(listed) => listed.get(&address).cloned().unwrap_or_default(),
        }
    }

    /// Whether a `HostSubnet` may list an address: the interface has it, so that traffic can come back, the pool uses
    /// the node, and no other address of the owner is there. A policy chose no such node, but an interface may have
    /// been found with what nobody chose.
    pub(super) fn may_list(&self, address: IpAddr, node: NodeIndex) -> bool {
        self.listed.is_none()
            || self.on_interface(address, node).is_some_and(|on| on.phase == Phase::Settled)
                && self.owner_after(address).is_some_and(|owner| {
                    let end = self.plan.end();
                    let pool = self.snapshot.owner(owner).map(|owner| owner.pool);
                    let mut others = self.allocations.get(owner.position()).into_iter().flatten();
                    pool.is_some_and(|pool| self.snapshot.may_carry(pool, None, node))
                        && !others
                            .any(|other| other.address != address && end.carriers_of(other.address).contains(&node))
                })
    }

    /// Addresses whose place is, or will be, another one than what is seen, and that do not wait: with a cloud also those
    /// that only one of `HostSubnet` and interface has.
    pub(super) fn unsettled(&self) -> BTreeSet<IpAddr> {
        let mut unsettled = self.moving();
        if self.listed.is_some() {
            let carried = self.plan.end().carried();
            let differs = |(address, nodes): &(IpAddr, &[NodeIndex])| {
                let listed = self.listed_on(*address);
                nodes.iter().any(|node| !listed.contains(node) || self.on_interface(*address, *node).is_none())
            };
            unsettled.extend(carried.filter(differs).map(|(address, _)| address));
        }
        unsettled.retain(|address| !self.waiting.contains(address));
        unsettled
    }

    fn on_interface(&self, address: IpAddr, node: NodeIndex) -> Option<&InterfaceAddress> {
        self.interface(node)?.addresses.get(&address)
    }

    fn interface(&self, node: NodeIndex) -> Option<&InterfaceFacts> {
        self.observed.interface(self.node_name(node)?)
    }

    fn is_busy(&self, node: NodeIndex) -> bool {
        self.listed.is_some() && self.interface(node).is_none_or(|interface| interface.busy)
    }

    /// Whether an address would be taken off a node that works before the cloud can move it on, or cannot be moved. A node
    /// that has no interface does not carry it, whatever its `HostSubnet` says.
    pub(super) fn would_get_stuck(&self, address: IpAddr, sources: &[NodeIndex], targets: &[NodeIndex]) -> bool {
        let is_theirs = |&node: &NodeIndex| self.on_interface(address, node).is_some_and(|on| !on.ours);
        let is_live = |&&node: &&NodeIndex| self.snapshot.is_live(node) && self.interface(node).is_some();
        let mut live = sources.iter().filter(is_live).peekable();
        sources.iter().any(is_theirs) || (live.peek().is_some() && live.chain(targets).any(|&node| self.is_busy(node)))
    }

    /// Writes each interface once: what has left its `HostSubnet` goes, what no other interface has comes. One whose last
    /// update failed is written even so.
    pub(super) fn write_interfaces(&mut self, unsettled: &BTreeSet<IpAddr>, holders: &Holders<'_>) {
        if self.listed.is_none() {
            return;
        }
        let mut on_interfaces: BTreeMap<IpAddr, Vec<(NodeIndex, bool)>> = BTreeMap::new();
        let mut loads: BTreeMap<NodeIndex, InterfaceLoad> = BTreeMap::new();
        for (name, interface) in self.observed.written_interfaces().into_iter().flat_map(|cloud| &cloud.interfaces) {
            let Some(node) = self.snapshot.node_named(name) else { continue };
            if interface.failed && !interface.busy {
                loads.entry(node).or_default();
            }
            for (&address, on) in &interface.addresses {
                on_interfaces.entry(address).or_default().push((node, on.ours && on.phase == Phase::Settled));
            }
        }
        for &address in unsettled {
            let on = on_interfaces.get(&address).map(Vec::as_slice).unwrap_or_default();
            self.leave_interfaces(address, on, holders, &mut loads);
            self.enter_interface(address, on, &mut loads);
        }
        for (node, load) in loads {
            if let Some(name) = self.node_name(node).cloned() {
                let change = Change::Interface { on: load.on, off: load.off };
                self.push(Target::Interface(name), change, load.after, Vec::new());
            }
        }
    }

    /// Off the interfaces that shall not have it, once neither a `HostSubnet` nor its holder names it there.
    fn leave_interfaces(
        &mut self,
        address: IpAddr,
        on: &[(NodeIndex, bool)],
        holders: &Holders<'_>,
        loads: &mut BTreeMap<NodeIndex, InterfaceLoad>,
    ) {
        let stay = self.plan.end().carriers_of(address);
        let leave: Vec<NodeIndex> =
            on.iter().filter(|(node, ours)| *ours && !stay.contains(node)).map(|(node, _)| *node).collect();
        if leave.is_empty() || self.given_by(address, on).is_some() {
            return;
        }
        let mut after = Vec::new();
        if self.owner_after(address).is_none() {
            let released: Option<Vec<usize>> =
                holders.get(&address).into_iter().flatten().map(|owner| self.net_of.get(*owner).copied()).collect();
            let Some(released) = released else { return };
            after.extend(released);
        }
        let taken_off = self.taken_off.get(&address).cloned().unwrap_or_default();
        for node in leave {
            let listed = self.listed_on(address).contains(&node);
            if self.is_busy(node) || (listed && taken_off.is_empty()) {
                continue;
            }
            let load = loads.entry(node).or_default();
            load.off.insert(address);
            load.after.extend(after.iter().chain(&taken_off));
        }
    }

    /// The interface that gives an address to the one that shall have it, where the cloud moves it in one call.
    fn given_by(&self, address: IpAddr, on: &[(NodeIndex, bool)]) -> Option<NodeIndex> {
        let moves = self.observed.written_interfaces()?.moves;
        let (&[to], &[(from, true)]) = (self.plan.end().carriers_of(address), on) else { return None };
        (moves == Moves::InOneCall && from != to).then_some(from)
    }

    /// Onto the interface that shall have it, once no other one has it, or from the one that gives it.
    fn enter_interface(
        &mut self,
        address: IpAddr,
        on: &[(NodeIndex, bool)],
        loads: &mut BTreeMap<NodeIndex, InterfaceLoad>,
    ) {
        let &[node] = self.plan.end().carriers_of(address) else { return };
        let lingers = self.observed.written_interfaces().is_some_and(|cloud| cloud.lingering.contains(&address));
        let given = self.given_by(address, on).is_some_and(|from| {
            let listed = self.listed_on(address).contains(&from);
            !self.is_busy(from) && (!listed || self.taken_off.contains_key(&address))
        });
        if !(on.is_empty() || given) || lingers || self.is_busy(node) {
            return;
        }
        let finalizers = self.finalizers_of(&BTreeSet::from([address]), None);
        let taken_off = self.taken_off.get(&address).cloned().unwrap_or_default();
        let load = loads.entry(node).or_default();
        load.on.insert(address);
        load.after.extend(finalizers.into_iter().chain(taken_off));
    }

    /// Whether an address that an annotation states is still on an interface for nobody.
    pub(super) fn lingers(&self, stated: Option<&str>) -> bool {
        let addresses = stated.into_iter().flat_map(|text| text.split(',')).filter_map(|part| part.trim().parse().ok());
        let mut addresses = addresses.filter(|&address| self.listed.is_some() && self.owner_after(address).is_none());
        addresses.any(|address| self.left_behind.contains(&address) || self.may_be_given_back(&IpNet::from(address)))
    }

    /// Whether an interface may still be giving back addresses of a range, without showing them.
    pub(super) fn may_be_given_back(&self, range: &IpNet) -> bool {
        self.obscure.iter().any(|interface| interface.contains(range))
    }
}

/// Addresses that interfaces have under our names for nobody, and interfaces of which nobody knows what they give back.
/// Each namespace that leaves asks for them, so they are looked up once.
pub(super) fn left_behind<'a>(
    observed: &'a Observed,
    snapshot: &Snapshot,
    plan: &VerifiedPlan,
) -> (BTreeSet<IpAddr>, Vec<&'a InterfaceFacts>) {
    let interfaces = || observed.written_interfaces().into_iter().flat_map(|cloud| cloud.interfaces.values());
    let ours = interfaces().flat_map(|interface| &interface.addresses).filter(|(_, on)| on.ours);
    let is_an_owners = |holding: &Holding| matches!(holding.holder, Holder::Owner(_));
    let left = ours.map(|(&address, _)| address).filter(|&address| {
        // What a stranger holds is none of the snapshot's assignments.
        snapshot.carriers(address).next().is_some() && !plan.end().holders_of(address).iter().any(is_an_owners)
    });
    (left.collect(), interfaces().filter(|interface| interface.obscure).collect())
}
