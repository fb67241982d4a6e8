//! Tokens: bought with the credentials, and renewed before they expire.
//!
//! A token that is valid is used until there is a new one: an authority that is slow, or down, holds up nobody before it
//! has expired. One purchase is under way at a time, and whoever has no token waits for that one. No lock is held
//! meanwhile: [`Purse`] says what to do, and is told the time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _, Shared};
use reqwest::Client;
use serde_json::Value;
use tokio::time::timeout;

use crate::arm::{ArmError, ErrorKind, bounded};
use crate::credentials::{Credentials, Hidden, Proof};
use crate::environment::Environment;
use crate::meter::Meter;
use crate::pace::Pace;

/// A token is renewed this long before it expires, or after four fifths of its life if that is sooner.
const MARGIN: Duration = Duration::from_mins(5);

/// The longest life of a token that is believed.
const LONGEST_LIFE: Duration = Duration::from_hours(24);

/// So long a failure to buy a token counts for all who need one: many requests at once are one question.
const REMEMBERED: Duration = Duration::from_secs(10);

/// Longest exchange about a token, in real time as all deadlines of requests. An authority answers within a second.
const EXCHANGE: Duration = Duration::from_secs(30);

/// Longest that whoever asks for a renewal waits for it while the old token is still good, in real time.
const COURTESY: Duration = Duration::from_secs(2);

/// Code of the error while nobody has said yet whether there are credentials.
pub(crate) const NOT_TOLD: &str = "NotTold";

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[derive(Clone, Debug)]
struct Token {
    text: Arc<Hidden>,
    renew_at: Duration,
    ends_at: Duration,
}

type Bought = Result<Token, ArmError>;

/// What there is of tokens. Pure.
#[derive(Debug, Default)]
struct Purse {
    /// Of what is here, everything belongs to these.
    credentials: Option<Arc<Credentials>>,
    token: Option<Token>,
    /// A purchase under way, and its number.
    purchase: Option<(u64, Shared<BoxFuture<'static, Bought>>)>,
    purchases: u64,
    /// Why the last purchase failed, and until when that counts.
    failure: Option<(ArmError, Duration)>,
}

/// How to come by a token.
enum Way {
    /// This one is good.
    Use(Token),
    /// Buying one failed a moment ago.
    Failed(ArmError),
    /// Buy one, or wait for the purchase that is under way.
    Buy {
        /// Good for a while yet, should the purchase fail or take long.
        spare: Option<Token>,
        is_under_way: bool,
    },
}

impl Purse {
    /// How to come by a token that is not the one that was refused.
    fn way(&mut self, credentials: &Arc<Credentials>, refused: Option<&Arc<Hidden>>, now: Duration) -> Way {
        if self.credentials.as_ref() != Some(credentials) {
            let purchases = self.purchases;
            *self = Self { credentials: Some(Arc::clone(credentials)), purchases, ..Self::default() };
        }
        let is_good =
            |token: &&Token| now < token.ends_at && refused.is_none_or(|refused| !Arc::ptr_eq(refused, &token.text));
        let spare = self.token.as_ref().filter(is_good).cloned();
        if let Some(token) = spare.as_ref().filter(|token| now < token.renew_at) {
            return Way::Use(token.clone());
        }
        match (&self.failure, spare) {
            (Some((_, until)), Some(token)) if now < *until => Way::Use(token),
            (Some((error, until)), None) if now < *until => Way::Failed(error.clone()),
            (_, spare) => Way::Buy { spare, is_under_way: self.purchase.is_some() },
        }
    }

    /// The purchase of a number is over. Whoever waited for it tells, and the first one counts.
    fn bought(&mut self, number: u64, bought: &Bought, now: Duration) {
        if self.purchase.take_if(|(under_way, _)| *under_way == number).is_none() {
            return;
        }
        match bought {
            Ok(token) => (self.token, self.failure) = (Some(token.clone()), None),
            Err(error) => self.failure = Some((error.clone(), now + REMEMBERED)),
        }
    }
}

/// The tokens of one provider.
#[derive(Debug)]
pub(crate) struct Tokens {
    shop: Arc<Shop>,
    /// None: nobody has told yet.
    credentials: Mutex<Option<Result<Arc<Credentials>, String>>>,
    purse: Mutex<Purse>,
}

impl Tokens {
    pub(crate) fn new(http: Client, environment: Environment, pace: Pace, meter: Arc<Meter>) -> Self {
        let shop = Arc::new(Shop { http, environment, pace, meter });
        Self { shop, credentials: Mutex::new(None), purse: Mutex::default() }
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
        let none = |code: &str, text: &str| Err(ArmError::new(ErrorKind::Unauthenticated, code, text));
        match &*held {
            Some(Ok(credentials)) => Ok(Arc::clone(credentials)),
            Some(Err(text)) => none("NoCredentials", text),
            None => none(NOT_TOLD, "there are no credentials yet"),
        }
    }

    /// A token; never the one that was refused.
    pub(crate) async fn get(&self, refused: Option<&Arc<Hidden>>) -> Result<Arc<Hidden>, ArmError> {
        let credentials = self.credentials()?;
        let (spare, is_under_way, number, purchase) = {
            let mut purse = self.purse();
            match purse.way(&credentials, refused, self.shop.pace.now()) {
                Way::Use(token) => return Ok(token.text),
                Way::Failed(error) => return Err(error),
                Way::Buy { spare, is_under_way } => {
                    let (number, purchase) = self.purchase(&mut purse, credentials);
                    (spare, is_under_way, number, purchase)
                }
            }
        };
        let bought = match &spare {
            None => purchase.await,
            Some(spare) => {
                // One asks and waits a little; the others only look whether it has come.
                let patience = if is_under_way { Duration::ZERO } else { COURTESY };
                match timeout(patience, purchase).await {
                    Ok(bought) => bought,
                    Err(_) => return Ok(Arc::clone(&spare.text)),
                }
            }
        };
        self.purse().bought(number, &bought, self.shop.pace.now());
        bought.or_else(|error| spare.ok_or(error)).map(|token| token.text)
    }

    /// The purchase that is under way, or a new one.
    fn purchase(&self, purse: &mut Purse, credentials: Arc<Credentials>) -> (u64, Shared<BoxFuture<'static, Bought>>) {
        if let Some((number, purchase)) = &purse.purchase {
            return (*number, purchase.clone());
        }
        let shop = Arc::clone(&self.shop);
        let purchase = async move { shop.buy(&credentials).await }.boxed().shared();
        purse.purchases += 1;
        purse.purchase = Some((purse.purchases, purchase.clone()));
        (purse.purchases, purchase)
    }

    fn purse(&self) -> MutexGuard<'_, Purse> {
        self.purse.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where tokens are bought.
#[derive(Debug)]
struct Shop {
    http: Client,
    environment: Environment,
    pace: Pace,
    meter: Arc<Meter>,
}

impl Shop {
    async fn buy(&self, credentials: &Credentials) -> Bought {
        let failed = |text: &str| ArmError::new(ErrorKind::Unauthenticated, "NoToken", &format!("no token: {text}"));
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
        // Its life counts from when it was asked for.
        let asked = self.pace.now();
        let answer = self.http.post(url).timeout(EXCHANGE).form(&form).send().await;
        let answer = answer.map_err(|error| failed(&crate::http::cause(&error)))?;
        let status = answer.status().as_u16();
        let body = crate::http::body(answer).await.map_err(|text| failed(&text))?;
        let (text, life) = read(status, &body, proof.reveal()).map_err(|text| failed(&text))?;
        let renew_at = asked + life.saturating_sub(MARGIN.min(life / 5));
        Ok(Token { text: Arc::new(Hidden::new(text)), renew_at, ends_at: asked + life })
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

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn account(secret: &str) -> Arc<Credentials> {
        let pairs = [
            ("azure_client_id", "app"),
            ("azure_tenant_id", "tenant"),
            ("azure_subscription_id", "11111111-2222-3333-4444-555555555555"),
            ("azure_client_secret", secret),
        ];
        let data = pairs.into_iter().map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec())).collect();
        Arc::new(Credentials::from_secret(&data).unwrap())
    }

    fn token(text: &str) -> Token {
        Token { text: Arc::new(Hidden::new(text.to_owned())), renew_at: seconds(480), ends_at: seconds(600) }
    }

    fn failure() -> ArmError {
        ArmError::new(ErrorKind::Unauthenticated, "NoToken", "no token")
    }

    /// A purchase begins, and comes to this at that time.
    fn buys(purse: &mut Purse, bought: &Bought, now: Duration) {
        purse.purchases += 1;
        purse.purchase = Some((purse.purchases, futures::future::pending().boxed().shared()));
        purse.bought(purse.purchases, bought, now);
    }

    /// What the purse says, in a word.
    fn way(purse: &mut Purse, secret: &str, refused: Option<&Token>, now: u64) -> String {
        match purse.way(&account(secret), refused.map(|token| &token.text), seconds(now)) {
            Way::Use(token) => format!("use {}", token.text.reveal()),
            Way::Failed(_) => "failed".to_owned(),
            Way::Buy { spare: Some(spare), .. } => format!("buy, spare {}", spare.text.reveal()),
            Way::Buy { spare: None, .. } => "buy".to_owned(),
        }
    }

    #[test]
    fn a_valid_token_is_used_until_there_is_a_new_one() {
        let mut purse = Purse::default();
        assert_eq!(way(&mut purse, "a", None, 0), "buy");
        buys(&mut purse, &Ok(token("first")), seconds(0));
        assert_eq!(way(&mut purse, "a", None, 479), "use first");
        assert_eq!(way(&mut purse, "a", None, 480), "buy, spare first");
        buys(&mut purse, &Err(failure()), seconds(481));
        assert_eq!(way(&mut purse, "a", None, 482), "use first", "asked again only after a moment");
        assert_eq!(way(&mut purse, "a", None, 491), "buy, spare first");
        assert_eq!(way(&mut purse, "a", None, 600), "buy");
        buys(&mut purse, &Err(failure()), seconds(600));
        assert_eq!(way(&mut purse, "a", None, 609), "failed");
        assert_eq!(way(&mut purse, "a", None, 610), "buy");
    }

    #[test]
    fn a_token_that_was_refused_is_nothing_for_whom_it_was_refused() {
        let (mut purse, first) = (Purse::default(), token("first"));
        way(&mut purse, "a", None, 0);
        buys(&mut purse, &Ok(first.clone()), seconds(0));
        assert_eq!(way(&mut purse, "a", Some(&first), 1), "buy");
        buys(&mut purse, &Err(failure()), seconds(1));
        assert_eq!(way(&mut purse, "a", Some(&first), 2), "failed");
        assert_eq!(way(&mut purse, "a", None, 2), "use first", "one refusal may be a proxy's");
    }

    #[test]
    fn what_belongs_to_other_credentials_is_forgotten() {
        let mut purse = Purse::default();
        way(&mut purse, "a", None, 0);
        buys(&mut purse, &Ok(token("first")), seconds(0));
        assert_eq!(way(&mut purse, "b", None, 1), "buy");
        buys(&mut purse, &Err(failure()), seconds(1));
        assert_eq!(way(&mut purse, "b", None, 2), "failed");
        assert_eq!(way(&mut purse, "a", None, 2), "buy");
        // A purchase of before comes too late.
        purse.bought(2, &Ok(token("late")), seconds(3));
        assert_eq!(way(&mut purse, "a", None, 3), "buy");
    }

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
