//! What answers over HTTP: `/healthz`, `/readyz`, `/startupz`, `/metrics`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use sluice_kube::index::{SharedIndex, WatchReport};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};

use super::cloud::Cloud;
use super::metrics::Metrics;
use super::tls::Certificate;

/// A planner that has not looked for so long hangs. It looks every 30 s, a policy may take its two deadlines, a write 10 s.
const HANGS: Duration = Duration::from_mins(3);

/// From the connection to the last byte of the answer. Nobody waits longer for a probe or a scrape.
const DEADLINE: Duration = Duration::from_secs(10);
/// Most connections of one port. Who asks honestly is one of a few, and gone in milliseconds.
const MOST_CONNECTIONS: usize = 64;

/// Whether the planner lives, and whether it has planned.
pub(super) struct Pulse {
    born: Instant,
    /// Milliseconds from birth to the last look.
    looked: AtomicU64,
    planned: AtomicBool,
    /// There is a policy, and the planner looks.
    started: AtomicBool,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            looked: AtomicU64::new(0),
            planned: AtomicBool::new(false),
            started: AtomicBool::new(false),
        }
    }
}

impl Pulse {
    /// The planner looks at what there is.
    pub(super) fn beat(&self) {
        self.started.store(true, Ordering::Relaxed);
        self.looked.store(u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A round is over.
    pub(super) fn has_planned(&self) {
        self.planned.store(true, Ordering::Relaxed);
    }

    fn silent_for(&self) -> Duration {
        self.born.elapsed().saturating_sub(Duration::from_millis(self.looked.load(Ordering::Relaxed)))
    }
}

/// What the answers are made from.
#[derive(Clone)]
pub(super) struct Probed {
    pub(super) index: Arc<SharedIndex>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) cloud: Arc<Cloud>,
}

impl Probed {
    /// Routes of the probes.
    pub(super) fn probes(&self) -> Router {
        let (alive, ready, started) = (self.clone(), self.clone(), self.clone());
        Router::new()
            .route("/healthz", get(|| async move { alive.healthz() }))
            .route("/readyz", get(|| async move { ready.readyz() }))
            .route("/startupz", get(|| async move { started.startupz() }))
    }

    /// Routes of the metrics.
    pub(super) fn page(&self) -> Router {
        let facts = self.clone();
        Router::new().route("/metrics", get(|| async move { facts.metrics() }))
    }

    fn healthz(&self) -> (StatusCode, String) {
        match self.pulse.silent_for() {
            silent if silent < HANGS => (StatusCode::OK, "ok\n".to_owned()),
            silent => {
                let text = format!("the planner has not looked at the cluster for {} s\n", silent.as_secs());
                (StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }

    /// Compiling takes as long as it takes: whoever restarts what does not answer `/healthz` waits for this first.
    fn startupz(&self) -> (StatusCode, String) {
        if self.pulse.started.load(Ordering::Relaxed) {
            (StatusCode::OK, "ok\n".to_owned())
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "compiling the policy\n".to_owned())
        }
    }

    fn readyz(&self) -> (StatusCode, String) {
        let (waiting, watches) = self.index.read(|index| {
            let waiting = (!index.ready()).then(|| index.waiting());
            (waiting, index.watch_reports(Instant::now()))
        });
        let troubles = watches_in_trouble(&watches);
        match waiting {
            Some(waiting) => (StatusCode::SERVICE_UNAVAILABLE, waiting.join("\n") + "\n"),
            None if watches.iter().any(WatchReport::is_blind) => (StatusCode::SERVICE_UNAVAILABLE, troubles),
            None if self.pulse.planned.load(Ordering::Relaxed) => (StatusCode::OK, format!("ok\n{troubles}")),
            None => (StatusCode::SERVICE_UNAVAILABLE, "waiting for the first plan\n".to_owned()),
        }
    }

    fn metrics(&self) -> impl IntoResponse + use<> {
        let kind = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
        let watches = self.index.read(|index| index.watch_reports(Instant::now()));
        self.cloud.count();
        match self.metrics.page(&watches) {
            Ok(page) => (StatusCode::OK, kind, page),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, kind, error.to_string()),
        }
    }
}

/// A line for each watch that shows nothing now.
fn watches_in_trouble(watches: &[WatchReport]) -> String {
    let line = |watch: &WatchReport| {
        let (trouble, age) = (watch.trouble.as_ref()?, watch.age?);
        Some(format!("{}, {} for {} s: {trouble}\n", watch.kind, watch.state, age.as_secs()))
    };
    watches.iter().filter_map(line).collect()
}

/// Answers until it is dropped. Of too many connections the oldest is closed: it is the one that lingers, and a new one may
/// be the probe that decides on a restart.
pub(super) async fn serve(
    mut listener: TcpListener,
    routes: Router,
    certificate: Option<Arc<Certificate>>,
) -> Infallible {
    let mut connections = JoinSet::new();
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (stream, _) = Listener::accept(&mut listener).await;
        while connections.try_join_next().is_some() {}
        open.retain(|connection| !connection.is_finished());
        if open.len() >= MOST_CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(connections.spawn(answer(stream, routes.clone(), certificate.clone())));
    }
}

/// One connection is one request, so that one deadline covers whatever a client may be slow at.
async fn answer(stream: TcpStream, routes: Router, certificate: Option<Arc<Certificate>>) {
    let exchange = async {
        let Some(certificate) = certificate else { return converse(stream, routes).await };
        // Without a certificate there is nothing to say; the log tells why there is none.
        let Some(acceptor) = certificate.acceptor().await else { return };
        if let Ok(stream) = acceptor.accept(stream).await {
            converse(stream, routes).await;
        }
    };
    // Whoever asked sees by itself that there is no answer.
    let _ = timeout(DEADLINE, exchange).await;
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, routes: Router) {
    let service = TowerToHyperService::new(routes);
    let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    let _ = connection.await;
}
