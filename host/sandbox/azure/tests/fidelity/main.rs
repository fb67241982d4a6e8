//! Replays recorded exchanges with Azure, and the worked examples of api-version 2024-03-01, and compares the answers.
//!
//! A recording is replayed in a cloud of its own, seeded with what the recording implies. What cannot be replayed is
//! listed in `recordings/SKIPPED` with its reason; a listed recording that can be replayed fails the test as an unlisted
//! one that cannot.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests")]

#[path = "../common/mod.rs"]
mod common;
mod compare;
mod example;
mod record;
mod replay;
mod setting;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::compare::differences;
use crate::record::Recording;
use crate::replay::replay;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings")
}

/// The reasons of `SKIPPED`, by "file index".
fn listed() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(folder().join("SKIPPED")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let parse = |line: &str| {
        let (file, rest) = line.split_once(' ').unwrap();
        let (index, reason) = rest.split_once(' ').unwrap_or_else(|| panic!("no reason: {line}"));
        (format!("{file} {index}"), reason.to_owned())
    };
    lines.map(parse).collect()
}

#[tokio::test]
async fn recordings_are_answered_as_azure_answered_them() {
    let mut skipped = listed();
    let recordings = record::all(&folder());
    let (total, mut replayed, mut rebuilt, mut wrong) = (recordings.len(), 0, 0, String::new());
    for recording in &recordings {
        let found = differences(recording, &replay(recording).await);
        match (skipped.remove(&recording.name()), found.is_empty()) {
            (None, true) => {
                replayed += 1;
                rebuilt += usize::from(recording.rebuilt);
            }
            (Some(_), false) => {}
            (Some(_), true) => writeln!(wrong, "{}: listed in SKIPPED, and can be replayed", recording.name()).unwrap(),
            (None, false) => writeln!(wrong, "{}: {}", recording.name(), found.join("; ")).unwrap(),
        }
    }
    for name in skipped.keys() {
        writeln!(wrong, "{name}: listed in SKIPPED, and does not exist").unwrap();
    }
    // Past the capture of the test harness.
    let mut out = std::io::stderr();
    let left = total - replayed;
    writeln!(out, "replayed {replayed}, skipped {left} ({rebuilt} replayed with a request body rebuilt)").unwrap();
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[tokio::test]
async fn examples_are_answered_as_documented() {
    let examples = example::all(&folder().join("examples"));
    for example in &examples {
        let found = compare::missing(example, &replay(example).await);
        assert!(found.is_empty(), "{}: {}", example.name(), found.join("; "));
    }
    writeln!(std::io::stderr(), "replayed {} examples of 2024-03-01", examples.len()).unwrap();
    assert_eq!(examples.len(), 5);
}

/// The comparison is worth something only if it fails when it should.
#[tokio::test]
async fn wrong_answers_are_caught() {
    let recordings = record::all(&folder());
    let named = |name: &str| recordings.iter().find(|recording| recording.name() == name).unwrap();
    let put: &Recording = named("nic-put-update-attached.jsonl 7");
    let right = replay(put).await;
    assert_eq!(differences(put, &right), Vec::<String>::new());
    let with = |change: &dyn Fn(&mut common::Answer)| {
        let mut answer = right.clone();
        change(&mut answer);
        differences(put, &answer)
    };
    let config = "/properties/ipConfigurations/0/properties";
    assert!(!with(&|answer| answer.status = 201).is_empty(), "status");
    assert!(!with(&|answer| drop(answer.headers.remove("azure-asyncoperation"))).is_empty(), "operation");
    assert!(!with(&|answer| drop(answer.headers.remove("retry-after"))).is_empty(), "Retry-After");
    assert!(!with(&|answer| drop(answer.headers.remove("content-type"))).is_empty(), "content type");
    assert!(!with(&|answer| answer.body["extra"] = 1.into()).is_empty(), "a field too many");
    assert!(!with(&|answer| answer.body["tags"] = serde_json::Value::Null).is_empty(), "another type");
    assert!(!with(&|answer| answer.body["etag"] = "W/\"x\"".into()).is_empty(), "a malformed etag");
    let state = format!("{config}/provisioningState");
    assert!(!with(&|answer| *answer.body.pointer_mut(&state).unwrap() = "Succeeded".into()).is_empty(), "a value");
    let pools = format!("{config}/loadBalancerBackendAddressPools");
    assert!(!with(&|answer| *answer.body.pointer_mut(&pools).unwrap() = serde_json::json!([])).is_empty(), "a list");

    let get = named("nic-get.jsonl 36");
    let mut answer = replay(get).await;
    assert_eq!(differences(get, &answer), Vec::<String>::new());
    answer.headers.insert("etag".to_owned(), "W/\"00000000-0000-4000-8000-000000000000\"".to_owned());
    assert!(!differences(get, &answer).is_empty(), "another etag");

    let poll = named("network-async-operation.jsonl 134");
    let other = named("network-async-operation.jsonl 135");
    assert!(!differences(poll, &replay(other).await).is_empty(), "an operation that ended too early");
}
