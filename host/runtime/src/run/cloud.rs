//! The cloud: which provider there is, what it needs of the cluster, and what planning needs of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use kube::Client;
use sluice_azure::{
    Azure, Config, Credentials, Environment, EnvironmentOptions, LoadBalancerChoice, MachineRef, Pace, plain_client,
};
use sluice_core::backend::{Backend, WriteFailure, Written};
use sluice_core::cloud::CloudFacts;
use sluice_core::name::NodeName;
use sluice_core::network::{Change, Target, Write};
use sluice_core::observed::{CloudPlatform, Observed, Platform};
use sluice_kube::credentials::{Data, watch_secret};
use sluice_kube::index::SharedIndex;
use sluice_kube::names;
use sluice_kube::patch::ApiServer;
use tokio::sync::{SetOnce, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::lease::{self, Term};

/// Wait after a failure to find the cloud.
const PAUSE: Duration = Duration::from_secs(30);

/// Who writes the interfaces of Azure's machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum NicWrites {
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
pub(crate) struct AzureArgs {
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
    pub(crate) fn check(&self) -> Result<()> {
        let (manager, authority) = (self.arm_endpoint.clone(), self.authority_host.clone());
        Ok(Environment::check(&EnvironmentOptions { manager, authority, ..EnvironmentOptions::default() })?)
    }
}

/// What planning sees of the cloud. There may be none.
pub(super) struct Cloud {
    args: AzureArgs,
    provider: OnceLock<Azure>,
    /// Why there is no provider although there should be.
    obstacle: Mutex<Option<String>>,
    /// Where the cluster is, once it has said that it is in a cloud.
    platform: SetOnce<CloudPlatform>,
    bell: watch::Sender<()>,
}

impl Cloud {
    pub(super) fn new(args: AzureArgs) -> Self {
        Self {
            args,
            provider: OnceLock::new(),
            obstacle: Mutex::new(None),
            platform: SetOnce::new(),
            bell: watch::Sender::new(()),
        }
    }

    /// Rings whenever there is news.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    /// The provider, once it is known which.
    pub(super) fn provider(&self) -> Option<&Azure> {
        self.provider.get()
    }

    /// Tells the provider what the cluster is like, and whether it may write, and adds what it knows of the interfaces.
    pub(super) fn show(&self, observed: &mut Observed, in_charge: bool) {
        let Platform::Cloud(platform) = &observed.platform else { return };
        let writes = self.writes(observed);
        match self.provider() {
            Some(azure) => {
                azure.set_writes(writes);
                azure.set_nodes(machines(observed));
                azure.set_in_charge(in_charge);
                observed.cloud = azure.facts();
            }
            // What it says first counts: a cluster does not move.
            None => self.platform.set(platform.clone()).unwrap_or_default(),
        }
        if observed.cloud.is_none() && !writes {
            // Who writes the interfaces needs no account of ours.
            observed.cloud = Some(Arc::new(CloudFacts::default()));
        }
        if observed.cloud.is_none() {
            observed.cloud_obstacle = self.obstacle();
        }
    }

    /// Nothing may be written for now.
    pub(super) fn stand_by(&self) {
        if let Some(azure) = self.provider() {
            azure.set_in_charge(false);
        }
    }

    /// Stands by as soon as the lease is lost, or the old operator takes its lock: a round may take a while, and what
    /// waits for its turn does not.
    async fn follow(&self, needs: &Needs) {
        let (mut leads, mut bell) = (needs.leads.clone(), needs.index.subscribe());
        loop {
            let holds = leads.borrow_and_update().holds();
            if !holds || needs.index.foreign_lock().is_some() {
                self.stand_by();
            }
            tokio::select! {
                () = lease::ended(leads.clone()), if holds => {}
                Ok(()) = leads.changed() => {}
                Ok(()) = bell.changed() => {}
                else => return,
            }
        }
    }

    fn obstacle(&self) -> Option<String> {
        let own = self.obstacle.lock().unwrap_or_else(PoisonError::into_inner).clone();
        own.or_else(|| self.provider()?.obstacle())
    }

    fn set_obstacle(&self, text: Option<String>) {
        if let Some(text) = &text {
            warn!(reason = text, "azure cannot be used");
        }
        *self.obstacle.lock().unwrap_or_else(PoisonError::into_inner) = text;
        self.bell.send_replace(());
    }

    /// Whether it is us who writes interfaces.
    fn writes(&self, observed: &Observed) -> bool {
        match self.args.nic_writes {
            NicWrites::Auto => observed.private_ips.is_none(),
            NicWrites::Always => true,
            NicWrites::Never => false,
        }
    }

    /// Finds the provider and keeps it supplied, until told to stop.
    pub(super) async fn run(self: Arc<Self>, needs: Needs, stop: CancellationToken) -> Result<()> {
        let work = async {
            let platform = self.platform.wait().await;
            let azure = self.connect(platform).await;
            let azure = self.provider.get_or_init(|| azure);
            info!(cloud = platform.name, "the cloud's provider starts");
            // The round that this starts tells it of the nodes.
            self.set_obstacle(None);
            tokio::join!(
                azure.clone().run(stop.clone()),
                self.ring(azure.watch()),
                self.account(azure, &needs),
                self.follow(&needs),
            );
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
        Ok(())
    }

    /// Makes the provider; tries until it can be made.
    async fn connect(&self, platform: &CloudPlatform) -> Azure {
        let setting = |name: &str| platform.settings.get(name).cloned();
        let options = EnvironmentOptions {
            cloud: setting("cloudName"),
            stack_endpoint: setting("armEndpoint"),
            manager: self.args.arm_endpoint.clone(),
            authority: self.args.authority_host.clone(),
        };
        loop {
            let made = async {
                let http = plain_client()?;
                let environment = Environment::find(&options, &http).await.map_err(|error| error.to_string())?;
                let config = Config {
                    resource_group: setting("resourceGroupName"),
                    pace: Pace::new(self.args.time_scale),
                    ..Config::new(environment)
                };
                Azure::new(config).map_err(|error| error.to_string())
            };
            match made.await {
                Ok(azure) => return azure,
                Err(text) => self.set_obstacle(Some(text)),
            }
            sleep(PAUSE).await;
        }
    }

    async fn ring(&self, mut news: watch::Receiver<Option<Arc<CloudFacts>>>) {
        while news.changed().await.is_ok() {
            self.bell.send_replace(());
        }
    }

    /// Gives the provider its account. Never ends.
    async fn account(&self, azure: &Azure, needs: &Needs) {
        let Some(namespace) = needs.namespace.clone() else {
            azure.set_credentials(Err("NAMESPACE is not set, so that nobody knows where the Secret is".to_owned()));
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
            azure.set_credentials(read);
        };
        match watch_secret(needs.client.clone(), &namespace, names::CREDENTIALS_SECRET, tell).await {}
    }
}

/// What the provider needs of the cluster.
pub(super) struct Needs {
    pub(super) client: Client,
    pub(super) index: Arc<SharedIndex>,
    /// Our own namespace, where it is known.
    pub(super) namespace: Option<String>,
    pub(super) leads: watch::Receiver<Term>,
}

/// The machines of all nodes. Addresses of a node stay out of load balancers if one of its pools says so.
pub(crate) fn machines(observed: &Observed) -> BTreeMap<NodeName, MachineRef> {
    let shy: Vec<_> = observed.pools.values().filter(|pool| pool.no_load_balancer).collect();
    let machine = |(name, node): (&NodeName, &Arc<sluice_core::observed::NodeFacts>)| {
        let is_used = |pool: &&Arc<sluice_core::observed::PoolFacts>| {
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

/// Writes objects of the cluster, and interfaces of the cloud.
#[derive(Clone)]
pub(super) struct Writer {
    pub(super) server: ApiServer,
    pub(super) cloud: Arc<Cloud>,
}

impl Backend for Writer {
    /// An interface counts as written when its provider has taken the change up: what comes of it shows in its facts.
    async fn write(&self, write: &Write, resource_version: &str) -> Result<Written, WriteFailure> {
        let (Target::Interface(node), Change::Interface { on, off }) = (&write.target, &write.change) else {
            return self.server.write(write, resource_version).await;
        };
        let Some(azure) = self.cloud.provider() else { return Err(WriteFailure::NotFound) };
        match azure.submit(node, on, off) {
            Ok(()) => Ok(Written { resource_version: resource_version.to_owned() }),
            Err(refusal) => Err(WriteFailure::Transient(refusal.to_string())),
        }
    }
}
