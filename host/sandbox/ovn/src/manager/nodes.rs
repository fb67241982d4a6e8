//! What nodes bring about (OVN-Kubernetes, `egressip_event_handler.go`).

use super::cache::is_labelled;
use super::{ClusterManager, Failed, Outcome};
use crate::names::{CLOUD_CONFIG, HOST_CIDRS};
use crate::network::{address, secondary};
use crate::object::{EgressIp, Node};
use crate::retry::{Entry, Kind};

impl ClusterManager {
    /// Whether a node has no pod network of this kind.
    pub(super) fn is_left_out(&self, node: &Node) -> bool {
        let labels = &self.settings.no_host_subnet;
        !labels.is_empty() && labels.iter().all(|(key, value)| node.labels.get(key) == Some(value))
    }

    pub(super) fn node_added(&mut self, node: &Node) -> Outcome {
        if self.is_left_out(node) {
            return Ok(());
        }
        // A node that cannot be read is read again at each update.
        let _: Outcome = self.read_node(node);
        let labelled = is_labelled(node);
        if labelled {
            self.set_assignable(&node.name, true);
        }
        if node.ready {
            self.set_ready(&node.name, true);
        }
        let answers = self.answers(&node.name);
        if (labelled || self.settings.selectors) && answers && node.ready {
            self.set_reachable_now(&node.name);
            return self.fill_gaps();
        }
        Ok(())
    }

    pub(super) fn node_updated(&mut self, before: &Node, node: &Node) -> Outcome {
        if self.is_left_out(node) {
            return Ok(());
        }
        let _: Outcome = self.read_node(node);
        if self.settings.selectors {
            return self.node_updated_with_selectors(before, node);
        }
        let (was_labelled, labelled) = (is_labelled(before), is_labelled(node));
        if !was_labelled && !labelled {
            return Ok(());
        }
        self.set_assignable(&node.name, labelled);
        if !labelled {
            return self.leave(&node.name);
        }
        let answers = self.answers(&node.name);
        self.set_ready(&node.name, node.ready);
        if !was_labelled {
            if node.ready && answers {
                self.set_reachable_now(&node.name);
                return self.fill_gaps();
            }
            return Ok(());
        }
        let moved = before.annotations.get(HOST_CIDRS) != node.annotations.get(HOST_CIDRS);
        let allowed_otherwise = before.annotations.get(CLOUD_CONFIG) != node.annotations.get(CLOUD_CONFIG);
        if before.ready == node.ready && !moved && !allowed_otherwise {
            return Ok(());
        }
        if !node.ready {
            self.leave(&node.name)?;
        } else if answers {
            self.set_reachable_now(&node.name);
            self.fill_gaps()?;
        }
        if moved { self.check_secondary(node) } else { Ok(()) }
    }

    /// Where objects choose nodes by labels of any kind, any label may make a difference.
    fn node_updated_with_selectors(&mut self, before: &Node, node: &Node) -> Outcome {
        self.set_assignable(&node.name, is_labelled(node));
        let answers = self.answers(&node.name);
        self.set_ready(&node.name, node.ready);
        let moved = before.annotations.get(HOST_CIDRS) != node.annotations.get(HOST_CIDRS);
        let allowed_otherwise = before.annotations.get(CLOUD_CONFIG) != node.annotations.get(CLOUD_CONFIG);
        if before.labels == node.labels && before.ready == node.ready && !moved && !allowed_otherwise {
            return Ok(());
        }
        if node.ready && answers {
            self.set_reachable_now(&node.name);
        }
        let left = self.leave(&node.name);
        if node.ready && answers {
            self.fill_gaps()?;
        }
        left
    }

    pub(super) fn node_gone(&mut self, node: &Node) -> Outcome {
        if self.is_left_out(node) {
            return Ok(());
        }
        self.cache.remove(&node.name);
        self.probes.forget(&node.name);
        if is_labelled(node) || self.settings.selectors { self.leave(&node.name) } else { Ok(()) }
    }

    /// A node has become usable: whatever lacks an address is reconciled. What has all of its addresses stays where it is.
    pub(super) fn fill_gaps(&mut self) -> Outcome {
        self.reconcile_those(|egress_ip| egress_ip.egress_ips.len() != egress_ip.status.len())
    }

    /// A node may no longer carry addresses: whatever has one there is reconciled.
    pub(super) fn leave(&mut self, name: &str) -> Outcome {
        self.reconcile_those(|egress_ip| egress_ip.status.iter().any(|item| item.node == name))
    }

    /// The addresses of a host have changed: what it carries of networks beside the cluster's may have lost its network.
    fn check_secondary(&mut self, node: &Node) -> Outcome {
        let Some(config) = self.cache.get(&node.name).map(|cached| cached.config.clone()) else { return Ok(()) };
        let mut unreadable = false;
        let mut lost = Vec::new();
        for egress_ip in self.seen.live.values() {
            for item in egress_ip.status.iter().filter(|item| item.node == node.name) {
                let ip = address(&item.egress_ip).ok_or(Failed)?;
                if config.contains(ip) {
                    continue;
                }
                match secondary(node, ip) {
                    Ok(Some(_)) => {}
                    Ok(None) => lost.push(egress_ip.clone()),
                    Err(_) => unreadable = true,
                }
            }
        }
        let done = self.reconcile_each(&lost);
        if unreadable { Err(Failed) } else { done }
    }

    fn reconcile_those(&mut self, chosen: impl Fn(&EgressIp) -> bool) -> Outcome {
        let listed: Vec<EgressIp> = self.seen.live.values().filter(|egress_ip| chosen(egress_ip)).cloned().collect();
        self.reconcile_each(&listed)
    }

    /// One failure does not keep the others from being reconciled.
    fn reconcile_each(&mut self, listed: &[EgressIp]) -> Outcome {
        let mut done = Ok(());
        for egress_ip in listed {
            done = done.and(self.reconcile(None, Some(egress_ip)));
        }
        done
    }

    /// Probes all nodes that may carry addresses, and acts when all are probed. A failure to act on a loss is not tried again.
    pub(super) fn probe_nodes(&mut self) {
        let names = self.cache.keys().cloned().collect::<Vec<_>>();
        let (mut lost, mut regained) = (Vec::new(), Vec::new());
        for name in self.dice.shuffled(names) {
            let Some(node) = self.cache.get_mut(&name) else { continue };
            if !(node.ready && (node.assignable || self.settings.selectors)) {
                self.probes.disconnect(&name);
                continue;
            }
            let answers = self.probes.answers(&name);
            match (std::mem::replace(&mut node.reachable, answers), answers) {
                (true, false) => lost.push(name),
                (false, true) => regained.push(name),
                _ => {}
            }
        }
        self.retries.handling = None;
        for name in lost {
            let _: Outcome = self.leave(&name);
        }
        regained.retain(|name| self.seen.nodes.contains_key(name));
        if !regained.is_empty() {
            for name in regained {
                let entry = self.retries.take(&(Kind::Node, name.clone())).unwrap_or_default();
                self.retries.entries.insert((Kind::Node, name), Entry::at_once(entry, self.now));
            }
            self.sweep(Kind::Node);
            self.retries.sweep_again(Kind::Node, self.now);
        }
    }
}
