//! A proxy as companies have them: it lets nothing out but tunnels, and is the only way to hosts with a certificate of
//! the company's own authority.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::ready;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A running proxy. Its tunnels end when it is dropped.
pub struct Tunnel {
    url: String,
    authority: PathBuf,
    _folder: tempfile::TempDir,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    /// The hosts that exist only here, each as `host:443`.
    hosts: BTreeSet<String>,
    /// Where they really are, in plain HTTP: `address:port`.
    upstream: String,
    tls: TlsAcceptor,
    asked: Mutex<BTreeSet<String>>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tunnel {
    /// Starts one that knows some hosts, and ends TLS in front of `upstream`, a URL.
    pub async fn start(hosts: &[&str], upstream: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = folder.path().join("authority.pem");
        let tls = acceptor(hosts, &authority);
        let upstream = upstream.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let hosts = hosts.iter().map(|host| format!("{host}:443")).collect();
        let shared = Arc::new(Shared { hosts, upstream, tls, asked: Mutex::default() });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound port"));
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { url, authority, _folder: folder, shared, task }
    }

    /// For `HTTPS_PROXY`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// For `SSL_CERT_FILE`.
    pub fn authority(&self) -> &Path {
        &self.authority
    }

    /// The hosts that tunnels were asked to, each as `host:port`.
    pub fn asked(&self) -> BTreeSet<String> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Makes an authority, whose certificate it writes to a file, and a certificate of the hosts.
fn acceptor(hosts: &[&str], authority: &Path) -> TlsAcceptor {
    let (own_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    let mut own = CertificateParams::new(Vec::new()).expect("no names");
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = own.self_signed(&own_key).expect("an authority");
    std::fs::write(authority, certificate.pem()).expect("a temporary file");
    let issuer = Issuer::new(own, own_key);
    let leaf = CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>()).expect("names");
    let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config =
        ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
    let config = config.expect("usual versions").with_no_client_auth();
    let config = config.with_single_cert(vec![leaf.der().clone()], key).expect("key and certificate fit");
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| ready(Ok::<_, Infallible>(answer(request, &shared))));
            let server = hyper::server::conn::http1::Builder::new();
            // A client that goes away is no concern of ours.
            let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}

fn answer(mut request: Request<Incoming>, shared: &Arc<Shared>) -> Response<Empty<Bytes>> {
    let mut answer = Response::new(Empty::new());
    if request.method() == Method::CONNECT {
        let host = request.uri().to_string();
        shared.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(host.clone());
        tokio::spawn(tunnel(hyper::upgrade::on(&mut request), host, Arc::clone(shared)));
    } else {
        *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    }
    answer
}

/// Ends when either side does.
async fn tunnel(upgrade: OnUpgrade, host: String, shared: Arc<Shared>) {
    let Ok(client) = upgrade.await else { return };
    let mut client: TokioIo<Upgraded> = TokioIo::new(client);
    let is_known = shared.hosts.contains(&host);
    let to = if is_known { &shared.upstream } else { &host };
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    if !is_known {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    } else if let Ok(mut client) = shared.tls.accept(client).await {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}
