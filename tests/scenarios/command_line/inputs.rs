//! What cannot be read is named: file, document, field, value. What can be read is planned all the same.

use expect_test::expect;
use serde_json::{Value, json};

use super::{folder, objects, sorted_fields, text};
use crate::harness::program::sluice;
use crate::harness::{Object, pool};

/// The input errors of a plan from these files, beside a good cluster: one a line, paths without the folder.
async fn errors(files: &[(&str, &str)]) -> String {
    let good = super::list(&objects()).to_string();
    let folder = folder(&[&[("good.json", good.as_str())], files].concat());
    let ran = sluice(["plan", "-o", "json", "--from", text(folder.path())]).await.ended_with(1);
    let plan = ran.json();
    assert_ne!(plan["patches"], json!([]), "the good objects are planned all the same");
    let line = |error: &Value| {
        assert_eq!(sorted_fields(error), ["document", "field", "file", "text"]);
        let field = |name: &str| error[name].as_str().expect("a text").to_owned();
        let (file, text) = (field("file"), field("text"));
        // For people the line stands behind the file.
        let said =
            text.split_once(": ").filter(|(place, _)| place.starts_with("line ")).map_or(&*text, |(_, said)| said);
        assert!(ran.stderr.contains(&file) && ran.stderr.contains(said), "{}", ran.stderr);
        let file = file.strip_prefix(folder.path().to_str().expect("UTF-8")).expect("in the folder").to_owned();
        format!("{file} document {}: {}: {text}\n", error["document"], field("field"))
    };
    plan["inputErrors"].as_array().expect("a list").iter().map(line).collect()
}

fn yaml(objects: &[Object]) -> String {
    let documents: Vec<String> =
        objects.iter().map(|object| serde_yaml_ng::to_string(object.json()).expect("YAML")).collect();
    documents.join("---\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_named_with_their_value() {
    let bad = yaml(&[
        pool("first").range("zone-a", "10.30.0.0/24"),
        pool("second").range("zone-a", "10.31.0.0/24").range("zone-b", "10.32.0.0/33"),
        pool("third").range_reserving("zone-a", "10.33.0.0/24", &["10.33.0.7", "ten"]),
    ]);
    let found = errors(&[("pools/bad.yaml", &bad)]).await;
    expect![[r#"
        /pools/bad.yaml document 2: EgressIPAM second: spec.cidrAssignments[1].CIDR: "10.32.0.0/33" is not a range such as 10.20.0.0/24
        /pools/bad.yaml document 3: EgressIPAM third: spec.cidrAssignments[0].reservedIPs[1]: "ten" is not an address
    "#]].assert_eq(&found);
}

#[tokio::test(flavor = "multi_thread")]
async fn syntax_errors_cost_one_document() {
    let found = errors(&[
        ("broken.json", "{\n  \"kind\": \"Namespace\",\n"),
        ("broken.yaml", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: good\n---\nkind: [unclosed\n"),
    ])
    .await;
    expect![[r#"
        /broken.json document 1: : line 3: EOF while parsing a value
        /broken.yaml document 2: : line 7: did not find expected ',' or ']', while parsing a flow sequence at line 6 column 7
    "#]]
    .assert_eq(&found);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_without_name_or_version_are_no_objects() {
    let found = errors(&[
        ("nameless.yaml", "apiVersion: v1\nkind: Node\nmetadata: {}\n"),
        ("versionless.yaml", "kind: Node\nmetadata:\n  name: worker-x\n"),
    ])
    .await;
    expect![[r#"
        /nameless.yaml document 1: : Node: metadata.name: missing
        /versionless.yaml document 1: : Node: no apiVersion
    "#]]
    .assert_eq(&found);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_objects_or_that_is_missing_is_bad_input() {
    let empty = tempfile::tempdir().expect("a temporary folder");
    for path in [empty.path().to_owned(), empty.path().join("missing")] {
        let ran = sluice(["plan", "-o", "json", "--from", text(&path)]).await.ended_with(1);
        assert_eq!(ran.stdout, "");
        assert!(ran.stderr.contains(text(&path)), "{}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_policy_and_settings_are_named() {
    let all = super::listed(&objects());
    let missing = all.path().join("missing.wasm");
    let ran = sluice(["plan", "--from", text(all.path()), "--policy", text(&missing)]).await.ended_with(1);
    assert!(ran.stderr.contains(text(&missing)), "{}", ran.stderr);
    let settings = all.path().join("settings.txt");
    std::fs::write(&settings, "{ unclosed").expect("the folder is writable");
    let ran = sluice(["plan", "--from", text(all.path()), "--settings", text(&settings)]).await.ended_with(1);
    assert!(ran.stderr.contains(text(&settings)), "{}", ran.stderr);
}
