//! Where a policy comes from, and the part of a swap that needs no cluster.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sluice_core::snapshot::Snapshot;

use crate::error::{CallError, LoadError};
use crate::host::PolicyHost;
use crate::policy::{Planned, Policy};

/// Why a component could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file system said no.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Larger than any component may be; reading stopped there.
    #[error("{}: larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
}

/// Reads a component from a file, and not a byte more than the limit allows.
pub fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>, SourceError> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(SourceError::Unreadable { path: path.to_owned(), error }),
        Ok(_) if bytes.len() > limit => Err(SourceError::TooLarge { path: path.to_owned(), limit }),
        Ok(_) => Ok(bytes),
    }
}

/// A policy that could take over: loaded, and it planned from the live snapshot once. Whether that plan is good, and
/// whether it moves too much, is for the caller to judge before the swap.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The policy.
    pub policy: Policy,
    /// What it would do now; never applied.
    pub shadow: Planned,
}

/// Why a component is no candidate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CandidateError {
    /// It cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It cannot plan.
    #[error("shadow plan: {0}")]
    Plan(CallError),
}

/// Loads a policy and lets it plan from the snapshot, without consequences. Blocks like [`PolicyHost::load`].
pub fn shadow(
    host: &PolicyHost,
    component: &[u8],
    settings: &str,
    snapshot: &Snapshot,
) -> Result<Candidate, CandidateError> {
    let policy = host.load(component, settings)?;
    let shadow = policy.plan(snapshot).map_err(CandidateError::Plan)?;
    Ok(Candidate { policy, shadow })
}
