//! OVN-Kubernetes' cluster manager, as far as `EgressIP` goes.

mod assign;
mod cache;
mod cloud;
mod events;
mod nodes;
mod operations;
mod reconcile;
mod start;

use crate::action::{Action, Reason};
use crate::dice::Dice;
use crate::marks::Marks;
use crate::names::MARK;
use crate::object::{CloudPrivateIpConfig, EgressIp, Node, StatusItem};
use crate::probe::{Probes, Probing};
use crate::retry::{Object, Retries};
use cache::EgressNode;
use operations::Pending;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How the cluster manager is set up.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether the platform is AWS, Azure, GCP or `OpenStack`, where addresses are put on interfaces by the cloud controller.
    pub cloud: bool,
    /// What decides where the real one leaves it to chance.
    pub seed: u64,
    /// How nodes are probed.
    pub probing: Probing,
    /// Whether `spec.egressNodeSelector` counts. The release that this is modelled on does not know it.
    pub selectors: bool,
    /// Labels of nodes that have no pod network of this kind and are left out; none are, if it is empty.
    pub no_host_subnet: BTreeMap<String, String>,
}

/// All objects of a cluster at one moment.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The `EgressIP` objects.
    pub egress_ips: Vec<EgressIp>,
    /// The `CloudPrivateIPConfig` objects.
    pub cpics: Vec<CloudPrivateIpConfig>,
}

/// Something could not be done and is to be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

type Outcome = Result<(), Failed>;

/// What watches have shown. They are independent: one may be late.
#[derive(Clone, Debug, Default)]
struct Seen {
    nodes: BTreeMap<String, Node>,
    egress_ips: BTreeMap<String, EgressIp>,
    /// `EgressIP` objects as the API server has them, with what was written since the watch showed them. The real one asks
    /// for them with a list whenever a node changes.
    live: BTreeMap<String, EgressIp>,
    cpics: BTreeMap<String, CloudPrivateIpConfig>,
}

/// The cluster manager as a state machine. Whoever drives it hands it what watches show, each kind at its own time,
/// carries out the [`Action`]s that come back, and calls [`Self::tick`] at [`Self::next_wake`].
#[derive(Clone, Debug)]
pub struct ClusterManager {
    settings: Settings,
    dice: Dice,
    seen: Seen,
    cache: BTreeMap<String, EgressNode>,
    pending: Pending,
    marks: Marks,
    retries: Retries,
    probes: Probes,
    now: u64,
    out: Vec<Action>,
}

impl ClusterManager {
    /// The watch shows a node that is new or has changed.
    pub fn node_changed(&mut self, now: u64, node: Node) -> Vec<Action> {
        self.now = now;
        let before = self.seen.nodes.insert(node.name.clone(), node.clone());
        self.shown(before.map(|before| Object::Node(Box::new(before))), &Object::Node(Box::new(node)))
    }

    /// The watch shows that a node is gone.
    pub fn node_deleted(&mut self, now: u64, node: &Node) -> Vec<Action> {
        self.now = now;
        self.seen.nodes.remove(&node.name);
        self.vanished(&Object::Node(Box::new(node.clone())))
    }

    /// The watch shows an `EgressIP` that is new or has changed.
    pub fn egress_ip_changed(&mut self, now: u64, egress_ip: EgressIp) -> Vec<Action> {
        self.now = now;
        self.egress_ip_written(egress_ip.clone());
        let before = self.seen.egress_ips.insert(egress_ip.name.clone(), egress_ip.clone());
        self.shown(before.map(|before| Object::EgressIp(Box::new(before))), &Object::EgressIp(Box::new(egress_ip)))
    }

    /// The watch shows that an `EgressIP` is gone, in its last state.
    pub fn egress_ip_deleted(&mut self, now: u64, egress_ip: &EgressIp) -> Vec<Action> {
        self.now = now;
        self.seen.egress_ips.remove(&egress_ip.name);
        self.seen.live.remove(&egress_ip.name);
        self.vanished(&Object::EgressIp(Box::new(egress_ip.clone())))
    }

    /// Says what the API server has, before the watch shows it: the answer to a patch, or a write of somebody else.
    /// Without this the cluster manager takes it that its patches succeed and that nobody else writes.
    pub fn egress_ip_written(&mut self, egress_ip: EgressIp) {
        let known = self.seen.live.get(&egress_ip.name);
        if known.is_none_or(|known| known.resource_version <= egress_ip.resource_version) {
            self.seen.live.insert(egress_ip.name.clone(), egress_ip);
        }
    }

    /// The watch shows a `CloudPrivateIPConfig` that is new or has changed.
    pub fn cpic_changed(&mut self, now: u64, cpic: CloudPrivateIpConfig) -> Vec<Action> {
        self.now = now;
        let before = self.seen.cpics.insert(cpic.name.clone(), cpic.clone());
        self.shown(before.map(|before| Object::Cpic(Box::new(before))), &Object::Cpic(Box::new(cpic)))
    }

    /// The watch shows that a `CloudPrivateIPConfig` is gone, in its last state.
    pub fn cpic_deleted(&mut self, now: u64, cpic: &CloudPrivateIpConfig) -> Vec<Action> {
        self.now = now;
        self.seen.cpics.remove(&cpic.name);
        self.vanished(&Object::Cpic(Box::new(cpic.clone())))
    }

    /// Says whether a node answers probes from now on. The next probe notices.
    pub fn set_reachable(&mut self, node: &str, reachable: bool) {
        self.probes.set_reachable(node, reachable);
    }

    /// Whether there is a connection to probe a node by.
    pub fn is_connected(&self, node: &str) -> bool {
        self.probes.is_connected(node)
    }

    /// An action could not be carried out. What caused it goes into the retry queue.
    pub fn action_failed(&mut self, now: u64, action: &Action) -> Vec<Action> {
        self.now = now;
        let owner = action.owner();
        let reason = match action {
            Action::CreateCpic { .. } => Some(Reason::CloudAssignmentFailed),
            Action::UpdateCpic { .. } => Some(Reason::CloudUpdateFailed),
            Action::DeleteCpic { .. } => Some(Reason::CloudDeletionFailed),
            _ => None,
        };
        if matches!(action, Action::PatchEgressIp { .. })
            && let Some(shown) = self.seen.egress_ips.get(owner)
        {
            self.seen.live.insert(owner.to_owned(), shown.clone());
        }
        self.retries.write_failed(owner, now);
        if let Some(reason) = reason {
            self.event(owner, reason, "the API refused to write the CloudPrivateIPConfig".to_owned());
        }
        self.finish()
    }

    /// The addresses that each node is taken to carry, and for whom. A write may still be under way.
    pub fn allocations(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        self.cache.iter().map(|(name, node)| (name.clone(), node.allocations.clone())).collect()
    }

    /// Whether a node is known, and counts as assignable, ready and reachable.
    pub fn is_usable(&self, node: &str) -> bool {
        self.cache.get(node).is_some_and(|node| node.assignable && node.ready && node.reachable)
    }

    /// How many objects wait to be tried again.
    pub fn retrying(&self) -> usize {
        self.retries.entries.len()
    }

    fn finish(&mut self) -> Vec<Action> {
        self.retries.handling = None;
        std::mem::take(&mut self.out)
    }

    fn emit(&mut self, action: Action) {
        self.retries.wrote(action.owner());
        self.out.push(action);
    }

    /// Events are written in the background: a failure of theirs has no consequence.
    fn event(&mut self, object: &str, reason: Reason, message: String) {
        self.out.push(Action::Event { object: object.to_owned(), reason, message });
    }

    /// Writes status, and with it the mark if the object that was read has none. The mark's operation replaces all
    /// annotations.
    fn patch_status(&mut self, read: &EgressIp, items: Vec<StatusItem>) {
        let mut patch: Vec<Value> = Vec::new();
        if !read.is_marked() {
            patch.extend(self.mark_operation(&read.name));
        }
        let listed: Vec<Value> =
            items.iter().map(|item| json!({ "node": item.node, "egressIP": item.egress_ip })).collect();
        patch.push(json!({ "op": "replace", "path": "/status", "value": { "items": listed } }));
        if let Some(live) = self.seen.live.get_mut(&read.name) {
            live.status = items;
        }
        self.emit(Action::PatchEgressIp { name: read.name.clone(), patch: Value::Array(patch) });
    }

    fn mark_operation(&mut self, name: &str) -> Option<Value> {
        let mark = self.marks.of(name)?.to_string();
        if let Some(live) = self.seen.live.get_mut(name) {
            live.annotations = [(MARK.to_owned(), mark.clone())].into();
        }
        Some(json!({ "op": "add", "path": "/metadata/annotations", "value": { MARK: mark } }))
    }
}
