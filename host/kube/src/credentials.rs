//! What a cloud's provider needs of the cluster: one Secret.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::time::sleep;

use crate::failure;

/// Wait after a failed watch.
const PAUSE: Duration = Duration::from_secs(5);

/// How long a watch lasts, in seconds: a connection that died without a word is noticed soon after.
const LASTS: u32 = 20;

/// A Secret's data by key; none: there is no such Secret.
pub type Data = Option<BTreeMap<String, Vec<u8>>>;

/// Watches one Secret, for ever, and tells its data whenever it changes. No other Secret is read.
pub async fn watch_secret(client: Client, namespace: &str, name: &str, tell: impl Fn(Data)) -> Infallible {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let found = |secret: Secret| {
        let data = secret.data.unwrap_or_default();
        tell(Some(data.into_iter().map(|(key, value)| (key, value.0)).collect()));
    };
    loop {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}")).timeout(LASTS);
        let events = watcher(secrets.clone(), config);
        pin_mut!(events);
        let mut listed = false;
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed = false,
                Ok(Event::InitApply(secret)) => {
                    listed = true;
                    found(secret);
                }
                Ok(Event::InitDone) if listed => {}
                Ok(Event::InitDone | Event::Delete(_)) => tell(None),
                Ok(Event::Apply(secret)) => found(secret),
                Err(error) => {
                    // What was read before still counts.
                    tracing::warn!(namespace, name, error = failure::of_watch(&error), "cannot watch the Secret");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}
