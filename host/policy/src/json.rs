//! The contract's values as JSON: the same text that `serde` makes of a guest's types. So a call can be repeated
//! elsewhere, and answers can be compared byte for byte.

use sluice_core::snapshot::Snapshot;

use crate::call::Called;
use crate::cancel::Cancel;
use crate::error::CallError;
use crate::gate::Caller;
use crate::lower::with_lowered;
use crate::policy::Policy;

/// A snapshot as policies see it that use all of it.
pub fn snapshot_json(snapshot: &Snapshot) -> Result<String, serde_json::Error> {
    with_lowered(snapshot, true, |lowered| serde_json::to_string(&lowered))
}

impl Policy {
    /// What the policy answers, word for word: `{"Ok": plan}` or `{"Err": error}`. Neither judged nor cut to size.
    pub fn answer_json(&self, snapshot: &Snapshot) -> Result<String, CallError> {
        let (linked, info) = (self.linked(), self.info());
        let budget = linked.plan_budget(snapshot);
        let called: Called<String> = with_lowered(snapshot, info.uses_labels, |lowered| {
            linked.call(budget, Caller::InCharge(&Cancel::default()), |exports, store| {
                let answer =
                    exports.sluice_policy_allocator().call_make_plan(store, lowered.clone(), &info.settings)?;
                Ok(serde_json::to_string(&answer)?)
            })
        });
        called.result
    }
}
