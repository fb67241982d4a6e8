//! What one `CloudPrivateIPConfig` needs (`cloudprivateipconfig_controller.go`, `SyncHandler`).

use super::CloudController;
use super::machine::{Fault, Verb};
use super::view::has_finalizer;
use crate::action::Action;
use crate::names::{FINALIZER, cpic_address};
use crate::object::{CloudPrivateIpConfig, Condition, CpicStatus};
use std::net::IpAddr;

/// An operation of the cloud that a worker waits for.
#[derive(Clone, Debug)]
pub(super) struct Job {
    verb: Verb,
    address: IpAddr,
    node: String,
    /// The object as it was when the operation was decided on.
    read: CloudPrivateIpConfig,
    fault: Option<Fault>,
    /// The order in which jobs take the interface of a node.
    turn: u64,
    /// When it ends; nothing while another one has the interface.
    pub(super) ends: Option<u64>,
}

/// What a worker has come to.
enum Step {
    Done,
    Failed,
    Waits,
}

impl CloudController {
    /// Gives work to workers that are free.
    pub(super) fn work(&mut self) {
        while self.queue.busy() < self.settings.workers {
            let Some(name) = self.queue.take() else { break };
            match self.sync(&name) {
                Step::Done => self.queue.done(&name),
                Step::Failed => self.queue.failed(&name, self.now),
                Step::Waits => {}
            }
        }
        self.start_jobs();
    }

    fn sync(&mut self, name: &str) -> Step {
        let Some(cpic) = self.cpics.get(name).cloned() else { return Step::Done };
        let Some(address) = cpic_address(name) else { return Step::Failed };
        match needed(&cpic) {
            None => Step::Done,
            Some((Verb::Release, node)) => self.release(&cpic, address, node),
            Some((Verb::Assign, node)) => self.assign(&cpic, address, node),
        }
    }

    fn assign(&mut self, cpic: &CloudPrivateIpConfig, address: IpAddr, node: String) -> Step {
        self.say(&cpic.name, &node, "Unknown", "the address is being added".to_owned());
        if !has_finalizer(cpic) {
            let mut finalizers = cpic.finalizers.clone();
            finalizers.push(FINALIZER.to_owned());
            self.keep(&cpic.name, finalizers);
        }
        if !self.nodes.contains_key(&node) {
            // Nothing brings this back but another change of the object.
            self.say(&cpic.name, &node, "False", format!("there is no node {node}"));
            return Step::Done;
        }
        self.begin(Verb::Assign, cpic, address, node);
        Step::Waits
    }

    fn release(&mut self, cpic: &CloudPrivateIpConfig, address: IpAddr, node: String) -> Step {
        self.say(&cpic.name, &node, "Unknown", "the address is being deleted".to_owned());
        if !self.nodes.contains_key(&node) {
            // The machine is taken to be gone as well, and the cloud is not asked.
            return self.end_well(Verb::Release, cpic, &node);
        }
        self.begin(Verb::Release, cpic, address, node);
        Step::Waits
    }

    fn begin(&mut self, verb: Verb, read: &CloudPrivateIpConfig, address: IpAddr, node: String) {
        let turn = self.jobs.values().map(|job| job.turn + 1).max().unwrap_or(0);
        let job = Job { verb, address, node, read: read.clone(), fault: None, turn, ends: None };
        self.jobs.insert(read.name.clone(), job);
    }

    /// Starts the first job of each interface that is idle.
    fn start_jobs(&mut self) {
        let busy: Vec<String> =
            self.jobs.values().filter(|job| job.ends.is_some()).map(|job| job.node.clone()).collect();
        let mut waiting: Vec<(u64, String, String)> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.ends.is_none() && !busy.contains(&job.node))
            .map(|(name, job)| (job.turn, name.clone(), job.node.clone()))
            .collect();
        waiting.sort();
        let mut started: Vec<String> = Vec::new();
        for (_, name, node) in waiting {
            let Some(job) = self.jobs.get_mut(&name).filter(|_| !started.contains(&node)) else { continue };
            job.fault = self.cloud.fault(job.verb);
            let takes = match (job.verb, job.fault) {
                (_, Some(Fault::Refuse)) => 0,
                (verb, _) if self.cloud.is_so(verb, job.address, &node) => 0,
                (Verb::Assign, _) => self.settings.assign_ms,
                (Verb::Release, _) => self.settings.release_ms,
            };
            job.ends = Some(self.now + takes);
            started.push(node);
        }
    }

    /// Ends the jobs whose time has come.
    pub(super) fn end_jobs(&mut self) {
        let due = self.jobs.iter().filter(|(_, job)| job.ends.is_some_and(|at| at <= self.now));
        let due: Vec<String> = due.map(|(name, _)| name.clone()).collect();
        for name in due {
            let Some(job) = self.jobs.remove(&name) else { continue };
            match self.end(&name, &job) {
                Step::Done => self.queue.done(&name),
                Step::Failed => self.queue.failed(&name, self.now),
                Step::Waits => {}
            }
        }
    }

    fn end(&mut self, name: &str, job: &Job) -> Step {
        let outcome = match job.fault {
            Some(_) => Err("the cloud has failed".to_owned()),
            None => self.cloud.carry_out(job.verb, job.address, &job.node),
        };
        // Whoever wrote the object meanwhile makes the write of status a conflict. Finalizers are patched without a version.
        let conflict =
            self.cpics.get(name).is_none_or(|live| live.node != job.read.node || live.deleting != job.read.deleting);
        match outcome {
            Err(error) => {
                if !conflict {
                    let what = if job.verb == Verb::Assign { "assignment" } else { "release" };
                    self.say(name, &job.node, "False", format!("{what} failed: {error}"));
                }
                Step::Failed
            }
            Ok(()) if conflict => Step::Failed,
            Ok(()) => self.end_well(job.verb, &job.read, &job.node),
        }
    }

    fn end_well(&mut self, verb: Verb, read: &CloudPrivateIpConfig, node: &str) -> Step {
        if verb == Verb::Assign {
            self.say(&read.name, node, "True", "the address was added".to_owned());
        } else if read.deleting && has_finalizer(read) {
            let finalizers = read.finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).cloned().collect();
            self.keep(&read.name, finalizers);
        } else {
            self.say(&read.name, "", "True", "the address was deleted".to_owned());
        }
        Step::Done
    }

    fn say(&mut self, name: &str, node: &str, status: &str, message: String) {
        let reason = match status {
            "True" => "CloudResponseSuccess",
            "False" => "CloudResponseError",
            _ => "CloudResponsePending",
        };
        let condition =
            Condition { kind: "Assigned".to_owned(), status: status.to_owned(), reason: reason.to_owned(), message };
        let status = CpicStatus { node: node.to_owned(), conditions: vec![condition] };
        self.cpics.write_status(name, &status);
        self.out.push(Action::CpicStatus { name: name.to_owned(), status });
    }

    fn keep(&mut self, name: &str, finalizers: Vec<String>) {
        self.cpics.write_finalizers(name, &finalizers);
        self.out.push(Action::CpicFinalizers { name: name.to_owned(), finalizers });
    }
}

/// What is to be done, and on which node. An object that is deleted while no node has its address gets nothing done, and
/// so keeps its finalizer for ever.
fn needed(cpic: &CloudPrivateIpConfig) -> Option<(Verb, String)> {
    let on = &cpic.status.node;
    let operation = if cpic.deleting && has_finalizer(cpic) || (cpic.node != *on && !on.is_empty()) {
        (Verb::Release, on)
    } else if on.is_empty() || cpic.status.conditions.first().is_none_or(|condition| condition.status != "True") {
        (Verb::Assign, &cpic.node)
    } else {
        return None;
    };
    (!operation.1.is_empty()).then(|| (operation.0, operation.1.clone()))
}
