use std::net::Ipv4Addr;

use proptest::prelude::*;
use serde_json::json;
use serde_json::value::RawValue;

use super::*;

const RECORDED: [&str; 4] = [
    include_str!("../../../sandbox/azure/recordings/nic-get.jsonl"),
    include_str!("../../../sandbox/azure/recordings/nic-put-update-attached.jsonl"),
    include_str!("../../../sandbox/azure/recordings/nic-put-update-unattached.jsonl"),
    include_str!("../../../sandbox/azure/recordings/nic-put-create.jsonl"),
];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ips(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

/// The bodies of all recorded interfaces, as they came.
fn recorded() -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Exchange<'a> {
        #[serde(borrow)]
        response: Response<'a>,
    }
    #[derive(serde::Deserialize)]
    struct Response<'a> {
        status: u16,
        #[serde(borrow)]
        body: &'a RawValue,
    }
    let lines = RECORDED.iter().flat_map(|file| file.lines());
    let exchanges = lines.map(|line| serde_json::from_str::<Exchange<'_>>(line).unwrap().response);
    let bodies = exchanges.filter(|response| response.status < 300).map(|response| response.body.get().to_owned());
    bodies.filter(|body| Interface::parse(body).is_some_and(|one| !one.configurations.is_empty())).collect()
}

fn list(body: &str) -> Vec<Box<RawValue>> {
    #[derive(serde::Deserialize)]
    struct Whole {
        properties: Properties,
    }
    #[derive(serde::Deserialize)]
    struct Properties {
        #[serde(rename = "ipConfigurations")]
        list: Vec<Box<RawValue>>,
    }
    serde_json::from_str::<Whole>(body).unwrap().properties.list
}

fn without_list(body: &str) -> Value {
    let mut value: Value = serde_json::from_str(body).unwrap();
    value["properties"]["ipConfigurations"] = Value::Null;
    value
}

#[test]
fn recorded_interfaces_keep_everything_else() {
    let bodies = recorded();
    assert!(bodies.len() > 30, "{}", bodies.len());
    for body in bodies {
        let on = ips(&["192.0.2.7", "192.0.2.8"]);
        let Ok(edited) = edit(&body, &on, &BTreeSet::new(), &Pools::None) else {
            panic!("not edited: {body}");
        };
        assert!(edited.changed);
        assert_eq!(without_list(&edited.body), without_list(&body));
        let (before, after) = (list(&body), list(&edited.body));
        assert_eq!(after.len(), before.len() + 2);
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before.get(), after.get(), "the same text");
        }
        let back = edit(&edited.body, &BTreeSet::new(), &on, &Pools::None).unwrap();
        let texts = |list: Vec<Box<RawValue>>| list.iter().map(|raw| raw.get().to_owned()).collect::<Vec<_>>();
        assert_eq!(texts(list(&back.body)), texts(list(&body)));
    }
}

fn body(configurations: &Value) -> String {
    json!({
        "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkInterfaces/n",
        "etag": "W/\"1\"",
        "properties": {"provisioningState": "Succeeded", "ipConfigurations": configurations},
    })
    .to_string()
}

const NETWORK: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network";

fn own() -> Value {
    json!({"name": "pipConfig", "properties": {
        "primary": true,
        "privateIPAddress": "10.0.0.4",
        "subnet": {"id": format!("{NETWORK}/virtualNetworks/v/subnets/a")},
        "applicationSecurityGroups": [{"id": format!("{NETWORK}/applicationSecurityGroups/asg")}],
        "loadBalancerBackendAddressPools": [
            {"id": format!("{NETWORK}/loadBalancers/lb/backendAddressPools/in")},
            {"id": format!("{NETWORK}/loadBalancers/lb/backendAddressPools/out")},
        ],
    }})
}

#[test]
fn a_new_configuration_copies_subnet_groups_and_allowed_pools() {
    let allowed = format!("{NETWORK}/LOADBALANCERS/lb/backendAddressPools/in");
    let pools = Pools::SameAsPrimary([ResourceId::parse(&allowed).unwrap()].into());
    let edited = edit(&body(&json!([own()])), &ips(&["10.0.0.9"]), &BTreeSet::new(), &pools).unwrap();
    let added: Value = serde_json::from_str(list(&edited.body)[1].get()).unwrap();
    let properties = &added["properties"];
    assert_eq!((&added["name"], &properties["primary"]), (&json!("EgressIP10.0.0.9"), &json!(false)));
    assert_eq!(properties["privateIPAllocationMethod"], "Static");
    assert_eq!(properties["subnet"], own()["properties"]["subnet"]);
    assert_eq!(properties["applicationSecurityGroups"], own()["properties"]["applicationSecurityGroups"]);
    let joined = properties["loadBalancerBackendAddressPools"].as_array().unwrap();
    assert_eq!(joined.len(), 1);
    assert!(joined[0]["id"].as_str().unwrap().ends_with("/in"));
    let edited = edit(&body(&json!([own()])), &ips(&["10.0.0.9"]), &BTreeSet::new(), &Pools::None).unwrap();
    assert!(!list(&edited.body)[1].get().contains("loadBalancerBackendAddressPools"));
}

fn secondary(name: &str, address: &str) -> Value {
    json!({"name": name, "properties": {"privateIPAddress": address, "primary": false, "x": 1.50}})
}

#[test]
fn only_ours_are_taken_off_and_never_the_machine_s_own() {
    let others = [secondary("w1_10.0.0.6", "10.0.0.6"), secondary("EgressIP10.0.0.70", "10.0.0.7")];
    let all = json!([own(), secondary("EgressIP10.0.0.5", "10.0.0.5"), others[0], others[1]]);
    let all = body(&all);
    let off = ips(&["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7"]);
    let edited = edit(&all, &BTreeSet::new(), &off, &Pools::None).unwrap();
    let names: Vec<String> =
        Interface::parse(&edited.body).unwrap().configurations.into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["pipConfig", "w1_10.0.0.6", "EgressIP10.0.0.70"]);
    let same = edit(&all, &ips(&["10.0.0.6"]), &BTreeSet::new(), &Pools::None).unwrap();
    assert_eq!((same.changed, same.body), (false, all.clone()), "whatever it is called");
    let both = edit(&all, &ips(&["10.0.0.5"]), &ips(&["10.0.0.5"]), &Pools::None).unwrap();
    assert!(!both.changed);
    let own_named_like_ours =
        body(&json!([{"name": "EgressIP10.0.0.4", "properties": {"privateIPAddress": "10.0.0.4"}}]));
    assert!(!edit(&own_named_like_ours, &BTreeSet::new(), &ips(&["10.0.0.4"]), &Pools::None).unwrap().changed);
}

#[test]
fn what_cannot_be_written_is_refused() {
    let clash = body(&json!([own(), secondary("EgressIP10.0.0.5", "10.0.0.77")]));
    let error = edit(&clash, &ips(&["10.0.0.5"]), &BTreeSet::new(), &Pools::None).unwrap_err();
    assert_eq!(error, edit::EditError::NameTaken("EgressIP10.0.0.5".to_owned()));
    let many = (0..256_u32).map(|at| IpAddr::V4(Ipv4Addr::from(0x0a00_0100 + at))).collect();
    let error = edit(&body(&json!([own()])), &many, &BTreeSet::new(), &Pools::None).unwrap_err();
    assert_eq!(error, edit::EditError::Full(257));
    for odd in ["", "[]", "{}", r#"{"properties":{}}"#, r#"{"properties":{"ipConfigurations":null}}"#] {
        assert!(edit(odd, &ips(&["10.0.0.5"]), &BTreeSet::new(), &Pools::None).is_err(), "{odd}");
    }
    let error = edit(&body(&json!([])), &ips(&["10.0.0.5"]), &BTreeSet::new(), &Pools::None).unwrap_err();
    assert_eq!(error, edit::EditError::NoPrimary);
}

#[test]
fn a_prefix_is_all_its_addresses_and_never_ours() {
    let prefix = Configuration::of(&secondary("EgressIP10.0.0.16", "10.0.0.16/28"));
    assert_eq!((prefix.addresses().len(), prefix.is_ours()), (16, false));
    let huge = Configuration::of(&secondary("x", "10.0.0.0/2"));
    assert_eq!(huge.addresses().len(), 1);
}

proptest! {
    #[test]
    fn there_and_back_leaves_others_as_they_were(
        present in proptest::collection::btree_map(5_u8..60, 0_u8..3, 0..20),
        on in proptest::collection::btree_set(5_u8..60, 0..10),
        noise in "[ \\n]{0,3}",
    ) {
        let address = |last: u8| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        let configurations: Vec<String> = std::iter::once(own().to_string())
            .chain(present.iter().map(|(last, kind)| {
                let name = match kind {
                    0 => name_of(address(*last)),
                    1 => format!("w1_{}", address(*last)),
                    _ => format!("someone-{last}"),
                };
                let properties = format!("{noise}\"privateIPAddress\" :\"{}\"", address(*last));
                format!("{{\"name\":\"{name}\",{noise}\"properties\":{{{properties}}}}}")
            }))
            .collect();
        let text = format!("{{\"properties\":{{\"ipConfigurations\":[{}],\"n\":1.50}}}}", configurations.join(","));
        let on: BTreeSet<IpAddr> = on.into_iter().map(address).collect();
        let there = edit(&text, &on, &BTreeSet::new(), &Pools::None).unwrap();
        let new: BTreeSet<IpAddr> =
            on.iter().filter(|it| !present.keys().any(|last| address(*last) == **it)).copied().collect();
        let back = edit(&there.body, &BTreeSet::new(), &new, &Pools::None).unwrap();
        let raw = |body: &str| list(body).iter().map(|one| one.get().to_owned()).collect::<Vec<_>>();
        prop_assert_eq!(raw(&back.body), raw(&text));
        prop_assert_eq!(list(&there.body).len(), present.len() + 1 + new.len());
        let none = edit(&text, &BTreeSet::new(), &present.keys().map(|last| address(*last)).collect(), &Pools::None);
        let strangers = present.values().filter(|kind| **kind != 0).count();
        prop_assert_eq!(list(&none.unwrap().body).len(), strangers + 1);
    }
}
