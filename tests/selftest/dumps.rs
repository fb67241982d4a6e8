use std::collections::BTreeSet;
use std::time::Duration;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::harness::{Cluster, DUMPS, Object, SOON, User, dump, kinds};

#[tokio::test(flavor = "multi_thread")]
async fn every_dump_is_served_as_it_was_recorded() {
    let cluster = Cluster::start().await;
    for name in DUMPS {
        cluster.reset().await;
        let mark = cluster.audit().mark().await;
        cluster.load_dump(name).await;
        for object in dump::objects(name) {
            assert_served(&cluster, &object).await;
        }
        cluster.audit().silence(User::OpenShift, Duration::from_millis(300), SOON).await;
        let stand_in = cluster.audit().since(mark).await.by(User::OpenShift).writes();
        assert_eq!(stand_in.count(), 0, "{name}: the stand-in changes the dump: {stand_in}");
    }
}

/// Everything the dump says is what the API says; the API may add defaults.
async fn assert_served(cluster: &Cluster, object: &Object) {
    let api = cluster.api(object.kind(), object.namespace());
    let served = api.get(object.name()).await.unwrap_or_else(|error| panic!("{}: {error}", object.name()));
    let mut recorded = object.json().clone();
    recorded["metadata"]["resourceVersion"] = Value::Null;
    let missing = missing(&recorded, &json!(served), "");
    assert!(missing.is_empty(), "{} {}:\n{}", object.kind(), object.name(), missing.join("\n"));
}

fn missing(wanted: &Value, seen: &Value, path: &str) -> Vec<String> {
    match (wanted, seen) {
        (Value::Null, _) => Vec::new(),
        (Value::Object(fields), Value::Object(_)) => {
            fields.iter().flat_map(|(name, value)| missing(value, &seen[name], &format!("{path}.{name}"))).collect()
        }
        _ if wanted == seen => Vec::new(),
        // The API server leaves out what is empty.
        (Value::Object(fields), Value::Null) if fields.is_empty() => Vec::new(),
        _ => vec![format!("{path}: {wanted} became {seen}")],
    }
}

async fn looks(dump: &str, expected: Expect) {
    let cluster = Cluster::start().await;
    cluster.load_dump(dump).await;
    expected.assert_eq(&cluster.outcome().await.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_cidr() {
    looks(
        "baremetal-one-cidr",
        expect![[r#"
        billing: egress-prod, 10.20.0.3 on worker-1
        egressip-ipam-operator: no NetNamespace
        plain: -
        reports: egress-prod, 10.20.0.4 on worker-2
        search: egress-prod, 10.20.0.50 on worker-0
        shop: egress-prod, 10.20.0.2 on worker-0
        worker-0: offers 10.20.0.0/24
        worker-1: offers 10.20.0.0/24
        worker-2: offers 10.20.0.0/24
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messy_duplicates() {
    looks(
        "messy-duplicates",
        expect![[r#"
        billing: egress-prod, 10.20.0.3 on worker-a0 and worker-a1, 10.21.0.3 on worker-b1
        egressip-ipam-operator: no NetNamespace
        legacy: -
        mirror: egress-prod, 10.20.0.3 on worker-a0 and worker-a1, 10.21.0.3 on worker-b1
        orders: 10.20.0.4 on worker-a0 and worker-a1, 10.21.0.4 on worker-b0
        partner: 10.20.9.5 on infra-0, not annotated
        payments: egress-prod, 10.20.0.4 on worker-a0 and worker-a1, 10.21.0.4 on worker-b0
        reports: egress-prod, 10.20.0.60 on worker-a0 and worker-a1, 10.21.0.60 on worker-b1, 8.8.8.8 on no node
        shop: egress-prod, 10.20.0.2 on worker-a1, 10.21.0.2 on worker-b0
        worker-a1: 10.20.0.5 of nobody
        worker-b1: 10.21.0.5 of nobody
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mid_deletion() {
    looks(
        "mid-deletion",
        expect![[r#"
        billing: egress-prod
        egressip-ipam-operator: no NetNamespace
        plain: -
        reports: egress-prod, no NetNamespace, terminating
        search: egress-prod, no NetNamespace
        shop: egress-prod
        worker-a0: 10.20.0.2 of nobody, 10.20.0.4 of nobody
        worker-a1: 10.20.0.3 of nobody, 10.20.0.5 of nobody
        worker-b0: 10.21.0.3 of nobody, 10.21.0.4 of nobody
        worker-b1: 10.21.0.2 of nobody, 10.21.0.5 of nobody
    "#]],
    )
    .await;
}

#[test]
fn every_kind_in_a_dump_is_known() {
    let kinds: BTreeSet<String> =
        DUMPS.into_iter().flat_map(dump::objects).map(|object| object.kind().to_owned()).collect();
    for kind in kinds {
        kinds::resource(&kind);
    }
}
