//! What HostSubnets and NetNamespaces are read as, whatever state they are in.

use expect_test::expect;

use super::{carrier_facts, holding_facts};
use crate::convert::tests::check;

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
        carrier_facts,
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
                    assignable: None,
                    networks: None,
                },
            )
        "#]],
    );
}

#[test]
fn host_subnet_keeps_what_it_cannot_read() {
    check(
        "{metadata: {name: n1}, hostIP: none, egressIPs: [10.20.0.9, 10.20.0.300, 5, null], egressCIDRs: [5, x]}",
        carrier_facts,
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
                    assignable: None,
                    networks: None,
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
        carrier_facts,
        &expect![[r#"
            Ok(
                CarrierFacts {
                    resource_version: "",
                    host_ip: None,
                    egress_ips: [],
                    ranges: [],
                    assignable: None,
                    networks: None,
                },
            )
        "#]],
    );
}

#[test]
fn host_subnet_without_a_list_is_unreadable() {
    check(
        "{metadata: {name: n1}, hostIP: 10.1.0.4, egressIPs: 10.20.0.9}",
        carrier_facts,
        &expect![[r#"
        Err(
            Unreadable(
                FieldNote {
                    field: "egressIPs",
                    text: "expected a list, found \"10.20.0.9\"",
                },
            ),
        )
    "#]],
    );
    check(
        "{metadata: {name: n1}, hostIP: 10.1.0.4, egressCIDRs: {a: b}}",
        carrier_facts,
        &expect![[r#"
        Err(
            Unreadable(
                FieldNote {
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
        holding_facts,
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
                    object: "",
                    obstacle: None,
                    deletable: false,
                    carried: {},
                    replaced: {},
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
        holding_facts,
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
                    object: "",
                    obstacle: None,
                    deletable: false,
                    carried: {},
                    replaced: {},
                },
            )
            egressIPs[2]: " 10.1.1.1" is not an address
        "#]],
    );
    check(
        "{metadata: {name: shop, annotations: {sluice.dev/pool: '', sluice.dev/zones: ''}}}",
        holding_facts,
        &expect![[r#"
            Ok(
                HoldingFacts {
                    resource_version: "",
                    created: 0,
                    egress_ips: [],
                    pool: None,
                    zones: {},
                    network_id: None,
                    object: "",
                    obstacle: None,
                    deletable: false,
                    carried: {},
                    replaced: {},
                },
            )
        "#]],
    );
}

#[test]
fn net_namespace_without_a_list_is_unreadable() {
    check(
        "{metadata: {name: shop, annotations: [a]}, egressIPs: {}}",
        holding_facts,
        &expect![[r#"
        Err(
            Unreadable(
                FieldNote {
                    field: "egressIPs",
                    text: "expected a list, found {}",
                },
            ),
        )
        metadata.annotations: expected a map, found ["a"]
    "#]],
    );
}
