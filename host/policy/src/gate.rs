//! A bound on the calls that run at once.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::cancel::Cancel;

/// How often one who waits looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(10);

/// On whose behalf a call is made, and how he says that he no longer waits for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller<'a> {
    /// The rounds': they never wait for a trial.
    InCharge(&'a Cancel),
    /// Somebody who looks at a policy beside the rounds.
    Aside(&'a Cancel),
}

impl<'a> Caller<'a> {
    pub(crate) fn cancel(self) -> &'a Cancel {
        match self {
            Self::InCharge(cancel) | Self::Aside(cancel) => cancel,
        }
    }
}

/// Counts free places, of which the last is for who is in charge. Synchronous: callers are on blocking threads already.
#[derive(Debug)]
pub(crate) struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
    /// Places that only who is in charge takes.
    kept: usize,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a Gate);

impl Gate {
    /// A gate with this many places, at least one; a single one is everybody's.
    pub(crate) fn new(places: usize) -> Self {
        let places = places.max(1);
        Self { free: Mutex::new(places), freed: Condvar::new(), kept: usize::from(places > 1) }
    }

    /// Waits for a place; none: the caller is gone.
    pub(crate) fn enter(&self, caller: Caller<'_>) -> Option<Place<'_>> {
        let kept = if matches!(caller, Caller::InCharge(_)) { 0 } else { self.kept };
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free <= kept {
            if caller.cancel().is_cancelled() {
                return None;
            }
            free = self.freed.wait_timeout(free, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        Some(Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        // Whoever is woken may not be the one who may take it.
        self.0.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn no_more_than_the_places_are_taken_at_once() {
        let (gate, inside, most) = (Gate::new(2), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _place = gate.enter(Caller::InCharge(&Cancel::default()));
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 2);
    }

    #[test]
    fn one_place_is_kept_for_who_is_in_charge() {
        let (gate, wanted, unwanted) = (Gate::new(3), Cancel::default(), Cancel::default());
        unwanted.cancel();
        let trials = [gate.enter(Caller::Aside(&wanted)), gate.enter(Caller::Aside(&wanted))];
        assert!(trials.iter().all(Option::is_some));
        assert!(gate.enter(Caller::Aside(&unwanted)).is_none(), "two trials are all that fit");
        assert!(gate.enter(Caller::InCharge(&wanted)).is_some());
        drop(trials);
        assert!(gate.enter(Caller::Aside(&wanted)).is_some());
        assert!(Gate::new(1).enter(Caller::Aside(&wanted)).is_some(), "where there is only one it is everybody's");
    }
}
