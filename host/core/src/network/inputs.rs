//! What a schedule is made from. It is put together once, and nothing of it changes while writes are made.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Target;
use crate::name::{NodeIndex, NodeName, OwnerIndex};
use crate::observed::Observed;
use crate::plan::Operation;
use crate::snapshot::{Allocation, Snapshot};
use crate::survey::{Survey, Wish};
use crate::verify::VerifiedPlan;

/// What is there, what shall be, and what is not to be written.
pub(super) struct Inputs<'a> {
    pub(super) observed: &'a Observed,
    pub(super) snapshot: &'a Snapshot,
    /// What each owner asks for, by its index.
    pub(super) wishes: &'a [Wish],
    pub(super) plan: &'a VerifiedPlan,
    /// Objects that are not to be written now, since an earlier write to them failed.
    pub(super) avoid: &'a BTreeSet<Target>,
    /// What each owner shall hold, by its index.
    pub(super) allocations: Vec<Vec<Allocation>>,
}

impl<'a> Inputs<'a> {
    pub(super) fn of(
        observed: &'a Observed,
        survey: &'a Survey,
        plan: &'a VerifiedPlan,
        avoid: &'a BTreeSet<Target>,
    ) -> Self {
        let snapshot = &survey.snapshot;
        let allocations = plan.end().allocations(snapshot.owners.len());
        Self { observed, snapshot, wishes: &survey.wishes, plan, avoid, allocations }
    }

    pub(super) fn node_name(&self, node: NodeIndex) -> Option<&'a NodeName> {
        self.snapshot.node(node).map(|node| &node.name)
    }

    /// The nodes that shall carry an address.
    pub(super) fn carriers_after(&self, address: IpAddr) -> &'a [NodeIndex] {
        self.plan.end().carriers_of(address)
    }

    /// The owner that shall hold an address; none: nobody, or somebody who leaves.
    pub(super) fn owner_after(&self, address: IpAddr) -> Option<OwnerIndex> {
        self.plan.end().owner_of(address)
    }

    /// Addresses that the plan brings to nodes or takes off them.
    pub(super) fn moving(&self) -> BTreeSet<IpAddr> {
        let stays = |operation: &Operation| matches!(operation, Operation::Allocate { .. } | Operation::Release { .. });
        let operations = self.plan.patches().iter().map(|patch| patch.operation);
        operations.filter(|operation| !stays(operation)).map(|operation| operation.address()).collect()
    }
}
