//! Watches: one future per kind that lists, follows changes and feeds the index, for ever.
//!
//! A watch never gives up and never ends by itself. Its owner joins it, and drops it to stop it.
//!
//! Each watch lasts a few seconds only, and is asked for again. A connection can die without a word, and what stands in
//! between may answer keepalives and pings for a server that is gone: only what the server itself says on a watch shows
//! that it still would tell. A watch whose time is over and that has not ended is dead, and so is its connection.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

use crate::client::IDLE;
use crate::failure;
use crate::index::{Index, SharedIndex, WatchState};
use crate::kind::Kind;
use crate::object::Object;

/// Objects per page of a list. A page of nodes is some megabytes of JSON at most.
const PAGE_SIZE: u32 = 250;

/// How long a watch lasts, in seconds, as the server is told. A node's failure must be acted on within 10 s, whatever
/// became of the connection; what shorter watches cost is in ARCHITECTURE.md.
const LASTS: u32 = 5;

/// How long to wait for what.
#[derive(Clone, Copy)]
struct Patience {
    /// For one page of a list, at first and at last: twice as long after each failure.
    page: (Duration, Duration),
    /// From the request for a watch to the head of its answer, and from there to its end. What it has beyond the watch's
    /// time is as long as a connection may be idle, so that after a dead watch no other connection that died with it is
    /// used.
    watch: Duration,
    /// A watch that ends sooner was not served, even if nothing says why.
    too_short: Duration,
    /// For the answer to one small question.
    question: Duration,
    /// So long, and in at least so many answers, a kind that was served has to be unknown to the API server before that is
    /// believed: one that starts, or a proxy in front of it, may say so for a moment.
    absent: (Duration, u32),
    /// After the second failure in a row, and at most. Nodes may fail right after an API server has come back.
    pause: (Duration, Duration),
}

const PATIENCE: Patience = Patience {
    page: (Duration::from_secs(8), Duration::from_mins(1)),
    watch: Duration::from_secs(LASTS as u64).saturating_add(IDLE),
    too_short: Duration::from_secs(1),
    question: Duration::from_secs(5),
    absent: (Duration::from_secs(30), 3),
    pause: (Duration::from_millis(500), Duration::from_secs(5)),
};

/// A watch to be run.
pub struct Watch {
    /// What it watches; names the task.
    pub kind: Kind,
    /// Runs for ever.
    pub future: Pin<Box<dyn Future<Output = Infallible> + Send>>,
}

/// One watch for every kind.
pub fn watches(client: &Client, index: &Arc<SharedIndex>) -> Vec<Watch> {
    let watch = |kind| {
        let (client, index) = (client.clone(), Arc::clone(index));
        Watch { kind, future: Box::pin(async move { Reader::new(client, kind, &index, PATIENCE).run().await }) }
    };
    Kind::ALL.into_iter().map(watch).collect()
}

/// Reads one kind.
struct Reader<'a> {
    client: Client,
    api: Api<Object>,
    kind: Kind,
    index: &'a SharedIndex,
    /// Failures since the last watch that came to its end.
    failures: u32,
    patience: Patience,
    served: Served,
}

/// Whether the API server knows the kind.
#[derive(Clone, Copy)]
enum Served {
    /// It has not been asked yet, or not answered.
    Unknown,
    Yes,
    /// It was, and since then so many answers say that it is not.
    Doubtful {
        since: Instant,
        answers: u32,
    },
    No,
}

/// What to ask for next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Everything.
    List,
    /// Whether the cluster still is at this `resourceVersion` or later. After a failure it may not be: etcd may have been
    /// restored from a backup, and a watch from a version that is still to come shows nothing.
    Compare(String),
    /// Changes since this `resourceVersion`.
    Follow(String),
}

/// Why a step came to no good end.
enum Failure {
    /// 404 on the whole collection.
    NotServed,
    /// The changes since the version are not kept any more.
    Expired,
    Other(String),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 404 => Self::NotServed,
            kube::Error::Api(status) if status.code == 410 => Self::Expired,
            _ => Self::Other(failure::of_request(&error)),
        }
    }
}

impl<'a> Reader<'a> {
    fn new(client: Client, kind: Kind, index: &'a SharedIndex, patience: Patience) -> Self {
        let api = Api::all_with(client.clone(), &kind.api_resource());
        Self { client, api, kind, index, failures: 0, patience, served: Served::Unknown }
    }

    async fn run(mut self) -> Infallible {
        let mut step = Step::List;
        loop {
            let result = match &mut step {
                Step::List => self.list().await.map(Step::Follow),
                Step::Compare(version) => self.compare(version).await,
                Step::Follow(version) => self.follow(version).await.map(|()| Step::Follow(version.clone())),
            };
            step = match result {
                Ok(next) => next,
                Err(failure) => {
                    let next = self.failed(failure, step).await;
                    self.pause().await;
                    next
                }
            };
        }
    }

    /// After the first failure there is none: the connection was lost, and a new one may do.
    async fn pause(&mut self) {
        if let Some(before) = self.failures.checked_sub(1) {
            sleep(doubled(self.patience.pause, before)).await;
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// Notes a failure; says how to go on.
    async fn failed(&mut self, failure: Failure, step: Step) -> Step {
        match (failure, step) {
            (Failure::NotServed, _) => {
                self.not_served().await;
                Step::List
            }
            (Failure::Expired, _) => {
                debug!(kind = %self.kind, "changes are not kept any more: everything is read anew");
                Step::List
            }
            (Failure::Other(text), step) => {
                self.interrupted(&text);
                match step {
                    Step::List => Step::List,
                    Step::Compare(version) | Step::Follow(version) => Step::Compare(version),
                }
            }
        }
    }

    /// Reads everything; returns the version it was at.
    async fn list(&mut self) -> Result<String, Failure> {
        let (kind, index) = (self.kind, self.index);
        let deadline = doubled(self.patience.page, self.failures);
        index.quietly(|index| index.begin_list(kind));
        let mut params = self.list_params().limit(PAGE_SIZE);
        loop {
            let late = || Failure::Other(format!("no answer to a list within {} s", deadline.as_secs()));
            let page = timeout(deadline, self.api.list(&params)).await.map_err(|_| late())??;
            self.served = Served::Yes;
            index.quietly(|index| {
                index.heard(kind, Instant::now());
                page.items.iter().for_each(|object| _ = index.apply(kind, object));
            });
            let version = page.metadata.resource_version.unwrap_or_default();
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None if version.is_empty() => return Err(Failure::Other("a list without resourceVersion".to_owned())),
                None => {
                    self.restored(Index::end_list);
                    // Nobody was woken for single objects, so wake once, whatever came of it.
                    index.ring();
                    info!(%kind, "listed");
                    return Ok(version);
                }
            }
        }
    }

    fn list_params(&self) -> ListParams {
        ListParams { field_selector: self.kind.field_selector(), ..ListParams::default() }
    }

    async fn compare(&mut self, version: &str) -> Result<Step, Failure> {
        let deadline = self.patience.question;
        let late = || Failure::Other(format!("no answer within {} s", deadline.as_secs()));
        let params = self.list_params().limit(1);
        let found = timeout(deadline, self.api.list(&params)).await.map_err(|_| late())??;
        let number = |version: &str| version.parse::<u128>().ok();
        let now = found.metadata.resource_version.as_deref().and_then(number);
        if now.zip(number(version)).is_some_and(|(now, seen)| now < seen) {
            warn!(kind = %self.kind, "the API server is at an earlier version than was seen: everything is read anew");
            return Ok(Step::List);
        }
        Ok(Step::Follow(version.to_owned()))
    }

    /// Follows changes until the watch ends; keeps the version up to date.
    async fn follow(&mut self, version: &mut String) -> Result<(), Failure> {
        let params = WatchParams { field_selector: self.kind.field_selector(), ..WatchParams::default() };
        let params = params.timeout(LASTS);
        let deadline = self.patience.watch;
        let late = || Failure::Other(format!("a watch shows no end within {} s", deadline.as_secs()));
        let stream = timeout(deadline, self.api.watch(&params, version)).await.map_err(|_| late())??;
        let mut stream = pin!(stream);
        let started = Instant::now();
        self.restored(|index, kind| index.heard(kind, started));
        while let Some(event) = timeout_at(started + deadline, stream.try_next()).await.map_err(|_| late())?? {
            *version = self.accept(event)?;
        }
        if started.elapsed() < self.patience.too_short {
            return Err(Failure::Other("the watch ended at once".to_owned()));
        }
        self.failures = 0;
        Ok(())
    }

    /// Takes an event; returns its version.
    fn accept(&self, event: WatchEvent<Object>) -> Result<String, Failure> {
        let (kind, now) = (self.kind, Instant::now());
        let version = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                self.index.change(|index| index.heard(kind, now) | index.apply(kind, &object));
                object.resource_version().to_owned()
            }
            WatchEvent::Deleted(object) => {
                self.index.change(|index| index.heard(kind, now) | index.delete(kind, &object));
                object.resource_version().to_owned()
            }
            WatchEvent::Bookmark(bookmark) => {
                self.index.change(|index| index.heard(kind, now));
                bookmark.metadata.resource_version
            }
            WatchEvent::Error(status) if status.code == 410 => return Err(Failure::Expired),
            WatchEvent::Error(status) => return Err(Failure::Other(failure::bounded(&status.message))),
        };
        // Without a version there is nothing to go on from.
        if version.is_empty() { Err(Failure::Expired) } else { Ok(version) }
    }

    /// Notes that changes are followed again.
    fn restored(&self, more: impl FnOnce(&mut Index, Kind) -> bool) {
        let kind = self.kind;
        if let WatchState::Interrupted(_) = self.index.read(|index| index.watch(kind)) {
            info!(%kind, "changes are followed again");
        }
        self.index.change(|index| more(index, kind) | index.set_watch(kind, WatchState::Listed));
    }

    /// Notes a failure. What was listed once still counts: writes carry preconditions.
    fn interrupted(&self, failure: &str) {
        let text = format!("cannot read {}: {failure}", self.kind.resource());
        let before = self.index.read(|index| index.watch(self.kind));
        let state = match &before {
            WatchState::Listed | WatchState::Interrupted(_) => WatchState::Interrupted(text),
            WatchState::Pending | WatchState::Waiting(_) => WatchState::Waiting(text),
        };
        if state != before {
            warn!(kind = %self.kind, failure, "the watch failed, and is made anew");
        }
        self.index.change(|index| index.set_watch(self.kind, state));
    }

    /// Notes that the API server does not know the kind. What was known of it is gone with it, once that is believed.
    async fn not_served(&mut self) {
        let (kind, index, now) = (self.kind, self.index, Instant::now());
        let believed = match self.served {
            Served::No => true,
            Served::Unknown => !kind.is_optional() || self.is_unknown().await,
            Served::Yes => {
                self.served = Served::Doubtful { since: now, answers: 1 };
                false
            }
            Served::Doubtful { since, answers } => {
                let answers = answers.saturating_add(1);
                self.served = Served::Doubtful { since, answers };
                now - since >= self.patience.absent.0 && answers >= self.patience.absent.1
            }
        };
        if !believed {
            return self.interrupted("the API server does not know it");
        }
        let text = format!("waiting for CRD {}", kind.resource());
        let state = if kind.is_optional() { WatchState::Listed } else { WatchState::Waiting(text) };
        if kind.is_optional() {
            self.served = Served::No;
        }
        index.change(|index| index.clear(kind) | index.heard(kind, now) | index.set_watch(kind, state));
    }

    /// Whether the API server's own lists of what it serves lack the kind: something that starts, or stands in between, can
    /// say 404, but not that.
    async fn is_unknown(&self) -> bool {
        let resource = self.kind.api_resource();
        let Ok(Ok(groups)) = timeout(self.patience.question, self.client.list_api_groups()).await else { return false };
        if groups.groups.iter().all(|served| served.name != resource.group) {
            return true;
        }
        // Its group may be there for another kind.
        let kinds = self.client.list_api_group_resources(&resource.api_version);
        let kinds = timeout(self.patience.question, kinds).await;
        matches!(kinds, Ok(Ok(served)) if served.resources.iter().all(|served| served.name != resource.plural))
    }
}

/// The first, doubled so many times, and no more than the last.
fn doubled((first, last): (Duration, Duration), times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(last)
}

#[cfg(test)]
mod tests;
