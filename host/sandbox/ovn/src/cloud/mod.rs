//! OpenShift's cloud network config controller, as far as `CloudPrivateIPConfig` goes.

mod machine;
mod queue;
mod sync;
mod view;

use crate::action::Action;
use crate::names::{CLOUD_CONFIG, UNINITIALIZED, cpic_address};
use crate::object::{CloudPrivateIpConfig, Node};
use machine::Cloud;
pub use machine::{Change, Fault, Machine, Verb};
use queue::Queue;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use sync::Job;
use view::View;

/// How long a node waits for its annotation to be written again after a failure.
const ANNOTATE_AGAIN: u64 = 1_000;

/// How the cloud and its controller are set up.
#[derive(Clone, Debug)]
pub struct CloudSettings {
    /// How long the cloud takes to put an address on an interface.
    pub assign_ms: u64,
    /// How long it takes to take one off.
    pub release_ms: u64,
    /// How many addresses are worked on at once. One that waits for its node's interface counts, so that a busy node can
    /// hold up all the others.
    pub workers: usize,
}

impl Default for CloudSettings {
    /// Azure at its best, whose answer asks for 10 s of patience.
    fn default() -> Self {
        Self { assign_ms: 10_000, release_ms: 10_000, workers: 10 }
    }
}

/// The cloud controller as a state machine, with the cloud behind it. It is driven like the
/// [`ClusterManager`](crate::ClusterManager), and started by showing it all objects.
#[derive(Clone, Debug)]
pub struct CloudController {
    settings: CloudSettings,
    cloud: Cloud,
    nodes: BTreeMap<String, Node>,
    cpics: View,
    queue: Queue,
    jobs: BTreeMap<String, Job>,
    /// Nodes whose annotation is to be written again, and when.
    unannotated: BTreeMap<String, u64>,
    now: u64,
    out: Vec<Action>,
}

impl CloudController {
    /// A controller of a cloud with these machines, by node.
    pub fn new(settings: CloudSettings, machines: BTreeMap<String, Machine>) -> Self {
        Self {
            settings,
            cloud: Cloud { machines, ..Cloud::default() },
            nodes: BTreeMap::new(),
            cpics: View::default(),
            queue: Queue::default(),
            jobs: BTreeMap::new(),
            unannotated: BTreeMap::new(),
            now: 0,
            out: Vec::new(),
        }
    }

    /// The cloud's machines. Another controller can go on with them.
    pub fn machines(&self) -> &BTreeMap<String, Machine> {
        &self.cloud.machines
    }

    /// The machines, to be changed behind the controller's back.
    pub fn machines_mut(&mut self) -> &mut BTreeMap<String, Machine> {
        &mut self.cloud.machines
    }

    /// All changes that were made to interfaces, in order.
    pub fn changes(&self) -> &[Change] {
        &self.cloud.changes
    }

    /// Makes the next operation of a kind fail; called again, the one after it.
    pub fn fail_next(&mut self, verb: Verb, fault: Fault) {
        self.cloud.faults.entry(verb).or_default().push_back(fault);
    }

    /// The watch shows a node that is new or has changed. Its annotation is written when it is new and when its taints
    /// change, at no other time.
    pub fn node_changed(&mut self, now: u64, node: Node) -> Vec<Action> {
        self.advance(now);
        let name = node.name.clone();
        let taints = node.taints.clone();
        let before = self.nodes.insert(name.clone(), node);
        if before.is_none_or(|before| before.taints != taints) {
            self.annotate(&name);
        }
        self.finish()
    }

    /// The watch shows that a node is gone.
    pub fn node_deleted(&mut self, now: u64, node: &Node) -> Vec<Action> {
        self.advance(now);
        self.nodes.remove(&node.name);
        self.unannotated.remove(&node.name);
        self.finish()
    }

    /// The watch shows a `CloudPrivateIPConfig` that is new or has changed.
    pub fn cpic_changed(&mut self, now: u64, cpic: CloudPrivateIpConfig) -> Vec<Action> {
        self.advance(now);
        let name = cpic.name.clone();
        if self.cpics.show(cpic) {
            self.queue.add(&name);
        }
        self.finish()
    }

    /// The watch shows that a `CloudPrivateIPConfig` is gone.
    pub fn cpic_deleted(&mut self, now: u64, cpic: &CloudPrivateIpConfig) -> Vec<Action> {
        self.advance(now);
        self.cpics.remove(&cpic.name);
        self.queue.add(&cpic.name);
        self.finish()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: u64) -> Vec<Action> {
        self.advance(now);
        self.finish()
    }

    /// When [`Self::tick`] has something to do next.
    pub fn next_wake(&self) -> Option<u64> {
        let ends = self.jobs.values().filter_map(|job| job.ends).min();
        [ends, self.queue.next(), self.unannotated.values().copied().min()].into_iter().flatten().min()
    }

    /// An action could not be carried out. What the action belongs to is done again later.
    pub fn action_failed(&mut self, now: u64, action: &Action) -> Vec<Action> {
        self.advance(now);
        let name = action.owner();
        if matches!(action, Action::AnnotateNode { .. }) {
            self.unannotated.insert(name.to_owned(), now + ANNOTATE_AGAIN);
        } else {
            self.cpics.undo(name);
            self.jobs.remove(name);
            self.queue.failed(name, now);
        }
        self.finish()
    }

    fn advance(&mut self, now: u64) {
        while let Some(at) = self.next_wake().filter(|at| *at <= now) {
            self.now = self.now.max(at);
            self.end_jobs();
            self.queue.release(self.now);
            let due: Vec<String> =
                self.unannotated.iter().filter(|(_, at)| **at <= self.now).map(|(name, _)| name.clone()).collect();
            for name in due {
                self.unannotated.remove(&name);
                self.annotate(&name);
            }
            self.work();
        }
        self.now = now;
    }

    fn finish(&mut self) -> Vec<Action> {
        self.work();
        // An operation that has nothing to do ends at once, and may make way for others.
        self.advance(self.now);
        std::mem::take(&mut self.out)
    }

    fn annotate(&mut self, name: &str) {
        let Some(node) = self.nodes.get(name).filter(|node| !node.taints.iter().any(|key| key == UNINITIALIZED)) else {
            return;
        };
        let ours = self.cpics.all().filter(|cpic| cpic.node == node.name || cpic.status.node == node.name);
        let ours: BTreeSet<IpAddr> = ours.filter_map(|cpic| cpic_address(&cpic.name)).collect();
        if let Some(machine) = self.cloud.machines.get(name) {
            let value = machine.annotation(&ours);
            self.out.push(Action::AnnotateNode { node: name.to_owned(), key: CLOUD_CONFIG, value });
        }
    }
}
