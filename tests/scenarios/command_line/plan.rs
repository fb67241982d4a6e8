//! `sluice plan --from`: exit codes, the document for programs, the text for people.

use expect_test::expect;
use serde_json::{Value, json};
use sluice_builtin_policies::{PACK, ZONE_SPREAD};

use super::super::hot_swap::components;
use super::{fields, folder, list, listed, objects, sorted_fields, text};
use crate::harness::program::{Ran, sluice};
use crate::harness::{Object, infrastructure, namespace, net_namespace};

/// Plans from objects.
async fn plan(objects: &[Object], flags: &[&str]) -> Ran {
    let folder = listed(objects);
    sluice([&["plan", "--from", text(folder.path())], flags].concat()).await
}

/// Plans from objects with a component as policy.
async fn plan_with(objects: &[Object], component: &[u8], settings: &str) -> Ran {
    let folder = listed(objects);
    let (policy, settings_file) = (folder.path().join("policy.wasm"), folder.path().join("settings.json"));
    std::fs::write(&policy, component).expect("the folder is writable");
    std::fs::write(&settings_file, settings).expect("the folder is writable");
    let all = folder.path().join("all.json");
    let files = ["--policy", text(&policy), "--settings", text(&settings_file)];
    sluice([&["plan", "-o", "json", "--from", text(&all)], &files[..]].concat()).await
}

fn without(objects: Vec<Object>, kind: &str, name: &str) -> Vec<Object> {
    objects.into_iter().filter(|object| object.kind() != kind || object.name() != name).collect()
}

/// Everything is as it should be.
fn at_rest() -> Vec<Object> {
    without(objects(), "Namespace", "shop")
}

/// A namespace that cannot be served.
fn hopeless() -> [Object; 2] {
    [namespace("hopeless").in_pool("nowhere"), net_namespace("hopeless")]
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_say_what_there_is_to_do() {
    let nothing = plan(&at_rest(), &["-o", "json"]).await.ended_with(0).json();
    assert_eq!((&nothing["patches"], &nothing["writes"], &nothing["holds"]), (&json!([]), &json!([]), &json!([])));
    let changes = plan(&objects(), &["-o", "json"]).await.ended_with(10).json();
    assert_ne!(changes["writes"], json!([]));
    let holds = plan(&[at_rest(), hopeless().to_vec()].concat(), &["-o", "json"]).await.ended_with(11).json();
    assert_eq!(holds["holds"][0]["code"], "pool-missing");
    let both = plan(&[objects(), hopeless().to_vec()].concat(), &["-o", "json"]).await.ended_with(11).json();
    assert_ne!(both["patches"], json!([]), "the higher code wins, and the changes are there all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_fails_or_whose_plan_is_refused_ends_with_12() {
    let all = [objects(), hopeless().to_vec()].concat();
    let trapped = plan_with(&all, &components::trapping(), "{}").await.ended_with(12);
    assert!(trapped.stderr.contains("trap: "), "{}", trapped.stderr);
    let rejected = plan_with(&all, &components::thief(), "{}").await.ended_with(12);
    assert!(rejected.stderr.contains("unique"), "{}", rejected.stderr);
    let findings = rejected.json()["findings"].clone();
    assert!(findings.as_array().expect("a list").iter().any(is_theft), "{findings}");
    let refused = plan_with(&all, &components::curious(), "{}").await.ended_with(12);
    assert!(refused.stderr.contains("foreign import `wasi:clocks/wall-clock@0.2.0`"), "{}", refused.stderr);
    let settings = plan_with(&all, ZONE_SPREAD, r#"{"addressesPerOwner": 0}"#).await.ended_with(1);
    assert!(settings.stderr.contains("/addressesPerOwner"), "{}", settings.stderr);
}

fn is_theft(finding: &Value) -> bool {
    finding["invariant"] == "unique" && finding["inherited"] == false
}

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_plans_otherwise() {
    let planned = plan_with(&objects(), PACK, "{}").await.ended_with(10).json();
    assert_eq!(planned["policy"]["name"], "pack");
    let digest = planned["policy"]["digest"].as_str().expect("a text");
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "{digest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_exactly_the_fields_that_programs_know() {
    let all = [objects(), hopeless().to_vec()].concat();
    let plan = plan(&all, &["-o", "json"]).await.ended_with(11).json();
    let names = ["findings", "generation", "holds", "inputErrors", "notes", "patches", "policy", "writes"];
    assert_eq!(sorted_fields(&plan), names);
    assert_eq!(sorted_fields(&plan["policy"]), ["digest", "name", "version"]);
    let every = |list: &str| plan[list].as_array().expect("a list").clone();
    for patch in every("patches") {
        let known = ["op", "pool", "zone", "owner", "address", "from", "to", "reason", "text"];
        assert!(fields(&patch).iter().all(|name| known.contains(name)), "{patch}");
        assert!(["op", "address", "reason"].iter().all(|name| patch[name].is_string()), "{patch}");
    }
    for hold in every("holds") {
        assert!(fields(&hold).iter().all(|name| ["pool", "zone", "owner", "code", "text"].contains(name)), "{hold}");
    }
    let orders: Vec<u64> = every("writes").iter().filter_map(|write| write["order"].as_u64()).collect();
    assert_eq!(orders, (1..=every("writes").len() as u64).collect::<Vec<_>>());
    for write in every("writes") {
        assert_eq!(sorted_fields(&write), ["kind", "name", "order", "patch"]);
    }
    let mut sorted = every("patches");
    sorted.sort_by_key(|patch| ["pool", "owner", "address"].map(|name| patch[name].as_str().unwrap_or("").to_owned()));
    assert_eq!(every("patches"), sorted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_says_everything_about_a_round() {
    let all = [objects(), hopeless().to_vec()].concat();
    let plan = plan(&all, &["-o", "json"]).await.ended_with(11).json();
    expect![[r#"
        findings:
        generation: 15
        holds:
          {"code":"pool-missing","owner":"hopeless","pool":"nowhere","text":"there is no EgressIPAM nowhere"}
        inputErrors:
        notes:
        patches:
          {"address":"10.20.0.3","op":"allocate","owner":"shop","pool":"egress","reason":"wanted","zone":"zone-a"}
          {"address":"10.20.0.3","op":"assign","owner":"shop","pool":"egress","reason":"wanted","to":"worker-a0","zone":"zone-a"}
          {"address":"10.21.0.3","op":"allocate","owner":"shop","pool":"egress","reason":"wanted","zone":"zone-b"}
          {"address":"10.21.0.3","op":"assign","owner":"shop","pool":"egress","reason":"wanted","to":"worker-b0","zone":"zone-b"}
        policy: {"digest":"sha256:...","name":"zone-spread","version":"0.1.0"}
        writes:
          {"kind":"HostSubnet","name":"worker-a0","order":1,"patch":{"egressIPs":["10.20.0.2","10.20.0.3"]}}
          {"kind":"HostSubnet","name":"worker-b0","order":2,"patch":{"egressIPs":["10.21.0.2","10.21.0.3"]}}
          {"kind":"NetNamespace","name":"shop","order":3,"patch":{"egressIPs":["10.20.0.3","10.21.0.3"],"metadata":{"annotations":{"sluice.dev/pool":"egress","sluice.dev/zones":"10.20.0.3=zone-a,10.21.0.3=zone-b"}}}}
          {"kind":"Namespace","name":"hopeless","order":4,"patch":{"metadata":{"annotations":{"sluice.dev/hold":"pool-missing: there is no EgressIPAM nowhere"}}}}
          {"kind":"Namespace","name":"shop","order":5,"patch":{"metadata":{"annotations":{"egressip-ipam-operator.redhat-cop.io/egressips":"10.20.0.3,10.21.0.3"}}}}"#]].assert_eq(&compact(&anonymous(plan)));
}

/// A line for each field, and for each entry of a list.
fn compact(plan: &Value) -> String {
    let entries = |value: &Value| match value {
        Value::Array(entries) => entries.iter().map(|entry| format!("\n  {entry}")).collect::<Vec<_>>().concat(),
        other => format!(" {other}"),
    };
    let fields = plan.as_object().expect("an object").iter();
    fields.map(|(name, value)| format!("{name}:{}", entries(value))).collect::<Vec<_>>().join("\n")
}

/// Without what changes with every change of the policy.
fn anonymous(mut plan: Value) -> Value {
    plan["policy"]["digest"] = "sha256:...".into();
    plan
}

#[tokio::test(flavor = "multi_thread")]
async fn inherited_findings_are_shown_and_sorted() {
    let mut messy = objects();
    messy.extend([
        namespace("mirror").in_pool("egress").requesting("10.20.0.2,10.21.0.2").created("2026-01-01T00:00:00Z"),
        net_namespace("mirror").addresses(&["10.20.0.2", "10.21.0.2"]),
    ]);
    let plan = plan(&messy, &["-o", "json"]).await.ended_with(10).json();
    let findings = plan["findings"].as_array().expect("a list");
    for finding in findings {
        assert_eq!(sorted_fields(finding), ["inherited", "invariant", "text"]);
        assert_eq!(finding["inherited"], true, "{finding}");
    }
    let lines: Vec<String> =
        findings.iter().map(|finding| format!("{} {}", finding["invariant"], finding["text"])).collect();
    expect![[r#"
        "unique" "mirror: 10.20.0.2 is held by billing too"
        "unique" "mirror: 10.21.0.2 is held by billing too""#]]
    .assert_eq(&lines.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_tells_what_changes_and_why() {
    let all = [objects(), hopeless().to_vec()].concat();
    let told = plan(&all, &[]).await.ended_with(11);
    expect![[r#"
        pool egress
          + shop 10.20.0.3 zone-a on worker-a0  wanted
          + shop 10.21.0.3 zone-b on worker-b0  wanted
        pool nowhere
          ! hopeless held: pool-missing: there is no EgressIPAM nowhere
           1. HostSubnet worker-a0 {"egressIPs":["10.20.0.2","10.20.0.3"]}
           2. HostSubnet worker-b0 {"egressIPs":["10.21.0.2","10.21.0.3"]}
           3. NetNamespace shop {"egressIPs":["10.20.0.3","10.21.0.3"],"metadata":{"annotations":{"sluice.dev/pool":"egress","sluice.dev/zones":"10.20.0.3=zone-a,10.21.0.3=zone-b"}}}
           4. Namespace hopeless {"metadata":{"annotations":{"sluice.dev/hold":"pool-missing: there is no EgressIPAM nowhere"}}}
           5. Namespace shop {"metadata":{"annotations":{"egressip-ipam-operator.redhat-cop.io/egressips":"10.20.0.3,10.21.0.3"}}}
        policy zone-spread 0.1.0: 4 patches, 1 hold, 5 writes
    "#]].assert_eq(&told.stdout);
    assert_eq!(told.stderr, "");
    let adopted = plan(&at_rest(), &["--adopt"]).await.ended_with(0);
    expect![[r#"
        no address changes
        2 of 2 addresses that namespaces hold stay with them
        policy zone-spread 0.1.0: 0 patches, 0 holds, 0 writes
    "#]]
    .assert_eq(&adopted.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_plan_comes_out_of_every_form_of_the_same_objects() {
    let objects = objects();
    let yaml = |value: &Value| serde_yaml_ng::to_string(value).expect("YAML");
    let documents: Vec<String> = objects.iter().rev().map(|object| yaml(object.json())).collect();
    let typed = |kind: &str, version: &str| {
        let items: Vec<Value> = objects.iter().filter(|object| object.kind() == kind).map(untyped).collect();
        json!({ "apiVersion": version, "kind": format!("{kind}List"), "items": items }).to_string()
    };
    let one_each: Vec<(String, String)> = objects
        .iter()
        .map(|object| (format!("{}/{}.json", object.kind(), object.name()), object.json().to_string()))
        .collect();
    let one_each: Vec<(&str, &str)> = one_each.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let forms = [
        folder(&[("all.json", &list(&objects).to_string())]),
        folder(&[("all.yaml", &yaml(&list(&objects)))]),
        folder(&[("all.yml", &documents.join("---\n"))]),
        folder(&[("all.yaml", &format!("# from a backup\n---\n{}\n...\n", documents.join("\n--- # next\n")))]),
        folder(&one_each),
        folder(&[
            ("cluster-scoped-resources/core/nodes.yaml", &typed("Node", "v1")),
            ("cluster-scoped-resources/core/namespaces.json", &typed("Namespace", "v1")),
            ("network/hostsubnets.json", &typed("HostSubnet", "network.openshift.io/v1")),
            ("network/netnamespaces.json", &typed("NetNamespace", "network.openshift.io/v1")),
            ("config/infrastructures.json", &typed("Infrastructure", "config.openshift.io/v1")),
            ("pools.yaml", &typed("EgressIPAM", "redhatcop.redhat.io/v1alpha1")),
            ("README.md", "# not an object"),
            ("pods.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n"),
        ]),
    ];
    let mut plans = Vec::new();
    for form in &forms {
        let plan = sluice(["plan", "-o", "json", "--from", text(form.path())]).await.ended_with(10);
        plans.push(without_generation(plan.json()));
    }
    for (position, plan) in plans.iter().enumerate() {
        assert_eq!(plan, &plans[0], "form {position}");
    }
    let file = forms[0].path().join("all.json");
    let of_a_file = sluice(["plan", "-o", "json", "--from", text(&file)]).await.ended_with(10);
    assert_eq!(without_generation(of_a_file.json()), plans[0]);
}

fn without_generation(mut plan: Value) -> Value {
    plan["generation"] = Value::Null;
    plan
}

/// As items of a typed list are: without kind and version.
fn untyped(object: &Object) -> Value {
    let mut json = object.json().clone();
    let fields = json.as_object_mut().expect("an object");
    fields.remove("kind");
    fields.remove("apiVersion");
    json
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_platform_that_is_served_nothing_would_be_written() {
    for platform in ["Azure", "AWS", "GCP"] {
        let mut all = without(objects(), "Infrastructure", "cluster");
        all.push(infrastructure(platform));
        let planned = plan(&all, &["-o", "json"]).await.ended_with(10);
        assert_ne!(planned.json()["patches"], json!([]));
        assert_eq!(planned.json()["writes"], json!([]));
        assert!(planned.stderr.contains(platform), "{}", planned.stderr);
    }
    let none = plan(&without(objects(), "Infrastructure", "cluster"), &["-o", "json"]).await.ended_with(10);
    assert_eq!(none.json()["writes"], json!([]));
    assert!(none.stderr.contains("Infrastructure/cluster"), "{}", none.stderr);
}
