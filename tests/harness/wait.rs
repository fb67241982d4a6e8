//! Waiting for conditions. Tests never sleep: they wait for something, with a deadline.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use expect_test::Expect;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::cluster::SOON;

/// Time between two looks at a condition that cannot be watched.
const POLL: Duration = Duration::from_millis(10);

/// Looks until `check` answers `Ok`, and returns that value. Panics after `deadline` with the last `Err`.
///
/// ```ignore
/// let node = eventually("an owner is served", SECONDS_10, || async {
///     let outcome = cluster.outcome().await;
///     outcome.node_of("10.20.0.2").ok_or(outcome.to_string())
/// }).await;
/// ```
#[track_caller]
pub fn eventually<T, E, F, Fut>(what: &str, deadline: Duration, check: F) -> impl Future<Output = T>
where
    E: Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let caller = std::panic::Location::caller();
    async move {
        match until(deadline, check).await {
            Ok(value) => value,
            Err(last) => panic!("{caller}: not within {deadline:?}: {what}\nlast seen: {last}"),
        }
    }
}

/// Like [`eventually`], but hands back the last thing seen instead of panicking.
pub async fn until<T, E, F, Fut>(deadline: Duration, mut check: F) -> Result<T, String>
where
    E: Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let end = Instant::now() + deadline;
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = String::from("nothing: the first look took too long");
    loop {
        let look = async {
            ticks.tick().await;
            check().await
        };
        match timeout_at(end, look).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => last = seen.to_string(),
            Err(_) => return Err(last),
        }
    }
}

/// Waits until a text is as expected, indentation and empty lines aside; on timeout shows the difference.
#[track_caller]
pub fn reads<F, Fut>(expected: Expect, mut look: F) -> impl Future<Output = ()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = String>,
{
    let caller = std::panic::Location::caller();
    async move {
        let wanted = unindented(expected.data());
        let reached = until(SOON, || {
            let seen = look();
            let wanted = &wanted;
            async move {
                let seen = seen.await;
                if unindented(&seen) == *wanted { Ok(()) } else { Err(seen) }
            }
        });
        if let Err(last) = reached.await {
            eprintln!("{caller}: not as expected within {SOON:?}");
            expected.assert_eq(&last);
        }
    }
}

/// Lines without what is around them: the text of an `expect!` is indented like the code it is in.
fn unindented(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect()
}
