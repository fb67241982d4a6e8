//! The objects the stand-in looks at, kept by watches.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt as _, StreamExt as _};
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Client, ResourceExt as _};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::harness::kinds;

/// Something failed for a moment (a conflict, a restarting server): look again after this.
const RETRY: Duration = Duration::from_millis(500);

/// All objects of a kind by name.
pub type ByName = BTreeMap<String, DynamicObject>;

/// The present state, and what went away since somebody looked.
pub struct View {
    events: SelectAll<BoxStream<'static, (&'static str, Event<DynamicObject>)>>,
    retry: Interval,
    objects: BTreeMap<&'static str, ByName>,
    listed: BTreeMap<&'static str, BTreeSet<String>>,
    gone: BTreeMap<&'static str, BTreeSet<String>>,
    synced: BTreeSet<&'static str>,
}

impl View {
    /// Starts watching objects of these kinds.
    pub fn watch(client: &Client, kinds: &[&'static str]) -> Self {
        let streams = kinds.iter().map(|&kind| {
            watcher(kinds::all(client, kind), Config::default())
                .default_backoff()
                .filter_map(move |event| async move { event.ok().map(|event| (kind, event)) })
                .boxed()
        });
        let mut retry = interval(RETRY);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            events: futures::stream::select_all(streams),
            retry,
            objects: kinds.iter().map(|&kind| (kind, ByName::new())).collect(),
            listed: BTreeMap::new(),
            gone: BTreeMap::new(),
            synced: BTreeSet::new(),
        }
    }

    /// Waits for a change, takes in all that are there, and returns true: or false when there will be no more.
    pub async fn changed_or<T>(&mut self, switches: &mut watch::Receiver<T>) -> bool {
        loop {
            let event = tokio::select! {
                event = self.events.next() => event,
                changed = switches.changed() => match changed {
                    Ok(()) => None,
                    Err(_) => return false,
                },
                _ = self.retry.tick() => None,
            };
            let mut next = event;
            while let Some((kind, event)) = next {
                self.take(kind, event);
                next = self.events.next().now_or_never().flatten();
            }
            if self.is_complete() {
                return true;
            }
        }
    }

    /// Whether all objects of all kinds have been seen.
    pub fn is_complete(&self) -> bool {
        self.synced.len() == self.objects.len()
    }

    /// All objects of a kind.
    pub fn all(&self, kind: &str) -> &ByName {
        self.objects.get(kind).expect("one of the watched kinds")
    }

    /// The names of deleted objects of a kind, each told once.
    pub fn take_gone(&mut self, kind: &'static str) -> BTreeSet<String> {
        self.gone.remove(kind).unwrap_or_default()
    }

    /// Shows what was just written, before the watch tells.
    pub fn note(&mut self, kind: &'static str, object: DynamicObject) {
        self.objects.entry(kind).or_default().insert(object.name_any(), object);
    }

    fn take(&mut self, kind: &'static str, event: Event<DynamicObject>) {
        let objects = self.objects.entry(kind).or_default();
        match event {
            Event::Init => drop(self.listed.insert(kind, BTreeSet::new())),
            Event::InitApply(object) => {
                self.listed.entry(kind).or_default().insert(object.name_any());
                objects.insert(object.name_any(), object);
            }
            Event::InitDone => {
                let listed = self.listed.remove(kind).unwrap_or_default();
                let missing: Vec<String> = objects.keys().filter(|name| !listed.contains(*name)).cloned().collect();
                objects.retain(|name, _| listed.contains(name));
                self.gone.entry(kind).or_default().extend(missing);
                self.synced.insert(kind);
            }
            Event::Apply(object) => {
                // Older than what was noted.
                if objects.get(&object.name_any()).is_none_or(|known| version(known) <= version(&object)) {
                    objects.insert(object.name_any(), object);
                }
            }
            Event::Delete(object) => {
                objects.remove(&object.name_any());
                self.gone.entry(kind).or_default().insert(object.name_any());
            }
        }
    }
}

/// The revision of an object: within one server, later is larger.
fn version(object: &DynamicObject) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default()
}
