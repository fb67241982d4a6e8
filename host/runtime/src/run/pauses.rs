//! Which objects are left alone for a while, so that what fails, or what somebody else keeps undoing, is not written in a
//! tight loop. Everything else goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_core::backend::WriteFailure;
use sluice_core::retry::Backoff;
use sluice_core::schedule::{Change, Target};
use tokio::time::Instant;

/// First pause after a failure that may pass by itself, and the longest: an API server that is back after minutes must not
/// find failovers waiting. It is never asked for more than a few writes at once, and may ask for more patience.
const QUICK: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// Longest pause.
const LONGEST: Duration = Duration::from_mins(5);
/// First pause after a failure that needs a human, and the longest.
const SLOW: Backoff = Backoff::new(Duration::from_secs(5), LONGEST);
/// First pause after the same change was made once too often, and the longest.
const DISPUTED: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
/// The same change to one object that often in a row is a dispute with somebody who undoes it.
const REPAIRS: u32 = 4;
/// An object that was not written again so long after its pause needs no write any more, so its failure is forgotten.
const UNNEEDED: Duration = Duration::from_mins(1);
/// After so long a repeated change is no dispute. Longer than any pause.
const FORGIVEN: Duration = Duration::from_mins(10);

/// What earlier writes came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Setbacks {
    /// Objects that are not to be written now.
    pub(super) avoided: BTreeSet<Target>,
    /// Objects that could not be written when they were tried last.
    pub(super) refused: BTreeSet<Target>,
}

/// What went wrong, by object.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    failed: BTreeMap<Target, Failed>,
    written: BTreeMap<Target, Written>,
}

#[derive(Debug)]
struct Failed {
    times: u32,
    until: Instant,
    /// Of a failure that needs a human: what to tell.
    complaint: Option<String>,
}

#[derive(Debug)]
struct Written {
    change: Change,
    times: u32,
    last: Instant,
    until: Instant,
}

impl Pauses {
    /// Notes a write that failed.
    pub(super) fn failed(&mut self, target: Target, failure: &WriteFailure, now: Instant) {
        let times = self.failed.get(&target).map_or(0, |before| before.times);
        let (pause, complaint) = match failure {
            WriteFailure::Throttled { retry_after: Some(pause) } => ((*pause).clamp(QUICK.after(0), LONGEST), None),
            WriteFailure::Denied(_) | WriteFailure::Invalid(_) => (SLOW.after(times), Some(failure.to_string())),
            _ => (QUICK.after(times), None),
        };
        self.failed.insert(target, Failed { times: times.saturating_add(1), until: now + pause, complaint });
    }

    /// Notes a write that succeeded.
    pub(super) fn written(&mut self, target: Target, change: Change, now: Instant) {
        self.failed.remove(&target);
        let before = self.written.get(&target).filter(|before| before.change == change);
        let times = before.map_or(1, |before| before.times.saturating_add(1));
        let pause = times.checked_sub(REPAIRS).map_or(Duration::ZERO, |over| DISPUTED.after(over));
        self.written.insert(target, Written { change, times, last: now, until: now + pause });
    }

    /// Objects that are not to be written now.
    fn avoided(&self, now: Instant) -> BTreeSet<Target> {
        let failed = self.failed.iter().filter(|(_, failed)| failed.until > now).map(|(target, _)| target);
        let disputed = self.written.iter().filter(|(_, written)| written.until > now).map(|(target, _)| target);
        failed.chain(disputed).cloned().collect()
    }

    /// What the next round has to know.
    pub(super) fn setbacks(&self, now: Instant) -> Setbacks {
        // A node is not given up for a failure that may pass by itself, and gets another chance after each pause.
        let counts = |target: &Target, failed: &Failed| match target {
            Target::HostSubnet(_) => failed.complaint.is_some() && failed.until > now,
            _ => true,
        };
        let refused = self.failed.iter().filter(|(target, failed)| counts(target, failed));
        Setbacks { avoided: self.avoided(now), refused: refused.map(|(target, _)| target.clone()).collect() }
    }

    /// When the next pause ends.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let failed = self.failed.values().map(|failed| failed.until);
        failed.chain(self.written.values().map(|written| written.until)).filter(|until| *until > now).min()
    }

    /// What needs a human, by object.
    pub(super) fn complaints(&self) -> impl Iterator<Item = (&Target, &str)> {
        self.failed.iter().filter_map(|(target, failed)| Some((target, failed.complaint.as_deref()?)))
    }

    /// Forgets what is long past.
    pub(super) fn forgive(&mut self, now: Instant) {
        self.failed.retain(|_, failed| now < failed.until + UNNEEDED);
        self.written.retain(|_, written| now < written.last + FORGIVEN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target::NetNamespace("shop".into())
    }

    fn change(hold: &str) -> Change {
        Change::Namespace { result: None, hold: Some(Some(hold.to_owned())) }
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_a_success_ends_them() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        let mut waited = Vec::new();
        for _ in 0..12 {
            pauses.failed(target(), &WriteFailure::Conflict, now);
            waited.push(pauses.next(now).unwrap() - now);
        }
        assert_eq!(waited[..3], [100, 200, 400].map(Duration::from_millis));
        assert_eq!(waited[11], Duration::from_secs(5));
        assert_eq!(pauses.avoided(now), BTreeSet::from([target()]));
        assert_eq!(pauses.complaints().count(), 0);
        pauses.written(target(), change("a"), now);
        assert_eq!((pauses.avoided(now), pauses.next(now)), (BTreeSet::new(), None));
    }

    #[test]
    fn what_needs_a_human_is_told_until_it_succeeds_or_is_long_past() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        pauses.failed(target(), &WriteFailure::Denied("no".to_owned()), now);
        assert_eq!(pauses.next(now), Some(now + SLOW.0));
        assert_eq!(pauses.complaints().map(|(_, text)| text).collect::<Vec<_>>(), ["not allowed: no"]);
        pauses.forgive(now + SLOW.0 + UNNEEDED);
        assert_eq!(pauses.complaints().count(), 0);
    }

    #[test]
    fn a_host_subnet_counts_as_refused_while_a_human_is_needed_and_it_pauses() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        let refused = |pauses: &Pauses, now| pauses.setbacks(now).refused.into_iter().collect::<Vec<_>>();
        let subnet = Target::HostSubnet("worker-a0".into());
        pauses.failed(subnet.clone(), &WriteFailure::Conflict, now);
        pauses.failed(target(), &WriteFailure::Conflict, now);
        assert_eq!(refused(&pauses, now), [target()]);
        pauses.failed(subnet.clone(), &WriteFailure::Invalid("no".to_owned()), now);
        assert_eq!(refused(&pauses, now), [subnet, target()]);
        assert_eq!(refused(&pauses, now + SLOW.1), [target()]);
    }

    #[test]
    fn a_change_that_somebody_keeps_undoing_is_made_ever_more_slowly() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        for _ in 1..REPAIRS {
            pauses.written(target(), change("a"), now);
            assert_eq!(pauses.next(now), None);
        }
        pauses.written(target(), change("a"), now);
        assert_eq!(pauses.next(now), Some(now + DISPUTED.0));
        pauses.written(target(), change("a"), now);
        assert_eq!(pauses.next(now), Some(now + 2 * DISPUTED.0));
        pauses.written(target(), change("b"), now);
        assert_eq!(pauses.next(now), None);
    }
}
