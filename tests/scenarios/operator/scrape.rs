//! `/metrics` over TLS, for whoever has a token that may read it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::two_zones;
use crate::harness::http::Connection;
use crate::harness::rights::{denied, unused};
use crate::harness::{Cluster, Launch, Matcher, Object, Operator, Proxy, Rule, SOON, User, eventually};

/// May do everything.
const TESTER: &str = "tester-token";
/// May do what the operator may.
const SLUICE: &str = "sluice-token";

/// A certificate that replaces the one before.
struct Certificate {
    folder: PathBuf,
    trusted: CertificateDer<'static>,
}

impl Certificate {
    /// Names the files for one, and does not write them.
    fn absent(cluster: &Cluster) -> Self {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = cluster.folder().join(format!("metrics-tls-{number}"));
        fs::create_dir_all(&folder).expect("the run folder is writable");
        Self { folder, trusted: CertificateDer::from(Vec::new()) }
    }

    fn renew(&mut self) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        self.trusted = made.cert.der().clone();
        fs::write(self.folder.join("tls.crt"), made.cert.pem()).expect("the folder is writable");
        fs::write(self.folder.join("tls.key"), made.signing_key.serialize_pem()).expect("the folder is writable");
    }

    fn launch(&self, launch: Launch, more: &[&str]) -> Launch {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let tls = ["--metrics-tls-cert-file", &file("tls.crt"), "--metrics-tls-private-key-file", &file("tls.key")];
        launch.args(&[&tls, more].concat())
    }

    /// Asks over TLS, believing this certificate and no other.
    async fn get(&self, address: SocketAddr, token: Option<&str>) -> Result<(StatusCode, String), String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusted.clone()).map_err(|error| error.to_string())?;
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let mut connection = Connection::over(address, stream.map_err(|error| error.to_string())?).await?;
        let mut request = Request::get("/metrics").header("host", "localhost");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::new())).map_err(|error| error.to_string())?;
        let answer = connection.send(request).await?;
        Ok((answer.status(), answer.into_body()))
    }

    async fn becomes(&self, operator: &Operator, token: Option<&str>, status: StatusCode) {
        eventually(&format!("metrics answer with {status}"), Duration::from_secs(40), || async {
            let (seen, page) = self.get(operator.metrics(), token).await?;
            assert_eq!(page.contains("sluice_leader"), seen == StatusCode::OK, "{page}");
            if seen == status { Ok(()) } else { Err(format!("{seen} {page}")) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_needed_that_may_read_metrics() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let mut certificate = Certificate::absent(&cluster);
    certificate.renew();
    let mark = cluster.audit().mark().await;
    let launch = Operator::launch(&cluster).env("RUST_LOG", "trace");
    let operator = certificate.launch(launch, &["--metrics-authorization", "always"]).start().await;
    certificate.becomes(&operator, None, StatusCode::UNAUTHORIZED).await;
    certificate.becomes(&operator, Some("nobody's"), StatusCode::UNAUTHORIZED).await;
    certificate.becomes(&operator, Some(TESTER), StatusCode::OK).await;
    certificate.becomes(&operator, Some(SLUICE), StatusCode::FORBIDDEN).await;
    assert!(operator.page("/metrics").await.is_err(), "nothing is said in the clear");

    // What was asked a moment ago is not asked again.
    let asked = || async { cluster.audit().since(mark).await.by(User::Sluice).on("tokenreviews").count() };
    assert_eq!(asked().await, 3);
    for _ in 0..20 {
        certificate.becomes(&operator, Some(TESTER), StatusCode::OK).await;
    }
    assert_eq!(asked().await, 3);

    cluster
        .create([Object::from_json(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sluice-metrics-reader"},
            "subjects": [{"kind": "ServiceAccount", "namespace": "sluice", "name": "sluice"}],
        }))])
        .await;
    certificate.becomes(&operator, Some(SLUICE), StatusCode::OK).await;
    operator.stop().await;
    let asked = cluster.audit().since(mark).await.by(User::Sluice);
    assert_eq!((denied(&asked), unused("rbac/metrics.yaml", &asked)), (String::new(), String::new()));
    for token in [TESTER, "nobody's"] {
        assert!(!operator.log().contains(token), "a token shows in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_api_server_is_silent_who_was_known_reads_on_and_nobody_else() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let mut certificate = Certificate::absent(&cluster);
    certificate.renew();
    let proxy = Proxy::start(&cluster).await;
    let launch = Operator::launch(&cluster).through(&proxy);
    let operator = certificate.launch(launch, &["--metrics-authorization", "always"]).start().await;
    certificate.becomes(&operator, Some(TESTER), StatusCode::OK).await;
    proxy.rule(Rule::hang(Matcher::any().on("tokenreviews")).times(1));
    proxy.rule(Rule::answer(Matcher::any().on("tokenreviews"), 500));
    let started = Instant::now();
    let (status, page) = certificate.get(operator.metrics(), Some(SLUICE)).await.expect("an answer");
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{page}");
    assert!(started.elapsed() < Duration::from_secs(9), "before whoever asks gives up");
    certificate.becomes(&operator, Some(SLUICE), StatusCode::SERVICE_UNAVAILABLE).await;
    certificate.becomes(&operator, Some(TESTER), StatusCode::OK).await;
    proxy.clear();
    certificate.becomes(&operator, Some(SLUICE), StatusCode::FORBIDDEN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_may_come_late_and_is_replaced_while_running() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let mut certificate = Certificate::absent(&cluster);
    // On loopback nobody else can ask.
    let more = ["--metrics-authorization", "auto"];
    let operator = certificate.launch(Operator::launch(&cluster), &more).start().await;
    assert!(operator.page("/metrics").await.is_err(), "without a certificate nothing is said");
    eventually("the log says why", SOON, || async {
        let log = operator.log();
        if log.contains("the certificate for metrics cannot be used") && log.contains("tls.crt") {
            Ok(())
        } else {
            Err(log)
        }
    })
    .await;
    for _ in 0..2 {
        let old = certificate.trusted.clone();
        certificate.renew();
        assert_ne!(certificate.trusted, old);
        certificate.becomes(&operator, None, StatusCode::OK).await;
    }
    // A key of which half is written.
    fs::write(certificate.folder.join("tls.key"), "-----BEGIN").expect("the folder is writable");
    eventually("the bad key is told", SOON, || async {
        let (status, _) = certificate.get(operator.metrics(), None).await?;
        assert_eq!(status, StatusCode::OK);
        let log = operator.log();
        if log.contains("--metrics-tls-private-key-file") { Ok(()) } else { Err("nothing in the log".to_owned()) }
    })
    .await;
    assert!(operator.is_running());
}
