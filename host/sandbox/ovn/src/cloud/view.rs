//! `CloudPrivateIPConfig`s as the API server has them: what the watch showed, and what was written since.

use crate::names::FINALIZER;
use crate::object::{CloudPrivateIpConfig, CpicStatus};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub(super) struct View {
    shown: BTreeMap<String, CloudPrivateIpConfig>,
    live: BTreeMap<String, CloudPrivateIpConfig>,
    status: BTreeMap<String, CpicStatus>,
    finalizers: BTreeMap<String, Vec<String>>,
}

impl View {
    pub(super) fn get(&self, name: &str) -> Option<&CloudPrivateIpConfig> {
        self.live.get(name)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &CloudPrivateIpConfig> {
        self.live.values()
    }

    /// Takes an object in, and says whether the change is one to act on.
    pub(super) fn show(&mut self, cpic: CloudPrivateIpConfig) -> bool {
        let name = cpic.name.clone();
        let mut live = cpic.clone();
        match self.status.get(&name) {
            Some(written) if *written != cpic.status => live.status = written.clone(),
            _ => {
                self.status.remove(&name);
            }
        }
        match self.finalizers.get(&name) {
            Some(written) if *written != cpic.finalizers => live.finalizers.clone_from(written),
            _ => {
                self.finalizers.remove(&name);
            }
        }
        self.live.insert(name.clone(), live);
        let leaves = cpic.deleting && has_finalizer(&cpic);
        let (node, status_node) = (cpic.node.clone(), cpic.status.node.clone());
        let before = self.shown.insert(name, cpic);
        leaves || before.is_none_or(|before| before.node != node || before.status.node != status_node)
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.shown.remove(name);
        self.live.remove(name);
        self.forget_writes(name);
    }

    pub(super) fn write_status(&mut self, name: &str, status: &CpicStatus) {
        if let Some(live) = self.live.get_mut(name) {
            live.status = status.clone();
            self.status.insert(name.to_owned(), status.clone());
        }
    }

    pub(super) fn write_finalizers(&mut self, name: &str, finalizers: &[String]) {
        if let Some(live) = self.live.get_mut(name) {
            live.finalizers = finalizers.to_vec();
            self.finalizers.insert(name.to_owned(), finalizers.to_vec());
        }
    }

    /// A write has failed: what the watch showed last counts.
    pub(super) fn undo(&mut self, name: &str) {
        self.forget_writes(name);
        if let Some(shown) = self.shown.get(name) {
            self.live.insert(name.to_owned(), shown.clone());
        }
    }

    fn forget_writes(&mut self, name: &str) {
        self.status.remove(name);
        self.finalizers.remove(name);
    }
}

pub(super) fn has_finalizer(cpic: &CloudPrivateIpConfig) -> bool {
    cpic.finalizers.iter().any(|finalizer| finalizer == FINALIZER)
}
