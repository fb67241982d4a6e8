//! Watches the files of the policy, and offers what is new in them.
//!
//! Files are looked at, not subscribed to: that works alike for a renamed file, a mounted `ConfigMap` and a network drive.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

use sluice_policy::{Policy, PolicyHost};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::policy_files::PolicyFiles;

/// How often to look.
const LOOK: Duration = Duration::from_millis(500);

/// What came of new files.
pub(super) enum Offer {
    /// A policy that was loaded. Whether it may take over is for the planner to find out.
    Policy(Box<Policy>),
    /// It cannot be loaded, for this reason.
    Refused(String),
}

/// Watches until `stop`.
pub(super) async fn watch(
    files: PolicyFiles,
    host: PolicyHost,
    offers: mpsc::Sender<Offer>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut clock = interval(LOOK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut loaded = Prints::of(&files);
    let mut before = loaded.clone();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = clock.tick() => {}
        }
        let now = Prints::of(&files);
        // A file that still changes is being written.
        let is_settled = std::mem::replace(&mut before, now.clone()) == now;
        if now == loaded || !is_settled {
            continue;
        }
        loaded = now;
        info!(policy = ?files.policy, settings = ?files.settings, "the files of the policy changed");
        let offer = match pipe_among(&files) {
            Some(path) => Offer::Refused(format!("{}: a pipe, not a file", path.display())),
            None => load(files.clone(), host.clone()).await?,
        };
        // Fails only when the planner is gone, and then so is the process.
        let _ = offers.send(offer).await;
    }
}

/// A file that would have to be waited for, perhaps for ever, while later changes go unseen.
fn pipe_among(files: &PolicyFiles) -> Option<&Path> {
    files.files().find(|path| fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo()))
}

async fn load(files: PolicyFiles, host: PolicyHost) -> anyhow::Result<Offer> {
    Ok(match spawn_blocking(move || files.load(&host)).await? {
        Ok(policy) => Offer::Policy(Box::new(policy)),
        Err(error) => Offer::Refused(error.to_string()),
    })
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
