//! Every change of addresses, in the order in which it was committed: what happens on the way, not only what comes out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{Api, DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt as _};
use tokio::task::JoinSet;

use super::Cluster;
use super::cluster::SOON;
use super::kinds::{self, annotation, strings};
use super::objects::ADDRESSES_ANNOTATION;
use super::wait::eventually;

const KINDS: [&str; 3] = ["HostSubnet", "NetNamespace", "Namespace"];

/// Addresses of each object, by kind and name. Objects without addresses are not in it.
type State = BTreeMap<(&'static str, String), Vec<String>>;

/// One change of one object's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// etcd's revision: the order over all objects.
    pub revision: u64,
    /// `HostSubnet`, `NetNamespace`, or `Namespace` for its annotation.
    pub kind: &'static str,
    /// The object's name.
    pub name: String,
    /// Its addresses before.
    pub before: Vec<String>,
    /// Its addresses after.
    pub after: Vec<String>,
}

#[derive(Default)]
struct Recorded {
    beginning: State,
    now: State,
    steps: Vec<Step>,
}

/// A running record. It bears no restart of the API server.
pub struct History {
    client: Client,
    recorded: Arc<Mutex<Recorded>>,
    _watches: JoinSet<()>,
}

impl History {
    /// Records from now on.
    pub async fn start(cluster: &Cluster) -> Self {
        let client = cluster.client();
        let recorded = Arc::new(Mutex::new(Recorded::default()));
        let mut watches = JoinSet::new();
        for kind in KINDS {
            let (state, version) = list(&client, kind).await;
            {
                let mut recorded = lock(&recorded);
                recorded.beginning.extend(state.clone());
                recorded.now.extend(state);
            }
            watches.spawn(record(kinds::all(&client, kind), kind, version, Arc::clone(&recorded)));
        }
        Self { client, recorded, _watches: watches }
    }

    /// All changes so far, in order.
    pub async fn steps(&self) -> Vec<Step> {
        self.caught_up().await;
        let mut steps = lock(&self.recorded).steps.clone();
        steps.sort_by_key(|step| step.revision);
        steps
    }

    /// All changes so far, one a line: `HostSubnet worker-a1: 10.20.0.2 -> 10.20.0.2 10.20.0.3`.
    pub async fn transcript(&self) -> String {
        let shown = |addresses: &[String]| if addresses.is_empty() { "-".into() } else { addresses.join(" ") };
        let line =
            |step: &Step| format!("{} {}: {} -> {}\n", step.kind, step.name, shown(&step.before), shown(&step.after));
        self.steps().await.iter().map(line).collect()
    }

    /// Every moment at which an address came to a second node or a second NetNamespace.
    pub async fn breaches(&self) -> Vec<String> {
        let steps = self.steps().await;
        let mut state = lock(&self.recorded).beginning.clone();
        let mut breaches = Vec::new();
        for step in steps {
            for address in step.after.iter().filter(|address| !step.before.contains(address)) {
                let others = state.iter().filter(|((kind, name), addresses)| {
                    *kind == step.kind && *name != step.name && addresses.contains(address)
                });
                breaches.extend(others.map(|((kind, other), _)| {
                    format!("revision {}: {kind} {} takes {address} while {other} has it", step.revision, step.name)
                }));
            }
            state.insert((step.kind, step.name), step.after);
        }
        breaches
    }

    /// Every moment at which a namespace that held something before holds nothing, or nothing that a node carries.
    pub async fn silences(&self, namespace: &str) -> Vec<String> {
        let steps = self.steps().await;
        let mut state = lock(&self.recorded).beginning.clone();
        let net = ("NetNamespace", namespace.to_owned());
        let (mut spoke, mut silences) = (false, Vec::new());
        for step in steps {
            state.insert((step.kind, step.name), step.after);
            let held = state.get(&net).map(Vec::as_slice).unwrap_or_default();
            let carried = |(place, addresses): (&(&str, String), &Vec<String>)| {
                place.0 == "HostSubnet" && held.iter().any(|address| addresses.contains(address))
            };
            if state.iter().any(carried) {
                spoke = true;
            } else if spoke || !held.is_empty() {
                silences.push(format!("revision {}: {namespace} holds {held:?}, carried by no node", step.revision));
            }
        }
        silences
    }

    /// Waits until the watches have told everything that was committed before this call.
    async fn caught_up(&self) {
        eventually("the record is complete", SOON, || async {
            let mut wanted = State::new();
            for kind in KINDS {
                wanted.extend(list(&self.client, kind).await.0);
            }
            let now = lock(&self.recorded).now.clone();
            if now == wanted { Ok(()) } else { Err(format!("recorded {now:?}\nthere is {wanted:?}")) }
        })
        .await;
    }
}

async fn record(api: Api<DynamicObject>, kind: &'static str, mut version: String, recorded: Arc<Mutex<Recorded>>) {
    let parameters = WatchParams::default().timeout(280);
    while let Ok(stream) = api.watch(&parameters, &version).await {
        let mut stream = stream.boxed();
        while let Ok(Some(event)) = stream.try_next().await {
            let (object, after) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let after = addresses(&object, kind);
                    (object, after)
                }
                WatchEvent::Deleted(object) => (object, Vec::new()),
                WatchEvent::Bookmark(bookmark) => {
                    version = bookmark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(_) => return,
            };
            version = object.resource_version().unwrap_or_default();
            lock(&recorded).take(kind, object.name_any(), version.parse().unwrap_or_default(), after);
        }
    }
}

impl Recorded {
    fn take(&mut self, kind: &'static str, name: String, revision: u64, after: Vec<String>) {
        let key = (kind, name.clone());
        let before = self.now.remove(&key).unwrap_or_default();
        if !after.is_empty() {
            self.now.insert(key, after.clone());
        }
        if before != after {
            self.steps.push(Step { revision, kind, name, before, after });
        }
    }
}

async fn list(client: &Client, kind: &'static str) -> (State, String) {
    let list = kinds::all(client, kind).list(&ListParams::default()).await;
    let list = list.unwrap_or_else(|error| panic!("{kind}: {error}"));
    let version = list.metadata.resource_version.clone().unwrap_or_default();
    let state = list.items.iter().map(|object| ((kind, object.name_any()), addresses(object, kind)));
    (state.filter(|(_, addresses)| !addresses.is_empty()).collect(), version)
}

fn addresses(object: &DynamicObject, kind: &str) -> Vec<String> {
    if kind == "Namespace" {
        let annotated = annotation(object, ADDRESSES_ANNOTATION).unwrap_or_default();
        return annotated.split(',').filter(|address| !address.is_empty()).map(String::from).collect();
    }
    strings(object, "egressIPs")
}

fn lock(recorded: &Mutex<Recorded>) -> MutexGuard<'_, Recorded> {
    recorded.lock().unwrap_or_else(PoisonError::into_inner)
}
