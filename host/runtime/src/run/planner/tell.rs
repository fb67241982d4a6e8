//! What the planner tells: the story of each round to the reporter, and the log of what it found in its way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use sluice_core::backend::WriteFailure;
use sluice_core::name::PoolName;
use sluice_core::network::{Target, Write};
use sluice_core::observed::{Listed, Observed};
use sluice_core::repair::repairs;
use sluice_core::round::Round;
use sluice_core::rows::PatchRow;
use sluice_core::status::{PoolReport, reports};
use sluice_kube::convert::FieldNote;
use sluice_kube::index::{Index, Problem, WatchReport};
use sluice_kube::patch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Planner, SPELLED_OUT};
use crate::apply::Applied;
use crate::clouds::CloudProvider;
use crate::policy_files::named;
use crate::run::reporter::Story;
use crate::run::round::{Thought, pools_of};
use crate::run::slice::Slice;
use crate::unix_milliseconds;

impl Planner {
    /// The story of each pool. Who is served is looked up in what is there after the writes, each of which entered the
    /// index when it was answered.
    pub(super) fn reports(&self, observed: &Observed, thought: &Thought, has_written: bool) -> Vec<PoolReport> {
        let now = unix_milliseconds();
        let after = Some(()).filter(|()| has_written).and_then(|()| self.index.read(|index| index.snapshot(now)));
        let Some(mut after) = after else { return reports(&thought.round, &thought.outcome, observed, observed) };
        let facts = self.writer.cloud.provider().and_then(CloudProvider::facts);
        after.cloud = facts.or_else(|| observed.cloud.clone());
        reports(&thought.round, &thought.outcome, observed, &after)
    }

    /// What the reporter is to tell of a round. Takes its holds along.
    pub(super) fn story(
        &self,
        observed: &Observed,
        thought: &mut Thought,
        mut reports: Vec<PoolReport>,
        may_write: bool,
        settled: bool,
    ) -> Story {
        // In the first seconds, a pool that says it is blocked would only be noise.
        if !may_write || observed.awaits_cloud() {
            return Story::Silence;
        }
        self.complete(&mut reports, observed, &thought.round);
        let planner = |report: &PoolReport| {
            let slice = self.slices_in(&report.pool, &thought.round).next()?;
            Some((report.pool.clone(), named(slice.policies().policy().info())))
        };
        let policies = reports.iter().filter_map(planner).collect();
        Story::Round { reports, holds: std::mem::take(&mut thought.outcome.holds), policies, settled }
    }

    /// The slices that plan for owners of a pool.
    fn slices_in<'a>(&'a self, pool: &PoolName, round: &'a Round) -> impl Iterator<Item = &'a Slice> {
        let pool = round.surveyed().pool_named(pool);
        let plans_here = move |at: usize| pool.is_some_and(|pool| round.plans_in(at, pool));
        self.slices.iter().enumerate().filter(move |(at, _)| plans_here(*at)).map(|(_, slice)| slice)
    }

    /// Hands over repairs that turn out to have been made.
    pub(super) fn tell_unsure(&mut self, observed: &Observed) {
        for repair in std::mem::take(&mut self.memory.unsure) {
            let net = observed.holdings.get(&repair.owner);
            let held: BTreeSet<IpAddr> =
                net.into_iter().flat_map(|facts| &facts.egress_ips).filter_map(Listed::address).collect();
            if net.is_some() && held == repair.to.iter().copied().collect() {
                let _ = self.repairs.send(repair);
            }
        }
    }

    /// Hands over what was repaired in earnest.
    pub(super) fn tell_repairs(&mut self, thought: &Thought, applied: &Applied, in_flight: &BTreeMap<Target, Write>) {
        let (round, outcome) = (&thought.round, &thought.outcome);
        let written: BTreeSet<&Target> =
            applied.written.iter().filter_map(|position| Some(&outcome.writes.get(*position)?.target)).collect();
        let unanswered: BTreeSet<&Target> = applied
            .failures
            .iter()
            .filter(|(_, failure)| matches!(failure, WriteFailure::Transient(_)))
            .map(|(target, _)| target)
            .chain(in_flight.keys())
            .collect();
        for repair in repairs(&round.surveyed().snapshot, &outcome.plan) {
            let target = Target::Holding(repair.owner.clone());
            if unanswered.contains(&target) {
                self.memory.unsure.push(repair);
            } else if written.contains(&target) {
                // Only when everything ends is there nobody to hear it.
                let _ = self.repairs.send(repair);
            }
        }
    }

    /// Adds what only the runtime knows: refused writes and refused policies.
    pub(super) fn complete(&self, reports: &mut [PoolReport], observed: &Observed, round: &Round) {
        for (target, complaint) in self.memory.pauses.complaints() {
            let pools = pools_of(target, observed, round);
            for report in reports.iter_mut().filter(|report| pools.contains(&report.pool)) {
                report.errors.push(format!("{}: {complaint}", patch::shown(target, observed)));
            }
        }
        let blind = self.index.read(|index| index.watch_reports(Instant::now()));
        let blind: Vec<String> =
            blind.into_iter().filter(WatchReport::is_blind).filter_map(|watch| watch.trouble).collect();
        for report in reports.iter_mut() {
            report.warnings.extend(blind.iter().map(|trouble| format!("nothing heard for a minute: {trouble}")));
            let slices: Vec<&Slice> = self.slices_in(&report.pool, round).collect();
            let stand_ins = slices.iter().filter_map(|slice| slice.policies().stand_in());
            let stand_ins: Vec<String> = stand_ins.map(|stand_in| stand_in.to_string()).collect();
            report.stand_in = (!stand_ins.is_empty()).then(|| stand_ins.join("; "));
            let refusals = slices.iter().filter_map(|slice| slice.refusal());
            report.warnings.extend(refusals.map(|reason| format!("new policy refused: {reason}")));
        }
    }

    /// Nothing can be planned yet, or no more.
    pub(super) fn wait_for_cluster(&mut self, may_write: bool) {
        let waiting = self.index.read(Index::waiting);
        // Until the first lists have come, a pool that says it is blocked would only be noise.
        let is_starting = waiting.iter().any(|text| text.starts_with("waiting for the first list"));
        let story = if may_write && !is_starting { Story::Blocked(waiting.join("; ")) } else { Story::Silence };
        self.stories.send_replace(Arc::new(story));
        if waiting != self.memory.said.waiting {
            warn!(reasons = waiting.join("; "), "the cluster cannot be planned yet");
            self.memory.said.waiting = waiting;
        }
    }

    /// Fields that cannot be read are named once, whoever leads: nobody else would say which of them count as missing.
    pub(super) fn remark_problems(&self) {
        let (news, count) = self.index.quietly(|index| (index.new_problems(SPELLED_OUT), index.problem_count()));
        self.metrics.cannot_read(count);
        for Problem { kind, name, note: FieldNote { field, text } } in news {
            warn!(%kind, name, field, text, "cannot read a field");
        }
    }

    /// A lock that somebody forged is told once.
    pub(super) fn remark_ignored_locks(&mut self, now: u64) {
        let ignored = self.index.read(|index| index.ignored_locks(now));
        self.metrics.ignores_locks(ignored.len());
        let namespaces: Vec<String> = ignored.into_iter().map(|lock| lock.namespace).collect();
        if namespaces != self.memory.said.ignored_locks {
            let count = namespaces.len();
            let some = namespaces.iter().take(SPELLED_OUT).map(String::as_str).collect::<Vec<_>>().join(" ");
            warn!(count, namespaces = some, "locks of egressip-ipam-operator do not count: it cannot be there");
            self.memory.said.ignored_locks = namespaces;
        }
    }

    pub(super) fn remark_failures(&mut self, thought: &Thought) {
        self.memory.said.waiting.clear();
        for (slice, became) in self.slices.iter_mut().zip(&thought.outcome.slices) {
            slice.remark(became.failure.as_ref());
        }
    }

    pub(super) fn remark_obstacle(&mut self, obstacle: Option<&str>) {
        if obstacle != self.memory.said.obstacle.as_deref() {
            if let Some(reason) = obstacle {
                info!(reason, "nothing is written");
            } else {
                info!("writing");
            }
            self.memory.said.obstacle = obstacle.map(str::to_owned);
        }
    }
}

pub(super) fn log_patches(rows: &[PatchRow]) {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    for row in rows.iter().take(SPELLED_OUT) {
        let PatchRow { op, pool, zone, owner, address, from, to, reason, text: why } = row;
        let (pool, zone, owner, from, to) = (text(pool), text(zone), text(owner), text(from), text(to));
        info!(op, pool, zone, owner, address, from, to, reason, why, "patch");
    }
    if rows.len() > SPELLED_OUT {
        info!(more = rows.len() - SPELLED_OUT, "further patches");
    }
}
