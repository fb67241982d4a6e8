//! The cloud: which provider there is, what it needs of the cluster, and what planning needs of it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Result;
use kube::Client;
use prometheus_client::registry::Registry;
use sluice_core::backend::{Backend, WriteFailure, Written};
use sluice_core::cloud::CloudFacts;
use sluice_core::network::{Change, Target, Write};
use sluice_core::observed::{CloudPlatform, Observed, Platform};
use sluice_kube::index::SharedIndex;
use sluice_kube::patch::ApiServer;
use tokio::sync::{SetOnce, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::lease::{self, Term};
use crate::clouds::{CloudProvider, CloudSetup};

/// Wait after a failure to find the cloud.
const PAUSE: Duration = Duration::from_secs(30);

/// What planning sees of the cloud. There may be none.
pub(super) struct Cloud {
    setups: Vec<Arc<dyn CloudSetup>>,
    provider: OnceLock<Arc<dyn CloudProvider>>,
    /// Why there is no provider although there should be.
    obstacle: Mutex<Option<String>>,
    /// Where the cluster is, once it has said that it is in a cloud.
    place: SetOnce<(Arc<dyn CloudSetup>, CloudPlatform)>,
    bell: watch::Sender<()>,
}

impl Cloud {
    pub(super) fn new(setups: Vec<Arc<dyn CloudSetup>>) -> Self {
        Self {
            setups,
            provider: OnceLock::new(),
            obstacle: Mutex::new(None),
            place: SetOnce::new(),
            bell: watch::Sender::new(()),
        }
    }

    /// Adds the metrics of all clouds.
    pub(super) fn register(&self, registry: &mut Registry) {
        self.setups.iter().for_each(|setup| setup.register(registry));
    }

    /// Brings the metrics up to date.
    pub(super) fn count(&self) {
        if let Some(provider) = self.provider() {
            provider.count();
        }
    }

    /// Rings whenever there is news.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    /// The provider, once it is known which.
    pub(super) fn provider(&self) -> Option<&dyn CloudProvider> {
        self.provider.get().map(AsRef::as_ref)
    }

    /// Tells the provider what the cluster is like, and whether it may write, and adds what it knows of the interfaces.
    pub(super) fn show(&self, observed: &mut Observed, may_write: bool) {
        let Platform::Cloud(platform) = &observed.platform else { return };
        let Some(setup) = self.setups.iter().find(|setup| setup.name() == platform.name) else {
            observed.cloud_obstacle = Some("this version has no provider for it".to_owned());
            return;
        };
        let writes = setup.writes(observed);
        match self.provider() {
            Some(provider) => {
                provider.set_cluster(observed, writes);
                provider.set_may_write(may_write);
                observed.cloud = provider.facts();
            }
            // What it says first counts: a cluster does not move.
            None => self.place.set((Arc::clone(setup), platform.clone())).unwrap_or_default(),
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
        if let Some(provider) = self.provider() {
            provider.set_may_write(false);
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
        *self.obstacle.lock().unwrap_or_else(PoisonError::into_inner) = text;
        self.bell.send_replace(());
    }

    /// Finds the provider and keeps it supplied, until told to stop.
    pub(super) async fn run(self: Arc<Self>, needs: Needs, stop: CancellationToken) -> Result<()> {
        let work = async {
            let (setup, platform) = self.place.wait().await;
            let provider = self.connect(setup.as_ref(), platform).await;
            let provider = self.provider.get_or_init(|| provider);
            info!(cloud = platform.name, "the cloud's provider starts");
            // The round that this starts tells it of the nodes.
            self.set_obstacle(None);
            tokio::join!(
                provider.run(needs.client.clone(), needs.namespace.clone(), stop.clone()),
                self.ring(provider.watch()),
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
    async fn connect(&self, setup: &dyn CloudSetup, platform: &CloudPlatform) -> Arc<dyn CloudProvider> {
        loop {
            match setup.connect(platform).await {
                Ok(provider) => return provider,
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
}

/// What the provider needs of the cluster.
pub(super) struct Needs {
    pub(super) client: Client,
    pub(super) index: Arc<SharedIndex>,
    /// Our own namespace, where it is known.
    pub(super) namespace: Option<String>,
    pub(super) leads: watch::Receiver<Term>,
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
        let Some(provider) = self.cloud.provider() else { return Err(WriteFailure::NotFound) };
        match provider.submit(node, on, off) {
            Ok(()) => Ok(Written { resource_version: resource_version.to_owned() }),
            Err(refusal) => Err(WriteFailure::Transient(refusal)),
        }
    }
}

#[cfg(test)]
mod tests;
