//! A long-running operation: what an accepted write still has before it. Pure; the requests are somebody else's.

use std::time::Duration;

use serde_json::Value;

use crate::arm::{ArmError, ErrorKind};

/// An operation that takes longer is left to itself. The longest recorded update of an interface took 198 s; incidents
/// of 8 to 10 minutes are told of.
const DEADLINE: Duration = Duration::from_mins(10);

/// Between two looks, if Azure does not say.
const INTERVAL: Duration = Duration::from_secs(10);

/// Longest wait between two looks, whatever Azure says.
const LONGEST: Duration = Duration::from_mins(1);

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait that long, then ask how it goes.
    Wait(Duration),
    /// It ended well, or it has no end to tell of: the interface's own state is to be read.
    Look,
    /// It ended badly.
    Failed(ArmError),
}

/// An operation that is being watched.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// Where to ask. It carries signed parameters and is used as it came.
    pub(crate) url: String,
    deadline: Duration,
}

impl Operation {
    /// The operation of an accepted write. None: there is nothing to wait for, the interface's state says it all.
    ///
    /// Some writes name an operation although they are done, and some that are not done name none.
    pub(crate) fn accepted(
        url: Option<String>,
        retry_after: Option<Duration>,
        body: &str,
        now: Duration,
    ) -> Option<(Self, Step)> {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let state = body.pointer("/properties/provisioningState").and_then(Value::as_str);
        if state == Some("Succeeded") {
            return None;
        }
        let operation = Self { url: url?, deadline: now + DEADLINE };
        let step = operation.wait(retry_after, now);
        Some((operation, step))
    }

    fn wait(&self, retry_after: Option<Duration>, now: Duration) -> Step {
        let left = self.deadline.saturating_sub(now);
        if left.is_zero() {
            let text = format!("the operation has not ended after {} s", DEADLINE.as_secs());
            return Step::Failed(ArmError::new(ErrorKind::Unknown, "OperationTimedOut", &text));
        }
        let span = retry_after.unwrap_or(INTERVAL).clamp(Duration::from_secs(1), LONGEST);
        Step::Wait(span.min(left))
    }

    /// What an answer to the question how it goes means.
    pub(crate) fn answered(&self, answer: &Value, retry_after: Option<Duration>, now: Duration) -> Step {
        let status = answer.get("status").and_then(Value::as_str).unwrap_or_default();
        match status {
            "Succeeded" => Step::Look,
            "Failed" | "Canceled" => {
                Step::Failed(ArmError::of_operation(status, answer.get("error").unwrap_or(&Value::Null)))
            }
            _ => self.wait(retry_after, now),
        }
    }

    /// What it means that there was no answer to the question.
    pub(crate) fn not_answered(&self, error: &ArmError, now: Duration) -> Step {
        match error.kind {
            // It is forgotten, or ours to see no longer.
            ErrorKind::Gone | ErrorKind::Forbidden { .. } | ErrorKind::Permanent => Step::Look,
            _ => self.wait(error.retry_after, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const UPDATING: &str = r#"{"properties":{"provisioningState":"Updating"}}"#;

    fn operation() -> Operation {
        Operation::accepted(Some("https://arm/op".to_owned()), None, UPDATING, s(0)).unwrap().0
    }

    #[test]
    fn the_waits_that_azure_asks_for_are_kept() {
        let url = Some("https://arm/op".to_owned());
        let (operation, step) = Operation::accepted(url, Some(s(12)), UPDATING, s(0)).unwrap();
        assert_eq!(step, Step::Wait(s(12)));
        let running = json!({"status": "InProgress"});
        assert_eq!(operation.answered(&running, Some(s(2)), s(12)), Step::Wait(s(2)));
        assert_eq!(operation.answered(&running, None, s(14)), Step::Wait(s(10)));
        assert_eq!(operation.answered(&running, Some(s(0)), s(14)), Step::Wait(s(1)));
        assert_eq!(operation.answered(&json!({"status": "Succeeded"}), None, s(20)), Step::Look);
    }

    #[test]
    fn there_may_be_nothing_to_wait_for() {
        let done = r#"{"properties":{"provisioningState":"Succeeded"}}"#;
        assert!(Operation::accepted(Some("https://arm/op".to_owned()), None, done, s(0)).is_none());
        assert!(Operation::accepted(None, Some(s(10)), UPDATING, s(0)).is_none());
    }

    #[test]
    fn a_bad_end_keeps_code_and_message() {
        let error = json!({"code": " InternalServerError", "message": "An error occurred.", "details": []});
        let Step::Failed(error) = operation().answered(&json!({"status": "Failed", "error": error}), None, s(1)) else {
            panic!("not failed");
        };
        assert_eq!(&*error.code, "InternalServerError");
        assert_eq!(error.to_string(), "the operation ended Failed: InternalServerError: An error occurred.");
        assert_eq!(error.kind, ErrorKind::Unknown);
        let Step::Failed(error) = operation().answered(&json!({"status": "Canceled"}), None, s(1)) else {
            panic!("not failed");
        };
        assert_eq!(error.kind, ErrorKind::Stale);
    }

    #[test]
    fn a_forgotten_operation_is_judged_by_the_interface() {
        let gone = ArmError::of_answer(404, None, r#"{"error":{"code":"NotFound","message":"x"}}"#);
        assert_eq!(operation().not_answered(&gone, s(1)), Step::Look);
        let busy = ArmError::of_answer(503, Some(s(5)), "");
        assert_eq!(operation().not_answered(&busy, s(1)), Step::Wait(s(5)));
    }

    #[test]
    fn it_is_not_waited_for_for_ever() {
        let running = json!({"status": "InProgress"});
        assert_eq!(operation().answered(&running, None, s(595)), Step::Wait(s(5)));
        let Step::Failed(error) = operation().answered(&running, None, s(600)) else { panic!("not failed") };
        assert_eq!(&*error.code, "OperationTimedOut");
    }
}
