//! The cluster's objects, its clock, and what is due when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use sluice_core::backend::{WriteFailure, Written};
use sluice_core::name::{NodeName, OwnerName};
use sluice_core::network::{Target, Write};
use sluice_core::observed::{Observed, Platform};

use crate::dice::Dice;
use crate::event::Event;
use crate::fault::Faults;
use crate::sdn;

/// Midnight of 1 January 2026, UTC: when the virtual clock starts.
pub const EPOCH_MS: u64 = 1_767_225_600_000;

/// One committed write.
#[derive(Clone, Debug, PartialEq)]
pub struct Landed {
    /// When, in virtual milliseconds since the start.
    pub at: u64,
    /// What.
    pub write: Write,
}

pub(crate) struct World {
    /// Virtual milliseconds since the start.
    pub(crate) now: u64,
    pub(crate) dice: Dice,
    pub(crate) objects: Observed,
    pub(crate) faults: Faults,
    pub(crate) journal: Vec<Landed>,
    /// A future is being driven, so that the clock is somebody's business.
    pub(crate) driven: bool,
    agenda: BTreeMap<(u64, u64), Due>,
    calls: BTreeMap<u64, Call>,
    sequence: u64,
}

/// What happens at a moment.
enum Due {
    /// A write reaches the server.
    Arrives(u64),
    /// Its answer reaches the client.
    Answered(u64),
    /// The network looks at what it has to place.
    NetworkLooks,
    HostSubnetGoes(NodeName),
    NamespaceGoes(OwnerName),
    NetNamespaceGoes(OwnerName),
    Event(Event),
}

/// A write that somebody waits for.
struct Call {
    write: Write,
    resource_version: String,
    answer: Option<Result<Written, WriteFailure>>,
    arrived: bool,
    waker: Option<Waker>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let platform = Platform::SelfManaged("None".to_owned());
        Self {
            now: 0,
            dice: Dice::new(seed),
            objects: Observed { seed, platform, now: EPOCH_MS, words: sdn::WORDS, ..Observed::default() },
            faults: Faults::default(),
            journal: Vec::new(),
            driven: false,
            agenda: BTreeMap::new(),
            calls: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// A new resource version. Every change of any object takes one.
    pub(crate) fn next_version(&mut self) -> String {
        self.objects.next_version()
    }

    /// Does what is due next and moves the clock there. False if nothing is.
    pub(crate) fn step(&mut self) -> bool {
        let Some(((at, _), due)) = self.agenda.pop_first() else { return false };
        self.set_clock(at.max(self.now));
        match due {
            Due::Arrives(call) => self.arrive(call),
            Due::Answered(call) => self.answer(call),
            Due::NetworkLooks => sdn::act(&mut self.objects),
            Due::HostSubnetGoes(name) => self.remove_host_subnet(&name),
            Due::NamespaceGoes(name) => self.remove_namespace(&name),
            Due::NetNamespaceGoes(name) => self.remove_net_namespace(&name),
            Due::Event(event) => self.happen(event),
        }
        true
    }

    /// When the next thing is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.agenda.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn set_clock(&mut self, now: u64) {
        self.now = now;
        self.objects.now = EPOCH_MS + now;
    }

    fn at(&mut self, delay: u64, due: Due) {
        self.sequence += 1;
        self.agenda.insert((self.now + delay, self.sequence), due);
    }

    pub(crate) fn happen_in(&mut self, delay: u64, event: Event) {
        self.at(delay, Due::Event(event));
    }

    /// The network reacts to changes a little later, and to several at once only once.
    pub(crate) fn network_changed(&mut self) {
        if !self.agenda.values().any(|due| matches!(due, Due::NetworkLooks)) {
            let delay = self.dice.between(20, 200);
            self.at(delay, Due::NetworkLooks);
        }
    }

    pub(crate) fn host_subnet_goes(&mut self, name: NodeName) {
        let delay = self.dice.between(100, 2_000);
        self.at(delay, Due::HostSubnetGoes(name));
    }

    pub(crate) fn namespace_goes(&mut self, name: OwnerName) {
        let delay = self.dice.between(1_000, 5_000);
        self.at(delay, Due::NamespaceGoes(name));
    }

    fn remove_namespace(&mut self, name: &OwnerName) {
        if self.objects.namespaces.get(name).is_some_and(|facts| facts.terminating) {
            self.objects.namespaces.remove(name);
            self.next_version();
            let delay = self.dice.between(100, 1_000);
            self.at(delay, Due::NetNamespaceGoes(name.clone()));
        }
    }

    /// Only if the namespace was not created anew in the meantime.
    fn remove_net_namespace(&mut self, name: &OwnerName) {
        if !self.objects.namespaces.contains_key(name) && self.objects.holdings.remove(name).is_some() {
            self.next_version();
            self.network_changed();
        }
    }

    fn remove_host_subnet(&mut self, name: &NodeName) {
        if !self.objects.nodes.contains_key(name) && self.objects.carriers.remove(name).is_some() {
            self.next_version();
            self.network_changed();
        }
    }

    /// A client sends a write. From now on it happens, whether the client waits for it or not.
    pub(crate) fn send(&mut self, write: Write, resource_version: String) -> u64 {
        self.sequence += 1;
        let id = self.sequence;
        self.calls.insert(id, Call { write, resource_version, answer: None, arrived: false, waker: None });
        let delay = self.dice.between(2, 30);
        self.at(delay, Due::Arrives(id));
        id
    }

    fn arrive(&mut self, id: u64) {
        let Some(call) = self.calls.get(&id) else { return };
        let (write, resource_version) = (call.write.clone(), call.resource_version.clone());
        let answer = self.serve(&write, &resource_version);
        if let Some(call) = self.calls.get_mut(&id) {
            call.answer = Some(answer);
        }
        let delay = self.dice.between(2, 30);
        self.at(delay, Due::Answered(id));
    }

    fn answer(&mut self, id: u64) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.arrived = true;
            if let Some(waker) = call.waker.take() {
                waker.wake();
            }
        }
    }

    /// The answer, if it is there; else the waker is told when it is.
    pub(crate) fn receive(&mut self, id: u64, waker: &Waker) -> Option<Result<Written, WriteFailure>> {
        let call = self.calls.get_mut(&id)?;
        if call.arrived {
            return self.calls.remove(&id)?.answer;
        }
        call.waker = Some(waker.clone());
        None
    }

    pub(crate) fn version_of(&self, target: &Target) -> Option<&str> {
        target.version(&self.objects)
    }
}

/// A copy of facts that may be changed.
pub(crate) fn owned<T: Clone>(facts: &mut Arc<T>) -> &mut T {
    Arc::make_mut(facts)
}
