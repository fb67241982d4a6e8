//! What failed and is tried again (OVN-Kubernetes, `retry/obj_retry.go`): every 30 s those are looked at whose back-off
//! has passed. After fifteen failures an object is forgotten until its next event, and nobody is told.

use crate::object::{CloudPrivateIpConfig, EgressIp, Node};
use std::collections::BTreeMap;

/// How often the queue is looked at.
pub(crate) const SWEEP: u64 = 30_000;
const FIRST_BACKOFF: u64 = 1_000;
const LONGEST_BACKOFF: u64 = 60_000;
/// How many failures end it.
pub(crate) const ATTEMPTS: u32 = 15;

/// A kind of objects. Each has a queue of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Node,
    EgressIp,
    Cpic,
}

/// An object of one of the kinds.
#[derive(Clone, Debug)]
pub(crate) enum Object {
    Node(Box<Node>),
    EgressIp(Box<EgressIp>),
    Cpic(Box<CloudPrivateIpConfig>),
}

pub(crate) type Key = (Kind, String);

impl Object {
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Node(node) => (Kind::Node, node.name.clone()),
            Self::EgressIp(egress_ip) => (Kind::EgressIp, egress_ip.name.clone()),
            Self::Cpic(cpic) => (Kind::Cpic, cpic.name.clone()),
        }
    }
}

/// What is to be tried again of one object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    /// Whether the object is to be served as the watch shows it then.
    pub(crate) wanted: bool,
    /// The object as it was deleted.
    pub(crate) gone: Option<Object>,
    /// The object before the update that failed.
    pub(crate) before: Option<Object>,
    pub(crate) attempts: u32,
    since: u64,
    backoff: u64,
}

impl Entry {
    pub(crate) fn added(self, now: u64) -> Self {
        Self { wanted: true, since: now, backoff: FIRST_BACKOFF, attempts: 0, ..self }
    }

    /// An entry for an update. Unlike for an addition, the back-off of an earlier failure stays.
    pub(crate) fn updated(self, before: Object, now: u64) -> Self {
        let backoff = self.backoff.max(FIRST_BACKOFF);
        Self { wanted: true, before: Some(before), since: now, backoff, attempts: 0, ..self }
    }

    pub(crate) fn deleted(self, gone: Object, now: u64) -> Self {
        Self { gone: Some(gone), since: now, backoff: FIRST_BACKOFF, attempts: 0, ..self }
    }

    /// An addition that does not wait for its back-off.
    pub(crate) fn at_once(self, now: u64) -> Self {
        Self { backoff: 0, ..self.added(now) }
    }

    fn failed(self, now: u64) -> Self {
        Self { attempts: self.attempts + 1, since: now, ..self }
    }

    /// Takes a turn if the back-off has passed, and doubles it.
    pub(crate) fn take_turn(&mut self, now: u64, jitter: u64) -> bool {
        let forced = self.backoff == 0;
        if forced {
            self.backoff = FIRST_BACKOFF;
        } else if now < self.since + self.backoff + jitter {
            return false;
        }
        self.backoff = (self.backoff * 2).min(LONGEST_BACKOFF);
        true
    }
}

/// The three queues.
#[derive(Clone, Debug)]
pub(crate) struct Retries {
    pub(crate) entries: BTreeMap<Key, Entry>,
    sweeps: BTreeMap<Kind, u64>,
    /// What is being handled: whatever is written meanwhile was written because of it.
    pub(crate) handling: Option<(Key, Entry)>,
    /// Why something was written last, by owner.
    causes: BTreeMap<String, Option<(Key, Entry)>>,
}

impl Retries {
    pub(crate) fn new(now: u64) -> Self {
        let sweeps = [Kind::Node, Kind::EgressIp, Kind::Cpic].map(|kind| (kind, now + SWEEP));
        Self { entries: BTreeMap::new(), sweeps: sweeps.into(), handling: None, causes: BTreeMap::new() }
    }

    /// Takes note that something was written for an owner.
    pub(crate) fn wrote(&mut self, owner: &str) {
        self.causes.insert(owner.to_owned(), self.handling.clone());
    }

    /// A write that looked good has failed: what caused it is tried again.
    pub(crate) fn write_failed(&mut self, owner: &str, now: u64) {
        if let Some(Some((key, entry))) = self.causes.get(owner) {
            self.entries.entry(key.clone()).or_insert_with(|| entry.clone().failed(now));
        }
    }

    /// Takes note of a failure while an object was handled.
    pub(crate) fn failed(&mut self, key: Key, entry: Entry, now: u64) {
        self.entries.insert(key, entry.failed(now));
    }

    pub(crate) fn take(&mut self, key: &Key) -> Option<Entry> {
        self.entries.remove(key)
    }

    /// The objects of a kind that wait.
    pub(crate) fn waiting(&self, kind: Kind) -> Vec<Key> {
        self.entries.keys().filter(|key| key.0 == kind).cloned().collect()
    }

    /// A sweep that is due at a time or before it.
    pub(crate) fn due(&mut self, now: u64) -> Option<(u64, Kind)> {
        let (kind, at) = self.sweeps.iter().min_by_key(|sweep| *sweep.1).map(|(kind, at)| (*kind, *at))?;
        (at <= now).then_some((at, kind))
    }

    /// Says when the next sweep of a kind is.
    pub(crate) fn sweep_again(&mut self, kind: Kind, from: u64) {
        self.sweeps.insert(kind, from + SWEEP);
    }

    /// When the next sweep is that has something to look at.
    pub(crate) fn next(&self) -> Option<u64> {
        let waiting = self.sweeps.iter().filter(|(kind, _)| self.entries.keys().any(|key| key.0 == **kind));
        waiting.map(|(_, at)| *at).min()
    }
}
