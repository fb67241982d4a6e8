//! Watches: one future per kind that lists, follows changes and feeds the index, for ever.
//!
//! A watch never gives up and never ends by itself. Its owner joins it, and drops it to stop it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::runtime::watcher::{self, DefaultBackoff, Event, watcher};
use kube::{Api, Client};
use tokio::time::{sleep, timeout};
use tracing::{debug, info};

use crate::index::{SharedIndex, WatchState};
use crate::kind::Kind;
use crate::object::Object;

/// Objects per page of a list. A page of nodes is some megabytes of JSON at most.
const PAGE_SIZE: u32 = 250;

/// How long one page of a list may take. The watch itself has kube's idle timeout and the client's read timeout.
const LIST_DEADLINE: Duration = Duration::from_mins(1);

/// How long a watch that failed has to be silent to count as restored: longer than the client's connect timeout.
const QUIET: Duration = Duration::from_secs(30);

/// Longest wait after a failure. The backoff's own limit is 30 s, too long for nodes that fail right after an API server
/// has come back.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

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
        Watch { kind, future: Box::pin(async move { run(&client, kind, &index).await }) }
    };
    Kind::ALL.into_iter().map(watch).collect()
}

async fn run(client: &Client, kind: Kind, index: &SharedIndex) -> Infallible {
    let mut patience = Patience { list: LIST_DEADLINE, quiet: QUIET, pauses: DefaultBackoff::default() };
    loop {
        let api: Api<Object> = Api::all_with(client.clone(), &kind.api_resource());
        let failure = follow(watcher(api, config(kind)), kind, index, &mut patience).await;
        debug!(%kind, failure, "watch starts again");
        patience.pause().await;
    }
}

/// How long to wait for what.
struct Patience<P> {
    /// For one page of a list.
    list: Duration,
    /// For a failure after a failure.
    quiet: Duration,
    /// Before trying again.
    pauses: P,
}

impl<P: Iterator<Item = Duration>> Patience<P> {
    async fn pause(&mut self) {
        sleep(self.pauses.next().map_or(LONGEST_PAUSE, |pause| pause.min(LONGEST_PAUSE))).await;
    }
}

fn config(kind: Kind) -> watcher::Config {
    let config = watcher::Config::default().page_size(PAGE_SIZE);
    match kind.field_selector() {
        Some(selector) => config.fields(&selector),
        None => config,
    }
}

/// Feeds the index until the stream has to be made anew: after a list that hangs, or when the kind is not served.
async fn follow(
    stream: impl Stream<Item = Item> + Send,
    kind: Kind,
    index: &SharedIndex,
    patience: &mut Patience<impl Iterator<Item = Duration>>,
) -> String {
    let mut stream = pin!(stream);
    let mut phase = Phase::Listing;
    loop {
        let next = stream.next();
        let next = match phase {
            Phase::Listing => timeout(patience.list, next).await,
            Phase::Following => Ok(next.await),
            Phase::Recovering => timeout(patience.quiet, next).await,
        };
        match next {
            Ok(None) => return "the stream ended".to_owned(),
            Ok(Some(Ok(event))) => phase = accept(event, kind, index),
            Ok(Some(Err(failure))) if is_not_served(&failure) => return not_served(kind, index),
            Ok(Some(Err(failure))) => {
                let failure = crate::failure::of_watch(&failure);
                debug!(%kind, failure, "watch failed");
                interrupted(kind, index, &failure);
                if phase == Phase::Following {
                    phase = Phase::Recovering;
                }
                // The watcher either resumes or lists anew, and says so with `Init`.
                patience.pause().await;
            }
            Err(_) if phase == Phase::Recovering => {
                index.change(|index| index.set_watch(kind, WatchState::Listed));
                phase = Phase::Following;
            }
            Err(_) => {
                let text = format!("no answer to a list within {} s", patience.list.as_secs());
                interrupted(kind, index, &text);
                return text;
            }
        }
    }
}

/// Where a watch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A list is under way.
    Listing,
    /// Changes are followed.
    Following,
    /// The last attempt to follow changes failed. Success has no event of its own, so silence has to do.
    Recovering,
}

type Item = watcher::Result<Event<Object>>;

fn accept(event: Event<Object>, kind: Kind, index: &SharedIndex) -> Phase {
    match event {
        Event::Init => {
            index.quietly(|index| index.begin_list(kind));
            Phase::Listing
        }
        Event::InitApply(object) => {
            index.quietly(|index| index.apply(kind, &object));
            Phase::Listing
        }
        Event::InitDone => {
            // Nobody was woken for single objects, so wake once, whatever came of it.
            index.quietly(|index| index.end_list(kind));
            index.ring();
            info!(%kind, "listed");
            Phase::Following
        }
        Event::Apply(object) => {
            index.change(|index| index.apply(kind, &object) | index.set_watch(kind, WatchState::Listed));
            Phase::Following
        }
        Event::Delete(object) => {
            index.change(|index| index.delete(kind, &object) | index.set_watch(kind, WatchState::Listed));
            Phase::Following
        }
    }
}

/// Notes a failure. What was listed once still counts: writes carry preconditions.
fn interrupted(kind: Kind, index: &SharedIndex, failure: &str) {
    let text = format!("cannot read {}: {failure}", kind.resource());
    index.change(|index| {
        let state = match index.watch(kind) {
            WatchState::Listed | WatchState::Interrupted(_) => WatchState::Interrupted(text),
            WatchState::Pending | WatchState::Waiting(_) => WatchState::Waiting(text),
        };
        index.set_watch(kind, state)
    });
}

/// Notes that the API server does not know the kind. What was known of it is gone with it.
fn not_served(kind: Kind, index: &SharedIndex) -> String {
    let text = format!("waiting for CRD {}", kind.resource());
    let state = if kind.is_optional() { WatchState::Listed } else { WatchState::Waiting(text.clone()) };
    index.change(|index| index.clear(kind) | index.set_watch(kind, state));
    text
}

/// 404 on the whole collection: the CRD is not there, or not any more.
fn is_not_served(failure: &watcher::Error) -> bool {
    let code = match failure {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.code,
        _ => 0,
    };
    code == 404
}

#[cfg(test)]
mod tests;
