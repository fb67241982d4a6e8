//! A plan for people: one line for each address that changes, by pool and owner.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::rows::{FindingRow, HoldRow, PatchRow, finding_rows, hold_rows, patch_rows};
use crate::snapshot::Snapshot;
use crate::survey::NamedHold;
use crate::verify::{Finding, VerifiedPlan};

/// What a plan changes, ready to be printed.
///
/// ```text
/// pool egress
///   + shop 10.20.0.5 zone-a on worker-1  wanted
///   ~ shop 10.21.0.5 worker-1 -> worker-2  node-down
///   - shop 10.22.0.5 zone-c from worker-3  surplus
///   ! shop zone-c held: exhausted: all 253 addresses are in use
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// The patches, by pool, owner and address.
    pub patches: Vec<PatchRow>,
    /// Who is not served.
    pub holds: Vec<HoldRow>,
    /// What the checker found.
    pub findings: Vec<FindingRow>,
}

impl Diff {
    /// The difference that a plan makes to the snapshot it was verified against.
    pub fn new(snapshot: &Snapshot, plan: &VerifiedPlan, holds: &[NamedHold], findings: &[Finding]) -> Self {
        Self { patches: patch_rows(snapshot, plan), holds: hold_rows(holds), findings: finding_rows(findings) }
    }

    /// Adds what a later round changes. Of an address of which something was said already, that was the beginning of it;
    /// where it goes in the end counts, and who is not served in the end.
    pub fn go_on(&mut self, later: Self) {
        let about = |row: &PatchRow| (row.owner.clone(), row.address.clone());
        let said: BTreeSet<_> = self.patches.iter().map(about).collect();
        let (more, news): (Vec<PatchRow>, Vec<PatchRow>) =
            later.patches.into_iter().partition(|row| said.contains(&about(row)));
        let ends: BTreeMap<_, _> =
            more.iter().filter(|row| row.to.is_some()).map(|row| (about(row), &row.to)).collect();
        for row in self.patches.iter_mut().filter(|row| row.to.is_some()) {
            if let Some(end) = ends.get(&about(row)) {
                row.to.clone_from(end);
            }
        }
        self.patches.extend(news);
        // Stable: several rows of an address stay in their order.
        self.patches
            .sort_by_cached_key(|row| (row.pool.clone(), row.owner.clone(), row.address.parse::<IpAddr>().ok()));
        self.holds = later.holds;
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.patches.is_empty() && self.holds.is_empty() && self.findings.is_empty()
    }

    fn lines(&self) -> Vec<Line<'_>> {
        let mut lines: Vec<Line<'_>> = Vec::new();
        for group in self.patches.chunk_by(|a, b| (&a.pool, &a.owner, &a.address) == (&b.pool, &b.owner, &b.address)) {
            lines.extend(address_lines(group));
        }
        lines.extend(self.holds.iter().map(hold_line));
        // Stable: within an owner the patches stay before the holds, by address.
        lines.sort_by(|a, b| (a.pool, a.owner).cmp(&(b.pool, b.owner)));
        lines
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        for group in lines.chunk_by(|a, b| a.pool == b.pool) {
            match group.first().and_then(|line| line.pool) {
                Some(pool) => writeln!(f, "pool {pool}")?,
                None => writeln!(f, "no pool")?,
            }
            for line in group {
                writeln!(f, "  {} {}", line.sign, line.text)?;
            }
        }
        if lines.is_empty() {
            writeln!(f, "no address changes")?;
        }
        for finding in &self.findings {
            let inherited = if finding.inherited { " (before the plan)" } else { "" };
            writeln!(f, "{}{inherited}: {}", finding.invariant, finding.text)?;
        }
        Ok(())
    }
}

struct Line<'a> {
    pool: Option<&'a str>,
    owner: Option<&'a str>,
    sign: char,
    text: String,
}

/// The patches of one owner and address: an allocation with its assignment is one line, and so is a release with its
/// only unassignment.
fn address_lines(rows: &[PatchRow]) -> Vec<Line<'_>> {
    let pair = |first: &str, second: &str| match rows {
        [a, b] if a.op == first && b.op == second => Some((a, b)),
        _ => None,
    };
    if let Some((allocate, assign)) = pair("allocate", "assign") {
        return vec![line(allocate, assign.to.as_deref().map(|node| format!(" on {node}")))];
    }
    if let Some((release, unassign)) = pair("release", "unassign") {
        return vec![line(release, unassign.from.as_deref().map(|node| format!(" from {node}")))];
    }
    rows.iter().map(|row| line(row, None)).collect()
}

fn line(row: &PatchRow, place: Option<String>) -> Line<'_> {
    let sign = match row.op.as_str() {
        "allocate" => '+',
        "release" => '-',
        _ if row.owner.is_none() => '-',
        _ => '~',
    };
    let (zone, place) = match (place, &row.from, &row.to) {
        (Some(place), ..) => (row.zone.as_deref(), place),
        (None, Some(from), Some(to)) => (None, format!(" {from} -> {to}")),
        (None, Some(from), None) => (row.zone.as_deref(), format!(" off {from}")),
        (None, None, Some(to)) => (row.zone.as_deref(), format!(" onto {to}")),
        (None, None, None) => (row.zone.as_deref(), String::new()),
    };
    let zone = zone.map(|zone| format!(" {zone}")).unwrap_or_default();
    let owner = row.owner.as_deref().unwrap_or("(nobody)");
    let text = row.text.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    Line {
        pool: row.pool.as_deref(),
        owner: row.owner.as_deref(),
        sign,
        text: format!("{owner} {}{zone}{place}  {}{text}", row.address, row.reason),
    }
}

fn hold_line(row: &HoldRow) -> Line<'_> {
    let zone = row.zone.as_ref().map(|zone| format!(" {zone}")).unwrap_or_default();
    let text = row.text.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    Line {
        pool: Some(&row.pool),
        owner: Some(&row.owner),
        sign: '!',
        text: format!("{}{zone} held: {}{text}", row.owner, row.code),
    }
}
