//! One call into a policy: a fresh store, every limit set before the first instruction, a thread of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use sluice_core::snapshot::Snapshot;
use wasmtime::component::Linker;
use wasmtime::{AsContextMut, Engine, Store, StoreContextMut, Trap, UpdateDeadline};

use crate::bindings::{Policy as Exports, PolicyPre, log};
use crate::error::CallError;
use crate::fault::{Fault, classify};
use crate::gate::{Caller, Gate};
use crate::limiter::{Breach, Limiter};
use crate::limits::{Limits, seconds};
use crate::logs::{LogBook, LogRecord};
use crate::thread::{Lost, contain};

/// Fuel of a log message besides its bytes: about what the host's work is worth.
const LOG_FUEL: u64 = 1_000;

/// Ticks after which a call is looked at: whether its time is over, or nobody waits for it any more.
const LOOK: u64 = 1;

/// What a store holds for the guest.
pub(crate) struct Guest {
    pub(crate) limiter: Limiter,
    pub(crate) logs: LogBook,
}

/// What a call may take, besides what is the same for all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) fuel: u64,
    pub(crate) wall: Duration,
    /// Copied out of the guest.
    pub(crate) hostcall_bytes: usize,
}

/// What a call took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Instructions and log bytes; the same on every machine.
    pub fuel: u64,
    /// Wall-clock time from instantiation to the end, of the last try.
    #[serde(serialize_with = "seconds")]
    pub wall: Duration,
    /// The most memory the policy had, in bytes.
    pub peak_memory: usize,
    /// Bytes of the answer, texts included.
    pub result_bytes: usize,
}

/// What came of a call.
#[derive(Debug)]
pub(crate) struct Called<T> {
    pub(crate) result: Result<T, CallError>,
    pub(crate) cost: Cost,
    pub(crate) logs: Vec<LogRecord>,
    pub(crate) dropped_logs: u64,
}

impl<T> Called<T> {
    fn failed(error: CallError) -> Self {
        Self { result: Err(error), cost: Cost::default(), logs: Vec::new(), dropped_logs: 0 }
    }
}

/// A policy ready to be called: linked, with its limits and the bound on concurrent calls.
#[derive(Clone)]
pub(crate) struct Linked {
    pub(crate) exports: PolicyPre<Guest>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) gate: Arc<Gate>,
}

impl Linked {
    /// Budget of the calls that are not `make-plan`.
    pub(crate) fn other_budget(&self) -> Budget {
        let Limits { other_fuel: fuel, other_wall: wall, hostcall_bytes, .. } = *self.limits;
        Budget { fuel, wall, hostcall_bytes }
    }

    /// Budget of a plan from this snapshot.
    pub(crate) fn plan_budget(&self, snapshot: &Snapshot) -> Budget {
        let limits = &self.limits;
        let (fuel, hostcall_bytes) = (limits.fuel_for(snapshot), limits.hostcall_bytes_for(snapshot));
        Budget { fuel, wall: limits.plan_wall, hostcall_bytes }
    }

    /// Calls an export. A timeout says more about the machine than about the policy, so it gets one more try with
    /// twice the time; every other failure would only happen again.
    pub(crate) fn call<T: Send>(
        &self,
        budget: Budget,
        caller: Caller<'_>,
        export: impl Fn(&Exports, &mut Store<Guest>) -> wasmtime::Result<T> + Sync,
    ) -> Called<T> {
        let Some(_place) = self.gate.enter(caller) else { return Called::failed(CallError::Cancelled) };
        let done = self.attempt(budget, caller, &export);
        if matches!(done.result, Err(CallError::Timeout { .. })) {
            return self.attempt(Budget { wall: budget.wall.saturating_mul(2), ..budget }, caller, &export);
        }
        done
    }

    fn attempt<T: Send>(
        &self,
        budget: Budget,
        caller: Caller<'_>,
        export: &(impl Fn(&Exports, &mut Store<Guest>) -> wasmtime::Result<T> + Sync),
    ) -> Called<T> {
        match contain(|| self.run(budget, caller, export)) {
            Ok(done) => done,
            Err(Lost::Panicked(text)) => Called::failed(CallError::Panicked { text }),
            Err(Lost::NotStarted(text)) => Called::failed(CallError::NotStarted { text }),
        }
    }

    fn run<T>(
        &self,
        budget: Budget,
        caller: Caller<'_>,
        export: &impl Fn(&Exports, &mut Store<Guest>) -> wasmtime::Result<T>,
    ) -> Called<T> {
        let started = Instant::now();
        let mut store = self.store(budget, caller, started);
        let result = store
            .set_fuel(budget.fuel)
            .and_then(|()| self.exports.instantiate(&mut store))
            .and_then(|exports| export(&exports, &mut store));
        // Fuel is on for the whole engine, so that reading it cannot fail.
        let fuel = budget.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
        let guest = store.into_data();
        let cost = Cost { fuel, wall: started.elapsed(), peak_memory: guest.limiter.peak_memory(), result_bytes: 0 };
        let (logs, dropped_logs) = guest.logs.close();
        let fault = Fault { limits: &self.limits, budget, cost, logs: &logs };
        Called { result: result.map_err(|error| classify(&error, &fault)), cost, logs, dropped_logs }
    }

    /// A store with every limit but fuel, which can fail to be set.
    fn store(&self, budget: Budget, caller: Caller<'_>, started: Instant) -> Store<Guest> {
        let guest = Guest { limiter: Limiter::new(&self.limits), logs: LogBook::new(&self.limits) };
        let mut store = Store::new(self.exports.engine(), guest);
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(budget.hostcall_bytes);
        store.set_max_component_handles(self.limits.handles);
        store.set_epoch_deadline(LOOK);
        let cancel = caller.cancel().clone();
        store.epoch_deadline_callback(move |_| {
            if cancel.is_cancelled() {
                return Err(Breach::Cancelled.into());
            }
            // Ticks can come in a burst on a loaded machine: only the clock counts.
            if started.elapsed() < budget.wall { Ok(UpdateDeadline::Continue(LOOK)) } else { Err(Breach::Wall.into()) }
        });
        store
    }
}

/// What a policy may import: `log`, and nothing else.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    linker.instance("sluice:policy/log@0.1.0")?.func_wrap("log", record)?;
    Ok(linker)
}

/// The `log` import. Fuel does not see what the host does, so the message is paid for here: a flood of messages ends
/// like any other endless loop.
fn record(mut store: StoreContextMut<'_, Guest>, (level, message): (log::Level, String)) -> wasmtime::Result<()> {
    let bytes = u64::try_from(message.len()).unwrap_or(u64::MAX);
    let price = LOG_FUEL.saturating_add(bytes);
    let left = store.get_fuel()?.checked_sub(price);
    store.as_context_mut().set_fuel(left.unwrap_or(0))?;
    if left.is_none() {
        return Err(Trap::OutOfFuel.into());
    }
    store.data_mut().logs.record(level.into(), &message);
    Ok(())
}
