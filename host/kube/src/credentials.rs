//! What a cloud's provider needs of the cluster: one Secret, and the request that makes OpenShift fill it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::failure;
use crate::names;

/// Longest that one request may take.
const DEADLINE: Duration = Duration::from_secs(10);
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

/// What became of a request for credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requested {
    /// It is there now.
    Created,
    /// It was there already, and stays as it is.
    Present,
    /// The same, but it asks for a Secret somewhere else: `namespace/name`.
    Elsewhere(String),
    /// The cluster has no cloud credential operator.
    NotServed,
}

/// Creates the `CredentialsRequest` for Azure if it is absent, with no more rights than are needed, and the Secret in
/// `namespace` as its result. One that exists is never changed.
pub async fn request_azure(client: &Client, namespace: &str) -> Result<Requested, String> {
    let kind = GroupVersionKind::gvk("cloudcredential.openshift.io", "v1", "CredentialsRequest");
    let resource = ApiResource::from_gvk_with_plural(&kind, "credentialsrequests");
    let requests: Api<DynamicObject> = Api::namespaced_with(client.clone(), names::CREDENTIALS_NAMESPACE, &resource);
    let text = |error: &kube::Error| {
        format!("CredentialsRequest {}: {}", names::CREDENTIALS_REQUEST, failure::of_request(error))
    };
    let object = DynamicObject {
        types: Some(kube::core::TypeMeta { api_version: resource.api_version.clone(), kind: resource.kind.clone() }),
        metadata: ObjectMeta { name: Some(names::CREDENTIALS_REQUEST.to_owned()), ..ObjectMeta::default() },
        data: json!({"spec": {
            "secretRef": {"name": names::CREDENTIALS_SECRET, "namespace": namespace},
            // For workload identity: whose token Azure is to believe. The default path is where the Deployment mounts it.
            "serviceAccountNames": [names::SERVICE_ACCOUNT],
            "providerSpec": {
                "apiVersion": "cloudcredential.openshift.io/v1",
                "kind": "AzureProviderSpec",
                "permissions": AZURE_PERMISSIONS,
            },
        }}),
    };
    let params = PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let exchange = async {
        match requests.get_opt(names::CREDENTIALS_REQUEST).await {
            Ok(Some(found)) => return Ok(present(&found.data, namespace)),
            Ok(None) => {}
            // No such API at all: what answers then is not a status.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Requested::NotServed),
            Err(error) => return Err(text(&error)),
        }
        match requests.create(&params, &object).await {
            Ok(_) => Ok(Requested::Created),
            // The namespace or the whole API is not there.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Requested::NotServed),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Requested::Present),
            Err(error) => Err(text(&error)),
        }
    };
    let late =
        || format!("CredentialsRequest {}: no answer within {} s", names::CREDENTIALS_REQUEST, DEADLINE.as_secs());
    timeout(DEADLINE, exchange).await.unwrap_or_else(|_| Err(late()))
}

fn present(found: &Value, namespace: &str) -> Requested {
    let text = |pointer| found.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (place, name) = (text("/spec/secretRef/namespace"), text("/spec/secretRef/name"));
    if (place, name) == (namespace, names::CREDENTIALS_SECRET) {
        Requested::Present
    } else {
        Requested::Elsewhere(failure::bounded(&format!("{place}/{name}")))
    }
}

/// What Sluice does in Azure. A write of an interface names its subnet, load balancer pools, security groups and public
/// address again, and Azure asks for the right to join each of them.
const AZURE_PERMISSIONS: [&str; 11] = [
    "Microsoft.Compute/virtualMachines/read",
    "Microsoft.Network/applicationSecurityGroups/joinIpConfiguration/action",
    "Microsoft.Network/loadBalancers/backendAddressPools/join/action",
    "Microsoft.Network/loadBalancers/inboundNatRules/join/action",
    "Microsoft.Network/loadBalancers/read",
    "Microsoft.Network/networkInterfaces/read",
    "Microsoft.Network/networkInterfaces/write",
    "Microsoft.Network/networkSecurityGroups/join/action",
    "Microsoft.Network/publicIPAddresses/join/action",
    "Microsoft.Network/virtualNetworks/read",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
];
