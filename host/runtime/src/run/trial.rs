//! A policy that plans beside the rounds: one that never comes to an end must not delay a failover.

use std::sync::Arc;

use sluice_core::observed::Observed;
use sluice_core::round::Grant;
use sluice_policy::{Cancel, DropGuard, Policy};
use tokio::task::{JoinHandle, spawn_blocking};

use super::pauses::Setbacks;
use super::round::try_out;
use super::succession::Rank;

/// Who is tried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// Whom the policy's files name now.
    New,
    /// Who should plan, and failed.
    Failed(Rank),
}

/// What came of a trial.
pub(super) struct Verdict {
    pub(super) whom: Whom,
    pub(super) policy: Policy,
    /// The plan passed; or why not.
    pub(super) passed: Result<(), String>,
}

/// One trial at a time. What is begun is joined, sooner or later.
#[derive(Default)]
pub(super) struct Trials(Option<Trial>);

struct Trial {
    whom: Whom,
    policy: Policy,
    wanted: DropGuard,
    task: JoinHandle<Result<(), String>>,
}

impl Trials {
    /// Whether none is under way.
    pub(super) fn are_over(&self) -> bool {
        self.0.is_none()
    }

    /// Begins one, after the one that is under way is ended.
    ///
    /// `among` are the grants of a round, of which the policy plans the one at the position.
    pub(super) async fn begin(
        &mut self,
        whom: Whom,
        policy: Policy,
        (grants, nth): (&[Grant], usize),
        observed: &Arc<Observed>,
        setbacks: &Setbacks,
    ) {
        self.end().await;
        let cancel = Cancel::default();
        let wanted = cancel.drop_guard();
        let (observed, setbacks) = (Arc::clone(observed), setbacks.clone());
        let (candidate, grants) = (policy.clone(), grants.to_vec());
        let task = spawn_blocking(move || try_out(&observed, (&grants, nth), &candidate, &setbacks, &cancel));
        self.0 = Some(Trial { whom, policy, wanted, task });
    }

    /// What comes of the trial that is under way; none: there is none. May be dropped and asked again.
    pub(super) async fn verdict(&mut self) -> Option<Verdict> {
        let result = (&mut self.0.as_mut()?.task).await;
        let Trial { whom, policy, .. } = self.0.take()?;
        let passed = result.unwrap_or_else(|error| Err(error.to_string()));
        Some(Verdict { whom, policy, passed })
    }

    /// Ends the one that is under way, and waits for its end.
    pub(super) async fn end(&mut self) {
        if let Some(Trial { wanted, task, .. }) = self.0.take() {
            drop(wanted);
            // What became of it is nobody's concern any more.
            let _ = task.await;
        }
    }
}
