//! Writes: JSON merge patches with a precondition and a deadline, and their answers as types.

mod body;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, StatusCode, header};
use kube::Client;
use kube::api::{DeleteParams, GetParams, Patch, PatchParams, PostParams, Preconditions};
use kube::client::Body;
use kube::core::{Request as ApiRequest, Resource as _, Status};
use serde_json::{Value, json};
use tokio::time::timeout;

use sluice_core::backend::{Backend, WriteFailure, Written};
use sluice_core::name::PoolName;
use sluice_core::network::Write;
use sluice_core::retry::retry_after;

use crate::failure;
use crate::index::{Index, SharedIndex};
use crate::kind::Kind;
use crate::names;
use crate::object::Object;
use body::ObjectRequest;
pub use body::{WriteRow, kind_name, shown, write_rows};

/// Longest a write may take. After it the write may or may not have happened; the watch will tell.
const DEADLINE: Duration = Duration::from_secs(10);

/// Longest that looking at an object after a failed write may take. After it the watch alone will tell.
const LOOK: Duration = Duration::from_secs(2);

/// Writes to a cluster, and shows its answers to the index.
#[derive(Clone)]
pub struct ApiServer {
    client: Client,
    index: Arc<SharedIndex>,
    deadline: Duration,
}

impl ApiServer {
    /// Writes with this client; what it writes shows in this index even before the watches tell.
    pub fn new(client: Client, index: Arc<SharedIndex>) -> Self {
        Self { client, index, deadline: DEADLINE }
    }

    /// Patches `status` of an EgressIPAM; `status` is a body made by [`crate::status::status_patch`].
    ///
    /// A `resource_version` that is no longer current gives [`WriteFailure::Conflict`] and changes nothing.
    pub async fn write_status(
        &self,
        pool: &PoolName,
        status: &Value,
        resource_version: &str,
    ) -> Result<Written, WriteFailure> {
        self.patch(Kind::Pool, pool.as_str(), Some("status"), json!({"status": status}), resource_version).await
    }

    /// Creates a core/v1 Event made by [`crate::events::Event::body`].
    pub async fn create_event(&self, namespace: &str, event: &Value) -> Result<(), WriteFailure> {
        let params = PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let request = ApiRequest::new(format!("/api/v1/namespaces/{namespace}/events"));
        let request = request.create(&params, event.to_string().into_bytes()).map_err(invalid)?;
        self.send(request).await.map(|_| ())
    }

    async fn patch(
        &self,
        kind: Kind,
        name: &str,
        subresource: Option<&str>,
        body: Value,
        resource_version: &str,
    ) -> Result<Written, WriteFailure> {
        let params = PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let request = ApiRequest::new(Object::url_path(&kind.api_resource(), None));
        let patch = Patch::Merge(with_precondition(kind, body, resource_version));
        let request = match subresource {
            None => request.patch(name, &params, &patch),
            Some(subresource) => request.patch_subresource(subresource, name, &params, &patch),
        };
        let answer = match self.send(request.map_err(invalid)?).await {
            Ok(answer) => answer,
            Err(failure) => {
                if matches!(failure, WriteFailure::Conflict | WriteFailure::Transient(_)) {
                    self.look_at(kind, name, resource_version).await;
                }
                return Err(failure);
            }
        };
        let object = Object::new(answer);
        if object.name() != name || object.resource_version().is_empty() {
            return Err(WriteFailure::Transient("the answer is not the object that was written".to_owned()));
        }
        self.index.change(|index| index.note_written(kind, &object));
        Ok(Written { resource_version: object.resource_version().to_owned() })
    }

    /// Makes an object that is not there. One of its name that is there gives [`WriteFailure::Conflict`], and stays.
    async fn create(&self, kind: Kind, name: &str, body: &Value) -> Result<Written, WriteFailure> {
        let params = PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let request = ApiRequest::new(Object::url_path(&kind.api_resource(), None));
        let request = request.create(&params, body.to_string().into_bytes()).map_err(invalid)?;
        let object = Object::new(self.send(request).await?);
        if object.name() != name || object.resource_version().is_empty() {
            return Err(WriteFailure::Transient("the answer is not the object that was made".to_owned()));
        }
        self.index.change(|index| index.note_made(kind, &object));
        Ok(Written { resource_version: object.resource_version().to_owned() })
    }

    /// Deletes an object as it was seen. Another version of it gives [`WriteFailure::Conflict`], and stays.
    async fn delete(&self, kind: Kind, name: &str, resource_version: &str) -> Result<Written, WriteFailure> {
        let Some(uid) = self.index.read(|index| index.uid(kind, name).map(str::to_owned)) else {
            return Err(WriteFailure::NotFound);
        };
        let preconditions =
            Preconditions { uid: Some(uid.clone()), resource_version: Some(resource_version.to_owned()) };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let request = ApiRequest::new(Object::url_path(&kind.api_resource(), None));
        match self.send(request.delete(name, &params).map_err(invalid)?).await {
            Ok(_) => {}
            Err(failure) => {
                if matches!(failure, WriteFailure::Conflict | WriteFailure::Transient(_)) {
                    self.look_at(kind, name, resource_version).await;
                }
                return Err(failure);
            }
        }
        self.index.change(|index| index.note_deleted(kind, name, &uid));
        Ok(Written { resource_version: String::new() })
    }

    /// Looks at an object whose write met another version, or of whose write nobody knows whether it happened. The watch
    /// tells as well, but perhaps only after the next round, which would undo what it does not see.
    async fn look_at(&self, kind: Kind, name: &str, written_as: &str) {
        let is_news = |index: &Index| index.resource_version(kind, name) != Some(written_as);
        if self.index.read(is_news) {
            return;
        }
        let request = ApiRequest::new(Object::url_path(&kind.api_resource(), None));
        let Ok(request) = request.get(name, &GetParams::default()) else { return };
        if let Ok(Ok(answer)) = timeout(LOOK, self.send(request)).await {
            self.index.change(|index| index.note_written(kind, &Object::new(answer)));
        }
    }

    async fn send(&self, request: Request<Vec<u8>>) -> Result<Value, WriteFailure> {
        let exchange = async {
            let answer = self.client.send(request.map(Body::from)).await?;
            let (head, body) = answer.into_parts();
            let body = body.collect_bytes().await?;
            Ok::<_, kube::Error>((head, body))
        };
        let (head, body) = timeout(self.deadline, exchange)
            .await
            .map_err(|_| WriteFailure::Transient(format!("no answer within {} s", self.deadline.as_secs())))?
            .map_err(|error| WriteFailure::Transient(failure::of_request(&error)))?;
        if head.status.is_success() {
            let unreadable = |error| WriteFailure::Transient(format!("the answer is not JSON: {error}"));
            return serde_json::from_slice(&body).map_err(unreadable);
        }
        Err(refusal(head.status, &head.headers, &body))
    }
}

impl Backend for ApiServer {
    async fn write(&self, write: &Write, resource_version: &str) -> Result<Written, WriteFailure> {
        let network = self.index.read(Index::network);
        let Some(request) = body::request(write, network) else {
            let what = format!("{} {}", kind_name(&write.target, network), write.target.name());
            return Err(WriteFailure::Invalid(format!("{what} is no object of the API server")));
        };
        match request {
            ObjectRequest::Patch { kind, name, body } => self.patch(kind, &name, None, body, resource_version).await,
            ObjectRequest::Create { kind, name, body } => self.create(kind, &name, &body).await,
            ObjectRequest::Delete { kind, name } => self.delete(kind, &name, resource_version).await,
        }
    }
}

/// Adds `metadata.resourceVersion`, which makes the API server refuse a patch of another version: fields that are
/// lists are whole values, so a stale write would undo somebody's change. Of a Node we change one label and nothing that is
/// a list, and its version changes all the time: there it is `metadata.uid`, so that no other node gets the label.
fn with_precondition(kind: Kind, mut body: Value, precondition: &str) -> Value {
    if let Some(fields) = body.as_object_mut() {
        let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            let field = if kind == Kind::Node { "uid" } else { "resourceVersion" };
            metadata.insert(field.to_owned(), json!(precondition));
        }
    }
    body
}

fn invalid(error: impl std::error::Error) -> WriteFailure {
    WriteFailure::Invalid(error.to_string())
}

/// What a status code of the API server means for a write.
fn refusal(code: StatusCode, headers: &HeaderMap, body: &[u8]) -> WriteFailure {
    let status: Option<Status> = serde_json::from_slice(body).ok();
    let message = status.as_ref().map(|status| status.message.clone()).filter(|text| !text.is_empty());
    let text = || match &message {
        Some(message) => failure::bounded(message),
        // Something in between answered, such as a proxy.
        None => failure::bounded(&format!("HTTP {code}: {}", String::from_utf8_lossy(body))),
    };
    let retry_after = seconds(headers, status.as_ref());
    match code {
        StatusCode::CONFLICT => WriteFailure::Conflict,
        StatusCode::NOT_FOUND | StatusCode::GONE => WriteFailure::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => WriteFailure::Denied(text()),
        StatusCode::TOO_MANY_REQUESTS => WriteFailure::Throttled { retry_after },
        StatusCode::SERVICE_UNAVAILABLE if retry_after.is_some() => WriteFailure::Throttled { retry_after },
        StatusCode::REQUEST_TIMEOUT => WriteFailure::Transient(text()),
        code if code.is_client_error() => WriteFailure::Invalid(text()),
        _ => WriteFailure::Transient(text()),
    }
}

/// `Retry-After` in its form in seconds, else what the body says.
fn seconds(headers: &HeaderMap, status: Option<&Status>) -> Option<Duration> {
    let header = headers.get(header::RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
    let body = || Some(Duration::from_secs(status?.details.as_ref()?.retry_after_seconds.into()));
    header.or_else(body).filter(|pause| !pause.is_zero())
}

#[cfg(test)]
mod tests;
