//! An in-process cluster with faults and a virtual clock, behind the trait that the real API server stands behind.
//!
//! The same seed gives the same story on every machine: latencies are drawn from the seed, the clock moves only when
//! something is due, and nothing sleeps.
//!
//! ```
//! use sluice_sandbox::{Event, Sandbox};
//!
//! let sandbox = Sandbox::new(1);
//! sandbox.happen(Event::NamespaceAdded("shop".into(), Some("egress".into())));
//! assert_eq!(sandbox.observe().namespaces.len(), 1);
//! ```

mod audit;
mod dice;
mod event;
mod fault;
mod happen;
pub mod ovn;
pub mod sdn;
mod serve;
mod world;

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use sluice_core::backend::{Backend, WriteFailure, Written};
use sluice_core::network::{Target, Write};
use sluice_core::observed::Observed;

pub use audit::{Audit, Expectation, audit};
pub use dice::Dice;
pub use event::Event;
pub use fault::Fault;
pub use world::{EPOCH_MS, Landed};

use world::World;

/// A cluster in memory.
pub struct Sandbox {
    world: Mutex<World>,
}

impl Sandbox {
    /// An empty cluster on a platform that needs no cloud step.
    pub fn new(seed: u64) -> Self {
        Self { world: Mutex::new(World::new(seed)) }
    }

    /// The cluster at this instant.
    pub fn observe(&self) -> Observed {
        self.lock().objects.clone()
    }

    /// Virtual milliseconds since the start.
    pub fn now(&self) -> u64 {
        self.lock().now
    }

    /// Something happens at once.
    pub fn happen(&self, event: Event) {
        self.lock().happen(event);
    }

    /// Something happens after a while, also in the middle of a schedule.
    pub fn happen_in(&self, delay_ms: u64, event: Event) {
        self.lock().happen_in(delay_ms, event);
    }

    /// The next writes whose targets match meet a fault, so many times.
    pub fn inject(&self, fault: Fault, times: u32, matches: impl Fn(&Target) -> bool + Send + 'static) {
        self.lock().faults.add(fault, times, Box::new(matches));
    }

    /// Forgets faults that met no write.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// Lets time pass, and what is due in it happen.
    pub fn advance(&self, ms: u64) {
        let mut world = self.lock();
        let end = world.now + ms;
        while world.next_due().is_some_and(|at| at <= end) {
            world.step();
        }
        world.set_clock(end);
    }

    /// Lets everything happen that is due.
    pub fn settle(&self) {
        let mut world = self.lock();
        while world.step() {}
    }

    /// All committed writes so far, in order.
    pub fn journal(&self) -> Vec<Landed> {
        self.lock().journal.clone()
    }

    /// Runs a future on the virtual clock. None: it waits for something that is not the sandbox.
    pub fn run<F: Future>(&self, future: F) -> Option<F::Output> {
        self.run_for(usize::MAX, future)
    }

    /// Like [`Sandbox::run`], but drops the future after so many things have happened, as a crash would. Writes on
    /// their way still arrive.
    pub fn run_for<F: Future>(&self, happenings: usize, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        self.lock().driven = true;
        let mut output = None;
        for happened in 0..=happenings {
            if let Poll::Ready(ready) = future.as_mut().poll(&mut context) {
                output = Some(ready);
                break;
            }
            if happened == happenings || !self.lock().step() {
                break;
            }
        }
        self.lock().driven = false;
        output
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let world = self.lock();
        f.debug_struct("Sandbox").field("now", &world.now).field("objects", &world.objects).finish_non_exhaustive()
    }
}

impl Backend for Sandbox {
    async fn write(&self, write: &Write, resource_version: &str) -> Result<Written, WriteFailure> {
        Answer { sandbox: self, call: Err((write, resource_version)) }.await
    }
}

/// A write that waits for its answer. Outside of [`Sandbox::run`] nobody moves the clock, so it does so itself.
struct Answer<'a> {
    sandbox: &'a Sandbox,
    /// The call's number, or what is to be sent.
    call: Result<u64, (&'a Write, &'a str)>,
}

impl Future for Answer<'_> {
    type Output = Result<Written, WriteFailure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut world = self.sandbox.lock();
        let call = match self.call {
            Ok(call) => call,
            Err((write, resource_version)) => world.send(write.clone(), resource_version.to_owned()),
        };
        loop {
            if let Some(answer) = world.receive(call, context.waker()) {
                return Poll::Ready(answer);
            }
            if world.driven || !world.step() {
                drop(world);
                self.call = Ok(call);
                return Poll::Pending;
            }
        }
    }
}
