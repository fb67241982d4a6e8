//! One attempt at one change of one interface: read, edit, write if unchanged, wait, read. What went wrong is
//! classified and told; whether and when to try again is decided elsewhere.

use std::time::Duration;

use serde_json::Value;

use super::slot::{Change, Task};
use super::state::{Job, Report, Seen};
use crate::arm::{Arm, ArmError, ErrorKind, PutRequest, Verb};
use crate::id::ResourceId;
use crate::nic::{Interface, ProvisioningState, edit};
use crate::operation::{Operation, Step};

/// Between two looks at an interface that somebody is updating.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long one is waited for.
const DEADLINE: Duration = Duration::from_mins(10);
/// Most failures to read in a row.
const MOST_FAILURES: u32 = 4;

/// Does a job.
pub(crate) async fn work(arm: &Arm, job: &Job) -> Report {
    let id = &job.interface;
    let failure = match &job.task {
        Task::Watch => None,
        Task::Change(wanted) => {
            let started = arm.pace().now();
            let done = change(arm, job, wanted).await;
            if let Ok(true) = done {
                arm.meter().updated(arm.pace().now().saturating_sub(started));
            }
            done.err()
        }
    };
    let (seen, unread) = match settled(arm, id).await {
        Ok((_, interface)) => (Seen::Interface(interface), None),
        Err(error) if error.kind == ErrorKind::Gone => (Seen::Gone, None),
        Err(error) => (Seen::Nothing, Some(error)),
    };
    let failure = judge(&job.task, &seen, failure).or(unread);
    if let Some(error) = &failure {
        tracing::info!(interface = id.name(), code = &*error.code, %error, "an interface was not changed");
    }
    Report { seen, failure }
}

/// What an attempt came to, by what is there afterwards.
fn judge(task: &Task, seen: &Seen, failure: Option<ArmError>) -> Option<ArmError> {
    let Seen::Interface(view) = seen else { return failure };
    let is_done = match task {
        Task::Change(Change { on, off, .. }) => view.is_as_wanted(on, off),
        Task::Watch => return failure,
    };
    match view.state {
        // Whatever was answered, or not: it was done.
        ProvisioningState::Succeeded if is_done => None,
        ProvisioningState::Failed if failure.is_none() => {
            let text = "azure did not carry out the last change of the interface: its state is Failed";
            Some(ArmError::new(ErrorKind::Unknown, "InterfaceFailed", text))
        }
        ProvisioningState::Updating | ProvisioningState::Succeeded if failure.is_none() => {
            let text = "the interface was changed by somebody else meanwhile";
            Some(ArmError::new(ErrorKind::Stale, "Overwritten", text))
        }
        _ => failure,
    }
}

/// Writes other configurations. Whether anything was written: an interface that was left `Failed` always is, since that
/// alone lets Azure finish what it had begun.
async fn change(arm: &Arm, job: &Job, wanted: &Change) -> Result<bool, ArmError> {
    // Whatever is the matter before the write, it is not the change.
    let before = |mut error: ArmError| {
        if error.kind == ErrorKind::Permanent {
            error.kind = ErrorKind::Unknown;
        }
        error
    };
    let (body, view) = settled(arm, &job.interface).await.map_err(before)?;
    let edited = edit(&body, &wanted.on, &wanted.off, &wanted.pools)
        .map_err(|error| ArmError::new(ErrorKind::Permanent, "NotEditable", &error.to_string()))?;
    if !edited.changed && view.state == ProvisioningState::Succeeded {
        return Ok(false);
    }
    write(arm, job, &view.etag, edited.body).await?;
    Ok(true)
}

async fn write(arm: &Arm, job: &Job, etag: &str, body: String) -> Result<(), ArmError> {
    if etag.is_empty() {
        let text = "azure's answer has no etag, and nothing is written without one";
        return Err(ArmError::new(ErrorKind::Permanent, "NoEtag", text));
    }
    let _in_flight = arm.meter().operation();
    let answer = arm.put(&job.interface, PutRequest { etag, body, term: job.term }).await?;
    let now = arm.pace().now();
    let accepted = Operation::accepted(answer.operation, answer.retry_after, &answer.body, now);
    let Some((operation, mut step)) = accepted else { return Ok(()) };
    loop {
        match step {
            Step::Look => return Ok(()),
            Step::Failed(error) => return Err(error),
            Step::Wait(span) => arm.pace().sleep(span).await,
        }
        let answer = arm.follow(Verb::Poll, &operation.url).await;
        let now = arm.pace().now();
        step = match answer {
            Ok(answer) => {
                let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
                operation.answered(&body, answer.retry_after, now)
            }
            Err(error) => operation.not_answered(&error, now),
        };
    }
}

/// Reads an interface, and again while somebody is updating it.
async fn settled(arm: &Arm, id: &ResourceId) -> Result<(String, Interface), ArmError> {
    let deadline = arm.pace().now() + DEADLINE;
    let mut failures = 0;
    loop {
        let wait = match arm.get(id).await {
            Ok(answer) => {
                let view = Interface::parse(&answer.body).ok_or_else(|| {
                    ArmError::new(ErrorKind::Permanent, "BadAnswer", "azure's answer is not an interface")
                })?;
                if view.state != ProvisioningState::Updating {
                    return Ok((answer.body, view));
                }
                failures = 0;
                answer.retry_after.unwrap_or(INTERVAL).max(Duration::from_secs(1))
            }
            Err(error)
                if matches!(error.kind, ErrorKind::Unknown | ErrorKind::Throttled) && failures < MOST_FAILURES =>
            {
                failures += 1;
                error.retry_after.unwrap_or(INTERVAL / 2)
            }
            Err(error) => return Err(error),
        };
        if arm.pace().now() + wait > deadline {
            let text = format!("the interface has been updating for {} s", DEADLINE.as_secs());
            return Err(ArmError::new(ErrorKind::Busy, "StillUpdating", &text));
        }
        arm.pace().sleep(wait).await;
    }
}
