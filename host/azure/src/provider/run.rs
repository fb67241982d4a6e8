//! The provider's loops: the inventory, and the workers.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Azure;
use super::pause::words;
use super::state::{Job, Report, Seen};
use super::worker;
use crate::arm::{ArmError, ErrorKind};
use crate::inventory;
use crate::token::NOT_TOLD;

/// Two inventories are at least this far apart, however curious anybody is.
const GAP: Duration = Duration::from_secs(10);
/// News is gathered for so long, in real time, before it is told.
const GATHER: Duration = Duration::from_millis(20);
/// After the first failure to read the inventory; it doubles up to the period.
const RETRY: Duration = Duration::from_secs(15);

impl Azure {
    /// Works until it is told to stop. Operations that are under way then go on in Azure, and are seen as such by
    /// whoever comes next. To be called once.
    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(self.keep_inventory(&stop), self.keep_working(&stop), self.keep_telling(&stop));
    }

    /// Tells what changed, many changes at once: a round hands over changes of all its interfaces in a row.
    async fn keep_telling(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.shared.news.notified() => {}
            }
            tokio::time::sleep(GATHER).await;
            self.tell();
        }
    }

    async fn keep_inventory(&self, stop: &CancellationToken) {
        let pace = self.shared.arm.pace();
        let mut failures = 0;
        loop {
            let told = self.shared.inventory.notified();
            let read = tokio::select! {
                () = stop.cancelled() => return,
                read = self.read_inventory() => read,
            };
            failures = if read { 0 } else { failures + 1_u32 };
            let retry = RETRY.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(self.shared.period);
            let rest = if read { self.shared.period } else { retry };
            tokio::select! {
                () = stop.cancelled() => return,
                () = pace.sleep(rest) => {}
                () = async { told.await; if read { pace.sleep(GAP).await; } } => {}
                () = self.outdated() => {}
            }
        }
    }

    /// Waits until somebody waits for a new inventory.
    async fn outdated(&self) {
        loop {
            self.shared.hurry.notified().await;
            if self.state().is_outdated() {
                return;
            }
        }
    }

    /// Lists everything. Whether that went well.
    async fn read_inventory(&self) -> bool {
        let arm = &self.shared.arm;
        let started = arm.pace().now();
        let credentials = match arm.tokens().credentials() {
            Ok(credentials) => credentials,
            // Whoever has not told us yet will do so in a moment, and then we are woken.
            Err(error) if &*error.code == NOT_TOLD => return false,
            Err(error) => return self.is_blind(&error),
        };
        let Some(mut groups) = self.state().groups(&credentials.subscription) else { return false };
        let further = [self.shared.resource_group.as_ref(), credentials.group.as_ref()];
        groups.extend(further.into_iter().flatten().map(|group| group.to_ascii_lowercase()));
        match inventory::read(arm, &credentials.subscription, &groups).await {
            Ok(listing) => {
                let doubt = self.state().doubts(&listing);
                if let Some(text) = doubt {
                    return self.is_blind(&ArmError::new(ErrorKind::Gone, "ResourceGroupNotFound", &text));
                }
                self.change(|state, now| state.listed(listing, started, now));
                true
            }
            Err(error) => self.is_blind(&error),
        }
    }

    fn is_blind(&self, error: &ArmError) -> bool {
        let text = format!("azure cannot be read: {}", words(error));
        if self.obstacle().as_ref() != Some(&text) {
            tracing::warn!(code = &*error.code, %error, "azure cannot be read");
        }
        self.change(|state, _| state.not_listed(text));
        false
    }

    async fn keep_working(&self, stop: &CancellationToken) {
        let pace = self.shared.arm.pace();
        let mut workers: JoinSet<(Job, Report)> = JoinSet::new();
        let mut jobs: HashMap<tokio::task::Id, Job> = HashMap::new();
        loop {
            while workers.len() < self.shared.parallel
                && let Some(job) = self.next_job()
            {
                let (arm, task) = (self.shared.arm.clone(), job.clone());
                let handle = workers.spawn(async move {
                    let report = worker::work(&arm, &task).await;
                    (task, report)
                });
                jobs.insert(handle.id(), job);
            }
            let next = self.next_change();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = workers.join_next_with_id() => match ended {
                    Ok((id, (job, report))) => {
                        jobs.remove(&id);
                        self.finish(&job, report);
                    }
                    Err(error) => {
                        if let Some(job) = jobs.remove(&error.id()) {
                            let failure = ArmError::new(ErrorKind::Unknown, "WorkerEnded", "the worker ended by itself");
                            self.finish(&job, Report { seen: Seen::Nothing, failure: Some(failure) });
                        }
                    }
                },
                () = self.shared.work.notified() => {}
                () = pace.until(next) => { self.change(|_, _| ()); }
            }
        }
        workers.shutdown().await;
    }

    fn next_job(&self) -> Option<Job> {
        let now = self.shared.arm.pace().now();
        self.state().next_job(now)
    }

    fn finish(&self, job: &Job, report: Report) {
        let is_curious = self.change(|state, now| {
            state.finish(job, report, now);
            state.take_curiosity()
        });
        if is_curious {
            self.shared.inventory.notify_one();
        }
    }

    fn next_change(&self) -> Option<Duration> {
        let now = self.shared.arm.pace().now();
        let closed = self.shared.arm.closed_for().map(|left| now + left);
        [self.state().tick(now), closed].into_iter().flatten().min()
    }
}
