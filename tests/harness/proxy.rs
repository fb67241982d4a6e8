//! A proxy between the operator and the API server, which spoils requests by rule: kills the operator right after a write,
//! delays, refuses, cuts, hangs.
//!
//! The operator talks plain HTTP to it; the proxy adds the operator's token and TLS.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use self::rules::{Asked, Matcher, Rule};
use self::rules::{Effect, Rules};
use super::process::Process;
use super::wait::eventually;
use super::{Cluster, server};

mod rules;

/// The process that a rule may kill; known once it has started.
#[derive(Clone)]
pub struct Target(watch::Sender<Option<Process>>);

impl Target {
    /// Names the process.
    pub fn set(&self, process: Process) {
        self.0.send_replace(Some(process));
    }

    async fn kill(&self) {
        let mut target = self.0.subscribe();
        let process = target.wait_for(Option::is_some).await.ok().and_then(|process| process.clone());
        if let Some(process) = process {
            let _ = tokio::task::spawn_blocking(move || process.kill()).await;
        }
    }
}

/// A running proxy. Its connections end when it is dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    kubeconfig: PathBuf,
    task: JoinHandle<()>,
}

struct Shared {
    upstream: Client,
    rules: Mutex<Rules>,
    target: Target,
    /// Raised to end all open connections.
    generation: watch::Sender<u64>,
    /// Raised to swallow all open connections.
    swallowed: watch::Sender<u64>,
}

impl Proxy {
    /// Starts one with the operator's rights, without rules.
    pub async fn start(cluster: &Cluster) -> Self {
        let upstream = cluster.sluice_client().await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let kubeconfig = cluster.folder().join(format!("proxy-{}.kubeconfig", address.port()));
        server::write_kubeconfig(&kubeconfig, &json!({ "server": format!("http://{address}") }), &json!({}));
        let shared = Arc::new(Shared {
            upstream,
            rules: Mutex::default(),
            target: Target(watch::Sender::default()),
            generation: watch::Sender::default(),
            swallowed: watch::Sender::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { shared, kubeconfig, task }
    }

    /// Adds a rule. Of several that match a request, the one added first applies.
    pub fn rule(&self, rule: Rule) {
        self.rules().add(rule);
    }

    /// Takes all rules away.
    pub fn clear(&self) {
        self.rules().clear();
    }

    /// Kills the target once the `k`-th matching request from now is committed, before it has its answer.
    pub fn kill_after(&self, k: usize, matcher: Matcher) {
        assert!(k > 0, "the first request is number 1");
        self.rule(Rule::kill(matcher).skip(k - 1).times(1));
    }

    /// Kills the target when the `k`-th matching request from now arrives, and keeps that from the server.
    pub fn kill_before(&self, k: usize, matcher: Matcher) {
        assert!(k > 0, "the first request is number 1");
        self.rule(Rule::kill_before(matcher).skip(k - 1).times(1));
    }

    /// Matching requests that came so far, in order.
    pub fn asked(&self, matcher: &Matcher) -> Vec<Asked> {
        self.rules().asked(matcher)
    }

    /// Waits until a rule has struck `times` times in all.
    pub async fn struck(&self, times: usize, deadline: Duration) {
        eventually("the proxy's rules strike", deadline, || async {
            let struck = self.rules().struck();
            if struck >= times { Ok(()) } else { Err(format!("{struck} of {times}")) }
        })
        .await;
    }

    /// Ends all open connections, watches included. New ones are accepted.
    pub fn cut(&self) {
        self.shared.generation.send_modify(|generation| *generation += 1);
    }

    /// From now on nothing comes through the connections that are open, and nobody is told: they stay open, and what is
    /// sent is acknowledged, as by a proxy whose server is gone. New ones work.
    pub fn swallow(&self) {
        self.shared.swallowed.send_modify(|swallowed| *swallowed += 1);
    }

    /// The process that rules kill; [`Launch::through`](super::Launch::through) sets it.
    pub fn target(&self) -> Target {
        self.shared.target.clone()
    }

    /// Path of a kubeconfig that leads here.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, Rules> {
        self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(serve(stream, Arc::clone(&shared)));
            },
            Some(_) = connections.join_next() => {},
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut generation = shared.generation.subscribe();
    generation.mark_unchanged();
    let mut swallowed = shared.swallowed.subscribe();
    swallowed.mark_unchanged();
    let service = service_fn(|request| answer(request, Arc::clone(&shared)));
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = &mut connection => {},
        _ = generation.changed() => {},
        // It is kept, but nobody looks at it any more.
        _ = swallowed.changed() => { let _ = generation.changed().await; },
    }
}

/// The connection is to be closed without an answer.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("cut by a rule")
    }
}

impl std::error::Error for Cut {}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, Cut> {
    let asked = Asked::of(&request);
    let effect = shared.rules.lock().unwrap_or_else(PoisonError::into_inner).effect_on(asked);
    match effect {
        Effect::Pass => forward(request, &shared).await,
        Effect::Answer(status) => Ok(refusal(status)),
        Effect::Delay(delay) => {
            let answer = forward(request, &shared).await;
            tokio::time::sleep(delay).await;
            answer
        }
        Effect::Hang => std::future::pending().await,
        Effect::CutBefore => Err(Cut),
        Effect::CutAfter => {
            committed(request, &shared).await?;
            Err(Cut)
        }
        Effect::KillBefore => {
            shared.target.kill().await;
            Err(Cut)
        }
        Effect::Kill => {
            committed(request, &shared).await?;
            shared.target.kill().await;
            Err(Cut)
        }
    }
}

/// Forwards a request and reads the answer to its end.
async fn committed(request: Request<Incoming>, shared: &Shared) -> Result<(), Cut> {
    let answer = forward(request, shared).await?;
    answer.into_body().collect_bytes().await.map(drop).map_err(|_| Cut)
}

async fn forward(request: Request<Incoming>, shared: &Shared) -> Result<Response<Body>, Cut> {
    let (mut parts, body) = request.into_parts();
    let body = http_body_util::BodyExt::collect(body).await.map_err(|_| Cut)?.to_bytes();
    parts.headers.remove(header::HOST);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::AUTHORIZATION);
    remove_hop_by_hop(&mut parts.headers);
    let mut answer = shared.upstream.send(Request::from_parts(parts, Body::from(body))).await.map_err(|_| Cut)?;
    remove_hop_by_hop(answer.headers_mut());
    Ok(answer)
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::TE, header::TRAILER] {
        headers.remove(name);
    }
}

/// What the API server would answer with this status.
fn refusal(status: hyper::StatusCode) -> Response<Body> {
    let reason = match status.as_u16() {
        403 => "Forbidden",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let body = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "refused by a rule of the test's proxy",
        "reason": reason,
        "code": status.as_u16(),
    });
    let mut answer = Response::new(Body::from(body.to_string().into_bytes()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if status.as_u16() == 429 {
        answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    answer
}
