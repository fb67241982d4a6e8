//! Counters, for whoever shows metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::arm::Verb;

/// Most durations kept.
const KEPT: usize = 256;

/// What the provider has done since its start. All times are those of the provider's pace.
#[derive(Debug, Default)]
pub struct Meter {
    requests: [[AtomicU64; CLASSES.len()]; 3],
    throttled: AtomicU64,
    tokens: AtomicU64,
    in_flight: AtomicU64,
    updates: std::sync::Mutex<Vec<Duration>>,
}

/// The classes of answers. `none`: there was no answer.
const CLASSES: [&str; 5] = ["none", "2xx", "3xx", "4xx", "5xx"];

/// How many requests there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests {
    /// `GET`, `PUT` or `POLL` (a GET of an operation).
    pub verb: &'static str,
    /// Class of the answer's status: `2xx` to `5xx`, or `none`.
    pub class: &'static str,
    /// How many.
    pub count: u64,
}

impl Meter {
    pub(crate) fn answered(&self, verb: Verb, status: Option<u16>) {
        let class = status.map_or(0, |status| usize::from(status / 100).saturating_sub(1).clamp(1, 4));
        if let Some(counter) = self.requests.get(verb as usize).and_then(|row| row.get(class)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if status == Some(429) {
            self.throttled.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn token_asked(&self) {
        self.tokens.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an operation as in flight until the answer is dropped.
    pub(crate) fn operation(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    pub(crate) fn updated(&self, took: Duration) {
        let mut updates = self.updates.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if updates.len() < KEPT {
            updates.push(took);
        }
    }

    /// Requests to Resource Manager, by verb and class; those that never happened are left out.
    pub fn requests(&self) -> Vec<Requests> {
        let verbs = ["GET", "PUT", "POLL"].into_iter().zip(&self.requests);
        verbs
            .flat_map(|(verb, row)| {
                let cells = CLASSES.into_iter().zip(row);
                cells.map(move |(class, count)| Requests { verb, class, count: count.load(Ordering::Relaxed) })
            })
            .filter(|requests| requests.count > 0)
            .collect()
    }

    /// How often Azure said 429.
    pub fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    /// How often a token was asked for.
    pub fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// Updates of interfaces that are under way now.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How long the updates of interfaces took that ended well since this was last asked, at most 256 of them.
    pub fn take_updates(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.updates.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// An operation under way.
pub(crate) struct InFlight<'a>(&'a Meter);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_verb_and_class() {
        let meter = Meter::default();
        for status in [Some(200), Some(429), Some(503), None, Some(600)] {
            meter.answered(Verb::Put, status);
        }
        let classes: Vec<_> = meter.requests().into_iter().map(|requests| (requests.class, requests.count)).collect();
        assert_eq!(classes, [("none", 1), ("2xx", 1), ("4xx", 1), ("5xx", 2)]);
        assert_eq!(meter.throttled(), 1);
    }

    #[test]
    fn an_operation_is_in_flight_until_it_is_dropped() {
        let meter = Meter::default();
        let guard = meter.operation();
        assert_eq!(meter.in_flight(), 1);
        drop(guard);
        assert_eq!(meter.in_flight(), 0);
    }
}
