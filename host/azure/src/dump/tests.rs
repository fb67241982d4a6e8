use std::net::IpAddr;

use super::*;

/// A cluster that the operator before ran.
fn dump() -> String {
    let nics = include_str!("../../../../tests/fixtures/peer-dumps/azure/nics.json");
    let vms = include_str!("../../../../tests/fixtures/peer-dumps/azure/vms.json");
    let vnet = include_str!("../../../../tests/fixtures/peer-dumps/azure/vnet.json");
    format!("{{\"nics\": {nics}, \"vms\": {vms}, \"vnets\": [{vnet}]}}")
}

/// As the command line tool has it: without `properties`.
fn flat(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(flat).collect(),
        Value::Object(fields) => {
            let mut all = serde_json::Map::new();
            for (name, value) in fields {
                match flat(value) {
                    Value::Object(inner) if name == "properties" => all.extend(inner),
                    other => drop(all.insert(name.replace("privateIPA", "privateIpA"), other)),
                }
            }
            Value::Object(all)
        }
        other => other,
    }
}

fn nodes() -> BTreeMap<NodeName, MachineRef> {
    ["westeurope1-8fz4k", "westeurope2-p9d2m", "westeurope1-c5hrw", "westeurope3-qt6vn"]
        .map(|name| (format!("ocp1-x7k2p-worker-{name}").into(), MachineRef::default()))
        .into()
}

fn check(facts: &CloudFacts) {
    let ours: Vec<String> = facts
        .interfaces
        .iter()
        .flat_map(|(node, one)| one.addresses.iter().map(move |(address, it)| format!("{node} {address} {}", it.ours)))
        .collect();
    assert_eq!(
        ours,
        [
            "ocp1-x7k2p-worker-westeurope1-8fz4k 10.0.40.7 true",
            "ocp1-x7k2p-worker-westeurope1-8fz4k 10.0.40.77 true",
            "ocp1-x7k2p-worker-westeurope1-c5hrw 10.0.40.5 true",
            "ocp1-x7k2p-worker-westeurope2-p9d2m 10.0.40.4 true",
            "ocp1-x7k2p-worker-westeurope3-qt6vn 10.0.40.6 true",
        ]
    );
    assert!(facts.unusable.is_empty() && !facts.writes);
    assert!(facts.interfaces.values().all(|one| one.own == 1 && !one.busy));
}

#[test]
fn a_cluster_of_the_operator_before_is_read() {
    let facts = facts_of_dump(&dump(), &nodes(), false).unwrap();
    check(&facts);
    assert!(facts.complaints.is_empty());
    assert!(facts.interfaces.values().all(|one| one.subnet == ["10.0.32.0/19".parse().unwrap()]));
    let strangers: Vec<&IpAddr> = facts.occupied.iter().collect();
    assert!(strangers.len() >= 5, "four machines and a jumpbox: {strangers:?}");
}

#[test]
fn what_the_command_line_tool_writes_is_read() {
    let value = flat(serde_json::from_str(&dump()).unwrap());
    check(&facts_of_dump(&value.to_string(), &nodes(), false).unwrap());
    let mixed: Vec<Value> =
        ["nics", "vms"].iter().flat_map(|list| value[*list]["value"].as_array().unwrap().clone()).collect();
    let facts = facts_of_dump(&Value::from(mixed).to_string(), &nodes(), false).unwrap();
    check(&facts);
    assert_eq!(facts.complaints.len(), 1, "there are no networks in it");
}

#[test]
fn interfaces_alone_will_do_where_nodes_name_their_machine() {
    let mut value: Value = serde_json::from_str(&dump()).unwrap();
    let mut nodes = nodes();
    for machine in value["vms"]["value"].as_array().unwrap() {
        if let Some(node) = nodes.get_mut(machine["name"].as_str().unwrap()) {
            node.provider_id = Some(format!("azure://{}", machine["id"].as_str().unwrap()));
        }
    }
    check(&facts_of_dump(&value["nics"]["value"].take().to_string(), &nodes, false).unwrap());
}

#[test]
fn what_is_no_dump_is_refused() {
    assert!(matches!(facts_of_dump("{", &BTreeMap::new(), false), Err(DumpError::NotJson(_))));
    for text in ["[]", "{}", "3", r#"{"nics": [{"id": 3}]}"#] {
        assert_eq!(facts_of_dump(text, &BTreeMap::new(), false), Err(DumpError::NoInterfaces), "{text}");
    }
}
