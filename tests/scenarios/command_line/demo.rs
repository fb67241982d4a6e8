//! `sluice demo -o json`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

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
    let mut events = BTreeSet::new();
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

/// Virtual seconds in a real one.
const AZURE_SCALE: u64 = 400;
/// No update of an interface takes less, in seconds.
const SHORTEST: u64 = 30;

/// What one act of the story on Azure says.
#[derive(Debug, Default)]
struct Act {
    /// How often addresses were put onto each interface, or taken off.
    on: BTreeMap<String, u64>,
    off: BTreeMap<String, u64>,
    /// Where each address went.
    moves: BTreeMap<String, String>,
    puts: u64,
    seconds: u64,
    began: u64,
    ended: u64,
    verified: bool,
}

fn acts(story: &str) -> Vec<Act> {
    let mut acts: Vec<Act> = Vec::new();
    for line in story.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let (now, reason) = (line["atMs"].as_u64().expect("a number"), text("reason"));
        if text("event") == "act-began" {
            acts.push(Act { began: now, ..Act::default() });
        }
        let Some(act) = acts.last_mut() else { continue };
        assert!(now >= act.ended, "time goes on: {line}");
        act.ended = now;
        match text("event").as_str() {
            "interface-update" if reason.starts_with("adds 0, ") => *act.off.entry(text("to")).or_default() += 1,
            "interface-update" => *act.on.entry(text("to")).or_default() += 1,
            "allocate" | "move" => drop(act.moves.insert(text("address"), text("to"))),
            "verified" => act.verified = true,
            // `18 addresses: 7 PUTs, 62 GETs, 94 s of Azure's time`
            "cost" => {
                let numbers: Vec<u64> = reason.split([' ', ':']).filter_map(|word| word.parse().ok()).collect();
                let [addresses, puts, _, seconds] = numbers[..] else { panic!("{reason}") };
                assert_eq!(usize::try_from(addresses).expect("few"), act.moves.len(), "{reason}");
                (act.puts, act.seconds) = (puts, seconds);
            }
            _ => {}
        }
    }
    acts
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_on_azure_counts_its_requests_and_its_time() {
    for seed in ["1", "3", "4", "2026"] {
        let started = Instant::now();
        let told = sluice(["demo", "--cloud", "azure", "--seed", seed, "-o", "json"]).await.ended_with(0);
        let real = u64::try_from(started.elapsed().as_millis()).expect("not that long");
        let acts = acts(&told.stdout);
        let [allocation, machine, zone] = &acts[..] else { panic!("{acts:#?}") };
        for act in &acts {
            assert!(act.verified, "{act:?}");
            let updates = act.on.values().chain(act.off.values()).sum::<u64>();
            assert_eq!(act.puts, updates, "a PUT for each update that is told, and no other: {act:?}");
            let targets: BTreeSet<&String> = act.moves.values().collect();
            assert_eq!(act.on.keys().collect::<BTreeSet<_>>(), targets, "{act:?}");
            assert!(act.off.values().all(|count| *count == 1), "all that leaves, at once: {act:?}");
            assert!(act.seconds * 1000 <= act.ended - act.began, "{act:?}");
        }
        assert!(allocation.off.is_empty() && allocation.on.values().all(|count| *count == 1), "{allocation:?}");
        assert!(allocation.seconds >= SHORTEST, "{allocation:?}");
        // Off one interface, and then onto others, which are written once each.
        assert!(machine.off.len() == 1 && machine.on.values().all(|count| *count == 1), "{machine:?}");
        assert!(zone.off.len() >= 2 && !zone.on.is_empty(), "{zone:?}");
        for act in [machine, zone] {
            assert!(act.seconds >= 2 * SHORTEST, "{act:?}");
        }
        // However slow the machine is, virtual time is real time, only faster.
        assert!(zone.ended <= real * AZURE_SCALE, "{} ms in {real} ms", zone.ended);
    }
}
