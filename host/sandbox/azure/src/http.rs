//! The HTTP shell: nothing is decided here.
//!
//! It stands on hyper and not on axum, because a connection has to be closed without an answer, and only a service that
//! fails can do that.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::answer::Answer;
use crate::clock::Clock;
use crate::request::Request;
use crate::world::World;

/// What the handle and the connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) world: Mutex<World>,
}

impl Shared {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a connection ends without an answer: it was asked for.
#[derive(Debug)]
struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dropped as asked for")
    }
}

impl std::error::Error for Dropped {}

/// Serves connections until the task is aborted, and all of them end with it.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&shared)));
            // A client that goes away is no concern of ours.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: hyper::Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Dropped> {
    let (parts, body) = request.into_parts();
    let text = |name: header::HeaderName| parts.headers.get(name)?.to_str().ok().map(str::to_owned);
    let bearer = text(header::AUTHORIZATION).map(|value| value.trim_start_matches("Bearer ").to_owned());
    let request = Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        bearer,
        if_match: text(header::IF_MATCH),
        body: body.collect().await.map_err(|_| Dropped)?.to_bytes().to_vec(),
    };
    let reply = {
        // The time is read under the lock, so that it never goes back.
        let mut world = shared.world();
        world.handle(shared.clock.now(), &request)
    };
    if reply.late > 0 {
        tokio::time::sleep(shared.clock.real(reply.late)).await;
    }
    reply.answer.and_then(response).ok_or(Dropped)
}

fn response(answer: Answer) -> Option<Response<Full<Bytes>>> {
    let mut builder = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        builder = builder.header(*name, value);
    }
    let body = match answer.body {
        None => Full::default(),
        Some(body) => {
            builder = builder.header(header::CONTENT_TYPE, "application/json; charset=utf-8");
            Full::from(body.to_string())
        }
    };
    builder.body(body).ok()
}
