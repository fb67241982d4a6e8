//! The invariants, on random snapshots.

use proptest::prelude::*;
use sluice_policy_sdk::{Operation, Phase, Plan, Snapshot, transcript};
use sluice_zone_spread::{Settings, decide};

use crate::laws::Case;
use crate::world::{apply, generate, shuffle};

fn plan(snapshot: &Snapshot) -> Plan {
    decide(snapshot, &Settings::default()).unwrap().plan
}

fn snapshots() -> impl Strategy<Value = (u64, usize)> {
    (any::<u64>(), 0_usize..14)
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// unique, in-pool, capacity, eligible, stable, budget; and that nobody is forgotten.
    #[test]
    fn plans_keep_the_rules((seed, size) in snapshots()) {
        let snapshot = generate(seed, size);
        Case::new(&snapshot, &plan(&snapshot)).check_all();
    }

    /// fixpoint: rounds come to an end, and with budget to spare after the first one, unless that gave back
    /// addresses which others can use from the next round on.
    #[test]
    fn planning_comes_to_rest((seed, size) in snapshots()) {
        let mut snapshot = generate(seed, size);
        let unsettled = snapshot.assignments.iter().any(|a| a.phase != Phase::Settled);
        let stale = |s: &Snapshot| s.assignments.iter().any(|a| {
            !s.owners.iter().flat_map(|o| &o.allocations).any(|held| held.address == a.address)
        });
        let first = plan(&snapshot);
        let releases = first.patches.iter().any(|patch| matches!(patch.operation, Operation::Release(_)));
        let at_once = !unsettled && !stale(&snapshot) && !releases && snapshot.budget >= 1000;
        let mut last = first;
        let mut rounds = 0;
        while !last.patches.is_empty() {
            prop_assert!(!at_once || rounds == 0, "{}", transcript::of(&snapshot, &last));
            prop_assert!(rounds < 100, "{}", transcript::of(&snapshot, &last));
            snapshot = apply(&snapshot, &last);
            last = plan(&snapshot);
            Case::new(&snapshot, &last).check_all();
            rounds += 1;
        }
    }

    /// order-free
    #[test]
    fn the_order_of_lists_does_not_matter((seed, size) in snapshots(), order: u64) {
        let snapshot = generate(seed, size);
        let shuffled = shuffle(&snapshot, order);
        let (one, other) = (plan(&snapshot), plan(&shuffled));
        prop_assert_eq!(transcript::of(&snapshot, &one), transcript::of(&shuffled, &other));
    }

    /// deterministic
    #[test]
    fn the_same_snapshot_gives_the_same_plan((seed, size) in snapshots()) {
        let snapshot = generate(seed, size);
        let json = serde_json::to_string(&snapshot).unwrap();
        let copy: Snapshot = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&copy, &snapshot);
        let (one, other) = (plan(&snapshot), plan(&copy));
        prop_assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&other).unwrap());
    }
}
