use std::sync::LazyLock;

use expect_test::expect_file;
use sluice_core::network::Network;
use sluice_policy::{Compiler, Limits, PolicyHost};

use super::*;

/// Components are compiled once for all tests.
static HOST: LazyLock<PolicyHost> = LazyLock::new(|| PolicyHost::new(Limits::default(), Compiler::InProcess).unwrap());

fn lines(seed: u64) -> (bool, String) {
    let mut out = Vec::new();
    let verified = play(seed, &HOST, &mut LineTeller::new(&mut out)).unwrap();
    (verified, String::from_utf8(out).unwrap())
}

/// The sandbox may not know of kube, and so it has these words a second time.
#[test]
fn the_sandbox_calls_objects_what_the_network_calls_them() {
    assert_eq!(sluice_sandbox::sdn::WORDS, sluice_kube::network::words(Network::OpenShiftSdn));
    assert_eq!(sluice_sandbox::ovn::WORDS, sluice_kube::network::words(Network::OvnKubernetes));
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    assert_eq!(lines(42), lines(42));
    assert_ne!(lines(42), lines(43));
}

#[test]
fn every_story_is_verified() {
    for seed in 0..20 {
        let (verified, text) = lines(seed);
        assert!(verified, "seed {seed}:\n{text}");
        assert_eq!(text.matches(r#""event":"verified""#).count(), 5, "seed {seed}:\n{text}");
        let time = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["atMs"].as_u64().unwrap();
        assert!(text.lines().map(time).is_sorted(), "seed {seed}: time runs backwards:\n{text}");
    }
}

#[test]
fn every_story_on_azure_is_verified() {
    for seed in 0..3 {
        let mut out = Vec::new();
        let verified = azure::play(seed, &HOST, &mut LineTeller::new(&mut out)).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(verified, "seed {seed}:\n{text}");
        assert_eq!(text.matches(r#""event":"verified""#).count(), 3, "seed {seed}:\n{text}");
        assert_eq!(text.matches(r#""event":"cost""#).count(), 3, "seed {seed}:\n{text}");
    }
}

#[test]
fn the_transcript_of_a_story() {
    let mut out = Vec::new();
    assert!(play(1, &HOST, &mut TextTeller::new(&mut out)).unwrap());
    let text = anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string();
    expect_file!["transcript.txt"].assert_eq(&text);
}
