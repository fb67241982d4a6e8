//! Components that no operator should ever run.

use self::guest::{Answer, Description, Guest, Patch};

#[path = "../../../host/policy/tests/hostile/guest.rs"]
#[allow(dead_code, reason = "the tests of the wasm host use all of it")]
mod guest;

/// What guests answer unless they are told to look; no snapshot here has it.
const GENERATION: u64 = u64::MAX;

/// Says that it is a policy, and fails at every plan.
pub(in crate::scenarios) fn trapping() -> Vec<u8> {
    Guest::planning("unreachable").component()
}

/// Never comes to an end.
pub(in crate::scenarios) fn endless() -> Vec<u8> {
    Guest::planning("(loop $for_ever (br $for_ever)) unreachable").component()
}

/// Wants to know the time.
pub(in crate::scenarios) fn curious() -> Vec<u8> {
    let import = r#"(import "wasi:clocks/wall-clock@0.2.0" (instance))"#;
    Guest { before: import.into(), ..Guest::default() }.component()
}

/// Gives the second owner of the only pool the address that the first one holds in the first zone.
pub(in crate::scenarios) fn thief() -> Vec<u8> {
    let (second, first_zone) = (1, 0);
    let theft = Patch { operation: 0, numbers: vec![second, first_zone], address: STOLEN, ..Patch::default() };
    Guest { any_generation: true, ..Guest::answering(Answer::patches(vec![theft])) }.component()
}

/// 10.20.0.2, the first address of the first zone, which the first owner got.
const STOLEN: u32 = 0x0a14_0002;

/// An honest policy that does nothing, and accepts any settings.
pub(in crate::scenarios) fn idle() -> Vec<u8> {
    Guest { any_generation: true, ..Guest::default() }.component()
}

/// Moves the first address that a node carries to the node beside it, and back, for ever. Each of its plans is legal.
pub(in crate::scenarios) fn restless() -> Vec<u8> {
    let description =
        Description { name: b"restless".to_vec(), version: "0.1.0".into(), ..Guest::default().description };
    // The assignments are the snapshot's list at 60; of the first one the address is at 8 and the node at 24. The patches
    // are the answer's list at 16; of the only one the address is at 16, the source at 32 and the target at 36.
    let (first, patch) = ("(i32.load offset=60 (local.get $arguments))", "(i32.load offset=16 (i32.const {answer}))");
    let node = format!("(i32.load offset=24 {first})");
    let plan = format!(
        "(i32.store offset=16 {patch} (i32.load offset=8 {first}))
        (i32.store offset=32 {patch} {node})
        (i32.store offset=36 {patch} (i32.xor {node} (i32.const 1)))
        (i32.const {{answer}})"
    );
    let to_and_fro = Patch { operation: 4, reason: 8, ..Patch::default() };
    let answer = Answer::patches(vec![to_and_fro]);
    Guest { description, any_generation: true, plan: Some(plan), ..Guest::answering(answer) }.component()
}

/// An honest policy that does nothing, as long as there are fewer owners than this; then it fails.
pub(in crate::scenarios) fn brittle(owners: usize) -> Vec<u8> {
    // The list of owners is a pointer and a length; before it stand three numbers of 64 bits, one of 32, and three lists.
    let length = 3 * 8 + 4 + 3 * 8 + 4;
    let check = format!(
        "(if (i32.ge_u (i32.load offset={length} (local.get $arguments)) (i32.const {owners})) (then unreachable))"
    );
    Guest { any_generation: true, check, ..Guest::default() }.component()
}

/// One function of so many `if`s that compiling takes minutes, and is then given up.
pub(in crate::scenarios) fn slow_to_compile() -> Vec<u8> {
    let ifs = "(if (i32.eqz (local.get 0)) (then (local.set 0 (i32.const 7))))".repeat(60_000);
    let items = format!("(func (param i32) (result i32) {ifs} (local.get 0))");
    Guest { items, ..Guest::default() }.component()
}
