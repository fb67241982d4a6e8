//! In which namespaces the lock of redhat-cop's operator counts.
//!
//! Whoever may create a `ConfigMap` anywhere can write a lock there, and must not stop all writes by it. The old operator
//! writes NetNamespaces, which no tenant may give to a service account: so its lock counts where an administrator says
//! that it may be, and in namespaces one of whose service accounts may patch NetNamespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// For how long an answer holds, in milliseconds.
const HOLDS: u64 = 10 * 60 * 1000;
/// An answer that is older is asked for anew, so that it does not run out meanwhile.
const REFRESHED: u64 = HOLDS / 2;
/// For how long in all, within [`HOLDS`], locks count in namespaces of which nobody was asked yet, in milliseconds. A tenant
/// may write locks in ever new namespaces, faster than the API server answers, and must not stop all writes by that.
const UNASKED: u64 = 10 * 1000;
/// How long to wait before a question that found no answer is asked again, in milliseconds.
const RETRIED: u64 = 10 * 1000;

/// Whether one of a namespace's service accounts may patch NetNamespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteRights {
    /// One may.
    Granted,
    /// None may.
    NotGranted,
    /// The API server did not say, for this reason. Two writers are worse than none, so this counts as granted.
    NoAnswer(String),
}

/// Why the lock of a namespace counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockGround {
    /// It is not known whether the old operator can be there, for this reason.
    Unknown(String),
    /// A service account of the namespace may patch NetNamespaces.
    Rights,
    /// An administrator named the namespace.
    Named,
}

impl fmt::Display for LockGround {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named => f.write_str("where it is expected"),
            Self::Rights => f.write_str("where a service account may patch NetNamespaces"),
            Self::Unknown(why) => {
                write!(f, "where it is not known whether a service account may patch NetNamespaces: {why}")
            }
        }
    }
}

/// What is known of namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LockScope {
    named: BTreeSet<String>,
    /// What was answered, and when, in Unix milliseconds.
    answers: BTreeMap<String, (WriteRights, u64)>,
    /// When a lock was first seen of which nobody was asked, not counting those that are longer ago than [`HOLDS`].
    unasked_since: Option<u64>,
}

impl LockScope {
    pub(super) fn set_named(&mut self, namespaces: impl IntoIterator<Item = String>) {
        self.named = namespaces.into_iter().collect();
    }

    /// Takes an answer, and forgets those that ran out.
    pub(super) fn answer(&mut self, namespace: &str, rights: WriteRights, now: u64) {
        self.answers.retain(|_, answer| lasts(answer, now));
        self.answers.insert(namespace.to_owned(), (rights, now));
    }

    /// Notes that a namespace has a lock.
    pub(super) fn seen(&mut self, namespace: &str, now: u64) {
        let is_unasked = !self.named.contains(namespace) && self.valid(namespace, now).is_none();
        if is_unasked && self.unasked_since.is_none_or(|since| now.abs_diff(since) >= HOLDS) {
            self.unasked_since = Some(now);
        }
    }

    fn valid(&self, namespace: &str, now: u64) -> Option<&WriteRights> {
        let answer = self.answers.get(namespace).filter(|answer| lasts(answer, now));
        answer.map(|(rights, _)| rights)
    }

    /// Until when a lock counts that is held until `until`.
    pub(super) fn until(&self, namespace: &str, until: u64, now: u64) -> u64 {
        let is_asked = self.named.contains(namespace) || self.valid(namespace, now).is_some();
        let end = self.unasked_since.filter(|_| !is_asked).map(|since| since.saturating_add(UNASKED));
        end.filter(|end| *end > now).map_or(until, |end| until.min(end))
    }

    /// Why the lock of a namespace counts at `now`; none: it does not.
    pub(super) fn ground(&self, namespace: &str, now: u64) -> Option<LockGround> {
        if self.named.contains(namespace) {
            return Some(LockGround::Named);
        }
        match self.valid(namespace, now) {
            Some(WriteRights::NotGranted) => None,
            Some(WriteRights::Granted) => Some(LockGround::Rights),
            Some(WriteRights::NoAnswer(why)) => Some(LockGround::Unknown(why.clone())),
            None => {
                let counts = self.unasked_since.is_none_or(|since| now.abs_diff(since) < UNASKED);
                counts.then(|| LockGround::Unknown("nobody was asked yet".to_owned()))
            }
        }
    }

    /// Whether it has to be asked at `now` what the service accounts of a namespace may do.
    pub(super) fn has_to_ask(&self, namespace: &str, now: u64) -> bool {
        let is_old = |(rights, asked): &(WriteRights, u64)| {
            let lasts = if matches!(rights, WriteRights::NoAnswer(_)) { RETRIED } else { REFRESHED };
            now.abs_diff(*asked) >= lasts
        };
        !self.named.contains(namespace) && self.answers.get(namespace).is_none_or(is_old)
    }
}

/// Whether an answer still counts. That a service account may patch NetNamespaces is believed until another answer comes:
/// else whoever has many locks to be asked about would make the old operator's run out.
fn lasts((rights, asked): &(WriteRights, u64), now: u64) -> bool {
    *rights == WriteRights::Granted || now.abs_diff(*asked) < HOLDS
}

#[cfg(test)]
mod tests {
    use super::{HOLDS, LockGround, LockScope, REFRESHED, RETRIED, UNASKED, WriteRights};

    const NOW: u64 = 1_000_000_000;

    fn scope(rights: WriteRights) -> LockScope {
        let mut scope = LockScope::default();
        scope.set_named(["old".to_owned()]);
        scope.answer("ops", rights, NOW);
        scope
    }

    #[test]
    fn a_named_namespace_counts_and_is_not_asked_about() {
        let scope = scope(WriteRights::NotGranted);
        assert_eq!(scope.ground("old", NOW), Some(LockGround::Named));
        assert!(!scope.has_to_ask("old", NOW));
    }

    #[test]
    fn what_nobody_has_answered_counts() {
        let scope = scope(WriteRights::NoAnswer("forbidden".to_owned()));
        assert_eq!(scope.ground("ops", NOW), Some(LockGround::Unknown("forbidden".to_owned())));
        assert!(matches!(scope.ground("new", NOW), Some(LockGround::Unknown(_))));
        assert!(scope.has_to_ask("new", NOW));
        assert!(!scope.has_to_ask("ops", NOW + RETRIED - 1) && scope.has_to_ask("ops", NOW + RETRIED));
    }

    #[test]
    fn ever_new_namespaces_stop_nothing_for_more_than_ten_seconds_in_ten_minutes() {
        let mut scope = scope(WriteRights::NotGranted);
        let mut stopped = 0;
        for second in 0..1_200 {
            let (namespace, now) = (format!("flood-{second}"), NOW + second * 1_000);
            scope.seen(&namespace, now);
            stopped += u64::from(scope.ground(&namespace, now).is_some());
        }
        assert_eq!(stopped, 2 * UNASKED / 1_000);
        scope.answer("flood-1", WriteRights::Granted, NOW + 60_000);
        assert_eq!(scope.ground("flood-1", NOW + 60_000), Some(LockGround::Rights), "once it is known it counts");
        assert_eq!(scope.until("flood-601", NOW + 700_000, NOW + 601_000), NOW + 610_000, "when to look again");
    }

    #[test]
    fn an_answer_holds_for_ten_minutes_and_is_asked_for_anew_before() {
        let none = scope(WriteRights::NotGranted);
        assert_eq!(none.ground("ops", NOW + HOLDS - 1), None);
        assert!(matches!(none.ground("ops", NOW + HOLDS), Some(LockGround::Unknown(_))), "it ran out");
        assert!(matches!(none.ground("ops", NOW - HOLDS), Some(LockGround::Unknown(_))), "the clock was set back");
        assert!(!none.has_to_ask("ops", NOW + REFRESHED - 1) && none.has_to_ask("ops", NOW + REFRESHED));
        let one = scope(WriteRights::Granted);
        assert_eq!(one.ground("ops", NOW + HOLDS - 1), Some(LockGround::Rights));
    }

    #[test]
    fn what_is_granted_counts_until_another_answer_comes_whatever_else_there_is_to_ask() {
        let mut scope = scope(WriteRights::Granted);
        for number in 0..1000 {
            let (namespace, now) = (format!("flood-{number}"), NOW + number * 1_000);
            scope.seen(&namespace, now);
            scope.answer(&namespace, WriteRights::NotGranted, now);
        }
        let later = NOW + 2 * HOLDS;
        assert_eq!(scope.ground("ops", later), Some(LockGround::Rights));
        assert!(scope.has_to_ask("ops", later));
        scope.answer("ops", WriteRights::NotGranted, later);
        assert_eq!(scope.ground("ops", later), None);
    }

    #[test]
    fn answers_that_ran_out_are_forgotten() {
        let mut scope = scope(WriteRights::NotGranted);
        for number in 0..1000 {
            scope.answer(&format!("flood-{number}"), WriteRights::NotGranted, NOW + 1);
        }
        scope.answer("ops", WriteRights::Granted, NOW + 1 + HOLDS);
        assert_eq!(scope.answers.len(), 1);
    }
}
