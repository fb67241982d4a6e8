//! What the cloud controller's answers bring about (OVN-Kubernetes, `reconcileCloudPrivateIPConfig`).

use super::{ClusterManager, Failed, Outcome};
use crate::names::cpic_address;
use crate::object::{CloudPrivateIpConfig, CpicStatus, EgressIp, StatusItem};

impl ClusterManager {
    /// Only a change of status counts: nobody else is expected to write the rest.
    pub(super) fn reconcile_cpic(
        &mut self,
        old: Option<&CloudPrivateIpConfig>,
        new: Option<&CloudPrivateIpConfig>,
    ) -> Outcome {
        let nothing = CpicStatus::default();
        let status = |cpic: Option<&CloudPrivateIpConfig>| cpic.map_or(nothing.clone(), |cpic| cpic.status.clone());
        if status(old) == status(new) {
            return Ok(());
        }
        if let Some(old) = old {
            let left = match new {
                None => Some(old.node.clone()),
                Some(new) => has_left(old, new).then(|| old.status.node.clone()),
            };
            if let Some(node) = left {
                self.released(old, node)?;
            }
        }
        match new {
            Some(new) if new.status.node == new.node && new.status.is_done() => self.confirmed(new),
            _ => Ok(()),
        }
    }

    /// The cloud has taken an address off a node.
    fn released(&mut self, cpic: &CloudPrivateIpConfig, node: String) -> Outcome {
        let (Some(owner), Some(ip)) = (cpic.owner.clone(), cpic_address(&cpic.name)) else { return Ok(()) };
        let gone = StatusItem { node, egress_ip: ip.to_string() };
        if let Some(egress_ip) = self.seen.live.get(&owner).cloned() {
            let kept = egress_ip.status.iter().filter(|item| **item != gone).cloned().collect();
            self.patch_status(&egress_ip, kept);
        }
        self.pending.end(&owner, &gone.egress_ip, |operation| operation.add.is_none() && operation.delete.is_some())?;
        for egress_ip in self.seen.live.values().cloned().collect::<Vec<_>>() {
            if self.may_gain(&egress_ip, &owner, &gone.egress_ip) {
                self.reconcile(None, Some(&egress_ip))?;
            }
        }
        Ok(())
    }

    /// Whether an object may get something now that room was made: what still asks for the address itself, and others that
    /// lack more addresses than the cloud is busy with.
    fn may_gain(&self, egress_ip: &EgressIp, owner: &str, address: &str) -> bool {
        if egress_ip.name == owner {
            return egress_ip.egress_ips.iter().any(|asked| asked == address);
        }
        let busy = self.pending.0.get(&egress_ip.name).map_or(0, std::collections::BTreeMap::len);
        egress_ip.egress_ips.len().saturating_sub(egress_ip.status.len()) > busy
    }

    /// The cloud has put an address on a node: now it enters status.
    fn confirmed(&mut self, cpic: &CloudPrivateIpConfig) -> Outcome {
        let (Some(owner), Some(ip)) = (cpic.owner.clone(), cpic_address(&cpic.name)) else { return Ok(()) };
        let egress_ip = self.seen.live.get(&owner).cloned().ok_or(Failed)?;
        let item = StatusItem { node: cpic.status.node.clone(), egress_ip: ip.to_string() };
        if !egress_ip.status.contains(&item) {
            let mut items = egress_ip.status.clone();
            items.push(item.clone());
            self.patch_status(&egress_ip, items);
        }
        // After a restart nothing is known to be pending, which is no failure.
        let _: Outcome = self.pending.end(&owner, &item.egress_ip, |operation| operation.add.is_some());
        Ok(())
    }
}

fn has_left(old: &CloudPrivateIpConfig, new: &CloudPrivateIpConfig) -> bool {
    !old.status.node.is_empty() && new.status.node != old.status.node && new.status.is_done()
}
