//! The engine: one configuration for the compile child and for serving, and the clock of the wall-clock limit.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use wasmtime::{Config, Engine, EngineWeak, WasmBacktraceDetails, WasmFeatures};

/// How often the epoch advances: the resolution of wall-clock limits.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Stack a policy may use. Part of the engine's configuration, hence the same for all policies.
pub const WASM_STACK_BYTES: usize = 512 << 10;

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

/// An engine without a clock: enough to compile.
pub(crate) fn compiling() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

/// An engine with its clock. Without one no wall-clock limit would ever fire, so there is no way to get the one
/// without the other.
pub(crate) fn serving() -> wasmtime::Result<Engine> {
    let engine = compiling()?;
    start_ticker(engine.weak())?;
    Ok(engine)
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
        let engine = serving().unwrap();
        let weak = engine.weak();
        drop(engine);
        let deadline = Instant::now() + Duration::from_secs(5);
        while weak.upgrade().is_some() {
            assert!(Instant::now() < deadline, "the ticker keeps the engine alive");
            thread::yield_now();
        }
    }
}
