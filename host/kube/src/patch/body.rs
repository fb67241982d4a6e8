//! Writes as the API server knows them: a kind, a name and a JSON merge patch.

use serde::Serialize;
use serde_json::{Map, Value, json};

use sluice_core::network::{Change, Target, Write};

use crate::kind::Kind;
use crate::{names, network};

/// The kind of a write's object; none: the API server has no such objects.
pub(super) fn kind_of(target: &Target) -> Option<Kind> {
    match target {
        Target::Pool(_) => Some(Kind::Pool),
        Target::Carrier(_) => Some(network::CARRIER),
        Target::Holding(_) => Some(network::HOLDING),
        Target::Namespace(_) => Some(Kind::Namespace),
        Target::Interface(_) => None,
    }
}

/// What people and metrics call the kind of a write's object.
pub fn kind_name(target: &Target) -> &'static str {
    kind_of(target).map_or("NetworkInterface", Kind::name)
}

/// What people call a write's object, such as `Namespace shop`.
pub fn shown(target: &Target) -> String {
    format!("{} {}", kind_name(target), target.name())
}

/// The body of the merge patch, without the precondition; of an interface what changes, for people.
pub(super) fn merge_patch(change: &Change) -> Value {
    match change {
        Change::Pool { guarded, other_guards } => {
            let ours = guarded.then_some(names::FINALIZER);
            let all: Vec<&str> = other_guards.iter().map(String::as_str).chain(ours).collect();
            json!({"metadata": {"finalizers": all}})
        }
        Change::Carrier { egress_ips, ranges } => network::carrier_patch(egress_ips.as_deref(), ranges.as_deref()),
        Change::Holding { egress_ips, home } => network::holding_patch(egress_ips, home.as_ref()),
        Change::Namespace { result, hold } => {
            let texts = [(names::HOLD_ANNOTATION, hold), (names::RESULT_ANNOTATION, result)];
            let given = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_ref()?))));
            json!({"metadata": {"annotations": given.collect::<Map<_, _>>()}})
        }
        Change::Interface { on, off } => json!({"add": on, "remove": off}),
    }
}

/// One write, as `plan -o json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WriteRow {
    /// Its place in the schedule, from 1.
    pub order: usize,
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Body of the JSON merge patch, without the precondition.
    pub patch: Value,
    /// How many times a cloud's interfaces are updated before.
    #[serde(skip_serializing_if = "is_zero")]
    pub stage: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Writes as rows, in their order, stage by stage.
pub fn write_rows(stages: &[Vec<Write>]) -> Vec<WriteRow> {
    let writes = (0..).zip(stages).flat_map(|(stage, writes)| writes.iter().map(move |write| (stage, write)));
    let row = |(order, (stage, write)): (usize, (usize, &Write))| WriteRow {
        order,
        kind: kind_name(&write.target).to_owned(),
        name: write.target.name().to_owned(),
        patch: merge_patch(&write.change),
        stage,
    };
    (1..).zip(writes).map(row).collect()
}
