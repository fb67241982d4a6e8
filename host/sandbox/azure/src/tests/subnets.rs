//! Subnets of other shapes: small ones, and those with IPv6.

use serde_json::{Value, json};

use super::{Lab, error};

/// A lab whose subnet has these prefixes.
async fn lab(prefixes: &[&str]) -> Lab {
    let lab = Lab::new(|_| {}).await;
    let prefixes: Vec<_> = prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect();
    lab.arm.add_network(&lab.place, "vnet", &[("nodes", &prefixes)]);
    lab
}

/// A NIC's body with one more configuration of IPv6.
fn with_ipv6(lab: &Lab, address: &str) -> Value {
    let mut body = lab.with(&lab.nic, address);
    let added = body["properties"]["ipConfigurations"].as_array_mut().unwrap().last_mut().unwrap();
    added["properties"]["privateIPAddressVersion"] = json!("IPv6");
    body
}

#[tokio::test]
async fn azure_keeps_five_addresses_of_a_small_subnet() {
    let lab = lab(&["10.0.0.0/28"]).await;
    let code = |host: u8| {
        let answer = lab.put(0, &lab.spare, &lab.with(&lab.spare, &format!("10.0.0.{host}")));
        if answer.status == 200 { String::new() } else { error(&answer).1 }
    };
    let codes: Vec<(u8, String)> = (0..17).map(|host| (host, code(host))).collect();
    let with =
        |wanted: &str| codes.iter().filter(|(_, code)| code == wanted).map(|(host, _)| *host).collect::<Vec<_>>();
    assert_eq!(with("PrivateIPAddressInReservedRange"), [0, 1, 2, 3, 15]);
    assert_eq!(with("PrivateIPAddressNotInSubnet"), [16]);
    assert_eq!(with("PrivateIPAddressIsAllocated"), [4, 5], "the other NICs");
    assert_eq!(with("PrivateIPAddressInUse"), [6], "its own");
    assert_eq!(with(""), [7, 8, 9, 10, 11, 12, 13, 14]);

    let network = lab.subnet.strip_suffix("/subnets/nodes").unwrap();
    let usages = lab.get(0, &format!("{network}/usages")).body.unwrap();
    assert_eq!(usages["value"][0]["limit"], 11.0);
}

#[tokio::test]
async fn a_nic_has_one_address_of_ipv6_and_never_as_its_primary() {
    let lab = lab(&["10.0.0.0/24", "fd00::/64"]).await;
    let answer = lab.put(0, &lab.nic, &with_ipv6(&lab, "fd00::9"));
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let added = &answer.body.unwrap()["properties"]["ipConfigurations"][1]["properties"];
    assert_eq!((&added["privateIPAddress"], &added["primary"]), (&json!("fd00::9"), &json!(false)));
    assert_eq!(added["privateIPAddressVersion"], "IPv6");

    // From here on at a time when that is done.
    let put = |body: &Value| error(&lab.put(80_000, &lab.nic, body)).1;
    assert_eq!(put(&with_ipv6(&lab, "fd00::a")), "SimulatedOneIPv6AddressPerNic");
    let mut body = lab.arm.resource(&lab.nic).unwrap();
    body["properties"]["ipConfigurations"][0]["properties"]["privateIPAddressVersion"] = json!("IPv6");
    assert_eq!(put(&body), "SimulatedPrimaryMustBeIPv4");
    let mut body = lab.arm.resource(&lab.nic).unwrap();
    body["properties"]["ipConfigurations"][1]["properties"]["privateIPAddress"] = json!("fd01::9");
    assert_eq!(put(&body), "PrivateIPAddressNotInSubnet");
    // Security groups are compared among those of IPv4.
    let mut body = lab.arm.resource(&lab.nic).unwrap();
    body["properties"]["ipConfigurations"][0]["properties"]["applicationSecurityGroups"] = json!([{"id": "/asg"}]);
    assert_eq!(lab.put(80_000, &lab.nic, &body).status, 200);
}

#[tokio::test]
async fn an_address_of_ipv6_may_be_left_to_azure() {
    let lab = lab(&["10.0.0.0/24", "fd00::/64"]).await;
    let mut body = with_ipv6(&lab, "");
    body["properties"]["ipConfigurations"][1]["properties"]["privateIPAllocationMethod"] = json!("Dynamic");
    let answer = lab.put(0, &lab.nic, &body);
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let given = &answer.body.unwrap()["properties"]["ipConfigurations"][1]["properties"]["privateIPAddress"];
    assert_eq!(given, "fd00::4");
}
