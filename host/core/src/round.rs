//! One planning round, from facts to writes, around the call of a policy.
//!
//! `Round::prepare` -> the policy plans from `policy_input` -> `Round::finish`. Pure: who calls it does the I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::name::{NodeIndex, OwnerIndex};
use crate::observed::Observed;
use crate::plan::{Holder, Operation, Patch, Plan, Reason};
use crate::schedule::{self, Target, Write};
use crate::settle::Settlement;
use crate::snapshot::{Health, Snapshot};
use crate::status::{self, PoolReport};
use crate::survey::{NamedHold, Survey};
use crate::verify::{EndState, Finding, Rejection, VerifiedPlan, verify};

/// A round that waits for the policy's answer.
#[derive(Clone, Debug)]
pub struct Round {
    survey: Survey,
    settlement: Settlement,
}

/// What a round came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The plan to apply. Where the policy failed or its plan was refused: what the host does by itself.
    pub plan: VerifiedPlan,
    /// Why the policy's plan is not part of it.
    pub failure: Option<Failure>,
    /// Everyone who is not served, sorted. With a failure, only those whom the host itself holds.
    pub holds: Vec<NamedHold>,
    /// Breaches that were there before, and those of a refused plan.
    pub findings: Vec<Finding>,
    /// Writes in the order of application.
    pub writes: Vec<Write>,
    /// The story of each pool.
    pub reports: Vec<PoolReport>,
}

/// Why a policy's plan changes nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The policy gave no plan.
    #[error("the policy failed: {0}")]
    Policy(String),
    /// The checker refused the plan.
    #[error("the policy's plan was refused: {0}")]
    Rejected(#[from] Rejection),
}

impl Round {
    /// Surveys the cluster and settles what the host settles by itself.
    pub fn prepare(observed: &Observed) -> Self {
        let survey = Survey::of(observed);
        let settlement = Settlement::of(&survey);
        Self { survey, settlement }
    }

    /// What the policy plans from.
    pub fn policy_input(&self) -> &Snapshot {
        &self.settlement.snapshot
    }

    /// What was there before anything was settled.
    pub fn surveyed(&self) -> &Survey {
        &self.survey
    }

    /// Checks the policy's answer and makes writes of it. `avoid` names objects that are not to be written now, since
    /// an earlier write to them failed; what depends on them waits, everything else goes on.
    pub fn finish(&self, observed: &Observed, answer: Result<Plan, String>, avoid: &BTreeSet<Target>) -> Outcome {
        let snapshot = &self.survey.snapshot;
        let combined = answer.map_err(Failure::Policy).and_then(|plan| Ok(self.judge(plan)?));
        let (plan, failure) = match combined {
            Ok(plan) => (plan, None),
            Err(failure) => (self.host_only(), Some(failure)),
        };
        let mut holds = self.survey.holds.clone();
        holds.extend(plan.holds().iter().filter_map(|hold| {
            let owner = snapshot.owner(hold.owner)?;
            Some(NamedHold {
                pool: snapshot.pool(owner.pool)?.name.clone(),
                zone: hold.zone.and_then(|zone| snapshot.zone(zone)).map(|zone| zone.name.to_string()),
                owner: owner.name.clone(),
                code: hold.code,
                text: hold.text.clone(),
            })
        }));
        holds.sort();
        holds.dedup();
        let mut findings = plan.inherited().to_vec();
        if let Some(Failure::Rejected(rejection)) = &failure {
            findings.extend(rejection.findings.iter().cloned());
            findings.sort();
        }
        let known_holds = failure.is_none().then_some(holds.as_slice());
        let writes = schedule::schedule(observed, &self.survey, &plan, known_holds, avoid);
        let reports = status::reports(observed, &self.survey, &plan, failure.as_ref(), &holds);
        Outcome { plan, failure, holds, findings, writes, reports }
    }

    /// Judges the policy's plan as it came, and then what is made of it.
    fn judge(&self, answer: Plan) -> Result<VerifiedPlan, Rejection> {
        let snapshot = &self.survey.snapshot;
        let mut whole = answer.clone();
        whole.patches.extend(self.settlement.patches.iter().cloned());
        verify(snapshot, whole)?;
        verify(snapshot, self.combine(Some(answer)))
    }

    /// The host's patches alone. They only take away, so they pass; if they should not, nothing is done.
    fn host_only(&self) -> VerifiedPlan {
        let snapshot = &self.survey.snapshot;
        verify(snapshot, self.combine(None))
            .or_else(|_| verify(snapshot, Plan { generation: snapshot.generation, ..Plan::default() }))
            .unwrap_or_else(|_| VerifiedPlan::unchanged(snapshot))
    }

    /// The host's patches, the policy's, and what follows from both: addresses that nobody holds leave their nodes.
    fn combine(&self, answer: Option<Plan>) -> Plan {
        let answer = answer.unwrap_or_else(|| Plan { generation: self.survey.snapshot.generation, ..Plan::default() });
        let mut plan =
            Plan { generation: answer.generation, patches: self.settlement.patches.clone(), holds: answer.holds };
        plan.patches.extend(answer.patches);
        self.keep_until_replaced(&mut plan.patches);
        self.sweep(&mut plan.patches);
        plan
    }

    /// R2: a network object is first written when one of its addresses is carried, and an owner that talks through an
    /// address keeps it until another one carries its traffic. Where the plan would leave an owner without, nothing of
    /// what it holds changes; only an address that belongs to somebody else goes at once.
    fn keep_until_replaced(&self, patches: &mut Vec<Patch>) {
        let touched: BTreeSet<OwnerIndex> =
            patches.iter().filter_map(|patch| changed_owner(&patch.operation)).collect();
        if touched.is_empty() {
            return;
        }
        let before = EndState::before(&self.survey.snapshot);
        let after = before.after(&self.survey.snapshot, patches, &mut Vec::new());
        let mut held_after: BTreeMap<OwnerIndex, Vec<IpAddr>> = BTreeMap::new();
        for (address, holders) in after.held() {
            for holding in holders {
                if let Holder::Owner(owner) = holding.holder {
                    held_after.entry(owner).or_default().push(address);
                }
            }
        }
        let silent = |owner: &OwnerIndex| {
            let addresses = held_after.get(owner).map_or(&[][..], Vec::as_slice);
            !addresses.iter().any(|&address| !after.carriers_of(address).is_empty())
                && !self.will_be_placed(*owner, addresses)
        };
        let silent: BTreeSet<OwnerIndex> = touched.into_iter().filter(silent).collect();
        let kept = |patch: &Patch| match changed_owner(&patch.operation) {
            Some(owner) if silent.contains(&owner) => {
                patch.reason == Reason::Duplicate || self.shared(&before, patch.operation.address())
            }
            _ => true,
        };
        patches.retain(kept);
        // An assignment of an address that is no longer given to anybody goes with it.
        let after = before.after(&self.survey.snapshot, patches, &mut Vec::new());
        patches.retain(|patch| match patch.operation {
            Operation::Assign { address, .. } => {
                !after.holders_of(address).is_empty() || !self.given_up(&silent, address)
            }
            _ => true,
        });
    }

    fn shared(&self, before: &EndState, address: IpAddr) -> bool {
        before.holders_of(address).len() > 1
    }

    fn given_up(&self, silent: &BTreeSet<OwnerIndex>, address: IpAddr) -> bool {
        !silent.is_empty() && self.survey.snapshot.assignments.iter().all(|assignment| assignment.address != address)
    }

    /// In a self-placing pool the network carries what is held, if a zone has a node that can.
    fn will_be_placed(&self, owner: OwnerIndex, addresses: &[IpAddr]) -> bool {
        let snapshot = &self.survey.snapshot;
        let Some(pool_index) = snapshot.owner(owner).map(|owner| owner.pool) else {
            return false;
        };
        let healthy = |node: &NodeIndex| snapshot.node(*node).is_some_and(|node| node.health == Health::Healthy);
        !addresses.is_empty()
            && snapshot.pool(pool_index).is_some_and(|pool| pool.self_placing)
            && snapshot.zones_of(pool_index).any(|(_, zone)| zone.nodes.iter().any(healthy))
    }

    /// R11: what a node carries and nobody holds is removed, unless SDN does so itself.
    fn sweep(&self, patches: &mut Vec<Patch>) {
        let snapshot = &self.survey.snapshot;
        let before = EndState::before(snapshot);
        let after = before.after(snapshot, patches, &mut Vec::new());
        let reasons: BTreeMap<IpAddr, Reason> = patches
            .iter()
            .filter(|patch| matches!(patch.operation, Operation::Release { .. }))
            .map(|patch| (patch.operation.address(), patch.reason))
            .collect();
        let mut sweeps = Vec::new();
        for (address, nodes) in after.carried().filter(|(address, _)| after.holders_of(*address).is_empty()) {
            for &node in nodes.iter().filter(|&&node| before.carriers_of(address).contains(&node)) {
                if !schedule::network_places(snapshot, address, node) {
                    let reason = reasons.get(&address).copied().unwrap_or(Reason::Stale);
                    sweeps.push(Patch {
                        operation: Operation::Unassign { address, node },
                        reason,
                        text: String::new(),
                        by_host: true,
                    });
                }
            }
        }
        patches.extend(sweeps);
    }
}

fn changed_owner(operation: &Operation) -> Option<OwnerIndex> {
    match *operation {
        Operation::Allocate { owner, .. } | Operation::Release { holder: Some(Holder::Owner(owner)), .. } => {
            Some(owner)
        }
        _ => None,
    }
}
