use serde_json::json;
use sluice_core::name::NodeName;

use super::*;
use crate::machine::MachineRef;

const NETWORK: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network";

#[test]
fn a_subnet_has_one_prefix_or_several() {
    let mut listing = Listing::default();
    let subnet = |name: &str, properties: Value| json!({"id": format!("{NETWORK}/virtualNetworks/v/subnets/{name}"), "properties": properties});
    let subnets = [
        subnet("one", json!({"addressPrefix": "10.0.0.0/24"})),
        subnet("two", json!({"addressPrefixes": ["10.1.0.0/24", "fd00::/64"]})),
        subnet("odd", json!({"addressPrefix": "x"})),
    ];
    listing.add_network(&json!({"properties": {"subnets": subnets}}));
    let counts: Vec<usize> = listing.subnets.values().map(Vec::len).collect();
    assert_eq!(counts, [0, 1, 2], "odd, one, two");
}

#[test]
fn a_pool_with_an_outbound_rule_is_known_by_either_side() {
    let mut listing = Listing::default();
    let pool = |name: &str| format!("{NETWORK}/loadBalancers/lb/backendAddressPools/{name}");
    listing.add_balancer(&json!({"properties": {
        "backendAddressPools": [
            {"id": pool("a"), "properties": {}},
            {"id": pool("b"), "properties": {"outboundRules": [{"id": "r"}]}},
            {"id": pool("c"), "properties": {}},
        ],
        "outboundRules": [{"properties": {"backendAddressPool": {"id": pool("C")}}}],
        "frontendIPConfigurations": [{"properties": {"privateIPAddress": "10.0.0.200"}}],
    }}));
    let joinable: Vec<String> = listing.joinable().iter().map(ToString::to_string).collect();
    assert_eq!(joinable, [pool("a")]);
    assert_eq!(listing.frontends.len(), 1);
}

fn nic(name: &str, network: &str, machine: Option<&str>, addresses: &[(&str, &str)]) -> Value {
    let subnet = json!({"id": format!("{NETWORK}/virtualNetworks/{network}/subnets/a")});
    let list: Vec<Value> = addresses
        .iter()
        .map(|(name, address)| json!({"name": name, "properties": {"privateIPAddress": address, "subnet": subnet}}))
        .collect();
    let machine =
        machine.map(|name| json!({"id": format!("{}/{name}", NETWORK.replace("Network", "Compute/virtualMachines"))}));
    json!({"id": format!("{NETWORK}/networkInterfaces/{name}"), "properties": {"virtualMachine": machine, "ipConfigurations": list}})
}

#[test]
fn strangers_of_the_same_network_are_seen_and_of_others_not() {
    let mut listing = Listing::default();
    listing.add_interface(&nic(
        "w1",
        "v",
        Some("w1"),
        &[("own", "10.0.0.4"), ("x", "10.0.0.9"), ("p", "10.0.0.16/28")],
    ));
    listing.add_interface(&nic("jumpbox", "V", Some("jumpbox"), &[("own", "10.0.0.5"), ("x", "10.0.0.6")]));
    listing.add_interface(&nic("far", "other", None, &[("own", "10.0.0.7")]));
    listing.add_interface(&nic("left", "v", None, &[("own", "10.0.0.8"), ("EgressIP10.0.0.50", "10.0.0.50")]));
    let nodes: BTreeMap<NodeName, MachineRef> = [(
        "w1".into(),
        MachineRef {
            provider_id: Some(format!("azure://{}/w1", NETWORK.replace("Network", "Compute/virtualMachines"))),
            ..MachineRef::default()
        },
    )]
    .into();
    let judged = judge(&listing, &nodes, &BTreeMap::new());
    let carriers: Vec<&str> = judged.carriers.keys().map(NodeName::as_str).collect();
    assert_eq!(carriers, ["left", "w1"], "what is left of a machine still has an address of ours");
    let single: Vec<String> = judged.occupied.iter().map(ToString::to_string).collect();
    assert!(
        ["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.8", "10.0.0.16", "10.0.0.31"]
            .iter()
            .all(|address| single.contains(&(*address).to_owned()))
    );
    assert_eq!(single.len(), 4 + 16, "{single:?}");
}

#[test]
fn what_another_cluster_carries_is_a_stranger_s() {
    let mut listing = Listing::default();
    let mut add = |name: &str, cluster: &str, addresses: &[(&str, &str)]| {
        let mut nic = nic(name, "v", Some(name), addresses);
        nic["tags"] = json!({ cluster: "owned", "team": "x" });
        listing.add_interface(&nic);
    };
    add("w1", "kubernetes.io_cluster.a", &[("own", "10.0.0.4")]);
    add("dead", "kubernetes.io_cluster.a", &[("own", "10.0.0.5"), ("EgressIP10.0.0.50", "10.0.0.50")]);
    add("theirs", "kubernetes.io_cluster.b", &[("own", "10.0.0.6"), ("EgressIP10.0.0.51", "10.0.0.51")]);
    add("untagged", "x", &[("own", "10.0.0.7"), ("EgressIP10.0.0.52", "10.0.0.52")]);
    let machine = format!("azure://{}/w1", NETWORK.replace("Network", "Compute/virtualMachines"));
    let nodes = [("w1".into(), MachineRef { provider_id: Some(machine), ..MachineRef::default() })].into();
    let judged = judge(&listing, &nodes, &BTreeMap::new());
    let carriers: Vec<&str> = judged.carriers.keys().map(NodeName::as_str).collect();
    assert_eq!(carriers, ["dead", "untagged", "w1"]);
    assert!(judged.occupied.contains(&"10.0.0.51".parse().unwrap()));
}

#[test]
fn a_machine_that_its_interface_names_is_there_whatever_the_list_says() {
    let machine = format!("azure://{}/w1", NETWORK.replace("Network", "Compute/virtualMachines"));
    let nodes: BTreeMap<NodeName, MachineRef> =
        [("w1".into(), MachineRef { provider_id: Some(machine), ..MachineRef::default() })].into();
    let addresses = [("own", "10.0.0.4"), ("EgressIP10.0.0.50", "10.0.0.50")];
    let judged = |attached: Option<&str>| {
        let mut listing = Listing { subscription: Some("s".to_owned()), ..Listing::default() };
        listing.add_interface(&nic("w1-nic", "v", attached, &addresses));
        let judged = judge(&listing, &nodes, &BTreeMap::new());
        let carriers: Vec<String> = judged.carriers.keys().map(ToString::to_string).collect();
        (carriers, judged.unusable.get(&NodeName::from("w1")).cloned())
    };
    assert_eq!(judged(Some("w1")), (vec!["w1".to_owned()], None));
    let gone = "there is no virtual machine w1 in resource group g".to_owned();
    assert_eq!(judged(None), (vec!["w1-nic".to_owned()], Some(gone)));
}

/// Who carries what beside `w1`, which is in resource group `g`.
fn left_behind(ours: Option<&str>, theirs: &Value, before: &[&str]) -> (Vec<String>, bool) {
    let mut listing = Listing::default();
    let mut own = nic("w1", "v", Some("w1"), &[("own", "10.0.0.4")]);
    if let Some(tag) = ours {
        own["tags"] = json!({ tag: "owned" });
    }
    listing.add_interface(&own);
    listing.add_interface(theirs);
    let machine = format!("azure://{}/w1", NETWORK.replace("Network", "Compute/virtualMachines"));
    let nodes = [("w1".into(), MachineRef { provider_id: Some(machine), ..MachineRef::default() })].into();
    let before = before.iter().map(|id| (NodeName::from("b1"), ResourceId::parse(id).unwrap())).collect();
    let judged = judge(&listing, &nodes, &before);
    let carriers = judged.carriers.keys().map(ToString::to_string).collect();
    (carriers, judged.occupied.contains(&"10.0.0.51".parse().unwrap()))
}

#[test]
fn an_untagged_machine_where_the_cluster_has_none_is_a_stranger_s() {
    let addresses = [("own", "10.0.0.6"), ("EgressIP10.0.0.51", "10.0.0.51")];
    let elsewhere = |text: &str| text.replace("resourceGroups/g/", "resourceGroups/other/");
    let mut theirs = nic("b1", "v", Some("b1"), &addresses);
    let id = elsewhere(theirs["id"].as_str().unwrap());
    let strange = (vec!["w1".to_owned()], true);
    let ours = (vec!["b1".to_owned(), "w1".to_owned()], false);
    let tag = "kubernetes.io_cluster.a";
    for own in [None, Some(tag)] {
        assert_eq!(left_behind(own, &theirs, &[]).0, ours.0, "in the same group");
    }
    theirs["id"] = id.as_str().into();
    assert_eq!(left_behind(None, &theirs, &[]).0, ours.0, "its machine is in our group");
    let machine = elsewhere(theirs["properties"]["virtualMachine"]["id"].as_str().unwrap());
    theirs["properties"]["virtualMachine"]["id"] = machine.as_str().into();
    for own in [None, Some(tag)] {
        assert_eq!(left_behind(own, &theirs, &[]), strange, "in another group");
    }
    assert_eq!(left_behind(None, &theirs, &[&id]).0, ours.0, "it had a Node of ours");
    theirs["tags"] = json!({ tag: "owned" });
    assert_eq!(left_behind(Some(tag), &theirs, &[]).0, ours.0, "tagged as ours");
    assert_eq!(left_behind(None, &theirs, &[]), strange, "tagged, while ours are not");
}
