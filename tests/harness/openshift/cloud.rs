//! What OpenShift 4.10 and later does in a cloud with OpenShift SDN, played against a simulated Azure.
//!
//! - [`claims`]: SDN's controller wants a `CloudPrivateIPConfig` for each address that works;
//! - [`cncc`]: the cloud network config controller does what these want, one address after the other;
//! - [`interfaces`]: how it reads and writes Azure's interfaces.
//!
//! Left out: nobody ever gives up trying (the original stops after 15 failures), leader election, IPv6, the pools of
//! load balancers, and SDN's rule against two addresses of a namespace on a node.

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::interfaces::{CONTROLLER, Interfaces};

mod claims;
mod cncc;
mod interfaces;

/// Annotation of a node: how many addresses its interface can have, and of which subnet.
pub const CAPACITY_ANNOTATION: &str = "cloud.network.openshift.io/egress-ipconfig";

/// The running controllers of one cluster.
pub struct CloudNetwork {
    at_work: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl CloudNetwork {
    /// Starts them. `CloudPrivateIPConfig` has to be served.
    pub fn start(client: &Client, interfaces: Interfaces) -> Self {
        let at_work = watch::Sender::new(true);
        let mut tasks = JoinSet::new();
        tasks.spawn(claims::run(client.clone()));
        tasks.spawn(cncc::run(client.clone(), interfaces, at_work.subscribe()));
        Self { at_work, _tasks: tasks }
    }

    /// The cloud network config controller, of which there is one pod, begins nothing new until it is back.
    pub fn is_away(&self, away: bool) {
        self.at_work.send_replace(!away);
    }
}
