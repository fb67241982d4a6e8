//! `Node`, `Namespace`, `Infrastructure`, and the lock.

use std::fmt::Write as _;

use expect_test::expect;

use sluice_core::snapshot::Capacity;

use super::{check, object};
use crate::convert::{FieldNotes, lock_record, namespace_facts, node_facts, platform};
use crate::names;

#[test]
fn node() {
    check(
        "
metadata: {name: n1, labels: {zone: a}}
spec: {unschedulable: true}
status:
  addresses:
  - {type: Hostname, address: n1}
  - {type: InternalIP, address: 10.1.0.4}
  - {type: ExternalIP, address: 192.0.2.4}
  - {type: InternalIP, address: 10.1.0.4}
  - {type: InternalDNS, address: n1.example}
  conditions:
  - {type: MemoryPressure, status: 'False'}
  - {type: Ready, status: 'True', lastHeartbeatTime: now}
",
        node_facts,
        &expect![[r#"
            NodeFacts {
                labels: {
                    "zone": "a",
                },
                ready: true,
                unschedulable: true,
                addresses: [
                    10.1.0.4,
                    192.0.2.4,
                ],
                provider_id: None,
                machine: None,
                capacity: Capacity {
                    total: None,
                    ipv4: None,
                    ipv6: None,
                },
            }
        "#]],
    );
}

#[test]
fn node_that_says_nothing() {
    check(
        "{metadata: {name: n1}}",
        node_facts,
        &expect![[r#"
            NodeFacts {
                labels: {},
                ready: false,
                unschedulable: false,
                addresses: [],
                provider_id: None,
                machine: None,
                capacity: Capacity {
                    total: None,
                    ipv4: None,
                    ipv6: None,
                },
            }
        "#]],
    );
}

#[test]
fn what_the_cloud_network_config_controller_says_of_a_node() {
    let capacity = |json: &str| {
        let annotations = format!("{{{}: '{json}'}}", names::CAPACITY_ANNOTATION);
        let mut notes = FieldNotes::new();
        let object = object(&format!("{{metadata: {{name: n1, annotations: {annotations}}}}}"));
        (node_facts(&object, &mut notes).capacity, notes.len())
    };
    let limited = |total, ipv4, ipv6| Capacity { total, ipv4, ipv6 };
    assert_eq!(capacity(r#"[{"interface":"nic","capacity":{"ip":255}}]"#), (limited(Some(255), None, None), 0));
    let by_family = r#"[{"capacity":{"ipv4":14,"ipv6":0}},{"capacity":{"ip":1}}]"#;
    assert_eq!(capacity(by_family), (limited(None, Some(14), Some(0)), 0));
    assert_eq!(capacity("[]"), (Capacity::default(), 1));
    assert_eq!(capacity("nonsense"), (Capacity::default(), 1));
}

#[test]
fn node_that_makes_no_sense() {
    check(
        "
metadata: {name: n1, labels: {zone: 5, role: worker}}
spec: {unschedulable: 'yes'}
status:
  addresses: [5, {type: InternalIP, address: here}, {type: InternalIP, address: 10.1.0.5}, {address: 10.1.0.6}]
  conditions: {Ready: 'True'}
",
        node_facts,
        &expect![[r#"
            NodeFacts {
                labels: {
                    "role": "worker",
                },
                ready: false,
                unschedulable: false,
                addresses: [
                    10.1.0.5,
                    10.1.0.6,
                ],
                provider_id: None,
                machine: None,
                capacity: Capacity {
                    total: None,
                    ipv4: None,
                    ipv6: None,
                },
            }
            metadata.labels[zone]: expected text, found 5
            status.conditions: expected a list, found {"Ready":"True"}
            status.addresses[1].address: "here" is not an address
            spec.unschedulable: expected true or false, found "yes"
        "#]],
    );
    check(
        "{metadata: {name: n1}, status: {conditions: [5, {type: Ready, status: true}]}}",
        node_facts,
        &expect![[r#"
            NodeFacts {
                labels: {},
                ready: false,
                unschedulable: false,
                addresses: [],
                provider_id: None,
                machine: None,
                capacity: Capacity {
                    total: None,
                    ipv4: None,
                    ipv6: None,
                },
            }
        "#]],
    );
}

#[test]
fn namespace() {
    check(
        "
metadata:
  name: shop
  resourceVersion: '9'
  creationTimestamp: 2024-05-06T07:08:09Z
  labels: {team: red}
  annotations:
    egressip-ipam-operator.redhat-cop.io/egressipam: east
    egressip-ipam-operator.redhat-cop.io/egressips: '10.20.0.9, 10.20.1.9'
    sluice.dev/hold: 'exhausted: no address is left'
",
        namespace_facts,
        &expect![[r#"
            NamespaceFacts {
                resource_version: "9",
                created: 1714979289000,
                terminating: false,
                labels: {
                    "team": "red",
                },
                pool: Some(
                    PoolName(
                        "east",
                    ),
                ),
                egress_ips: Some(
                    "10.20.0.9, 10.20.1.9",
                ),
                hold: Some(
                    "exhausted: no address is left",
                ),
            }
        "#]],
    );
}

#[test]
fn namespace_that_did_not_opt_in() {
    check(
        "{metadata: {name: shop, annotations: {egressip-ipam-operator.redhat-cop.io/egressipam: '', egressip-ipam-operator.redhat-cop.io/egressips: ''}}}",
        namespace_facts,
        &expect![[r#"
            NamespaceFacts {
                resource_version: "",
                created: 0,
                terminating: false,
                labels: {},
                pool: None,
                egress_ips: Some(
                    "",
                ),
                hold: None,
            }
        "#]],
    );
    check(
        "{metadata: {name: shop, creationTimestamp: long ago, annotations: {egressip-ipam-operator.redhat-cop.io/egressipam: 5}}}",
        namespace_facts,
        &expect![[r#"
            NamespaceFacts {
                resource_version: "",
                created: 0,
                terminating: false,
                labels: {},
                pool: None,
                egress_ips: None,
                hold: None,
            }
            metadata.annotations[egressip-ipam-operator.redhat-cop.io/egressipam]: expected text, found 5
        "#]],
    );
}

#[test]
fn namespace_that_is_going_away() {
    let is_terminating = |yaml| namespace_facts(&object(yaml), &mut FieldNotes::new()).terminating;
    assert!(is_terminating("{metadata: {name: shop, deletionTimestamp: 2024-05-06T07:08:09Z}}"));
    assert!(is_terminating("{metadata: {name: shop}, status: {phase: Terminating}}"));
    assert!(!is_terminating("{metadata: {name: shop, deletionTimestamp: null}, status: {phase: Active}}"));
}

#[test]
fn platforms() {
    let mut shown = String::new();
    let types = "AWS Azure BareMetal GCP Libvirt OpenStack None VSphere oVirt IBMCloud KubeVirt EquinixMetal PowerVS \
                 AlibabaCloud Nutanix External Ovirt SomethingNew";
    for name in types.split_whitespace() {
        let found =
            platform(&object(&format!("{{status: {{platformStatus: {{type: {name}}}}}}}")), &mut FieldNotes::new());
        writeln!(shown, "{name}: {found:?}").unwrap();
    }
    expect![[r#"
        AWS: Unserved("AWS")
        Azure: Cloud(CloudPlatform { name: "Azure", settings: {} })
        BareMetal: SelfManaged("BareMetal")
        GCP: Unserved("GCP")
        Libvirt: SelfManaged("Libvirt")
        OpenStack: SelfManaged("OpenStack")
        None: SelfManaged("None")
        VSphere: SelfManaged("VSphere")
        oVirt: SelfManaged("oVirt")
        IBMCloud: Unserved("IBMCloud")
        KubeVirt: SelfManaged("KubeVirt")
        EquinixMetal: SelfManaged("EquinixMetal")
        PowerVS: Unserved("PowerVS")
        AlibabaCloud: Unserved("AlibabaCloud")
        Nutanix: SelfManaged("Nutanix")
        External: SelfManaged("External")
        Ovirt: SelfManaged("Ovirt")
        SomethingNew: Unserved("SomethingNew")
    "#]]
    .assert_eq(&shown);
}

#[test]
fn platform_from_the_old_field() {
    check(
        "{status: {platform: AWS, platformStatus: {type: None}}}",
        platform,
        &expect![[r#"
        SelfManaged(
            "None",
        )
    "#]],
    );
    check(
        "{status: {platform: VSphere}}",
        platform,
        &expect![[r#"
        SelfManaged(
            "VSphere",
        )
    "#]],
    );
    check(
        "{status: {platform: '', platformStatus: {type: ''}}}",
        platform,
        &expect![[r#"
        Unknown
    "#]],
    );
    check(
        "{status: {platform: [a], platformStatus: {type: 5}}}",
        platform,
        &expect![[r#"
        Unknown
        status.platformStatus.type: expected text, found 5
        status.platform: expected text, found ["a"]
    "#]],
    );
    check(
        "{}",
        platform,
        &expect![[r#"
        Unknown
    "#]],
    );
}

fn lock(record: &str) -> String {
    let record = serde_json::to_string(record).unwrap();
    format!("{{metadata: {{name: x, annotations: {{control-plane.alpha.kubernetes.io/leader: {record}}}}}}}")
}

#[test]
fn lock_that_is_held() {
    check(
        &lock(
            r#"{"holderIdentity":"pod-1_uid","leaseDurationSeconds":15,"acquireTime":"2024-05-06T07:00:00Z","renewTime":"2024-05-06T07:08:09Z","leaderTransitions":3}"#,
        ),
        lock_record,
        &expect![[r#"
            Some(
                LockRecord {
                    identity: "pod-1_uid",
                    renewed: 1714979289000,
                    lasts: 15000,
                },
            )
        "#]],
    );
}

#[test]
fn lock_that_nobody_holds() {
    check(
        "{metadata: {name: x}}",
        lock_record,
        &expect![[r#"
        None
    "#]],
    );
    check(
        &lock("not json"),
        lock_record,
        &expect![[r#"
        None
        metadata.annotations[control-plane.alpha.kubernetes.io/leader]: not JSON: expected ident at line 1 column 2
    "#]],
    );
    check(
        &lock(r#"{"holderIdentity":"","leaseDurationSeconds":1,"renewTime":"2024-05-06T07:08:09Z"}"#),
        lock_record,
        &expect![[r#"
        None
    "#]],
    );
    check(
        &lock(r#"{"holderIdentity":"pod-1","leaseDurationSeconds":15,"renewTime":null}"#),
        lock_record,
        &expect![[r#"
        None
        metadata.annotations[control-plane.alpha.kubernetes.io/leader]: no renewTime or leaseDurationSeconds in {"holderIdentity":"pod-1","leaseDurationSeconds":15,"renewTime":null}
    "#]],
    );
    check(
        &lock("[]"),
        lock_record,
        &expect![[r#"
        None
    "#]],
    );
}
