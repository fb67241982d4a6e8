//! Everything that the provider knows, and what follows from it. Pure: the time is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use sluice_core::cloud::{CloudFacts, Moves};
use sluice_core::name::NodeName;

use super::NotSubmitted;
use super::pause::{Blame, after, membership, passed_over, words};
use super::refused::Refused;
use super::slot::{Change, Slot, Task, Work};
use crate::arm::{ArmError, ErrorKind};
use crate::id::ResourceId;
use crate::inventory::{Judged, Listing, groups_of, judge};
use crate::machine::{LoadBalancerChoice, MachineRef, Named};
use crate::nic::{Interface, Pools};

/// What a worker is to do to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) interface: ResourceId,
    /// The term in which it began.
    pub(crate) term: u64,
    pub(crate) task: Task,
}

/// What a worker saw when it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Interface(Interface),
    Gone,
    /// It could not be read.
    Nothing,
}

/// What came of a job.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) seen: Seen,
    pub(crate) failure: Option<ArmError>,
}

/// Most listings in a row that are not believed. They are some minutes apart at last.
const MOST_DOUBTED: u32 = 5;

/// A time for which we may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Term {
    number: u64,
    since: Duration,
}

/// The provider's knowledge.
#[derive(Debug, Default)]
pub(crate) struct State {
    nodes: Option<BTreeMap<NodeName, MachineRef>>,
    writes: bool,
    /// None: somebody else may be writing.
    term: Option<Term>,
    terms: u64,
    listing: Option<Listing>,
    /// When the listing began.
    listed_from: Duration,
    judged: Judged,
    slots: BTreeMap<ResourceId, Slot>,
    refused: Refused,
    /// Listings in a row that were not believed.
    doubted: u32,
    /// Why the last reading of the cloud failed.
    blind: Option<String>,
    /// Load balancer pools that new addresses did not join.
    passed_over: BTreeSet<ResourceId>,
    orders: u64,
    /// Something was seen that the lists should tell more of.
    is_curious: bool,
}

impl State {
    pub(crate) fn new(writes: bool) -> Self {
        Self { writes, ..Self::default() }
    }

    pub(crate) fn nodes(&self) -> Option<&BTreeMap<NodeName, MachineRef>> {
        self.nodes.as_ref()
    }

    /// Takes over the nodes. Whether there is one whose machine has not been looked for yet.
    pub(crate) fn set_nodes(&mut self, nodes: BTreeMap<NodeName, MachineRef>) -> bool {
        let before = self.nodes.replace(nodes);
        self.judge();
        let known = |name: &NodeName, machine: &MachineRef| {
            before
                .as_ref()
                .and_then(|before| before.get(name))
                .is_some_and(|known| known.provider_id == machine.provider_id && known.machine == machine.machine)
        };
        let nodes = self.nodes.iter().flatten();
        before.is_none()
            || nodes.into_iter().any(|(name, machine)| !known(name, machine) && self.judged.unusable.contains_key(name))
    }

    pub(crate) fn writes(&self) -> bool {
        self.writes
    }

    pub(crate) fn set_writes(&mut self, writes: bool) {
        self.writes = writes;
    }

    pub(crate) fn may_write(&self) -> bool {
        self.term.is_some()
    }

    /// From now on we may write, or may not. What has not begun yet is dropped: others decide.
    pub(crate) fn set_may_write(&mut self, may_write: bool, now: Duration) {
        self.terms += 1;
        self.term = may_write.then_some(Term { number: self.terms, since: now });
        for slot in self.slots.values_mut() {
            slot.work = slot.work.take().filter(|work| work.runs);
        }
    }

    /// The number of the term; zero: there is none.
    pub(crate) fn term(&self) -> u64 {
        self.term.map_or(0, |term| term.number)
    }

    /// Whether the lists are older than our term: whoever wrote before may have changed what they show.
    pub(crate) fn is_outdated(&self) -> bool {
        self.term.is_some_and(|term| self.listing.is_none() || self.listed_from < term.since)
    }

    /// New credentials: what was not allowed may be now.
    pub(crate) fn forgive(&mut self) {
        for slot in self.slots.values_mut().filter(|slot| slot.failures > 0) {
            slot.paused_until = Duration::ZERO;
            slot.complaint = None;
        }
    }

    /// Which resource groups to list; none: the nodes are not known yet.
    pub(crate) fn groups(&self, subscription: &str) -> Option<BTreeSet<String>> {
        let nodes = self.nodes.as_ref()?.iter();
        let ids: Vec<ResourceId> = nodes
            .filter_map(|(name, machine)| match machine.named(name.as_str()) {
                Ok(Named::Id(id)) => Some(id),
                _ => None,
            })
            .collect();
        // Where addresses of ours still are, the last Node may be gone.
        let left = self.slots.iter().filter(|(_, slot)| slot.view.has_ours() || slot.is_unsettled());
        Some(groups_of(subscription, ids.iter().chain(left.map(|(id, _)| id))))
    }

    /// Why a listing is not to be believed yet: Azure may say for a while that a resource group is not there. All that is
    /// in it would be gone, and who left would be told so.
    pub(crate) fn doubts(&mut self, listing: &Listing) -> Option<String> {
        let group = match &self.listing {
            Some(before) => {
                let there = before.interfaces.keys().chain(before.subnets.keys());
                let there: BTreeSet<String> = there.map(|id| id.group().to_ascii_lowercase()).collect();
                listing.missing.iter().find(|group| there.contains(*group))
            }
            None => listing.missing.first().filter(|_| listing.interfaces.is_empty()),
        };
        if group.is_none() || self.doubted >= MOST_DOUBTED {
            self.doubted = 0;
            return None;
        }
        self.doubted += 1;
        group.map(|group| format!("azure says that resource group {group} is not there"))
    }

    /// Takes over what was listed from a time on.
    pub(crate) fn listed(&mut self, mut listing: Listing, started: Duration, now: Duration) {
        for (id, interface) in &mut listing.interfaces {
            match self.slots.get_mut(id) {
                // It was read later than the list was.
                Some(slot) if slot.read_at > started => *interface = slot.view.clone(),
                Some(slot) => {
                    slot.see(interface.clone());
                    slot.read_at = now;
                }
                None => {
                    self.slots.insert(id.clone(), Slot::new(interface.clone(), now));
                }
            }
        }
        let gone: Vec<ResourceId> = self
            .slots
            .iter()
            .filter(|(id, slot)| {
                !listing.interfaces.contains_key(*id) && slot.work.is_none() && slot.read_at <= started
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.slots.remove(&id);
        }
        let joinable = listing.joinable();
        self.passed_over.retain(|pool| !joinable.contains(pool));
        self.listing = Some(listing);
        self.listed_from = started;
        self.blind = None;
        self.judge();
    }

    /// The cloud could not be read.
    pub(crate) fn not_listed(&mut self, why: String) {
        self.blind = Some(why);
    }

    /// Why the lists could not be read the last time.
    pub(crate) fn obstacle(&self) -> Option<String> {
        self.blind.clone()
    }

    fn judge(&mut self) {
        let (Some(listing), Some(nodes)) = (&self.listing, &self.nodes) else { return };
        let before = std::mem::take(&mut self.judged).carriers;
        self.judged = judge(listing, nodes, &before);
        // An interface without Node shows no address of ours as soon as their release is accepted. It stays a carrier
        // until that has ended: the addresses are not free before.
        let carriers = &mut self.judged.carriers;
        for (name, id) in before {
            let is_left_behind = || !nodes.contains_key(&name) && !carriers.values().any(|carrier| *carrier == id);
            if self.slots.get(&id).is_some_and(Slot::is_unsettled) && is_left_behind() {
                carriers.entry(name).or_insert(id);
            }
        }
    }

    fn slot_of(&self, node: &NodeName) -> Option<&Slot> {
        self.slots.get(self.judged.carriers.get(node)?)
    }

    fn choice(&self, node: &NodeName) -> LoadBalancerChoice {
        let node = self.nodes.as_ref().and_then(|nodes| nodes.get(node));
        node.map_or(LoadBalancerChoice::None, |node| node.pools)
    }

    /// Takes up a change; of an interface whose last one failed also one that changes nothing.
    pub(crate) fn submit(
        &mut self,
        now: Duration,
        node: &NodeName,
        on: &BTreeSet<IpAddr>,
        off: &BTreeSet<IpAddr>,
    ) -> Result<(), NotSubmitted> {
        let is_ready = self.nodes.is_some() && self.term.is_some() && !self.is_outdated();
        let listing = self.listing.as_ref().filter(|_| is_ready).ok_or(NotSubmitted::NotReady)?;
        if !self.writes {
            return Err(NotSubmitted::ReadOnly);
        }
        let pools = match self.choice(node) {
            LoadBalancerChoice::None => Pools::None,
            LoadBalancerChoice::SameAsPrimary => Pools::SameAsPrimary(listing.joinable()),
        };
        let id = self.judged.carriers.get(node).ok_or_else(|| NotSubmitted::NoInterface(node.clone()))?;
        let slot = self.slots.get_mut(id).ok_or_else(|| NotSubmitted::NoInterface(node.clone()))?;
        if slot.is_busy(now) {
            return Err(NotSubmitted::Busy(node.clone()));
        }
        let there = slot.view.addresses();
        let wanted: BTreeSet<IpAddr> = on.iter().filter(|address| !slot.view.has(**address)).copied().collect();
        let is_bad = |address| self.refused.contains(address, now) || slot.avoids(address, now);
        let good = wanted.iter().copied().filter(|address| !is_bad(*address));
        let off = off.difference(on).filter(|address| there.get(*address) == Some(&true)).copied();
        let (on, off) = slot.narrowed(good.collect(), off.collect());
        if on.is_empty() && off.is_empty() && !slot.is_failed() {
            return if wanted.is_empty() { Ok(()) } else { Err(NotSubmitted::Refused(node.clone())) };
        }
        self.orders += 1;
        let task = Task::Change(Change { on, off, pools });
        slot.work = Some(Work { task, order: self.orders, runs: false });
        Ok(())
    }

    /// The next thing to do, if there is any. It counts as being done from now on.
    pub(crate) fn next_job(&mut self, now: Duration) -> Option<Job> {
        let term = self.term?.number;
        if self.writes {
            for id in self.judged.carriers.values() {
                let Some(slot) = self.slots.get_mut(id) else { continue };
                if let Some(task) = slot.own_task(now) {
                    self.orders += 1;
                    slot.work = Some(Work { task, order: self.orders, runs: false });
                }
            }
        }
        let waiting = self.slots.iter_mut().filter_map(|(id, slot)| Some((id, slot.work.as_mut()?)));
        let (id, work) = waiting.filter(|(_, work)| !work.runs).min_by_key(|(_, work)| work.order)?;
        work.runs = true;
        Some(Job { interface: id.clone(), term, task: work.task.clone() })
    }

    /// Takes over what came of a job.
    pub(crate) fn finish(&mut self, job: &Job, report: Report, now: Duration) {
        let Some(slot) = self.slots.get_mut(&job.interface) else { return };
        slot.work = None;
        slot.read_at = now;
        slot.unread = false;
        match report.seen {
            Seen::Gone => {
                self.slots.remove(&job.interface);
                self.is_curious = true;
                return;
            }
            Seen::Nothing => slot.unread = true,
            Seen::Interface(view) => {
                slot.avoided.retain(|address, _| !view.has(*address));
                view.addresses().keys().for_each(|address| self.refused.was_given(*address));
                // Who is judged next is judged by this, too.
                let listed = self.listing.as_mut().and_then(|listing| listing.interfaces.get_mut(&job.interface));
                if let Some(listed) = listed {
                    listed.clone_from(&view);
                }
                slot.see(view);
            }
        }
        let Some(error) = report.failure else {
            if let Task::Change(Change { on, pools: Pools::SameAsPrimary(joinable), .. }) = &job.task
                && !on.is_empty()
            {
                let own = slot.view.own().into_iter().flat_map(|own| &own.pools);
                self.passed_over.extend(own.filter(|pool| !joinable.contains(*pool)).cloned());
            }
            slot.failures = 0;
            slot.complaint = None;
            slot.suspect = None;
            slot.paused_until = Duration::ZERO;
            slot.unsure.clear();
            slot.narrow = slot.narrow.map(|most| most.saturating_mul(2)).filter(|most| *most < 256);
            return;
        };
        slot.failures = slot.failures.saturating_add(1);
        let failures = slot.failures;
        let mut blame = Blame::Unknown;
        if let Task::Change(change) = &job.task {
            slot.unsure.extend(&change.on);
            blame = self.blame(&job.interface, change, &error, now);
        }
        if let Some(slot) = self.slots.get_mut(&job.interface) {
            let rest = after(&error, failures, blame);
            slot.paused_until = now + rest.span;
            slot.complaint = rest.complaint;
        }
    }

    /// Finds out which address of a change is to blame, so that the others get on.
    fn blame(&mut self, interface: &ResourceId, change: &Change, error: &ArmError, now: Duration) -> Blame {
        match &error.kind {
            ErrorKind::AddressTaken { address, by } => {
                let single = || change.on.first().copied().filter(|_| change.on.len() == 1);
                let Some(address) = address.filter(|address| change.on.contains(address)).or_else(single) else {
                    return self.narrow(interface, change, error, now);
                };
                let is_first = self.refused.is_taken(address, now);
                // If it was not expected to have it, there is more to see.
                let holder = by.as_ref().and_then(|holder| self.slots.get(&holder.resource()));
                self.is_curious |= is_first && !holder.is_some_and(|slot| slot.view.has(address));
                Blame::Found
            }
            ErrorKind::BadAddress(address) if change.on.contains(address) => {
                self.refused.is_lost(*address, words(error), now);
                Blame::Found
            }
            // What Azure does not understand, or forbids, in a body that was fine before.
            ErrorKind::Permanent if error.status == Some(400) => self.narrow(interface, change, error, now),
            _ => Blame::Unknown,
        }
    }

    /// A refusal that names no address: next time fewer are tried, and this interface does without one that is refused
    /// alone. If the next one is refused alone, too, it is not the addresses: all of them wait for the interface.
    fn narrow(&mut self, interface: &ResourceId, change: &Change, error: &ArmError, now: Duration) -> Blame {
        let Some(slot) = self.slots.get_mut(interface) else { return Blame::Unknown };
        if change.on.len() > 1 || !(change.on.is_empty() || change.off.is_empty()) {
            slot.narrow = Some((change.on.len() / 2).max(1));
            return Blame::Narrowed;
        }
        if let Some(&address) = change.on.first() {
            match slot.suspect {
                Some(suspect) if suspect != address => drop(slot.avoided.remove(&suspect)),
                _ => {
                    slot.suspect = Some(address);
                    slot.avoid(address, format!("{address} cannot be put on {}: {error}", interface.name()), now);
                }
            }
        }
        Blame::Unknown
    }

    /// Whether the lists should be read before their time. Asked once, it is forgotten.
    pub(crate) fn take_curiosity(&mut self) -> bool {
        std::mem::take(&mut self.is_curious)
    }

    /// Forgets what is over. When something changes next without anybody doing anything.
    pub(crate) fn tick(&mut self, now: Duration) -> Option<Duration> {
        let slots = self.slots.values_mut().filter_map(|slot| slot.tick(now)).min();
        [self.refused.tick(now), slots].into_iter().flatten().min()
    }

    /// Addresses of ours on a node's interface that load balancers send requests to, although they should stay out there.
    fn balanced<'a>(&'a self, node: &'a NodeName, id: &'a ResourceId) -> impl Iterator<Item = (IpAddr, String)> {
        let slot = self.slots.get(id).filter(|_| self.choice(node) == LoadBalancerChoice::None);
        let all = slot.into_iter().flat_map(|slot| &slot.view.configurations).filter(|one| one.is_ours());
        all.filter(|one| !one.pools.is_empty())
            .filter_map(move |one| Some((one.address?, membership(node, id, &one.name, &one.pools))))
    }

    pub(crate) fn facts(&self, now: Duration, is_closed: bool) -> Option<CloudFacts> {
        let listing = self.listing.as_ref().filter(|_| self.nodes.is_some() && !self.is_outdated())?;
        let subnet = |slot: &Slot| -> &[ipnet::IpNet] {
            let subnet = slot.view.own().and_then(|own| own.subnet.as_ref());
            subnet.and_then(|subnet| listing.subnets.get(subnet)).map(Vec::as_slice).unwrap_or_default()
        };
        let interfaces = self.judged.carriers.keys().filter_map(|node| Some((node, self.slot_of(node)?)));
        let interfaces =
            interfaces.map(|(node, slot)| (node.clone(), slot.facts(subnet(slot), self.writes, now))).collect();
        let avoided = || {
            let all = self.slots.values().flat_map(|slot| &slot.avoided);
            all.filter(|(_, avoided)| now < avoided.until)
        };
        let closed =
            is_closed.then(|| "azure allows no more writes of this subscription for now (HTTP 429)".to_owned());
        Some(CloudFacts {
            writes: self.writes,
            // Azure refuses an address that any interface of the network has.
            moves: Moves::OffThenOn,
            interfaces,
            unusable: self.judged.unusable.clone(),
            occupied: self.judged.occupied.iter().copied().chain(self.refused.lost(now)).collect(),
            reserved: self.judged.reserved.clone(),
            lingering: self.refused.lingering(now),
            doubtful: self.refused.doubtful().chain(avoided().map(|(address, _)| *address)).collect(),
            passed_over: self.passed_over.iter().map(passed_over).collect(),
            balanced: self.judged.carriers.iter().flat_map(|(node, id)| self.balanced(node, id)).collect(),
            complaints: self
                .blind
                .iter()
                .cloned()
                .chain(closed)
                .chain(listing.complaints.iter().cloned())
                .chain(self.refused.complaints(now))
                .chain(avoided().map(|(_, avoided)| avoided.text.clone()))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests;
