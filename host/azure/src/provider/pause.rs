//! How long an interface is left alone after a failure, and whether people are told. Pure.

use std::time::Duration;

use sluice_core::name::NodeName;
use sluice_core::retry::Backoff;

use crate::arm::{ArmError, ErrorKind};
use crate::id::ResourceId;

/// A rest after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) span: Duration,
    pub(crate) complaint: Option<String>,
}

/// What was found out about who is to blame for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// Nothing.
    Unknown,
    /// It is among fewer addresses, which are tried next.
    Narrowed,
    /// An address, which is left out the next time.
    Found,
}

/// The rest after the `count`th failure in a row. What Azure wishes holds, unless that would be too soon.
pub(crate) fn after(error: &ArmError, count: u32, blame: Blame) -> Pause {
    let told = error.retry_after.unwrap_or_default();
    let secs = Duration::from_secs;
    let growing = |first: u64, most: u64| Backoff::new(secs(first), secs(most)).after(count.saturating_sub(1));
    let (span, tell_from) = match &error.kind {
        // Something else happened in between: that is usual, as long as it does not go on.
        ErrorKind::Stale => (told.max(growing(1, 60)), 5),
        ErrorKind::Busy if &*error.code == "NicReservedForAnotherVm" => {
            (error.retry_after.unwrap_or(secs(180)).max(growing(10, 180)), 2)
        }
        ErrorKind::Busy => (told.max(growing(10, 60)), 10),
        // The complaint about throttling is the whole subscription's.
        ErrorKind::Throttled => (error.retry_after.unwrap_or(secs(10)).max(growing(1, 60)), u32::MAX),
        ErrorKind::AddressTaken { .. } | ErrorKind::BadAddress(_) if blame == Blame::Found => {
            (Duration::ZERO, u32::MAX)
        }
        ErrorKind::AddressTaken { .. } | ErrorKind::BadAddress(_) => (growing(10, 300), 2),
        ErrorKind::Unknown if error.status.is_none() && &*error.code != "NoAnswer" => (told.max(growing(5, 120)), 1),
        ErrorKind::Unknown => (told.max(growing(5, 120)), 2),
        ErrorKind::Permanent | ErrorKind::Gone => (growing(10, 300), 1),
        ErrorKind::Forbidden { .. } => (secs(300), 1),
        ErrorKind::Unauthenticated => (growing(15, 120), 1),
    };
    let span = if blame == Blame::Narrowed { span.min(secs(1)) } else { span };
    Pause { span, complaint: (count >= tell_from).then(|| words(error)) }
}

/// For people: why addresses do not join a pool that the machine's own address is in.
pub(crate) fn passed_over(pool: &ResourceId) -> String {
    format!(
        "egress addresses do not join {pool}: it has an outbound rule, which Azure allows for the machines' own addresses \
         only, or cannot be read"
    )
}

/// For people: that load balancers send requests to an address of ours, and how to end that. `pools` has at least one.
pub(crate) fn membership(node: &NodeName, interface: &ResourceId, configuration: &str, pools: &[ResourceId]) -> String {
    let names: Vec<&str> = pools.iter().filter_map(|pool| pool.as_str().rsplit('/').next()).collect();
    let commands = pools.iter().map(|pool| {
        format!(
            "az network nic ip-config address-pool remove -g {} --nic-name {} --ip-config-name {configuration} \
             --address-pool {pool}",
            interface.group(),
            interface.name()
        )
    });
    let commands: Vec<String> = commands.collect();
    format!(
        "{configuration} on {node} is a backend of load balancer pool {}; {}",
        names.join(", "),
        commands.join("; ")
    )
}

/// A failure for people.
pub(crate) fn words(error: &ArmError) -> String {
    match &error.kind {
        ErrorKind::Forbidden { action: Some(action), scope: Some(scope) } => {
            format!("not allowed: {action} on {scope} ({})", error.code)
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, code: &str, retry_after: Option<u64>) -> ArmError {
        let body = format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#);
        ArmError::of_answer(status, retry_after.map(Duration::from_secs), &body)
    }

    #[test]
    fn a_conflict_is_tried_again_at_once_and_told_only_if_it_goes_on() {
        let conflict = error(412, "PreconditionFailed", None);
        assert_eq!(after(&conflict, 1, Blame::Unknown), Pause { span: Duration::from_secs(1), complaint: None });
        assert_eq!(after(&conflict, 4, Blame::Unknown).complaint, None);
        assert!(after(&conflict, 5, Blame::Unknown).complaint.is_some());
        assert_eq!(after(&conflict, 99, Blame::Unknown).span, Duration::from_mins(1));
    }

    #[test]
    fn azure_s_wish_is_kept() {
        assert_eq!(after(&error(429, "TooManyRequests", Some(39)), 1, Blame::Unknown).span, Duration::from_secs(39));
        assert_eq!(after(&error(503, "ServerTimeout", Some(7)), 1, Blame::Unknown).span, Duration::from_secs(7));
    }

    #[test]
    fn nothing_is_tried_again_at_once_for_ever() {
        for (status, code) in [(409, "X"), (412, "X"), (503, "X"), (429, "RetryableErrorDueToAnotherOperation")] {
            let hasty = error(status, code, Some(0));
            assert!(after(&hasty, 1, Blame::Unknown).span >= Duration::from_secs(1), "{status} {code}");
            assert!(after(&hasty, 9, Blame::Unknown).span >= Duration::from_mins(1), "{status} {code}");
        }
        let bad = ArmError::new(ErrorKind::BadAddress([10, 0, 0, 1].into()), "X", "m");
        assert_eq!(after(&bad, 1, Blame::Found), Pause { span: Duration::ZERO, complaint: None });
        assert_eq!(after(&bad, 1, Blame::Unknown).span, Duration::from_secs(10), "it is not one of the change");
        assert!(after(&bad, 2, Blame::Unknown).complaint.is_some());
    }

    #[test]
    fn what_only_people_can_mend_is_tried_slowly() {
        assert_eq!(after(&error(403, "AuthorizationFailed", None), 1, Blame::Unknown).span, Duration::from_mins(5));
        assert_eq!(after(&error(400, "SubnetIsFull", None), 1, Blame::Unknown).span, Duration::from_secs(10));
        assert_eq!(after(&error(400, "SubnetIsFull", None), 9, Blame::Unknown).span, Duration::from_mins(5));
        assert_eq!(after(&error(400, "SubnetIsFull", None), 1, Blame::Unknown).complaint.unwrap(), "SubnetIsFull: m");
    }
}
