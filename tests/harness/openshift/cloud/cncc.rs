//! The cloud network config controller: what each `CloudPrivateIPConfig` wants, done in the cloud, and told in its
//! condition `Assigned`. What it does for different addresses goes on at once, for one interface in turn.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{CAPACITY_ANNOTATION, Interfaces};
use crate::harness::kinds::{self, annotation, is_terminating};
use crate::harness::openshift::view::View;

/// The kind of its objects.
pub const NAME: &str = "CloudPrivateIPConfig";
const FINALIZER: &str = "cloudprivateipconfig.cloud.network.openshift.io/finalizer";
/// Until what failed is tried again.
const RETRY: Duration = Duration::from_millis(300);

/// The node that an object is for.
pub fn node_of(object: &DynamicObject) -> &str {
    object.data.pointer("/spec/node").and_then(Value::as_str).unwrap_or_default()
}

pub async fn run(client: Client, interfaces: Interfaces, mut at_work: watch::Receiver<bool>) {
    let mut view = View::watch(&client, &["Node", NAME]);
    let controller = Arc::new(Controller { client, interfaces });
    let mut syncs: JoinSet<String> = JoinSet::new();
    let mut busy: BTreeSet<String> = BTreeSet::new();
    loop {
        tokio::select! {
            open = view.changed_or(&mut at_work) => if !open { return },
            Some(done) = syncs.join_next() => { busy.remove(&done.expect("no panic while syncing")); }
        }
        if !view.is_complete() || !*at_work.borrow_and_update() {
            continue;
        }
        for (node, said) in controller.untold(&view) {
            controller.tell_capacity(&node, &said).await;
        }
        let wanted = view.all(NAME).values().filter(|object| operation(object).is_some());
        for name in wanted.map(kube::ResourceExt::name_any).filter(|name| !busy.contains(name)).collect::<Vec<_>>() {
            busy.insert(name.clone());
            let controller = Arc::clone(&controller);
            syncs.spawn(async move {
                if controller.sync(&name).await.is_err() {
                    sleep(RETRY).await;
                }
                name
            });
        }
    }
}

/// What is to be done for an object.
enum Operation {
    /// Onto a node.
    Add(String),
    /// Off a node.
    Release(String),
}

fn operation(object: &DynamicObject) -> Option<Operation> {
    let text = |pointer| object.data.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (wanted, on) = (node_of(object), text("/status/node"));
    if is_terminating(&object.metadata) {
        let is_guarded = object.finalizers().iter().any(|name| name == FINALIZER);
        return is_guarded.then(|| Operation::Release(on.to_owned()));
    }
    if !on.is_empty() && on != wanted {
        return Some(Operation::Release(on.to_owned()));
    }
    let is_done = !on.is_empty() && text("/status/conditions/0/status") == "True";
    (!is_done).then(|| Operation::Add(wanted.to_owned()))
}

struct Controller {
    client: Client,
    interfaces: Interfaces,
}

impl Controller {
    fn api(&self) -> Api<DynamicObject> {
        kinds::all(&self.client, NAME)
    }

    /// How many addresses nodes can carry that it has not told yet.
    fn untold(&self, view: &View) -> Vec<(String, Value)> {
        let new = view.all("Node").iter().filter(|(_, node)| annotation(node, CAPACITY_ANNOTATION).is_none());
        let said = |(name, _): (&String, _)| {
            let own = view.all(NAME).iter().filter(|(_, object)| node_of(object) == name);
            (name.clone(), self.interfaces.capacity(name, &own.map(|(address, _)| address.as_str()).collect()))
        };
        new.map(said).collect()
    }

    async fn tell_capacity(&self, node: &str, said: &Value) {
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { CAPACITY_ANNOTATION: said.to_string() } } }));
        // What fails is found again in a later round.
        let _ = kinds::all(&self.client, "Node").patch(node, &PatchParams::default(), &patch).await;
    }

    /// Does what an object wants, as the API server has it now.
    async fn sync(&self, address: &str) -> Result<(), String> {
        let object = self.api().get_opt(address).await.map_err(|error| error.to_string())?;
        let Some(object) = object else { return Ok(()) };
        let Some(operation) = operation(&object) else { return Ok(()) };
        let (node, begun, done) = match &operation {
            Operation::Add(node) => (node, "Adding IP address", "IP address successfully added"),
            Operation::Release(node) => (node, "Deleting IP address", "IP address successfully deleted"),
        };
        self.tell(address, node, "Unknown", begun).await?;
        let result = match &operation {
            Operation::Add(node) => self.add(&object, node).await,
            Operation::Release(node) => self.release(address, node).await,
        };
        if let Err(error) = result {
            let what = if matches!(operation, Operation::Add(_)) { "assignment" } else { "release" };
            let text = format!("Error processing cloud {what} request, err: {error}");
            self.tell(address, node, "False", &text).await?;
            return Err(error);
        }
        match operation {
            Operation::Release(_) if is_terminating(&object.metadata) => self.guard(&object, false).await,
            Operation::Release(_) => self.tell(address, "", "True", done).await,
            Operation::Add(_) => self.tell(address, node, "True", done).await,
        }
    }

    async fn add(&self, object: &DynamicObject, node: &str) -> Result<(), String> {
        self.guard(object, true).await?;
        if !self.is_there(node).await? {
            return Err(format!("Node \"{node}\" does not exist"));
        }
        self.interfaces.assign(node, &object.name_any()).await
    }

    /// Of a node that is gone, the cloud is not asked: the machine is taken to be gone with it.
    async fn release(&self, address: &str, node: &str) -> Result<(), String> {
        if self.is_there(node).await? { self.interfaces.release(node, address).await } else { Ok(()) }
    }

    async fn is_there(&self, node: &str) -> Result<bool, String> {
        let found = kinds::all(&self.client, "Node").get_opt(node).await;
        found.map(|node| node.is_some()).map_err(|error| error.to_string())
    }

    async fn guard(&self, object: &DynamicObject, on: bool) -> Result<(), String> {
        let finalizers: &[&str] = if on { &[FINALIZER] } else { &[] };
        let patch = Patch::Merge(json!({ "metadata": { "finalizers": finalizers } }));
        let done = self.api().patch(&object.name_any(), &PatchParams::default(), &patch).await;
        done.map(drop).map_err(|error| error.to_string())
    }

    async fn tell(&self, address: &str, node: &str, assigned: &str, message: &str) -> Result<(), String> {
        let reason = match assigned {
            "True" => "CloudResponseSuccess",
            "False" => "CloudResponseError",
            _ => "CloudResponsePending",
        };
        let condition = json!({
            "type": "Assigned",
            "status": assigned,
            "reason": reason,
            "message": message,
            "lastTransitionTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        });
        let patch = Patch::Merge(json!({ "status": { "node": node, "conditions": [condition] } }));
        let told = self.api().patch_status(address, &PatchParams::default(), &patch).await;
        told.map(drop).map_err(|error| error.to_string())
    }
}
