//! From what a watch shows to what is done, with what failed before, and what time brings.

use super::{ClusterManager, Outcome};
use crate::action::Action;
use crate::probe::PERIOD;
use crate::retry::{ATTEMPTS, Entry, Key, Kind, Object};

impl ClusterManager {
    /// Does what is due. `now` may be any number of periods after the last call.
    pub fn tick(&mut self, now: u64) -> Vec<Action> {
        loop {
            let sweep = self.retries.due(now);
            let probe = (self.probes.next <= now).then_some(self.probes.next);
            match (probe, sweep) {
                (Some(at), sweep) if sweep.is_none_or(|(due, _)| at <= due) => {
                    self.now = at;
                    self.probes.next = at + PERIOD;
                    self.probe_nodes();
                }
                (_, Some((at, kind))) => {
                    self.now = at;
                    self.retries.sweep_again(kind, at);
                    self.sweep(kind);
                }
                _ => break,
            }
        }
        self.now = now;
        self.finish()
    }

    /// When [`Self::tick`] has something to do next; never, if nothing failed and no node is probed.
    pub fn next_wake(&self) -> Option<u64> {
        let unreached = self.cache.values().any(|node| node.ready && node.assignable && !node.reachable);
        let probe = (self.probes.is_on() || unreached).then_some(self.probes.next);
        [probe, self.retries.next()].into_iter().flatten().min()
    }

    pub(super) fn shown(&mut self, before: Option<Object>, object: &Object) -> Vec<Action> {
        match before {
            None => self.added(object),
            Some(before) => self.updated(&before, object),
        }
        self.finish()
    }

    /// Looks at everything of a kind that failed.
    pub(super) fn sweep(&mut self, kind: Kind) {
        let waiting = self.retries.waiting(kind);
        for key in self.dice.shuffled(waiting) {
            self.retry(key);
        }
    }

    pub(super) fn added(&mut self, object: &Object) {
        let key = object.key();
        let mut entry = self.retries.take(&key).unwrap_or_default().added(self.now);
        if let Some(gone) = entry.gone.clone() {
            self.retries.handling = Some((key.clone(), entry.clone()));
            if self.serve_deleted(&gone).is_err() {
                return self.retries.failed(key, entry, self.now);
            }
            (entry.gone, entry.before) = (None, None);
        }
        self.retries.handling = Some((key.clone(), entry.clone()));
        if self.serve_added(object).is_err() {
            self.retries.failed(key, entry, self.now);
        }
    }

    fn updated(&mut self, before: &Object, object: &Object) {
        let key = object.key();
        let mut entry = self.retries.take(&key).unwrap_or_default();
        if let Some(gone) = entry.gone.clone() {
            self.retries.handling = Some((key.clone(), entry.clone()));
            if self.serve_deleted(&gone).is_err() {
                return self.retries.failed(key, entry.added(self.now), self.now);
            }
            entry.gone = None;
        }
        let entry = entry.updated(before.clone(), self.now);
        self.retries.handling = Some((key.clone(), entry.clone()));
        if self.serve_updated(before, object).is_err() {
            self.retries.failed(key, entry, self.now);
        }
    }

    pub(super) fn vanished(&mut self, object: &Object) -> Vec<Action> {
        let key = object.key();
        let entry = self.retries.take(&key).unwrap_or_default().deleted(object.clone(), self.now);
        self.retries.handling = Some((key.clone(), entry.clone()));
        if self.serve_deleted(object).is_err() {
            self.retries.failed(key, entry, self.now);
        }
        self.finish()
    }

    fn retry(&mut self, key: Key) {
        let jitter = self.dice.below(500);
        let Some(mut entry) = self.retries.take(&key) else { return };
        if entry.attempts >= ATTEMPTS {
            return;
        }
        if !entry.take_turn(self.now, jitter) {
            self.retries.entries.insert(key, entry);
            return;
        }
        let current = if entry.wanted { self.current(&key) } else { None };
        entry.wanted = current.is_some();
        self.retries.handling = Some((key.clone(), entry.clone()));
        if let Err(entry) = self.serve_again(entry, current.as_ref()) {
            self.retries.failed(key, entry, self.now);
        }
    }

    /// Tries once more. What is left to do is handed back.
    fn serve_again(&mut self, mut entry: Entry, current: Option<&Object>) -> Result<(), Entry> {
        if let (Some(before), Some(current)) = (&entry.before, current) {
            return self.serve_updated(before, current).map_err(|_| entry);
        }
        if let Some(gone) = &entry.gone {
            if self.serve_deleted(gone).is_err() {
                return Err(entry);
            }
            entry.gone = None;
        }
        match current {
            Some(current) => self.serve_added(current).map_err(|_| entry),
            None => Ok(()),
        }
    }

    fn current(&self, key: &Key) -> Option<Object> {
        match key.0 {
            Kind::Node => self.seen.nodes.get(&key.1).map(|node| Object::Node(Box::new(node.clone()))),
            Kind::EgressIp => self.seen.egress_ips.get(&key.1).map(|found| Object::EgressIp(Box::new(found.clone()))),
            Kind::Cpic => self.seen.cpics.get(&key.1).map(|cpic| Object::Cpic(Box::new(cpic.clone()))),
        }
    }

    fn serve_added(&mut self, object: &Object) -> Outcome {
        match object {
            Object::Node(node) => self.node_added(node),
            Object::EgressIp(egress_ip) => self.reconcile(None, Some(egress_ip)),
            Object::Cpic(cpic) => self.reconcile_cpic(None, Some(cpic)),
        }
    }

    fn serve_updated(&mut self, before: &Object, object: &Object) -> Outcome {
        match (before, object) {
            (Object::Node(before), Object::Node(node)) => self.node_updated(before, node),
            (Object::EgressIp(before), Object::EgressIp(egress_ip)) => self.reconcile(Some(before), Some(egress_ip)),
            (Object::Cpic(before), Object::Cpic(cpic)) => self.reconcile_cpic(Some(before), Some(cpic)),
            _ => Ok(()),
        }
    }

    fn serve_deleted(&mut self, object: &Object) -> Outcome {
        match object {
            Object::Node(node) => self.node_gone(node),
            Object::EgressIp(egress_ip) => self.reconcile(Some(egress_ip), None),
            Object::Cpic(cpic) => self.reconcile_cpic(Some(cpic), None),
        }
    }
}
