//! The checker. It re-derives every invariant from snapshot and patches and shares no code with any policy.
//!
//! It judges what a plan changes (R14): a patch that creates or worsens a breach rejects the plan; a breach that is in
//! the snapshot already is an `inherited` finding.

mod checks;
mod end_state;
mod inherited;
mod stable;

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::name::{NodeIndex, OwnerName};
use crate::plan::{Hold, Patch, Plan};
use crate::snapshot::Snapshot;

pub(crate) use checks::{Load, loads};
pub use end_state::{EndState, Holding};

/// Which rule a finding is about: the names of the invariants, and `contract` for a plan that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Invariant {
    /// No address has two owners, and none sits on two nodes.
    Unique,
    /// Every new address is inside its ranges, not reserved and not taken.
    InPool,
    /// No node carries more than it can.
    Capacity,
    /// Only selected, healthy nodes of the zone get addresses, and no node two of one owner.
    Eligible,
    /// Unforced moves, unassigns and releases stay inside the budget.
    Budget,
    /// Who works is not silenced without need, and what was moved to and fro stays where it is.
    Stable,
    /// The plan is for this snapshot, and its indices and operations make sense.
    Contract,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// What the checker found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Which rule.
    pub invariant: Invariant,
    /// It was so before the plan.
    pub inherited: bool,
    /// Whom it concerns, where it is one namespace.
    pub owner: Option<OwnerName>,
    /// What exactly.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.text)
    }
}

/// A plan that is not applied, with all that is wrong with it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the plan breaks {} rule(s): {}", .findings.len(), first_findings(.findings))]
pub struct Rejection {
    /// All findings, sorted; at least one.
    pub findings: Vec<Finding>,
}

fn first_findings(findings: &[Finding]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = findings.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = findings.len().saturating_sub(SHOWN);
    if more == 0 { shown.join("; ") } else { format!("{}; and {more} more", shown.join("; ")) }
}

/// A plan that passed. Only [`verify`] makes one, and only this can be scheduled.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedPlan {
    generation: u64,
    patches: Vec<Patch>,
    holds: Vec<Hold>,
    inherited: Vec<Finding>,
    end: EndState,
}

impl VerifiedPlan {
    /// A plan that [`check`] found nothing wrong with.
    pub(crate) fn new(snapshot: &Snapshot, base: &EndState, plan: Plan, end: EndState) -> Self {
        let mut patches = plan.patches;
        patches.sort_by_key(|patch| (patch.operation.address(), patch.operation.name()));
        let inherited = inherited::findings(snapshot, base);
        Self { generation: plan.generation, patches, holds: plan.holds, inherited, end }
    }

    /// Generation of the snapshot it is for.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What changes, sorted by address.
    pub fn patches(&self) -> &[Patch] {
        &self.patches
    }

    /// Who is not served.
    pub fn holds(&self) -> &[Hold] {
        &self.holds
    }

    /// Breaches that were there before.
    pub fn inherited(&self) -> &[Finding] {
        &self.inherited
    }

    /// Who holds and who carries what, once it is applied.
    pub fn end(&self) -> &EndState {
        &self.end
    }
}

/// Checks a plan against the snapshot it was made from.
pub fn verify(snapshot: &Snapshot, plan: Plan) -> Result<VerifiedPlan, Rejection> {
    let base = EndState::before(snapshot);
    let end = check(snapshot, &base, &plan)?;
    Ok(VerifiedPlan::new(snapshot, &base, plan, end))
}

/// The state after a plan, if nothing is wrong with it. `base` is the state of the snapshot.
pub(crate) fn check(snapshot: &Snapshot, base: &EndState, plan: &Plan) -> Result<EndState, Rejection> {
    let mut findings = Vec::new();
    if plan.generation != snapshot.generation {
        findings
            .push(contract(format!("made for generation {}, but this is {}", plan.generation, snapshot.generation)));
    }
    let end = base.after(snapshot, &plan.patches, &mut findings);
    let view = checks::View { snapshot, base, end: &end, patches: &plan.patches };
    view.contract(&mut findings);
    view.unique(&mut findings);
    view.in_pool(&mut findings);
    view.capacity(&mut findings);
    view.eligible(&mut findings);
    view.budget(&mut findings);
    view.stable(&mut findings);
    check_holds(snapshot, &plan.holds, &mut findings);
    if findings.is_empty() {
        return Ok(end);
    }
    findings.sort();
    findings.dedup();
    Err(Rejection { findings })
}

/// Whether an address had to leave a node: the node is down, or may not carry it.
pub(crate) fn is_forced(snapshot: &Snapshot, plan: &VerifiedPlan, address: IpAddr, node: NodeIndex) -> bool {
    let end = &plan.end;
    checks::View { snapshot, base: end, end, patches: &plan.patches }.forced_off(address, node)
}

fn check_holds(snapshot: &Snapshot, holds: &[Hold], findings: &mut Vec<Finding>) {
    for hold in holds {
        let Some(owner) = snapshot.owner(hold.owner) else {
            findings.push(contract(format!("a hold names owner {}, of {}", hold.owner.0, snapshot.owners.len())));
            continue;
        };
        let Some(zone) = hold.zone else { continue };
        if snapshot.zone(zone).is_none_or(|zone| zone.pool != owner.pool) {
            findings
                .push(contract(format!("a hold of {} names zone {}, which is none of its pool", owner.name, zone.0)));
        }
    }
}

fn contract(text: String) -> Finding {
    Finding { invariant: Invariant::Contract, inherited: false, owner: None, text }
}

#[cfg(test)]
mod tests;
