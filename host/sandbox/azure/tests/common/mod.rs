//! A small HTTP client.

use std::collections::BTreeMap;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sluice_sandbox_azure::Arm;
use tokio::net::TcpStream;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

/// Sends a request on a connection of its own; none if that closes without an answer.
pub(crate) async fn send(arm: &Arm, method: &str, path: &str, bearer: &str, body: String) -> Option<Answer> {
    let stream = TcpStream::connect(arm.base_url().strip_prefix("http://").unwrap()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let task = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path.replace(' ', "%20"))
        .header("host", "management.azure.com")
        .header("authorization", format!("Bearer {bearer}"))
        .body(Full::<Bytes>::from(body))
        .unwrap();
    let answer = sender.send_request(request).await.ok();
    let (parts, body) = answer?.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    task.abort();
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap().to_owned())
    };
    Some(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers.iter().map(header).collect(),
        body: if bytes.is_empty() { json!(null) } else { serde_json::from_slice(&bytes).unwrap() },
    })
}
