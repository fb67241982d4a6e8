//! What a pool's round came to, as its `status`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use sluice_core::status::{PoolReport, ZoneReport};
use sluice_core::text::shortened;

use crate::api::{Condition, OwnerCounts, PolicyStatus, Summary, ZoneStatus};
use crate::names;

/// Longest message of a condition, in bytes; the CRD allows 32768 characters, `kubectl` shows one line.
const LONGEST_MESSAGE: usize = 4000;

/// What to change in `status`, as a merge patch; none if everything is there as it should be.
///
/// `current` is `status` as it is; conditions of others in it stay where they are. `pruned` is what
/// [`crate::api::pruned_fields`] found: a field the API server drops would be missing every time and be written for
/// ever. `now` becomes the time of conditions that change.
pub fn status_patch(
    report: &PoolReport,
    policy: Option<&PolicyStatus>,
    current: &Value,
    pruned: &[String],
    now: Timestamp,
) -> Option<Value> {
    let owners = OwnerCounts {
        total: report.owners.into(),
        served: report.served.into(),
        held: report.held.into(),
        waiting: report.waiting.into(),
    };
    let zones: Vec<ZoneStatus> = report.zones.iter().map(zone).collect();
    let wanted = [
        ("conditions", json!(conditions(report, current, now))),
        ("observedGeneration", json!(report.generation)),
        ("owners", json!(owners)),
        ("zones", json!(zones)),
        ("policy", json!(policy)),
        ("summary", json!(summary(&report.zones))),
    ];
    let mut patch = Map::new();
    for (field, mut value) in wanted {
        let below = |path: &String| Some(path.strip_prefix("status.")?.strip_prefix(field)?.to_owned());
        let dropped: Vec<String> = pruned.iter().filter_map(below).collect();
        let is_pruned = dropped.iter().any(String::is_empty);
        for name in dropped.iter().filter_map(|path| path.strip_prefix('.')) {
            value.as_object_mut().and_then(|fields| fields.remove(name));
        }
        let is_there = *current.get(field).unwrap_or(&Value::Null) == value;
        if !is_pruned && !is_there {
            patch.insert(field.to_owned(), value);
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// What to change in `status` of a pool while nothing can be planned, for the reason `text`; none if it says so already.
/// Counts stay as they were last seen.
pub fn blocked_patch(text: &str, generation: i64, current: &Value, now: Timestamp) -> Option<Value> {
    let report = PoolReport {
        pool: "".into(),
        generation,
        owners: 0,
        served: 0,
        held: 0,
        waiting: 0,
        waits: Vec::new(),
        zones: Vec::new(),
        errors: vec![text.to_owned()],
        awaited: None,
        blocked: Some(text.to_owned()),
        stand_in: None,
        passed_over: Vec::new(),
        warnings: Vec::new(),
    };
    let wanted = json!(conditions(&report, current, now));
    (current.get("conditions") != Some(&wanted)).then(|| json!({"conditions": wanted}))
}

fn zone(zone: &ZoneReport) -> ZoneStatus {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    ZoneStatus {
        name: zone.name.clone(),
        range: zone.range.clone(),
        size: number(zone.size),
        used: number(zone.used),
        free: number(zone.size.saturating_sub(zone.used)),
        nodes: zone.nodes.into(),
        healthy_nodes: zone.healthy_nodes.into(),
    }
}

fn summary(zones: &[ZoneReport]) -> Summary {
    let used: u64 = zones.iter().map(|zone| zone.used).sum();
    // Zones of a pool with one range for all of them each report the whole range.
    let mut ranges: Vec<(&str, u64)> = zones.iter().map(|zone| (zone.range.as_str(), zone.size)).collect();
    ranges.sort_unstable();
    ranges.dedup();
    let size = ranges.iter().fold(0u64, |sum, (_, size)| sum.saturating_add(*size));
    let healthy = zones.iter().filter(|zone| zone.healthy_nodes > 0).count();
    Summary { used: format!("{used}/{size}"), zones: format!("{healthy}/{}", zones.len()) }
}

/// A condition before it has a time: type, status, reason, message.
struct Verdict {
    kind: &'static str,
    holds: bool,
    reason: &'static str,
    message: String,
}

/// Our conditions among those of others, in the order in which they stand.
fn conditions(report: &PoolReport, current: &Value, now: Timestamp) -> Vec<Value> {
    let mut list: Vec<Value> = current.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    for verdict in verdicts(report) {
        let position = list.iter().position(|entry| entry.get("type").is_some_and(|kind| kind == verdict.kind));
        let before = position.and_then(|position| list.get(position));
        let condition = json!(condition(verdict, report.generation, before, now));
        match position.and_then(|position| list.get_mut(position)) {
            Some(entry) => *entry = condition,
            None => list.push(condition),
        }
    }
    list
}

fn condition(verdict: Verdict, generation: i64, before: Option<&Value>, now: Timestamp) -> Condition {
    let status = if verdict.holds { "True" } else { "False" };
    let since = before.filter(|before| before.get("status").is_some_and(|old| old == status));
    let since = since.and_then(|before| before.get("lastTransitionTime")?.as_str());
    Condition {
        last_transition_time: since.map_or_else(|| seconds(now), str::to_owned),
        message: shortened(verdict.message, LONGEST_MESSAGE),
        observed_generation: Some(generation),
        reason: verdict.reason.to_owned(),
        status: status.to_owned(),
        kind: verdict.kind.to_owned(),
    }
}

/// RFC 3339 without fractions, as Kubernetes writes times.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn verdicts(report: &PoolReport) -> [Verdict; 4] {
    let errors = report.errors.join("; ");
    let failed = !report.errors.is_empty();
    let reason = if failed { names::REASON_ERROR } else { names::REASON_SUCCESS };
    let success = Verdict { kind: names::RECONCILE_SUCCESS, holds: !failed, reason, message: String::new() };
    let error = Verdict { kind: names::RECONCILE_ERROR, holds: failed, reason, message: errors.clone() };
    [success, error, ready(report, &errors), degraded(report, &errors)]
}

fn ready(report: &PoolReport, errors: &str) -> Verdict {
    let verdict = |holds, reason, message| Verdict { kind: names::READY, holds, reason, message };
    match &report.blocked {
        Some(text) => verdict(false, "Blocked", text.clone()),
        None if !errors.is_empty() => verdict(false, "Failed", errors.to_owned()),
        None if report.held > 0 => {
            let text = format!("{} of {} namespaces wait, see their annotation", report.held, report.owners);
            verdict(false, "Held", format!("{text} {}", names::HOLD_ANNOTATION))
        }
        None if report.awaited.is_some() => verdict(false, "Awaited", report.awaited.clone().unwrap_or_default()),
        None if report.waiting > 0 => {
            let (waiting, owners, waits) = (report.waiting, report.owners, report.waits.join("; "));
            verdict(false, "Waiting", format!("{waiting} of {owners} namespaces are not served: {waits}"))
        }
        None => verdict(true, "Served", format!("{} namespaces served", report.served)),
    }
}

fn degraded(report: &PoolReport, errors: &str) -> Verdict {
    let without_node: Vec<String> = report
        .zones
        .iter()
        .filter(|zone| zone.healthy_nodes == 0)
        .map(|zone| format!("zone {} ({}) has no healthy node, of {}", zone.name, zone.range, zone.nodes))
        .collect();
    let (holds, reason) = match () {
        () if !errors.is_empty() => (true, "Failed"),
        () if !without_node.is_empty() => (true, "ZoneWithoutNode"),
        () if report.stand_in.is_some() => (true, names::POLICY_STAND_IN),
        () if report.held > 0 => (true, "Held"),
        () if report.waiting > 0 && report.awaited.is_none() => (true, "Waiting"),
        () => (false, "AsExpected"),
    };
    let errors = report.errors.iter().cloned();
    let rest = report.stand_in.iter().chain(&report.awaited).chain(&report.waits).chain(&report.warnings).cloned();
    let message = errors.chain(without_node).chain(rest).collect::<Vec<_>>().join("; ");
    Verdict { kind: names::DEGRADED, holds, reason, message }
}

#[cfg(test)]
mod tests;
