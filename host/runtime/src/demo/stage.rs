//! The stage: a cluster, a policy, and rounds until nothing is left to do. The engine is production's.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};
use sluice_core::backend::WriteFailure;
use sluice_core::network::{Change, Target, versions};
use sluice_core::observed::Observed;
use sluice_core::plan::Plan;
use sluice_core::round::{Outcome, Round};
use sluice_core::rows::{PatchRow, patch_rows};
use sluice_core::snapshot::Snapshot;
use sluice_core::survey::NamedHold;
use sluice_kube::patch;
use sluice_policy::Policy;
use sluice_sandbox::{Audit, Dice, Event, Landed, Sandbox};

use super::lines::Line;
use super::narrator::Narrator;
use super::tell::Teller;
use crate::apply::apply;

/// Rounds within which the cluster has to come to rest.
const MOST_ROUNDS: usize = 40;
/// A pause before the next try, where the server asks for none.
const PAUSE_MS: u64 = 100;
/// Until somebody notices that the leader is gone, and takes over.
const TAKEOVER_MS: u64 = 15_000;

/// Writes that failed.
type Failures = Vec<(Target, WriteFailure)>;

/// Everything an act plays with.
pub(super) struct Stage<'a> {
    pub(super) sandbox: Sandbox,
    pub(super) dice: Dice,
    pub(super) policy: Policy,
    narrator: Narrator<'a>,
    /// Holds as told last.
    holds: BTreeSet<NamedHold>,
    /// Kill the engine after so many happenings of the next schedule.
    kill: Option<usize>,
}

/// A change that is true now.
#[derive(Clone, Debug)]
pub(super) struct Done {
    /// Since when.
    pub(super) at: u64,
    /// What.
    pub(super) row: PatchRow,
}

impl<'a> Stage<'a> {
    pub(super) fn new(seed: u64, policy: Policy, teller: &'a mut dyn Teller) -> Self {
        Self {
            sandbox: Sandbox::new(seed),
            // Not the sandbox's own stream: what the acts choose must not depend on latencies.
            dice: Dice::new(!seed),
            policy,
            narrator: Narrator::new(teller),
            holds: BTreeSet::new(),
            kill: None,
        }
    }

    pub(super) fn act(&mut self, title: &str, what: &str) -> Result<()> {
        self.narrator.act(self.sandbox.now(), title, what)
    }

    pub(super) fn line(&mut self, event: &str, about: impl FnOnce(Line) -> Line) -> Result<()> {
        self.narrator.line(self.sandbox.now(), event, about)
    }

    pub(super) fn remark(&mut self, text: &str) -> Result<()> {
        self.narrator.teller.remark(text)
    }

    pub(super) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) -> Result<()> {
        self.narrator.teller.table(head, rows)
    }

    pub(super) fn show_cluster(&mut self) -> Result<()> {
        self.narrator.teller.cluster(&self.sandbox.observe())
    }

    pub(super) fn end(&mut self, verified: bool) -> Result<()> {
        self.narrator.teller.end(self.sandbox.now(), verified)
    }

    /// Time passes, as long as the seed says.
    pub(super) fn wait(&mut self, least_ms: u64, most_ms: u64) {
        let ms = self.dice.between(least_ms, most_ms);
        self.sandbox.advance(ms);
    }

    /// Something happens and is told.
    pub(super) fn happen(&mut self, event: Event) -> Result<()> {
        let line = line_of(self.sandbox.now(), &event);
        self.sandbox.happen(event);
        self.narrator.teller.line(&line)
    }

    /// The engine is killed in the middle of its next schedule.
    pub(super) fn kill_after(&mut self, happenings: usize) {
        self.kill = Some(happenings);
    }

    /// Something that has to be true; if not, the act is not verified.
    pub(super) fn claim(&mut self, holds: bool, text: &str) -> Result<()> {
        self.narrator.claim(self.sandbox.now(), holds, text)
    }

    /// The policy's answer, as a round takes it.
    pub(super) fn ask(policy: &Policy, snapshot: &Snapshot) -> Result<Plan, String> {
        policy.plan(snapshot).map(|planned| planned.plan).map_err(|error| error.to_string())
    }

    /// Rounds until nothing is left to do; what they changed.
    pub(super) fn rest(&mut self) -> Result<Vec<Done>> {
        let mut done = Vec::new();
        let mut avoid = BTreeSet::new();
        for _ in 0..MOST_ROUNDS {
            let observed = self.sandbox.observe();
            let round = Round::prepare(&observed);
            let outcome = round.finish(&observed, Self::ask(&self.policy, round.policy_input()), &avoid);
            if let Some(failure) = outcome.failure() {
                bail!("policy {}: {failure}", self.policy.info().name);
            }
            let waits = !std::mem::take(&mut avoid).is_empty();
            if outcome.writes.is_empty() && !waits {
                self.tell_holds(&outcome)?;
                return Ok(done);
            }
            let landed_before = self.sandbox.journal().len();
            let (failures, killed) = self.apply(&observed, &outcome)?;
            let journal = self.sandbox.journal();
            let landed = journal.get(landed_before..).unwrap_or_default();
            let rows = patch_rows(&round.surveyed().snapshot, &outcome.plan);
            done.extend(self.tell_landed(rows, landed, killed)?);
            avoid = self.tell_failures(failures)?;
        }
        bail!("the cluster does not come to rest within {MOST_ROUNDS} rounds")
    }

    /// Applies a schedule: what failed, or the line that says that the engine was killed.
    fn apply(&mut self, observed: &Observed, outcome: &Outcome) -> Result<(Failures, Option<Line>)> {
        let applying = apply(&self.sandbox, &outcome.writes, versions(observed, &outcome.writes), |_| true);
        let Some(happenings) = self.kill.take() else {
            return Ok((self.sandbox.run(applying).context("the schedule does not end")?.failures, None));
        };
        if let Some(applied) = self.sandbox.run_for(happenings, applying) {
            return Ok((applied.failures, None));
        }
        let text = "the leader dies between two writes; the next one reads everything back from the cluster";
        let killed = Line::new(self.sandbox.now(), "killed").reason(text);
        self.sandbox.advance(TAKEOVER_MS);
        Ok((Vec::new(), Some(killed)))
    }

    /// Tells what of a plan is true now, in the order it came true.
    fn tell_landed(&mut self, rows: Vec<PatchRow>, landed: &[Landed], killed: Option<Line>) -> Result<Vec<Done>> {
        let mut done: Vec<Done> =
            rows.into_iter().filter_map(|row| Some(Done { at: landed_at(&row, landed)?, row })).collect();
        done.sort_by_key(|done| done.at);
        let mut lines: Vec<Line> = done.iter().map(line_of_change).chain(killed).collect();
        lines.sort_by_key(|line| line.at_ms);
        self.narrator.teller.changes(&lines)?;
        Ok(done)
    }

    /// Tells what went wrong, waits as asked; the objects that are better left alone for a round.
    fn tell_failures(&mut self, failures: Failures) -> Result<BTreeSet<Target>> {
        let mut avoid = BTreeSet::new();
        let mut pause = 0;
        for (target, failure) in failures {
            let what = patch::shown(&target, &self.sandbox.observe());
            self.line("write-failed", |line| line.reason(&format!("{what}: {failure}; it looks again")))?;
            pause = pause.max(match &failure {
                WriteFailure::Throttled { retry_after: Some(after) } => {
                    u64::try_from(after.as_millis()).unwrap_or(PAUSE_MS)
                }
                _ => PAUSE_MS,
            });
            if matches!(failure, WriteFailure::Denied(_) | WriteFailure::Invalid(_)) {
                avoid.insert(target);
            }
        }
        self.sandbox.advance(pause);
        Ok(avoid)
    }

    /// Tells who is held now and was not, and the other way round.
    fn tell_holds(&mut self, outcome: &Outcome) -> Result<()> {
        let now: BTreeSet<NamedHold> = outcome.holds.iter().cloned().collect();
        let before = std::mem::replace(&mut self.holds, now.clone());
        for hold in now.difference(&before) {
            let text = if hold.text.is_empty() { String::new() } else { format!(": {}", hold.text) };
            self.line("held", |mut line| {
                line.from.clone_from(&hold.zone);
                line.owner(hold.owner.as_str()).reason(&format!("{}{text}", hold.code))
            })?;
        }
        for hold in before.difference(&now) {
            self.line("served-again", |mut line| {
                line.to.clone_from(&hold.zone);
                line.owner(hold.owner.as_str()).reason(&format!("was held: {}", hold.code))
            })?;
        }
        Ok(())
    }

    /// Looks at the cluster afresh.
    pub(super) fn verify(&mut self) -> Result<bool> {
        self.sandbox.settle();
        let observed = self.sandbox.observe();
        let round = Round::prepare(&observed);
        let outcome = round.finish(&observed, Self::ask(&self.policy, round.policy_input()), &BTreeSet::new());
        let audit = self.narrator.audit(self.sandbox.now(), &observed, &outcome)?;
        let Audit { namespaces, held, addresses, carried, .. } = audit;
        let counted = format!("{namespaces} namespaces, {held} held; {addresses} addresses, {carried} carried");
        self.narrator.verdict(self.sandbox.now(), &counted)
    }
}

fn line_of_change(done: &Done) -> Line {
    let row = done.row.clone();
    let reason = match &row.text {
        Some(text) => format!("{}: {text}", row.reason),
        None => row.reason,
    };
    Line {
        at_ms: done.at,
        event: row.op,
        owner: row.owner,
        address: Some(row.address),
        from: row.from,
        to: row.to,
        reason: Some(reason),
    }
}

/// When a patch came true by one of these writes.
fn landed_at(row: &PatchRow, landed: &[Landed]) -> Option<u64> {
    let address: IpAddr = row.address.parse().ok()?;
    landed.iter().find(|landed| makes_true(row, address, landed)).map(|landed| landed.at)
}

fn makes_true(row: &PatchRow, address: IpAddr, landed: &Landed) -> bool {
    let is_named = |name: &Option<String>| name.as_deref() == Some(landed.write.target.name());
    match (&landed.write.target, &landed.write.change) {
        (Target::Holding(_), Change::Holding { egress_ips, .. }) => {
            let holds = egress_ips.contains(&address);
            is_named(&row.owner) && ((row.op == "allocate" && holds) || (row.op == "release" && !holds))
        }
        (Target::Carrier(_), Change::Carrier { egress_ips: Some(listed), .. }) => {
            let carries = listed.contains(&row.address);
            (is_named(&row.to) && carries) || (row.op == "unassign" && is_named(&row.from) && !carries)
        }
        _ => false,
    }
}

fn line_of(at: u64, event: &Event) -> Line {
    let line = |name| Line::new(at, name);
    match event {
        Event::Pool(name, spec) => {
            let entry = |entry: &sluice_core::observed::PoolEntry| format!("{} {}", entry.label_value, entry.cidr);
            let entries: Vec<String> = spec.entries.iter().map(entry).collect();
            let failover = if spec.zone_failover { "Any" } else { "Same" };
            line("pool-added").reason(&format!("{name}: {}; zoneFailover {failover}", entries.join(", ")))
        }
        Event::NodeReady(name, true) => line("node-up").to(name.as_str()),
        Event::NodeReady(name, false) => line("node-down").from(name.as_str()),
        Event::ZoneReady { value, ready: true, .. } => line("zone-up").to(value),
        Event::ZoneReady { value, ready: false, .. } => line("zone-down").from(value),
        Event::NamespaceAdded(name, Some(pool)) => {
            line("namespace-added").owner(name.as_str()).reason(&format!("pool {pool}"))
        }
        Event::Requested(name, Some(text)) => line("requested").owner(name.as_str()).address(text),
        Event::NamespaceDeleted(name) => line("namespace-deleted").owner(name.as_str()),
        other => line("happened").reason(&other.to_string()),
    }
}
