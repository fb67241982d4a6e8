//! `HostSubnet` and `NetNamespace`.

use expect_test::expect;

use super::check;
use crate::convert::{host_subnet_facts, net_namespace_facts};

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
                HostSubnetFacts {
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
                    egress_cidrs: [
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
                HostSubnetFacts {
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
                    egress_cidrs: [
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
            HostSubnetFacts {
                resource_version: "",
                host_ip: None,
                egress_ips: [],
                egress_cidrs: [],
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
  annotations: {sluice.dev/pool: east, sluice.dev/zones: 'a,,c'}
netid: 77
egressIPs: [10.20.0.9, 10.20.1.2, 10.20.2.2]
",
        net_namespace_facts,
        &expect![[r#"
            Ok(
                NetNamespaceFacts {
                    resource_version: "5",
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
                    zones: Some(
                        [
                            "a",
                            "",
                            "c",
                        ],
                    ),
                },
            )
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
            NetNamespaceFacts {
                resource_version: "",
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
                zones: None,
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
                NetNamespaceFacts {
                    resource_version: "",
                    egress_ips: [],
                    pool: None,
                    zones: Some(
                        [
                            "",
                        ],
                    ),
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
