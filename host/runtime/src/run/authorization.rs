//! Who may read `/metrics`: whoever has a token that may `get` that path, as behind kube-rbac-proxy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tracing::warn;

/// Longest that the API server may take for its two answers. Prometheus waits for ten seconds.
const DEADLINE: Duration = Duration::from_secs(5);
/// Tokens that the API server is asked about at the same time: whoever reaches the port can have it asked.
const AT_ONCE: usize = 4;
/// For how long a token that may goes on doing so.
const ALLOWED_FOR: Duration = Duration::from_mins(1);
/// For how long one that may not is refused without a question.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// Most tokens of each sort that are remembered.
const MOST_KNOWN: usize = 64;
/// Longest token that is passed on, in bytes.
const LONGEST_TOKEN: usize = 16 * 1024;

/// What is known of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Allowed,
    /// It is nobody's.
    Unknown,
    /// It is somebody's who may not.
    Forbidden,
}

/// Asks the API server who may read.
pub(super) struct Authorization {
    client: Client,
    turns: Semaphore,
    known: Mutex<Known>,
}

impl Authorization {
    pub(super) fn new(client: Client) -> Self {
        Self { client, turns: Semaphore::new(AT_ONCE), known: Mutex::default() }
    }

    /// Passes a request on if its token may read.
    pub(super) async fn guard(State(own): State<Arc<Self>>, request: Request, next: Next) -> Response {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let Some(token) = bearer(request.headers()) else {
            return (StatusCode::UNAUTHORIZED, challenge, "a bearer token is needed\n").into_response();
        };
        match own.look_up(token).await {
            Some(Answer::Allowed) => next.run(request).await,
            Some(Answer::Unknown) => (StatusCode::UNAUTHORIZED, challenge, "the token is not valid\n").into_response(),
            Some(Answer::Forbidden) => {
                (StatusCode::FORBIDDEN, "get is not allowed on the non-resource URL /metrics\n").into_response()
            }
            None => (StatusCode::SERVICE_UNAVAILABLE, "the API server does not say who this is\n").into_response(),
        }
    }

    /// What a token may; none: the API server does not say.
    async fn look_up(&self, token: &str) -> Option<Answer> {
        // What is kept cannot be used to log in.
        let key = Sha256::digest(token.as_bytes()).into();
        if let Some(answer) = self.known().get(&key, Instant::now()) {
            return Some(answer);
        }
        let asked = async {
            let _turn = self.turns.acquire().await;
            // Another request may have asked meanwhile.
            if let Some(answer) = self.known().get(&key, Instant::now()) {
                return Ok(answer);
            }
            ask(&self.client, token).await
        };
        match timeout(DEADLINE, asked).await {
            Ok(Ok(answer)) => {
                self.known().insert(key, answer, Instant::now());
                Some(answer)
            }
            Ok(Err(error)) => {
                // A message of the API server may quote what it was sent.
                let reason =
                    if matches!(error, kube::Error::Api(_)) { "it is refused" } else { "it cannot be reached" };
                warn!(reason, "the API server does not say who may read metrics");
                None
            }
            Err(_) => {
                warn!(reason = "no answer in time", "the API server does not say who may read metrics");
                None
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let is_token = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= LONGEST_TOKEN;
    is_token.then_some(token)
}

async fn ask(client: &Client, token: &str) -> kube::Result<Answer> {
    let params = PostParams::default();
    let spec = TokenReviewSpec { token: Some(token.to_owned()), ..TokenReviewSpec::default() };
    let reviews: Api<TokenReview> = Api::all(client.clone());
    let reviewed = reviews.create(&params, &TokenReview { spec, ..TokenReview::default() }).await?;
    let status = reviewed.status.filter(|status| status.authenticated == Some(true));
    let Some(user) = status.and_then(|status| status.user) else { return Ok(Answer::Unknown) };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let question = SubjectAccessReview { spec: may_read(user), ..SubjectAccessReview::default() };
    let reviewed = reviews.create(&params, &question).await?;
    let is_allowed = reviewed.status.is_some_and(|status| status.allowed);
    Ok(if is_allowed { Answer::Allowed } else { Answer::Forbidden })
}

fn may_read(user: UserInfo) -> SubjectAccessReviewSpec {
    let (path, verb) = (Some("/metrics".to_owned()), Some("get".to_owned()));
    SubjectAccessReviewSpec {
        user: user.username,
        uid: user.uid,
        groups: user.groups,
        extra: user.extra,
        non_resource_attributes: Some(NonResourceAttributes { path, verb }),
        ..SubjectAccessReviewSpec::default()
    }
}

type Key = [u8; 32];

/// Answers of late. Those who may have a place of their own, so that nobody can push them out by inventing tokens.
#[derive(Default)]
struct Known {
    allowed: BTreeMap<Key, (Answer, Instant)>,
    refused: BTreeMap<Key, (Answer, Instant)>,
}

impl Known {
    fn get(&self, key: &Key, now: Instant) -> Option<Answer> {
        let allowed = self.allowed.get(key).filter(|(_, asked)| now < *asked + ALLOWED_FOR);
        let refused = || self.refused.get(key).filter(|(_, asked)| now < *asked + REFUSED_FOR);
        allowed.or_else(refused).map(|(answer, _)| *answer)
    }

    fn insert(&mut self, key: Key, answer: Answer, now: Instant) {
        self.allowed.remove(&key);
        self.refused.remove(&key);
        let place = if answer == Answer::Allowed { &mut self.allowed } else { &mut self.refused };
        if place.len() >= MOST_KNOWN
            && let Some(oldest) = place.iter().min_by_key(|(_, (_, asked))| *asked).map(|(key, _)| *key)
        {
            place.remove(&oldest);
        }
        place.insert(key, (answer, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u16) -> Key {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn answers_are_remembered_for_a_while() {
        let (mut known, now) = (Known::default(), Instant::now());
        known.insert(key(1), Answer::Allowed, now);
        known.insert(key(2), Answer::Forbidden, now);
        let just_before = now + REFUSED_FOR - Duration::from_millis(1);
        assert_eq!(known.get(&key(1), just_before), Some(Answer::Allowed));
        assert_eq!(known.get(&key(2), just_before), Some(Answer::Forbidden));
        assert_eq!(known.get(&key(2), now + REFUSED_FOR), None);
        assert_eq!(known.get(&key(1), now + ALLOWED_FOR), None);
        known.insert(key(1), Answer::Unknown, now + ALLOWED_FOR);
        assert_eq!(known.get(&key(1), now + ALLOWED_FOR), Some(Answer::Unknown), "its right is gone");
    }

    #[test]
    fn invented_tokens_push_nobody_out_who_may_read() {
        let (mut known, now) = (Known::default(), Instant::now());
        known.insert(key(0), Answer::Allowed, now);
        for number in 1..1000 {
            known.insert(key(number), Answer::Unknown, now + Duration::from_millis(number.into()));
        }
        assert_eq!((known.allowed.len(), known.refused.len()), (1, MOST_KNOWN));
        let later = now + Duration::from_secs(1);
        assert_eq!(known.get(&key(0), later), Some(Answer::Allowed));
        assert_eq!((known.get(&key(1), later), known.get(&key(999), later)), (None, Some(Answer::Unknown)));
    }

    #[test]
    fn a_token_is_what_comes_after_bearer() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(read("bearer  abc ").as_deref(), Some("abc"));
        let long = format!("Bearer {}", "x".repeat(LONGEST_TOKEN + 1));
        for wrong in ["Basic abc", "Bearer ", "abc", &long] {
            assert_eq!(read(wrong), None);
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
