//! How the cluster manager starts: nodes, then `EgressIP`s, then `CloudPrivateIPConfig`s.

use super::{Cluster, ClusterManager, Failed, Pending, Seen, Settings};
use crate::action::Action;
use crate::dice::Dice;
use crate::marks::Marks;
use crate::names::{MARK, cpic_name};
use crate::object::EgressIp;
use crate::probe::Probes;
use crate::retry::{Object, Retries};
use serde_json::Value;
use std::collections::BTreeMap;

impl ClusterManager {
    /// Starts with what lists show, and does what the start brings. To restart is to start another one.
    pub fn start(settings: Settings, now: u64, cluster: Cluster) -> (Self, Vec<Action>) {
        let egress_ips: BTreeMap<String, EgressIp> =
            cluster.egress_ips.into_iter().map(|found| (found.name.clone(), found)).collect();
        let mut manager = Self {
            dice: Dice::new(settings.seed),
            seen: Seen {
                nodes: cluster.nodes.into_iter().map(|node| (node.name.clone(), node)).collect(),
                live: egress_ips.clone(),
                egress_ips,
                cpics: cluster.cpics.into_iter().map(|cpic| (cpic.name.clone(), cpic)).collect(),
            },
            cache: BTreeMap::new(),
            pending: Pending::default(),
            marks: Marks::default(),
            retries: Retries::new(now),
            probes: Probes::new(settings.probing, now),
            now,
            out: Vec::new(),
            settings,
        };
        manager.fill_cache();
        let nodes = manager.seen.nodes.values().cloned().collect::<Vec<_>>();
        for node in manager.dice.shuffled(nodes) {
            manager.added(&Object::Node(Box::new(node)));
        }
        manager.mark_all();
        let names = manager.seen.live.keys().cloned().collect::<Vec<_>>();
        for name in manager.dice.shuffled(names) {
            if let Some(egress_ip) = manager.seen.live.get(&name).cloned() {
                manager.added(&Object::EgressIp(Box::new(egress_ip)));
            }
        }
        if manager.settings.cloud {
            manager.start_cloud();
        }
        let actions = manager.finish();
        (manager, actions)
    }

    /// Status counts as taken before anything is assigned, so that an address which two objects ask for stays where it is.
    fn fill_cache(&mut self) {
        for node in self.seen.nodes.values().cloned().collect::<Vec<_>>() {
            // A node that cannot be read is read again when it changes.
            let _: Result<(), Failed> = self.read_node(&node);
        }
        for egress_ip in self.seen.live.values() {
            for item in &egress_ip.status {
                if let Some(node) = self.cache.get_mut(&item.node) {
                    node.allocations.insert(item.egress_ip.clone(), egress_ip.name.clone());
                }
            }
        }
    }

    /// Gives a mark to each object that has none, whatever it asks for.
    fn mark_all(&mut self) {
        self.retries.handling = None;
        for egress_ip in self.seen.live.values() {
            if let Some(mark) = egress_ip.annotations.get(MARK) {
                self.marks.reserve(&egress_ip.name, mark);
            }
        }
        let unmarked =
            self.seen.live.values().filter(|egress_ip| !egress_ip.is_marked()).map(|found| found.name.clone());
        let unmarked = unmarked.collect::<Vec<_>>();
        for name in self.dice.shuffled(unmarked) {
            if let Some(operation) = self.mark_operation(&name) {
                self.emit(Action::PatchEgressIp { name, patch: Value::Array(vec![operation]) });
            }
        }
    }

    /// Drops items of status whose `CloudPrivateIPConfig` is gone. One for another node does not matter here: the watch may
    /// just be late.
    fn start_cloud(&mut self) {
        self.retries.handling = None;
        for egress_ip in self.seen.live.values().cloned().collect::<Vec<_>>() {
            let mut kept = egress_ip.status.clone();
            kept.retain(|item| self.seen.cpics.contains_key(&cpic_name(&item.egress_ip)));
            if kept.len() != egress_ip.status.len() {
                self.patch_status(&egress_ip, kept);
            }
        }
        let cpics = self.seen.cpics.values().cloned().collect::<Vec<_>>();
        for cpic in self.dice.shuffled(cpics) {
            self.added(&Object::Cpic(Box::new(cpic)));
        }
    }
}
