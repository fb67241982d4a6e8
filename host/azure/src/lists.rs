//! Lists of Microsoft.Network's resources, through `azure_mgmt_network`: its addresses, its paging, its types.
//!
//! Its requests go over [`Arm`], as its transport: tokens, throttling, deadlines, the check of the next page's host
//! and the reading of errors are ours, and its own retries are off. Its types want some fields to be there that nobody
//! needs here: where they cannot read a list, it is read without them, so that one odd resource does not hide all.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::auth::{AccessToken, TokenCredential};
use azure_core::error::{Error, ErrorKind};
use azure_core::headers::Headers;
use azure_core::{ClientOptions, HttpClient, Pageable, Request, Response, RetryOptions, StatusCode, TransportOptions};
use azure_mgmt_network::package_2024_03 as network;
use futures::StreamExt;
use serde::Serialize;
use serde_json::Value;

use crate::arm::{Arm, ArmError, COMPUTE_VERSION, Kind, NETWORK_VERSION, Verb};

/// Most pages of a list. Azure puts 100 and more on one.
const MAX_PAGES: usize = 2_000;

/// What the crate's types cannot read.
const UNREADABLE: &str = "BadAnswer";

/// The interfaces of a resource group.
pub(crate) async fn interfaces(arm: &Arm, subscription: &str, group: &str) -> Result<Vec<Value>, ArmError> {
    let list = client(arm).network_interfaces_client().list(group, subscription).into_stream();
    match collect(list, |page| page.value).await {
        Err(error) if &*error.code == UNREADABLE => {
            plain(arm, subscription, group, crate::id::INTERFACE, NETWORK_VERSION).await
        }
        other => other,
    }
}

/// The virtual networks of a resource group.
pub(crate) async fn networks(arm: &Arm, subscription: &str, group: &str) -> Result<Vec<Value>, ArmError> {
    let list = client(arm).virtual_networks_client().list(group, subscription).into_stream();
    match collect(list, |page| page.value).await {
        Err(error) if &*error.code == UNREADABLE => {
            plain(arm, subscription, group, crate::id::NETWORK, NETWORK_VERSION).await
        }
        other => other,
    }
}

/// The load balancers of a resource group, without the crate: its type of an outbound rule demands fields, and a rule
/// without one of them would hide all load balancers.
pub(crate) async fn balancers(arm: &Arm, subscription: &str, group: &str) -> Result<Vec<Value>, ArmError> {
    plain(arm, subscription, group, crate::id::BALANCER, NETWORK_VERSION).await
}

/// The virtual machines of a resource group. They are Microsoft.Compute's, which the crate does not know.
pub(crate) async fn machines(arm: &Arm, subscription: &str, group: &str) -> Result<Vec<Value>, ArmError> {
    plain(arm, subscription, group, crate::id::MACHINE, COMPUTE_VERSION).await
}

async fn plain(arm: &Arm, subscription: &str, group: &str, kind: &str, version: &str) -> Result<Vec<Value>, ArmError> {
    let path = format!("subscriptions/{subscription}/resourceGroups/{group}/providers/{kind}");
    let mut answer = arm.send(Verb::Get, arm.url(&path, version)?, None).await?;
    let mut found = Vec::new();
    let mut asked = BTreeSet::new();
    for _ in 0..MAX_PAGES {
        let mut page: Value = serde_json::from_str(&answer.body).map_err(|error| unreadable(&error.to_string()))?;
        match page.get_mut("value").map(Value::take) {
            Some(Value::Array(mut items)) => found.append(&mut items),
            _ => return Err(unreadable("there is no list in it")),
        }
        match page.get("nextLink").and_then(Value::as_str).filter(|next| !next.is_empty()) {
            Some(next) if !asked.insert(next.to_owned()) => return Err(endless()),
            Some(next) => answer = arm.follow(Verb::Get, next).await?,
            None => return Ok(found),
        }
    }
    Err(endless())
}

fn unreadable(text: &str) -> ArmError {
    ArmError::new(Kind::Permanent, UNREADABLE, &format!("azure's list cannot be read: {text}"))
}

fn endless() -> ArmError {
    ArmError::new(
        Kind::Permanent,
        "EndlessList",
        &format!("azure's list comes back on itself, or has more than {MAX_PAGES} pages"),
    )
}

async fn collect<P, T: Serialize>(
    mut pages: Pageable<P, Error>,
    items: impl Fn(P) -> Vec<T>,
) -> Result<Vec<Value>, ArmError> {
    let mut found = Vec::new();
    let mut count = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| match error.into_downcast::<ArmError>() {
            Ok(error) => error,
            Err(other) => unreadable(&other.to_string()),
        })?;
        for item in items(page) {
            // What follows reads the command line tool's output, too, and so works on plain JSON.
            found.push(serde_json::to_value(&item).map_err(|error| unreadable(&error.to_string()))?);
        }
        count += 1;
        if count > MAX_PAGES {
            return Err(endless());
        }
    }
    Ok(found)
}

fn client(arm: &Arm) -> network::Client {
    let options =
        ClientOptions::new(TransportOptions::new(Arc::new(Transport { arm: arm.clone(), asked: Mutex::default() })));
    let options = options.retry(RetryOptions::none());
    let endpoint = arm.environment().manager().clone();
    network::Client::new(endpoint, Arc::new(NoToken), Vec::new(), options)
}

/// Sends the crate's requests.
#[derive(Debug)]
struct Transport {
    arm: Arm,
    /// Pages that were asked for: a list that comes back on itself would never end.
    asked: Mutex<BTreeSet<String>>,
}

#[async_trait]
impl HttpClient for Transport {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<Response> {
        // Reads only; whatever headers the crate adds are about tokens and formats, which are Arm's to say.
        let failed = |error: ArmError| {
            let text = error.to_string();
            Error::full(ErrorKind::Other, error, text)
        };
        if *request.method() != azure_core::Method::Get {
            return Err(failed(ArmError::new(Kind::Permanent, "NotARead", "only lists are asked for this way")));
        }
        if !self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(request.url().to_string()) {
            return Err(failed(endless()));
        }
        let answer = self.arm.send(Verb::Get, request.url().clone(), None).await.map_err(failed)?;
        let status = StatusCode::try_from(answer.status).unwrap_or(StatusCode::Ok);
        let body = bytes::Bytes::from(answer.body);
        Ok(Response::new(status, Headers::new(), Box::pin(futures::stream::once(async move { Ok(body) }))))
    }
}

/// The crate wants a token for each request. [`Arm`] puts in the real one.
#[derive(Debug)]
struct NoToken;

#[async_trait]
impl TokenCredential for NoToken {
    async fn get_token(&self, _: &[&str]) -> azure_core::Result<AccessToken> {
        Ok(AccessToken::new("none", time::OffsetDateTime::now_utc() + Duration::from_hours(1)))
    }

    async fn clear_cache(&self) -> azure_core::Result<()> {
        Ok(())
    }
}
