//! Addresses that a cloud's own controller refuses to the nodes that carry them.

use std::collections::BTreeMap;

use super::{Homes, Settlement};
use crate::name::NodeIndex;
use crate::plan::Reason;
use crate::snapshot::{Assignment, Health, Node, Phase};
use crate::survey::Survey;

impl Settlement {
    /// Of a node that carries more than it can, what the cloud refused to it leaves first, if another node has room: the
    /// others work, and a policy does not know which do.
    pub(super) fn unassign_refused(&mut self, survey: &Survey) {
        if survey.constraints.refused.is_empty() {
            return;
        }
        let mut loads: BTreeMap<NodeIndex, u32> = BTreeMap::new();
        for on in &self.snapshot.assignments {
            *loads.entry(on.node).or_default() += 1;
        }
        let load = |loads: &BTreeMap<NodeIndex, u32>, node| loads.get(&node).copied().unwrap_or_default();
        let most = |node: &Node| node.capacity.total.unwrap_or(u32::MAX);
        let homes = Homes::of(&self.snapshot);
        let is_refused = |on: &&Assignment| {
            on.phase == Phase::Settled && survey.constraints.refused.contains(&(on.address, on.node))
        };
        let mut refused = Vec::new();
        for on in self.snapshot.assignments.iter().filter(is_refused) {
            let Some(node) = self.snapshot.node(on.node).filter(|node| load(&loads, on.node) > most(node)) else {
                continue;
            };
            let other = homes.eligible(&self.snapshot, on.address).into_iter().find(|&other| {
                let healthy = self.snapshot.node(other).filter(|node| node.health == Health::Healthy);
                other != on.node && healthy.is_some_and(|node| load(&loads, other) < most(node))
            });
            if let Some(other) = other {
                // Its place there is taken now.
                *loads.entry(other).or_default() += 1;
                *loads.entry(on.node).or_default() -= 1;
                let text = format!("the cloud does not give it to {}", node.name);
                refused.push((on.address, on.node, Reason::OverCapacity, text));
            }
        }
        self.unassign(refused);
    }
}
