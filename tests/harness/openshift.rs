//! What OpenShift does around the operator, played for a bare API server.
//!
//! - a NetNamespace for each new Namespace, deleted with it;
//! - a HostSubnet for each new Node, deleted with it;
//! - deleted Namespaces are finalized;
//! - claimed addresses are placed on nodes with `egressCIDRs` ([`sluice_sandbox::sdn`]).
//!
//! What it does in a cloud besides is in [`cloud`].
//!
//! Each can be switched off. As in OpenShift, an object that somebody deletes by hand does not come back.

use std::collections::BTreeSet;
use std::sync::Mutex;

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::act::Actor;
use self::view::View;

mod act;
pub mod cloud;
pub mod view;

/// What the stand-in does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switches {
    /// Make and delete NetNamespaces.
    pub net_namespaces: bool,
    /// Make and delete HostSubnets.
    pub host_subnets: bool,
    /// Place addresses on nodes with `egressCIDRs`.
    pub place: bool,
    /// Namespaces and nodes that never get their NetNamespace or HostSubnet.
    pub without: BTreeSet<String>,
    /// Namespaces that stay Terminating, as if something in them could not be deleted.
    pub held: BTreeSet<String>,
}

impl Default for Switches {
    fn default() -> Self {
        Self { net_namespaces: true, host_subnets: true, place: true, without: BTreeSet::new(), held: BTreeSet::new() }
    }
}

/// The running stand-in of one cluster.
pub struct OpenShift {
    client: Client,
    switches: watch::Sender<Switches>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl OpenShift {
    /// Starts it, everything on.
    pub fn start(client: Client) -> Self {
        let openshift = Self { client, switches: watch::Sender::default(), task: Mutex::new(None) };
        openshift.resume();
        openshift
    }

    /// Changes what it does, from now on.
    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        self.switches.send_modify(change);
    }

    /// Starts it again after [`stop`](Self::stop). Before it does anything it reads everything.
    pub fn resume(&self) {
        let task = tokio::spawn(run(self.client.clone(), self.switches.subscribe()));
        *self.task.lock().expect("no panic while locked") = Some(task);
    }

    /// Stops it; returns when it does nothing any more.
    pub async fn stop(&self) {
        let task = self.task.lock().expect("no panic while locked").take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for OpenShift {
    fn drop(&mut self) {
        if let Ok(task) = self.task.get_mut()
            && let Some(task) = task.take()
        {
            task.abort();
        }
    }
}

async fn run(client: Client, mut switches: watch::Receiver<Switches>) {
    let mut view = View::watch(&client, &["Namespace", "NetNamespace", "Node", "HostSubnet"]);
    let mut actor = Actor::new(client);
    while view.changed_or(&mut switches).await {
        let current = switches.borrow_and_update().clone();
        actor.act(&mut view, &current).await;
    }
}
