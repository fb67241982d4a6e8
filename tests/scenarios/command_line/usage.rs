//! Usage errors are told apart from bad input, everywhere.

use crate::harness::program::sluice;
use crate::harness::workspace;

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_mean_ends_with_2() {
    let wrong: [&[&str]; 16] = [
        &[],
        &["fly"],
        &["--fly"],
        &["plan", "--fly"],
        &["plan", "-o", "xml"],
        &["plan", "--from"],
        &["plan", "--from", "here", "--kubeconfig", "there"],
        &["plan", "surplus"],
        &["run", "--fly"],
        &["run", "--log", "loud"],
        &["run", "--metrics-bind-address", "nowhere"],
        &["policy"],
        &["policy", "inspect"],
        &["policy", "fly"],
        &["crds", "--fly"],
        &["demo", "--seed", "seven"],
    ];
    for arguments in wrong {
        let ran = sluice(arguments).await.ended_with(2);
        assert_eq!(ran.stdout, "", "{arguments:?}");
        assert!(ran.stderr.contains("Usage:") || ran.stderr.contains("--help"), "{arguments:?}: {}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn help_and_version_are_no_errors() {
    for arguments in [&["--help"][..], &["--version"], &["plan", "--help"], &["help"]] {
        let ran = sluice(arguments).await.ended_with(0);
        assert!(!ran.stdout.is_empty() && ran.stderr.is_empty(), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crds_are_those_that_are_deployed() {
    let ran = sluice(["crds"]).await.ended_with(0);
    let path = workspace().join("deploy/crds/egressipams.redhatcop.redhat.io.yaml");
    assert_eq!(ran.stdout, std::fs::read_to_string(path).expect("it is there"));
    assert_eq!(ran.stderr, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_that_cannot_be_used_is_bad_input_and_shows_no_token() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("config");
    let path = path.to_str().expect("a path in UTF-8");
    let ran = sluice(["plan", "--kubeconfig", path]).await.ended_with(1);
    assert!(ran.stderr.contains(path), "{}", ran.stderr);
    let broken = "users:\n- name: me\n  user:\n    token: very-secret\nclusters: {{{\n";
    std::fs::write(path, broken).expect("the folder is writable");
    for command in [&["plan", "--kubeconfig", path][..], &["run", "--kubeconfig", path]] {
        let ran = sluice(command).await.ended_with(if command[0] == "run" { 3 } else { 1 });
        assert!(ran.stderr.contains(path), "{}", ran.stderr);
        assert!(!ran.stderr.contains("very-secret"), "{}", ran.stderr);
    }
    let ran = sluice(["plan"]).await.ended_with(1);
    assert!(ran.stderr.contains("no cluster"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_would_show_tokens_are_refused_before_anything_is_done() {
    let cases = [
        ("--azure-arm-endpoint", "http://example.com", "plain http to http://example.com would show tokens"),
        ("--azure-arm-endpoint", "http://localhost.evil.example", "would show tokens"),
        ("--azure-arm-endpoint", "garbage", "garbage is not an address such as https://host"),
        ("--azure-authority-host", "ftp://login.example", "only https is served, not ftp"),
        ("--azure-authority-host", "https://me:hush@login.example", "without user"),
    ];
    for (flag, value, told) in cases {
        let ran = sluice(["run", "--kubeconfig", "/no/such/file", flag, value]).await.ended_with(3);
        assert!(ran.stderr.contains(flag) && ran.stderr.contains(told), "{value}: {}", ran.stderr);
        assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
    }
}

/// A full disk, or a reader of the log that is gone: what is said is lost, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_ends_nothing() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sluice"));
    let ended = command.args(["run", "--kubeconfig", "/no/such/file"]).stderr(full).status().expect("it starts");
    assert_eq!(ended.code(), Some(3), "{ended}");
}
