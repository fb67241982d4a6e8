//! The token endpoint, and the check of bearer tokens.

use std::collections::BTreeMap;

use serde_json::json;

use crate::answer::Answer;
use crate::request::Request;
use crate::settings::{ExpiresIn, Settings};

/// An application that may have tokens.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// The tenant.
    pub tenant: String,
    /// The application's id.
    pub id: String,
    /// Its secret; none if it has none.
    pub secret: Option<String>,
    /// The assertions that are accepted: the texts of service account tokens.
    pub assertions: Vec<String>,
}

impl Client {
    /// An application that has a secret only.
    pub fn with_secret(tenant: &str, id: &str, secret: &str) -> Self {
        Self { tenant: tenant.into(), id: id.into(), secret: Some(secret.into()), assertions: Vec::new() }
    }

    /// Its account in a subscription, with the keys and texts of the Secret that OpenShift's cloud credential operator
    /// writes.
    pub fn account(&self, subscription: &str) -> BTreeMap<String, String> {
        let pairs = [
            ("azure_tenant_id", self.tenant.as_str()),
            ("azure_client_id", &self.id),
            ("azure_subscription_id", subscription),
        ];
        let secret = self.secret.as_deref().map(|secret| ("azure_client_secret", secret));
        pairs.into_iter().chain(secret).map(|(key, text)| (key.to_owned(), text.to_owned())).collect()
    }
}

/// Who may have tokens, and who has them.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    clients: BTreeMap<String, Client>,
    issued: BTreeMap<String, (String, Option<u64>)>,
}

impl Tokens {
    /// Adds a client, or changes the one of that id.
    pub(crate) fn put_client(&mut self, client: Client) {
        self.clients.insert(client.id.clone(), client);
    }

    /// Issues a token; one that never expires if no time is given.
    pub(crate) fn issue(&mut self, token: &str, principal: &str, expires: Option<u64>) {
        self.issued.insert(token.to_owned(), (principal.to_owned(), expires));
    }

    /// Forgets all tokens.
    pub(crate) fn revoke(&mut self) {
        self.issued.clear();
    }

    /// Answers a token request; `token` is the one to issue.
    pub(crate) fn answer(
        &mut self,
        now: u64,
        settings: &Settings,
        tenant: &str,
        request: &Request,
        token: &str,
    ) -> Answer {
        let form: BTreeMap<String, String> = form_urlencoded::parse(&request.body).into_owned().collect();
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        let id = field("client_id");
        if field("grant_type") != "client_credentials" {
            let text = format!("AADSTS70003: The app requested an unsupported grant type '{}'.", field("grant_type"));
            return refuse(400, "unsupported_grant_type", &text);
        }
        if field("scope").is_empty() {
            let text = "AADSTS900144: The request body must contain the following parameter: 'scope'.";
            return refuse(400, "invalid_request", text);
        }
        let Some(client) = self.clients.get(id).filter(|client| client.tenant == tenant) else {
            let text =
                format!("AADSTS700016: Application with identifier '{id}' was not found in the directory '{tenant}'.");
            return refuse(400, "unauthorized_client", &text);
        };
        let asserted = field("client_assertion");
        if asserted.is_empty() && client.secret.as_deref() != Some(field("client_secret")) {
            let text = format!(
                "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the \
                 client secret value, not the client secret ID, for a secret added to app '{id}'."
            );
            return refuse(401, "invalid_client", &text);
        }
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let known = client.assertions.iter().any(|known| known == asserted) && field("client_assertion_type") == kind;
        if !asserted.is_empty() && !known {
            let text = "AADSTS700024: Client assertion is not within its valid time range.";
            return refuse(401, "invalid_client", text);
        }
        self.issue(token, id, Some(now + settings.token_life_s * 1000));
        let life = match settings.expires_in {
            ExpiresIn::Number => json!(settings.token_life_s),
            ExpiresIn::Text => json!(settings.token_life_s.to_string()),
        };
        let body = json!({"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token});
        Answer::new(200, body).with("cache-control", "no-store, no-cache")
    }

    /// Whom a bearer token belongs to.
    pub(crate) fn principal(&self, now: u64, bearer: Option<&str>) -> Result<String, Answer> {
        let refuse = |code: &str, message: &str| {
            let challenge = "Bearer authorization_uri=\"https://login.windows.net/\", error=\"invalid_token\"";
            Err(Answer::arm(401, code, message).with("www-authenticate", challenge))
        };
        let Some(bearer) = bearer else {
            let text = "Authentication failed. The 'Authorization' header is missing.";
            return refuse("AuthenticationFailed", text);
        };
        match self.issued.get(bearer) {
            None => refuse("InvalidAuthenticationToken", "The access token is invalid."),
            Some((_, Some(expires))) if *expires <= now => refuse(
                "ExpiredAuthenticationToken",
                "The access token expiry UTC time is earlier than current UTC time.",
            ),
            Some((principal, _)) => Ok(principal.clone()),
        }
    }
}

/// An error of the token endpoint.
pub(crate) fn refuse(status: u16, error: &str, description: &str) -> Answer {
    Answer::new(status, json!({"error": error, "error_description": description}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        let mut tokens = Tokens::default();
        tokens.put_client(Client {
            tenant: "t".to_owned(),
            id: "app".to_owned(),
            secret: Some("s3cret".to_owned()),
            assertions: vec!["jwt".to_owned()],
        });
        tokens
    }

    fn ask(tokens: &mut Tokens, settings: &Settings, extra: &str) -> Answer {
        let body = format!("grant_type=client_credentials&client_id=app&scope=x%2F.default&{extra}").into_bytes();
        tokens.answer(0, settings, "t", &Request { body, ..Request::default() }, "tok")
    }

    #[test]
    fn a_secret_buys_a_token_that_expires() {
        let (mut tokens, settings) = (tokens(), Settings { token_life_s: 60, ..Settings::default() });
        let answer = ask(&mut tokens, &settings, "client_secret=s3cret");
        assert_eq!(answer.body.unwrap()["expires_in"], 60);
        assert_eq!(tokens.principal(59_999, Some("tok")).unwrap(), "app");
        let code = |answer: Answer| answer.body.unwrap()["error"]["code"].clone();
        assert_eq!(code(tokens.principal(60_000, Some("tok")).unwrap_err()), "ExpiredAuthenticationToken");
        assert_eq!(code(tokens.principal(0, Some("other")).unwrap_err()), "InvalidAuthenticationToken");
        assert_eq!(code(tokens.principal(0, None).unwrap_err()), "AuthenticationFailed");
    }

    #[test]
    fn an_assertion_buys_a_token_and_the_life_may_be_a_string() {
        let settings = Settings { expires_in: ExpiresIn::Text, ..Settings::default() };
        let kind = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        let answer = ask(&mut tokens(), &settings, &format!("{kind}&client_assertion=jwt"));
        assert_eq!(answer.body.unwrap()["expires_in"], "3599");
        let answer = ask(&mut tokens(), &settings, &format!("{kind}&client_assertion=old"));
        assert_eq!((answer.status, &answer.body.unwrap()["error"]), (401, &json!("invalid_client")));
    }

    #[test]
    fn a_wrong_secret_is_refused_as_entra_does() {
        let answer = ask(&mut tokens(), &Settings::default(), "client_secret=wrong");
        let body = answer.body.unwrap();
        assert_eq!((answer.status, &body["error"]), (401, &json!("invalid_client")));
        assert!(body["error_description"].as_str().unwrap().starts_with("AADSTS7000215: "));
    }

    #[test]
    fn an_unknown_client_is_refused() {
        let mut tokens = Tokens::default();
        let answer = ask(&mut tokens, &Settings::default(), "client_secret=s3cret");
        assert_eq!((answer.status, &answer.body.unwrap()["error"]), (400, &json!("unauthorized_client")));
    }
}
