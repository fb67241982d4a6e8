//! Azure: its flags, its account in the cluster, and its provider as the operator knows it.

mod dump;
mod metrics;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::Client;
use prometheus_client::registry::Registry;
use sluice_azure::{
    Azure, Config, Credentials, Environment, EnvironmentOptions, LoadBalancerChoice, MachineRef, Pace, plain_client,
};
use sluice_core::cloud::CloudFacts;
use sluice_core::name::NodeName;
use sluice_core::observed::{CloudPlatform, NodeFacts, Observed, PoolFacts};
use sluice_kube::credentials::{Data, watch_secret};
use sluice_kube::names;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{CloudProvider, CloudSetup};
pub(super) use dump::AzureDump;
use metrics::AzureMetrics;

/// As `Infrastructure/cluster` has it.
const NAME: &str = "Azure";

/// Who writes the interfaces of Azure's machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum NicWrites {
    /// Sluice, unless the cluster has a cloud network config controller (OpenShift 4.10 and later)
    #[default]
    Auto,
    /// Sluice
    Always,
    /// Somebody else
    Never,
}

/// What can be chosen about Azure.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct AzureArgs {
    /// Who writes the interfaces of Azure's machines
    #[arg(long = "azure-nic-writes", value_enum, default_value_t, value_name = "WHEN")]
    nic_writes: NicWrites,
    /// Azure Resource Manager [default: as the Infrastructure object says]; plain http on loopback only
    #[arg(long = "azure-arm-endpoint", value_name = "URL")]
    arm_endpoint: Option<String>,
    /// Where Azure's tokens come from [default: as the Infrastructure object says]; plain http on loopback only
    #[arg(long = "azure-authority-host", value_name = "URL", env = "AZURE_AUTHORITY_HOST")]
    authority_host: Option<String>,
    /// Lets Azure's time pass so many times as fast: for tests against a simulator
    #[arg(long = "azure-time-scale", value_name = "N", default_value_t = 1, hide = true)]
    time_scale: u32,
}

impl AzureArgs {
    /// Whether they make sense, wherever the cluster is.
    pub(super) fn check(&self) -> Result<()> {
        let (manager, authority) = (self.arm_endpoint.clone(), self.authority_host.clone());
        Ok(Environment::check(&EnvironmentOptions { manager, authority, ..EnvironmentOptions::default() })?)
    }
}

/// Azure as the command line set it up.
pub(super) struct Setup {
    args: AzureArgs,
    metrics: AzureMetrics,
}

impl Setup {
    pub(super) fn new(args: AzureArgs) -> Self {
        Self { args, metrics: AzureMetrics::new() }
    }

    async fn find(&self, platform: &CloudPlatform) -> Result<Azure, String> {
        let setting = |name: &str| platform.settings.get(name).cloned();
        let options = EnvironmentOptions {
            cloud: setting("cloudName"),
            stack_endpoint: setting("armEndpoint"),
            manager: self.args.arm_endpoint.clone(),
            authority: self.args.authority_host.clone(),
        };
        let http = plain_client()?;
        let environment = Environment::find(&options, &http).await.map_err(|error| error.to_string())?;
        let config = Config {
            resource_group: setting("resourceGroupName"),
            pace: Pace::new(self.args.time_scale),
            ..Config::new(environment)
        };
        Azure::new(config).map_err(|error| error.to_string())
    }
}

impl CloudSetup for Setup {
    fn name(&self) -> &'static str {
        NAME
    }

    fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    fn writes(&self, observed: &Observed) -> bool {
        match self.args.nic_writes {
            NicWrites::Auto => observed.private_ips.is_none(),
            NicWrites::Always => true,
            NicWrites::Never => false,
        }
    }

    fn connect<'a>(&'a self, platform: &'a CloudPlatform) -> BoxFuture<'a, Result<Arc<dyn CloudProvider>, String>> {
        let connected = async move {
            let azure = self.find(platform).await.inspect_err(|text| warn!(reason = text, "azure cannot be used"))?;
            let provider: Arc<dyn CloudProvider> = Arc::new(Provider { azure, metrics: self.metrics.clone() });
            Ok(provider)
        };
        connected.boxed()
    }
}

/// Azure as the operator knows it.
struct Provider {
    azure: Azure,
    metrics: AzureMetrics,
}

impl Provider {
    /// Gives Azure its account. Never ends, unless nobody knows where the account is.
    async fn account(&self, client: Client, namespace: Option<String>) {
        let Some(namespace) = namespace else {
            let text = "NAMESPACE is not set, so that nobody knows where the Secret is";
            self.azure.set_credentials(Err(text.to_owned()));
            return;
        };
        let secret = format!("Secret {namespace}/{}", names::CREDENTIALS_SECRET);
        let tell = |data: Data| {
            let read = data.ok_or_else(|| format!("there is no {secret}: deploy/azure.yaml has OpenShift make it"));
            let read =
                read.and_then(|data| Credentials::from_secret(&data).map_err(|error| format!("{secret}: {error}")));
            if let Err(text) = &read {
                warn!(reason = text, "no account in azure");
            }
            self.azure.set_credentials(read);
        };
        match watch_secret(client, &namespace, names::CREDENTIALS_SECRET, tell).await {}
    }
}

impl CloudProvider for Provider {
    fn run(&self, client: Client, namespace: Option<String>, stop: CancellationToken) -> BoxFuture<'_, ()> {
        let work = async move {
            tokio::join!(self.azure.clone().run(stop), self.account(client, namespace));
        };
        work.boxed()
    }

    fn facts(&self) -> Option<Arc<CloudFacts>> {
        self.azure.facts()
    }

    fn obstacle(&self) -> Option<String> {
        self.azure.obstacle()
    }

    fn watch(&self) -> watch::Receiver<Option<Arc<CloudFacts>>> {
        self.azure.watch()
    }

    fn set_cluster(&self, observed: &Observed, writes: bool) {
        self.azure.set_writes(writes);
        self.azure.set_nodes(machines(observed));
    }

    fn set_may_write(&self, may_write: bool) {
        self.azure.set_may_write(may_write);
    }

    fn submit(&self, node: &NodeName, on: &BTreeSet<IpAddr>, off: &BTreeSet<IpAddr>) -> Result<(), String> {
        self.azure.submit(node, on, off).map_err(|refusal| refusal.to_string())
    }

    fn count(&self) {
        self.metrics.take(self.azure.meter());
    }
}

/// The machines of all nodes. Addresses of a node stay out of load balancers if one of its pools says so.
fn machines(observed: &Observed) -> BTreeMap<NodeName, MachineRef> {
    let shy: Vec<_> = observed.pools.values().filter(|pool| pool.no_load_balancer).collect();
    let machine = |(name, node): (&NodeName, &Arc<NodeFacts>)| {
        let is_used = |pool: &&Arc<PoolFacts>| {
            node.labels.contains_key(&pool.spec.topology_label) && pool.spec.node_selector.matches(&node.labels)
        };
        let pools = match shy.iter().copied().find(is_used) {
            Some(_) => LoadBalancerChoice::None,
            None => LoadBalancerChoice::SameAsPrimary,
        };
        (name.clone(), MachineRef { provider_id: node.provider_id.clone(), machine: node.machine.clone(), pools })
    };
    observed.nodes.iter().map(machine).collect()
}
