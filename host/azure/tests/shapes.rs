//! Machines, interfaces and networks of other shapes than the usual one, against a simulated Resource Manager.

mod common;

use common::*;
use serde_json::{Value, json};
use sluice_sandbox_azure::{Place, Settings};

/// Adds worker w4 with these interfaces, and tells the provider of its Node.
fn add_w4(setup: &Setup, nics: &[&str]) -> String {
    let id = setup.arm.add_machine(&setup.place, "w4", Some("1"), nics);
    let mut nodes = setup.nodes.clone();
    nodes.insert(node("w4"), machine(&setup.place, "w4"));
    setup.azure.set_nodes(nodes);
    id
}

#[tokio::test]
async fn of_several_interfaces_the_primary_one_is_written() {
    for is_marked in [true, false] {
        let setup = start(Settings::default()).await;
        let side = setup.arm.add_nic(&setup.place, "w4-side", &setup.subnet, ip("10.0.32.51"));
        let main = setup.arm.add_nic(&setup.place, "w4-nic", &setup.subnet, ip("10.0.32.52"));
        let order = if is_marked { [side.as_str(), &main] } else { [main.as_str(), &side] };
        let vm = add_w4(&setup, &order);
        setup.arm.edit(&vm, |vm| {
            let nics = vm["properties"]["networkProfile"]["networkInterfaces"].as_array_mut().unwrap();
            for nic in nics.iter_mut() {
                let is_main = nic["id"] == json!(main);
                // Where there is no mark, the first one counts.
                nic["properties"] = if is_marked { json!({"primary": is_main}) } else { json!({}) };
            }
        });
        setup.reach("w4", &["10.0.40.1"]).await;
        assert_eq!(ours(&setup.arm, &main).len(), 1, "marked: {is_marked}");
        assert!(ours(&setup.arm, &side).is_empty());
    }
}

#[tokio::test]
async fn a_machine_whose_interface_is_not_there_says_so() {
    let setup = start(Settings::default()).await;
    let gone = setup.place.id("Microsoft.Network/networkInterfaces", "gone-nic");
    add_w4(&setup, &[&gone]);
    // Until the lists are read again, the machine itself is unknown.
    let told = format!("there is no interface {gone}");
    setup.until(|facts| facts.unusable.get("w4") == Some(&told)).await;
}

#[tokio::test]
async fn a_subnet_of_several_prefixes_has_addresses_of_each() {
    let setup = start(Settings::default()).await;
    let networks = Place::new(SUBSCRIPTION, "network-rg", "westeurope");
    let prefixes = ["10.8.0.0/24".parse().unwrap(), "10.9.0.0/24".parse().unwrap()];
    let network = setup.arm.add_network(&networks, "second", &[("wide", &prefixes)]);
    let nic = setup.arm.add_nic(&setup.place, "w4-nic", &format!("{network}/subnets/wide"), ip("10.8.0.4"));
    add_w4(&setup, &[&nic]);
    setup.reach("w4", &["10.8.0.50", "10.9.0.50"]).await;
    let facts = setup.azure.facts().unwrap();
    assert_eq!(facts.interfaces["w4"].subnet, prefixes);
    for reserved in ["10.8.0.0/30", "10.8.0.255/32", "10.9.0.0/30", "10.9.0.255/32"] {
        assert!(facts.reserved.contains(&reserved.parse().unwrap()), "{reserved}: {:?}", facts.reserved);
    }
}

#[tokio::test]
async fn an_address_is_in_the_security_groups_of_the_machine_s_own() {
    let setup = start(Settings::default()).await;
    let groups = json!([{"id": setup.place.id("Microsoft.Network/applicationSecurityGroups", "workers")}]);
    let nic = setup.nic("w1");
    setup.arm.edit(&nic, |nic| {
        nic["properties"]["ipConfigurations"][0]["properties"]["applicationSecurityGroups"] = groups.clone();
    });
    let w1 = setup.reach("w1", &["10.0.40.1"]).await;
    assert_eq!(w1.complaint, None);
    let stored = setup.arm.resource(&nic).unwrap();
    let configs = stored["properties"]["ipConfigurations"].as_array().unwrap();
    let of_each: Vec<&Value> = configs.iter().map(|one| &one["properties"]["applicationSecurityGroups"]).collect();
    assert_eq!(of_each, [&groups, &groups]);
}
