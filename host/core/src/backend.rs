//! What a cluster must offer so that plans can be made from it and applied to it. The real API server and the sandbox
//! stand behind the same trait.

use std::future::Future;
use std::time::Duration;

use crate::network::Write;

/// Applies writes. Every write carries a precondition and a deadline.
pub trait Backend: Sync {
    /// Applies one write to the object as it was when the schedule was made, or as our own last write left it.
    ///
    /// A `resource_version` that is no longer current must give [`WriteFailure::Conflict`] and change nothing.
    fn write(
        &self,
        write: &Write,
        resource_version: &str,
    ) -> impl Future<Output = Result<Written, WriteFailure>> + Send;
}

/// What a write left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Precondition of the next write to the same object.
    pub resource_version: String,
}

/// Why a write did not happen, or may not have. Each is answered by looking again and planning again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteFailure {
    /// Somebody else changed the object.
    #[error("the object was changed by somebody else")]
    Conflict,
    /// The object is gone.
    #[error("the object is gone")]
    NotFound,
    /// Not allowed: needs a human.
    #[error("not allowed: {0}")]
    Denied(String),
    /// The server refused the content: needs a human.
    #[error("refused: {0}")]
    Invalid(String),
    /// The server asks for patience.
    #[error("throttled by the server")]
    Throttled {
        /// How long, if it said.
        retry_after: Option<Duration>,
    },
    /// The network or the server failed; the write may have happened.
    #[error("failed: {0}")]
    Transient(String),
}
