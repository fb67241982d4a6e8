//! The story as JSON lines.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;
use sluice_core::observed::Observed;

use super::tell::Teller;

/// One change of the story.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    /// Virtual milliseconds since the start.
    pub(super) at_ms: u64,
    /// What happened, in kebab case.
    pub(super) event: String,
    /// The namespace it is about.
    pub(super) owner: Option<String>,
    /// The address it is about.
    pub(super) address: Option<String>,
    /// The node or zone that loses something.
    pub(super) from: Option<String>,
    /// The node or zone that gains something.
    pub(super) to: Option<String>,
    /// Why, or what exactly.
    pub(super) reason: Option<String>,
}

impl Line {
    pub(super) fn new(at_ms: u64, event: &str) -> Self {
        Self { at_ms, event: event.to_owned(), ..Self::default() }
    }

    pub(super) fn owner(mut self, owner: &str) -> Self {
        self.owner = Some(owner.to_owned());
        self
    }

    pub(super) fn address(mut self, address: &str) -> Self {
        self.address = Some(address.to_owned());
        self
    }

    pub(super) fn from(mut self, from: &str) -> Self {
        self.from = Some(from.to_owned());
        self
    }

    pub(super) fn to(mut self, to: &str) -> Self {
        self.to = Some(to.to_owned());
        self
    }

    pub(super) fn reason(mut self, reason: &str) -> Self {
        self.reason = Some(reason.to_owned());
        self
    }
}

/// Tells the story to programs: lines only.
pub(super) struct LineTeller<'a> {
    out: &'a mut dyn Write,
}

impl<'a> LineTeller<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out }
    }
}

impl Teller for LineTeller<'_> {
    fn line(&mut self, line: &Line) -> Result<()> {
        serde_json::to_writer(&mut *self.out, line)?;
        writeln!(self.out)?;
        Ok(())
    }

    fn changes(&mut self, lines: &[Line]) -> Result<()> {
        lines.iter().try_for_each(|line| self.line(line))
    }

    fn title(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn act(&mut self, at_ms: u64, number: u32, title: &str, _: &str) -> Result<()> {
        self.line(&Line::new(at_ms, "act-began").reason(&format!("{number}: {title}")))
    }

    fn remark(&mut self, _: &str) -> Result<()> {
        Ok(())
    }

    fn cluster(&mut self, _: &Observed) -> Result<()> {
        Ok(())
    }

    fn table(&mut self, _: &[&str], _: &[Vec<String>]) -> Result<()> {
        Ok(())
    }

    fn end(&mut self, _: u64, _: bool) -> Result<()> {
        Ok(())
    }
}
