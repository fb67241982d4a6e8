//! etcd below the API server: exact loading of objects, resetting, compaction.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::try_join_all;
use hyper::Method;
use serde_json::{Value, json};

use super::http::Connection;

/// Connections for many changes.
const CONNECTIONS: usize = 4;

/// A client of etcd's JSON gateway.
#[derive(Debug, Clone)]
pub struct Etcd {
    address: SocketAddr,
}

/// One change.
#[derive(Debug, Clone)]
pub enum Change {
    /// Write a key.
    Put(String, Vec<u8>),
    /// Remove a key.
    Delete(String),
}

impl Etcd {
    /// The etcd that listens at `address`.
    pub fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    /// All keys that begin with `prefix`, with their values.
    pub async fn range(&self, prefix: &str) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let mut end = prefix.as_bytes().to_vec();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        let question = json!({ "key": STANDARD.encode(prefix), "range_end": STANDARD.encode(end) });
        let answer = self.call("/v3/kv/range", &question).await?;
        let entries = answer.get("kvs").and_then(Value::as_array).cloned().unwrap_or_default();
        entries.iter().map(|entry| stored(entry).ok_or_else(|| format!("unexpected entry {entry}"))).collect()
    }

    /// Applies changes, in no particular order, each in a transaction of its own.
    ///
    /// Not all in one: they would share one revision, and the API server's watch cache takes a revision for one change. Whoever
    /// listed in the middle of it would never hear of the rest.
    pub async fn apply(&self, changes: &[Change]) -> Result<(), String> {
        let share = changes.len().div_ceil(CONNECTIONS).max(1);
        try_join_all(changes.chunks(share).map(|share| async move {
            let mut connection = Connection::open(self.address).await?;
            for change in share {
                let (path, question) = change.call();
                call(&mut connection, path, &question).await?;
            }
            Ok(())
        }))
        .await
        .map(drop)
    }

    /// The newest revision.
    pub async fn revision(&self) -> Result<i64, String> {
        let answer = self.call("/v3/kv/range", &json!({ "key": STANDARD.encode("\0"), "count_only": true })).await?;
        number(answer.pointer("/header/revision")).ok_or_else(|| format!("no revision in {answer}"))
    }

    /// Forgets every revision before `revision`.
    pub async fn compact(&self, revision: i64) -> Result<(), String> {
        self.call("/v3/kv/compaction", &json!({ "revision": revision.to_string(), "physical": true })).await?;
        Ok(())
    }

    async fn call(&self, path: &str, question: &Value) -> Result<Value, String> {
        call(&mut Connection::open(self.address).await?, path, question).await
    }
}

impl Change {
    fn call(&self) -> (&'static str, Value) {
        match self {
            Self::Put(key, value) => {
                ("/v3/kv/put", json!({ "key": STANDARD.encode(key), "value": STANDARD.encode(value) }))
            }
            Self::Delete(key) => ("/v3/kv/deleterange", json!({ "key": STANDARD.encode(key) })),
        }
    }
}

async fn call(connection: &mut Connection, path: &str, question: &Value) -> Result<Value, String> {
    let (status, body) = connection.ask(Method::POST, path, question.to_string().into_bytes()).await?;
    if !status.is_success() {
        return Err(format!("etcd answered {path} with {status}: {body}"));
    }
    serde_json::from_str(&body).map_err(|error| format!("etcd answered {path} with {body}: {error}"))
}

fn stored(entry: &Value) -> Option<(String, Vec<u8>)> {
    let key = String::from_utf8(STANDARD.decode(entry.get("key")?.as_str()?).ok()?).ok()?;
    Some((key, STANDARD.decode(entry.get("value")?.as_str()?).ok()?))
}

/// The gateway writes 64-bit numbers as strings.
fn number(value: Option<&Value>) -> Option<i64> {
    value?.as_str()?.parse().ok()
}
