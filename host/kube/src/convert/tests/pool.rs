//! `EgressIPAM`: all problems are found, and what is fine counts.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::object;
use crate::convert::pool_facts;
use crate::object::Object;

/// Shows the spec that was understood, then errors and warnings.
fn check(spec: &str, expected: &Expect) {
    let spec: serde_json::Value = serde_yaml_ng::from_str(spec).unwrap();
    let facts = pool_facts(&Object::new(serde_json::json!({"metadata": {"name": "east"}, "spec": spec})));
    let spec = &facts.spec;
    let mut shown = format!("label {:?}, failover {}\n", spec.topology_label, spec.zone_failover);
    for requirement in &spec.node_selector.requirements {
        writeln!(shown, "nodes {requirement:?}").unwrap();
    }
    for entry in &spec.entries {
        writeln!(shown, "entry {} in {:?} without {:?}", entry.cidr, entry.label_value, entry.reserved).unwrap();
    }
    if let Some(cidr) = spec.cidr {
        writeln!(shown, "range {cidr} without {:?}", spec.reserved).unwrap();
    }
    facts.errors.iter().for_each(|error| writeln!(shown, "error {error}").unwrap());
    facts.warnings.iter().for_each(|warning| writeln!(shown, "warning {warning}").unwrap());
    expected.assert_eq(&shown);
}

#[test]
fn a_good_spec() {
    check(
        "
  topologyLabel: zone
  nodeSelector:
    matchLabels: {role: worker}
    matchExpressions:
    - {key: size, operator: In, values: [big, huge]}
    - {key: old, operator: NotIn, values: ['yes']}
    - {key: gpu, operator: DoesNotExist}
    - {key: rack, operator: Exists}
  cidrAssignments:
  - {CIDR: 10.0.1.0/24, labelValue: a, reservedIPs: [10.0.1.7, 10.0.1.5]}
  - {CIDR: 10.0.2.0/24, labelValue: ''}
",
        &expect![[r#"
            label "zone", failover false
            nodes In("role", {"worker"})
            nodes In("size", {"big", "huge"})
            nodes NotIn("old", {"yes"})
            nodes DoesNotExist("gpu")
            nodes Exists("rack")
            entry 10.0.1.0/24 in "a" without {10.0.1.5, 10.0.1.7}
            entry 10.0.2.0/24 in "" without {}
        "#]],
    );
}

#[test]
fn host_bits_are_masked() {
    check(
        "{topologyLabel: zone, cidrAssignments: [{CIDR: 10.20.0.9/24, labelValue: a}]}",
        &expect![[r#"
        label "zone", failover false
        entry 10.20.0.0/24 in "a" without {}
    "#]],
    );
}

#[test]
fn a_pool_wide_range() {
    check(
        "{topologyLabel: zone, cidr: 10.20.3.1/22, reservedIPs: [10.20.0.5], zoneFailover: Any}",
        &expect![[r#"
        label "zone", failover true
        range 10.20.0.0/22 without {10.20.0.5}
    "#]],
    );
    check(
        "{topologyLabel: zone, cidrAssignments: [], cidr: 10.20.0.0/22, zoneFailover: Same}",
        &expect![[r#"
        label "zone", failover false
        range 10.20.0.0/22 without {}
    "#]],
    );
}

#[test]
fn range_and_entries_exclude_each_other() {
    check(
        "{topologyLabel: zone, cidr: 10.20.0.0/22, cidrAssignments: [{CIDR: 10.1.0.0/24, labelValue: a}]}",
        &expect![[r#"
            label "zone", failover false
            entry 10.1.0.0/24 in "a" without {}
            error spec.cidr: excludes cidrAssignments; the entries count until one of them is removed
        "#]],
    );
}

#[test]
fn broken_entries_do_not_hide_good_ones() {
    check(
        "
  topologyLabel: zone
  cidrAssignments:
  - {CIDR: 10.0.1.0, labelValue: a}
  - {CIDR: 10.0.2.0/33, labelValue: a}
  - {CIDR: 2001:db8::/64, labelValue: a}
  - {CIDR: 7, labelValue: a}
  - {labelValue: a}
  - {CIDR: 10.0.3.0/24}
  - {CIDR: 10.0.4.0/24, labelValue: 4}
  - 10.0.5.0/24
  - {CIDR: 10.0.6.0/24, labelValue: f}
  - {CIDR: 10.0.6.9/24, labelValue: g}
",
        &expect![[r#"
            label "zone", failover false
            entry 10.0.6.0/24 in "f" without {}
            error spec.cidrAssignments[0].CIDR: "10.0.1.0" is not a range such as 10.20.0.0/24
            error spec.cidrAssignments[1].CIDR: "10.0.2.0/33" is not a range such as 10.20.0.0/24
            error spec.cidrAssignments[2].CIDR: "2001:db8::/64" is IPv6, which OpenShift SDN does not carry
            error spec.cidrAssignments[3].CIDR: expected text, found 7
            error spec.cidrAssignments[4].CIDR: missing
            error spec.cidrAssignments[5].labelValue: missing
            error spec.cidrAssignments[6].labelValue: expected text, found 4
            error spec.cidrAssignments[7]: expected a map, found "10.0.5.0/24"
            error spec.cidrAssignments[9].CIDR: 10.0.6.0/24 is there already, in an earlier entry
        "#]],
    );
}

#[test]
fn reserved_addresses() {
    check(
        "
  topologyLabel: zone
  cidrAssignments:
  - {CIDR: 192.169.0.0/24, labelValue: a, reservedIPs: [192.159.0.5, ' 192.169.0.6', 192.169.0.300, 5, 192.169.0.9, 192.169.0.9]}
  - {CIDR: 192.170.0.0/24, labelValue: b, reservedIPs: 192.170.0.1}
  reservedIPs: [192.169.0.10]
",
        &expect![[r#"
            label "zone", failover false
            entry 192.169.0.0/24 in "a" without {192.159.0.5, 192.169.0.9}
            entry 192.170.0.0/24 in "b" without {}
            error spec.cidrAssignments[0].reservedIPs[1]: " 192.169.0.6" is not an address
            error spec.cidrAssignments[0].reservedIPs[2]: "192.169.0.300" is not an address
            error spec.cidrAssignments[0].reservedIPs[3]: 5 is not an address
            error spec.cidrAssignments[1].reservedIPs: expected a list, found "192.170.0.1"
            warning spec.cidrAssignments[0].reservedIPs[0]: 192.159.0.5 is outside 192.169.0.0/24 and reserves nothing
            warning spec.reservedIPs: belongs to spec.cidr, which is not set
        "#]],
    );
}

#[test]
fn labels_and_failover() {
    check(
        "{topologyLabel: '', cidrAssignments: [{CIDR: 10.0.0.0/24, labelValue: a}]}",
        &expect![[r#"
        label "", failover false
        entry 10.0.0.0/24 in "a" without {}
        error spec.topologyLabel: empty: no node can be in a zone
    "#]],
    );
    check(
        "{topologyLabel: 5, zoneFailover: any, cidr: 10.0.0.0/24}",
        &expect![[r#"
        label "", failover false
        range 10.0.0.0/24 without {}
        error spec.topologyLabel: expected text, found 5
        error spec.zoneFailover: "any" is neither Same nor Any
    "#]],
    );
    check(
        "{cidr: 10.0.0.0/24}",
        &expect![[r#"
        label "", failover false
        range 10.0.0.0/24 without {}
        error spec.topologyLabel: empty: no node can be in a zone
    "#]],
    );
}

#[test]
fn an_unreadable_selector_selects_nothing() {
    check(
        "
  topologyLabel: zone
  cidr: 10.0.0.0/24
  nodeSelector:
    matchLabels: {role: 5}
    matchExpressions:
    - {key: size, operator: in, values: [big]}
    - {key: size, operator: In}
    - {key: size, operator: Exists, values: [big]}
    - {operator: Exists}
    - {key: size, operator: NotIn, values: [null, 5, big]}
    - size
",
        &expect![[r#"
            label "zone", failover false
            nodes In("role", {})
            nodes In("size", {})
            nodes In("size", {})
            nodes In("size", {})
            nodes In("", {})
            nodes In("size", {})
            nodes In("", {})
            range 10.0.0.0/24 without {}
            error spec.nodeSelector.matchLabels[role]: expected text, found 5
            error spec.nodeSelector.matchExpressions[0].operator: unknown operator "in"; known are In, NotIn, Exists and DoesNotExist
            error spec.nodeSelector.matchExpressions[1].values: In and NotIn need values
            error spec.nodeSelector.matchExpressions[2].values: Exists and DoesNotExist take no values
            error spec.nodeSelector.matchExpressions[3].key: missing
            error spec.nodeSelector.matchExpressions[4].values[0]: expected text, found null
            error spec.nodeSelector.matchExpressions[4].values[1]: expected text, found 5
            error spec.nodeSelector.matchExpressions[5].key: missing
            error spec.nodeSelector.matchExpressions[5].operator: unknown operator null; known are In, NotIn, Exists and DoesNotExist
        "#]],
    );
    check(
        "{topologyLabel: zone, cidr: 10.0.0.0/24, nodeSelector: worker}",
        &expect![[r#"
        label "zone", failover false
        nodes In("", {})
        range 10.0.0.0/24 without {}
        error spec.nodeSelector: expected a label selector, found "worker"
    "#]],
    );
    check(
        "{topologyLabel: zone, cidr: 10.0.0.0/24, nodeSelector: {matchLabels: [a], matchExpressions: {}}}",
        &expect![[r#"
        label "zone", failover false
        nodes In("", {})
        nodes In("", {})
        range 10.0.0.0/24 without {}
        error spec.nodeSelector.matchLabels: expected a map, found ["a"]
        error spec.nodeSelector.matchExpressions: expected a list, found {}
    "#]],
    );
}

#[test]
fn no_spec_at_all() {
    check(
        "null",
        &expect![[r#"
        label "", failover false
        error spec: missing
    "#]],
    );
    check(
        "[]",
        &expect![[r#"
        label "", failover false
        error spec: expected a map, found []
    "#]],
    );
    check(
        "{topologyLabel: zone}",
        &expect![[r#"
            label "zone", failover false
            error spec.cidrAssignments: missing or empty, and so is spec.cidr: the pool has no addresses
        "#]],
    );
    check(
        "{topologyLabel: zone, cidrAssignments: {}}",
        &expect![[r#"
            label "zone", failover false
            error spec.cidrAssignments: expected a list, found {}
        "#]],
    );
}

#[test]
fn metadata() {
    let facts = pool_facts(&object(
        "
metadata:
  name: east
  resourceVersion: '17'
  generation: 3
  creationTimestamp: 2024-05-06T07:08:09Z
  deletionTimestamp: 2024-05-07T00:00:00Z
  finalizers: [EgressIPAM_controller, 5, other]
spec: {topologyLabel: zone, cidr: 10.0.0.0/24}
",
    ));
    expect![[r#"
        PoolFacts {
            resource_version: "17",
            generation: 3,
            created: 1714979289000,
            deleting: true,
            guarded: true,
            other_guards: [
                "other",
            ],
            spec: PoolSpec {
                topology_label: "zone",
                node_selector: NodeSelector {
                    requirements: [],
                },
                entries: [],
                cidr: Some(
                    10.0.0.0/24,
                ),
                reserved: {},
                zone_failover: false,
                standby_nodes: 1,
            },
            errors: [],
            warnings: [],
            no_load_balancer: false,
        }
    "#]]
    .assert_debug_eq(&facts);
}

#[test]
fn a_selector_of_unknown_fields_selects_nothing_and_is_an_error() {
    check(
        "
  topologyLabel: zone
  nodeSelector: {egressGateway: 'true', matchlabels: {a: b}}
  cidrAssignments:
  - {CIDR: 10.0.1.0/24, labelValue: a}
",
        &expect![[r#"
            label "zone", failover false
            nodes In("", {})
            entry 10.0.1.0/24 in "a" without {}
            error spec.nodeSelector.egressGateway: unknown field; known are matchLabels, matchExpressions
            error spec.nodeSelector.matchlabels: unknown field; did you mean matchLabels?
        "#]],
    );
    check(
        "
  topologyLabel: zone
  nodeSelector:
    matchExpressions:
    - {key: zone, operator: Exists, value: [a]}
  cidrAssignments:
  - {CIDR: 10.0.1.0/24, labelValue: a}
",
        &expect![[r#"
            label "zone", failover false
            nodes In("zone", {})
            entry 10.0.1.0/24 in "a" without {}
            error spec.nodeSelector.matchExpressions[0].value: unknown field; known are key, operator, values
        "#]],
    );
}

#[test]
fn other_unknown_fields_are_warnings() {
    check(
        "
  topologyLabel: zone
  zonefailover: Any
  owner: network team
  cidrAssignments:
  - {CIDR: 10.0.1.0/24, labelValue: a, reservedIps: [10.0.1.5]}
",
        &expect![[r#"
            label "zone", failover false
            entry 10.0.1.0/24 in "a" without {}
            warning spec.owner: unknown field; known are topologyLabel, nodeSelector, cidrAssignments, cidr, reservedIPs, zoneFailover, standbyNodesPerZone
            warning spec.zonefailover: unknown field; did you mean zoneFailover?
            warning spec.cidrAssignments[0].reservedIps: unknown field; did you mean reservedIPs?
        "#]],
    );
}
