//! The HTTP client.

use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;

use crate::arm::bounded;
use crate::environment::Environment;

/// A connection that takes longer will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Azure's gateway itself gives up after a minute.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);

/// Longest body that is read. A page of a list is a few megabytes at most.
const MAX_BODY: usize = 16 << 20;

/// Makes a client. `HTTPS_PROXY` and `NO_PROXY` hold, but not for a cloud that is on this machine. Trusted are the
/// certificates of `SSL_CERT_FILE` if that is set, so that a proxy's own authority works and nobody else does; else
/// the system's and, for images that have none, Mozilla's.
pub(crate) fn client(environment: Option<&Environment>) -> Result<Client, String> {
    let has_file = std::env::var_os("SSL_CERT_FILE").is_some_and(|value| !value.is_empty());
    let mut builder = Client::builder()
        .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        // A token is for the endpoint that it was asked for, and for no other.
        .redirect(Policy::none())
        // Whether to send something again is decided where it is known what it does.
        .retry(reqwest::retry::never())
        .tls_built_in_webpki_certs(!has_file)
        .tls_built_in_native_certs(true);
    if environment.is_some_and(Environment::is_local) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| cause(&error))
}

/// A client for [`Environment::find`].
pub fn plain_client() -> Result<Client, String> {
    client(None)
}

/// An answer's body, if it is not too long.
pub(crate) async fn body(mut answer: reqwest::Response) -> Result<String, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| cause(&error))? {
        if bytes.len() + chunk.len() > MAX_BODY {
            return Err(format!("the answer is longer than {MAX_BODY} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| "the answer is not text".to_owned())
}

/// What went wrong, without the address: that of an operation is as good as a token for it.
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let mut text = match error {
        error if error.is_timeout() => "timed out".to_owned(),
        error if error.is_connect() => "cannot connect".to_owned(),
        _ => "the connection failed".to_owned(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    bounded(&text)
}
