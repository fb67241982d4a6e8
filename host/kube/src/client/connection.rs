//! How requests get to the API server: kube's own stack, with a pool that forgets connections soon.
//!
//! A connection may die without a word: the host or the zone of the API server is lost, and no FIN comes. A pool that
//! keeps idle connections would then hand out dead ones, one after the other, for as long as it keeps them.

use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, Write};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use tower::util::MapErrLayer;
use tower::{BoxError, Service};

/// A connection that was idle for so long is not used again. No longer than what a watch is given beyond its time
/// ([`crate::watch`]): when a watch is found dead, every connection that died with it has been idle for longer, so that
/// the next request gets a new one.
pub(crate) const IDLE: Duration = Duration::from_secs(2);

/// Makes a client. Nothing is sent yet.
pub(super) fn client(config: &Config) -> kube::Result<Client> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let Some(proxy) = config.proxy_url.clone() else { return over(tcp, config) };
    if proxy.scheme_str() == Some("https") {
        over(tunnel(proxy, config.rustls_https_connector_with_connector(tcp)?, config), config)
    } else {
        over(tunnel(proxy, tcp, config), config)
    }
}

/// Leads through a proxy, with the login that its address names, if any.
fn tunnel<C>(proxy: Uri, connector: C, config: &Config) -> Tunnel<C> {
    let found = Matcher::builder().all(proxy.to_string()).build().intercept(&config.cluster_url);
    let login = found.as_ref().and_then(|found| found.basic_auth()).cloned();
    let tunnel = Tunnel::new(proxy, connector);
    match login {
        Some(login) => tunnel.with_auth(login),
        None => tunnel,
    }
}

fn over<C>(connector: C, config: &Config) -> kube::Result<Client>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let login = config.auth_layer()?;
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(connector)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let mut pool = legacy::Builder::new(TokioExecutor::new());
    pool.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new());
    let service: legacy::Client<_, Body> = pool.build(connector);
    let builder = ClientBuilder::new(service, config.default_namespace.clone());
    let builder = builder.with_layer(&MapErrLayer::new(BoxError::from));
    let builder = builder.with_layer(&config.extra_headers_layer()?);
    let base = config.base_uri_layer();
    Ok(match login {
        Some(login) => builder.with_layer(&login).with_layer(&base).build(),
        None => builder.with_layer(&base).build(),
    })
}
