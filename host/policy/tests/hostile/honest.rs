//! The hand-written boilerplate is right: an honest component passes, and every field arrives.

use sluice_core::name::{NodeIndex, OwnerIndex, ZoneIndex};
use sluice_core::plan::{Hold, HoldCode, Holder, Operation, Reason};
use sluice_policy::Limits;

use crate::guest::{Answer, Guest, Hold as GuestHold, Patch};
use crate::{GENERATION, run, snapshot};

#[test]
fn an_empty_plan_arrives() {
    let outcome = run(&Guest::default(), Limits::default()).unwrap();
    let plan = outcome.result.unwrap();
    assert_eq!((plan.generation, plan.patches.len(), plan.holds.len()), (GENERATION, 0, 0));
    assert!(outcome.cost.fuel > 0);
    assert_eq!(outcome.cost.peak_memory, 4 << 16);
    assert_eq!((outcome.logs.len(), outcome.dropped_logs), (0, 0));
}

#[test]
fn every_operation_arrives_as_it_was_meant() {
    let patch = |operation, numbers: &[u32], address: u32, reason| Patch {
        operation,
        numbers: numbers.to_vec(),
        address: 0x0a00_0000 + address,
        reason,
        text: b"why".to_vec(),
    };
    let patches = vec![
        patch(0, &[1, 1], 129, 0),
        patch(0, &[2], 5, 1),
        patch(1, &[], 1, 2),
        patch(1, &[], 77, 2),
        patch(2, &[1], 129, 3),
        patch(3, &[0], 1, 8),
        patch(4, &[0, 1], 6, 9),
    ];
    let holds = vec![GuestHold { owner: 2, zone: Some(1), code: 4, text: "taken".into() }];
    let answer = Answer::Plan { generation: GENERATION, patches, holds };
    let plan = run(&Guest::answering(answer), Limits::default()).unwrap().result.unwrap();
    let address = |last: u8| std::net::IpAddr::from([10, 0, 0, last]);
    let operations: Vec<_> = plan.patches.iter().map(|patch| patch.operation).collect();
    assert_eq!(
        operations,
        [
            Operation::Allocate { owner: OwnerIndex(1), zone: Some(ZoneIndex(1)), address: address(129) },
            Operation::Allocate { owner: OwnerIndex(2), zone: None, address: address(5) },
            Operation::Release { holder: Some(Holder::Owner(OwnerIndex(0))), address: address(1) },
            Operation::Release { holder: None, address: address(77) },
            Operation::Assign { address: address(129), node: NodeIndex(1) },
            Operation::Unassign { address: address(1), node: NodeIndex(0) },
            Operation::Move { address: address(6), source: NodeIndex(0), target: NodeIndex(1) },
        ]
    );
    let reasons: Vec<_> = plan.patches.iter().map(|patch| patch.reason).collect();
    let expected = [Reason::Wanted, Reason::Requested, Reason::Surplus, Reason::Surplus];
    assert_eq!(reasons[..4], expected);
    assert_eq!(reasons[4..], [Reason::NodeDown, Reason::Rebalance, Reason::Other]);
    assert!(plan.patches.iter().all(|patch| patch.text == "why" && !patch.by_host));
    let hold =
        Hold { owner: OwnerIndex(2), zone: Some(ZoneIndex(1)), code: HoldCode::RequestTaken, text: "taken".into() };
    assert_eq!(plan.holds, [hold]);
}

#[test]
fn labels_are_shown_to_who_uses_them() {
    // Says the value of the last owner's only label, or traps where there is none.
    let owner = "(i32.add (i32.load (i32.add (local.get 0) (i32.const 52))) (i32.const 104))";
    let body = format!(
        "(local $label i32)
        (if (i32.eqz (i32.load (i32.add {owner} (i32.const 16)))) (then unreachable))
        (local.set $label (i32.load (i32.add {owner} (i32.const 12))))
        (call $log (i32.const 1) (i32.load (i32.add (local.get $label) (i32.const 8)))
            (i32.load (i32.add (local.get $label) (i32.const 12))))
        (i64.store (i32.const 16) (i64.load (local.get 0))) (i32.const 8)"
    );
    let seen = |attributes: Vec<(&'static str, &'static str)>| {
        let mut guest = Guest::planning(&body);
        guest.description.attributes = attributes;
        let policy = crate::host(Limits::default()).load(&guest.component(), "").unwrap();
        let outcome = policy.run(&snapshot());
        (policy.info().uses_labels, outcome.logs.first().map(|record| record.message.clone()))
    };
    let (shown, hidden) = ((true, Some("cherries".to_owned())), (false, None));
    assert_eq!(seen(vec![]), shown);
    assert_eq!(seen(vec![("labels", "used"), ("label", "unused"), ("unheard-of", "")]), shown);
    assert_eq!(seen(vec![("unheard-of", ""), ("labels", "unused")]), hidden);
}

/// The guest reads the snapshot and answers with what it read, at the offsets that the canonical ABI gives.
#[test]
fn the_snapshot_arrives_index_for_index() {
    // Logs names found by walking the record: settings, pools[0], zones[1], nodes[1], owners[2], its label's value.
    let at = |list: u32, size: u32, index: u32, field: u32| {
        format!("(i32.add (i32.load (i32.add (local.get 0) (i32.const {list}))) (i32.const {}))", size * index + field)
    };
    let say = |place: &str| format!("(call $say {place})");
    let body = [
        say("(i32.add (local.get 0) (i32.const 88))"),
        say(&at(28, 36, 0, 0)),
        say(&at(36, 48, 1, 4)),
        say(&at(44, 48, 1, 0)),
        say(&at(52, 52, 2, 0)),
        say(&format!("(i32.add (i32.load {}) (i32.const 8))", at(52, 52, 2, 12))),
        // Echo the generation into the answer.
        "(i64.store (i32.const 16) (i64.load (local.get 0))) (i32.const 8)".into(),
    ];
    let say = "(func $say (param i32)
        (call $log (i32.const 1) (i32.load (local.get 0)) (i32.load (i32.add (local.get 0) (i32.const 4)))))";
    let guest = Guest { items: say.into(), ..Guest::planning(&body.concat()) };
    let outcome = run(&guest, Limits::default()).unwrap();
    assert_eq!(outcome.result.unwrap().generation, snapshot().generation);
    let said: Vec<_> = outcome.logs.iter().map(|record| record.message.as_str()).collect();
    assert_eq!(said, ["{}", "pool", "b", "node-b", "cherries", "cherries"]);
}
