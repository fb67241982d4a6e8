//! A cluster in memory: objects, watches that may be late, and the two programs.

use sluice_sandbox_ovn::{
    Action, CloudController, CloudPrivateIpConfig, Cluster, ClusterManager, EgressIp, Node, Reason, Settings,
};
use std::collections::{BTreeMap, VecDeque};

/// What a watch shows.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    Node(Node),
    NodeGone(Node),
    EgressIp(EgressIp),
    EgressIpGone(EgressIp),
    Cpic(CloudPrivateIpConfig),
    CpicGone(CloudPrivateIpConfig),
}

impl Shown {
    fn kind(&self) -> usize {
        match self {
            Self::Node(_) | Self::NodeGone(_) => 0,
            Self::EgressIp(_) | Self::EgressIpGone(_) => 1,
            Self::Cpic(_) | Self::CpicGone(_) => 2,
        }
    }
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) settings: Settings,
    pub(crate) manager: ClusterManager,
    pub(crate) cloud: Option<CloudController>,
    pub(crate) cluster: Api,
    /// Watch events under way to the manager, by kind, and how late each kind is.
    under_way: [VecDeque<(u64, Shown)>; 3],
    to_cloud: VecDeque<Shown>,
    pub(crate) lag: [u64; 3],
    /// Which writes the API refuses.
    pub(crate) refuse: Box<dyn FnMut(&Action) -> bool>,
    pub(crate) log: Log,
}

/// The objects as the API server has them.
#[derive(Default)]
pub(crate) struct Api {
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) egress_ips: BTreeMap<String, EgressIp>,
    pub(crate) cpics: BTreeMap<String, CloudPrivateIpConfig>,
    version: u64,
}

/// What was written.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) events: Vec<(String, Reason)>,
    pub(crate) patches: BTreeMap<String, usize>,
    pub(crate) cpics: Vec<String>,
    pub(crate) refused: usize,
}

impl World {
    pub(crate) fn start(settings: Settings, nodes: Vec<Node>, egress_ips: Vec<EgressIp>) -> Self {
        Self::start_with(settings, nodes, egress_ips, Vec::new())
    }

    pub(crate) fn start_with(
        settings: Settings,
        nodes: Vec<Node>,
        egress_ips: Vec<EgressIp>,
        cpics: Vec<CloudPrivateIpConfig>,
    ) -> Self {
        let api = Api {
            nodes: nodes.into_iter().map(|node| (node.name.clone(), node)).collect(),
            egress_ips: egress_ips.into_iter().map(|found| (found.name.clone(), found)).collect(),
            cpics: cpics.into_iter().map(|cpic| (cpic.name.clone(), cpic)).collect(),
            version: 0,
        };
        let (manager, actions) = ClusterManager::start(settings.clone(), 0, api.listed());
        let mut world = Self {
            now: 0,
            settings,
            manager,
            cloud: None,
            cluster: api,
            under_way: Default::default(),
            to_cloud: VecDeque::new(),
            lag: [0; 3],
            refuse: Box::new(|_| false),
            log: Log::default(),
        };
        world.carry_out(actions, false);
        world.settle();
        world
    }

    /// Adds a cloud with its controller, and shows it everything.
    pub(crate) fn with_cloud(mut self, mut cloud: CloudController) -> Self {
        let mut actions = Vec::new();
        for node in self.cluster.nodes.values() {
            actions.extend(cloud.node_changed(self.now, node.clone()));
        }
        for cpic in self.cluster.cpics.values() {
            actions.extend(cloud.cpic_changed(self.now, cpic.clone()));
        }
        self.cloud = Some(cloud);
        self.carry_out(actions, true);
        self.settle();
        self
    }

    /// The cluster manager ends, and another one starts.
    pub(crate) fn restart(&mut self) {
        self.under_way = Default::default();
        let (manager, actions) = ClusterManager::start(self.settings.clone(), self.now, self.cluster.listed());
        self.manager = manager;
        self.carry_out(actions, false);
        self.settle();
    }

    pub(crate) fn put_node(&mut self, node: Node) {
        self.cluster.nodes.insert(node.name.clone(), node.clone());
        self.show(Shown::Node(node));
        self.settle();
    }

    pub(crate) fn edit_node(&mut self, name: &str, edit: impl FnOnce(&mut Node)) {
        let mut node = self.cluster.nodes[name].clone();
        edit(&mut node);
        self.put_node(node);
    }

    pub(crate) fn delete_node(&mut self, name: &str) {
        if let Some(node) = self.cluster.nodes.remove(name) {
            self.show(Shown::NodeGone(node));
        }
        self.settle();
    }

    pub(crate) fn put(&mut self, egress_ip: EgressIp) {
        self.store(egress_ip);
        self.settle();
    }

    pub(crate) fn edit(&mut self, name: &str, edit: impl FnOnce(&mut EgressIp)) {
        let mut egress_ip = self.cluster.egress_ips[name].clone();
        edit(&mut egress_ip);
        self.put(egress_ip);
    }

    pub(crate) fn delete(&mut self, name: &str) {
        if let Some(egress_ip) = self.cluster.egress_ips.remove(name) {
            self.show(Shown::EgressIpGone(egress_ip));
        }
        self.settle();
    }

    pub(crate) fn put_cpic(&mut self, cpic: CloudPrivateIpConfig) {
        self.store_cpic(cpic);
        self.settle();
    }

    pub(crate) fn delete_cpic(&mut self, name: &str) {
        self.remove_cpic(name);
        self.settle();
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        loop {
            let cloud = self.cloud.as_ref().and_then(CloudController::next_wake);
            let shown = self.under_way.iter().filter_map(|queue| queue.front()).map(|(at, _)| *at).min();
            let next = [self.manager.next_wake(), cloud, shown].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.wake();
            self.settle();
        }
        self.now = end;
        self.wake();
        self.settle();
    }

    fn wake(&mut self) {
        let actions = self.manager.tick(self.now);
        self.carry_out(actions, false);
        if let Some(cloud) = &mut self.cloud {
            let actions = cloud.tick(self.now);
            self.carry_out(actions, true);
        }
    }

    /// Shows what is due until nothing is.
    pub(crate) fn settle(&mut self) {
        let mut shown = 0;
        loop {
            shown += 1;
            assert!(shown < 20_000, "the cluster comes to no rest");
            if let Some(event) = self.to_cloud.pop_front() {
                self.show_cloud(event);
                continue;
            }
            let is_due = |kind: &usize| self.under_way[*kind].front().is_some_and(|(at, _)| *at <= self.now);
            let Some(kind) = (0..3).find(is_due) else { break };
            if let Some((_, event)) = self.under_way[kind].pop_front() {
                let now = self.now;
                let actions = match event {
                    Shown::Node(node) => self.manager.node_changed(now, node),
                    Shown::NodeGone(node) => self.manager.node_deleted(now, &node),
                    Shown::EgressIp(egress_ip) => self.manager.egress_ip_changed(now, egress_ip),
                    Shown::EgressIpGone(egress_ip) => self.manager.egress_ip_deleted(now, &egress_ip),
                    Shown::Cpic(cpic) => self.manager.cpic_changed(now, cpic),
                    Shown::CpicGone(cpic) => self.manager.cpic_deleted(now, &cpic),
                };
                self.carry_out(actions, false);
            }
        }
    }

    fn show(&mut self, event: Shown) {
        let at = self.now + self.lag[event.kind()];
        self.under_way[event.kind()].push_back((at, event.clone()));
        if self.cloud.is_some() {
            self.to_cloud.push_back(event);
        }
    }

    /// Shows the cloud controller what it has not seen. Its watches are never late.
    fn show_cloud(&mut self, event: Shown) {
        let now = self.now;
        let Some(cloud) = &mut self.cloud else { return };
        let actions = match event {
            Shown::Node(node) => cloud.node_changed(now, node),
            Shown::NodeGone(node) => cloud.node_deleted(now, &node),
            Shown::Cpic(cpic) => cloud.cpic_changed(now, cpic),
            Shown::CpicGone(cpic) => cloud.cpic_deleted(now, &cpic),
            Shown::EgressIp(_) | Shown::EgressIpGone(_) => return,
        };
        self.carry_out(actions, true);
    }

    fn carry_out(&mut self, actions: Vec<Action>, of_cloud: bool) {
        let mut failed: Vec<String> = Vec::new();
        for action in actions {
            if failed.iter().any(|owner| owner == action.owner()) {
                continue;
            }
            let refused = !matches!(action, Action::Event { .. }) && (self.refuse)(&action);
            if !refused && self.write(&action) {
                continue;
            }
            self.log.refused += 1;
            failed.push(action.owner().to_owned());
            let more = match &mut self.cloud {
                Some(cloud) if of_cloud => cloud.action_failed(self.now, &action),
                _ => self.manager.action_failed(self.now, &action),
            };
            self.carry_out(more, of_cloud);
        }
    }

    fn write(&mut self, action: &Action) -> bool {
        match action {
            Action::PatchEgressIp { name, patch } => {
                let Some(mut egress_ip) = self.cluster.egress_ips.get(name).cloned() else { return false };
                crate::fixtures::apply(&mut egress_ip, patch);
                *self.log.patches.entry(name.clone()).or_default() += 1;
                self.store(egress_ip);
                let written = self.cluster.egress_ips[name].clone();
                self.manager.egress_ip_written(written);
            }
            Action::Event { object, reason, .. } => self.log.events.push((object.clone(), *reason)),
            Action::AnnotateNode { node, key, value } => {
                let Some(found) = self.cluster.nodes.get_mut(node) else { return false };
                found.annotations.insert((*key).to_owned(), value.clone());
                let found = found.clone();
                self.show(Shown::Node(found));
            }
            _ => return self.write_cpic(action),
        }
        true
    }

    fn write_cpic(&mut self, action: &Action) -> bool {
        let (name, line) = match action {
            Action::CreateCpic { owner, name, node } => {
                if self.cluster.cpics.contains_key(name) {
                    return false;
                }
                let (owner, node) = (Some(owner.clone()), node.clone());
                let line = format!("create {name} {node}");
                self.store_cpic(CloudPrivateIpConfig { name: name.clone(), owner, node, ..Default::default() });
                self.log.cpics.push(line);
                return true;
            }
            Action::DeleteCpic { name, .. } => {
                self.log.cpics.push(format!("delete {name}"));
                return self.remove_cpic(name);
            }
            Action::UpdateCpic { name, node, .. } => (name, Some(format!("update {name} {node}"))),
            Action::CpicStatus { name, .. } | Action::CpicFinalizers { name, .. } => (name, None),
            _ => return false,
        };
        let Some(mut cpic) = self.cluster.cpics.get(name).cloned() else { return false };
        match action {
            Action::UpdateCpic { resource_version, .. } if *resource_version != cpic.resource_version => return false,
            Action::UpdateCpic { node, .. } => cpic.node.clone_from(node),
            Action::CpicStatus { status, .. } => cpic.status = status.clone(),
            Action::CpicFinalizers { finalizers, .. } => cpic.finalizers.clone_from(finalizers),
            _ => return false,
        }
        self.log.cpics.extend(line);
        self.store_cpic(cpic);
        true
    }

    fn store(&mut self, mut egress_ip: EgressIp) {
        self.cluster.version += 1;
        egress_ip.resource_version = self.cluster.version;
        self.cluster.egress_ips.insert(egress_ip.name.clone(), egress_ip.clone());
        self.show(Shown::EgressIp(egress_ip));
    }

    fn store_cpic(&mut self, mut cpic: CloudPrivateIpConfig) {
        self.cluster.version += 1;
        cpic.resource_version = self.cluster.version;
        if cpic.deleting && cpic.finalizers.is_empty() {
            self.cluster.cpics.remove(&cpic.name);
            return self.show(Shown::CpicGone(cpic));
        }
        self.cluster.cpics.insert(cpic.name.clone(), cpic.clone());
        self.show(Shown::Cpic(cpic));
    }

    fn remove_cpic(&mut self, name: &str) -> bool {
        let Some(mut cpic) = self.cluster.cpics.get(name).cloned() else { return false };
        cpic.deleting = true;
        self.store_cpic(cpic);
        true
    }

    /// Address and node of each item of status, in order of addresses.
    pub(crate) fn status(&self, name: &str) -> Vec<(String, String)> {
        let mut items: Vec<(String, String)> = self.cluster.egress_ips[name]
            .status
            .iter()
            .map(|item| (item.egress_ip.clone(), item.node.clone()))
            .collect();
        items.sort();
        items
    }

    /// The nodes of an object's addresses, in order.
    pub(crate) fn nodes_of(&self, name: &str) -> Vec<String> {
        let mut nodes: Vec<String> = self.status(name).into_iter().map(|(_, node)| node).collect();
        nodes.sort();
        nodes
    }

    pub(crate) fn reasons(&self, name: &str) -> Vec<Reason> {
        self.log.events.iter().filter(|(object, _)| object == name).map(|(_, reason)| *reason).collect()
    }
}

impl Api {
    fn listed(&self) -> Cluster {
        Cluster {
            nodes: self.nodes.values().cloned().collect(),
            egress_ips: self.egress_ips.values().cloned().collect(),
            cpics: self.cpics.values().cloned().collect(),
        }
    }
}
