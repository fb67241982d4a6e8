//! What one `EgressIP` needs (OVN-Kubernetes, `reconcileEgressIP`).

use super::{ClusterManager, Failed, Outcome};
use crate::action::Reason;
use crate::network::{self, secondary};
use crate::object::{EgressIp, StatusItem};
use crate::selector::Selector;
use std::collections::BTreeSet;

/// The difference between what is asked for and what status says.
struct Change {
    keep: Vec<StatusItem>,
    remove: Vec<StatusItem>,
    assign: Vec<String>,
}

impl ClusterManager {
    /// Compares status with what is asked for, and closes the gap. Without `new` the object was deleted.
    pub(super) fn reconcile(&mut self, old: Option<&EgressIp>, new: Option<&EgressIp>) -> Outcome {
        let Some(latest) = new.or(old) else { return Ok(()) };
        let nothing = EgressIp { name: latest.name.clone(), ..EgressIp::default() };
        let asked = new.unwrap_or(&nothing);
        if new.is_none() {
            self.marks.release(&latest.name);
        }
        let addresses = self.readable(asked)?;
        let change = self.change(asked, &addresses, &latest.status);
        self.forget(&change.remove);
        if self.settings.cloud {
            let before = old.map(|old| old.egress_ips.as_slice()).unwrap_or_default();
            let dropped = before.iter().filter(|address| !asked.egress_ips.contains(address)).cloned().collect();
            self.apply_on_cloud(asked, new.is_some(), change, dropped)
        } else {
            self.apply_at_once(asked, new.is_some(), change);
            Ok(())
        }
    }

    fn apply_at_once(&mut self, asked: &EgressIp, exists: bool, change: Change) {
        let assigned = if change.assign.is_empty() { Vec::new() } else { self.assign(asked, &change.assign) };
        let is_changed = !assigned.is_empty() || (!change.remove.is_empty() && exists);
        let mut keep = change.keep;
        keep.extend(assigned);
        self.remember(&asked.name, &keep);
        if is_changed {
            self.patch_status(asked, keep);
        }
    }

    /// On a cloud an address leaves status before the cloud takes it away, and comes back when the cloud has put it
    /// somewhere.
    fn apply_on_cloud(&mut self, asked: &EgressIp, exists: bool, change: Change, dropped: BTreeSet<String>) -> Outcome {
        let Change { keep, mut remove, assign } = change;
        if !remove.is_empty() && exists {
            self.patch_status(asked, keep.clone());
        }
        // Addresses that the cloud has not confirmed are in no status. All others were taken off their nodes already.
        let dropped = self.dice.shuffled(dropped);
        for egress_ip in dropped {
            if let Some(node) = self.forget_address(&asked.name, &egress_ip) {
                remove.push(StatusItem { node, egress_ip });
            }
        }
        let assigned = if assign.is_empty() { Vec::new() } else { self.assign(asked, &assign) };
        self.remember(&asked.name, &keep);
        self.remember(&asked.name, &assigned);
        self.change_cpics(&asked.name, &assigned, &remove)
    }

    /// The addresses that are asked for, each once. One that is none spoils all of them.
    fn readable(&mut self, asked: &EgressIp) -> Result<BTreeSet<String>, Failed> {
        let mut addresses = BTreeSet::new();
        for text in &asked.egress_ips {
            let Some(ip) = network::address(text) else {
                self.event(&asked.name, Reason::InvalidEgressIp, format!("{text} is no address"));
                return Err(Failed);
            };
            addresses.insert(ip.to_string());
        }
        Ok(addresses)
    }

    fn change(&mut self, asked: &EgressIp, addresses: &BTreeSet<String>, status: &[StatusItem]) -> Change {
        let items: BTreeSet<StatusItem> = status.iter().cloned().collect();
        let selector = asked.egress_node_selector.as_ref();
        let (keep, remove): (Vec<_>, Vec<_>) = items
            .into_iter()
            .partition(|item| addresses.contains(&item.egress_ip) && self.is_valid(&asked.name, item, selector));
        let mut assign = addresses.clone();
        for item in &keep {
            assign.remove(&item.egress_ip);
        }
        if !remove.is_empty() {
            // Removals come first: addresses that are new wait for the event that the removal causes.
            assign.retain(|address| remove.iter().any(|item| item.egress_ip == *address));
        }
        Change {
            keep: self.dice.shuffled(keep),
            remove: self.dice.shuffled(remove),
            assign: self.dice.shuffled(assign),
        }
    }

    /// Whether an item of status may stay. What the cache does not know of is somebody else's doing. Capacity is not looked
    /// at again.
    fn is_valid(&self, owner: &str, item: &StatusItem, selector: Option<&Selector>) -> bool {
        let Some(cached) = self.cache.get(&item.node) else { return false };
        if cached.count_of(owner) > 1 || !cached.has(owner, &item.egress_ip) || !self.may_carry(&item.node, selector) {
            return false;
        }
        let (Some(ip), Some(node)) = (network::address(&item.egress_ip), self.seen.nodes.get(&item.node)) else {
            return false;
        };
        cached.config.contains(ip) || matches!(secondary(node, ip), Ok(Some(_)))
    }
}
