//! Status of pools and events, apart from the planner: telling a story must not delay the next failover.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::ready;
use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use kube::Client;
use sluice_core::backend::WriteFailure;
use sluice_core::name::PoolName;
use sluice_core::retry::Backoff;
use sluice_core::status::PoolReport;
use sluice_core::survey::NamedHold;
use sluice_kube::api::PolicyStatus;
use sluice_kube::index::SharedIndex;
use sluice_kube::patch::ApiServer;
use sluice_kube::served::pruned_in_cluster;
use sluice_kube::status::{blocked_patch, status_patch};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::events::Events;
use super::lease::{self, Term};

/// While a schedule is under way, status follows no more often than this.
const WHILE_BUSY: Duration = Duration::from_secs(1);
/// First pause after a failure, and the longest.
const PAUSE: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_mins(1));
/// A status that somebody else overwrote is written again after so long: he may have more to write.
const QUIET: Duration = Duration::from_millis(200);
/// Then ever more slowly, from so long after the last time to so long, as somebody keeps overwriting it, or the API server
/// stores something else than it is told.
const REPAIRS: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(30));
/// After so long it is no quarrel any more.
const FORGIVEN: Duration = Duration::from_mins(2);
/// How often to look whether the served CRD still drops fields.
const RECHECK: Duration = Duration::from_mins(5);
/// Statuses that are written at the same time.
const AT_ONCE: usize = 8;

/// What there is to tell after a round.
#[derive(Debug, Default)]
pub(super) enum Story {
    /// Nothing, or nobody of us may tell it.
    #[default]
    Silence,
    /// Nothing can be planned, for this reason.
    Blocked(String),
    /// A round was planned.
    Round {
        /// The pools.
        reports: Vec<PoolReport>,
        /// Who is not served.
        holds: Vec<NamedHold>,
        /// The policy that planned each pool; of several the first.
        policies: BTreeMap<PoolName, PolicyStatus>,
        /// Nothing is being written: this is how it will stay.
        settled: bool,
    },
}

/// Tells stories.
pub(super) struct Reporter {
    server: ApiServer,
    client: Client,
    index: Arc<SharedIndex>,
    stories: watch::Receiver<Arc<Story>>,
    events: Events,
    leads: watch::Receiver<Term>,
    /// Fields that the served CRD drops.
    pruned: Vec<String>,
    check_again: Instant,
    last: Option<Instant>,
    failures: u32,
    retry: Option<Instant>,
    /// When the last overwritten status was written again, and how often one was shortly before.
    repaired: Option<(Instant, u32)>,
}

impl Reporter {
    pub(super) fn new(
        server: ApiServer,
        client: Client,
        index: Arc<SharedIndex>,
        stories: watch::Receiver<Arc<Story>>,
        events: Events,
        leads: watch::Receiver<Term>,
    ) -> Self {
        Self {
            server,
            client,
            index,
            stories,
            events,
            leads,
            pruned: Vec::new(),
            check_again: Instant::now(),
            last: None,
            failures: 0,
            retry: None,
            repaired: None,
        }
    }

    /// Tells every story until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut statuses = self.index.subscribe_statuses();
        loop {
            let retry = self.retry;
            tokio::select! {
                () = stop.cancelled() => return,
                Ok(()) = statuses.changed() => {
                    self.look_for_overwritten();
                    continue;
                }
                told = self.stories.changed() => if told.is_err() { return },
                () = async { sleep_until(retry.unwrap_or_else(Instant::now)).await }, if retry.is_some() => {}
            }
            let story = Arc::clone(&self.stories.borrow_and_update());
            let leads = self.leads.clone();
            tokio::select! {
                biased;
                // Whoever leads no more says no more, in the middle of a story either.
                () = lease::ended(leads) => self.retry = None,
                () = self.tell(&story) => {}
            }
        }
    }

    /// Whether a status says otherwise than was told. What we write ourselves is known before the next look.
    fn look_for_overwritten(&mut self) {
        let story = Arc::clone(&self.stories.borrow());
        if self.retry.is_none() && !self.statuses(&story).is_empty() {
            let soon = Instant::now() + QUIET;
            let (due, times) = match self.repaired {
                Some((last, times)) if soon < last + FORGIVEN => {
                    (soon.max(last + REPAIRS.after(times)), times.saturating_add(1))
                }
                _ => (soon, 0),
            };
            (self.retry, self.repaired) = (Some(due), Some((due, times)));
        }
    }

    async fn tell(&mut self, story: &Story) {
        self.retry = None;
        let now = Instant::now();
        self.events.listen();
        if let (Story::Round { settled: false, .. }, Some(last)) = (story, self.last)
            && now < last + WHILE_BUSY
        {
            self.retry = Some(last + WHILE_BUSY);
            return;
        }
        if matches!(story, Story::Silence) || !self.may_write() {
            return;
        }
        self.last = Some(now);
        self.look_for_pruned(now).await;
        let failed = self.write_statuses(self.statuses(story)).await;
        if failed {
            self.retry = Some(now + PAUSE.after(self.failures));
            self.failures = self.failures.saturating_add(1);
        } else {
            self.failures = 0;
        }
        if let Story::Round { reports, holds, settled, .. } = story {
            let again = self.events.tell(reports, holds, *settled).await;
            self.retry = self.retry.into_iter().chain(again).min();
        }
    }

    /// The old operator may have taken its lock since the round; the planner tells the next story then.
    fn may_write(&self) -> bool {
        self.index.foreign_lock().is_none()
    }

    /// The status patches that are needed now, by pool.
    fn statuses(&self, story: &Story) -> BTreeMap<PoolName, (serde_json::Value, String)> {
        let now = Timestamp::now();
        let patches = self.index.read(|index| match story {
            Story::Silence => Vec::new(),
            Story::Blocked(text) => index
                .pools()
                .map(|(name, generation, pool)| {
                    (name.clone(), pool, blocked_patch(text, generation, &pool.status, now))
                })
                .map(|(name, pool, patch)| (name, patch, pool.resource_version.clone()))
                .collect(),
            Story::Round { reports, policies, .. } => reports
                .iter()
                .filter_map(|report| {
                    let pool = index.pool_object(&report.pool)?;
                    let patch = status_patch(report, policies.get(&report.pool), &pool.status, &self.pruned, now);
                    Some((report.pool.clone(), patch, pool.resource_version.clone()))
                })
                .collect::<Vec<_>>(),
        });
        patches.into_iter().filter_map(|(pool, patch, version)| Some((pool, (patch?, version)))).collect()
    }

    /// Whether anything failed.
    async fn write_statuses(&self, patches: BTreeMap<PoolName, (serde_json::Value, String)>) -> bool {
        let results = stream::iter(patches)
            .take_while(|_| ready(self.may_write()))
            .map(|(pool, (patch, version))| async move {
                let result = self.server.write_status(&pool, &patch, &version).await;
                (pool, result)
            })
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let mut failed = false;
        for (pool, result) in results {
            match result {
                Ok(_) | Err(WriteFailure::NotFound) => {}
                Err(WriteFailure::Conflict) => {
                    debug!(%pool, "the pool changed before its status was written");
                    failed = true;
                }
                Err(error) => {
                    warn!(%pool, %error, "cannot write the status of a pool");
                    failed = true;
                }
            }
        }
        failed
    }

    /// Learns which fields of a status the API server would drop. They would be missing every time and be written for
    /// ever.
    async fn look_for_pruned(&mut self, now: Instant) {
        if now < self.check_again {
            return;
        }
        self.check_again = now + RECHECK;
        match pruned_in_cluster(&self.client).await {
            Ok(pruned) => {
                if pruned != self.pruned && !pruned.is_empty() {
                    let fields = pruned.join(", ");
                    warn!(
                        fields,
                        "the cluster's CRD drops fields of EgressIPAM; apply the CRD of this version: sluice crds | kubectl apply -f -"
                    );
                }
                self.pruned = pruned;
            }
            Err(error) => {
                warn!(error, "cannot tell which fields of EgressIPAM the cluster drops");
                self.check_again = now + PAUSE.after(u32::MAX);
            }
        }
    }
}
