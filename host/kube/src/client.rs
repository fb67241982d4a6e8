//! The connection to the API server.
//!
//! There is no client-side rate limit: writes are few, each is awaited, and the server says when it has enough.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::{HeaderValue, USER_AGENT};
use http::uri::{Scheme, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use crate::failure;

mod connection;

pub(crate) use connection::IDLE;

/// A connection that takes longer will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest silence on a connection with a request under way. Only a backstop: every request has a shorter deadline.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// Where the configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// A kubeconfig. None: `KUBECONFIG`, else the pod's service account, else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig; none: its current one.
    pub context: Option<String>,
    /// Longest silence, also while connecting. None: what watches need.
    pub patience: Option<Duration>,
}

/// Why there is no client. Never shows a token or password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A kubeconfig is missing, unreadable, or lacks something.
    #[error("kubeconfig {path}: {text}")]
    Kubeconfig {
        /// Which file or files.
        path: String,
        /// Which field, and what is wrong with it.
        text: String,
    },
    /// The pod's service account cannot be used.
    #[error("service account: {0}")]
    InCluster(String),
    /// There is nothing to read a configuration from.
    #[error("no cluster: neither --kubeconfig, KUBECONFIG, a service account nor ~/.kube/config is there")]
    NoConfiguration,
    /// A variable about proxies makes no sense.
    #[error("{variable}: {text}")]
    Proxy {
        /// The variable, or the field of a kubeconfig.
        variable: String,
        /// What is wrong with it.
        text: String,
    },
    /// Certificates, keys or the login cannot be used.
    #[error("cannot make a client for {server}: {text}")]
    Unusable {
        /// The API server.
        server: String,
        /// What is wrong.
        text: String,
    },
}

/// Makes a client. Nothing is sent yet: a server that cannot be reached shows in the first request.
pub async fn connect(options: &ClientOptions) -> Result<Client, ConnectError> {
    client(configuration(options).await?, options.patience)
}

pub(crate) fn client(mut config: Config, patience: Option<Duration>) -> Result<Client, ConnectError> {
    config.connect_timeout = Some(patience.unwrap_or(CONNECT_TIMEOUT));
    config.read_timeout = Some(patience.unwrap_or(READ_TIMEOUT));
    // Otherwise the time a pooled connection was idle counts as silence.
    config.reset_reader_on_write = true;
    // A write that failed is planned again from what is seen then; a repeated one may meet another cluster.
    config.default_retry = false;
    config.headers.push((USER_AGENT, HeaderValue::from_static(concat!("sluice/", env!("CARGO_PKG_VERSION")))));
    let server = config.cluster_url.to_string();
    let unusable = |text| ConnectError::Unusable { server, text };
    if !has_sendable_token(&config.auth_info) {
        return Err(unusable("users[].user.token: has characters that no HTTP header may have".to_owned()));
    }
    connection::client(&config).map_err(|error| unusable(failure::of_request(&error)))
}

/// Whether the token, if there is one, can be sent; kube panics on one that cannot, such as one with a line end.
fn has_sendable_token(login: &AuthInfo) -> bool {
    // The token's own type keeps it from being looked at otherwise.
    let fields = serde_json::to_value(login).unwrap_or_default();
    fields.get("token").and_then(|token| token.as_str()).is_none_or(|token| HeaderValue::from_str(token).is_ok())
}

async fn configuration(options: &ClientOptions) -> Result<Config, ConnectError> {
    let (kubeconfig, path) = if let Some(path) = &options.kubeconfig {
        (read(path)?, path.display().to_string())
    } else if let Some(paths) = environment("KUBECONFIG") {
        let files: Vec<PathBuf> = std::env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()).collect();
        (read_merged(&files, &paths)?, paths)
    } else if environment("KUBERNETES_SERVICE_HOST").is_some() {
        let mut config = Config::incluster().map_err(|error| ConnectError::InCluster(failure::chain(&error)))?;
        config.proxy_url = proxy_for(&config.cluster_url, environment)?;
        return Ok(config);
    } else {
        let path = std::env::home_dir().map(|home| home.join(".kube/config")).filter(|path| path.exists());
        let path = path.ok_or(ConnectError::NoConfiguration)?;
        (read(&path)?, path.display().to_string())
    };
    from_kubeconfig(kubeconfig, path, options).await
}

async fn from_kubeconfig(file: Kubeconfig, path: String, options: &ClientOptions) -> Result<Config, ConnectError> {
    let context = options.context.clone().or_else(|| file.current_context.clone());
    let own_proxy = cluster_proxy(&file, context.as_deref());
    let choice = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(file, &choice)
        .await
        .map_err(|error| ConnectError::Kubeconfig { path, text: kubeconfig_text(&error) })?;
    config.proxy_url = match own_proxy {
        // As with kubectl, a proxy that a kubeconfig names is used whatever NO_PROXY says.
        Some(proxy) => Some(proxy_address(&proxy, "clusters[].cluster.proxy-url")?),
        None => proxy_for(&config.cluster_url, environment)?,
    };
    if config.root_cert.is_none() && config.root_cert_file.is_none() {
        config.root_cert_file = environment("SSL_CERT_FILE").map(PathBuf::from);
    }
    Ok(config)
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn cluster_proxy(file: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let context = file.contexts.iter().find(|named| Some(named.name.as_str()) == context)?.context.as_ref()?;
    let cluster = file.clusters.iter().find(|named| named.name == context.cluster)?.cluster.as_ref()?;
    cluster.proxy_url.clone().filter(|proxy| !proxy.is_empty())
}

fn read(path: &Path) -> Result<Kubeconfig, ConnectError> {
    Kubeconfig::read_from(path).map_err(|error| {
        let text = match error {
            KubeconfigError::Parse(_) => yaml_text(path),
            other => kubeconfig_text(&other),
        };
        ConnectError::Kubeconfig { path: path.display().to_string(), text }
    })
}

fn read_merged(files: &[PathBuf], paths: &str) -> Result<Kubeconfig, ConnectError> {
    let failed = |text: String| ConnectError::Kubeconfig { path: paths.to_owned(), text };
    let mut merged: Option<Kubeconfig> = None;
    // As with kubectl, files of the list that do not exist are passed over.
    for file in files.iter().filter(|file| file.exists() || files.len() == 1) {
        let next = read(file)?;
        merged = Some(match merged {
            None => next,
            Some(before) => before.merge(next).map_err(|error| failed(kubeconfig_text(&error)))?,
        });
    }
    merged.ok_or_else(|| failed("no such file".to_owned()))
}

/// Where a kubeconfig is no kubeconfig. The parser's own message quotes the file, tokens and all.
fn yaml_text(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    match serde_yaml_ng::from_str::<serde_yaml_ng::Value>(&text).err().and_then(|error| error.location()) {
        Some(place) => format!("not YAML at line {} column {}", place.line(), place.column()),
        None => "YAML, but not a kubeconfig: a field is missing or of the wrong type".to_owned(),
    }
}

fn kubeconfig_text(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::CurrentContextNotSet => "current-context: missing".to_owned(),
        KubeconfigError::LoadContext(name) => format!("contexts: there is no {name}"),
        KubeconfigError::LoadClusterOfContext(name) => format!("clusters: there is no {name}"),
        KubeconfigError::MissingClusterUrl => "clusters[].cluster.server: missing".to_owned(),
        KubeconfigError::ParseClusterUrl(error) => format!("clusters[].cluster.server: {error}"),
        KubeconfigError::ParseProxyUrl(error) => format!("proxy-url or HTTPS_PROXY: {error}"),
        KubeconfigError::ParseNoProxy(error) => format!("NO_PROXY: {error}"),
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
        KubeconfigError::Parse(_) => "YAML, but not a kubeconfig".to_owned(),
        other => failure::chain(other),
    }
}

/// The proxy on the way to a server, by the usual variables. kube itself looks neither at `NO_PROXY` nor, inside a
/// cluster, at any of them.
fn proxy_for(server: &Uri, environment: impl Fn(&str) -> Option<String>) -> Result<Option<Uri>, ConnectError> {
    let is_plain = server.scheme() == Some(&Scheme::HTTP);
    let names = if is_plain { ["HTTP_PROXY", "http_proxy"] } else { ["HTTPS_PROXY", "https_proxy"] };
    let set = |name: &'static str| environment(name).map(|value| (name, value));
    let Some((name, proxy)) = names.into_iter().chain(["ALL_PROXY", "all_proxy"]).find_map(set) else {
        return Ok(None);
    };
    let excluded = set("NO_PROXY").or_else(|| set("no_proxy")).map(|(_, value)| value).unwrap_or_default();
    let address = proxy_address(&proxy, name)?;
    let matcher = Matcher::builder().all(proxy).no(excluded).build();
    Ok(matcher.intercept(server).map(|_| address))
}

/// The value is not shown: it may hold a password.
fn proxy_address(proxy: &str, variable: &str) -> Result<Uri, ConnectError> {
    let failed = |text: &str| ConnectError::Proxy { variable: variable.to_owned(), text: text.to_owned() };
    let with_scheme = if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") };
    let address: Uri = with_scheme.parse().map_err(|_| failed("not an address such as http://proxy:3128"))?;
    match address.scheme_str() {
        Some("http" | "https") => Ok(address),
        _ => Err(failed("only http and https proxies are served")),
    }
}

#[cfg(test)]
mod tests;
