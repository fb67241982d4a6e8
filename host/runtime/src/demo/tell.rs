//! The story as text.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use sluice_core::observed::Observed;

use super::lines::Line;
use super::tables;

/// Who tells the story.
pub(super) trait Teller {
    /// Before everything.
    fn title(&mut self, seed: u64) -> Result<()>;
    /// An act begins.
    fn act(&mut self, at_ms: u64, number: u32, title: &str, what: &str) -> Result<()>;
    /// Something happened.
    fn line(&mut self, line: &Line) -> Result<()>;
    /// These changes came true, in this order.
    fn changes(&mut self, lines: &[Line]) -> Result<()>;
    /// Something worth saying to people.
    fn remark(&mut self, text: &str) -> Result<()>;
    /// What the cluster carries now.
    fn cluster(&mut self, observed: &Observed) -> Result<()>;
    /// A comparison.
    fn table(&mut self, head: &[&str], rows: &[Vec<String>]) -> Result<()>;
    /// After everything.
    fn end(&mut self, at_ms: u64, verified: bool) -> Result<()>;
}

const HEADING: Style = AnsiColor::Cyan.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const TROUBLE: Style = AnsiColor::Yellow.on_default();
const QUIET: Style = Style::new().dimmed();
const PLAIN: Style = Style::new();

/// Tells the story to people.
pub(super) struct TextTeller<'a> {
    out: &'a mut dyn Write,
}

impl<'a> TextTeller<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out }
    }

    fn indented(&mut self, text: &str) -> Result<()> {
        for line in text.lines() {
            writeln!(self.out, "  {line}")?;
        }
        Ok(())
    }
}

impl Teller for TextTeller<'_> {
    fn title(&mut self, seed: u64) -> Result<()> {
        writeln!(
            self.out,
            "{HEADING}Sluice{HEADING:#}: the real engine and policies, a cluster in memory, seed {seed}."
        )?;
        writeln!(self.out, "{QUIET}Time is virtual: minutes, seconds, milliseconds since the start.{QUIET:#}")?;
        Ok(())
    }

    fn act(&mut self, _: u64, number: u32, title: &str, what: &str) -> Result<()> {
        writeln!(self.out, "\n{HEADING}Act {number}: {title}{HEADING:#}")?;
        self.indented(what)
    }

    fn line(&mut self, line: &Line) -> Result<()> {
        let style = style(&line.event);
        let time = time(line.at_ms);
        let words = words(line);
        writeln!(self.out, "  {QUIET}{time}{QUIET:#}  {style}{:<17}{style:#} {words}", line.event)?;
        Ok(())
    }

    /// An address that is put onto a node for its new owner is one change to people.
    fn changes(&mut self, lines: &[Line]) -> Result<()> {
        let of = |event: &str, line: &Line| {
            lines.iter().find(|other| other.event == event && other.address == line.address).cloned()
        };
        for line in lines {
            match line.event.as_str() {
                "assign" if of("allocate", line).is_some() => {}
                "unassign" if of("release", line).is_some() => {}
                "allocate" => {
                    self.line(&Line { to: of("assign", line).and_then(|assign| assign.to), ..line.clone() })?;
                }
                "release" => {
                    self.line(&Line { from: of("unassign", line).and_then(|off| off.from), ..line.clone() })?;
                }
                _ => self.line(line)?,
            }
        }
        Ok(())
    }

    fn remark(&mut self, text: &str) -> Result<()> {
        writeln!(self.out, "  {QUIET}{:>9}  {text}{QUIET:#}", "")?;
        Ok(())
    }

    fn cluster(&mut self, observed: &Observed) -> Result<()> {
        self.indented(&tables::cluster(observed))
    }

    fn table(&mut self, head: &[&str], rows: &[Vec<String>]) -> Result<()> {
        self.indented(&tables::table(head, rows))
    }

    fn end(&mut self, at_ms: u64, verified: bool) -> Result<()> {
        let (style, verdict) =
            if verified { (GOOD, "Every act was verified.") } else { (BAD, "Not every act was verified.") };
        writeln!(self.out, "\n{style}{verdict}{style:#} The story took {} of virtual time.", time(at_ms))?;
        Ok(())
    }
}

/// Minutes, seconds and milliseconds.
pub(super) fn time(ms: u64) -> String {
    format!("{:02}:{:02}.{:03}", ms / 60_000, ms / 1_000 % 60, ms % 1_000)
}

fn style(event: &str) -> Style {
    match event {
        "verified" | "promoted" | "served-again" => GOOD,
        "not-verified" | "finding" => BAD,
        "node-down" | "zone-down" | "write-failed" | "held" | "killed" | "policy-refused" | "plan-rejected" => TROUBLE,
        _ => PLAIN,
    }
}

fn words(line: &Line) -> String {
    let place = match (&line.from, &line.to) {
        (Some(from), Some(to)) => Some(format!("{from} -> {to}")),
        (Some(one), None) | (None, Some(one)) => Some(one.clone()),
        (None, None) => None,
    };
    let mut words: Vec<String> = Vec::new();
    words.extend(line.owner.as_ref().map(|owner| format!("{owner:<9}")));
    words.extend(line.address.as_ref().map(|address| format!("{address:<12}")));
    words.extend(place);
    words.extend(
        line.reason.as_ref().map(|reason| if words.is_empty() { reason.clone() } else { format!("({reason})") }),
    );
    words.join(" ").trim_end().to_owned()
}
