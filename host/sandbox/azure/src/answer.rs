//! Answers, and the two families of error bodies: those of ARM itself and those of the network provider behind it.

use serde_json::{Value, json};

/// An answer to a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
}

impl Answer {
    /// An answer with a body.
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Some(body) }
    }

    /// An answer without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: None }
    }

    /// An error of ARM: no `details`.
    pub(crate) fn arm(status: u16, code: &str, message: &str) -> Self {
        Self::new(status, json!({"error": {"code": code, "message": message}}))
    }

    /// An error of Microsoft.Network: with `details`, mostly empty.
    pub(crate) fn network(status: u16, code: &str, message: &str, details: &[(&str, &str)]) -> Self {
        Self::new(status, json!({"error": error(code, message, details)}))
    }

    /// A 429 whose outer code says little and whose inner code says why.
    pub(crate) fn retryable(code: &str, message: &str, retry_after: u64) -> Self {
        let outer = "A retryable error occurred.";
        Self::network(429, "RetryableError", outer, &[(code, message)]).with("retry-after", &retry_after)
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: &'static str, value: &(impl ToString + ?Sized)) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Adds a header that may be absent.
    pub(crate) fn with_some(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, &value),
            None => self,
        }
    }
}

/// An error with details.
pub(crate) fn error(code: &str, message: &str, details: &[(&str, &str)]) -> Value {
    let details: Vec<Value> = details.iter().map(|(code, message)| json!({"code": code, "message": message})).collect();
    json!({"code": code, "message": message, "details": details})
}
