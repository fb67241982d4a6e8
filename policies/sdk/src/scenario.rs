//! Scenario tests: a folder of inputs, each with the plan that is expected of it.
//!
//! An input is a JSON file of `{"settings": …, "snapshot": …}`. Next to it, with the extension
//! `plan`, stands the [transcript] of the plan. Run the test with `UPDATE_EXPECT=1` to
//! write it, then read it.
//!
//! ```no_run
//! # use sluice_policy_sdk::{Description, Plan, PlanError, Policy, Snapshot};
//! # struct MyPolicy;
//! # impl Policy for MyPolicy {
//! #     type Settings = ();
//! #     fn describe() -> Description { unimplemented!() }
//! #     fn plan(_: &Snapshot, _: &()) -> Result<Plan, PlanError> { unimplemented!() }
//! # }
//! sluice_policy_sdk::scenario::check::<MyPolicy>(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"));
//! ```
//!
//! Snapshots may be written out in full, as the host records them, or short: what a short one leaves out is
//! empty, zero or without limit; nodes are healthy, assignments settled; addresses and ranges may be text.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use serde_json::{Map, Value, json};

use crate::{Cidr, IpAddress, ParseAddressError, Policy, Snapshot, make_plan, transcript};

/// Why a scenario could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A file could not be read or written.
    #[error("cannot access {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or value is not the JSON that it should be.
    #[error("not a scenario")]
    Json(#[from] serde_json::Error),
    /// A text stands for no address or range.
    #[error(transparent)]
    Address(#[from] ParseAddressError),
    /// The folder has no scenario at all.
    #[error("no *.json in {0}")]
    Empty(PathBuf),
}

/// Runs all scenarios of a folder, and fails the test unless every plan is as expected.
///
/// # Panics
///
/// If a plan differs, or a scenario cannot be read.
#[expect(clippy::panic, reason = "it is how a test fails")]
pub fn check<P: Policy>(folder: impl AsRef<Path>) {
    match differences::<P>(folder.as_ref()) {
        Ok(differences) if differences.is_empty() => {}
        Ok(differences) => panic!("{}\nUPDATE_EXPECT=1 accepts this.", differences.join("\n")),
        Err(error) => {
            panic!("{error}: {}", std::error::Error::source(&error).map_or(String::new(), ToString::to_string))
        }
    }
}

fn differences<P: Policy>(folder: &Path) -> Result<Vec<String>, ScenarioError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        |source| ScenarioError::File { path, source }
    };
    let update = env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1");
    let mut inputs = Vec::new();
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        inputs.push(entry.map_err(at(folder))?.path());
    }
    inputs.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    inputs.sort();
    if inputs.is_empty() {
        return Err(ScenarioError::Empty(folder.to_owned()));
    }
    let mut differences = Vec::new();
    for input in inputs {
        let text = fs::read_to_string(&input).map_err(at(&input))?;
        let actual = run::<P>(&text)?;
        let expected_in = input.with_extension("plan");
        if update {
            fs::write(&expected_in, &actual).map_err(at(&expected_in))?;
            continue;
        }
        let expected = fs::read_to_string(&expected_in).map_err(at(&expected_in))?;
        if expected != actual {
            differences.push(format!("{}: expected\n{expected}\nbut got\n{actual}", input.display()));
        }
    }
    Ok(differences)
}

/// The transcript of the plan that a policy makes of a scenario.
fn run<P: Policy>(text: &str) -> Result<String, ScenarioError> {
    let mut scenario: Value = serde_json::from_str(text)?;
    let settings = scenario.get("settings").map_or_else(String::new, Value::to_string);
    let snapshot = snapshot(scenario.get_mut("snapshot").map_or(Value::Null, Value::take))?;
    Ok(match make_plan::<P>(&snapshot, &settings) {
        Ok(plan) => transcript::of(&snapshot, &plan),
        Err(error) => format!("error {}\n", serde_json::to_string(&error)?),
    })
}

/// Reads a snapshot, short or in full.
pub fn snapshot(mut value: Value) -> Result<Snapshot, ScenarioError> {
    fill(
        &mut value,
        &json!({
            "generation": 1, "now": 0, "seed": 0, "budget": 10, "pools": [], "zones": [], "nodes": [],
            "owners": [], "assignments": [], "occupied": [], "attributes": [],
        }),
    );
    each(
        &mut value,
        "pools",
        &json!({
            "ranges": [], "reserved": [], "placement": "Exact", "attributes": [],
        }),
    );
    each(
        &mut value,
        "zones",
        &json!({
            "ranges": [], "nodes": [], "may_leave": false, "share": null, "attributes": [],
        }),
    );
    each(
        &mut value,
        "nodes",
        &json!({
            "health": "Healthy", "capacity": {}, "other_load": 0, "attributes": [],
        }),
    );
    each(
        &mut value,
        "owners",
        &json!({
            "labels": [], "wanted": null, "requested": [], "allocations": [], "attributes": [],
        }),
    );
    each(&mut value, "assignments", &json!({ "phase": "Settled" }));
    for owner in items(&mut value, "owners") {
        each(owner, "allocations", &json!({ "zone": null }));
    }
    let unlimited = json!({ "total": null, "ipv4": null, "ipv6": null });
    for node in items(&mut value, "nodes") {
        if let Some(capacity) = node.get_mut("capacity") {
            fill(capacity, &unlimited);
        }
    }
    expand_addresses(&mut value)?;
    Ok(serde_json::from_value(value)?)
}

fn items<'a>(value: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    value.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
}

fn each(value: &mut Value, list: &str, defaults: &Value) {
    items(value, list).for_each(|item| fill(item, defaults));
}

/// Adds the fields that are missing.
fn fill(value: &mut Value, defaults: &Value) {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    if let (Some(object), Some(defaults)) = (value.as_object_mut(), defaults.as_object()) {
        for (name, default) in defaults {
            object.entry(name).or_insert_with(|| default.clone());
        }
    }
}

/// Turns text into addresses and ranges, wherever the contract has those.
fn expand_addresses(value: &mut Value) -> Result<(), ScenarioError> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(expand_addresses),
        Value::Object(fields) => fields.iter_mut().try_for_each(|(name, field)| match name.as_str() {
            "ranges" | "reserved" => expand::<Cidr>(field),
            "address" | "occupied" | "requested" => expand::<IpAddress>(field),
            _ => expand_addresses(field),
        }),
        _ => Ok(()),
    }
}

fn expand<T>(value: &mut Value) -> Result<(), ScenarioError>
where
    T: std::str::FromStr<Err = ParseAddressError> + serde::Serialize,
{
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(expand::<T>)?,
        Value::String(text) => *value = serde_json::to_value(text.parse::<T>()?)?,
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_snapshot_means_the_same_as_its_full_form() {
        let short = snapshot(json!({
            "pools": [{"name": "blue", "reserved": ["10.0.0.0/30"]}],
            "zones": [{"pool": 0, "name": "a", "ranges": ["10.0.0.0/24"], "nodes": [0]}],
            "nodes": [{"name": "n", "capacity": {"total": 3}}],
            "owners": [{"name": "o", "pool": 0, "allocations": [{"address": "fd00::1"}]}],
            "assignments": [{"address": "fd00::1", "node": 0}],
            "occupied": ["10.0.0.9"],
        }))
        .unwrap();
        assert_eq!(short.nodes[0].capacity.total, Some(3));
        assert_eq!(short.occupied, ["10.0.0.9".parse().unwrap()]);
        let full = serde_json::to_value(&short).unwrap();
        assert_eq!(snapshot(full).unwrap(), short);
    }

    #[test]
    fn nonsense_is_refused() {
        let address = snapshot(json!({ "occupied": ["10.0.0"] })).unwrap_err();
        assert!(matches!(address, ScenarioError::Address(_)));
        let shape = snapshot(json!({ "nodes": [{}] })).unwrap_err();
        assert!(matches!(shape, ScenarioError::Json(_)));
    }
}
