//! `sluice policy inspect`.

use std::io::Write as _;
use std::process::Stdio;

use expect_test::expect;
use serde_json::json;
use sluice_builtin_policies::{PACK, ZONE_SPREAD};

use super::super::hot_swap::components;
use super::{sorted_fields, text};
use crate::harness::program::{Ran, sluice, sluice_within};
use crate::harness::{SOON, eventually};

async fn inspect(component: &[u8], flags: &[&str]) -> Ran {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), component).expect("the file is writable");
    sluice([&["policy", "inspect", text(file.path())], flags].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_component_is_accepted() {
    for (component, name) in [(ZONE_SPREAD, "zone-spread"), (PACK, "pack")] {
        let seen = inspect(component, &["-o", "json"]).await.ended_with(0).json();
        for field in [
            "name",
            "version",
            "digest",
            "bytes",
            "contract",
            "imports",
            "exports",
            "settingsSchema",
            "usesLabels",
            "limits",
            "accepted",
            "refusals",
        ] {
            assert!(sorted_fields(&seen).contains(&field), "{field}: {seen}");
        }
        assert_eq!(seen["name"], name);
        assert_eq!(seen["version"], "0.1.0");
        assert_eq!(seen["bytes"], component.len());
        assert_eq!(seen["contract"], "sluice:policy@0.1.0");
        assert_eq!(seen["imports"], json!(["sluice:policy/log@0.1.0"]));
        assert_eq!(seen["exports"], json!(["sluice:policy/allocator@0.1.0"]));
        assert_eq!(seen["settingsSchema"]["type"], "object");
        assert_eq!((&seen["accepted"], &seen["refusals"]), (&json!(true), &json!([])));
        assert!(seen["limits"]["memoryBytes"].is_u64(), "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_address_space_is_scarce_it_only_takes_longer() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), ZONE_SPREAD).expect("the file is writable");
    // Room for a memory of a policy, and for the process that compiles it, not for as many as may be in use at once.
    let arguments = ["policy", "inspect", text(file.path()), "-o", "json"];
    let seen = sluice_within(24 << 20, &arguments).await.ended_with(0).json();
    assert_eq!(seen["accepted"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_one_is_refused_with_every_reason() {
    let seen = inspect(&components::curious(), &["-o", "json"]).await.ended_with(12).json();
    assert_eq!(seen["accepted"], false);
    assert!(seen["refusals"][0].as_str().expect("a text").contains("`wasi:clocks/wall-clock@0.2.0`"), "{seen}");
    assert_eq!(seen["name"], json!(null), "it was not run");
    let seen = inspect(b"this is no component", &["-o", "json"]).await.ended_with(12).json();
    assert_eq!(seen["refusals"].as_array().expect("a list").len(), 1, "{seen}");
    let core = wat::parse_str("(module)").expect("WAT");
    let seen = inspect(&core, &[]).await.ended_with(12);
    assert!(seen.stdout.contains("core WebAssembly module"), "{}", seen.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_is_for_people() {
    let seen = inspect(PACK, &[]).await.ended_with(0);
    expect![[r#"
        name      pack
        version   0.1.0
        summary   Gives every owner an address in each zone, on as few nodes as possible.
        contract  sluice:policy@0.1.0
        imports   sluice:policy/log@0.1.0
        exports   sluice:policy/allocator@0.1.0
        labels    sees none
        settings  {"additionalProperties":false,"type":"object"}
        verdict   accepted"#]]
    .assert_eq(&without(&["digest", "size"], &seen.stdout));
    let seen = inspect(&components::curious(), &[]).await.ended_with(12);
    expect![[r#"
        name      unknown
        version   unknown
        contract  sluice:policy@0.1.0
        imports   sluice:policy/log@0.1.0, wasi:clocks/wall-clock@0.2.0
        refused   foreign import `wasi:clocks/wall-clock@0.2.0`: a policy may import nothing but `sluice:policy/log`; build it without WASI (in Rust: for wasm32-unknown-unknown)"#]].assert_eq(&without(&["digest", "size", "exports"], &seen.stdout));
}

/// Without lines that begin with one of these words.
fn without(words: &[&str], text: &str) -> String {
    let lines = text.lines().filter(|line| !words.iter().any(|word| line.starts_with(word)));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_there_is_bad_input() {
    let ran = sluice(["policy", "inspect", "/nonexistent/policy.wasm"]).await.ended_with(1);
    assert!(ran.stderr.contains("/nonexistent/policy.wasm"), "{}", ran.stderr);
}

/// The compile child, before it reads a component: what it may not do is up to the kernel from then on.
#[tokio::test(flavor = "multi_thread")]
async fn the_compiler_confines_itself_before_it_reads() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_sluice"))
        .arg("compile")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    // Bytes of address space, seconds of processor time.
    let header = [(1_u64 << 30).to_le_bytes(), 60_u64.to_le_bytes()].concat();
    stdin.write_all(&header).expect("it reads");
    let of_it = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap_or_default();
    eventually("it is confined", SOON, || async {
        let status = of_it("status");
        if status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2") { Ok(()) } else { Err(status) }
    })
    .await;
    assert_eq!(of_it("oom_score_adj").trim(), "1000");
    assert!(of_it("limits").lines().any(|line| line.starts_with("Max address space") && line.contains("1073741824")));
    drop(stdin);
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(1), "nothing is no component");
}
