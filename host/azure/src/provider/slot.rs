//! One interface: what was last read of it, what is under way, and its rest after a failure. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use sluice_core::cloud::{InterfaceAddress, InterfaceFacts};
use sluice_core::snapshot::{Capacity, Phase};

use crate::nic::{Interface, LIMIT, Pools, ProvisioningState};

/// A change under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) on: BTreeSet<IpAddr>,
    pub(crate) off: BTreeSet<IpAddr>,
    pub(crate) pools: Pools,
}

/// What a worker is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Write other configurations, or the same once more if its last change failed.
    Change(Change),
    /// Read it until it is at rest.
    Watch,
}

/// What there is to do, and whether a worker does it.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) task: Task,
    pub(crate) order: u64,
    pub(crate) runs: bool,
}

/// One interface.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) view: Interface,
    /// When it was read.
    pub(crate) read_at: Duration,
    /// The last attempt to read it failed.
    pub(crate) unread: bool,
    pub(crate) work: Option<Work>,
    pub(crate) paused_until: Duration,
    pub(crate) complaint: Option<String>,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Most addresses to put on at once, while it is being found out which one is bad.
    pub(crate) narrow: Option<usize>,
    /// The address that was refused alone since the last success, and is taken for the bad one.
    pub(crate) suspect: Option<IpAddr>,
    /// Addresses that were refused alone, without being named, and that this interface does without for a while.
    pub(crate) avoided: BTreeMap<IpAddr, Avoided>,
    /// Addresses whose change failed, so that nobody knows whether they work.
    pub(crate) unsure: BTreeSet<IpAddr>,
    /// Addresses of ours that Azure is still taking off, although it shows them no more.
    pub(crate) leaving: BTreeSet<IpAddr>,
    /// It was being updated when it was first seen, and still is: nobody knows what it gives back.
    may_hide_removals: bool,
}

/// The first span for which an address is avoided; it doubles with each refusal, up to an hour.
const AVOIDED: Duration = Duration::from_mins(1);
const LONGEST_AVOIDED: Duration = Duration::from_hours(1);

/// Why an address is not put onto an interface for a while.
#[derive(Clone, Debug)]
pub(crate) struct Avoided {
    pub(crate) until: Duration,
    span: Duration,
    pub(crate) text: String,
}

impl Slot {
    pub(crate) fn new(view: Interface, read_at: Duration) -> Self {
        Self {
            may_hide_removals: view.state == ProvisioningState::Updating,
            view,
            read_at,
            unread: false,
            work: None,
            paused_until: Duration::ZERO,
            complaint: None,
            failures: 0,
            narrow: None,
            suspect: None,
            avoided: BTreeMap::new(),
            unsure: BTreeSet::new(),
            leaving: BTreeSet::new(),
        }
    }

    /// Takes over what was read. A release shows as soon as it is accepted, and the addresses are free when it ends.
    pub(crate) fn see(&mut self, view: Interface) {
        if view.state == ProvisioningState::Updating {
            let ours = self.view.addresses().into_iter().filter(|(_, ours)| *ours).map(|(address, _)| address);
            self.leaving.extend(ours);
            self.leaving.retain(|address| !view.has(*address));
        } else {
            self.leaving.clear();
            self.may_hide_removals = false;
        }
        self.view = view;
    }

    /// Whether it is not known yet what becomes of its addresses of ours.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.work.is_some() || !self.leaving.is_empty()
    }

    fn is_paused(&self, now: Duration) -> bool {
        now < self.paused_until
    }

    /// Whether it is not to be written now.
    pub(crate) fn is_busy(&self, now: Duration) -> bool {
        self.work.is_some()
            || self.is_paused(now)
            || self.view.state == ProvisioningState::Updating
            || self.own_task(now).is_some()
    }

    /// What is to be done about it although nobody asked.
    pub(crate) fn own_task(&self, now: Duration) -> Option<Task> {
        if self.work.is_some() || self.is_paused(now) {
            return None;
        }
        match self.view.state {
            _ if self.unread => Some(Task::Watch),
            ProvisioningState::Updating => Some(Task::Watch),
            ProvisioningState::Failed | ProvisioningState::Succeeded => None,
        }
    }

    /// Whether its last change failed and it is ours to mend. One that never had an address of ours is somebody else's,
    /// until it is to get one.
    pub(crate) fn is_failed(&self) -> bool {
        self.view.state == ProvisioningState::Failed && (self.view.has_ours() || !self.unsure.is_empty())
    }

    /// Narrows a change down to what may be tried: releases alone, then fewer and fewer additions, those that were
    /// refused alone last.
    pub(crate) fn narrowed(&self, on: BTreeSet<IpAddr>, off: BTreeSet<IpAddr>) -> (BTreeSet<IpAddr>, BTreeSet<IpAddr>) {
        match self.narrow {
            None => (on, off),
            Some(_) if !off.is_empty() => (BTreeSet::new(), off),
            Some(most) => {
                let (blamed, good): (Vec<IpAddr>, Vec<IpAddr>) =
                    on.into_iter().partition(|address| self.avoided.contains_key(address));
                (good.into_iter().chain(blamed).take(most).collect(), off)
            }
        }
    }

    /// An address was refused alone, without being named.
    pub(crate) fn avoid(&mut self, address: IpAddr, text: String, now: Duration) {
        let span = self.avoided.get(&address).map_or(AVOIDED, |before| (before.span * 2).min(LONGEST_AVOIDED));
        self.avoided.insert(address, Avoided { until: now + span, span, text });
    }

    /// Whether an address is not put on now.
    pub(crate) fn avoids(&self, address: IpAddr, now: Duration) -> bool {
        self.avoided.get(&address).is_some_and(|avoided| now < avoided.until)
    }

    /// Forgets refusals that are long over. When the next one is.
    pub(crate) fn tick(&mut self, now: Duration) -> Option<Duration> {
        self.avoided.retain(|_, avoided| now < avoided.until + LONGEST_AVOIDED);
        let ends = self.avoided.values().map(|avoided| avoided.until).chain([self.paused_until]);
        ends.filter(|end| *end > now).min()
    }

    pub(crate) fn facts(&self, subnet: &[IpNet], writes: bool, now: Duration) -> InterfaceFacts {
        let mut addresses: BTreeMap<IpAddr, InterfaceAddress> = self
            .view
            .addresses()
            .into_iter()
            .map(|(address, ours)| (address, InterfaceAddress { ours, phase: self.phase(address, ours, writes) }))
            .collect();
        let leaving = InterfaceAddress { ours: true, phase: Phase::Leaving };
        addresses.extend(self.leaving.iter().map(|address| (*address, leaving)));
        if let Some(Work { task: Task::Change(change), .. }) = &self.work {
            let mut mark = |address: &IpAddr, phase: Phase| {
                let entry = addresses.entry(*address).or_insert(InterfaceAddress { ours: true, phase });
                entry.phase = phase;
            };
            change.off.iter().for_each(|address| mark(address, Phase::Leaving));
            change.on.iter().for_each(|address| mark(address, Phase::Arriving));
        }
        let own = self.view.configurations.iter().filter(|configuration| configuration.primary).count();
        let own = u32::try_from(own).unwrap_or(LIMIT);
        InterfaceFacts {
            version: self.view.etag.clone(),
            subnet: subnet.to_vec(),
            addresses,
            // Azure counts both families together.
            limit: Capacity { total: Some(LIMIT.saturating_sub(own)), ..Capacity::default() },
            own,
            busy: writes && self.is_busy(now),
            failed: writes && self.is_failed(),
            may_hide_removals: writes && self.may_hide_removals,
            complaint: self.complaint.clone(),
        }
    }

    /// Of an address that is there. While an interface is being updated by a write that nobody here knows of, nobody
    /// knows either whether an address is new.
    fn phase(&self, address: IpAddr, ours: bool, writes: bool) -> Phase {
        let is_unsure = match self.view.state {
            ProvisioningState::Updating => self.work.as_ref().is_none_or(|work| !matches!(work.task, Task::Change(_))),
            ProvisioningState::Failed => self.unsure.contains(&address),
            ProvisioningState::Succeeded => false,
        };
        if writes && ours && is_unsure { Phase::Arriving } else { Phase::Settled }
    }
}
