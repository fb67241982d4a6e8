//! What can be chosen about the simulated cloud.

use crate::throttle::Limits;

/// What can be chosen; everything but `seed` and `scale` may also be changed while the simulator runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Seed of GUIDs and durations.
    pub seed: u64,
    /// Virtual seconds in a real one.
    pub scale: u32,
    /// How long an update of an attached NIC takes.
    pub duration: Span,
    /// What a second write to a busy NIC meets.
    pub conflict: Conflict,
    /// How long after the end of its release an address stays refused, in milliseconds.
    pub release_lag_ms: u64,
    /// `Retry-After` of an accepted update, in seconds.
    pub put_retry_after: Option<u64>,
    /// `Retry-After` of a poll of a running operation, in seconds.
    pub poll_retry_after: Option<u64>,
    /// Whether a finished write to an unattached NIC names an operation all the same.
    pub unattached_operation: bool,
    /// Whether operation URLs carry the signed parameters `t`, `c`, `s` and `h`.
    pub signed_operations: bool,
    /// How long after its end an operation can be asked for, in milliseconds.
    pub operation_life_ms: u64,
    /// Resources on a page of a list.
    pub page_size: usize,
    /// What a subnet says of the configurations in it.
    pub members: Members,
    /// The throttling limits.
    pub limits: Limits,
    /// How long a token lives, in seconds.
    pub token_life_s: u64,
    /// How `expires_in` is written.
    pub expires_in: ExpiresIn,
    /// Whether "not found" ends with the help link that ARM adds since about 2020.
    pub help_links: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            scale: 1000,
            duration: Span::Drawn,
            conflict: Conflict::Retryable,
            release_lag_ms: 0,
            put_retry_after: Some(10),
            poll_retry_after: Some(10),
            unattached_operation: true,
            signed_operations: true,
            operation_life_ms: 24 * 3_600_000,
            page_size: 100,
            members: Members::Listed,
            limits: Limits::default(),
            token_life_s: 3599,
            expires_in: ExpiresIn::Number,
            help_links: true,
        }
    }
}

/// How long an update of an attached NIC takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Span {
    /// Drawn for each update: 30 s to 198 s, median 71 s, nine of ten within 83 s, as in 39 recorded updates.
    Drawn,
    /// Always as long, in milliseconds.
    Fixed(u64),
}

/// What a second write to a busy NIC meets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Conflict {
    /// 429 `RetryableError`, with a `Retry-After`.
    Retryable,
    /// 409 `AnotherOperationInProgress`.
    AnotherOperation,
    /// It is accepted, and the earlier operation ends `Canceled`.
    Supersede,
}

/// What a subnet says of the configurations in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Members {
    /// Lists them.
    Listed,
    /// Says `null`, as Azure does when there are many.
    Null,
}

/// How `expires_in` of a token is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ExpiresIn {
    /// As a number.
    Number,
    /// As a string of digits.
    Text,
}
