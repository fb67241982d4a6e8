//! The wasm host: loads, limits and calls allocation policies.
//!
//! A policy is a component that turns a snapshot into a plan (`wit/policy.wit`). It is not trusted: it imports
//! nothing but `log`, is compiled in a child process, and every call runs in a fresh store under the [`Limits`].
//! What it answers is converted to core's terms and bounded here; whether the plan is any good is for
//! `sluice_core` to judge.
//!
//! [`PolicyHost::load`] runs the stages in order, and each has its own error:
//!
//! ```text
//! size -> imports and exports -> compile (child) -> link -> describe -> schema -> settings -> validate-settings
//! ```

mod bindings;
mod call;
mod cancel;
mod compile;
mod confine;
mod contents;
mod describe;
mod engine;
mod error;
mod fault;
mod format;
mod gate;
mod host;
mod inspect;
mod json;
mod lift;
mod limiter;
mod limits;
mod logs;
mod lower;
mod memory;
mod policy;
mod schema;
mod source;
mod thread;

pub use call::Cost;
pub use cancel::{Cancel, DropGuard};
pub use compile::{Compiler, compile_main};
pub use contents::CONTRACT;
pub use engine::WASM_STACK_BYTES;
pub use error::{CallError, HostError, LoadError, Refusal, SettingsProblem, Trace};
pub use host::PolicyHost;
pub use inspect::Inspection;
pub use json::snapshot_json;
pub use limits::Limits;
pub use logs::{LogLevel, LogRecord};
pub use policy::{CallOutcome, Planned, Policy, PolicyInfo};
pub use source::{Candidate, CandidateError, SourceError, read_file, shadow};
