//! What is done to `CloudPrivateIPConfig`s (OVN-Kubernetes, `executeCloudPrivateIPConfigChange`).

use super::{ClusterManager, Failed, Outcome};
use crate::action::{Action, Reason};
use crate::names::cpic_name;
use crate::object::StatusItem;
use std::collections::BTreeMap;

/// What becomes of one address: the node that gets it, and the one that loses it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) add: Option<String>,
    pub(super) delete: Option<String>,
}

/// Operations that the cloud has not confirmed, by owner and address.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending(pub(super) BTreeMap<String, BTreeMap<String, Operation>>);

impl Pending {
    /// Of two operations the newer addition counts, and the older deletion.
    fn merge(&mut self, owner: &str, operations: &BTreeMap<String, Operation>) {
        if operations.is_empty() {
            return;
        }
        let known = self.0.entry(owner.to_owned()).or_default();
        for (address, operation) in operations {
            let merged = known.entry(address.clone()).or_default();
            merged.add = operation.add.clone().or(merged.add.take());
            merged.delete = merged.delete.take().or_else(|| operation.delete.clone());
        }
    }

    /// Ends the operation of an address if the cloud has done the last step of it.
    pub(super) fn end(
        &mut self,
        owner: &str,
        address: &str,
        is_last: impl Fn(&Operation) -> bool,
    ) -> Result<(), Failed> {
        let operations = self.0.get_mut(owner).ok_or(Failed)?;
        if is_last(operations.get(address).ok_or(Failed)?) {
            operations.remove(address);
        }
        if operations.is_empty() {
            self.0.remove(owner);
        }
        Ok(())
    }
}

impl ClusterManager {
    pub(super) fn change_cpics(&mut self, owner: &str, add: &[StatusItem], delete: &[StatusItem]) -> Outcome {
        let mut operations: BTreeMap<String, Operation> = BTreeMap::new();
        for item in add {
            operations.entry(item.egress_ip.clone()).or_default().add = Some(item.node.clone());
        }
        for item in delete {
            operations.entry(item.egress_ip.clone()).or_default().delete = Some(item.node.clone());
        }
        self.pending.merge(owner, &operations);
        // The first one that fails ends it, and which one is first is left to chance.
        for (address, operation) in self.dice.shuffled(operations) {
            self.change_cpic(owner, &address, operation)?;
        }
        Ok(())
    }

    fn change_cpic(&mut self, owner: &str, address: &str, operation: Operation) -> Outcome {
        let name = cpic_name(address);
        let owner_of = || owner.to_owned();
        match (operation.add, operation.delete) {
            (Some(node), Some(_)) => {
                let cpic = self.seen.cpics.get_mut(&name).filter(|cpic| !cpic.deleting).ok_or(Failed)?;
                let resource_version = cpic.resource_version;
                // The real one writes into the object that its watch keeps, whether the API takes the update or not.
                cpic.node.clone_from(&node);
                self.emit(Action::UpdateCpic { owner: owner_of(), name, node, resource_version });
            }
            (Some(node), None) => return self.add_cpic(owner, address, name, node),
            (None, Some(_)) => {
                if self.seen.cpics.contains_key(&name) {
                    self.emit(Action::DeleteCpic { owner: owner_of(), name });
                }
            }
            (None, None) => {}
        }
        Ok(())
    }

    fn add_cpic(&mut self, owner: &str, address: &str, name: String, node: String) -> Outcome {
        let Some(cpic) = self.seen.cpics.get(&name) else {
            self.emit(Action::CreateCpic { owner: owner.to_owned(), name, node });
            return Ok(());
        };
        if cpic.deleting {
            return Err(Failed);
        }
        let stays = cpic.node == node;
        let failed_on = (cpic.status.is_failed() && !cpic.status.node.is_empty()).then(|| cpic.status.node.clone());
        if let Some(gone) = failed_on.filter(|failed_on| !self.seen.nodes.contains_key(failed_on)) {
            let message = format!("{address} failed on {gone}, which is gone, and is tried again");
            self.event(owner, Reason::CloudAssignmentRetry, message);
            self.emit(Action::DeleteCpic { owner: owner.to_owned(), name });
            return Err(Failed);
        }
        // Somebody else wants it on another node: that is not corrected.
        if stays { Ok(()) } else { Err(Failed) }
    }
}
