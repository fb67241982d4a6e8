//! What Azure's refusals mean: each row of its catalogue of errors becomes one of a few kinds. Pure.
//!
//! The outer code of an error varies, above all of a 429; what it is about is often said by the codes in `details`.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;

use crate::id::ResourceId;

/// Longest text, in characters: it ends up in logs, events and status.
const LONGEST: usize = 400;

/// What a failure means for whoever wanted something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// The same request will fail again.
    Permanent,
    /// An address of the request can never be given: out of the subnet, reserved, malformed.
    BadAddress(IpAddr),
    /// Somebody has an address of the request: the resource `by`, if Azure said so.
    AddressTaken {
        /// The address, if it could be read from the message.
        address: Option<IpAddr>,
        /// Who has it: an interface, a load balancer.
        by: Option<ResourceId>,
    },
    /// Something happened in between: read again and retry now.
    Stale,
    /// The resource, or one that it depends on, is busy: retry when it is not.
    Busy,
    /// There were too many requests: none of the subscription until it has passed.
    Throttled,
    /// Nobody knows whether it was done: read before deciding.
    Unknown,
    /// Somebody has to give permission.
    Forbidden {
        /// What is not allowed.
        action: Option<String>,
        /// Where.
        scope: Option<String>,
    },
    /// The credentials are no good, or there are none.
    Unauthenticated,
    /// The resource is gone.
    Gone,
}

/// A failure of a request to Azure, or of a long-running operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct ArmError {
    /// What it means.
    pub(crate) kind: ErrorKind,
    /// Status of the answer; none: there was no answer, or it is the error of an operation.
    pub(crate) status: Option<u16>,
    /// The code that says most.
    pub(crate) code: Box<str>,
    /// What Azure asked to wait.
    pub(crate) retry_after: Option<Duration>,
    text: Box<str>,
}

impl ArmError {
    /// A failure that is not Azure's.
    pub(crate) fn new(kind: ErrorKind, code: &str, text: &str) -> Self {
        Self { kind, status: None, code: code.into(), retry_after: None, text: shown(text) }
    }

    /// What an answer with a bad status means.
    pub(crate) fn of_answer(status: u16, retry_after: Option<Duration>, body: &str) -> Self {
        let value: Value = serde_json::from_str(body).unwrap_or_default();
        Self::read(Some(status), retry_after, value.get("error").unwrap_or(&Value::Null))
    }

    /// What the error of an operation that ended `Failed` or `Canceled` means.
    pub(crate) fn of_operation(status: &str, error: &Value) -> Self {
        let mut failure = Self::read(None, None, error);
        if status.eq_ignore_ascii_case("Canceled") {
            failure.kind = ErrorKind::Stale;
        }
        if failure.code.is_empty() {
            failure.code = status.into();
        }
        failure.text = shown(&format!("the operation ended {status}: {}", failure.text));
        failure
    }

    fn read(status: Option<u16>, retry_after: Option<Duration>, error: &Value) -> Self {
        let of = |value: &Value, name: &str| {
            // Some codes begin with a blank.
            value.get(name).and_then(Value::as_str).unwrap_or_default().trim().to_owned()
        };
        let outer = (of(error, "code"), of(error, "message"));
        let details = error.get("details").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut said: Vec<(String, String)> =
            details.iter().map(|detail| (of(detail, "code"), of(detail, "message"))).collect();
        said.retain(|(code, _)| !code.is_empty());
        said.push(outer);
        let told = said.iter().find_map(|(code, message)| Some((classify(code, message)?, code, message)));
        let (kind, code, message) = match (told, said.first()) {
            (Some(told), _) => told,
            (None, Some((code, message))) => (by_status(status), code, message),
            (None, None) => return Self::new(by_status(status), "", "no reason given"),
        };
        let kind = if matches!(status, Some(500..)) { ErrorKind::Unknown } else { kind };
        let head = match (status, code.as_str()) {
            (Some(status), "") => format!("HTTP {status}"),
            (_, code) => code.to_owned(),
        };
        let text = if message.is_empty() { head } else { format!("{head}: {message}") };
        Self { kind, status, code: code.as_str().into(), retry_after, text: shown(&text) }
    }
}

fn by_status(status: Option<u16>) -> ErrorKind {
    match status {
        Some(401) => ErrorKind::Unauthenticated,
        Some(403) => ErrorKind::Forbidden { action: None, scope: None },
        Some(404 | 410) => ErrorKind::Gone,
        Some(409 | 412) => ErrorKind::Stale,
        Some(429) => ErrorKind::Throttled,
        // An operation without a known code failed for a reason of Azure's own: it may do better next time.
        None | Some(408 | 500..) => ErrorKind::Unknown,
        Some(_) => ErrorKind::Permanent,
    }
}

/// What a code means whatever the status; none: the status decides.
fn classify(code: &str, message: &str) -> Option<ErrorKind> {
    Some(match code {
        "PrivateIPAddressIsAllocated" | "PrivateIPAddressInUse" => {
            ErrorKind::AddressTaken { address: address_in(message), by: last_id_in(message) }
        }
        "PrivateIPAddressNotInSubnet"
        | "PrivateIPAddressInReservedRange"
        | "InvalidPrivateIPAddressFormat"
        | "PrivateIPAddressNotInAnySubnet" => match address_in(message) {
            Some(address) => ErrorKind::BadAddress(address),
            None => ErrorKind::Permanent,
        },
        "PreconditionFailed"
        | "PreconditionFailedEtagMismatch"
        | "Canceled"
        | "CanceledAndSupersededDueToAnotherOperation" => ErrorKind::Stale,
        "AnotherOperationInProgress"
        | "RetryableErrorDueToAnotherOperation"
        | "ReferencedResourceNotProvisioned"
        | "NicReservedForAnotherVm" => ErrorKind::Busy,
        "AuthorizationFailed" | "LinkedAuthorizationFailed" | "DenyAssignmentAuthorizationFailed" => {
            let (action, scope) = permission_in(code, message);
            ErrorKind::Forbidden { action, scope }
        }
        "ScopeLocked" | "ReadOnlyDisabledSubscription" | "RequestDisallowedByPolicy" => {
            ErrorKind::Forbidden { action: None, scope: None }
        }
        "InvalidAuthenticationToken" | "ExpiredAuthenticationToken" | "AuthenticationFailed" => {
            ErrorKind::Unauthenticated
        }
        "ResourceNotFound" | "ResourceGroupNotFound" | "NotFound" | "SubscriptionNotFound" => ErrorKind::Gone,
        "SubscriptionRequestsThrottled" | "ResourceRequestsThrottled" | "TooManyRequests" => ErrorKind::Throttled,
        code if code.starts_with("RetryableErrorDueTo") => ErrorKind::Throttled,
        _ => return None,
    })
}

/// The first address that a message names by itself, not as part of an identifier or a prefix.
fn address_in(message: &str) -> Option<IpAddr> {
    let mut words = message.split([' ', ',', '\'', '"']);
    words.find_map(|word| word.trim_end_matches('.').parse().ok())
}

/// The last identifier that a message names: of who has the address, after the configuration that asked for it.
fn last_id_in(message: &str) -> Option<ResourceId> {
    let mut ids = message.split([' ', ',', '\'', '"']).filter_map(|word| ResourceId::parse(word.trim_end_matches('.')));
    ids.next()?;
    ids.next_back()
}

/// What is not allowed, and where. The three refusals are worded differently, but each names the action that is
/// missing last, and its scope after that.
fn permission_in(code: &str, message: &str) -> (Option<String>, Option<String>) {
    let quoted = |after: &str, from: usize| {
        let rest = message.get(from..)?;
        let at = rest.find(after)? + after.len();
        let rest = rest.get(at..)?;
        let start = rest.find('\'')? + 1;
        let rest = rest.get(start..)?;
        rest.get(..rest.find('\'')?).map(|text| bounded(text.split(',').next().unwrap_or(text)))
    };
    let action_at = message.rfind("perform action").unwrap_or(0);
    let action = quoted("perform action", action_at);
    let scope = match code {
        "LinkedAuthorizationFailed" => quoted("linked scope(s)", action_at),
        "AuthorizationFailed" => quoted("over scope", action_at),
        _ => quoted("on scope", action_at),
    };
    (action, scope)
}

/// A text that people may see. The address of an operation is as good as a token for it, by what follows its question
/// mark.
fn shown(text: &str) -> Box<str> {
    let mut parts = text.split("://");
    let mut safe = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end =
            part.find(|end: char| end.is_whitespace() || ['\'', '"', ',', ')'].contains(&end)).unwrap_or(part.len());
        let (address, rest) = part.split_at(end);
        safe.push_str("://");
        safe.push_str(address.split('?').next().unwrap_or_default());
        safe.push_str(rest);
    }
    bounded(&safe).into()
}

/// A text on one line, cut where it gets too long.
pub(crate) fn bounded(text: &str) -> String {
    sluice_core::text::bounded(text, LONGEST)
}

#[cfg(test)]
mod tests;
