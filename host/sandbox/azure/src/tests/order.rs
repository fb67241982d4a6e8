//! Which rule speaks where several are broken: see [`crate::validate`].

use serde_json::{Value, json};

use super::{Lab, error};
use crate::{Denial, Reason};

/// Breaks a rule in the body of a `PUT`, which has one secondary configuration.
type Break = fn(&Lab, &mut Value);

fn secondary(body: &mut Value) -> &mut Value {
    &mut body["properties"]["ipConfigurations"][1]
}

fn join(lab: &Lab, body: &mut Value, pool: &str) {
    let pools = &mut secondary(body)["properties"]["loadBalancerBackendAddressPools"];
    if pools.is_null() {
        *pools = json!([]);
    }
    pools.as_array_mut().unwrap().push(json!({"id": format!("{}/backendAddressPools/{pool}", lab.balancer)}));
}

/// One break of each rule, in the order in which they are checked, and the code that it meets alone.
const RULES: [(&str, Break); 8] = [
    ("InvalidResourceLocation", |_, body| body["location"] = json!("westus")),
    ("SimulatedIpConfigurationNameRequired", |_, body| secondary(body)["name"] = json!("")),
    ("SimulatedOnePrimaryRequired", |_, body| secondary(body)["properties"]["primary"] = json!(true)),
    ("AllIpConfigurationsOnANicMustBelongToTheSameApplicationSecurityGroups", |_, body| {
        secondary(body)["properties"]["applicationSecurityGroups"] = json!([{"id": "/asg"}]);
    }),
    ("SimulatedInvalidAddressBlock", |_, body| {
        secondary(body)["properties"]["privateIPAddressPrefixLength"] = json!(28);
    }),
    ("InvalidResourceReference", |lab, body| join(lab, body, "gone")),
    ("OutboundRuleCannotBeUsedWithBackendAddressPoolThatIsReferencedBySecondaryIpConfigs", |lab, body| {
        join(lab, body, "out");
    }),
    ("PrivateIPAddressNotInSubnet", |_, body| {
        secondary(body)["properties"]["privateIPAddress"] = json!("10.0.1.9");
    }),
];

#[tokio::test]
async fn of_two_broken_rules_the_earlier_one_speaks() {
    let lab = Lab::new(|_| {}).await;
    for (at, (code, earlier)) in RULES.iter().enumerate() {
        for (_, later) in RULES.iter().skip(at) {
            let mut body = lab.with(&lab.nic, "10.0.0.9");
            later(&lab, &mut body);
            earlier(&lab, &mut body);
            assert_eq!(error(&lab.put(0, &lab.nic, &body)).1, *code);
        }
    }
}

#[tokio::test]
async fn of_two_bad_configurations_the_first_one_speaks() {
    let lab = Lab::new(|_| {}).await;
    let codes = [
        ("10.0.0.256", "InvalidPrivateIPAddressFormat"),
        ("10.0.1.9", "PrivateIPAddressNotInSubnet"),
        ("10.0.0.1", "PrivateIPAddressInReservedRange"),
        ("10.0.0.4", "PrivateIPAddressInUse"),
        ("10.0.0.5", "PrivateIPAddressIsAllocated"),
    ];
    for (first, code) in codes {
        for (second, _) in codes.into_iter().filter(|(second, _)| *second != first) {
            let mut body = lab.with(&lab.nic, first);
            let more = secondary(&mut lab.with(&lab.nic, second)).clone();
            body["properties"]["ipConfigurations"].as_array_mut().unwrap().push(more);
            assert_eq!(error(&lab.put(0, &lab.nic, &body)).1, code, "{first}, then {second}");
        }
    }
}

/// Permissions, then the version, then whether it is busy, and the rules last.
#[tokio::test]
async fn before_the_rules_come_permissions_versions_and_other_operations() {
    let lab = Lab::new(|_| {}).await;
    let put = |body: &Value, etag| lab.send(0, "PUT", &lab.nic, Some(body), etag).answer.unwrap();
    assert_eq!(put(&lab.with(&lab.nic, "10.0.0.8"), None).status, 200);
    let stale = Some("W/\"stale\"");
    let bad = lab.with(&lab.nic, "10.0.1.9");
    for action in ["networkInterfaces/write", "virtualNetworks/subnets/join/action"] {
        let action = format!("Microsoft.Network/{action}");
        lab.arm.deny(Denial { action, scope: String::new(), reason: Reason::Role });
        assert_eq!(put(&bad, stale).status, 403);
        lab.arm.allow_all();
    }
    assert_eq!(put(&bad, stale).status, 412);
    assert_eq!(put(&bad, None).status, 429, "it is being updated");
    let later = lab.send(71_000, "PUT", &lab.nic, Some(&bad), None).answer.unwrap();
    assert_eq!(error(&later).1, "PrivateIPAddressNotInSubnet");
}
