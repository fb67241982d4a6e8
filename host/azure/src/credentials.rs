//! Who we are for Azure: what a Secret of the cluster's credentials operator says.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// A text that is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hidden(String);

impl Hidden {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// How a token is bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// With a client secret.
    Secret(Hidden),
    /// With the service account token in a file. kubelet renews the file: it is read anew each time.
    TokenFile(PathBuf),
}

/// Credentials. Their secret part appears in no message, and neither in `Debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub(crate) tenant: String,
    pub(crate) client: String,
    pub(crate) subscription: String,
    pub(crate) group: Option<String>,
    pub(crate) proof: Proof,
}

/// What is wrong with a Secret. Names keys, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// A key is missing or empty.
    #[error("key {0} is missing or empty")]
    Missing(&'static str),
    /// Nothing to prove who we are.
    #[error("neither azure_client_secret nor azure_federated_token_file is set")]
    NoProof,
    /// A value is not text, or has characters that it cannot have.
    #[error("key {0} has a value that cannot be right")]
    Malformed(&'static str),
}

impl Credentials {
    /// Reads a Secret's data. Of a client secret and a token file, the client secret is used.
    pub fn from_secret(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, CredentialsError> {
        let tenant = name(data, "azure_tenant_id")?;
        let client = name(data, "azure_client_id")?;
        let subscription = name(data, "azure_subscription_id")?;
        let proof = if let Some(secret) = optional(data, "azure_client_secret")? {
            Proof::Secret(Hidden::new(secret))
        } else {
            let file = optional(data, "azure_federated_token_file")?.ok_or(CredentialsError::NoProof)?;
            Proof::TokenFile(PathBuf::from(file))
        };
        let group = match optional(data, "azure_resourcegroup")? {
            Some(_) => Some(name(data, "azure_resourcegroup")?),
            None => None,
        };
        Ok(Self { tenant, client, subscription, group, proof })
    }

    /// The subscription that they are for.
    pub fn subscription(&self) -> &str {
        &self.subscription
    }
}

fn optional(data: &BTreeMap<String, Vec<u8>>, key: &'static str) -> Result<Option<String>, CredentialsError> {
    let Some(value) = data.get(key) else { return Ok(None) };
    let text = std::str::from_utf8(value).map_err(|_| CredentialsError::Malformed(key))?;
    // A line end at the end is what people put there without knowing.
    Some(text.trim().to_owned()).filter(|text| !text.is_empty()).map(Ok).transpose()
}

/// A value that becomes part of an address.
fn name(data: &BTreeMap<String, Vec<u8>>, key: &'static str) -> Result<String, CredentialsError> {
    let text = optional(data, key)?.ok_or(CredentialsError::Missing(key))?;
    let fits = |letter: char| letter.is_alphanumeric() || "-_.()".contains(letter);
    let fits = text.chars().all(fits) && text.chars().any(|letter| letter != '.');
    if fits { Ok(text) } else { Err(CredentialsError::Malformed(key)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    const WHO: [(&str, &str); 3] =
        [("azure_tenant_id", "tenant"), ("azure_client_id", "client"), ("azure_subscription_id", "sub\n")];

    #[test]
    fn a_client_secret_or_a_token_file_will_do() {
        let mut with_secret = data(&WHO);
        with_secret.insert("azure_client_secret".to_owned(), b"hush".to_vec());
        with_secret.insert("azure_resourcegroup".to_owned(), b"group".to_vec());
        let credentials = Credentials::from_secret(&with_secret).unwrap();
        assert_eq!(credentials.subscription(), "sub");
        assert_eq!(credentials.proof, Proof::Secret(Hidden::new("hush".to_owned())));
        assert!(!format!("{credentials:?}").contains("hush"));

        let mut with_file = data(&WHO);
        with_file.insert("azure_federated_token_file".to_owned(), b"/var/token".to_vec());
        with_file.insert("azure_client_secret".to_owned(), b"".to_vec());
        let credentials = Credentials::from_secret(&with_file).unwrap();
        assert_eq!(credentials.proof, Proof::TokenFile("/var/token".into()));
    }

    #[test]
    fn an_error_names_the_key_and_no_value() {
        for at in 0..WHO.len() {
            let mut some = WHO.to_vec();
            let (key, _) = some.remove(at);
            let error = Credentials::from_secret(&data(&some)).unwrap_err().to_string();
            assert_eq!(error, format!("key {key} is missing or empty"));
        }
        assert_eq!(Credentials::from_secret(&data(&WHO)), Err(CredentialsError::NoProof));
        let odd = [("azure_tenant_id", "../x?y"), ("azure_client_id", "c"), ("azure_subscription_id", "s")];
        let error = Credentials::from_secret(&data(&odd)).unwrap_err();
        assert_eq!(error, CredentialsError::Malformed("azure_tenant_id"));
    }
}
