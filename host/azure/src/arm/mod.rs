//! Requests to Azure Resource Manager.
//!
//! All requests are counted, throttled and authorised here. There is no SDK in between: its models drop fields that
//! they do not know, its errors keep neither `Retry-After` nor the details that tell who has an address, it waits for
//! operations without a deadline and loses their error, and it repeats writes after a 5xx.

mod error;

pub(crate) use error::{ArmError, ErrorKind};

pub(crate) use error::bounded;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, IF_MATCH, RETRY_AFTER};
use reqwest::{Client, Method, Url};
use sluice_core::retry::retry_after;

use crate::credentials::Hidden;
use crate::environment::Environment;
use crate::id::ResourceId;
use crate::meter::Meter;
use crate::pace::Pace;
use crate::throttle::Throttle;
use crate::token::Tokens;

/// Version of Microsoft.Network's interface.
pub(crate) const NETWORK_VERSION: &str = "2024-03-01";
/// Version of Microsoft.Compute's interface.
pub(crate) const COMPUTE_VERSION: &str = "2024-03-01";

/// Longest wait for permission to send a read, before it counts as throttled.
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Reads a resource or a list.
    Get,
    /// Writes a resource.
    Put,
    /// Asks how an operation goes.
    Poll,
}

/// What a write has to say.
#[derive(Clone, Debug)]
pub(crate) struct PutRequest<'a> {
    /// The version that was read.
    pub(crate) etag: &'a str,
    pub(crate) body: String,
    /// The term in which it was decided: it is not sent in a later one, nor in between.
    pub(crate) term: u64,
}

/// An answer that is no error.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) body: String,
    pub(crate) retry_after: Option<Duration>,
    /// Where to ask how the operation goes.
    pub(crate) operation: Option<String>,
}

/// A client of Resource Manager. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Arm {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: Client,
    environment: Environment,
    tokens: Tokens,
    throttle: Mutex<Throttle>,
    /// The term in which something may be written; zero: nothing may.
    term: AtomicU64,
    meter: Arc<Meter>,
    pace: Pace,
}

impl Arm {
    pub(crate) fn new(environment: Environment, pace: Pace, meter: Arc<Meter>) -> Result<Self, String> {
        let http = crate::http::client(Some(&environment))?;
        let tokens = Tokens::new(http.clone(), environment.clone(), pace, Arc::clone(&meter));
        let throttle = Mutex::new(Throttle::default());
        Ok(Self {
            shared: Arc::new(Shared { http, environment, tokens, throttle, term: AtomicU64::new(0), meter, pace }),
        })
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.shared.tokens
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.shared.meter
    }

    pub(crate) fn pace(&self) -> Pace {
        self.shared.pace
    }

    /// How long writes are closed, after Azure said that there were too many.
    pub(crate) fn closed_for(&self) -> Option<Duration> {
        self.throttle(|throttle| throttle.closed_for(self.shared.pace.now()))
    }

    /// Forgets what Azure said of too many requests: it was said of another account.
    pub(crate) fn start_afresh(&self) {
        self.throttle(|throttle| *throttle = Throttle::default());
    }

    /// From now on what was decided in this term may be written, and nothing else; zero: nothing.
    pub(crate) fn set_term(&self, term: u64) {
        self.shared.term.store(term, Ordering::SeqCst);
    }

    /// Reads a resource of Microsoft.Network.
    pub(crate) async fn get(&self, id: &ResourceId) -> Result<Answer, ArmError> {
        self.send(Verb::Get, self.url(id.as_str(), NETWORK_VERSION)?, None).await
    }

    /// Writes a resource of Microsoft.Network if it is still the version that was read. Never repeated here.
    pub(crate) async fn put(&self, id: &ResourceId, write: PutRequest<'_>) -> Result<Answer, ArmError> {
        self.send(Verb::Put, self.url(id.as_str(), NETWORK_VERSION)?, Some(write)).await
    }

    /// The address of a resource.
    pub(crate) fn url(&self, path: &str, version: &str) -> Result<Url, ArmError> {
        let bad = |_| ArmError::new(ErrorKind::Permanent, "BadAddress", &format!("{path} makes no address"));
        let base = self.shared.environment.manager();
        let mut url = base.join(path.trim_start_matches('/')).map_err(bad)?;
        url.query_pairs_mut().append_pair("api-version", version);
        Ok(url)
    }

    /// Reads an address that Azure gave: of an operation, or of a list's next page.
    pub(crate) async fn follow(&self, verb: Verb, url: &str) -> Result<Answer, ArmError> {
        let url =
            Url::parse(url).map_err(|_| ArmError::new(ErrorKind::Permanent, "BadAddress", "azure gave no address"))?;
        self.send(verb, url, None).await
    }

    /// Sends a request. A token that is refused is replaced once.
    pub(crate) async fn send(&self, verb: Verb, url: Url, write: Option<PutRequest<'_>>) -> Result<Answer, ArmError> {
        if !self.shared.environment.owns(&url) {
            let text = "azure answered with an address at another host, which is not asked: it would get our token";
            return Err(ArmError::new(ErrorKind::Permanent, "ForeignAddress", text));
        }
        let mut refused: Option<Arc<Hidden>> = None;
        loop {
            self.admit(verb).await?;
            let token = self.shared.tokens.get(refused.as_ref()).await?;
            if write.as_ref().is_some_and(|write| write.term != self.shared.term.load(Ordering::SeqCst)) {
                let text = "it was decided by a leader that leads no more";
                return Err(ArmError::new(ErrorKind::Stale, "NotInCharge", text));
            }
            match self.exchange(verb, &url, &token, write.as_ref()).await {
                Err(error) if error.status == Some(401) && refused.is_none() => refused = Some(token),
                other => return other,
            }
        }
    }

    async fn exchange(
        &self,
        verb: Verb,
        url: &Url,
        token: &Hidden,
        write: Option<&PutRequest<'_>>,
    ) -> Result<Answer, ArmError> {
        let lost = |text: String| {
            self.shared.meter.answered(verb, None);
            ArmError::new(ErrorKind::Unknown, "NoAnswer", &format!("no answer from {}: {text}", self.host()))
        };
        let method = if verb == Verb::Put { Method::PUT } else { Method::GET };
        let mut request = self.shared.http.request(method, url.clone());
        request = request.header(AUTHORIZATION, header(&format!("Bearer {}", token.reveal()), true)?);
        if let Some(write) = write {
            request = request.header(IF_MATCH, header(write.etag, false)?).header(CONTENT_TYPE, "application/json");
            request = request.body(write.body.clone());
        }
        let answer = request.send().await.map_err(|error| lost(crate::http::cause(&error)))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let retry_after = headers.get(RETRY_AFTER).and_then(|wish| retry_after(wish.to_str().ok()?));
        let body = crate::http::body(answer).await.map_err(lost)?;
        self.shared.meter.answered(verb, Some(status));
        if (200..300).contains(&status) {
            let operation = headers.get("azure-asyncoperation").and_then(|url| url.to_str().ok()).map(str::to_owned);
            return Ok(Answer { body, retry_after, operation });
        }
        let error = ArmError::of_answer(status, retry_after, &body);
        if error.kind == ErrorKind::Throttled {
            let span = retry_after.unwrap_or(Duration::from_secs(10)).max(Duration::from_secs(1));
            self.throttle(|throttle| throttle.close(verb, self.shared.pace.now(), span));
        }
        Err(error)
    }

    /// Waits until a request may be sent. A write that would have to wait for Azure's sake is not sent at all: what it
    /// was planned from would be old by then.
    async fn admit(&self, verb: Verb) -> Result<(), ArmError> {
        let pace = self.shared.pace;
        let deadline = pace.now() + LONGEST_WAIT;
        let throttled = |wait| {
            let mut error = ArmError::new(ErrorKind::Throttled, "Throttled", "azure allows no requests for now");
            error.retry_after = Some(wait);
            error
        };
        loop {
            let now = pace.now();
            let closed = self.throttle(|throttle| throttle.closed_for(now)).filter(|_| verb == Verb::Put);
            if let Some(closed) = closed {
                return Err(throttled(closed));
            }
            match self.throttle(|throttle| throttle.take(verb, now)) {
                Ok(()) => return Ok(()),
                Err(wait) if now + wait > deadline => return Err(throttled(wait)),
                Err(wait) => pace.sleep(wait).await,
            }
        }
    }

    fn throttle<T>(&self, use_it: impl FnOnce(&mut Throttle) -> T) -> T {
        use_it(&mut self.shared.throttle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn host(&self) -> &str {
        self.shared.environment.manager().host_str().unwrap_or_default()
    }
}

fn header(text: &str, hidden: bool) -> Result<HeaderValue, ArmError> {
    let bad =
        |_| ArmError::new(ErrorKind::Permanent, "BadHeader", "a token or etag has characters that no header may have");
    let mut value = HeaderValue::from_str(text).map_err(bad)?;
    value.set_sensitive(hidden);
    Ok(value)
}
