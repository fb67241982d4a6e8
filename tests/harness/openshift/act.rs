//! What the stand-in writes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures::StreamExt as _;
use hyper::StatusCode;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use sluice_sandbox::sdn::{self, Carrier};

use super::Switches;
use super::view::View;
use crate::harness::kinds::{self, is_system_namespace, is_terminating, strings};
use crate::harness::objects::{self, Object};

/// Requests under way at the same time.
const CONCURRENCY: usize = 8;

/// One write.
enum Action {
    Create { object: Object, for_uid: String },
    Delete { kind: &'static str, name: String },
    Finalize(DynamicObject),
    Place { host_subnet: DynamicObject, addresses: Vec<IpAddr> },
}

/// Writes what follows from a [`View`].
pub struct Actor {
    client: Client,
    /// Namespaces and nodes that have had their object: it is not made twice.
    served: BTreeSet<String>,
}

impl Actor {
    /// An actor that has done nothing yet.
    pub fn new(client: Client) -> Self {
        Self { client, served: BTreeSet::new() }
    }

    /// Does everything there is to do now. What fails is found again in a later round.
    pub async fn act(&mut self, view: &mut View, switches: &Switches) {
        let mut actions = Vec::new();
        actions.extend(self.follow(view, "Namespace", "NetNamespace", switches.net_namespaces, switches));
        actions.extend(self.follow(view, "Node", "HostSubnet", switches.host_subnets, switches));
        actions.extend(finalizations(view, switches));
        if switches.place {
            actions.extend(placements(view));
        }
        // Deletions first: a namespace that was deleted and made again must not inherit the old one's addresses.
        let (deletions, others) = actions.into_iter().partition(|action| matches!(action, Action::Delete { .. }));
        self.perform_all(deletions, view).await;
        self.perform_all(others, view).await;
    }

    async fn perform_all(&mut self, actions: Vec<Action>, view: &mut View) {
        let client = &self.client;
        let done: Vec<Done> = futures::stream::iter(actions)
            .map(|action| async move { perform(client, action).await })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        for done in done {
            match done {
                Done::Well => {}
                Done::NotMade { for_uid } => drop(self.served.remove(&for_uid)),
                // What was placed must not be placed again elsewhere before the watch tells.
                Done::Placed(host_subnet) => view.note("HostSubnet", *host_subnet),
            }
        }
    }

    /// Objects of one kind for new objects of another, and none for those that are gone.
    fn follow(
        &mut self,
        view: &mut View,
        leader: &'static str,
        follower: &'static str,
        on: bool,
        switches: &Switches,
    ) -> Vec<Action> {
        let gone = view.take_gone(leader).into_iter().filter(|_| on);
        let mut actions: Vec<Action> = gone.map(|name| Action::Delete { kind: follower, name }).collect();
        for (name, object) in view.all(leader) {
            let uid = object.uid().unwrap_or_default();
            let is_new = self.served.insert(uid.clone());
            let wanted = on && is_new && !is_terminating(&object.metadata) && !switches.without.contains(name);
            if wanted && !is_system_namespace(name) {
                actions.push(Action::Create { object: companion(object, follower), for_uid: uid });
            }
        }
        actions
    }
}

fn companion(leader: &DynamicObject, follower: &str) -> Object {
    let name = leader.name_any();
    if follower == "NetNamespace" {
        return objects::net_namespace(&name);
    }
    let addresses = leader.data.pointer("/status/addresses").and_then(Value::as_array);
    let internal = addresses
        .into_iter()
        .flatten()
        .find(|address| address.get("type").and_then(Value::as_str) == Some("InternalIP"))
        .and_then(|address| address.get("address").and_then(Value::as_str));
    let subnet = objects::host_subnet(&name);
    match internal {
        Some(address) if address.parse::<std::net::Ipv4Addr>().is_ok() => subnet.set("hostIP", address),
        _ => subnet,
    }
}

fn finalizations(view: &View, switches: &Switches) -> Vec<Action> {
    let deleted = view.all("Namespace").values().filter(|namespace| {
        let kept_by_kubernetes = namespace.data.pointer("/spec/finalizers/0").is_some();
        is_terminating(&namespace.metadata) && kept_by_kubernetes && !switches.held.contains(&namespace.name_any())
    });
    deleted.cloned().map(Action::Finalize).collect()
}

fn placements(view: &View) -> Vec<Action> {
    let carriers: BTreeMap<String, Carrier> =
        view.all("HostSubnet").iter().map(|(name, subnet)| (name.clone(), carrier(subnet, view))).collect();
    let claims: BTreeMap<String, Vec<IpAddr>> =
        view.all("NetNamespace").iter().map(|(name, net)| (name.clone(), parsed(net, "egressIPs"))).collect();
    let wanted = sdn::place(&carriers, &claims);
    let changed =
        wanted.into_iter().filter(|(name, addresses)| carriers.get(name).map(|c| &c.addresses) != Some(addresses));
    changed
        .filter_map(|(name, addresses)| {
            Some(Action::Place { host_subnet: view.all("HostSubnet").get(&name)?.clone(), addresses })
        })
        .collect()
}

fn carrier(subnet: &DynamicObject, view: &View) -> Carrier {
    let ready = view.all("Node").get(&subnet.name_any()).is_some_and(is_ready);
    Carrier { online: ready, cidrs: parsed(subnet, "egressCIDRs"), addresses: parsed(subnet, "egressIPs") }
}

fn parsed<T: std::str::FromStr>(object: &DynamicObject, field: &str) -> Vec<T> {
    strings(object, field).iter().filter_map(|text| text.parse().ok()).collect()
}

/// Whether a node's Ready condition is `True`.
pub fn is_ready(node: &DynamicObject) -> bool {
    let conditions = node.data.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        let field = |name| condition.get(name).and_then(Value::as_str);
        field("type") == Some("Ready") && field("status") == Some("True")
    })
}

/// What came of an action.
enum Done {
    /// It was done, or failed in a way that shows again in the view.
    Well,
    /// The object for this uid could not be made.
    NotMade { for_uid: String },
    /// The HostSubnet now.
    Placed(Box<DynamicObject>),
}

async fn perform(client: &Client, action: Action) -> Done {
    match action {
        Action::Create { object, for_uid } => {
            let api = kinds::all(client, object.kind());
            let made = api.create(&PostParams::default(), &kinds::dynamic(object.json().clone())).await;
            match made {
                Err(kube::Error::Api(status)) if status.code == StatusCode::CONFLICT.as_u16() => Done::Well,
                Err(_) => Done::NotMade { for_uid },
                Ok(_) => Done::Well,
            }
        }
        Action::Delete { kind, name } => {
            let _ = kinds::all(client, kind).delete(&name, &DeleteParams::default()).await;
            Done::Well
        }
        Action::Finalize(namespace) => {
            finalize(client, &namespace).await;
            Done::Well
        }
        Action::Place { host_subnet, addresses } => {
            let patch = json!({
                "metadata": { "resourceVersion": host_subnet.resource_version() },
                "egressIPs": addresses,
            });
            let api = kinds::all(client, "HostSubnet");
            let placed = api.patch(&host_subnet.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await;
            placed.map_or(Done::Well, |host_subnet| Done::Placed(Box::new(host_subnet)))
        }
    }
}

async fn finalize(client: &Client, namespace: &DynamicObject) {
    let mut finalized = json!(namespace);
    finalized["spec"]["finalizers"] = json!([]);
    let path = format!("/api/v1/namespaces/{}/finalize", namespace.name_any());
    let request = hyper::Request::put(path).header("content-type", "application/json");
    if let Ok(request) = request.body(finalized.to_string().into_bytes()) {
        let _ = client.request::<Value>(request).await;
    }
}
