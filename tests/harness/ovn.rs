//! OVN-Kubernetes' cluster manager, played for a real API server ([`sluice_sandbox_ovn`] decides).

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use kube::Client;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use sluice_sandbox_ovn::{Action, Cluster as Objects, ClusterManager, EgressIp, Node, Settings};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::bootstrap::{documents, fixtures, is_served};
use super::openshift::view::View;
use super::{Cluster, Object, User, kinds};

/// The kinds that its watches show.
const KINDS: [&str; 2] = ["Node", "EgressIP"];

/// A running cluster manager. Stopped when dropped.
pub struct Ovn {
    task: Mutex<Option<JoinHandle<()>>>,
    /// Keeps it running.
    _switches: watch::Sender<()>,
}

impl Ovn {
    /// Has the API server know `EgressIP`, and starts a cluster manager that leaves to this seed what it leaves to chance.
    pub async fn start(cluster: &Cluster, seed: u64) -> Self {
        define(cluster).await;
        let (switches, turned) = watch::channel(());
        let client = cluster.client_of(User::OpenShift).await;
        let task = tokio::spawn(run(client, seed, turned));
        Self { task: Mutex::new(Some(task)), _switches: switches }
    }
}

impl Drop for Ovn {
    fn drop(&mut self) {
        if let Ok(task) = self.task.get_mut()
            && let Some(task) = task.take()
        {
            task.abort();
        }
    }
}

/// Has the API server know `EgressIP`.
pub async fn define(cluster: &Cluster) {
    let definition = documents(&fixtures().join("crds/k8s.ovn.org_egressips.yaml")).remove(0);
    cluster.create([Object::from_json(definition)]).await;
    is_served(&cluster.client(), "EgressIP").await;
}

/// All objects, by kind and name.
type Shown = BTreeMap<(&'static str, String), Value>;

fn shown(view: &View) -> Shown {
    let of =
        |kind: &'static str| view.all(kind).iter().map(move |(name, object)| ((kind, name.clone()), json!(object)));
    KINDS.into_iter().flat_map(of).collect()
}

async fn run(client: Client, seed: u64, mut switches: watch::Receiver<()>) {
    let mut view = View::watch(&client, &KINDS);
    let mut program: Option<Program> = None;
    while view.changed_or(&mut switches).await {
        let shown = shown(&view);
        match &mut program {
            None => program = Some(Program::start(&client, seed, shown).await),
            Some(program) => program.look(&client, shown).await,
        }
    }
}

/// The program, and what its watches have shown.
struct Program {
    manager: ClusterManager,
    seen: Shown,
    started: tokio::time::Instant,
}

impl Program {
    async fn start(client: &Client, seed: u64, shown: Shown) -> Self {
        let of =
            |wanted: &'static str| shown.iter().filter(move |((kind, _), _)| *kind == wanted).map(|(_, object)| object);
        let cluster = Objects {
            nodes: of("Node").filter_map(Node::from_json).collect(),
            egress_ips: of("EgressIP").filter_map(EgressIp::from_json).collect(),
            cpics: Vec::new(),
        };
        let (manager, actions) = ClusterManager::start(Settings { seed, ..Settings::default() }, 0, cluster);
        let mut program = Self { manager, seen: shown, started: tokio::time::Instant::now() };
        program.carry_out(client, actions).await;
        program
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).expect("a test ends")
    }

    /// Tells it what is new, kind by kind as its informers do, and what time it is.
    async fn look(&mut self, client: &Client, shown: Shown) {
        let before = std::mem::replace(&mut self.seen, shown.clone());
        for (key, last) in before.iter().filter(|(key, _)| !shown.contains_key(key)) {
            let actions = self.vanished(key.0, last);
            self.carry_out(client, actions).await;
        }
        for (key, object) in shown.iter().filter(|(key, object)| before.get(key) != Some(object)) {
            let actions = self.changed(key.0, object);
            self.carry_out(client, actions).await;
        }
        let actions = self.manager.tick(self.now());
        self.carry_out(client, actions).await;
    }

    fn changed(&mut self, kind: &str, object: &Value) -> Vec<Action> {
        let now = self.now();
        match kind {
            "Node" => Node::from_json(object).map(|node| self.manager.node_changed(now, node)),
            _ => EgressIp::from_json(object).map(|egress_ip| self.manager.egress_ip_changed(now, egress_ip)),
        }
        .unwrap_or_default()
    }

    fn vanished(&mut self, kind: &str, object: &Value) -> Vec<Action> {
        let now = self.now();
        match kind {
            "Node" => Node::from_json(object).map(|node| self.manager.node_deleted(now, &node)),
            _ => EgressIp::from_json(object).map(|egress_ip| self.manager.egress_ip_deleted(now, &egress_ip)),
        }
        .unwrap_or_default()
    }

    /// Carries out a batch in order. What fails is handed back, and what follows of the same object is left out.
    async fn carry_out(&mut self, client: &Client, actions: Vec<Action>) {
        let mut actions = std::collections::VecDeque::from(actions);
        let mut failed: Option<String> = None;
        while let Some(action) = actions.pop_front() {
            if failed.as_deref() == Some(action.owner()) {
                continue;
            }
            let Action::PatchEgressIp { name, patch } = &action else { continue };
            if let Ok(answer) = self.patch(client, name, patch).await {
                if let Some(now) = EgressIp::from_json(&json!(answer)) {
                    self.manager.egress_ip_written(now);
                }
            } else {
                failed = Some(action.owner().to_owned());
                let now = self.now();
                actions.extend(self.manager.action_failed(now, &action));
            }
        }
    }

    async fn patch(&self, client: &Client, name: &str, patch: &Value) -> kube::Result<DynamicObject> {
        let patch = serde_json::from_value(patch.clone()).expect("a JSON patch");
        let (api, patch) = (kinds::all(client, "EgressIP"), Patch::Json::<()>(patch));
        let params = PatchParams::default();
        tokio::time::timeout(Duration::from_secs(10), api.patch(name, &params, &patch)).await.expect("an answer")
    }
}
