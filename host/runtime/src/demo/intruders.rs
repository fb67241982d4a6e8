//! Act 5: policies that nobody should run.

use std::collections::BTreeSet;

use anyhow::Result;
use sluice_core::round::{Failure, Round};
use sluice_policy::{CandidateError, PolicyHost, shadow};

use super::forgery;
use super::stage::Stage;

/// Enough for an honest policy here, and soon over for an endless one.
const FUEL: u64 = 100_000_000;

/// Act 5.
pub(super) fn hostile_policies(stage: &mut Stage<'_>, host: &PolicyHost) -> Result<bool> {
    let what = "Each is offered like any other candidate. None gets further than the check that is made for it, and the\n\
                policy in charge stays in charge.";
    stage.act("Hostile policies are refused", what)?;
    let host = host.with_plan_fuel(FUEL);
    let mut intruders = forgery::all()?;
    stage.dice.shuffle(&mut intruders);
    let before = stage.sandbox.observe();
    let active = stage.policy.info().digest.clone();
    for intruder in intruders {
        stage.wait(5_000, 20_000);
        let (name, what) = (intruder.name, intruder.what);
        stage.line("policy-offered", |line| line.reason(&format!("{name}: {what}")))?;
        let refused = offer(stage, &host, &intruder.component)?;
        stage.claim(refused, &format!("{name} was not refused"))?;
    }
    let mut after = stage.sandbox.observe();
    after.now = before.now;
    stage.claim(after == before, "a hostile policy changed the cluster")?;
    stage.claim(stage.policy.info().digest == active, "a hostile policy took over")?;
    let done = stage.rest()?;
    stage.claim(done.is_empty(), "something changed after the hostile policies")?;
    stage.verify()
}

/// Offers a component as a candidate; whether it was refused.
fn offer(stage: &mut Stage<'_>, host: &PolicyHost, component: &[u8]) -> Result<bool> {
    let observed = stage.sandbox.observe();
    let round = Round::prepare(&observed);
    let candidate = match shadow(host, component, "{}", round.policy_input()) {
        Ok(candidate) => candidate,
        Err(error) => {
            let text = match &error {
                CandidateError::Load(error) => format!("load: {error}"),
                CandidateError::Plan(_) => error.to_string(),
            };
            // What follows is where it was stopped, which an operator gets to see elsewhere.
            let first = text.lines().next().unwrap_or_default();
            stage.line("policy-refused", |line| line.reason(first))?;
            return Ok(true);
        }
    };
    let outcome = round.finish(&observed, Ok(candidate.shadow.plan), &BTreeSet::new());
    match outcome.failure() {
        Some(Failure::Rejected(rejection)) => {
            for finding in &rejection.findings {
                stage.line("plan-rejected", |mut line| {
                    line.owner = finding.owner.as_ref().map(ToString::to_string);
                    line.reason(&finding.to_string())
                })?;
            }
            stage.line("policy-refused", |line| line.reason("verify: its plan breaks an invariant"))?;
            Ok(true)
        }
        Some(Failure::Policy(_) | Failure::Unmatched(_)) | None => Ok(false),
    }
}
