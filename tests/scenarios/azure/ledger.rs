//! What must hold at the end of every scenario, and on the way: nothing lost, nothing twice, and nothing of others
//! changed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sluice_sandbox_azure::{Arm, Logged};

use super::stage::{A_WHILE, OURS, Stage, foreign};
use crate::harness::{History, NamespaceState, Outcome, eventually};

/// What others have on the machines' interfaces, and how to judge ours.
pub(super) struct Ledger<'a> {
    stage: &'a Stage,
    foreign: BTreeMap<String, String>,
    /// Interfaces that are no machine's.
    strangers: Vec<String>,
    /// The cloud network config controller writes interfaces, too.
    beside_controller: bool,
    history: History,
}

impl<'a> Ledger<'a> {
    /// Gives the interfaces of these machines fields that nobody knows yet, and notes what others have there.
    pub(super) async fn open(stage: &'a Stage, machines: &[&str]) -> Self {
        let history = History::start(&stage.cluster).await;
        let mut ledger =
            Self { stage, foreign: BTreeMap::new(), strangers: Vec::new(), beside_controller: false, history };
        for machine in machines {
            stage.arm.edit(&stage.nic(machine), with_unknown_fields);
            ledger.note(machine);
        }
        ledger
    }

    /// What the cloud network config controller has on these machines is not of others either.
    pub(super) fn beside_controller(mut self) -> Self {
        self.beside_controller = true;
        for machine in self.foreign.keys().cloned().collect::<Vec<_>>() {
            self.note(&machine);
        }
        self
    }

    /// Notes what others have on a machine's interface now: somebody has changed it on purpose.
    pub(super) fn note(&mut self, machine: &str) {
        self.foreign.insert(machine.to_owned(), self.foreign_now(machine));
    }

    fn foreign_now(&self, machine: &str) -> String {
        let controllers = format!("{machine}_");
        let names = if self.beside_controller { vec![OURS, &controllers] } else { vec![OURS] };
        foreign(&self.stage.arm, &self.stage.nic(machine), &names)
    }

    /// Forgets a machine whose interface is gone.
    pub(super) fn forget(&mut self, machine: &str) {
        self.foreign.remove(machine);
    }

    /// Looks at an interface that is no machine's, too.
    pub(super) fn watch(&mut self, nic: &str) {
        self.strangers.push(nic.to_owned());
    }

    /// Waits until cluster and cloud agree and are at rest; then nothing of others may have changed.
    pub(super) async fn closes(&self) {
        eventually("cluster and cloud agree", A_WHILE, || async { self.agrees().await }).await;
        self.stage.cluster.settled().await;
        if let Err(faults) = self.agrees().await {
            panic!("it does not stay:\n{faults}");
        }
        self.is_untouched();
        assert_eq!(self.history.breaches().await, [""; 0]);
        assert_eq!(self.losses().await, [""; 0]);
    }

    /// What became of addresses in the cluster so far, a change a line.
    pub(super) async fn transcript(&self) -> String {
        self.history.transcript().await
    }

    /// Every moment at which a namespace had fewer addresses than before, and than now.
    async fn losses(&self) -> Vec<String> {
        let outcome = self.stage.cluster.outcome().await;
        let steps = self.history.steps().await;
        let lost = steps.iter().filter(|step| {
            let now = outcome.addresses_of(&step.name).len();
            step.kind == "NetNamespace" && step.after.len() < step.before.len().min(now)
        });
        lost.map(|step| {
            format!("revision {}: {} had {:?}, then {:?}", step.revision, step.name, step.before, step.after)
        })
        .collect()
    }

    /// Panics unless what others have is what it was.
    pub(super) fn is_untouched(&self) {
        for (machine, before) in &self.foreign {
            assert_eq!(&self.foreign_now(machine), before, "of others, on the interface of {machine}");
        }
    }

    async fn agrees(&self) -> Result<(), String> {
        let outcome = self.stage.cluster.outcome().await;
        let faults = self.faults(&outcome);
        if faults.is_empty() { Ok(()) } else { Err(format!("{}\n{outcome}", faults.join("\n"))) }
    }

    /// What is wrong, a line each.
    fn faults(&self, outcome: &Outcome) -> Vec<String> {
        let mut faults = outcome.faults();
        let mut on: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for machine in self.foreign.keys() {
            let nic = self.stage.nic(machine);
            if self.stage.arm.is_busy(&nic) {
                faults.push(format!("the interface of {machine} is being updated"));
            }
            for (name, address) in self.stage.arm.addresses(&nic) {
                let is_controllers = self.beside_controller && name == format!("{machine}_{address}");
                let is_ours = is_controllers || name == format!("{OURS}{address}");
                if is_ours && outcome.holders_of(&address).is_empty() {
                    faults.push(format!("{name} is on {machine} for nobody"));
                }
                on.entry(address).or_default().push(machine);
            }
        }
        for nic in &self.strangers {
            self.stage.arm.addresses(nic).into_values().for_each(|address| on.entry(address).or_default().push(nic));
        }
        let twice = on.iter().filter(|(_, nics)| nics.len() > 1);
        faults.extend(twice.map(|(address, nics)| format!("{address} is on the interfaces of {nics:?}")));
        let held: BTreeSet<&String> = outcome.namespaces.values().flat_map(NamespaceState::addresses).collect();
        for address in held {
            let nics = on.get(address).map(Vec::as_slice).unwrap_or_default();
            let nodes = outcome.nodes_of(address);
            if nics.len() != 1 || nics != nodes {
                faults.push(format!("{address} is on the interfaces of {nics:?} and on the nodes {nodes:?}"));
            }
        }
        for (node, state) in &outcome.host_subnets {
            let nobodys = state.carried.iter().filter(|address| outcome.holders_of(address).is_empty());
            faults.extend(nobodys.map(|address| format!("{address} is on node {node} for nobody")));
        }
        faults
    }

    /// Writes of interfaces since the log was cleared: see [`puts`].
    pub(super) fn puts(&self) -> Vec<String> {
        puts(&self.stage.arm)
    }
}

/// Writes of interfaces since the log was cleared, in order: interface, status, how many addresses of ours it asks for.
pub(in crate::scenarios) fn puts(arm: &Arm) -> Vec<String> {
    let log = arm.log().into_iter().filter(|logged| logged.method == "PUT");
    let line = |logged: Logged| {
        let path = logged.path.split('?').next().unwrap_or_default();
        let nic = path.rsplit('/').next().unwrap_or_default();
        let configs = logged.body.as_ref().and_then(|body| body["properties"]["ipConfigurations"].as_array().cloned());
        let is_ours = |config: &&Value| config["name"].as_str().is_some_and(|name| name.starts_with(OURS));
        let ours = configs.iter().flatten().filter(is_ours).count();
        let status = logged.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        format!("{nic} {status}: {ours} of ours")
    };
    log.map(line).collect()
}

/// Fields of a later time, and forms that a careless client would change.
pub(super) fn with_unknown_fields(nic: &mut Value) {
    nic["futureField"] = json!({"b": [1, 2.5, null, ""], "a": {}});
    nic["tags"] = json!({"kubernetes.io_cluster.ocp1-x7k2p": "owned", "Ümläut": "<&>\u{2028}"});
    nic["properties"]["futureMode"] = json!("Quantum");
    nic["properties"]["bigNumber"] = json!(9_007_199_254_740_993_u64);
    for config in nic["properties"]["ipConfigurations"].as_array_mut().into_iter().flatten() {
        config["futureOfConfig"] = json!([{"nested": true}]);
        config["properties"]["futureProperty"] = json!({"z": 1, "a": 2});
    }
}

impl Stage {
    /// The id of a backend pool of the cluster's load balancer.
    pub(super) fn balancer(&self, pool: &str) -> String {
        format!("{}/backendAddressPools/{pool}", self.place.id("Microsoft.Network/loadBalancers", "ocp1-lb"))
    }

    /// `configuration: pools`, a line each.
    pub(super) fn memberships(&self, machine: &str) -> String {
        let nic = self.stored(machine);
        let configs = nic["properties"]["ipConfigurations"].as_array().cloned().unwrap_or_default();
        let line = |config: &Value| {
            let pools = config["properties"]["loadBalancerBackendAddressPools"].as_array().cloned().unwrap_or_default();
            let names: Vec<&str> = pools.iter().filter_map(|pool| pool["id"].as_str()?.rsplit('/').next()).collect();
            format!("{}: {}", config["name"].as_str().unwrap_or_default(), names.join(" "))
        };
        configs.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
