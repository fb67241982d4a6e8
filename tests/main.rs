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

mod harness;

mod scenarios;
mod selftest;
