//! The clouds that this program can serve.
//!
//! A cloud is one module here. It has a [`CloudSetup`], which is there from the start: flags, metrics, and how to get a
//! provider. It has a [`CloudProvider`], which is there once the cloud has been found. It may have a [`CloudDump`], for a
//! look at files instead of the cloud. What they say is in core's words, and what they tell people about the cloud is
//! part of its facts. Nothing outside of this folder names a cloud.

mod azure;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Result, bail};
use futures::future::BoxFuture;
use kube::Client;
use prometheus_client::registry::Registry;
use sluice_core::cloud::CloudFacts;
use sluice_core::name::NodeName;
use sluice_core::observed::{CloudPlatform, Observed, Platform};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What can be chosen about clouds when the operator runs.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CloudArgs {
    #[command(flatten)]
    azure: azure::AzureArgs,
}

impl CloudArgs {
    /// Whether they make sense, wherever the cluster is.
    pub(crate) fn check(&self) -> Result<()> {
        self.azure.check()
    }

    /// All clouds.
    pub(crate) fn setups(&self) -> Vec<Arc<dyn CloudSetup>> {
        vec![Arc::new(azure::Setup::new(self.azure.clone()))]
    }
}

/// A cloud as the command line set it up, whether the cluster is in it or not.
pub(crate) trait CloudSetup: Send + Sync {
    /// Its name, as facts of the platform have it.
    fn name(&self) -> &'static str;

    /// Adds its metrics to those that the process shows.
    fn register(&self, registry: &mut Registry);

    /// Whether it is us who writes interfaces in such a cluster.
    fn writes(&self, observed: &Observed) -> bool;

    /// Makes the provider of a cluster's cloud. The error says for people why that is not possible now; it may be tried
    /// again.
    fn connect<'a>(&'a self, platform: &'a CloudPlatform) -> BoxFuture<'a, Result<Arc<dyn CloudProvider>, String>>;
}

/// What shows the interfaces of a cluster's machines, and changes them.
pub(crate) trait CloudProvider: Send + Sync {
    /// Works until it is told to stop: reads the cloud, makes changes, and looks for its account in a namespace of the
    /// cluster. Does nothing before it is told of the nodes. To be called once.
    fn run(&self, client: Client, namespace: Option<String>, stop: CancellationToken) -> BoxFuture<'_, ()>;

    /// What is known of the interfaces; none until they have been read, in the present turn where we are in charge.
    fn facts(&self) -> Option<Arc<CloudFacts>>;

    /// Why the last attempt to read the cloud failed, if it did.
    fn obstacle(&self) -> Option<String>;

    /// Rings soon after the facts change, or the obstacle while there are none.
    fn watch(&self) -> watch::Receiver<Option<Arc<CloudFacts>>>;

    /// Tells what the cluster is like, and whether it is us who writes interfaces. What is under way goes on.
    fn set_cluster(&self, observed: &Observed, writes: bool);

    /// Whether anything may be written now; at first nothing may. What was taken up before and has not begun is dropped
    /// when that ends.
    fn set_may_write(&self, may_write: bool);

    /// Takes up a change of a node's interface: addresses to put on, and to take off. The facts show it as under way when
    /// this returns, and later what came of it. The error says for people why it was not taken up; to plan again is all
    /// that is to be done about it.
    fn submit(&self, node: &NodeName, on: &BTreeSet<IpAddr>, off: &BTreeSet<IpAddr>) -> Result<(), String>;

    /// Brings the metrics that its setup registered up to date.
    fn count(&self);
}

/// Files that show clouds to `plan`.
#[derive(clap::Args)]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    azure: azure::AzureDump,
}

/// Files that show one cloud.
trait CloudDump {
    /// The cloud's name, as facts of the platform have it.
    fn cloud(&self) -> &'static str;

    /// The flag that names a file.
    fn flag(&self) -> &'static str;

    /// No file was named.
    fn is_empty(&self) -> bool;

    /// What the files show of the cluster's interfaces.
    fn read(&self, observed: &Observed) -> Result<CloudFacts>;
}

impl DumpArgs {
    /// Adds the interfaces that files tell of. Where somebody else writes them, planning can do without.
    pub(crate) fn show(&self, observed: &mut Observed) -> Result<()> {
        let dumps: [&dyn CloudDump; 1] = [&self.azure];
        let is_here =
            |dump: &dyn CloudDump| matches!(&observed.platform, Platform::Cloud(it) if it.name == dump.cloud());
        if let Some(dump) = dumps.into_iter().find(|dump| !is_here(*dump) && !dump.is_empty()) {
            let (flag, cloud) = (dump.flag(), dump.cloud());
            bail!("{flag}: Infrastructure/cluster does not say that this cluster is on {cloud}");
        }
        let Some(dump) = dumps.into_iter().find(|dump| is_here(*dump)) else { return Ok(()) };
        if !dump.is_empty() {
            observed.cloud = Some(Arc::new(dump.read(observed)?));
        } else if observed.private_ips.is_some() {
            observed.cloud = Some(Arc::default());
        } else {
            observed.cloud_obstacle = Some(format!("{} FILE would show them", dump.flag()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
