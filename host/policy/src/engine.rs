//! The engine: one configuration for the compile child and for serving, and the clock of the wall-clock limit.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use wasmtime::{
    Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
    WasmFeatures,
};

use crate::limits::Limits;

/// How often the epoch advances: the resolution of wall-clock limits.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Stack a policy may use. Part of the engine's configuration, hence the same for all policies.
pub const WASM_STACK_BYTES: usize = 512 << 10;

/// Bytes of each memory that stay with the process when a call is over, zeroed: fresh pages would cost a quarter of a
/// plan's time. A plan needs 10.6 MB in Rust for 10,000 owners and 92 MB for 100,000. At worst as many memories as were
/// ever in use at once keep this much each.
const KEPT_MEMORY_BYTES: usize = 128 << 20;

/// The most that a 32-bit memory can have, and the address space that wasmtime reserves for each. What a policy gets is
/// for the limiter to say, which names its limit.
const MAX_MEMORY_BYTES: usize = 4 << 30;

/// Settings that decide what code is made. An artifact loads only into an engine with the same ones, so the compile
/// child and the serving process both start here.
fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        // Determinism: the same snapshot gives the same plan on every machine.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_features(WasmFeatures::THREADS, false)
        // Names in traps come from the name section. Reading DWARF would be unbounded work on hostile input, and
        // the default asks the environment.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// An engine without clock and without room for instances: enough to compile, in an address space that is limited.
pub(crate) fn compiling() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

/// An engine with its clock. Without one no wall-clock limit would ever fire, so there is no way to get the one
/// without the other.
pub(crate) fn serving(limits: &Limits) -> wasmtime::Result<Engine> {
    let mut pooled = config();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    // Where so much address space cannot be had (`ulimit -v`), memory comes from the system at each call: it only takes
    // longer.
    let engine = Engine::new(&pooled).or_else(|_| compiling())?;
    start_ticker(engine.weak())?;
    Ok(engine)
}

/// Room for as many calls as may run at once, each with all that the limits allow: the pool never says no, since
/// components are refused and calls are ended before they could ask for more.
fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let for_all = |each: usize| count(each.saturating_mul(limits.concurrent_calls.max(1)));
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(for_all(1))
        .total_core_instances(for_all(limits.core_instances))
        .total_memories(for_all(limits.memories))
        .max_memories_per_module(count(limits.memories))
        .max_memory_size(MAX_MEMORY_BYTES)
        .linear_memory_keep_resident(KEPT_MEMORY_BYTES)
        // Another policy uses the pages that are there, instead of touching its own.
        .max_unused_warm_slots(1)
        // Where the kernel tells what was written, nothing else is zeroed.
        .pagemap_scan(Enabled::Auto)
        .total_tables(for_all(limits.tables))
        .max_tables_per_module(count(limits.tables))
        .table_elements(limits.table_elements)
        // Neither is reserved, and both are bounded by `instance_bytes`.
        .max_core_instance_size(MAX_MEMORY_BYTES)
        .max_component_instance_size(usize::MAX);
    pool
}

/// Advances the epoch until the last holder of the engine is gone.
fn start_ticker(engine: EngineWeak) -> wasmtime::Result<()> {
    let ticker = thread::Builder::new().name("policy-ticker".into());
    ticker
        .spawn(move || {
            // Nobody sends: the channel is a pause that needs no sleep.
            let (_keep_open, never): (_, Receiver<()>) = channel();
            while let Err(RecvTimeoutError::Timeout) = never.recv_timeout(TICK) {
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => break,
                }
            }
        })
        .map(drop)
        .map_err(|error| wasmtime::Error::msg(format!("cannot start the ticker: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_ticker_ends_with_the_engine() {
        let engine = serving(&Limits::default()).unwrap();
        let weak = engine.weak();
        drop(engine);
        let deadline = Instant::now() + Duration::from_secs(5);
        while weak.upgrade().is_some() {
            assert!(Instant::now() < deadline, "the ticker keeps the engine alive");
            thread::yield_now();
        }
    }
}
