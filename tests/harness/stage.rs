//! A small cluster to begin with, and ways to tell that the operator is at rest.

use std::future::Future;

use futures::future::join_all;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::cluster::SOON;
use super::kinds::annotation;
use super::wait::{eventually, until};
use super::{Cluster, Object, Operator, infrastructure, namespace, node, pool};

/// Annotation of a namespace: why it is not served.
const HOLD: &str = "sluice.dev/hold";

/// Whether something happens while the operator runs or while it is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum While {
    /// It runs.
    Running,
    /// It is stopped before and started after.
    Down,
}

/// Bare metal; pool `egress` with a range in each of two zones; a node in each zone.
pub fn two_zones() -> Vec<Object> {
    vec![
        infrastructure("BareMetal"),
        pool("egress").range("zone-a", "10.20.0.0/24").range("zone-b", "10.21.0.0/24"),
        node("worker-a0").zone("zone-a"),
        node("worker-b0").zone("zone-b"),
    ]
}

/// [`two_zones`] with these namespaces in pool `egress`, served and at rest. In the order of their names they have the
/// addresses from `10.20.0.2` and `10.21.0.2` on.
pub async fn serving(names: &[&str]) -> (Cluster, Operator) {
    let cluster = Cluster::start().await;
    cluster.furnish(two_zones().into_iter().chain(names.iter().map(|name| namespace(name).in_pool("egress")))).await;
    let operator = Operator::start(&cluster).await;
    let all_served = format!("True Served: {} namespaces served", names.len());
    eventually("all are served, and the status says so", SOON, || async {
        let ready = cluster.condition("egress", "Ready").await;
        if ready == all_served { Ok(()) } else { Err(format!("{ready}\n{}", cluster.outcome().await)) }
    })
    .await;
    cluster.settled().await;
    (cluster, operator)
}

/// The patch that gives a pool these ranges.
pub fn ranges(entries: &[(&str, &str)]) -> Value {
    let entries: Vec<Value> = entries.iter().map(|(zone, cidr)| json!({ "labelValue": zone, "CIDR": cidr })).collect();
    json!({ "spec": { "cidrAssignments": entries } })
}

impl Cluster {
    /// Creates objects, and waits until each namespace and node among them has its NetNamespace or HostSubnet.
    pub async fn furnish(&self, objects: impl IntoIterator<Item = Object>) {
        let objects: Vec<Object> = objects.into_iter().collect();
        self.create(objects.clone()).await;
        let companions = objects.iter().filter_map(|object| match object.kind() {
            "Namespace" => Some(("NetNamespace", object.name())),
            "Node" => Some(("HostSubnet", object.name())),
            _ => None,
        });
        join_all(companions.map(|(kind, name)| self.is_there(kind, name))).await;
    }

    /// From now on a deleted namespace stays Terminating, or no longer does.
    pub fn keeps_terminating(&self, namespace: &str, stays: bool) {
        self.openshift().switch(|switches| {
            if stays {
                switches.held.insert(namespace.into());
            } else {
                switches.held.remove(namespace);
            }
        });
    }

    /// A new namespace or node of this name gets no NetNamespace or HostSubnet.
    pub fn gives_no_companion(&self, name: &str) {
        self.openshift().switch(|switches| {
            switches.without.insert(name.into());
        });
    }

    /// Waits for an outcome, and until the operator writes nothing more. It has to be sound and to stay as it is.
    #[track_caller]
    pub fn rests(&self, expected: expect_test::Expect) -> impl Future<Output = ()> {
        let reached = self.becomes(expected);
        async move {
            reached.await;
            let reached = self.outcome().await.to_string();
            self.settled().await;
            assert_eq!(self.outcome().await.to_string(), reached, "it does not stay");
            self.assert_sound().await;
        }
    }

    /// Does something while the operator runs, or while it is down. Returns the operator that runs afterwards.
    pub async fn disturb(&self, operator: Operator, when: While, change: impl AsyncFnOnce()) -> Operator {
        if when == While::Running {
            change().await;
            return operator;
        }
        operator.stop().await;
        change().await;
        Operator::start(self).await
    }

    /// A condition of a pool: `False LastReconcileCycleSucceded: its message`.
    pub async fn condition(&self, pool: &str, kind: &str) -> String {
        let object = self.get("EgressIPAM", pool).await;
        let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or("?").to_owned();
        let conditions = object.map(|object| object.data["status"]["conditions"].clone()).unwrap_or_default();
        let found = conditions.as_array().into_iter().flatten().find(|condition| condition["type"] == kind).cloned();
        found.map_or_else(
            || "none".into(),
            |found| format!("{} {}: {}", text(&found, "status"), text(&found, "reason"), text(&found, "message")),
        )
    }

    /// Waits until a condition of a pool reads like this.
    #[track_caller]
    pub fn condition_becomes(&self, pool: &str, kind: &str, expected: expect_test::Expect) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let reached = until(SOON, || async {
                let seen = self.condition(pool, kind).await;
                if seen == expected.data() { Ok(()) } else { Err(seen) }
            });
            if let Err(last) = reached.await {
                eprintln!("{caller}: not the expected condition within {SOON:?}");
                expected.assert_eq(&last);
            }
        }
    }

    /// Why a namespace is not served, as its annotation says.
    pub async fn hold_of(&self, namespace: &str) -> Option<String> {
        self.annotation_of("Namespace", namespace, HOLD).await
    }

    /// Waits until a namespace's hold reads like this.
    #[track_caller]
    pub fn hold_becomes(&self, namespace: &str, expected: Option<&str>) -> impl Future<Output = ()> {
        eventually("a hold is as expected", SOON, move || async move {
            let seen = self.hold_of(namespace).await;
            if seen.as_deref() == expected { Ok(()) } else { Err(format!("{namespace}: {seen:?}, not {expected:?}")) }
        })
    }

    /// An annotation of a cluster-scoped object.
    pub async fn annotation_of(&self, kind: &str, name: &str, key: &str) -> Option<String> {
        let object: Option<DynamicObject> = self.get(kind, name).await;
        object.and_then(|object| annotation(&object, key).map(String::from))
    }
}

impl Operator {
    /// Planning rounds so far, of every kind.
    pub async fn rounds(&self) -> f64 {
        let (_, text) = self.page("/metrics").await.unwrap_or_default();
        let series = text.lines().filter(|line| line.starts_with("sluice_rounds_total"));
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits until it has planned more often than `before`.
    #[track_caller]
    pub fn looks_again(&self, before: f64) -> impl Future<Output = ()> {
        eventually("the operator plans again", SOON, move || async move {
            let rounds = self.rounds().await;
            if rounds > before { Ok(()) } else { Err(format!("{rounds} rounds")) }
        })
    }
}
