//! Events, kept until the API server has taken them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::ready;
use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use sluice_core::backend::WriteFailure;
use sluice_core::repair::Repair;
use sluice_core::retry::Backoff;
use sluice_core::status::PoolReport;
use sluice_core::survey::NamedHold;
use sluice_kube::events::{Event, EventBook};
use sluice_kube::index::SharedIndex;
use sluice_kube::patch::ApiServer;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::warn;

/// First pause after a failure that may pass by itself, and the longest.
const PAUSE: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_mins(1));
/// Longest patience that the API server may ask for.
const PATIENCE: Duration = Duration::from_mins(5);
/// Events that are created at the same time.
const AT_ONCE: usize = 8;

/// Creates events. One that fails is created again; one whose answer is lost may be there twice.
pub(super) struct Events {
    server: ApiServer,
    index: Arc<SharedIndex>,
    /// Repairs that were made since the last story.
    repairs: mpsc::UnboundedReceiver<Repair>,
    book: EventBook,
    failures: u32,
    /// The API server takes no event until then.
    until: Option<Instant>,
}

impl Events {
    pub(super) fn new(server: ApiServer, index: Arc<SharedIndex>, repairs: mpsc::UnboundedReceiver<Repair>) -> Self {
        Self { server, index, repairs, book: EventBook::default(), failures: 0, until: None }
    }

    /// Takes up repairs that were made.
    pub(super) fn listen(&mut self) {
        while let Ok(repair) = self.repairs.try_recv() {
            if !self.book.repaired(&repair) {
                warn!(namespace = %repair.owner, %repair, "too many events wait: one is dropped");
            }
        }
    }

    /// Creates what is due: repairs, and, while nothing is being written, what is wrong. Returns when to try again what
    /// could not be created.
    pub(super) async fn tell(&mut self, reports: &[PoolReport], holds: &[NamedHold], settled: bool) -> Option<Instant> {
        if let Some(until) = self.until.filter(|until| Instant::now() < *until) {
            return Some(until);
        }
        let now = Timestamp::now();
        let due = if settled { self.book.due(reports, holds, now) } else { self.book.due_repairs(now) };
        let results: Vec<_> = stream::iter(due)
            // The old operator may have taken its lock since the round.
            .take_while(|_| ready(self.index.foreign_lock().is_none()))
            .map(|event| self.create(event))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let pause = self.conclude(results, now);
        self.failures = if pause.is_some() { self.failures.saturating_add(1) } else { 0 };
        self.until = pause.map(|pause| Instant::now() + pause);
        let refused = self.book.again().map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        self.until.into_iter().chain(refused.map(|pause| Instant::now() + pause)).min()
    }

    async fn create(&self, event: Event) -> (Event, Result<(), WriteFailure>) {
        if self.index.read(|index| index.is_terminating(event.namespace())) {
            return (event, Err(WriteFailure::NotFound));
        }
        let uid = self.index.read(|index| index.uid(event.kind, &event.name).map(str::to_owned));
        let body = event.body(uid.as_deref(), Timestamp::now());
        let result = self.server.create_event(event.namespace(), &body).await;
        (event, result)
    }

    /// Notes what became of events; returns how long to wait if the API server takes none now.
    fn conclude(&mut self, results: Vec<(Event, Result<(), WriteFailure>)>, now: Timestamp) -> Option<Duration> {
        let mut pause = None;
        for (event, result) in results {
            let Err(error) = result else {
                self.book.told(event, now);
                continue;
            };
            // There is nothing any more that it could be about.
            if matches!(error, WriteFailure::NotFound) {
                self.book.told(event, now);
                continue;
            }
            warn!(kind = %event.kind, name = event.name, %error, "cannot create an event");
            match error {
                WriteFailure::Denied(_) | WriteFailure::Invalid(_) => self.book.refused(&event, now),
                WriteFailure::Throttled { retry_after: Some(asked) } => {
                    pause = pause.max(Some(asked.clamp(PAUSE.after(0), PATIENCE)));
                }
                _ => {
                    pause = pause.max(Some(PAUSE.after(self.failures)));
                }
            }
        }
        pause
    }
}
