//! A cluster for one scenario: an API server of its own, with what OpenShift would do played around it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::audit::{AuditLog, Mark, Requests};
use super::etcd::Change;
use super::objects::{self, ADDRESSES_ANNOTATION, Object, POOL_ANNOTATION, ready_condition};
use super::openshift::{OpenShift, Switches};
use super::outcome::Outcome;
use super::pool::Lease;
use super::server::{Server, User};
use super::wait::{eventually, reads};
use super::{bootstrap, kinds};

/// Long enough for anything that happens at once, also on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);
/// Without writes for this long, the operator is at rest.
const QUIET: Duration = Duration::from_millis(300);
/// Requests under way at the same time when objects are made.
const CONCURRENCY: usize = 8;

/// A cluster. Clones are the same cluster; the last one to go gives the server back.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

/// Fields go in this order: nothing writes any more when the server goes back.
struct Inner {
    openshift: OpenShift,
    client: Client,
    audit: AuditLog,
    lease: Lease,
}

/// Whole clusters.
impl Cluster {
    /// An empty cluster with the definitions, the operator's namespace and rights, and OpenShift's stand-in at work.
    pub async fn start() -> Self {
        let lease = Lease::take().await;
        let client = lease.server().client(User::Tester).await;
        let openshift = OpenShift::start(lease.server().client(User::OpenShift).await);
        let audit = lease.server().audit(client.clone());
        Self { inner: Arc::new(Inner { openshift, client, audit, lease }) }
    }

    /// Empties the cluster, for scenarios that run many times over. The operator must not be running.
    pub async fn reset(&self) {
        self.inner.openshift.stop().await;
        let clean = self.server().reset().await;
        assert!(clean.is_ok(), "this scenario changed definitions: it needs a new Cluster::start() for each run");
        self.inner.openshift.switch(|switches| *switches = Switches::default());
        self.inner.openshift.resume();
    }

    /// Kills the API server. etcd keeps running.
    pub fn stop_apiserver(&self) {
        self.server().stop_apiserver();
    }

    /// Starts the API server again, on the same address, with empty watch caches: older resource versions get 410.
    pub async fn start_apiserver(&self) {
        self.server().start_apiserver().await;
    }

    /// Makes etcd forget all earlier revisions, and returns the one that is left.
    pub async fn compact(&self) -> i64 {
        let database = self.server().database();
        let revision = database.revision().await.unwrap_or_else(|error| panic!("{error}"));
        database.compact(revision).await.unwrap_or_else(|error| panic!("{error}"));
        revision
    }

    /// Serves redhat-cop's EgressIPAM definition instead of ours: our fields are pruned from now on.
    pub async fn serve_peer_definition(&self) {
        let name = "egressipams.redhatcop.redhat.io";
        let patch = json!({ "spec": { "versions": bootstrap::peer_definition()["spec"]["versions"] } });
        self.patch("CustomResourceDefinition", name, &patch).await;
        let probe = objects::pool("probe").set("spec.zoneFailover", "Any");
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        eventually("our fields are pruned", SOON, || async {
            let made = self.api("EgressIPAM", None).create(&dry_run, &kinds::dynamic(probe.json().clone())).await;
            let made = made.map_err(|error| error.to_string())?;
            if made.data["spec"]["zoneFailover"].is_null() { Ok(()) } else { Err(made.data.to_string()) }
        })
        .await;
    }

    /// The stand-in for OpenShift's controllers.
    pub fn openshift(&self) -> &OpenShift {
        &self.inner.openshift
    }

    /// What was asked of the API server.
    pub fn audit(&self) -> &AuditLog {
        &self.inner.audit
    }

    /// A client that may do everything.
    pub fn client(&self) -> Client {
        self.inner.client.clone()
    }

    /// A client with somebody's rights.
    pub async fn client_of(&self, user: User) -> Client {
        self.server().client(user).await
    }

    /// A client with the operator's rights.
    pub async fn sluice_client(&self) -> Client {
        self.server().client(User::Sluice).await
    }

    /// Where a scenario may put files.
    pub fn folder(&self) -> &Path {
        self.server().folder()
    }

    /// Path of the operator's kubeconfig.
    pub fn sluice_kubeconfig(&self) -> PathBuf {
        self.server().kubeconfig(User::Sluice)
    }

    fn server(&self) -> &Server {
        self.inner.lease.server()
    }
}

/// Objects.
impl Cluster {
    /// Creates objects through the API; one that is there already (the stand-in was faster) is patched to be the same.
    pub async fn create(&self, objects: impl IntoIterator<Item = Object>) {
        futures::stream::iter(objects)
            .for_each_concurrent(CONCURRENCY, |object| async move { self.create_one(&object).await })
            .await;
    }

    async fn create_one(&self, object: &Object) {
        let api = self.api(object.kind(), object.namespace());
        let mut body = object.json().clone();
        let created = api.create(&PostParams::default(), &kinds::dynamic(body.clone())).await;
        let patch_as = PatchParams::default();
        match created {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                must(object, api.patch(object.name(), &patch_as, &Patch::Merge(&body)).await);
            }
            other => must(object, other),
        }
        if let Some(status) = body.get_mut("status").map(Value::take) {
            let patch = json!({ "status": status });
            must(object, api.patch_status(object.name(), &patch_as, &Patch::Merge(patch)).await);
        }
    }

    /// Puts objects into storage as they are: creation and deletion times, uids, status. Not checked by the API server.
    pub async fn store(&self, objects: impl IntoIterator<Item = Object>) {
        let changes: Vec<Change> = objects
            .into_iter()
            .map(|object| {
                let stored = stored_form(object.json().clone());
                Change::Put(kinds::storage_key(&stored), stored.to_string().into_bytes())
            })
            .collect();
        self.server().database().apply(&changes).await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Takes objects out of storage: nobody is asked, no finalizer counts.
    pub async fn erase(&self, objects: impl IntoIterator<Item = Object>) {
        let keys = objects.into_iter().map(|object| Change::Delete(kinds::storage_key(object.json())));
        let changes: Vec<Change> = keys.collect();
        self.server().database().apply(&changes).await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// An object, if it is there.
    pub async fn get(&self, kind: &str, name: &str) -> Option<DynamicObject> {
        let found = self.api(kind, None).get_opt(name).await;
        found.unwrap_or_else(|error| panic!("{kind} {name}: {error}"))
    }

    /// All objects of a kind, by name.
    pub async fn list(&self, kind: &str) -> Vec<DynamicObject> {
        let list = kinds::all(&self.inner.client, kind).list(&ListParams::default()).await;
        list.unwrap_or_else(|error| panic!("{kind}: {error}")).items
    }

    /// Applies a JSON merge patch to a cluster-scoped object.
    pub async fn patch(&self, kind: &str, name: &str, patch: &Value) {
        let patched = self.api(kind, None).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
    }

    /// Deletes a cluster-scoped object; it may stay for a while, terminating.
    pub async fn delete(&self, kind: &str, name: &str) {
        let deleted = self.api(kind, None).delete(name, &DeleteParams::default()).await;
        if let Err(error) = deleted {
            panic!("{kind} {name}: {error}");
        }
    }

    /// Waits until an object is gone.
    pub async fn is_gone(&self, kind: &str, name: &str) {
        eventually(&format!("{kind} {name} is gone"), SOON, || async {
            match self.get(kind, name).await {
                None => Ok(()),
                Some(object) => Err(json!(object).to_string()),
            }
        })
        .await;
    }

    /// Waits until an object is there.
    pub async fn is_there(&self, kind: &str, name: &str) -> DynamicObject {
        eventually(&format!("{kind} {name} is there"), SOON, || async { self.get(kind, name).await.ok_or("nothing") })
            .await
    }

    /// An API for a kind. `namespace` only for kinds that are in namespaces.
    pub fn api(&self, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        kinds::within(&self.inner.client, kind, namespace)
    }
}

/// What people and kubelets do.
impl Cluster {
    /// Sets or removes an annotation.
    pub async fn annotate(&self, kind: &str, name: &str, key: &str, value: Option<&str>) {
        self.patch(kind, name, &json!({ "metadata": { "annotations": { key: value } } })).await;
    }

    /// Sets or removes a label.
    pub async fn label(&self, kind: &str, name: &str, key: &str, value: Option<&str>) {
        self.patch(kind, name, &json!({ "metadata": { "labels": { key: value } } })).await;
    }

    /// Opts a namespace in to a pool, or out.
    pub async fn opt_in(&self, namespace: &str, pool: Option<&str>) {
        self.annotate("Namespace", namespace, POOL_ANNOTATION, pool).await;
    }

    /// Sets or removes a namespace's addresses annotation.
    pub async fn request(&self, namespace: &str, addresses: Option<&str>) {
        self.annotate("Namespace", namespace, ADDRESSES_ANNOTATION, addresses).await;
    }

    /// Sets a node's Ready condition.
    pub async fn set_ready(&self, node: &str, ready: bool) {
        let patch = Patch::Merge(json!({ "status": { "conditions": [ready_condition(ready)] } }));
        let patched = self.api("Node", None).patch_status(node, &PatchParams::default(), &patch).await;
        patched.unwrap_or_else(|error| panic!("Node {node}: {error}"));
    }

    /// Cordons or uncordons a node.
    pub async fn set_cordoned(&self, node: &str, cordoned: bool) {
        self.patch("Node", node, &json!({ "spec": { "unschedulable": cordoned } })).await;
    }
}

/// Looking and judging.
impl Cluster {
    /// Who holds and carries what, now.
    pub async fn outcome(&self) -> Outcome {
        // On the heap: four lists at once make it large.
        Box::pin(Outcome::read(self)).await
    }

    /// What the operator wrote since `mark`, leases aside.
    pub async fn written_since(&self, mark: Mark) -> Requests {
        self.audit().since(mark).await.by(User::Sluice).writes().except(&["leases"])
    }

    /// Waits until the operator has written nothing for 300 ms, and returns what it wrote meanwhile.
    pub async fn settled(&self) -> Requests {
        self.audit().silence(User::Sluice, QUIET, SOON).await
    }

    /// Waits until the outcome is as expected; on timeout shows the difference.
    #[track_caller]
    pub fn becomes(&self, expected: expect_test::Expect) -> impl Future<Output = ()> {
        reads(expected, || async { self.outcome().await.to_string() })
    }

    /// Panics, with the whole table, unless the outcome has no [faults](Outcome::faults).
    pub async fn assert_sound(&self) {
        let outcome = self.outcome().await;
        let faults = outcome.faults();
        assert!(faults.is_empty(), "the cluster is not sound:\n{}\n\n{outcome}", faults.join("\n"));
    }
}

fn must(object: &Object, result: kube::Result<DynamicObject>) {
    if let Err(error) = result {
        panic!("{} {}: {error}\n{}", object.kind(), object.name(), object.json());
    }
}

/// The form in which the API server would store an object.
fn stored_form(mut object: Value) -> Value {
    let now = k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let uid = uuid();
    let is_namespace = object.get("kind").and_then(Value::as_str) == Some("Namespace");
    let metadata = object["metadata"].as_object_mut().expect("objects have metadata");
    metadata.remove("resourceVersion");
    metadata.entry("uid").or_insert(uid.into());
    metadata.entry("creationTimestamp").or_insert(now.into());
    if is_namespace {
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = object["metadata"]["name"].clone();
        let spec = &mut object["spec"]["finalizers"];
        if spec.is_null() {
            *spec = json!(["kubernetes"]);
            object["status"]["phase"] = "Active".into();
        }
    }
    object
}

fn uuid() -> String {
    let bits: u128 = rand::random();
    let hex = format!("{bits:032x}");
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}
