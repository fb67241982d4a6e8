//! What every story is told with: its acts, their lines, and what is wrong in them.

use anyhow::Result;
use sluice_core::observed::Observed;
use sluice_core::round::Outcome;
use sluice_sandbox::{Audit, Expectation, audit};

use super::lines::Line;
use super::tell::Teller;

/// Tells acts, and counts what is wrong.
pub(super) struct Narrator<'a> {
    pub(super) teller: &'a mut dyn Teller,
    /// What was wrong in this act.
    findings: usize,
    acts: u32,
}

impl<'a> Narrator<'a> {
    pub(super) fn new(teller: &'a mut dyn Teller) -> Self {
        Self { teller, findings: 0, acts: 0 }
    }

    pub(super) fn act(&mut self, now: u64, title: &str, what: &str) -> Result<()> {
        self.acts += 1;
        self.findings = 0;
        self.teller.act(now, self.acts, title, what)
    }

    pub(super) fn line(&mut self, now: u64, event: &str, about: impl FnOnce(Line) -> Line) -> Result<()> {
        self.teller.line(&about(Line::new(now, event)))
    }

    /// Something that has to be true; if not, the act is not verified.
    pub(super) fn claim(&mut self, now: u64, holds: bool, text: &str) -> Result<()> {
        if holds {
            return Ok(());
        }
        self.findings += 1;
        self.line(now, "finding", |line| line.reason(text))
    }

    /// A new round must have found nothing to do and nothing wrong, and what each namespace has must be what the cluster
    /// carries.
    pub(super) fn audit(&mut self, now: u64, observed: &Observed, outcome: &Outcome) -> Result<Audit> {
        if let Some(failure) = outcome.failure() {
            self.claim(now, false, &failure.to_string())?;
        }
        let open = (outcome.plan.patches().len(), outcome.writes.len());
        self.claim(now, open == (0, 0), &format!("a new round still has {} patches and {} writes", open.0, open.1))?;
        for finding in &outcome.findings {
            self.claim(now, false, &finding.to_string())?;
        }
        let audit = audit(observed, &outcome.holds, Expectation::EachZone);
        for complaint in &audit.complaints {
            self.claim(now, false, complaint)?;
        }
        Ok(audit)
    }

    /// Whether the act is verified, with what was counted.
    pub(super) fn verdict(&mut self, now: u64, counted: &str) -> Result<bool> {
        let verified = self.findings == 0;
        let (event, findings) = if verified { ("verified", "nothing") } else { ("not-verified", "something") };
        self.line(now, event, |line| line.reason(&format!("{counted}; {findings} wrong")))?;
        Ok(verified)
    }
}
