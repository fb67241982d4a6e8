//! What the watches have seen, reduced to facts. A plain struct with synchronous methods: no I/O, no clock.
//!
//! Every method that takes objects says whether a *decisive* fact changed. A heartbeat of a node, a status or a bare
//! `resourceVersion` is stored (it is the precondition of the next write) without counting as a change, so that it
//! wakes nobody and moves no generation.

mod facts;
mod foreign_lock;
mod identity;
mod lock;
mod lock_scope;
mod problems;
mod shared;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use sluice_core::name::{NodeName, PoolName};
use sluice_core::network::Network;
use sluice_core::observed::{Blind, NodeFacts, Observed, Platform, PoolFacts};

use crate::convert::FieldNote;
use crate::kind::Kind;
use crate::names;
use crate::network::Networks;
use crate::object::Object;
use identity::{Identity, Key, Newest};
use lock::Lock;
pub use lock::LockHolder;
use lock_scope::LockScope;
pub use lock_scope::{LockGround, WriteRights};
pub use problems::Problem;
use problems::Problems;
pub use shared::SharedIndex;
use watched::Watched;
pub use watched::{WatchReport, WatchState};

/// When to look again at a lock that ended while its watch showed nothing, in milliseconds.
const LOCK_LOOK: u64 = 1_000;

/// All objects, as facts.
#[derive(Debug, Default)]
pub struct Index {
    /// All facts but those of networks.
    observed: Observed,
    networks: Networks,
    identities: BTreeMap<(Kind, Key), Identity>,
    newest: Newest,
    problems: Problems,
    pools: BTreeMap<PoolName, PoolObject>,
    /// Counts changes of pools' statuses.
    statuses: u64,
    locks: BTreeMap<Key, Lock>,
    lock_scope: LockScope,
    /// Unix milliseconds, as it was told last.
    now: u64,
    watches: Watched,
    listings: BTreeMap<Kind, Listing>,
}

/// A list under way.
#[derive(Debug, Default)]
struct Listing {
    /// Objects that it has shown so far.
    shown: BTreeSet<Key>,
    /// Objects that we wrote since it began, so that what it shows of them may be older than what is known.
    written: BTreeSet<Key>,
}

/// What status patches and events need to know of an EgressIPAM beside its facts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolObject {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `status` as it is.
    pub status: Value,
}

impl Index {
    /// Tells the time in Unix milliseconds: what comes from now on was seen at this instant.
    pub fn set_time(&mut self, now: u64) {
        self.now = now;
    }

    /// Takes an object that a list shows, or a watch reports as added or changed.
    pub fn apply(&mut self, kind: Kind, object: &Object) -> bool {
        let key = Key::of(kind, object);
        let replaces = self.listings.get_mut(&kind).is_some_and(|listing| {
            listing.shown.insert(key.clone());
            // Also by an earlier version: etcd may have been restored.
            !listing.written.contains(&key)
        });
        let changed = kind.counts(object.name()) && self.take(kind, key, object, replaces);
        self.counted(changed)
    }

    /// Takes an object that a watch reports as deleted.
    pub fn delete(&mut self, kind: Kind, object: &Object) -> bool {
        let key = Key::of(kind, object);
        let known = self.identities.get(&(kind, key.clone()));
        if known.is_none_or(|known| known.is_another_than(&Identity::of(object))) {
            return false;
        }
        self.newest.see(kind, &Identity::of(object));
        let changed = self.forget(kind, &key);
        self.counted(changed)
    }

    /// A list of a kind begins, to be asked for: [`apply`](Index::apply) follows for each object, then [`end_list`](Index::end_list).
    pub fn begin_list(&mut self, kind: Kind) {
        self.listings.insert(kind, Listing::default());
    }

    /// A list of a kind is complete: what it did not show is gone.
    pub fn end_list(&mut self, kind: Kind) -> bool {
        let listed = self.listings.remove(&kind).unwrap_or_default().shown;
        let mut served = self.networks.choice.unserved.remove(&kind);
        if kind == Kind::PrivateIp && self.observed.private_ips.is_none() {
            self.observed.private_ips = Some(BTreeMap::new());
            served = true;
        }
        let changed = self.forget_all_but(kind, &listed) | self.counted(served);
        let ready = self.set_watch(kind, WatchState::Listed);
        changed || ready
    }

    /// A whole list at once.
    pub fn reset(&mut self, kind: Kind, objects: &[Object]) -> bool {
        self.begin_list(kind);
        let changed = objects.iter().filter(|object| self.apply(kind, object)).count() > 0;
        self.end_list(kind) || changed
    }

    /// A kind is not served any more: its objects are gone with it.
    pub fn clear(&mut self, kind: Kind) -> bool {
        self.listings.remove(&kind);
        let mut served = self.networks.choice.unserved.insert(kind);
        served |= kind == Kind::PrivateIp && self.observed.private_ips.take().is_some();
        self.forget_all_but(kind, &BTreeSet::new()) | self.counted(served)
    }

    /// Takes the API server's answer to a write of ours, so that the next round sees it even if the watch lags.
    ///
    /// It only ever replaces what is known of the same object: an answer that arrives after the object's deletion
    /// must not bring it back.
    pub fn note_written(&mut self, kind: Kind, object: &Object) -> bool {
        let key = Key::of(kind, object);
        let known = self.identities.get(&(kind, key.clone()));
        let same = known.is_some_and(|known| !known.is_another_than(&Identity::of(object)));
        if let Some(listing) = self.listings.get_mut(&kind) {
            listing.written.insert(key.clone());
        }
        let changed = same && self.take(kind, key, object, false);
        self.counted(changed)
    }

    /// Says how the watch of a kind stands; lists are told by [`Index::reset`]. True if planning has to look.
    pub fn set_watch(&mut self, kind: Kind, state: WatchState) -> bool {
        let was_ready = self.ready();
        self.watches.set(kind, state);
        let changed = was_ready != self.ready();
        self.counted(changed)
    }

    /// A watch of a kind showed that it lives, at this instant. True if planning has to look: it was blind.
    pub fn heard(&mut self, kind: Kind, at: Instant) -> bool {
        let changed = self.watches.heard(kind, at, self.now);
        self.counted(changed)
    }

    /// Stores an object unless it is an earlier version of what is known and does not replace it all the same.
    fn take(&mut self, kind: Kind, key: Key, object: &Object, replaces: bool) -> bool {
        let seen = Identity::of(object);
        let entry = (kind, key);
        if !replaces && self.identities.get(&entry).is_some_and(|known| seen.is_older_than(known)) {
            return false;
        }
        self.newest.see(kind, &seen);
        let changed = self.store(kind, &entry.1, object);
        self.identities.insert(entry, seen);
        changed
    }

    fn forget_all_but(&mut self, kind: Kind, live: &BTreeSet<Key>) -> bool {
        let known = self.identities.keys().filter(|(of, _)| *of == kind).map(|(_, key)| key);
        let gone: Vec<Key> = known.filter(|key| !live.contains(key)).cloned().collect();
        let changed = gone.iter().filter(|key| self.forget(kind, key)).count() > 0;
        self.counted(changed)
    }

    /// Takes the API server's answer to our making an object. It is taken only if it is newer than all that was shown of its
    /// kind: the object may have been deleted in the meantime, and must not come back.
    pub fn note_made(&mut self, kind: Kind, object: &Object) -> bool {
        let key = Key::of(kind, object);
        if !self.newest.is_before(kind, &Identity::of(object)) {
            return false;
        }
        if let Some(listing) = self.listings.get_mut(&kind) {
            listing.written.insert(key.clone());
        }
        let changed = self.take(kind, key, object, true);
        self.counted(changed)
    }

    /// Takes the API server's word that an object is gone, which was known as this one.
    pub fn note_deleted(&mut self, kind: Kind, name: &str, uid: &str) -> bool {
        let key = Key::cluster_scoped(name);
        let known = self.identities.get(&(kind, key.clone()));
        if known.is_none_or(|known| known.uid() != uid) {
            return false;
        }
        let changed = self.forget(kind, &key);
        self.counted(changed)
    }

    /// How the watch of a kind stands.
    pub fn watch(&self, kind: Kind) -> WatchState {
        self.watches.state(kind)
    }

    /// What is known may be old of these, since their watches have shown nothing for a minute.
    pub fn blind(&self, now: Instant) -> BTreeSet<Blind> {
        self.watches.blind(now, self.network())
    }

    /// How each watch stands.
    pub fn watch_reports(&self, now: Instant) -> Vec<WatchReport> {
        self.watches.reports(now)
    }

    /// Whether every kind has been listed, and is still being followed.
    pub fn ready(&self) -> bool {
        Kind::ALL.iter().all(|kind| matches!(self.watch(*kind), WatchState::Listed | WatchState::Interrupted(_)))
    }

    /// What is in the way of being [`ready`](Index::ready) or up to date, one text per kind. Empty: nothing.
    pub fn waiting(&self) -> Vec<String> {
        let text = |kind: &Kind| match self.watch(*kind) {
            WatchState::Pending => Some(format!("waiting for the first list of {}", kind.resource())),
            WatchState::Listed => None,
            WatchState::Interrupted(text) | WatchState::Waiting(text) => Some(text),
        };
        Kind::ALL.iter().filter_map(text).collect()
    }

    /// The cluster at this instant; none until every kind has been listed.
    ///
    /// `now` is Unix time in milliseconds.
    pub fn snapshot(&self, now: u64) -> Option<Observed> {
        self.ready().then(|| Observed { now, ..self.facts() })
    }

    /// All facts, also before the index is ready.
    pub(crate) fn facts(&self) -> Observed {
        let mut observed = self.observed.clone();
        self.networks.show(&mut observed);
        observed
    }

    /// The network that the cluster has, as far as it is known.
    pub fn network(&self) -> Network {
        self.networks.network().0
    }

    /// An administrator says what the network is.
    pub fn set_network(&mut self, network: Network) {
        self.networks.choice.given = Some(network);
    }

    /// An administrator says what the machines run on, where no Infrastructure object does.
    pub fn set_platform(&mut self, platform: Platform) {
        self.networks.platform = platform;
    }

    /// Counts decisive changes.
    pub fn generation(&self) -> u64 {
        self.observed.generation
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> &BTreeMap<NodeName, Arc<NodeFacts>> {
        &self.observed.nodes
    }

    /// How many fields cannot be read now.
    pub fn problem_count(&self) -> usize {
        self.problems.count()
    }

    /// Fields that could not be read and were not told before; of more than `most` the others come next time.
    pub fn new_problems(&mut self, most: usize) -> Vec<Problem> {
        self.problems.tell(most)
    }

    /// Fields of one object that could not be read; of an EgressIPAM also what is wrong with its spec.
    pub(crate) fn notes_of(&self, kind: Kind, object: &Object) -> Vec<FieldNote> {
        let mut notes = self.problems.of(kind, Key::of(kind, object));
        if kind == Kind::Pool {
            notes.extend(self.observed.pools.get(object.name()).into_iter().flat_map(|facts| spec_notes(facts)));
        }
        notes
    }

    /// Every field that cannot be read now, those of pools' specs included.
    pub fn all_problems(&self) -> Vec<Problem> {
        let in_specs = self.observed.pools.iter().flat_map(|(pool, facts)| {
            spec_notes(facts).map(|note| Problem { kind: Kind::Pool, name: pool.to_string(), note })
        });
        self.problems.all().chain(in_specs).collect()
    }

    /// What is known of an EgressIPAM beside its facts.
    pub fn pool_object(&self, name: &PoolName) -> Option<&PoolObject> {
        self.pools.get(name)
    }

    /// Counts changes of pools' statuses, by whomever.
    pub fn statuses(&self) -> u64 {
        self.statuses
    }

    /// All pools, with `metadata.generation`, also before the index is ready.
    pub fn pools(&self) -> impl Iterator<Item = (&PoolName, i64, &PoolObject)> {
        let generation = |name| self.observed.pools.get(name).map_or(0, |facts| facts.generation);
        self.pools.iter().map(move |(name, object)| (name, generation(name), object))
    }

    /// Whether a namespace is going away: nothing can be made in it any more, such as an event.
    pub fn is_terminating(&self, namespace: &str) -> bool {
        self.observed.namespaces.get(namespace).is_some_and(|facts| facts.terminating)
    }

    /// `metadata.uid` of a cluster-scoped object.
    pub fn uid(&self, kind: Kind, name: &str) -> Option<&str> {
        self.identities.get(&(kind, Key::cluster_scoped(name))).map(Identity::uid)
    }

    /// `metadata.resourceVersion` of a cluster-scoped object, our own writes included.
    pub fn resource_version(&self, kind: Kind, name: &str) -> Option<&str> {
        self.identities.get(&(kind, Key::cluster_scoped(name))).map(Identity::resource_version)
    }

    /// Bumps the generation if something decisive changed.
    fn counted(&mut self, changed: bool) -> bool {
        if changed {
            self.observed.generation = self.observed.generation.saturating_add(1);
        }
        changed
    }

    /// The seed comes from the one object that lives as long as the cluster.
    fn seed_from(&mut self, object: &Object) -> bool {
        if object.name() != names::SYSTEM_NAMESPACE || object.uid().is_empty() {
            return false;
        }
        let seed = identity::stable_hash(object.uid().as_bytes());
        std::mem::replace(&mut self.observed.seed, seed) != seed
    }
}

/// What is wrong with the spec of an EgressIPAM.
fn spec_notes(facts: &PoolFacts) -> impl Iterator<Item = FieldNote> {
    facts.errors.iter().map(|error| FieldNote { field: error.field.clone(), text: error.text.clone() })
}

#[cfg(test)]
mod tests;
