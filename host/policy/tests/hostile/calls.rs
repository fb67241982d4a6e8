//! Calls that go wrong without meeting a limit of their own.

use std::time::Duration;

use sluice_core::name::{NodeIndex, OwnerIndex, ZoneIndex};
use sluice_core::plan::Operation;
use sluice_core::verify::verify;
use sluice_policy::{CallError, Cancel, Limits, LogLevel, Refusal, WASM_STACK_BYTES};

use crate::guest::{Answer, Guest, Hold, Patch};
use crate::{GENERATION, host, run, snapshot};

fn failure(guest: &Guest) -> CallError {
    run(guest, Limits::default()).unwrap().result.unwrap_err()
}

fn trap(guest: &Guest) -> String {
    match failure(guest) {
        CallError::Trap { kind, .. } => kind,
        other => panic!("{other}"),
    }
}

#[test]
fn a_trap_names_its_kind_the_functions_and_the_last_messages() {
    let items = "(func $_ZN4evil8overflow17h0123456789abcdefE unreachable)";
    let body = "(call $log (i32.const 3) (i32.const 1024) (i32.const 7))
        (call $_ZN4evil8overflow17h0123456789abcdefE) (i32.const 8)";
    let error = failure(&Guest { items: items.into(), ..Guest::planning(body) });
    let CallError::Trap { kind, at } = &error else { panic!("{error}") };
    assert_eq!(kind, "wasm `unreachable` instruction executed");
    assert!(at.frames[0].ends_with("!evil::overflow"), "{:?}", at.frames);
    assert!(at.frames[1].ends_with("make_plan"), "{:?}", at.frames);
    assert_eq!(at.logs, ["error: hostile"]);
    let text = error.to_string();
    assert!(text.starts_with("trap: wasm `unreachable`"), "{text}");
    let (frame, log) = (text.find("evil::overflow").unwrap(), text.find("error: hostile").unwrap());
    assert!(frame < log, "{text}");
}

#[test]
fn endless_recursion_ends() {
    let items = "(func $deeper (param i32) (result i32) (i32.add (call $deeper (local.get 0)) (i32.const 1)))";
    let guest = Guest { items: items.into(), ..Guest::planning("(call $deeper (local.get 0))") };
    let error = failure(&guest);
    let CallError::StackOverflow { limit, at } = &error else { panic!("{error}") };
    assert_eq!(*limit, WASM_STACK_BYTES);
    assert!(at.frames[0].ends_with("deeper") && at.frames.len() <= 12, "{:?}", at.frames);
}

#[test]
fn indices_out_of_bounds_pass_through_for_the_verifier() {
    let patch = |operation, numbers: &[u32]| Patch { operation, numbers: numbers.to_vec(), ..Patch::default() };
    let patches = vec![patch(0, &[u32::MAX, 99]), patch(2, &[77]), patch(4, &[0, 88])];
    let holds = vec![Hold { owner: 55, zone: Some(66), ..Hold::default() }];
    let answer = Answer::Plan { generation: GENERATION, patches, holds };
    let plan = run(&Guest::answering(answer), Limits::default()).unwrap().result.unwrap();
    let address = "10.0.0.1".parse().unwrap();
    let operations: Vec<_> = plan.patches.iter().map(|patch| patch.operation).collect();
    assert_eq!(
        operations,
        [
            Operation::Allocate { owner: OwnerIndex(u32::MAX), zone: Some(ZoneIndex(99)), address },
            Operation::Assign { address, node: NodeIndex(77) },
            Operation::Move { address, source: NodeIndex(0), target: NodeIndex(88) },
        ]
    );
    assert_eq!((plan.holds[0].owner, plan.holds[0].zone), (OwnerIndex(55), Some(ZoneIndex(66))));
    let rejection = verify(&snapshot(), plan).unwrap_err();
    assert!(rejection.findings.len() >= 3, "{rejection:?}");
}

#[test]
fn a_plan_for_another_generation_is_stale() {
    let answer = Answer::Plan { generation: GENERATION - 1, patches: Vec::new(), holds: Vec::new() };
    let error = failure(&Guest::answering(answer));
    assert_eq!(error, CallError::StaleGeneration { expected: GENERATION, got: GENERATION - 1 });
}

#[test]
fn a_policy_may_refuse_to_plan() {
    let unsupported = failure(&Guest::answering(Answer::Error(1, "IPv6\u{7}".into())));
    assert_eq!(unsupported, CallError::Refused(Refusal::Unsupported("IPv6\\u{7}".into())));
    let internal = failure(&Guest::answering(Answer::Error(2, "lost count".into())));
    assert_eq!(internal.to_string(), "the policy refused to plan: internal: lost count");
}

#[test]
fn what_is_not_of_its_type_is_a_trap() {
    let patch = Patch { text: vec![b'o', b'k', 0xc3], ..Patch::default() };
    assert!(trap(&Guest::answering(Answer::patches(vec![patch]))).contains("utf-8"));
    let patch = Patch { reason: 10, ..Patch::default() };
    assert!(trap(&Guest::answering(Answer::patches(vec![patch]))).contains("discriminant"));
    let patch = Patch { operation: 5, ..Patch::default() };
    assert!(trap(&Guest::answering(Answer::patches(vec![patch]))).contains("discriminant"));
    assert!(trap(&Guest::answering(Answer::Error(3, String::new()))).contains("discriminant"));
    let hold = Hold { code: 9, ..Hold::default() };
    assert!(trap(&Guest::answering(Answer::holds(vec![hold]))).contains("discriminant"));
    assert!(
        trap(&Guest::planning("(call $log (i32.const 4) (i32.const 0) (i32.const 0)) (i32.const 8)"))
            .contains("discriminant")
    );
}

#[test]
fn pointers_out_of_bounds_are_traps() {
    let far = "(i32.store (i32.const 24) (i32.const -8)) (i32.store (i32.const 28) (i32.const 1)) (i32.const 8)";
    for body in ["(i32.const -8)", "(i32.const 9)", far] {
        let kind = trap(&Guest::planning(body));
        assert!(kind.contains("out-of-bounds") || kind.contains("out of bounds") || kind.contains("align"), "{kind}");
    }
    let realloc = Guest { realloc: Some("(i32.const -8)".into()), ..Guest::default() };
    let error = run(&realloc, Limits::default()).unwrap_err().to_string();
    assert!(error.contains("realloc return: beyond end of memory"), "{error}");
}

#[test]
fn post_return_must_not_call_out() {
    let body = "(call $log (i32.const 1) (i32.const 0) (i32.const 0))";
    let guest = Guest { post_return: Some(body.into()), ..Guest::default() };
    assert!(trap(&guest).contains("cannot leave component instance"));
}

#[test]
fn messages_are_escaped() {
    let body =
        "(i64.store (i32.const 8) (i64.const 0x6d31335b1b0a)) (call $log (i32.const 0) (i32.const 8) (i32.const 6))
        (i64.store (i32.const 16) (i64.load (local.get 0))) (i64.store (i32.const 8) (i64.const 0)) (i32.const 8)";
    let outcome = run(&Guest::planning(body), Limits::default()).unwrap();
    assert_eq!(outcome.result.unwrap().generation, GENERATION);
    assert_eq!(outcome.logs[0].level, LogLevel::Debug);
    assert_eq!(outcome.logs[0].message, "\\n\\u{1b}[31m");
}

#[test]
fn nothing_survives_from_one_call_to_the_next() {
    // Counts its calls in a global, and traps at the second.
    let body = "(if (global.get $calls) (then unreachable)) (global.set $calls (i32.const 1))
        (i64.store (i32.const 16) (i64.load (local.get 0))) (i32.const 8)";
    let guest = Guest { items: "(global $calls (mut i32) (i32.const 0))".into(), ..Guest::planning(body) };
    let policy = host(Limits::default()).load(&guest.component(), "").unwrap();
    let costs: Vec<_> = (0..3).map(|_| policy.plan(&snapshot()).unwrap().cost.fuel).collect();
    assert!(costs.iter().all(|fuel| *fuel == costs[0]), "the same work costs the same: {costs:?}");
}

/// Makes room to this many pages, ends the call if a byte of it is not zero, and leaves none zero.
fn scrawler(pages: u32) -> Guest {
    let first = 16;
    let body = format!(
        "(local $at i32) (drop (memory.grow (i32.const {})))
        (local.set $at (i32.const {}))
        (loop $look
            (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $look (i32.lt_u (local.get $at) (i32.const {}))))
        (memory.fill (i32.const {}) (i32.const 0xff) (i32.const {}))
        (i64.store (i32.const 16) (i64.load (local.get 0))) (i32.const 8)",
        pages - first,
        first << 16,
        pages << 16,
        first << 16,
        (pages - first) << 16,
    );
    Guest { pages: first, ..Guest::planning(&body) }
}

#[test]
fn memory_that_is_used_again_is_empty() {
    // Room for one memory: each call finds what the last one left, whichever policy's it was.
    let host = host(Limits { memories: 1, concurrent_calls: 1, ..Limits::default() });
    // What stays with the process and what does not: 1, 30, 127, 129 and 200 MiB.
    let sizes = [17, 480, 2032, 2064, 3200];
    let policies = sizes.map(|pages| host.load(&scrawler(pages).component(), "").unwrap());
    for _ in 0..2 {
        for policy in policies.iter().chain(policies.iter().rev()) {
            assert_eq!(policy.plan(&snapshot()).unwrap().plan.generation, GENERATION);
        }
    }
}

#[test]
fn as_many_calls_as_may_run_at_once_get_all_that_they_may_have() {
    const CALLS: usize = 3;
    let limits = Limits { concurrent_calls: CALLS, ..Limits::default() };
    let Limits { memories, tables, core_instances, table_elements, .. } = limits;
    // Besides `libc`, with its memory, and `main`.
    let parts = format!(
        "(core module $empty) (core module $memory (memory 1)) (core module $table (table {} funcref)) {} {} {}",
        table_elements / tables,
        "(core instance (instantiate $memory))".repeat(memories - 1),
        "(core instance (instantiate $table))".repeat(tables),
        "(core instance (instantiate $empty))".repeat(core_instances - 2 - (memories - 1) - tables),
    );
    let policy = host(limits).load(&Guest { before: parts, ..Guest::default() }.component(), "").unwrap();
    std::thread::scope(|scope| {
        let one = || (0..20).all(|_| policy.plan(&snapshot()).unwrap().plan.generation == GENERATION);
        let calls: Vec<_> = (0..CALLS).map(|_| scope.spawn(one)).collect();
        assert!(calls.into_iter().all(|call| call.join().unwrap()));
    });
}

#[test]
fn calls_run_side_by_side() {
    let limits = Limits { concurrent_calls: 2, ..Limits::default() };
    let policy = host(limits).load(&Guest::default().component(), "").unwrap();
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8).map(|_| scope.spawn(|| policy.plan(&snapshot()).unwrap().plan)).collect();
        assert!(calls.into_iter().all(|call| call.join().unwrap().generation == GENERATION));
    });
}

/// Never comes to an end by itself.
fn endless() -> Guest {
    Guest::planning("(loop $for_ever (br $for_ever)) unreachable")
}

/// Fuel and time that nothing here comes near.
fn without_end() -> Limits {
    Limits { plan_fuel: u64::MAX, plan_wall: Duration::from_mins(10), concurrent_calls: 2, ..Limits::default() }
}

#[test]
fn a_trial_that_nobody_waits_for_ends_and_one_that_waits_for_a_place_too() {
    let policy = host(without_end()).load(&endless().component(), "").unwrap();
    let cancel = Cancel::default();
    std::thread::scope(|scope| {
        // One takes the only place that trials may have, the other waits for it.
        let trials: Vec<_> = (0..2).map(|_| scope.spawn(|| policy.try_out(&snapshot(), &cancel).result)).collect();
        drop(cancel.drop_guard());
        for trial in trials {
            assert_eq!(trial.join().unwrap().unwrap_err(), CallError::Cancelled);
        }
    });
    assert_eq!(policy.run_until(&snapshot(), &cancel).result.unwrap_err(), CallError::Cancelled, "in charge");
}

#[test]
fn trials_never_take_the_place_of_the_policy_in_charge() {
    let host = host(without_end());
    let active = host.load(&Guest::default().component(), "").unwrap();
    let tried = host.load(&endless().component(), "").unwrap();
    let cancel = Cancel::default();
    std::thread::scope(|scope| {
        let trials: Vec<_> = (0..4).map(|_| scope.spawn(|| tried.try_out(&snapshot(), &cancel).result)).collect();
        for _ in 0..20 {
            assert!(active.plan(&snapshot()).is_ok());
        }
        assert!(trials.iter().all(|trial| !trial.is_finished()), "they were at it meanwhile");
        cancel.cancel();
    });
}
