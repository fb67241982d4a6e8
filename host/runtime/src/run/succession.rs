//! Who plans: the chosen policy; when it fails, the last good one before it; then the built-in one.
//!
//! Whoever should plan and does not is tried out beside the rounds, and is back once it has made good plans. Pure: it is
//! told what came of each plan, and what time it is.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row after which the next one plans. The first may be about a snapshot that will not come back.
const FAILURES: u32 = 3;
/// Pause before a failing policy is asked again, if nothing else happens.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Who should plan and does not is tried out that often.
const TRIAL: Duration = Duration::from_mins(1);
/// Good trials in a row after which it plans again.
const GOOD_TRIALS: u32 = 3;

/// What tells policies apart.
pub(super) trait Named: Clone {
    /// Name and version, for people.
    fn name(&self) -> String;
    /// Whether it is the same component with the same settings.
    fn is_same(&self, other: &Self) -> bool;
}

/// Who can plan, in the order of who should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The one that the command line names.
    Chosen,
    /// Its predecessor.
    LastGood,
    /// What comes with the program, when it is not the chosen one. It makes forced moves only: it does not know what the
    /// others forbid.
    BuiltIn,
}

/// How many tries a failed plan stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tries {
    /// It would fail in the same way again.
    One,
    /// It ran out of time, and was tried again at once with twice the time.
    Two,
}

/// What follows from a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing.
    Stays,
    /// It failed, and is to be asked again soon.
    AskAgain,
    /// Somebody else plans from now on.
    Passed,
}

/// One that should plan and can be loaded.
#[derive(Clone, Debug)]
struct Candidate<P> {
    policy: P,
    /// When it failed, or was tried last.
    tried: Instant,
    good_trials: u32,
}

/// Who plans, and who should.
#[derive(Clone, Debug)]
pub(super) struct Succession<P> {
    /// Err: why there is none.
    chosen: Result<Candidate<P>, String>,
    last_good: Option<Candidate<P>>,
    built_in: P,
    plans: Rank,
    /// In a row, of the one that plans.
    failures: u32,
    /// The chosen one has made a good plan that counted.
    has_proved_itself: bool,
    /// Why the chosen one does not plan.
    why: String,
}

impl<P: Named> Succession<P> {
    /// At the start: what came of loading the chosen policy.
    pub(super) fn new(chosen: Result<P, String>, built_in: P, now: Instant) -> Self {
        let why = chosen.as_ref().err().cloned().unwrap_or_default();
        let plans = if chosen.is_ok() { Rank::Chosen } else { Rank::BuiltIn };
        let chosen = chosen.map(|policy| Candidate::new(policy, now));
        Self { chosen, last_good: None, built_in, plans, failures: 0, has_proved_itself: false, why }
    }

    /// The policy that plans.
    pub(super) fn policy(&self) -> &P {
        self.of_rank(self.plans).unwrap_or(&self.built_in)
    }

    /// In which right it plans.
    pub(super) fn rank(&self) -> Rank {
        self.plans
    }

    fn of_rank(&self, rank: Rank) -> Option<&P> {
        match rank {
            Rank::Chosen => self.chosen.as_ref().ok().map(|candidate| &candidate.policy),
            Rank::LastGood => self.last_good.as_ref().map(|candidate| &candidate.policy),
            Rank::BuiltIn => Some(&self.built_in),
        }
    }

    fn candidate(&mut self, rank: Rank) -> Option<&mut Candidate<P>> {
        match rank {
            Rank::Chosen => self.chosen.as_mut().ok(),
            Rank::LastGood => self.last_good.as_mut(),
            Rank::BuiltIn => None,
        }
    }

    /// A plan of the one that plans: good, or why not.
    pub(super) fn planned(&mut self, plan: Result<(), (Tries, String)>, now: Instant) -> Turn {
        let Err((failed, why)) = plan else {
            self.failures = 0;
            self.has_proved_itself |= self.plans == Rank::Chosen;
            return Turn::Stays;
        };
        self.failures += match failed {
            Tries::One => 1,
            Tries::Two => 2,
        };
        let next = match self.plans {
            Rank::BuiltIn => return Turn::Stays,
            Rank::Chosen if self.last_good.is_some() => Rank::LastGood,
            Rank::Chosen | Rank::LastGood => Rank::BuiltIn,
        };
        if self.failures < FAILURES {
            return Turn::AskAgain;
        }
        if self.plans == Rank::Chosen {
            self.why = format!("{} failed {} times in a row: {why}", self.policy().name(), self.failures);
        }
        if let Some(candidate) = self.candidate(self.plans) {
            (candidate.tried, candidate.good_trials) = (now, 0);
        }
        (self.plans, self.failures) = (next, 0);
        Turn::Passed
    }

    /// Who is to be tried out now.
    pub(super) fn due(&self, now: Instant) -> Option<(Rank, P)> {
        let (rank, tried) = self.idle().min_by_key(|&(_, tried)| tried)?;
        (tried + TRIAL <= now).then(|| self.of_rank(rank).map(|policy| (rank, policy.clone())))?
    }

    /// When somebody is to be tried out next.
    pub(super) fn next_trial(&self) -> Option<Instant> {
        self.idle().map(|(_, tried)| tried + TRIAL).min()
    }

    /// Those that should plan rather than the one that does.
    fn idle(&self) -> impl Iterator<Item = (Rank, Instant)> {
        let chosen = self.chosen.as_ref().ok().map(|candidate| (Rank::Chosen, candidate.tried));
        let last_good = self.last_good.as_ref().map(|candidate| (Rank::LastGood, candidate.tried));
        chosen.into_iter().chain(last_good).filter(|&(rank, _)| rank < self.plans)
    }

    /// What came of a trial.
    pub(super) fn tried(&mut self, rank: Rank, is_good: bool, now: Instant) -> Turn {
        if rank >= self.plans {
            return Turn::Stays;
        }
        let Some(candidate) = self.candidate(rank) else { return Turn::Stays };
        candidate.tried = now;
        candidate.good_trials = if is_good { candidate.good_trials + 1 } else { 0 };
        if candidate.good_trials < GOOD_TRIALS {
            return Turn::Stays;
        }
        (self.plans, self.failures) = (rank, 0);
        Turn::Passed
    }

    /// Another policy is chosen, and plans from now on. The one before is kept if it was good.
    pub(super) fn choose(&mut self, policy: P, now: Instant) {
        let before = std::mem::replace(&mut self.chosen, Ok(Candidate::new(policy, now)));
        let was_good = self.plans == Rank::Chosen && self.has_proved_itself && self.failures == 0;
        if let Ok(before) = before
            && was_good
            && !self.chosen.as_ref().is_ok_and(|chosen| chosen.policy.is_same(&before.policy))
        {
            self.last_good = Some(before);
        }
        (self.plans, self.failures, self.has_proved_itself) = (Rank::Chosen, 0, false);
    }

    /// What was chosen instead cannot be used. That matters only where nothing else is chosen.
    pub(super) fn refused(&mut self, why: &str) {
        if self.chosen.is_err() {
            (self.chosen, self.why) = (Err(why.to_owned()), why.to_owned());
        }
    }

    /// For status and log: who plans although somebody else should, and why. None: who plans is the chosen one.
    pub(super) fn stand_in(&self) -> Option<StandIn<'_>> {
        let name = self.policy().name();
        (self.plans != Rank::Chosen).then_some(StandIn { rank: self.plans, name, why: &self.why })
    }

    /// For those who wait until the chosen policy is back.
    pub(super) fn excuse(&self) -> String {
        let failed = match &self.chosen {
            Ok(chosen) => format!("policy {} fails", chosen.policy.name()),
            Err(_) => "the policy cannot be used".to_owned(),
        };
        format!("{failed}; the built-in one stands in, and gives no addresses out")
    }
}

impl<P> Candidate<P> {
    fn new(policy: P, now: Instant) -> Self {
        Self { policy, tried: now, good_trials: 0 }
    }
}

/// Who plans although somebody else should.
#[derive(Debug)]
pub(super) struct StandIn<'a> {
    rank: Rank,
    name: String,
    why: &'a str,
}

impl fmt::Display for StandIn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rank, name, why } = self;
        match rank {
            Rank::Chosen | Rank::LastGood => write!(f, "{name}, the last good policy, plans: {why}"),
            Rank::BuiltIn => {
                write!(
                    f,
                    "the built-in {name} stands in and only moves addresses off nodes that cannot carry them: {why}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests;
