//! `sluice demo -o json`.

use serde_json::Value;

use super::sorted_fields;
use crate::harness::program::sluice;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_tells_the_same_story() {
    let first = sluice(["demo", "--seed", "7", "-o", "json"]).await.ended_with(0);
    let again = sluice(["demo", "--seed", "7", "-o", "json"]).await.ended_with(0);
    let other = sluice(["demo", "--seed", "8", "-o", "json"]).await.ended_with(0);
    assert_eq!(first.stdout, again.stdout);
    assert_ne!(first.stdout, other.stdout);
    for story in [&first, &other] {
        is_well_told(&story.stdout);
    }
}

fn is_well_told(story: &str) {
    let mut time = 0;
    let mut events = std::collections::BTreeSet::new();
    for line in story.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(sorted_fields(&line), ["address", "atMs", "event", "from", "owner", "reason", "to"]);
        let now = line["atMs"].as_u64().expect("a number");
        assert!(time <= now, "{line}");
        time = now;
        events.insert(line["event"].as_str().expect("a text").to_owned());
    }
    for event in ["policy-offered", "policy-refused", "promoted"] {
        assert!(events.contains(event), "{event} is not among {events:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_a_story_without_control_characters() {
    let told = sluice(["demo"]).await.ended_with(0);
    assert!(told.stdout.lines().count() > 20, "{}", told.stdout);
    assert!(!told.stdout.contains('\u{1b}'), "colours only where there is a terminal");
}
