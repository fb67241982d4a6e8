//! Tokens: bought with the credentials, kept until shortly before they expire.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Client;
use serde_json::Value;

use crate::arm::{ArmError, Kind, bounded};
use crate::credentials::{Credentials, Hidden, Proof};
use crate::environment::Environment;
use crate::meter::Meter;
use crate::pace::Pace;

/// A token is renewed this long before it expires, or after four fifths of its life if that is sooner.
const MARGIN: Duration = Duration::from_mins(5);

/// The longest life of a token that is believed.
const LONGEST_LIFE: Duration = Duration::from_hours(24);

/// Code of the error while nobody has said yet whether there are credentials.
pub(crate) const NOT_TOLD: &str = "NotTold";

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[derive(Clone, Debug)]
struct Token {
    text: Arc<Hidden>,
    renew_at: Duration,
}

/// The tokens of one provider.
#[derive(Debug)]
pub(crate) struct Tokens {
    http: Client,
    environment: Environment,
    pace: Pace,
    meter: Arc<Meter>,
    /// None: nobody has told yet.
    credentials: Mutex<Option<Result<Arc<Credentials>, String>>>,
    /// Held while a token is bought, so that many requests at once buy one.
    current: tokio::sync::Mutex<Option<(Arc<Credentials>, Token)>>,
}

impl Tokens {
    pub(crate) fn new(http: Client, environment: Environment, pace: Pace, meter: Arc<Meter>) -> Self {
        Self { http, environment, pace, meter, credentials: Mutex::new(None), current: tokio::sync::Mutex::new(None) }
    }

    /// From now on these hold. Whether they differ from before.
    pub(crate) fn set(&self, credentials: Result<Credentials, String>) -> bool {
        let mut held = self.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        let same = match (&*held, &credentials) {
            (Some(Ok(held)), Ok(new)) => **held == *new,
            (Some(Err(held)), Err(new)) => held == new,
            _ => false,
        };
        if !same {
            *held = Some(credentials.map(Arc::new));
        }
        !same
    }

    pub(crate) fn credentials(&self) -> Result<Arc<Credentials>, ArmError> {
        let held = self.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        let none = |code: &str, text: &str| Err(ArmError::new(Kind::Unauthenticated, code, text));
        match &*held {
            Some(Ok(credentials)) => Ok(Arc::clone(credentials)),
            Some(Err(text)) => none("NoCredentials", text),
            None => none(NOT_TOLD, "there are no credentials yet"),
        }
    }

    /// A token; never the one that was refused.
    pub(crate) async fn get(&self, refused: Option<&Arc<Hidden>>) -> Result<Arc<Hidden>, ArmError> {
        let credentials = self.credentials()?;
        let mut current = self.current.lock().await;
        let now = self.pace.now();
        if let Some((bought_with, token)) = &*current {
            let good = *bought_with == credentials
                && now < token.renew_at
                && refused.is_none_or(|refused| !Arc::ptr_eq(refused, &token.text));
            if good {
                return Ok(Arc::clone(&token.text));
            }
        }
        *current = None;
        let (text, life) = self.buy(&credentials).await?;
        let token =
            Token { text: Arc::new(Hidden::new(text)), renew_at: now + life.saturating_sub(MARGIN.min(life / 5)) };
        let text = Arc::clone(&token.text);
        *current = Some((credentials, token));
        Ok(text)
    }

    async fn buy(&self, credentials: &Credentials) -> Result<(String, Duration), ArmError> {
        let failed = |text: &str| ArmError::new(Kind::Unauthenticated, "NoToken", &format!("no token: {text}"));
        let scope = self.environment.scope();
        let url =
            self.environment.token_url(&credentials.tenant).ok_or_else(|| failed("the authority is no address"))?;
        let mut form =
            vec![("grant_type", "client_credentials"), ("client_id", &credentials.client), ("scope", scope.as_str())];
        let proof = match &credentials.proof {
            Proof::Secret(secret) => secret.clone(),
            Proof::TokenFile(path) => {
                let read = tokio::fs::read_to_string(path).await;
                Hidden::new(
                    read.map_err(|error| failed(&format!("token file {}: {error}", path.display())))?.trim().to_owned(),
                )
            }
        };
        match &credentials.proof {
            Proof::Secret(_) => form.push(("client_secret", proof.reveal())),
            Proof::TokenFile(_) => {
                form.extend([("client_assertion_type", ASSERTION), ("client_assertion", proof.reveal())]);
            }
        }
        self.meter.token_asked();
        let answer = self.http.post(url).form(&form).send().await;
        let answer = answer.map_err(|error| failed(&crate::http::cause(&error)))?;
        let status = answer.status().as_u16();
        let body = crate::http::body(answer).await.map_err(|text| failed(&text))?;
        read(status, &body, proof.reveal()).map_err(|text| failed(&text))
    }
}

/// The token in an answer, and how long it lives. Else what the answer says, without the secret that it may repeat.
fn read(status: u16, body: &str, secret: &str) -> Result<(String, Duration), String> {
    let value: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    if status != 200 {
        let said = [text("error"), text("error_description")].into_iter().flatten().collect::<Vec<_>>().join(": ");
        let said = if said.is_empty() { "no reason given" } else { said.as_str() };
        // Before it is cut: half a secret is one, too.
        let said = if secret.is_empty() { said.to_owned() } else { said.replace(secret, "(hidden)") };
        return Err(bounded(&format!("HTTP {status} {said}")));
    }
    let token = text("access_token").filter(|token| is_sendable(token)).ok_or("the answer has no access_token")?;
    let life = value.get("expires_in").and_then(|life| match life {
        Value::String(digits) => digits.trim().parse().ok(),
        number => number.as_u64(),
    });
    // Without a life it is used for a while; when it ends sooner, a 401 says so.
    Ok((token.to_owned(), Duration::from_secs(life.unwrap_or(600)).min(LONGEST_LIFE)))
}

fn is_sendable(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_may_be_a_string_or_a_number() {
        for life in ["3599", "\"3599\""] {
            let body = format!(r#"{{"access_token":"abc","expires_in":{life}}}"#);
            assert_eq!(read(200, &body, "a"), Ok(("abc".to_owned(), Duration::from_secs(3599))));
        }
        assert_eq!(read(200, r#"{"access_token":"abc"}"#, "").unwrap().1, Duration::from_mins(10));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for body in ["", "{}", r#"{"access_token":""}"#, "{\"access_token\":\"a\\nb\"}"] {
            assert!(read(200, body, "a").is_err(), "{body}");
        }
        let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret."}"#;
        let told = "HTTP 401 invalid_client: AADSTS7000215: Invalid client secret.".to_owned();
        assert_eq!(read(401, body, ""), Err(told));
    }

    #[test]
    fn a_secret_that_is_repeated_is_hidden_even_where_it_would_be_cut() {
        let secret = "n0t-to-be-seen";
        for before in 0..600 {
            let said = format!("{}{secret}", "x".repeat(before));
            let body = serde_json::json!({"error": "invalid_client", "error_description": said}).to_string();
            let told = read(401, &body, secret).unwrap_err();
            assert!(!told.contains("n0t"), "{told}");
        }
    }
}
