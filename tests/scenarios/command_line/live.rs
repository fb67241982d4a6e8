//! `sluice plan` against a cluster: the same plan as from its dump, and not one write.

use expect_test::expect;
use serde_json::{Value, json};

use super::{folder, text};
use crate::harness::program::sluice;
use crate::harness::{Cluster, User, kinds};

const KINDS: [&str; 6] = ["EgressIPAM", "HostSubnet", "Infrastructure", "Namespace", "NetNamespace", "Node"];

/// Everything `plan` reads, as `oc get -o yaml` would show it.
async fn dump(cluster: &Cluster) -> tempfile::TempDir {
    let mut files = Vec::new();
    for kind in KINDS {
        let resource = kinds::resource(kind);
        let items = cluster.list(kind).await;
        let list = json!({ "apiVersion": resource.api_version, "kind": format!("{kind}List"), "items": items });
        files.push((format!("{kind}.yaml"), serde_yaml_ng::to_string(&list).expect("YAML")));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
    folder(&files)
}

async fn same_plan_without_a_write(dump_name: &str, code: i32) {
    let cluster = Cluster::start().await;
    cluster.load_dump(dump_name).await;
    let mark = cluster.audit().mark().await;
    let kubeconfig = cluster.sluice_kubeconfig();
    let live = sluice(["plan", "-o", "json", "--kubeconfig", text(&kubeconfig)]).await.ended_with(code).json();
    let asked = cluster.audit().since(mark).await.by(User::Sluice);
    assert_eq!(asked.clone().writes().to_string(), "");
    // Only some clouds and networks have these, and only OpenShift says which network it is.
    let asked = asked.except(&["cloudprivateipconfigs", "egressips", "networks"]);
    assert_eq!(asked.that(|request| request.code >= 400).to_string(), "");

    let files = dump(&cluster).await;
    let from = sluice(["plan", "-o", "json", "--from", text(files.path())]).await.ended_with(code).json();
    let comparable = |mut plan: Value| {
        plan["generation"] = Value::Null;
        plan
    };
    assert_eq!(comparable(live), comparable(from));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_clean_cluster() {
    same_plan_without_a_write("two-pools", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_messy_cluster() {
    same_plan_without_a_write("messy-duplicates", 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_pool_that_is_being_deleted() {
    same_plan_without_a_write("mid-deletion", 11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_cluster_with_fields_that_cannot_be_read() {
    let cluster = Cluster::start().await;
    cluster.load_dump("two-pools").await;
    let broken = json!({ "egressIPs": ["10.20.0.5", "10.20.0.06"] });
    let node = cluster.list("HostSubnet").await[0].metadata.name.clone().expect("a name");
    cluster.patch("HostSubnet", &node, &broken).await;
    let kubeconfig = cluster.sluice_kubeconfig();
    let live = sluice(["plan", "-o", "json", "--kubeconfig", text(&kubeconfig)]).await.ended_with(1);
    let files = dump(&cluster).await;
    let from = sluice(["plan", "-o", "json", "--from", text(files.path())]).await.ended_with(1).json();
    let said = |plan: &Value| {
        let rows = plan["inputErrors"].as_array().expect("a list").iter();
        rows.map(|row| format!("{}: {}", row["field"], row["text"])).collect::<Vec<_>>().join("\n")
    };
    expect![[r#""HostSubnet dmz-a0: egressIPs[1]": "\"10.20.0.06\" is not an address""#]].assert_eq(&said(&from));
    assert_eq!(said(&live.json()), said(&from));
    expect![[r#"
        sluice: HostSubnet dmz-a0: egressIPs[1]: "10.20.0.06" is not an address
    "#]]
    .assert_eq(&live.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_is_named() {
    let cluster = Cluster::start().await;
    let kubeconfig = cluster.sluice_kubeconfig();
    cluster.stop_apiserver();
    let ran = sluice(["plan", "-o", "json", "--kubeconfig", text(&kubeconfig)]).await.ended_with(1);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("refused"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("sluice-token"), "{}", ran.stderr);
    cluster.start_apiserver().await;
}
