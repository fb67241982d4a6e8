//! `HostSubnet` and `NetNamespace`.

use expect_test::expect;

use super::{check, object};
use crate::convert::{Notes, host_subnet_facts, net_namespace_facts, private_ip, private_ip_facts};

#[test]
fn host_subnet() {
    check(
        "
metadata: {name: n1, resourceVersion: '5'}
host: n1
hostIP: 10.1.0.4
subnet: 10.128.0.0/23
egressIPs: [10.20.0.9, 10.20.0.2]
egressCIDRs: [10.20.0.0/24]
",
        host_subnet_facts,
        &expect![[r#"
            Ok(
                CarrierFacts {
                    resource_version: "5",
                    host_ip: Some(
                        10.1.0.4,
                    ),
                    egress_ips: [
                        Address(
                            10.20.0.9,
                        ),
                        Address(
                            10.20.0.2,
                        ),
                    ],
                    ranges: [
                        "10.20.0.0/24",
                    ],
                },
            )
        "#]],
    );
}

#[test]
fn host_subnet_keeps_what_it_cannot_read() {
    check(
        "{metadata: {name: n1}, hostIP: none, egressIPs: [10.20.0.9, 10.20.0.300, 5, null], egressCIDRs: [5, x]}",
        host_subnet_facts,
        &expect![[r#"
            Ok(
                CarrierFacts {
                    resource_version: "",
                    host_ip: None,
                    egress_ips: [
                        Address(
                            10.20.0.9,
                        ),
                        Other(
                            "10.20.0.300",
                        ),
                        Other(
                            "5",
                        ),
                        Other(
                            "null",
                        ),
                    ],
                    ranges: [
                        "5",
                        "x",
                    ],
                },
            )
            egressIPs[1]: "10.20.0.300" is not an address
            egressIPs[2]: 5 is not an address
            egressIPs[3]: null is not an address
            egressCIDRs[0]: expected text, found 5
            hostIP: "none" is not an address
        "#]],
    );
    check(
        "{metadata: {name: n1}, egressIPs: null, egressCIDRs: null}",
        host_subnet_facts,
        &expect![[r#"
        Ok(
            CarrierFacts {
                resource_version: "",
                host_ip: None,
                egress_ips: [],
                ranges: [],
            },
        )
    "#]],
    );
}

#[test]
fn host_subnet_without_a_list_is_unreadable() {
    check(
        "{metadata: {name: n1}, hostIP: 10.1.0.4, egressIPs: 10.20.0.9}",
        host_subnet_facts,
        &expect![[r#"
        Err(
            Unreadable(
                Note {
                    field: "egressIPs",
                    text: "expected a list, found \"10.20.0.9\"",
                },
            ),
        )
    "#]],
    );
    check(
        "{metadata: {name: n1}, hostIP: 10.1.0.4, egressCIDRs: {a: b}}",
        host_subnet_facts,
        &expect![[r#"
        Err(
            Unreadable(
                Note {
                    field: "egressCIDRs",
                    text: "expected a list, found {\"a\":\"b\"}",
                },
            ),
        )
    "#]],
    );
}

#[test]
fn net_namespace() {
    check(
        "
metadata:
  name: shop
  resourceVersion: '5'
  annotations: {sluice.dev/pool: east, sluice.dev/zones: '10.20.2.2=c, 10.20.0.9=a,,10.20.1.2=,x=a,10.20.0.9'}
netid: 77
egressIPs: [10.20.0.9, 10.20.1.2, 10.20.2.2]
",
        net_namespace_facts,
        &expect![[r#"
            Ok(
                HoldingFacts {
                    resource_version: "5",
                    created: 0,
                    egress_ips: [
                        Address(
                            10.20.0.9,
                        ),
                        Address(
                            10.20.1.2,
                        ),
                        Address(
                            10.20.2.2,
                        ),
                    ],
                    pool: Some(
                        PoolName(
                            "east",
                        ),
                    ),
                    zones: {
                        10.20.0.9: "a",
                        10.20.1.2: "",
                        10.20.2.2: "c",
                    },
                    network_id: Some(
                        77,
                    ),
                },
            )
            metadata.annotations[sluice.dev/zones]: "x=a" is not like 10.20.0.5=east-1
            metadata.annotations[sluice.dev/zones]: "10.20.0.9" is not like 10.20.0.5=east-1
        "#]],
    );
}

#[test]
fn net_namespace_of_somebody_else() {
    check(
        "{metadata: {name: shop}, egressIPs: [10.20.0.9, fe80::1, ' 10.1.1.1']}",
        net_namespace_facts,
        &expect![[r#"
            Ok(
                HoldingFacts {
                    resource_version: "",
                    created: 0,
                    egress_ips: [
                        Address(
                            10.20.0.9,
                        ),
                        Address(
                            fe80::1,
                        ),
                        Other(
                            " 10.1.1.1",
                        ),
                    ],
                    pool: None,
                    zones: {},
                    network_id: None,
                },
            )
            egressIPs[2]: " 10.1.1.1" is not an address
        "#]],
    );
    check(
        "{metadata: {name: shop, annotations: {sluice.dev/pool: '', sluice.dev/zones: ''}}}",
        net_namespace_facts,
        &expect![[r#"
            Ok(
                HoldingFacts {
                    resource_version: "",
                    created: 0,
                    egress_ips: [],
                    pool: None,
                    zones: {},
                    network_id: None,
                },
            )
        "#]],
    );
}

#[test]
fn net_namespace_without_a_list_is_unreadable() {
    check(
        "{metadata: {name: shop, annotations: [a]}, egressIPs: {}}",
        net_namespace_facts,
        &expect![[r#"
        Err(
            Unreadable(
                Note {
                    field: "egressIPs",
                    text: "expected a list, found {}",
                },
            ),
        )
        metadata.annotations: expected a map, found ["a"]
    "#]],
    );
}

#[test]
fn private_ips_are_named_after_their_address() {
    let read = |name: &str| private_ip(name).map(|address| address.to_string());
    assert_eq!(read("10.20.0.9").as_deref(), Some("10.20.0.9"));
    assert_eq!(read("fc00.f853.0ccd.e793.0000.0000.0000.0054").as_deref(), Some("fc00:f853:ccd:e793::54"));
    assert_eq!(read("nonsense"), None);
}

#[test]
fn private_ips_are_given_awaited_or_refused() {
    let told = |deleting: &str, status: &str| {
        let yaml = format!("{{metadata: {{name: 10.20.0.9{deleting}}}, spec: {{node: n1}}, status: {status}}}");
        let mut notes = Notes::new();
        let facts = private_ip_facts(&object(&yaml), &mut notes);
        format!("{facts:?} {}\n", notes.iter().map(ToString::to_string).collect::<String>())
    };
    let assigned = |status: &str, message: &str| {
        let time = "lastTransitionTime: '2026-01-01T00:00:00Z'";
        format!("{{node: n1, conditions: [{{type: Other}}, {{type: Assigned, status: {status}, {time}{message}}}]}}")
    };
    let deleting = ", deletionTimestamp: '2026-01-01T00:00:00Z'";
    let shown = [
        told("", "null"),
        told("", "{conditions: []}"),
        told("", "{conditions: {}}"),
        told("", &assigned("Unknown", ", message: Adding IP address")),
        told("", &assigned("Unknown", "")),
        told("", &assigned("'True'", ", message: well")),
        told("", &assigned("'True'", "").replace("node: n1, ", "")),
        told("", &assigned("'False'", ", message: no")),
        told("", &assigned("'False'", "")),
        told(deleting, &assigned("'True'", ", message: well")),
        told(deleting, &assigned("Unknown", ", message: Deleting IP address")),
        told(deleting, &assigned("'False'", ", message: no")),
    ];
    expect![[r#"
        Awaited("the controller has not begun") 
        Awaited("the controller has not begun") 
        Awaited("the controller has not begun") status.conditions: expected a list, found {}
        Awaited("Adding IP address since 2026-01-01T00:00:00Z") 
        Awaited("the controller has not begun since 2026-01-01T00:00:00Z") 
        Given(Some(NodeName("n1"))) 
        Given(None) 
        Refused("no") 
        Refused("the cloud refused it") 
        Awaited("it is to be taken off a node") 
        Awaited("Deleting IP address since 2026-01-01T00:00:00Z") 
        Refused("no") 
    "#]]
    .assert_eq(&shown.concat());
}
