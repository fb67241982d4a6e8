//! A loaded policy.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use sluice_core::plan::Plan;
use sluice_core::snapshot::Snapshot;

use crate::call::{Called, Cost, Linked};
use crate::cancel::Cancel;
use crate::error::CallError;
use crate::gate::Caller;
use crate::lift;
use crate::limits::Limits;
use crate::logs::LogRecord;
use crate::lower::with_lowered;

/// A policy that passed every stage of loading, with its settings. Cheap to clone.
#[derive(Clone)]
pub struct Policy(Arc<Loaded>);

struct Loaded {
    linked: Linked,
    info: PolicyInfo,
}

/// Who a policy is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyInfo {
    /// Its name, as it says.
    pub name: String,
    /// Its version, as it says.
    pub version: String,
    /// What it does, as it says.
    pub summary: String,
    /// Digest of the component: `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Size of the component.
    pub bytes: usize,
    /// The settings it plans with: JSON without superfluous white space, members sorted.
    pub settings: String,
    /// The schema of its settings.
    pub settings_schema: Value,
    /// Whether it looks at namespaces' labels. If not, it is not shown any.
    pub uses_labels: bool,
}

/// A plan and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The plan; untrusted.
    pub plan: Plan,
    /// What it took.
    pub cost: Cost,
    /// What the policy said meanwhile.
    pub logs: Vec<LogRecord>,
    /// Messages that were over the limits.
    pub dropped_logs: u64,
}

/// What came of a call, also if it failed: for records and metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct CallOutcome {
    /// The plan, untrusted, or why there is none.
    pub result: Result<Plan, CallError>,
    /// What it took.
    pub cost: Cost,
    /// What the policy said meanwhile.
    pub logs: Vec<LogRecord>,
    /// Messages that were over the limits.
    pub dropped_logs: u64,
}

impl CallOutcome {
    /// The plan with its cost, or the error alone.
    pub fn into_planned(self) -> Result<Planned, CallError> {
        let Self { result, cost, logs, dropped_logs } = self;
        result.map(|plan| Planned { plan, cost, logs, dropped_logs })
    }
}

impl Policy {
    pub(crate) fn new(linked: Linked, info: PolicyInfo) -> Self {
        Self(Arc::new(Loaded { linked, info }))
    }

    /// Who it is.
    pub fn info(&self) -> &PolicyInfo {
        &self.0.info
    }

    /// What it may use.
    pub fn limits(&self) -> &Limits {
        &self.0.linked.limits
    }

    /// What it takes to call it.
    pub(crate) fn linked(&self) -> &Linked {
        &self.0.linked
    }

    /// Asks for a plan. Takes a processor for up to `plan_wall` and, after a timeout, twice that: call it where
    /// blocking is allowed.
    pub fn plan(&self, snapshot: &Snapshot) -> Result<Planned, CallError> {
        self.run(snapshot).into_planned()
    }

    /// Like [`Policy::plan`], with cost and messages of a failed call too.
    pub fn run(&self, snapshot: &Snapshot) -> CallOutcome {
        self.run_until(snapshot, &Cancel::default())
    }

    /// Like [`Policy::run`], until it is cancelled.
    pub fn run_until(&self, snapshot: &Snapshot, cancel: &Cancel) -> CallOutcome {
        self.run_for(Caller::InCharge(cancel), snapshot)
    }

    /// Like [`Policy::run_until`], beside the policy in charge: never in its place at the gate.
    pub fn try_out(&self, snapshot: &Snapshot, cancel: &Cancel) -> CallOutcome {
        self.run_for(Caller::Aside(cancel), snapshot)
    }

    fn run_for(&self, caller: Caller<'_>, snapshot: &Snapshot) -> CallOutcome {
        let Loaded { linked, info } = self.0.as_ref();
        let budget = linked.plan_budget(snapshot);
        let done = with_lowered(snapshot, info.uses_labels, |lowered| {
            linked.call(budget, caller, |exports, store| {
                // Clones references only.
                let (exports, lowered) = (exports.sluice_policy_allocator(), lowered.clone());
                let answer = exports.call_make_plan(store, lowered, &info.settings)?;
                Ok((lift::size(&answer), lift::plan(answer, snapshot, &linked.limits)))
            })
        });
        let Called { result, mut cost, logs, dropped_logs } = done;
        let result = result.and_then(|(bytes, plan)| {
            cost.result_bytes = bytes;
            plan
        });
        CallOutcome { result, cost, logs, dropped_logs }
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Policy").field(self.info()).finish()
    }
}
