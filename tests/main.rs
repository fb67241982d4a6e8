//! Integration tests: the real binary against a real API server.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them into its expectations")]
#![allow(unreachable_pub, reason = "a test binary exports nothing")]

#[allow(dead_code, unused_imports, reason = "the harness offers more than the scenarios use at any one time")]
mod harness;

mod scenarios;
mod selftest;
