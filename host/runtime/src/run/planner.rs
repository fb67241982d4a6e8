//! The one planning task: it looks at everything whenever anything changed, plans, writes, and looks again.

mod tell;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use sluice_core::backend::WriteFailure;
use sluice_core::network::{Change, Target, Write, versions};
use sluice_core::observed::{Observed, Promise};
use sluice_core::pace::{self, Pace};
use sluice_core::repair::Repair;
use sluice_core::round::Grant;
use sluice_core::rows::patch_rows;
use sluice_kube::index::{Index, SharedIndex};
use sluice_kube::patch;
use sluice_policy::Cancel;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::cloud::Writer;
use super::cut::{CountedOn, Cut, GRACE, Watch};
use super::lease::Term;
use super::metrics::Metrics;
use super::pauses::Pauses;
use super::probes::Pulse;
use super::reporter::Story;
use super::round::{Assigned, Thought, think};
use super::slice::{self, Slice};
use super::succession::Turn;
use super::swap::Offer;
use super::trial::Verdict;
use crate::apply::{Applied, EndedWrite, InFlight};
use crate::{steady_milliseconds, unix_milliseconds};

/// Events that come closer together than this are one: a node that dies changes several objects.
const QUIET: Duration = Duration::from_millis(20);
/// Longest to wait for quiet.
const LONGEST_NOISE: Duration = Duration::from_millis(200);
/// Everything is looked at anew that often, whatever the watches say.
const RESYNC: Duration = Duration::from_secs(30);
/// While the cluster cannot be planned yet.
const RESYNC_WHILE_WAITING: Duration = Duration::from_secs(1);
/// Of a long schedule, what can wait is put off after so long, so that a node that dies meanwhile does not wait for it.
const SLICE: Duration = Duration::from_millis(500);
/// Most patches, or unreadable fields, of a round that are logged one by one.
const SPELLED_OUT: usize = 100;

/// The planning task.
pub(super) struct Planner {
    pub(super) index: Arc<SharedIndex>,
    pub(super) writer: Writer,
    /// Who plans what. The policy's files are the first one's.
    pub(super) slices: Vec<Slice>,
    pub(super) offers: mpsc::Receiver<Offer>,
    pub(super) leads: watch::Receiver<Term>,
    pub(super) stories: watch::Sender<Arc<Story>>,
    pub(super) repairs: mpsc::UnboundedSender<Repair>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) stop: CancellationToken,
    pub(super) memory: Memory,
}

/// What one round has to tell the next.
#[derive(Default)]
pub(super) struct Memory {
    pauses: Pauses,
    /// When the last round began: what became due since then is due now.
    looked: Option<Instant>,
    /// When something is due of which no watch tells.
    again_at: Option<Instant>,
    /// For whom interfaces get addresses.
    promises: BTreeMap<IpAddr, Promise>,
    /// What was changed without need.
    pace: Pace,
    /// Repairs whose write had no answer: it may have happened.
    unsure: Vec<Repair>,
    /// What was logged last, so that it is logged once.
    said: Said,
}

#[derive(Default)]
struct Said {
    obstacle: Option<String>,
    waiting: Vec<String>,
    /// Namespaces whose lock does not count.
    ignored_locks: Vec<String>,
}

/// Whether to look again at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Again,
    Wait,
}

impl Planner {
    /// Plans until it is told to stop.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let mut bell = self.index.subscribe();
        let mut cloud_bell = self.writer.cloud.subscribe();
        self.show_who_plans();
        let writer = self.writer.clone();
        let mut in_flight = InFlight::new(&writer);
        while !self.stop.is_cancelled() {
            self.pulse.beat();
            bell.mark_unchanged();
            cloud_bell.mark_unchanged();
            if self.round(&mut in_flight).await? == Next::Wait {
                tokio::select! {
                    // It rings by itself if it changed anything; a failure is due again after its pause.
                    Some(ended) = in_flight.next() => self.note(&ended),
                    () = self.wait(&mut bell, &mut cloud_bell) => {}
                }
            }
        }
        for slice in &mut self.slices {
            slice.end().await;
        }
        // Whoever stops us says how long that may take.
        while let Some(ended) = in_flight.next().await {
            self.note(&ended);
        }
        Ok(())
    }

    /// Waits for a reason to look.
    async fn wait(&mut self, bell: &mut watch::Receiver<()>, cloud_bell: &mut watch::Receiver<()>) {
        let now = Instant::now();
        let is_ready = self.index.read(Index::ready);
        let resync = if is_ready { RESYNC } else { RESYNC_WHILE_WAITING };
        let trials = self.slices.iter().filter_map(Slice::next_trial).filter(|_| is_ready);
        // A pause that ended while the round was under way still counted in it.
        let looked = self.memory.looked.unwrap_or(now);
        let due = self.memory.pauses.next(looked).into_iter().chain(self.memory.again_at).chain(trials);
        let alarm = due.fold(now + resync, Instant::min);
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = sleep_until(alarm) => {}
            Some(offer) = self.offers.recv() => self.consider(offer).await,
            Some(verdict) = slice::verdict(&mut self.slices) => self.decide(verdict),
            Ok(()) = self.leads.changed() => {}
            Ok(()) = cloud_bell.changed() => {}
            Ok(()) = bell.changed() => {
                let rang = Instant::now();
                while rang.elapsed() < LONGEST_NOISE && timeout(QUIET, bell.changed()).await.is_ok() {}
            }
        }
    }

    async fn consider(&mut self, offer: Offer) {
        if let Some(slice) = self.slices.first_mut() {
            slice.consider(offer, &self.metrics).await;
        }
    }

    fn decide(&mut self, (at, verdict): (usize, Verdict)) {
        if let Some(slice) = self.slices.get_mut(at)
            && slice.decide(verdict, &self.metrics)
        {
            self.show_who_plans();
        }
    }

    /// Shows who plans from now on, and says why where that is not the chosen policy.
    fn show_who_plans(&self) {
        self.metrics.plans_with(self.slices.iter().map(Slice::policies));
        for stand_in in self.slices.iter().filter_map(|slice| slice.policies().stand_in()) {
            error!(reason = %stand_in, "another policy than the chosen one plans");
        }
    }

    async fn round(&mut self, in_flight: &mut InFlight<'_, Writer>) -> Result<Next, JoinError> {
        self.memory.looked = Some(Instant::now());
        let now = unix_milliseconds();
        let (observed, lock) = self.index.read(|index| (index.snapshot(now), index.foreign_lock(now)));
        self.remark_problems();
        self.metrics.locked(lock.is_some());
        self.remark_ignored_locks(now);
        let leads = self.leads.borrow_and_update().holds();
        self.metrics.led(leads);
        if !leads {
            self.abandon(in_flight);
        }
        while let Ok(offer) = self.offers.try_recv() {
            self.consider(offer).await;
        }
        if let Some(verdict) = slice::verdict(&mut self.slices).now_or_never().flatten() {
            self.decide(verdict);
        }
        let lock_ends = lock.as_ref().map(|lock| lock.until);
        let lock = lock.map(|lock| format!("egressip-ipam-operator is at work: {lock}"));
        let may_write = leads && lock.is_none();
        let Some(observed) = observed.map(|observed| Arc::new(self.complete_view(observed, may_write, in_flight)))
        else {
            self.writer.cloud.stand_by();
            self.wait_for_cluster(may_write);
            return Ok(Next::Wait);
        };
        self.tell_unsure(&observed);
        let mut thought = self.think(&observed, in_flight.writes()).await?;
        if self.stop.is_cancelled() {
            return Ok(Next::Wait);
        }
        self.remark_failures(&thought);
        let due = thought.outcome.again_at.into_iter().chain(lock_ends).min();
        self.memory.again_at = due.map(|at| Instant::now() + Duration::from_millis(at.saturating_sub(now)));
        let obstacle =
            if leads { lock.or_else(|| observed.refusal()) } else { Some("another replica leads".to_owned()) };
        self.remark_obstacle(obstacle.as_deref());
        let (applied, cut) = match obstacle {
            None => self.apply(&observed, &thought, in_flight).await,
            Some(_) => (Applied::default(), None),
        };
        // A node that refuses what was placed there is left out of the next plan, which is due at once.
        let misplaced = applied.failures.iter().any(|(target, _)| matches!(target, Target::Carrier(_)));
        // What is handed over to a cloud's provider rings by itself.
        let writes = applied.written.iter().filter_map(|position| thought.outcome.writes.get(*position));
        let goes_on = misplaced
            || matches!(cut, Some(Cut::NodeLost | Cut::Late))
            || writes.into_iter().any(|write| !matches!(write.target, Target::Interface(_)));
        let reports = self.reports(&observed, &thought, !applied.written.is_empty());
        self.metrics.planned(&observed, &thought);
        self.metrics.show_pools(&reports);
        let story = self.story(&observed, &mut thought, reports, may_write, !goes_on && in_flight.writes().is_empty());
        self.stories.send_replace(Arc::new(story));
        self.pulse.has_planned();
        let goes_on = self.pass_the_turn(&thought) || goes_on;
        Ok(if goes_on { Next::Again } else { Next::Wait })
    }

    /// After a round: who plans next. Returns whether at once.
    fn pass_the_turn(&mut self, thought: &Thought) -> bool {
        let now = Instant::now();
        let mut passed = false;
        for ((slice, ran), became) in self.slices.iter_mut().zip(&thought.ran).zip(&thought.outcome.slices) {
            let (turn, again) = slice.planned(ran, became.failure.as_ref(), now);
            passed |= turn == Turn::Passed;
            self.memory.again_at = self.memory.again_at.into_iter().chain(again).min();
        }
        if passed {
            self.show_who_plans();
        }
        passed
    }

    /// Adds what the API server does not know.
    fn complete_view(&mut self, mut observed: Observed, may_write: bool, in_flight: &InFlight<'_, Writer>) -> Observed {
        observed.blind = self.index.read(|index| index.blind(Instant::now()));
        self.writer.cloud.show(&mut observed, may_write);
        in_flight.writes().values().for_each(|write| observed.may_become(write));
        observed.promise(&self.memory.promises);
        self.memory.promises.clone_from(&observed.promises);
        observed.recent = self.memory.pace.recent(steady_milliseconds());
        observed
    }

    /// Computes the round.
    async fn think(
        &mut self,
        observed: &Arc<Observed>,
        in_flight: &BTreeMap<Target, Write>,
    ) -> Result<Thought, JoinError> {
        let now = Instant::now();
        self.memory.pauses.forgive(now);
        let mut setbacks = self.memory.pauses.setbacks(now);
        self.metrics.pausing(self.memory.pauses.pausing(now));
        setbacks.avoided.extend(in_flight.keys().cloned());
        let grants: Vec<Grant> = self.slices.iter().map(|slice| slice.grant().clone()).collect();
        let assigned: Vec<Assigned> = self.slices.iter().map(Slice::assigned).collect();
        for (nth, slice) in self.slices.iter_mut().enumerate() {
            slice.try_out((&grants, nth), observed, &setbacks).await;
        }
        let observed = Arc::clone(observed);
        let cancel = Cancel::default();
        let until = cancel.clone();
        let mut thinks = spawn_blocking(move || think(&observed, &grants, &assigned, &setbacks, &until));
        tokio::select! {
            thought = &mut thinks => return thought,
            () = self.stop.cancelled() => cancel.cancel(),
        }
        thinks.await
    }

    /// Writes, until all is written or there is reason to look again; which one, then.
    async fn apply(
        &mut self,
        observed: &Observed,
        thought: &Thought,
        in_flight: &mut InFlight<'_, Writer>,
    ) -> (Applied, Option<Cut>) {
        let writes = &thought.outcome.writes;
        if writes.is_empty() {
            return (Applied::default(), None);
        }
        let started = Instant::now();
        let go_on = |write: &Write| {
            let in_time = started.elapsed() < SLICE || !can_wait(write);
            let rests = self.memory.pauses.rests(write, Instant::now());
            let may_write = self.leads.borrow().holds() && self.index.foreign_lock().is_none();
            in_time && !rests && !self.stop.is_cancelled() && may_write
        };
        let watch = Watch { index: Arc::clone(&self.index), leads: self.leads.clone(), stop: self.stop.clone() };
        let mut cut = None;
        let short = async { cut = Some(watch.cut(CountedOn::of(observed, writes), started).await) };
        let applied = in_flight.apply(writes, versions(observed, writes), go_on, short).await;
        applied.late.iter().for_each(|ended| self.note(ended));
        let now = Instant::now();
        for write in applied.written.iter().filter_map(|position| writes.get(*position)) {
            self.note_written(write, now);
            if let Change::Interface { on, .. } = &write.change {
                let promises = thought.outcome.promises.iter().filter(|(address, _)| on.contains(*address));
                self.memory.promises.extend(promises.map(|(&address, promise)| (address, promise.clone())));
            }
        }
        self.note_pace(thought, &applied, in_flight.writes());
        self.tell_repairs(thought, &applied, in_flight.writes());
        for (target, failure) in &applied.failures {
            self.note_failed(target, failure, now);
        }
        tell::log_patches(&patch_rows(&thought.round.surveyed().snapshot, &thought.outcome.plan));
        let (written, failed, left) = (applied.written.len(), applied.failures.len(), applied.skipped + applied.left);
        let (generation, took) = (observed.generation, thought.took + started.elapsed());
        let cut_short = cut.map(Cut::reason);
        info!(generation, written, failed, left, cut_short, took_ms = took.as_millis(), "applied");
        self.leave(cut, in_flight).await;
        (applied, cut)
    }

    /// Counts unforced changes. A write that is still in flight may have happened, and counts as if it had: a policy must not
    /// gain by an API server that hangs.
    fn note_pace(&mut self, thought: &Thought, applied: &Applied, in_flight: &BTreeMap<Target, Write>) {
        let planner_of = |owner| {
            let at = thought.round.slice_of(owner)?;
            let (slice, became) = (self.slices.get(at)?, thought.outcome.slices.get(at)?);
            let policy = &slice.policies().policy().info().name;
            Some(pace::Planner { grant: slice.name(), policy, budget: became.budget })
        };
        let snapshot = &thought.round.surveyed().snapshot;
        let landed = applied.landed(&thought.outcome.writes, in_flight);
        self.memory.pace.note(snapshot, &thought.outcome.plan, landed, planner_of, steady_milliseconds());
    }

    /// What is in flight when writing is cut short is left to itself, after a moment in which most of it ends.
    async fn leave(&mut self, cut: Option<Cut>, in_flight: &mut InFlight<'_, Writer>) {
        match cut {
            None | Some(Cut::Stopped) => {}
            Some(Cut::Deposed) => self.abandon(in_flight),
            Some(Cut::NodeLost | Cut::Late) => {
                let ends = Instant::now() + GRACE;
                while let Ok(Some(ended)) = timeout_at(ends, in_flight.next()).await {
                    self.note(&ended);
                }
            }
        }
    }

    /// Of whoever leads no more nothing may arrive late, as far as that is in our hands.
    fn abandon(&mut self, in_flight: &mut InFlight<'_, Writer>) {
        for write in in_flight.abandon() {
            let failure = WriteFailure::Transient("given up, since this process leads no more".to_owned());
            self.note_failed(&write.target, &failure, Instant::now());
        }
    }

    fn note(&mut self, (write, result): &EndedWrite) {
        match result {
            Ok(_) => self.note_written(write, Instant::now()),
            Err(failure) => self.note_failed(&write.target, failure, Instant::now()),
        }
    }

    fn note_written(&mut self, write: &Write, now: Instant) {
        self.metrics.written(&write.target, self.index.read(Index::network));
        // How often an interface is written is its provider's to say.
        if !matches!(write.target, Target::Interface(_)) {
            self.memory.pauses.written(write.target.clone(), write.change.clone(), now);
        }
    }

    fn note_failed(&mut self, target: &Target, failure: &WriteFailure, now: Instant) {
        let network = self.index.read(Index::network);
        warn!(kind = patch::kind_name(target, network), name = target.name(), error = %failure, "cannot write");
        self.metrics.failed(target, failure, network);
        // How long an interface rests is its provider's to say.
        if !matches!(target, Target::Interface(_)) {
            self.memory.pauses.failed(target.clone(), failure, now);
        }
    }
}

/// Whether a write only says what is so, and says the same in the next round. Nothing else is put off: addresses that
/// nodes carry are nobody's until their owners hold them, and the next plan might have others, over and over.
fn can_wait(write: &Write) -> bool {
    matches!(&write.change, Change::Namespace { result, .. } if *result != Some(None))
}
