//! Status as people and dashboards of the old operator read it, and no write without a difference.

use expect_test::{Expect, expect};
use jiff::Timestamp;
use serde_json::{Value, json};

use sluice_core::status::{PoolReport, ZoneReport};

use super::{blocked_patch, status_patch};
use crate::api::{EgressIPAMStatus, PolicyStatus};

const NOW: i64 = 1_714_979_289;

fn zone(name: &str, range: &str, used: u64, healthy_nodes: u32) -> ZoneReport {
    ZoneReport { name: name.to_owned(), range: range.to_owned(), size: 253, used, nodes: 2, healthy_nodes }
}

fn good() -> PoolReport {
    PoolReport {
        pool: "east".into(),
        generation: 3,
        owners: 12,
        served: 12,
        held: 0,
        waiting: 0,
        waits: Vec::new(),
        zones: vec![zone("a", "10.0.1.0/24", 12, 2), zone("b", "10.0.2.0/24", 11, 1)],
        errors: Vec::new(),
        awaited: None,
        blocked: None,
        stand_in: None,
        passed_over: Vec::new(),
        warnings: Vec::new(),
    }
}

fn policy() -> PolicyStatus {
    PolicyStatus { name: "zone-spread".to_owned(), version: "0.1.0".to_owned(), digest: "sha256:00".to_owned() }
}

fn patch(report: &PoolReport, current: &Value, seconds: i64) -> Option<Value> {
    status_patch(report, Some(&policy()), current, &[], Timestamp::from_second(NOW + seconds).unwrap())
}

/// Shows conditions, one a line.
fn check_conditions(report: &PoolReport, expected: &Expect) {
    let patch = patch(report, &Value::Null, 0).unwrap();
    // What is written is what the CRD describes.
    let status: EgressIPAMStatus = serde_json::from_value(patch).unwrap();
    let line = |condition: &crate::api::Condition| {
        format!("{} {} {}: {}\n", condition.kind, condition.status, condition.reason, condition.message)
    };
    expected.assert_eq(&status.conditions.iter().map(line).collect::<String>());
}

#[test]
fn the_whole_status() {
    let patch = patch(&good(), &Value::Null, 0).unwrap();
    expect![[r#"
        conditions:
        - lastTransitionTime: 2024-05-06T07:08:09Z
          message: ''
          observedGeneration: 3
          reason: LastReconcileCycleSucceded
          status: 'True'
          type: ReconcileSuccess
        - lastTransitionTime: 2024-05-06T07:08:09Z
          message: ''
          observedGeneration: 3
          reason: LastReconcileCycleSucceded
          status: 'False'
          type: ReconcileError
        - lastTransitionTime: 2024-05-06T07:08:09Z
          message: 12 namespaces served
          observedGeneration: 3
          reason: Served
          status: 'True'
          type: Ready
        - lastTransitionTime: 2024-05-06T07:08:09Z
          message: ''
          observedGeneration: 3
          reason: AsExpected
          status: 'False'
          type: Degraded
        observedGeneration: 3
        owners:
          held: 0
          served: 12
          total: 12
          waiting: 0
        policy:
          digest: sha256:00
          name: zone-spread
          version: 0.1.0
        summary:
          used: 23/506
          zones: 2/2
        zones:
        - free: 241
          healthyNodes: 2
          name: a
          nodes: 2
          range: 10.0.1.0/24
          size: 253
          used: 12
        - free: 242
          healthyNodes: 1
          name: b
          nodes: 2
          range: 10.0.2.0/24
          size: 253
          used: 11
    "#]]
    .assert_eq(&serde_yaml_ng::to_string(&patch).unwrap());
}

#[test]
fn conditions_of_a_good_round() {
    check_conditions(
        &good(),
        &expect![[r#"
        ReconcileSuccess True LastReconcileCycleSucceded: 
        ReconcileError False LastReconcileCycleSucceded: 
        Ready True Served: 12 namespaces served
        Degraded False AsExpected: 
    "#]],
    );
    let warnings = vec!["overlaps pool west".to_owned()];
    check_conditions(
        &PoolReport { warnings, ..good() },
        &expect![[r#"
        ReconcileSuccess True LastReconcileCycleSucceded: 
        ReconcileError False LastReconcileCycleSucceded: 
        Ready True Served: 12 namespaces served
        Degraded False AsExpected: overlaps pool west
    "#]],
    );
}

#[test]
fn conditions_of_other_rounds() {
    let errors = vec!["spec.cidr: bad".to_owned(), "the policy failed: trap".to_owned()];
    check_conditions(
        &PoolReport { errors, ..good() },
        &expect![[r#"
        ReconcileSuccess False LastReconcileCycleFailed: 
        ReconcileError True LastReconcileCycleFailed: spec.cidr: bad; the policy failed: trap
        Ready False Failed: spec.cidr: bad; the policy failed: trap
        Degraded True Failed: spec.cidr: bad; the policy failed: trap
    "#]],
    );
    let warnings = vec!["shop is held: exhausted: no address is left".to_owned()];
    check_conditions(
        &PoolReport { served: 11, held: 1, warnings, ..good() },
        &expect![[r#"
        ReconcileSuccess True LastReconcileCycleSucceded: 
        ReconcileError False LastReconcileCycleSucceded: 
        Ready False Held: 1 of 12 namespaces wait, see their annotation sluice.dev/hold
        Degraded True Held: shop is held: exhausted: no address is left
    "#]],
    );
    check_conditions(
        &PoolReport { blocked: Some("platform Azure needs a provider".to_owned()), ..good() },
        &expect![[r#"
        ReconcileSuccess True LastReconcileCycleSucceded: 
        ReconcileError False LastReconcileCycleSucceded: 
        Ready False Blocked: platform Azure needs a provider
        Degraded False AsExpected: 
    "#]],
    );
}

#[test]
fn conditions_of_further_rounds() {
    let awaited = Some("1 addresses wait for the cloud: 10.0.1.2".to_owned());
    check_conditions(
        &PoolReport { served: 11, awaited: awaited.clone(), ..good() },
        &expect![[r#"
        ReconcileSuccess True LastReconcileCycleSucceded: 
        ReconcileError False LastReconcileCycleSucceded: 
        Ready False Awaited: 1 addresses wait for the cloud: 10.0.1.2
        Degraded False AsExpected: 1 addresses wait for the cloud: 10.0.1.2
    "#]],
    );
    check_conditions(
        &PoolReport { served: 10, held: 1, awaited, ..good() },
        &expect![[r#"
        ReconcileSuccess True LastReconcileCycleSucceded: 
        ReconcileError False LastReconcileCycleSucceded: 
        Ready False Held: 1 of 12 namespaces wait, see their annotation sluice.dev/hold
        Degraded True Held: 1 addresses wait for the cloud: 10.0.1.2
    "#]],
    );
    let waits = vec!["shop: 10.0.1.2 is on node n1, which is not ready".to_owned()];
    check_conditions(
        &PoolReport { served: 9, waiting: 3, waits: waits.clone(), ..good() },
        &expect![[r#"
        ReconcileSuccess True LastReconcileCycleSucceded: 
        ReconcileError False LastReconcileCycleSucceded: 
        Ready False Waiting: 3 of 12 namespaces are not served: shop: 10.0.1.2 is on node n1, which is not ready
        Degraded True Waiting: shop: 10.0.1.2 is on node n1, which is not ready
    "#]],
    );
    check_conditions(
        &PoolReport { served: 8, held: 1, waiting: 3, waits, ..good() },
        &expect![[r#"
        ReconcileSuccess True LastReconcileCycleSucceded: 
        ReconcileError False LastReconcileCycleSucceded: 
        Ready False Held: 1 of 12 namespaces wait, see their annotation sluice.dev/hold
        Degraded True Held: shop: 10.0.1.2 is on node n1, which is not ready
    "#]],
    );
    let zones = vec![zone("a", "10.0.1.0/24", 12, 0), zone("b", "10.0.2.0/24", 12, 1)];
    check_conditions(
        &PoolReport { zones, ..good() },
        &expect![[r#"
        ReconcileSuccess True LastReconcileCycleSucceded: 
        ReconcileError False LastReconcileCycleSucceded: 
        Ready True Served: 12 namespaces served
        Degraded True ZoneWithoutNode: zone a (10.0.1.0/24) has no healthy node, of 2
    "#]],
    );
}

/// What a merge patch makes of a status.
#[test]
fn a_stand_in_degrades_a_pool_that_is_served() {
    let report = PoolReport { stand_in: Some("old 1, the last good policy, plans: new 2 failed".to_owned()), ..good() };
    check_conditions(
        &report,
        &expect![[r#"
            ReconcileSuccess True LastReconcileCycleSucceded: 
            ReconcileError False LastReconcileCycleSucceded: 
            Ready True Served: 12 namespaces served
            Degraded True PolicyStandIn: old 1, the last good policy, plans: new 2 failed
        "#]],
    );
}

fn merged(mut current: Value, patch: &Value) -> Value {
    if !current.is_object() {
        current = json!({});
    }
    for (field, value) in patch.as_object().unwrap() {
        current[field] = value.clone();
    }
    current
}

#[test]
fn nothing_is_written_twice() {
    let current = merged(Value::Null, &patch(&good(), &Value::Null, 0).unwrap());
    assert_eq!(patch(&good(), &current, 3600), None);
}

#[test]
fn only_what_differs_is_written_and_times_stay() {
    let current = merged(Value::Null, &patch(&good(), &Value::Null, 0).unwrap());
    let mut report = good();
    (report.served, report.held) = (11, 1);
    let patch = patch(&report, &current, 3600).unwrap();
    assert_eq!(patch.as_object().unwrap().keys().collect::<Vec<_>>(), ["conditions", "owners"]);
    let time = |kind: &str| {
        let conditions = patch["conditions"].as_array().unwrap();
        conditions.iter().find(|entry| entry["type"] == kind).unwrap()["lastTransitionTime"].clone()
    };
    assert_eq!(time("ReconcileSuccess"), "2024-05-06T07:08:09Z");
    assert_eq!(time("Ready"), "2024-05-06T08:08:09Z");
}

#[test]
fn conditions_of_others_stay_where_they_are() {
    let foreign = json!({"type": "Audited", "status": "True", "odd": [1]});
    let old = json!({"type": "ReconcileError", "status": "True", "reason": "LastReconcileCycleFailed",
                     "message": "boom", "lastTransitionTime": "2020-01-01T00:00:00Z"});
    let patch = patch(&good(), &json!({"conditions": [foreign, old, 5]}), 0).unwrap();
    assert_eq!(patch["conditions"][0], foreign);
    // The old operator never took an error back.
    assert_eq!(patch["conditions"][1]["status"], "False");
    assert_eq!(patch["conditions"][2], 5);
    let kinds: Vec<&Value> = patch["conditions"].as_array().unwrap().iter().map(|entry| &entry["type"]).collect();
    assert_eq!(
        kinds,
        ["Audited", "ReconcileError", "", "ReconcileSuccess", "Ready", "Degraded"]
            .map(|kind| { if kind.is_empty() { Value::Null } else { json!(kind) } })
            .iter()
            .collect::<Vec<_>>()
    );
}

#[test]
fn pruned_fields_are_not_written_for_ever() {
    let pruned =
        ["spec.cidr", "status.observedGeneration", "status.owners", "status.policy", "status.summary", "status.zones"];
    let pruned = pruned.map(str::to_owned);
    let now = Timestamp::from_second(NOW).unwrap();
    let first = status_patch(&good(), Some(&policy()), &Value::Null, &pruned, now).unwrap();
    assert_eq!(first.as_object().unwrap().keys().collect::<Vec<_>>(), ["conditions"]);
    assert_eq!(status_patch(&good(), Some(&policy()), &first, &pruned, now), None);
    // A CRD that is only a little older.
    let pruned = ["status.owners.waiting".to_owned()];
    let patch = status_patch(&good(), Some(&policy()), &Value::Null, &pruned, now).unwrap();
    assert_eq!(patch["owners"], json!({"total": 12, "served": 12, "held": 0}));
    assert_eq!(status_patch(&good(), Some(&policy()), &patch, &pruned, now), None);
}

#[test]
fn zones_that_share_a_range_count_it_once() {
    let zones = vec![zone("a", "10.0.0.0/23", 5, 1), zone("b", "10.0.0.0/23", 7, 0)];
    let patch = patch(&PoolReport { zones, ..good() }, &Value::Null, 0).unwrap();
    assert_eq!(patch["summary"], json!({"used": "12/253", "zones": "1/2"}));
}

#[test]
fn messages_have_an_end() {
    let errors = (0..10_000).map(|nth| format!("spec.cidrAssignments[{nth}].CIDR: \u{e4}")).collect();
    let patch = patch(&PoolReport { errors, ..good() }, &Value::Null, 0).unwrap();
    let message = patch["conditions"][1]["message"].as_str().unwrap();
    assert!(message.len() < 4100 && message.ends_with("..."), "{}", message.len());
}

#[test]
fn a_pool_that_cannot_be_planned_says_why_and_keeps_its_counts() {
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let current = json!({"owners": {"total": 3}, "conditions": [{"type": "Others", "status": "True"}]});
    let patch = blocked_patch("waiting for CRD hostsubnets", 7, &current, now).unwrap();
    assert_eq!(patch.as_object().unwrap().keys().collect::<Vec<_>>(), ["conditions"]);
    let told: Vec<String> = patch["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| format!("{} {} {}", entry["type"], entry["status"], entry["message"]))
        .collect();
    assert_eq!(
        told,
        [
            r#""Others" "True" null"#,
            r#""ReconcileSuccess" "False" """#,
            r#""ReconcileError" "True" "waiting for CRD hostsubnets""#,
            r#""Ready" "False" "waiting for CRD hostsubnets""#,
            r#""Degraded" "True" "waiting for CRD hostsubnets""#,
        ]
    );
    assert_eq!(blocked_patch("waiting for CRD hostsubnets", 7, &patch, now), None);
}
