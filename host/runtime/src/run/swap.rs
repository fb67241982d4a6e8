//! Loads the policy's files, watches them, and offers what is new in them.
//!
//! Files are looked at, not subscribed to: that works alike for a renamed file, a mounted `ConfigMap` and a network drive.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

use sluice_core::retry::Backoff;
use sluice_policy::{Cancel, DropGuard, Policy, PolicyHost};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::policy_files::PolicyFiles;

/// How often to look.
const LOOK: Duration = Duration::from_millis(500);
/// First pause before what could not be loaded for a reason that may pass is loaded again, and the longest: a component that
/// is made to keep the compiler busy must not do so all day.
const AGAIN: Backoff = Backoff::new(Duration::from_mins(1), Duration::from_hours(1));

/// What came of new files.
pub(super) enum Offer {
    /// A policy that was loaded. Whether it may take over is for the planner to find out.
    Policy(Box<Policy>),
    /// It cannot be loaded, for this reason.
    Refused(String),
}

/// The policy's files, and the load that is under way.
pub(super) struct Files {
    paths: PolicyFiles,
    host: PolicyHost,
    /// What was loaded last, or is being loaded.
    loaded: Prints,
    load: Option<Loading>,
    /// When to load the same once more.
    again: Option<Instant>,
    /// How often that was done.
    repeated: u32,
    /// Why it was refused last, so that the same is said once.
    refused: Option<String>,
}

struct Loading {
    task: JoinHandle<Result<Policy, LoadError>>,
    wanted: DropGuard,
}

/// Why files cannot be loaded.
struct LoadError {
    text: String,
    /// They are not to blame, as far as one can tell.
    may_pass: bool,
}

impl Files {
    /// Begins to load what there is now.
    pub(super) fn load(files: PolicyFiles, host: PolicyHost) -> Self {
        let loaded = Prints::of(&files);
        let mut this = Self { paths: files, host, loaded, load: None, again: None, repeated: 0, refused: None };
        this.begin();
        this
    }

    fn begin(&mut self) {
        let cancel = Cancel::default();
        let wanted = cancel.drop_guard();
        let (files, host) = (self.paths.clone(), self.host.until(cancel));
        let task = spawn_blocking(move || match pipe_among(&files) {
            Some(path) => Err(LoadError { text: format!("{}: a pipe, not a file", path.display()), may_pass: false }),
            None => {
                files.load(&host).map_err(|error| LoadError { text: error.to_string(), may_pass: error.may_pass() })
            }
        });
        (self.load, self.again) = (Some(Loading { task, wanted }), None);
    }

    /// What comes of the load that was begun first, if it comes in time.
    pub(super) async fn first(&mut self, patience: Duration) -> Option<Offer> {
        timeout(patience, self.offer()).await.ok().flatten()
    }

    /// What comes of the load that is under way; none: there is none, or nothing new came of it. May be dropped and asked
    /// again.
    async fn offer(&mut self) -> Option<Offer> {
        let result = (&mut self.load.as_mut()?.task).await;
        self.load = None;
        let trouble = match result {
            Ok(Ok(policy)) => {
                self.refused = None;
                return Some(Offer::Policy(Box::new(policy)));
            }
            Ok(Err(trouble)) => trouble,
            Err(error) => LoadError { text: error.to_string(), may_pass: true },
        };
        self.again = trouble.may_pass.then(|| Instant::now() + AGAIN.after(self.repeated));
        let is_news = self.refused.as_ref() != Some(&trouble.text);
        self.refused = Some(trouble.text.clone());
        is_news.then_some(Offer::Refused(trouble.text))
    }

    /// Ends the load that is under way, and waits for its end.
    async fn abandon(&mut self) {
        if let Some(Loading { task, wanted }) = self.load.take() {
            drop(wanted);
            // What became of it is nobody's concern any more.
            let _ = task.await;
        }
    }

    /// Watches until `stop`.
    pub(super) async fn watch(mut self, offers: mpsc::Sender<Offer>, stop: CancellationToken) -> anyhow::Result<()> {
        let mut clock = interval(LOOK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = self.loaded.clone();
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                offer = self.offer(), if self.load.is_some() => if let Some(offer) = offer {
                    // Fails only when the planner is gone, and then so is the process.
                    let _ = offers.send(offer).await;
                },
                _ = clock.tick() => {
                    let now = Prints::of(&self.paths);
                    // A file that still changes is being written.
                    let is_settled = std::mem::replace(&mut before, now.clone()) == now;
                    self.look(now, is_settled).await;
                }
            }
        }
        self.abandon().await;
        Ok(())
    }

    async fn look(&mut self, now: Prints, is_settled: bool) {
        if now != self.loaded && is_settled {
            info!(policy = ?self.paths.policy, settings = ?self.paths.settings, "the files of the policy changed");
            // What was there before is no longer in the files.
            self.abandon().await;
            (self.loaded, self.repeated, self.refused) = (now, 0, None);
            self.begin();
        } else if self.again.is_some_and(|at| at <= Instant::now()) {
            self.repeated = self.repeated.saturating_add(1);
            self.begin();
        }
    }
}

/// A file that would have to be waited for, perhaps for ever, while later changes go unseen.
fn pipe_among(files: &PolicyFiles) -> Option<&Path> {
    files.files().find(|path| fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo()))
}

/// What tells versions of files apart: size, inode, and time of change in nanoseconds; none: no file.
#[derive(Clone, PartialEq, Eq)]
struct Prints(Vec<Option<(u64, u64, i64, i64)>>);

impl Prints {
    fn of(files: &PolicyFiles) -> Self {
        let print = |path| {
            let meta = fs::metadata(path).ok()?;
            Some((meta.len(), meta.ino(), meta.mtime(), meta.mtime_nsec()))
        };
        Self(files.files().map(print).collect())
    }
}
