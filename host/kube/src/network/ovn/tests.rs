use serde_json::{Value, json};

use sluice_core::network::Network;
use sluice_core::observed::{HoldingFacts, Listed, Observed, Platform};

use crate::index::Index;
use crate::kind::Kind;
use crate::object::Object;

fn object(kind: &str, name: &str, rest: Value) -> Object {
    let mut body =
        json!({"kind": kind, "metadata": {"name": name, "uid": format!("uid-{name}"), "resourceVersion": "1"}});
    merge(&mut body, rest);
    Object::new(body)
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn egress_ip(name: &str, selector: &Value, addresses: &[&str], labels: &Value) -> Object {
    let spec = json!({"egressIPs": addresses, "namespaceSelector": selector});
    object("EgressIP", name, json!({"metadata": {"labels": labels}, "spec": spec}))
}

fn of(namespace: &str) -> Value {
    json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}})
}

fn ours(namespace: &str) -> Value {
    json!({"sluice.dev/pool": "east", "sluice.dev/namespace": namespace})
}

fn namespace(name: &str, pool: Option<&str>) -> Object {
    let annotations = json!({"egressip-ipam-operator.redhat-cop.io/egressipam": pool});
    object("Namespace", name, json!({"metadata": {"annotations": annotations}}))
}

fn pool() -> Object {
    let entry = json!({"CIDR": "10.20.0.0/24", "labelValue": "a"});
    object("EgressIPAM", "east", json!({"spec": {"topologyLabel": "zone", "cidrAssignments": [entry]}}))
}

/// A cluster with these objects.
fn cluster(objects: &[(Kind, Object)]) -> Index {
    let mut index = Index::default();
    index.set_time(5_000);
    index.set_network(Network::OvnKubernetes);
    for kind in Kind::ALL {
        let all: Vec<Object> = objects.iter().filter(|(of, _)| *of == kind).map(|(_, object)| object.clone()).collect();
        index.reset(kind, &all);
    }
    index
}

fn seen(objects: &[(Kind, Object)]) -> Observed {
    cluster(objects).snapshot(5_000).unwrap()
}

fn holding(observed: &Observed, owner: &str) -> HoldingFacts {
    observed.holdings.get(owner).map(|facts| HoldingFacts::clone(facts)).unwrap_or_default()
}

#[test]
fn the_object_of_a_namespace_is_found_by_what_it_selects() {
    let with_pods = json!({"spec": {"podSelector": {"matchLabels": {"app": "web"}}}});
    let mut of_pods = egress_ip("of-pods", &of("shop"), &["10.20.0.9"], &json!({})).body().clone();
    merge(&mut of_pods, with_pods);
    let several = json!({"matchExpressions": [{"key": "team", "operator": "Exists"}]});
    // What it is called, what it selects, its labels; then what becomes of namespace shop.
    let cases: [(&str, Vec<Object>, Option<&str>, &str); 9] = [
        ("none", vec![], Some("east"), ""),
        (
            "ours",
            vec![egress_ip("egressip-shop", &of("shop"), &["10.20.0.5"], &ours("shop"))],
            Some("east"),
            "egressip-shop, ours to delete, of pool east",
        ),
        (
            "the platform's",
            vec![egress_ip("egressip-shop", &of("shop"), &["10.20.0.5"], &json!({}))],
            Some("east"),
            "egressip-shop, ours to delete",
        ),
        ("by hand", vec![egress_ip("mine", &of("shop"), &["10.20.0.5"], &json!({}))], Some("east"), "mine"),
        ("by hand, of nobody who opted in", vec![egress_ip("mine", &of("shop"), &["10.20.0.5"], &json!({}))], None, ""),
        (
            "ours, of one that opted out",
            vec![egress_ip("egressip-shop", &of("shop"), &["10.20.0.5"], &ours("shop"))],
            None,
            "egressip-shop, ours to delete, of pool east",
        ),
        (
            "outside",
            vec![egress_ip("mine", &of("shop"), &["10.20.0.5", "10.9.0.1"], &json!({}))],
            Some("east"),
            "EgressIP mine has addresses that pool east does not give: 10.9.0.1",
        ),
        ("of pods only", vec![Object::new(of_pods)], Some("east"), ""),
        (
            "another's name",
            vec![egress_ip("egressip-shop", &several, &["10.20.0.5"], &json!({}))],
            Some("east"),
            "EgressIP egressip-shop selects something else than this namespace alone",
        ),
    ];
    for (what, objects, opted_in, expected) in &cases {
        let mut all = vec![(Kind::Pool, pool()), (Kind::Namespace, namespace("shop", *opted_in))];
        all.extend(objects.iter().map(|object| (Kind::EgressIp, object.clone())));
        let facts = holding(&seen(&all), "shop");
        let deletable = if facts.deletable { ", ours to delete" } else { "" };
        let of_pool = facts.pool.as_ref().map(|pool| format!(", of pool {pool}")).unwrap_or_default();
        let text = facts.obstacle.clone().unwrap_or_else(|| format!("{}{deletable}{of_pool}", facts.object));
        assert_eq!(&text, expected, "{what}");
    }
}

#[test]
fn two_objects_of_one_namespace_are_nobodys_to_choose_from() {
    let both = [
        (Kind::Pool, pool()),
        (Kind::Namespace, namespace("shop", Some("east"))),
        (Kind::EgressIp, egress_ip("one", &of("shop"), &["10.20.0.5"], &json!({}))),
        (Kind::EgressIp, egress_ip("two", &of("shop"), &["10.20.0.6"], &json!({}))),
    ];
    let observed = seen(&both);
    let obstacle = holding(&observed, "shop").obstacle.unwrap();
    assert_eq!(obstacle, "EgressIPs one, two all select this namespace, so that the network chooses one by chance");
    // Their addresses are taken all the same.
    let listed: Vec<String> =
        observed.holdings.values().flat_map(|facts| &facts.egress_ips).map(ToString::to_string).collect();
    assert_eq!(listed, ["10.20.0.5", "10.20.0.6"]);
    // One that we wrote goes on serving, whoever makes another beside it.
    let mut with_ours = both.to_vec();
    with_ours.push((Kind::EgressIp, egress_ip("egressip-shop", &of("shop"), &["10.20.0.7"], &ours("shop"))));
    assert_eq!(holding(&seen(&with_ours), "shop").object, "egressip-shop");
}

#[test]
fn status_says_what_nodes_carry_and_labels_what_is_recorded() {
    let labels = json!({
        "sluice.dev/pool": "east",
        "sluice.dev/namespace": "shop",
        "zone.sluice.dev/10.20.0.5": "a",
        "zone.sluice.dev/fd00.0000.0000.0000.0000.0000.0000.0005": "b",
        "replaced.sluice.dev/10.20.0.6": "",
        "zone.sluice.dev/nonsense": "c",
    });
    let mut body = egress_ip("egressip-shop", &of("shop"), &["10.20.0.5", "fd00::5"], &labels).body().clone();
    merge(&mut body, json!({"status": {"items": [{"node": "n1", "egressIP": "10.20.0.5"}, {"node": 7}]}}));
    let observed = seen(&[(Kind::Namespace, namespace("shop", Some("east"))), (Kind::EgressIp, Object::new(body))]);
    let facts = holding(&observed, "shop");
    let zones: Vec<String> = facts.zones.iter().map(|(address, zone)| format!("{address} {zone}")).collect();
    assert_eq!(zones, ["10.20.0.5 a", "fd00::5 b"]);
    assert_eq!(facts.replaced, ["10.20.0.6".parse().unwrap()].into());
    assert_eq!(facts.carried, ["10.20.0.5".parse().unwrap()].into());
    // The node is gone, and carries all the same.
    assert_eq!(observed.carriers["n1"].egress_ips, [Listed::from("10.20.0.5")]);
}

fn node(name: &str, labels: &Value, annotations: &Value) -> (Kind, Object) {
    (Kind::Node, object("Node", name, json!({"metadata": {"labels": labels, "annotations": annotations}})))
}

#[test]
fn a_node_says_which_addresses_it_can_carry() {
    let primary = r#"{"ipv4":"10.20.0.1/24","ipv6":"fd00::1/64"}"#;
    let hosts = r#"["10.20.0.1/24","10.30.0.1/16","169.254.1.1/16","fd00::1/64"]"#;
    let cloud = r#"[{"interface":"nic","ifaddr":{"ipv4":"10.40.0.0/18"},"capacity":{"ip":10}},{"ifaddr":{"ipv4":"10.9.0.0/16"}}]"#;
    let cases = [
        ("silent", json!({}), None),
        ("bare", json!({"k8s.ovn.org/node-primary-ifaddr": primary}), Some("10.20.0.0/24 fd00::/64")),
        (
            "wide",
            json!({"k8s.ovn.org/node-primary-ifaddr": primary, "k8s.ovn.org/host-cidrs": hosts}),
            Some("10.20.0.0/24 fd00::/64 10.30.0.0/16"),
        ),
        (
            "cloudy",
            json!({"k8s.ovn.org/node-primary-ifaddr": primary, "cloud.network.openshift.io/egress-ipconfig": cloud}),
            Some("10.40.0.0/18"),
        ),
        ("broken", json!({"k8s.ovn.org/node-primary-ifaddr": "{"}), None),
    ];
    let nodes: Vec<_> = cases.iter().map(|(name, annotations, _)| node(name, &json!({}), annotations)).collect();
    let observed = seen(&nodes);
    for (name, _, expected) in &cases {
        let networks = observed.carriers.get(*name).and_then(|facts| facts.networks.clone());
        let networks = networks.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        assert_eq!(networks.as_deref(), *expected, "{name}");
    }
    assert!(!observed.carriers.contains_key("silent"), "it can carry nothing");
    assert_eq!(observed.capacity(&"cloudy".into()).total, Some(10));
}

#[test]
fn an_address_that_the_network_put_on_a_node_is_not_its_own() {
    let hosts = r#"["10.20.0.1/24","10.20.0.5/32","10.20.0.6/32"]"#;
    let placed = r#"["10.20.0.5"]"#;
    let annotations = json!({"k8s.ovn.org/host-cidrs": hosts, "k8s.ovn.org/bridge-egress-ips": placed});
    let observed = seen(&[node("n1", &json!({}), &annotations)]);
    let own: Vec<String> = observed.nodes["n1"].addresses.iter().map(ToString::to_string).collect();
    assert_eq!(own, ["10.20.0.1", "10.20.0.6"]);
}

#[test]
fn how_long_a_node_has_the_label_is_measured_from_when_it_was_seen() {
    let labelled = |mark: Value| {
        let primary = r#"{"ipv4":"10.20.0.1/24"}"#;
        let annotations = json!({"k8s.ovn.org/node-primary-ifaddr": primary, "sluice.dev/egress-assignable": mark});
        node("n1", &json!({"k8s.ovn.org/egress-assignable": ""}), &annotations).1
    };
    let mut index = cluster(&[(Kind::Node, labelled(Value::Null))]);
    let label =
        |index: &Index| index.snapshot(0).unwrap().carriers["n1"].assignable.map(|label| (label.ours, label.since));
    assert_eq!(label(&index), Some((false, 5_000)));
    index.set_time(9_000);
    assert!(index.apply(Kind::Node, &labelled(json!("true"))), "it became ours");
    assert_eq!(label(&index), Some((true, 5_000)));
    let unlabelled =
        node("n1", &json!({}), &json!({"k8s.ovn.org/node-primary-ifaddr": r#"{"ipv4":"10.20.0.1/24"}"#})).1;
    assert!(index.apply(Kind::Node, &unlabelled));
    assert_eq!(label(&index), None);
    assert!(index.apply(Kind::Node, &labelled(json!("true"))));
    assert_eq!(label(&index), Some((true, 9_000)));
}

#[test]
fn in_a_cloud_its_controller_has_to_be_at_work() {
    let infrastructure = |platform: &str| {
        (
            Kind::Infrastructure,
            object("Infrastructure", "cluster", json!({"status": {"platformStatus": {"type": platform}}})),
        )
    };
    let mut index = cluster(&[infrastructure("AWS")]);
    assert_eq!(index.snapshot(0).unwrap().refusal(), None, "CloudPrivateIPConfigs are served");
    assert_eq!(index.snapshot(0).unwrap().platform, Platform::SelfManaged("AWS".to_owned()));
    index.clear(Kind::PrivateIp);
    let refusal = index.snapshot(0).unwrap().refusal().unwrap();
    assert!(
        refusal.starts_with("OVN-Kubernetes on AWS needs OpenShift's cloud network config controller"),
        "{refusal}"
    );
    let mut bare = cluster(&[infrastructure("BareMetal")]);
    bare.clear(Kind::PrivateIp);
    assert_eq!(bare.snapshot(0).unwrap().refusal(), None);
}

#[test]
fn the_old_operator_s_lock_stops_nothing_here() {
    let record = json!({"holderIdentity": "pod-1", "leaseDurationSeconds": 600, "renewTime": "1970-01-01T00:00:05Z"});
    let annotations = json!({"control-plane.alpha.kubernetes.io/leader": record.to_string()});
    let lock = object(
        "ConfigMap",
        "9ae943bf.redhat.io",
        json!({"metadata": {"namespace": "ops", "annotations": annotations}}),
    );
    let mut index = cluster(&[(Kind::Lock, lock)]);
    assert_eq!(index.foreign_lock(5_000), None);
    index.set_network(Network::OpenShiftSdn);
    assert!(index.foreign_lock(5_000).is_some());
}

#[test]
fn what_we_made_is_known_at_once_and_does_not_come_back_from_the_dead() {
    let made = |version: &str| {
        let mut body = egress_ip("egressip-shop", &of("shop"), &["10.20.0.5"], &ours("shop")).body().clone();
        merge(&mut body, json!({"metadata": {"resourceVersion": version}}));
        Object::new(body)
    };
    let mut index = cluster(&[(Kind::Namespace, namespace("shop", Some("east")))]);
    assert!(index.note_made(Kind::EgressIp, &made("5")));
    assert!(!index.note_made(Kind::EgressIp, &made("5")), "the watch has shown it already");
    assert!(index.delete(Kind::EgressIp, &made("6")));
    assert!(!index.note_made(Kind::EgressIp, &made("5")), "somebody has deleted it since");
    assert!(index.snapshot(0).unwrap().holdings.is_empty());
    assert!(index.note_made(Kind::EgressIp, &made("7")));
    assert!(index.note_deleted(Kind::EgressIp, "egressip-shop", "uid-egressip-shop"));
    assert!(index.snapshot(0).unwrap().holdings.is_empty());
}
