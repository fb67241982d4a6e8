//! Whose a Lease is, judged by what is seen of it and when. Pure: the time is told.
//!
//! The algorithm is that of Kubernetes' own client (client-go, `tools/leaderelection`). What a Lease says of the time was
//! read from another machine's clock and counts for nothing: a lease ends once it has not changed for its duration while
//! we looked. Our own ends by our clock, from the moment at which the last write that succeeded was *sent*, and earlier
//! than others may take it. Each write carries the version that it is based on, so that of two candidates one wins.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A lease that does not change for so long is free.
pub(super) const DURATION: Duration = Duration::from_secs(15);
/// So long after the last successful renewal was sent we write no more. Others wait [`DURATION`], from later on.
pub(super) const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// The longest duration that is believed of somebody else's lease: one that was mistyped must not bind for years.
const LONGEST: Duration = Duration::from_mins(1);

/// One candidate's view of the lease.
#[derive(Debug)]
pub(super) struct Election {
    name: String,
    /// None: it was not there, or we have not looked.
    seen: Option<Seen>,
    leads_until: Option<Instant>,
}

#[derive(Debug)]
struct Seen {
    version: String,
    spec: LeaseSpec,
    /// When it was first seen to say this.
    since: Instant,
}

/// What to do about the lease.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Somebody else has it.
    Wait,
    /// It is not there: create it with this spec.
    Create(LeaseSpec),
    /// It is ours or free: a merge patch, which is refused if the lease is no longer what was seen.
    Patch(Value),
}

impl Election {
    pub(super) fn new(name: String) -> Self {
        Self { name, seen: None, leads_until: None }
    }

    /// Takes in what is there; none: no such object. Whoever sees that the lease is another's, or gone so that anybody may
    /// create it, leads no more.
    pub(super) fn look(&mut self, found: Option<Lease>, now: Instant) {
        self.seen = found.map(|lease| {
            let spec = lease.spec.unwrap_or_default();
            // A change of labels is no sign of life.
            let unchanged = self.seen.as_ref().filter(|seen| seen.spec == spec);
            let since = unchanged.map_or(now, |seen| seen.since);
            Seen { version: lease.metadata.resource_version.unwrap_or_default(), spec, since }
        });
        if !self.is_ours() {
            self.leads_until = None;
        }
    }

    /// What to do now. `clock` is what the lease will tell people, and nothing else.
    pub(super) fn next(&self, now: Instant, clock: Timestamp) -> Step {
        let clock = Some(MicroTime(clock));
        let renewal = LeaseSpec {
            holder_identity: Some(self.name.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            renew_time: clock.clone(),
            ..LeaseSpec::default()
        };
        let Some(seen) = &self.seen else {
            return Step::Create(LeaseSpec { acquire_time: clock, lease_transitions: Some(0), ..renewal });
        };
        if self.is_ours() {
            return Step::Patch(patch(&seen.version, &json!(renewal)));
        }
        if seen.holder().is_some() && now < seen.since + seen.duration() {
            return Step::Wait;
        }
        let transitions = seen.spec.lease_transitions.unwrap_or(0).saturating_add(1);
        let taken = LeaseSpec { acquire_time: clock, lease_transitions: Some(transitions.max(0)), ..renewal };
        Step::Patch(patch(&seen.version, &json!(taken)))
    }

    /// A step of ours, sent at that time, succeeded with this answer.
    pub(super) fn written(&mut self, answer: Lease, sent: Instant) {
        self.look(Some(answer), sent);
        if self.is_ours() {
            self.leads_until = Some(sent + RENEW_DEADLINE);
        }
    }

    /// Until when we lead; none: we do not.
    pub(super) fn leads_until(&self) -> Option<Instant> {
        self.leads_until
    }

    /// The merge patch that gives the lease back, if it is ours as far as we know.
    pub(super) fn release(&self) -> Option<Value> {
        let seen = self.seen.as_ref().filter(|_| self.is_ours())?;
        Some(patch(&seen.version, &json!({ "holderIdentity": null })))
    }

    fn is_ours(&self) -> bool {
        self.seen.as_ref().and_then(Seen::holder) == Some(&self.name)
    }
}

impl Seen {
    fn holder(&self) -> Option<&str> {
        self.spec.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }

    fn duration(&self) -> Duration {
        let said = self.spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        said.map_or(DURATION, Duration::from_secs).clamp(DURATION, LONGEST)
    }
}

fn patch(version: &str, spec: &Value) -> Value {
    json!({ "metadata": { "resourceVersion": version }, "spec": spec })
}

#[cfg(test)]
mod tests;
