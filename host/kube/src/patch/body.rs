//! Writes as the API server knows them: a kind, a name and what is asked for.

use serde::Serialize;
use serde_json::{Map, Value, json};

use sluice_core::name::OwnerName;
use sluice_core::network::{Change, Network, Target, Write};
use sluice_core::observed::Observed;

use crate::kind::Kind;
use crate::network::ovn;
use crate::{names, network};

/// What is asked of the API server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ObjectRequest {
    /// An object changes, by a merge patch without the precondition.
    Patch { kind: Kind, name: String, body: Value },
    /// An object is made.
    Create { kind: Kind, name: String, body: Value },
    /// An object is deleted.
    Delete { kind: Kind, name: String },
}

/// What a write asks of the API server; none: it has no such objects.
pub(super) fn request(write: &Write, network: Network) -> Option<ObjectRequest> {
    let kind = kind_of(&write.target, network)?;
    let name = request_name(write, network);
    let Target::Holding(owner) = &write.target else {
        return Some(ObjectRequest::Patch { kind, name, body: merge_patch(&write.change) });
    };
    Some(match &write.change {
        Change::NewHolding { egress_ips, home } => {
            ObjectRequest::Create { kind, name, body: ovn::new_object(owner, egress_ips, home) }
        }
        Change::NoHolding { .. } => ObjectRequest::Delete { kind, name },
        Change::Holding { egress_ips, home, recorded, .. } if network == Network::OvnKubernetes => {
            let body = ovn::patch(owner, egress_ips, home.as_ref(), recorded);
            ObjectRequest::Patch { kind, name, body }
        }
        change => ObjectRequest::Patch { kind, name, body: merge_patch(change) },
    })
}

/// The name of the object that a write is about.
fn request_name(write: &Write, network: Network) -> String {
    match (&write.target, &write.change) {
        (_, Change::Holding { object, .. } | Change::NoHolding { object }) if !object.is_empty() => object.clone(),
        (Target::Holding(owner), _) => made_name(owner, network),
        (target, _) => target.name().to_owned(),
    }
}

/// The name of the object of an owner that has none yet.
fn made_name(owner: &OwnerName, network: Network) -> String {
    match network {
        Network::OpenShiftSdn => owner.to_string(),
        Network::OvnKubernetes => ovn::object_name(owner),
    }
}

/// The kind of a write's object; none: the API server has no such objects.
fn kind_of(target: &Target, network: Network) -> Option<Kind> {
    match target {
        Target::Pool(_) => Some(Kind::Pool),
        Target::Carrier(_) => Some(network::carrier_kind(network)),
        Target::Holding(_) => Some(network::holding_kind(network)),
        Target::Namespace(_) => Some(Kind::Namespace),
        Target::Interface(_) => None,
    }
}

/// What people and metrics call the kind of a write's object.
pub fn kind_name(target: &Target, network: Network) -> &'static str {
    kind_of(target, network).map_or("NetworkInterface", Kind::name)
}

/// What people call the object of a write, such as `Namespace shop`.
pub fn shown(target: &Target, observed: &Observed) -> String {
    format!("{} {}", kind_name(target, observed.network), object_name(target, observed))
}

fn object_name(target: &Target, observed: &Observed) -> String {
    let Target::Holding(owner) = target else { return target.name().to_owned() };
    let known = observed.holdings.get(owner).map(|facts| facts.object.clone()).filter(|name| !name.is_empty());
    known.unwrap_or_else(|| made_name(owner, observed.network))
}

/// The body of the merge patch, without the precondition; of an interface what changes, for people.
fn merge_patch(change: &Change) -> Value {
    match change {
        Change::Pool { guarded, other_guards } => {
            let ours = guarded.then_some(names::FINALIZER);
            let all: Vec<&str> = other_guards.iter().map(String::as_str).chain(ours).collect();
            json!({"metadata": {"finalizers": all}})
        }
        Change::Carrier { egress_ips, ranges } => network::carrier_patch(egress_ips.as_deref(), ranges.as_deref()),
        Change::Holding { egress_ips, home, .. } => network::holding_patch(egress_ips, home.as_ref()),
        Change::Assignable(may) => ovn::node_patch(*may),
        Change::Namespace { result, hold } => {
            let texts = [(names::HOLD_ANNOTATION, hold), (names::RESULT_ANNOTATION, result)];
            let given = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_ref()?))));
            json!({"metadata": {"annotations": given.collect::<Map<_, _>>()}})
        }
        Change::Interface { on, off } => json!({"add": on, "remove": off}),
        // These are no patches.
        Change::NewHolding { .. } | Change::NoHolding { .. } => Value::Null,
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
    /// What is done with the object, if it is not patched: `create` or `delete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<&'static str>,
    /// Body of the JSON merge patch, without the precondition; of an object that is made, all of it.
    pub patch: Value,
    /// How many steps of others come before: updates of a cloud's interfaces, or the network that sees a label.
    #[serde(skip_serializing_if = "is_zero")]
    pub stage: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Writes as rows, in their order, stage by stage.
pub fn write_rows(stages: &[Vec<Write>], network: Network) -> Vec<WriteRow> {
    let writes = (0..).zip(stages).flat_map(|(stage, writes)| writes.iter().map(move |write| (stage, write)));
    let row = |(order, (stage, write)): (usize, (usize, &Write))| {
        let (operation, patch) = match request(write, network) {
            None => (None, merge_patch(&write.change)),
            Some(ObjectRequest::Patch { body, .. }) => (None, body),
            Some(ObjectRequest::Create { body, .. }) => (Some("create"), body),
            Some(ObjectRequest::Delete { .. }) => (Some("delete"), Value::Null),
        };
        let kind = kind_name(&write.target, network).to_owned();
        WriteRow { order, kind, name: request_name(write, network), operation, patch, stage }
    };
    (1..).zip(writes).map(row).collect()
}
