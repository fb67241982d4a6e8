//! From an error of wasmtime to an error that names the limit.

use std::fmt::{self, Write};

use wasmtime::{Error, Trap, WasmBacktrace};

use crate::call::{Budget, Cost};
use crate::engine::WASM_STACK_BYTES;
use crate::error::{CallError, Trace};
use crate::limiter::Breach;
use crate::limits::Limits;
use crate::logs::LogRecord;
use sluice_core::text::printable;

/// Frames kept of a backtrace.
const FRAMES: usize = 12;
/// Bytes of a backtrace: demangled names of a hostile guest have no natural end.
const BACKTRACE_BYTES: usize = 8 << 10;
/// Log messages repeated in an error.
const LAST_LOGS: usize = 5;

/// What is known of a call that failed.
pub(crate) struct Fault<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) budget: Budget,
    pub(crate) cost: Cost,
    pub(crate) logs: &'a [LogRecord],
}

/// Names the limit that was met, or the trap.
pub(crate) fn classify(error: &Error, fault: &Fault<'_>) -> CallError {
    let at = || trace(error, fault);
    if let Some(&breach) = error.downcast_ref::<Breach>() {
        return match breach {
            Breach::Memory { asked, limit } => CallError::MemoryLimit { asked, limit },
            Breach::TableElements { asked, limit } => CallError::TableLimit { asked, limit },
            Breach::Cancelled => CallError::Cancelled,
            Breach::Wall => CallError::Timeout { elapsed: fault.cost.wall, limit: fault.budget.wall, at: at() },
        };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => CallError::FuelExhausted { used: fault.cost.fuel, limit: fault.budget.fuel, at: at() },
        Some(Trap::StackOverflow) => CallError::StackOverflow { limit: WASM_STACK_BYTES, at: at() },
        Some(trap) => {
            let kind = trap.to_string();
            CallError::Trap { kind: kind.strip_prefix("wasm trap: ").unwrap_or(&kind).to_owned(), at: at() }
        }
        None => by_message(&error.root_cause().to_string(), fault)
            .unwrap_or_else(|text| CallError::Trap { kind: text, at: at() }),
    }
}

/// Limits whose errors wasmtime does not export as types: known by their messages. The one place that knows them;
/// each is pinned by a test that makes the limit fire.
fn by_message(message: &str, fault: &Fault<'_>) -> Result<CallError, String> {
    let limits = fault.limits;
    if message.ends_with("fuel allocated for hostcalls has been exhausted") {
        return Ok(CallError::ResultTooLarge { limit: fault.budget.hostcall_bytes });
    }
    if message.ends_with("store handle limit exceeded") {
        return Ok(CallError::HandleLimit { limit: limits.handles });
    }
    let counted = message.strip_prefix("resource limit exceeded: ");
    let counted = counted.and_then(|rest| rest.split_once(" count too high at "));
    let counted = counted.and_then(|(what, asked)| Some((what, asked.parse().ok()?)));
    match counted {
        Some(("instance", asked)) => Ok(CallError::InstanceLimit { asked, limit: limits.core_instances }),
        Some(("memory", asked)) => Ok(CallError::MemoriesLimit { asked, limit: limits.memories }),
        Some(("table", asked)) => Ok(CallError::TablesLimit { asked, limit: limits.tables }),
        _ => Err(printable(message, limits.text_bytes)),
    }
}

fn trace(error: &Error, fault: &Fault<'_>) -> Trace {
    let frames = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
    let first = fault.logs.len().saturating_sub(LAST_LOGS);
    let logs = fault.logs.iter().skip(first);
    Trace { frames, logs: logs.map(|record| format!("{}: {}", record.level, record.message)).collect() }
}

/// The frames of wasmtime's own display, which demangles: `  0: 0x123 - module!function`.
fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    let mut text = Bounded(String::new());
    // An error only means that the text is full.
    let _ = write!(text, "{backtrace}");
    let lines = text.0.lines().skip(1).take(FRAMES);
    let name = |line: &str| line.split_once(" - ").map_or_else(|| line.trim().to_owned(), |(_, name)| name.to_owned());
    lines.map(|line| printable(without_hash(&name(line)), 256)).collect()
}

/// A Rust name without the hash that tells equal ones apart: `::h` and 16 hexadecimal digits.
fn without_hash(name: &str) -> &str {
    let hash = |hash: &str| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.rsplit_once("::h").filter(|(_, rest)| hash(rest)).map_or(name, |(name, _)| name)
}

/// A text that stops growing.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if self.0.len() + more.len() > BACKTRACE_BYTES {
            return Err(fmt::Error);
        }
        self.0.push_str(more);
        Ok(())
    }
}
