//! Every field of every kind, broken in every way: nothing panics, and the object's neighbours are as before.

use kube::core::ObjectList;
use serde_json::{Value, json};

use super::object;
use crate::index::Index;
use crate::kind::Kind;
use crate::object::Object;

/// One good object of each kind, with `NAME` for its name.
const GOOD: [(Kind, &str); 7] = [
    (
        Kind::Pool,
        "{metadata: {name: NAME, uid: u, resourceVersion: '5', generation: 2, creationTimestamp: 2024-05-06T07:08:09Z, finalizers: [f], annotations: {a: b}, labels: {c: d}},
          spec: {topologyLabel: zone, nodeSelector: {matchLabels: {a: b}, matchExpressions: [{key: k, operator: In, values: [v]}]},
                 cidrAssignments: [{CIDR: 10.0.0.0/24, labelValue: a, reservedIPs: [10.0.0.5]}], reservedIPs: [], zoneFailover: Same},
          status: {conditions: [{type: Ready, status: 'True'}]}}",
    ),
    (
        Kind::Node,
        "{metadata: {name: NAME, uid: u, resourceVersion: '5', labels: {zone: a}}, spec: {unschedulable: false},
          status: {addresses: [{type: InternalIP, address: 10.1.0.4}], conditions: [{type: Ready, status: 'True'}]}}",
    ),
    (
        Kind::Namespace,
        "{metadata: {name: NAME, uid: u, resourceVersion: '5', creationTimestamp: 2024-05-06T07:08:09Z, labels: {a: b},
          annotations: {egressip-ipam-operator.redhat-cop.io/egressipam: east, egressip-ipam-operator.redhat-cop.io/egressips: 10.0.0.9, sluice.dev/hold: h}},
          status: {phase: Active}}",
    ),
    (
        Kind::NetNamespace,
        "{metadata: {name: NAME, uid: u, resourceVersion: '5', annotations: {sluice.dev/pool: east, sluice.dev/zones: 10.0.0.9=a}}, netname: NAME, netid: 5, egressIPs: [10.0.0.9]}",
    ),
    (
        Kind::HostSubnet,
        "{metadata: {name: NAME, uid: u, resourceVersion: '5'}, host: NAME, hostIP: 10.1.0.4, subnet: 10.128.0.0/23, egressIPs: [10.0.0.9], egressCIDRs: [10.0.0.0/24]}",
    ),
    (
        Kind::Infrastructure,
        "{metadata: {name: cluster, uid: u, resourceVersion: '5'}, status: {platform: None, platformStatus: {type: None}}}",
    ),
    (
        Kind::Lock,
        "{metadata: {name: 9ae943bf.redhat.io, namespace: NAME, uid: u, resourceVersion: '5', annotations: {control-plane.alpha.kubernetes.io/leader: '{}'}}}",
    ),
];

/// Pointers to every value inside.
fn pointers(value: &Value, path: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(nth, value)| (nth.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (name, value) in children {
        let path = format!("{path}/{name}");
        pointers(value, &path, found);
        found.push(path);
    }
}

fn breakages() -> [Value; 10] {
    let long = "9".repeat(100_000);
    [
        json!(null),
        json!(5),
        json!(-1.5e300),
        json!(true),
        json!(""),
        json!("\u{0}\u{fffd}/,: \n"),
        json!(long),
        json!([]),
        json!({}),
        json!([null, {"type": "Ready"}, [5]]),
    ]
}

#[test]
fn one_broken_object_costs_nobody_else() {
    let mut tried = 0;
    for (kind, good) in GOOD {
        let named = |name: &str| object(&good.replace("NAME", name)).body().clone();
        let mut paths = Vec::new();
        pointers(&named("broken"), "", &mut paths);
        let mut alone = Index::default();
        alone.reset(kind, &[Object::new(named("first")), Object::new(named("last"))]);
        for path in
            paths.iter().filter(|path| !matches!(path.as_str(), "/metadata" | "/metadata/name" | "/metadata/uid"))
        {
            for breakage in breakages() {
                let mut broken = named("broken");
                *broken.pointer_mut(path).unwrap() = breakage;
                tried += 1;
                check_neighbours(kind, &[named("first"), broken, named("last")], &alone);
            }
        }
    }
    assert!(tried > 500, "{tried}");
}

/// The list as kube reads it, with the broken object in the middle.
fn check_neighbours(kind: Kind, items: &[Value; 3], alone: &Index) {
    let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "9"}, "items": items});
    let list: ObjectList<Object> = serde_json::from_value(list).unwrap();
    let mut index = Index::default();
    index.reset(kind, &list.items);
    for other in Kind::ALL {
        index.reset(other, if other == kind { &list.items } else { &[] });
    }
    let snapshot = index.snapshot(0).unwrap();
    for name in ["first", "last"] {
        match kind {
            Kind::Pool => assert_eq!(snapshot.pools.get(name), alone.facts().pools.get(name)),
            Kind::Node => assert_eq!(snapshot.nodes.get(name), alone.facts().nodes.get(name)),
            Kind::Namespace => assert_eq!(snapshot.namespaces.get(name), alone.facts().namespaces.get(name)),
            Kind::NetNamespace => assert_eq!(snapshot.holdings.get(name), alone.facts().holdings.get(name)),
            Kind::HostSubnet => assert_eq!(snapshot.carriers.get(name), alone.facts().carriers.get(name)),
            Kind::EgressIp | Kind::NetworkConfig | Kind::Infrastructure | Kind::PrivateIp | Kind::Lock => {}
        }
    }
}

#[test]
fn an_object_may_be_no_object() {
    for body in breakages() {
        for kind in Kind::ALL {
            Index::default().apply(kind, &Object::new(body.clone()));
            Index::default().apply(kind, &Object::new(json!({"metadata": body})));
            Index::default().apply(kind, &Object::new(json!({"metadata": {"name": body}})));
        }
    }
}
