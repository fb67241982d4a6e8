//! What people are told: holds, warnings, status. Each as text, to be compared with [`reads`](super::reads).

use std::collections::BTreeSet;

use kube::ResourceExt as _;
use serde_json::Value;

use super::cluster::{Cluster, SOON};
use super::kinds::{annotation, is_system_namespace};
use super::wait::eventually;

/// Annotation of a namespace: why it is not served.
pub const HOLD_ANNOTATION: &str = "sluice.dev/hold";

impl Cluster {
    /// `namespace: hold`, a line for each namespace that has one.
    pub async fn holds(&self) -> String {
        let namespaces = self.list("Namespace").await;
        let held =
            namespaces.iter().filter_map(|object| Some((object.name_any(), annotation(object, HOLD_ANNOTATION)?)));
        held.map(|(name, hold)| format!("{name}: {hold}")).collect::<Vec<_>>().join("\n")
    }

    /// `kind name: Reason: message`, a line for each different warning event of Sluice, sorted.
    pub async fn warnings(&self) -> String {
        let events = self.list("Event").await;
        let warnings = events
            .iter()
            .filter(|event| event.data["type"] == "Warning" && event.data["source"]["component"] == "sluice");
        let line = |event: &kube::api::DynamicObject| {
            let text = |pointer| event.data.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
            let about = (text("/involvedObject/kind"), text("/involvedObject/name"));
            format!("{} {}: {}: {}\n", about.0, about.1, text("/reason"), text("/message"))
        };
        warnings.map(line).collect::<BTreeSet<String>>().into_iter().collect()
    }

    /// A pool's status: namespaces, zones, and the conditions `Ready` and `Degraded`.
    ///
    /// ```text
    /// served 5 of 6, held 1
    /// zone-a 10.20.0.0/29: 5 of 5 used, 1 of 1 nodes healthy
    /// Ready=False Held: 1 of 6 namespaces wait, see their annotation sluice.dev/hold
    /// Degraded=True Held: f is held in zone zone-a: exhausted
    /// ```
    pub async fn status(&self, pool: &str) -> String {
        let object = self.get("EgressIPAM", pool).await;
        let status = object.map_or(Value::Null, |object| object.data["status"].clone());
        let owners = &status["owners"];
        let mut lines = vec![format!("served {} of {}, held {}", owners["served"], owners["total"], owners["held"])];
        lines.extend(list(&status["zones"]).map(|zone| {
            let (name, range) = (word(&zone["name"]), word(&zone["range"]));
            let (used, size) = (&zone["used"], &zone["size"]);
            let (healthy, nodes) = (&zone["healthyNodes"], &zone["nodes"]);
            format!("{name} {range}: {used} of {size} used, {healthy} of {nodes} nodes healthy")
        }));
        for kind in ["Ready", "Degraded"] {
            let condition = list(&status["conditions"]).find(|condition| condition["type"] == kind);
            lines.extend(condition.map(|condition| {
                let (status, reason) = (word(&condition["status"]), word(&condition["reason"]));
                format!("{kind}={status} {reason}: {}", word(&condition["message"]))
            }));
        }
        lines.join("\n")
    }

    /// Waits until the operator has seen this many nodes of a pool's zone, and this many of them healthy.
    pub async fn zone_has(&self, pool: &str, zone: &str, nodes: u64, healthy: u64) {
        eventually(&format!("{pool} has {nodes} nodes in {zone}, {healthy} of them healthy"), SOON, || async {
            let object = self.get("EgressIPAM", pool).await.ok_or("no such pool")?;
            let zones = object.data["status"]["zones"].clone();
            let found = list(&zones)
                .any(|seen| seen["name"] == zone && seen["nodes"] == nodes && seen["healthyNodes"] == healthy);
            if found { Ok(()) } else { Err(zones.to_string()) }
        })
        .await;
    }

    /// Waits until every namespace has its NetNamespace and every node its HostSubnet.
    pub async fn companions_are_there(&self) {
        for (leader, follower) in [("Namespace", "NetNamespace"), ("Node", "HostSubnet")] {
            eventually(&format!("a {follower} for each {leader}"), SOON, || async {
                let followers: BTreeSet<String> =
                    self.list(follower).await.iter().map(kube::ResourceExt::name_any).collect();
                let leaders = self.list(leader).await;
                let names = leaders.iter().map(kube::ResourceExt::name_any).filter(|name| !is_system_namespace(name));
                let missing: Vec<String> = names.filter(|name| !followers.contains(name)).collect();
                if missing.is_empty() { Ok(()) } else { Err(missing.join(" ")) }
            })
            .await;
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}
