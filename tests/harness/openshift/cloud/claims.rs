//! SDN's controller. An address works while exactly one node and exactly one namespace name it; then it has a
//! `CloudPrivateIPConfig` for that node. One that goes to another node gets another object once the first is gone.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use kube::Client;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::CAPACITY_ANNOTATION;
use super::cncc::{NAME, node_of};
use crate::harness::kinds::{self, annotation, is_terminating, strings};
use crate::harness::openshift::view::View;

/// Node of each address.
type Claims = BTreeMap<String, String>;

pub async fn run(client: Client) {
    let (_always, mut on) = watch::channel(());
    let mut view = View::watch(&client, &["HostSubnet", "NetNamespace", "Node", NAME]);
    let api = kinds::all(&client, NAME);
    while view.changed_or(&mut on).await {
        let claims = claims(&view);
        let (released, missing) = (released(&view, &claims), missing(&view, &claims));
        // What fails is found again in a later round.
        for address in released {
            let _ = api.delete(&address, &DeleteParams::default()).await;
        }
        for object in missing {
            let _ = api.create(&PostParams::default(), &object).await;
        }
    }
}

fn missing(view: &View, claims: &Claims) -> Vec<DynamicObject> {
    let missing = claims.iter().filter(|(address, _)| !view.all(NAME).contains_key(*address));
    let object = |(address, node): (&String, &String)| {
        kinds::dynamic(json!({
            "apiVersion": "cloud.network.openshift.io/v1",
            "kind": NAME,
            "metadata": { "name": address },
            "spec": { "node": node },
        }))
    };
    missing.map(object).collect()
}

/// The objects that are for another node than the claimed one, or for an address that does not work.
fn released(view: &View, claims: &Claims) -> Vec<String> {
    let objects = view.all(NAME).iter().filter(|(_, object)| !is_terminating(&object.metadata));
    let released =
        objects.filter(|(address, object)| claims.get(*address).map(String::as_str) != Some(node_of(object)));
    released.map(|(address, _)| address.clone()).collect()
}

fn claims(view: &View) -> Claims {
    let mut holders: BTreeMap<String, usize> = BTreeMap::new();
    for address in view.all("NetNamespace").values().flat_map(|net| strings(net, "egressIPs")) {
        *holders.entry(address).or_default() += 1;
    }
    let mut carriers: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for (node, subnet) in view.all("HostSubnet") {
        for address in counted(view, node, subnet) {
            carriers.entry(address).or_default().push(node);
        }
    }
    let claim = |(address, nodes): (String, Vec<&String>)| match nodes.as_slice() {
        [node] if holders.get(&address) == Some(&1) => Some((address, (*node).clone())),
        _ => None,
    };
    carriers.into_iter().filter_map(claim).collect()
}

/// The addresses of a HostSubnet; if they are too many or of another subnet, it is ignored, and those before count on.
fn counted(view: &View, node: &str, subnet: &DynamicObject) -> Vec<String> {
    let listed = strings(subnet, "egressIPs");
    if allows(view.all("Node").get(node), &listed) {
        return listed;
    }
    let earlier = view.all(NAME).values().filter(|object| node_of(object) == node);
    earlier.map(kube::ResourceExt::name_any).collect()
}

fn allows(node: Option<&DynamicObject>, listed: &[String]) -> bool {
    let text = node.and_then(|node| annotation(node, CAPACITY_ANNOTATION));
    let Some(said) = text.and_then(|text| serde_json::from_str::<Value>(text).ok()) else { return false };
    let range = said[0]["ifaddr"]["ipv4"].as_str().and_then(|text| text.parse::<IpNet>().ok());
    let is_inside =
        |text: &String| text.parse::<IpAddr>().is_ok_and(|address| range.is_some_and(|range| range.contains(&address)));
    let room = said[0]["capacity"]["ip"].as_u64().unwrap_or_default();
    listed.len() as u64 <= room && listed.iter().all(is_inside)
}
