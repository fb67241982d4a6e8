//! What differs between an answer and the recorded one.

use serde_json::Value;

use crate::common::Answer;
use crate::record::Recording;

/// The sentence that ARM adds to "not found" since about 2020.
const HELP: &str = " For more details please go to https://aka.ms/ARMResourceNotFoundFix";

/// All differences that matter; none if the simulator answers as Azure did.
pub(crate) fn differences(recording: &Recording, answer: &Answer) -> Vec<String> {
    let mut found = Vec::new();
    if recording.status != answer.status {
        found.push(format!("status {} instead of {}: {}", answer.status, recording.status, answer.body));
        return found;
    }
    headers(recording, answer, &mut found);
    values(&recording.body, &answer.body, "", recording.status == 201, &mut found);
    if recording.method != "GET"
        && recording.body.get("etag").is_some()
        && recording.body["etag"] == answer.body["etag"]
    {
        found.push("the etag is the recorded one".to_owned());
    }
    found
}

/// What an answer lacks of a documented example: examples are abbreviated.
pub(crate) fn missing(example: &Recording, answer: &Answer) -> Vec<String> {
    let mut found = Vec::new();
    values(&example.body, &answer.body, "", example.status == 201, &mut found);
    found.retain(|difference| !difference.ends_with("is too many"));
    if example.status != answer.status {
        found.push(format!("status {} instead of {}", answer.status, example.status));
    }
    found
}

fn headers(recording: &Recording, answer: &Answer, found: &mut Vec<String>) {
    let mut same = |name: &str, presence: bool| {
        let (wanted, got) = (recording.header(name), answer.headers.get(name).map(String::as_str));
        let fits = if presence { wanted.is_some() == got.is_some() } else { wanted == got };
        if !fits {
            found.push(format!("header {name}: {got:?} instead of {wanted:?}"));
        }
    };
    same("azure-asyncoperation", true);
    same("location", true);
    same("x-ms-failure-cause", false);
    if !recording.body.is_null() {
        same("content-type", false);
    }
    if recording.method == "GET" {
        same("etag", false);
    }
    if recording.keeps_retry_after() {
        same("retry-after", false);
    }
    // Recorders lose headers; of what they kept, this depends on neither the time nor the region.
    let kept = ["reads", "writes"].map(|kind| format!("x-ms-ratelimit-remaining-subscription-{kind}"));
    for name in kept.iter().filter(|name| recording.method != "DELETE" && recording.headers.contains_key(*name)) {
        same(name, true);
    }
}

/// Compares paths, types and values; `new` is whether what a new NIC is given at random is in it.
fn values(wanted: &Value, got: &Value, path: &str, new: bool, found: &mut Vec<String>) {
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => {
            for (name, wanted) in wanted {
                match got.get(name) {
                    Some(got) => values(wanted, got, &format!("{path}/{name}"), new, found),
                    None => found.push(format!("{path}/{name} is missing")),
                }
            }
            let extra = got.keys().filter(|name| !wanted.contains_key(*name));
            found.extend(extra.map(|name| format!("{path}/{name} is too many")));
        }
        (Value::Array(wanted), Value::Array(got)) => {
            if wanted.len() != got.len() {
                found.push(format!("{path} has {} items instead of {}", got.len(), wanted.len()));
            }
            for (at, (wanted, got)) in wanted.iter().zip(got).enumerate() {
                values(wanted, got, &format!("{path}/{at}"), new, found);
            }
        }
        _ if like(wanted, got, path, new) => {}
        _ => found.push(format!("{path} is {got} instead of {wanted}")),
    }
}

fn like(wanted: &Value, got: &Value, path: &str, new: bool) -> bool {
    let (Some(wanted), Some(got)) = (wanted.as_str(), got.as_str()) else { return wanted == got };
    let guid = |text: &str| text.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    match path.rsplit('/').next().unwrap_or_default() {
        "etag" => wanted == got || got.strip_prefix("W/\"").and_then(|rest| rest.strip_suffix('"')).is_some_and(guid),
        "resourceGuid" if new => guid(got),
        "internalDomainNameSuffix" if new => got.ends_with(".internal.cloudapp.net"),
        "message" => wanted.trim_end_matches(HELP) == got.trim_end_matches(HELP),
        _ => wanted == got,
    }
}
