//! A cluster in memory: facts, the writes that change them, and a stand-in for the controller of OpenShift SDN.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sluice_core::name::{NodeName, OwnerName};
use sluice_core::network::{Change, Network, Target, Write};
use sluice_core::observed::{Listed, Observed};
use sluice_core::round::{Outcome, Round};
use sluice_core::snapshot::Phase;

use crate::honest;

#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) observed: Observed,
    /// An address was on two interfaces from the start.
    pub(crate) was_twice: bool,
}

impl Cluster {
    /// One round with the honest policy; nothing is written.
    pub(crate) fn plan(&self, avoid: &BTreeSet<Target>) -> (Round, Outcome) {
        let round = Round::prepare_again(&self.observed, avoid);
        let answer = honest::plan(round.policy_input());
        let outcome = round.finish(&self.observed, Ok(answer), avoid);
        (round, outcome)
    }

    /// Every write changes something, an interface one that is at rest, and only what is ours to change.
    pub(crate) fn apply(&mut self, write: &Write) {
        if let (Target::Interface(name), Change::Interface { on, off }) = (&write.target, &write.change) {
            let cloud = self.observed.cloud.as_ref().expect("there is a cloud");
            assert!(cloud.writes, "interfaces are only read");
            let there = &cloud.interfaces[name].addresses;
            assert!(off.iter().all(|address| there[address].ours), "{write:?} takes a stranger's address");
            assert!(!on.iter().any(|address| there.contains_key(address)), "{write:?} adds what is there already");
        }
        assert!(self.observed.carry_out(write), "{write:?} changes nothing");
    }

    /// The cloud finishes the updates of interfaces, all or only some.
    pub(crate) fn run_cloud(&mut self, mut done: impl FnMut() -> bool) {
        self.observed.end_updates(|_| done());
        if self.was_twice {
            return;
        }
        let mut times: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for interface in self.observed.cloud.iter().flat_map(|cloud| cloud.interfaces.values()) {
            interface.addresses.keys().for_each(|&address| *times.entry(address).or_default() += 1);
        }
        for (address, count) in times {
            assert!(count < 2, "{address} is on {count} interfaces");
        }
    }

    /// What the runtime remembers between rounds.
    pub(crate) fn remember(&mut self, outcome: &Outcome) {
        let mut promises = self.observed.promises.clone();
        promises.extend(outcome.promises.clone());
        self.observed.promise(&promises);
    }

    /// Applies a schedule in order; those that fail, and those that depend on them, are left out.
    pub(crate) fn apply_all(&mut self, writes: &[Write], fails: impl Fn(usize) -> bool, mut seen: impl FnMut(&Self)) {
        let mut done = vec![false; writes.len()];
        for (position, write) in writes.iter().enumerate() {
            let ready = write.after.iter().all(|&before| done[before])
                && (write.after_any.is_empty() || write.after_any.iter().any(|&before| done[before]));
            if ready && !fails(position) {
                self.apply(write);
                done[position] = true;
                seen(self);
            }
        }
    }

    pub(crate) fn held(&self, owner: &OwnerName) -> BTreeSet<IpAddr> {
        let facts = self.observed.holdings.get(owner);
        facts.into_iter().flat_map(|facts| &facts.egress_ips).filter_map(Listed::address).collect()
    }

    pub(crate) fn holders(&self) -> BTreeMap<IpAddr, BTreeSet<OwnerName>> {
        let mut holders: BTreeMap<IpAddr, BTreeSet<OwnerName>> = BTreeMap::new();
        for name in self.observed.holdings.keys() {
            for address in self.held(name) {
                holders.entry(address).or_default().insert(name.clone());
            }
        }
        holders
    }

    pub(crate) fn carriers(&self) -> BTreeMap<IpAddr, BTreeSet<NodeName>> {
        let mut carriers: BTreeMap<IpAddr, BTreeSet<NodeName>> = BTreeMap::new();
        for (name, facts) in &self.observed.carriers {
            for address in facts.egress_ips.iter().filter_map(Listed::address) {
                carriers.entry(address).or_default().insert(name.clone());
            }
        }
        carriers
    }

    /// Whether the cloud lets an address reach a node.
    pub(crate) fn arrives(&self, address: IpAddr, node: &NodeName) -> bool {
        let Some(cloud) = &self.observed.cloud else { return true };
        let on = cloud.interfaces.get(node).and_then(|interface| interface.addresses.get(&address));
        on.is_some_and(|on| on.phase == Phase::Settled)
    }

    /// Addresses of ours on interfaces.
    pub(crate) fn on_interfaces(&self) -> BTreeSet<IpAddr> {
        let interfaces = self.observed.cloud.iter().flat_map(|cloud| cloud.interfaces.values());
        let addresses = interfaces.flat_map(|interface| &interface.addresses);
        addresses.filter(|(_, on)| on.ours).map(|(&address, _)| address).collect()
    }

    pub(crate) fn is_live(&self, node: &NodeName) -> bool {
        self.observed.nodes.get(node).is_some_and(|facts| facts.ready)
    }

    /// What the network does by itself in a second.
    pub(crate) fn run_network(&mut self) {
        self.observed.now += 1_000;
        match self.observed.network {
            Network::OpenShiftSdn => sluice_sandbox::sdn::act(&mut self.observed),
            Network::OvnKubernetes => {
                sluice_sandbox::ovn::act(&mut self.observed, 1);
            }
        }
    }

    /// Plans and writes until there is nothing to do; the number of rounds, or none if that does not end.
    pub(crate) fn converge(&mut self, most: usize) -> Option<usize> {
        for round in 0..most {
            self.run_network();
            self.run_cloud(|| true);
            let (_, outcome) = self.plan(&BTreeSet::new());
            assert!(outcome.failure().is_none(), "{:?}\n{}", outcome.failure(), crate::text::state(self));
            if outcome.writes.is_empty() {
                return Some(round);
            }
            self.apply_all(&outcome.writes, |_| false, |_| ());
            self.remember(&outcome);
        }
        None
    }
}
