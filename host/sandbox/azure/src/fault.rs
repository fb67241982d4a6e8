//! Faults to inject, and permissions to withhold.

use crate::answer::Answer;
use crate::token::refuse;

/// A fault: what goes wrong, for which requests, and how often.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The method it meets; any if none.
    pub method: Option<String>,
    /// What the path contains, in any case; all if empty.
    pub path: String,
    /// How many requests it meets.
    pub times: u32,
    /// The virtual time from which it meets none; never if none.
    pub until: Option<u64>,
    /// What goes wrong.
    pub what: Wrong,
}

impl Fault {
    /// A fault that meets one request.
    pub fn once(method: &str, path: &str, what: Wrong) -> Self {
        Self { method: Some(method.to_owned()), path: path.to_owned(), times: 1, until: None, what }
    }

    /// The same, for this many requests.
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// The same, for all requests before a virtual time.
    pub fn until(self, now: u64) -> Self {
        Self { times: u32::MAX, until: Some(now), ..self }
    }

    fn meets(&self, now: u64, method: &str, path: &str) -> bool {
        self.times > 0
            && self.until.is_none_or(|until| now < until)
            && self.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && path.to_ascii_lowercase().contains(&self.path.to_ascii_lowercase())
    }
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Wrong {
    /// 429 with a code, details of (code, message), and a `Retry-After` in seconds.
    Throttled {
        /// The outer code.
        code: String,
        /// The inner codes and messages.
        details: Vec<(String, String)>,
        /// `Retry-After`, in seconds.
        retry_after: u64,
    },
    /// An error with this status, e.g. 503 `ServerTimeout`; nothing is done. Of the token endpoint it has the form of
    /// that endpoint's errors.
    Refused {
        /// The status.
        status: u16,
        /// The code.
        code: String,
        /// The message.
        message: String,
    },
    /// 307: the same can be had at this address.
    Redirected(String),
    /// An error with this status, although the request is carried out.
    FailedAfter {
        /// The status.
        status: u16,
        /// The code.
        code: String,
    },
    /// The connection closes without an answer; nothing is done.
    DroppedBefore,
    /// The connection closes without an answer, although the request is carried out.
    DroppedAfter,
    /// The answer comes late, by virtual milliseconds.
    Slow(u64),
    /// A write is accepted, and its operation ends badly.
    Operation(Ending),
    /// A write is accepted, and its operation can never be asked for: 404.
    OperationGone,
}

/// How an operation ends that does not succeed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ending {
    /// `Failed`; the NIC is left `Failed`.
    Failed {
        /// The code of the operation's error.
        code: String,
        /// Its message.
        message: String,
        /// Whether the change stays.
        applied: bool,
    },
    /// `Canceled`; the NIC is left `Failed` if the change stays, else as it was.
    Canceled {
        /// Whether the error says that another operation superseded it.
        superseded: bool,
        /// Whether the change stays.
        applied: bool,
    },
}

/// All faults.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that a request meets: the oldest that fits.
    pub(crate) fn meet(&mut self, now: u64, method: &str, path: &str) -> Option<Wrong> {
        let fault = self.0.iter_mut().find(|fault| fault.meets(now, method, path))?;
        fault.times -= 1;
        let what = fault.what.clone();
        self.0.retain(|fault| fault.times > 0);
        Some(what)
    }
}

impl Wrong {
    /// The answer that takes the place of doing anything, of Resource Manager or of the token endpoint.
    pub(crate) fn answer(&self, token: bool) -> Option<Answer> {
        match self {
            Self::Throttled { code, details, retry_after } => {
                let details: Vec<(&str, &str)> = details.iter().map(|(code, text)| (&**code, &**text)).collect();
                let answer = Answer::network(429, code, "A retryable error occurred.", &details);
                Some(answer.with("retry-after", retry_after))
            }
            Self::Refused { status, code, message } if token => Some(refuse(*status, code, message)),
            Self::Refused { status, code, message } => Some(Answer::arm(*status, code, message)),
            Self::Redirected(to) => Some(Answer::arm(307, "Redirected", "It is elsewhere.").with("location", to)),
            _ => None,
        }
    }
}

/// A permission that is withheld.
#[derive(Clone, Debug)]
pub struct Denial {
    /// The action, e.g. `Microsoft.Network/networkInterfaces/write`, in any case.
    pub action: String,
    /// The scope: what ids begin with, in any case.
    pub scope: String,
    /// Why.
    pub reason: Reason,
}

/// Why a permission is withheld: which of the three 403 it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// No role gives it: `AuthorizationFailed`, or `LinkedAuthorizationFailed` for the `join` of what a NIC refers to.
    Role,
    /// A deny assignment takes it, as in the managed resource group of ARO: `DenyAssignmentAuthorizationFailed`.
    DenyAssignment,
}

impl Denial {
    /// Whether it withholds an action on a resource.
    pub(crate) fn covers(&self, action: &str, id: &str) -> bool {
        let inside = id.get(..self.scope.len()).is_some_and(|start| start.eq_ignore_ascii_case(&self.scope));
        self.action.eq_ignore_ascii_case(action) && inside
    }

    /// The 403; `linked` is the permission that the caller does have, and its scope.
    pub(crate) fn answer(&self, client: &str, id: &str, linked: Option<(&str, &str)>) -> Answer {
        let action = &self.action;
        let client = format!("The client '{client}' with object id '{client}'");
        match (self.reason, linked) {
            (Reason::Role, None) => Answer::arm(
                403,
                "AuthorizationFailed",
                &format!(
                    "{client} does not have authorization to perform action '{action}' over scope '{id}' or the scope \
                     is invalid. If access was recently granted, please refresh your credentials."
                ),
            ),
            (Reason::Role, Some((has, scope))) => Answer::arm(
                403,
                "LinkedAuthorizationFailed",
                &format!(
                    "{client} has permission to perform action '{has}' on scope '{scope}'; however, it does not have \
                     permission to perform action '{action}' on the linked scope(s) '{id}' or the linked scope(s) are \
                     invalid."
                ),
            ),
            (Reason::DenyAssignment, _) => Answer::arm(
                403,
                "DenyAssignmentAuthorizationFailed",
                &format!(
                    "{client} has permission to perform action '{action}' on scope '{id}'; however, the access is \
                     denied because of the deny assignment with name 'simulated' at scope '{}'.",
                    self.scope
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_meets_as_many_requests_as_it_says() {
        let mut faults = Faults::default();
        faults.add(Fault::once("PUT", "/networkInterfaces/", Wrong::DroppedBefore).times(2));
        assert!(faults.meet(0, "GET", "/x/networkInterfaces/a").is_none());
        assert!(faults.meet(0, "PUT", "/x/networkinterfaces/a").is_some());
        assert!(faults.meet(0, "PUT", "/x/networkInterfaces/b").is_some());
        assert!(faults.meet(0, "PUT", "/x/networkInterfaces/b").is_none());
    }

    #[test]
    fn a_fault_ends_at_its_time() {
        let mut faults = Faults::default();
        faults.add(Fault::once("PUT", "", Wrong::DroppedBefore).until(1_200_000));
        assert!(faults.meet(1_199_999, "PUT", "/").is_some());
        assert!(faults.meet(1_200_000, "PUT", "/").is_none());
    }

    #[test]
    fn denials_cover_what_is_below_their_scope() {
        let denial = Denial {
            action: "Microsoft.Network/networkInterfaces/write".to_owned(),
            scope: "/subscriptions/s/resourceGroups/aro".to_owned(),
            reason: Reason::DenyAssignment,
        };
        let action = "microsoft.network/networkinterfaces/write";
        assert!(denial.covers(action, "/subscriptions/s/resourcegroups/aro/providers/x"));
        assert!(!denial.covers(action, "/subscriptions/s/resourceGroups/other"));
        let body = denial.answer("me", "/subscriptions/s/resourceGroups/aro", None).body.unwrap();
        assert_eq!(body["error"]["code"], "DenyAssignmentAuthorizationFailed");
    }
}
