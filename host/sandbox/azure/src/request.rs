//! Requests as the core sees them.

use std::fmt;

use serde_json::{Value, json};

use crate::answer::Answer;

/// A request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path, without the query.
    pub(crate) path: String,
    /// The query as it came.
    pub(crate) query: String,
    /// The bearer token.
    pub(crate) bearer: Option<String>,
    pub(crate) if_match: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A parameter of the query; names in any case, as ARM has it.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.into_owned())
    }

    /// The body as the log has it. Of a request for a token it is what the token is to be good for, and nothing else.
    pub(crate) fn shown(&self) -> Option<Value> {
        if self.path.contains("/oauth2/") {
            let scope = form_urlencoded::parse(&self.body).find(|(name, _)| name == "scope")?.1;
            return Some(json!({"scope": scope}));
        }
        serde_json::from_slice(&self.body).ok()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value, Answer> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let message = format!("The request content was invalid and could not be deserialized: '{error}'.");
            Answer::arm(400, "InvalidRequestContent", &message)
        })
    }
}

/// What comes of a request.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// The answer; none if the connection closes without one.
    pub(crate) answer: Option<Answer>,
    /// How late it is, in virtual milliseconds.
    pub(crate) late: u64,
}

/// A request that came, for tests to count and to look at. Credentials are not kept.
#[derive(Clone, Debug)]
pub struct Logged {
    /// When it came, in virtual milliseconds.
    pub at: u64,
    /// Whose token it had, if that was valid.
    pub principal: Option<String>,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The status of the answer; none if the connection was closed without one.
    pub status: Option<u16>,
    /// The `If-Match` header.
    pub if_match: Option<String>,
    /// The body that was sent, if it was JSON; of a request for a token its `scope`.
    pub body: Option<Value>,
}

/// What somebody wants to be told of each request.
#[derive(Default)]
pub(crate) struct Hook(Option<Box<Told>>);

type Told = dyn FnMut(&Logged) + Send;

impl Hook {
    pub(crate) fn set(&mut self, hook: impl FnMut(&Logged) + Send + 'static) {
        self.0 = Some(Box::new(hook));
    }

    pub(crate) fn call(&mut self, logged: &Logged) {
        if let Some(hook) = &mut self.0 {
            hook(logged);
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "a hook" } else { "no hook" })
    }
}
