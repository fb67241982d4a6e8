//! The contract in Rust: what `wit/policy.wit` says, as types and calls. Generated; nothing is written by hand here.
//!
//! Parameters borrow, so that a snapshot is written into the guest without a second copy. The `log` import is
//! defined by hand in [`crate::call`]: it must charge fuel, and generated host traits do not see the store.

#![allow(missing_docs, clippy::pedantic, reason = "generated")]

wasmtime::component::bindgen!({
    world: "policy",
    path: "../../wit",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: { default: trappable },
    additional_derives: [serde::Serialize],
});

pub(crate) use exports::sluice::policy::allocator as wit;
pub(crate) use sluice::policy::log;
