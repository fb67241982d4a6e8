//! `sluice plan` about OVN-Kubernetes, from files: what a take-over would change.

use expect_test::expect;
use serde_json::{Value, json};

use super::{by_hand, of, two_zones};
use crate::harness::namespace;
use crate::harness::program::sluice;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_objects_of_others_is_planned_from_files() {
    let mut objects = two_zones();
    objects.extend([
        by_hand("egressip-docs", &of("docs"), &["10.20.0.10", "10.21.0.10"]),
        by_hand("outside", &of("wiki"), &["192.0.2.7"]),
    ]);
    objects.extend(["docs", "shop", "wiki"].map(|name| namespace(name).in_pool("egress")));
    let all: Vec<&Value> = objects.iter().map(crate::harness::Object::json).collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("all.json");
    std::fs::write(&file, json!({ "apiVersion": "v1", "kind": "List", "items": all }).to_string()).expect("written");
    let path = file.to_str().expect("a path in UTF-8");
    let plan = sluice(["plan", "-o", "json", "--from", path]).await.ended_with(11).json();
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let rows: Vec<String> = plan["writes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| {
            let what = match text(row, "operation").as_str() {
                "" => String::new(),
                operation => format!(" {operation}"),
            };
            format!("{} {} {}{what}", row["stage"], text(row, "kind"), text(row, "name"))
        })
        .collect();
    expect![[r#"
        null EgressIPAM egress
        null Node worker-a0
        null Node worker-a1
        null Node worker-b0
        null Node worker-b1
        null EgressIP egressip-docs
        null Namespace docs
        null Namespace wiki
        1 EgressIP egressip-shop create
        1 Namespace shop"#]]
    .assert_eq(&rows.join("\n"));
    let holds: Vec<String> = plan["holds"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|hold| text(hold, "owner") + " " + &text(hold, "code"))
        .collect();
    assert_eq!(holds, ["wiki foreign-object"]);
}
