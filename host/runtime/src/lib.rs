//! Tasks, lease, shutdown, metrics and the command line. The only crate with a clock and tasks.
//!
//! - [`cli`]: what people type; `plan` and `policy inspect` live there.
//! - `clouds`: the clouds that the operator can serve, each with its flags and metrics.
//! - `run`: the operator: one planning task, and tasks around it that watch, report, elect and answer probes.
//! - [`apply`]: a schedule of writes against a backend, also used by the demo.
//! - `demo`: the main job on a cluster in memory, where the feature of that name is on.

#![cfg_attr(
    test,
    allow(clippy::needless_raw_string_hashes, reason = "`UPDATE_EXPECT=1` writes expectations with them")
)]

pub mod apply;
pub mod cli;
mod clouds;
#[cfg(feature = "demo")]
pub mod demo;
mod network_args;
mod policy_files;
mod run;

/// Milliseconds of a clock that never goes back, since some moment of this process.
fn steady_milliseconds() -> u64 {
    static BEGINNING: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    u64::try_from(BEGINNING.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Unix time in milliseconds, as facts and locks have it.
fn unix_milliseconds() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}
