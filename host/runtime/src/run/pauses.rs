//! Which objects are left alone for a while, so that what fails, or what somebody else keeps undoing, is not written in a
//! tight loop. Everything else goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_core::backend::WriteFailure;
use sluice_core::network::{Change, Target, Write};
use sluice_core::retry::Backoff;
use tokio::time::Instant;

/// First pause after a failure that may pass by itself, and the longest: an API server that is back after minutes must not
/// find failovers waiting. It is never asked for more than a few writes at once, and may ask for more patience.
const QUICK: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// Longest pause.
const LONGEST: Duration = Duration::from_mins(5);
/// First pause after a failure that needs a human, and the longest.
const SLOW: Backoff = Backoff::new(Duration::from_secs(5), LONGEST);
/// First pause of a change that was made once too often, and the longest.
const DISPUTED: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
/// The same change made to one object that often, whatever was written to it in between, is a dispute with somebody who
/// undoes it: another writer, or a policy that wants now this and now that.
const REPAIRS: u32 = 4;
/// Most changes of one object that are remembered: who goes round in more than so many is slow by that alone.
const REMEMBERED: usize = 8;
/// An object that was not written again so long after its pause needs no write any more, so its failure is forgotten.
const UNNEEDED: Duration = Duration::from_mins(1);
/// After so long a repeated change is no dispute. Longer than any pause.
const FORGIVEN: Duration = Duration::from_mins(10);

/// What earlier writes came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Setbacks {
    /// Objects that are not to be written now, whatever the change is.
    pub(super) avoided: BTreeSet<Target>,
    /// Objects that could not be written when they were tried last.
    pub(super) refused: BTreeSet<Target>,
}

/// What went wrong, by object.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    failed: BTreeMap<Target, FailedWrite>,
    written: BTreeMap<Target, Vec<RepeatedWrite>>,
}

#[derive(Debug)]
struct FailedWrite {
    times: u32,
    until: Instant,
    /// Of a failure that needs a human: what to tell.
    complaint: Option<String>,
}

#[derive(Debug)]
struct RepeatedWrite {
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
        self.failed.insert(target, FailedWrite { times: times.saturating_add(1), until: now + pause, complaint });
    }

    /// Notes a write that succeeded.
    pub(super) fn written(&mut self, target: Target, change: Change, now: Instant) {
        self.failed.remove(&target);
        let change = in_substance(change);
        let changes = self.written.entry(target).or_default();
        let before = changes.iter().position(|before| before.change == change).map(|at| changes.remove(at));
        let times = before.map_or(1, |before| before.times.saturating_add(1));
        let pause = times.checked_sub(REPAIRS).map_or(Duration::ZERO, |over| DISPUTED.after(over));
        changes.push(RepeatedWrite { change, times, last: now, until: now + pause });
        if changes.len() > REMEMBERED {
            changes.remove(0);
        }
    }

    /// Whether this write is one of a dispute that rests now. Other changes of the object, such as those of a failover,
    /// are not kept waiting by it.
    pub(super) fn rests(&self, write: &Write, now: Instant) -> bool {
        let changes = self.written.get(&write.target).into_iter().flatten();
        let mut resting = changes.filter(|written| written.until > now).peekable();
        resting.peek().is_some() && {
            let change = in_substance(write.change.clone());
            resting.any(|written| written.change == change)
        }
    }

    /// Objects that are not to be written now.
    fn avoided(&self, now: Instant) -> BTreeSet<Target> {
        self.failed.iter().filter(|(_, failed)| failed.until > now).map(|(target, _)| target.clone()).collect()
    }

    /// How many objects pause, for a failure or with a change.
    pub(super) fn pausing(&self, now: Instant) -> usize {
        let rests = |changes: &[RepeatedWrite]| changes.iter().any(|written| written.until > now);
        let failed = self.failed.iter().filter(|(_, failed)| failed.until > now).map(|(target, _)| target);
        let disputed = self.written.iter().filter(|(_, changes)| rests(changes)).map(|(target, _)| target);
        failed.chain(disputed).collect::<BTreeSet<_>>().len()
    }

    /// What the next round has to know.
    pub(super) fn setbacks(&self, now: Instant) -> Setbacks {
        // A node is not given up for a failure that may pass by itself, and gets another chance after each pause.
        let counts = |target: &Target, failed: &FailedWrite| match target {
            Target::Carrier(_) => failed.complaint.is_some() && failed.until > now,
            _ => true,
        };
        let refused = self.failed.iter().filter(|(target, failed)| counts(target, failed));
        Setbacks { avoided: self.avoided(now), refused: refused.map(|(target, _)| target.clone()).collect() }
    }

    /// When the next pause ends.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let failed = self.failed.values().map(|failed| failed.until);
        let disputed = self.written.values().flatten().map(|written| written.until);
        failed.chain(disputed).filter(|until| *until > now).min()
    }

    /// What needs a human, by object.
    pub(super) fn complaints(&self) -> impl Iterator<Item = (&Target, &str)> {
        self.failed.iter().filter_map(|(target, failed)| Some((target, failed.complaint.as_deref()?)))
    }

    /// Forgets what is long past.
    pub(super) fn forgive(&mut self, now: Instant) {
        self.failed.retain(|_, failed| now < failed.until + UNNEEDED);
        self.written.retain(|_, changes| {
            changes.retain(|written| now < written.last + FORGIVEN);
            !changes.is_empty()
        });
    }
}

/// A change without the words of a hold: each of them would be another one.
fn in_substance(change: Change) -> Change {
    match change {
        Change::Namespace { result, hold: Some(Some(_)) } => {
            Change::Namespace { result, hold: Some(Some(String::new())) }
        }
        change => change,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target::Holding("shop".into())
    }

    fn change(address: &str) -> Change {
        Change::Carrier { egress_ips: Some(vec![address.to_owned()]), ranges: None }
    }

    fn rests(pauses: &Pauses, change: Change, now: Instant) -> bool {
        pauses.rests(&Write { target: target(), change, after: Vec::new(), after_any: Vec::new() }, now)
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
        assert_eq!(pauses.next(now), Some(now + SLOW.after(0)));
        assert_eq!(pauses.complaints().map(|(_, text)| text).collect::<Vec<_>>(), ["not allowed: no"]);
        pauses.forgive(now + SLOW.after(0) + UNNEEDED);
        assert_eq!(pauses.complaints().count(), 0);
    }

    #[test]
    fn a_host_subnet_counts_as_refused_while_a_human_is_needed_and_it_pauses() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        let refused = |pauses: &Pauses, now| pauses.setbacks(now).refused.into_iter().collect::<Vec<_>>();
        let subnet = Target::Carrier("worker-a0".into());
        pauses.failed(subnet.clone(), &WriteFailure::Conflict, now);
        pauses.failed(target(), &WriteFailure::Conflict, now);
        assert_eq!(refused(&pauses, now), [target()]);
        pauses.failed(subnet.clone(), &WriteFailure::Invalid("no".to_owned()), now);
        assert_eq!(refused(&pauses, now), [subnet, target()]);
        assert_eq!(refused(&pauses, now + LONGEST), [target()]);
    }

    #[test]
    fn a_change_that_somebody_keeps_undoing_is_made_ever_more_slowly() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        for _ in 1..REPAIRS {
            pauses.written(target(), change("a"), now);
            assert_eq!(pauses.next(now), None);
        }
        pauses.written(target(), change("a"), now);
        assert_eq!(pauses.next(now), Some(now + DISPUTED.after(0)));
        pauses.written(target(), change("a"), now);
        assert_eq!(pauses.next(now), Some(now + DISPUTED.after(1)));
        assert!(rests(&pauses, change("a"), now));
        assert!(!rests(&pauses, change("b"), now), "another change, such as that of a failover, does not wait");
        assert_eq!((pauses.avoided(now), pauses.pausing(now)), (BTreeSet::new(), 1));
        assert!(!rests(&pauses, change("a"), now + DISPUTED.after(1)));
    }

    #[test]
    fn changes_that_take_turns_are_made_ever_more_slowly() {
        let (mut pauses, mut now) = (Pauses::default(), Instant::now());
        let end = now + Duration::from_hours(1);
        let mut writes = 0;
        while now < end {
            let changes = [change("a"), change("b"), change("c")];
            let next =
                changes.into_iter().cycle().skip(writes % 3).take(3).find(|next| !rests(&pauses, next.clone(), now));
            match next {
                Some(next) => {
                    pauses.written(target(), next, now);
                    writes += 1;
                }
                None => now = pauses.next(now).unwrap(),
            }
            pauses.forgive(now);
        }
        assert!((100..250).contains(&writes), "{writes} writes in an hour");
    }

    #[test]
    fn a_hold_in_ever_other_words_is_the_same_change() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        let hold = |text: String| Change::Namespace { result: None, hold: Some(Some(text)) };
        for second in 0..REPAIRS {
            assert!(!rests(&pauses, hold(format!("since {second} s")), now));
            pauses.written(target(), hold(format!("since {second} s")), now);
        }
        assert!(rests(&pauses, hold("since 4 s".to_owned()), now));
        let served = Change::Namespace { result: Some(Some("10.20.0.2".to_owned())), hold: Some(None) };
        assert!(!rests(&pauses, served, now));
    }

    #[test]
    fn of_ever_other_changes_only_the_last_are_remembered() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        for number in 0..1_000 {
            pauses.written(target(), change(&number.to_string()), now);
        }
        assert_eq!(pauses.written[&target()].len(), REMEMBERED);
    }
}
