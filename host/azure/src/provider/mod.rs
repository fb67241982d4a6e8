//! The provider: facts of the cloud, and changes of its interfaces.
//!
//! All that is decided is decided in [`state`], which is synchronous and is told the time. [`worker`] makes one attempt
//! at one change; [`run`] starts workers and reads the inventory.

mod pause;
mod refused;
mod run;
mod slot;
mod state;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_core::cloud::CloudFacts;
use sluice_core::name::NodeName;
use tokio::sync::{Notify, watch};

use crate::arm::Arm;
use crate::credentials::Credentials;
use crate::environment::Environment;
use crate::machine::MachineRef;
use crate::meter::Meter;
use crate::pace::Pace;
use state::State;

/// How a provider works.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which cloud.
    pub environment: Environment,
    /// The cluster's resource group, where machines are that Nodes do not name by provider id.
    pub resource_group: Option<String>,
    /// Whether interfaces are written at all.
    pub writes: bool,
    /// How often everything is listed.
    pub period: Duration,
    /// Most interfaces that are written at once.
    pub parallel: usize,
    /// Where time comes from.
    pub pace: Pace,
}

impl Config {
    /// The usual.
    pub fn new(environment: Environment) -> Self {
        Self {
            environment,
            resource_group: None,
            writes: true,
            period: Duration::from_mins(5),
            // Each one is asked after every ten seconds: some six of the 25 reads a second that Azure allows.
            parallel: 64,
            pace: Pace::default(),
        }
    }
}

/// Why there is no provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The HTTP client cannot be made: certificates or proxy settings.
    #[error("cannot make an http client for azure, see SSL_CERT_FILE and HTTPS_PROXY: {0}")]
    Http(String),
}

/// Why a change was not taken up. Planning again later is all that is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSubmitted {
    /// The cloud has not been read yet.
    #[error("azure has not been read yet")]
    NotReady,
    /// Interfaces are not written by us.
    #[error("interfaces are only read")]
    ReadOnly,
    /// There is no interface of that node.
    #[error("node {0} has no interface that could be written")]
    NoInterface(NodeName),
    /// A change of it is under way, or its pause after a failure is not over.
    #[error("the interface of node {0} is busy")]
    Busy(NodeName),
    /// Azure refused each of the addresses a while ago.
    #[error("azure refused these addresses for node {0} a while ago")]
    Refused(NodeName),
}

/// The provider. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Azure {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    arm: Arm,
    meter: Arc<Meter>,
    period: Duration,
    parallel: usize,
    resource_group: Option<String>,
    state: Mutex<State>,
    facts: watch::Sender<Option<Arc<CloudFacts>>>,
    /// Locked after the state, never before.
    told: Mutex<Told>,
    /// There is something to tell.
    news: Notify,
    work: Notify,
    inventory: Notify,
    /// Somebody waits for the inventory.
    hurry: Notify,
}

/// What of the state has been told.
#[derive(Debug, Default)]
struct Told {
    /// It may have changed since.
    is_outdated: bool,
    /// A change was taken up since: what comes of it is told even if it leaves everything as it was.
    has_submitted: bool,
    /// Why the cloud could not be read.
    obstacle: Option<String>,
    /// How often facts were derived, which takes a look at all interfaces.
    #[cfg(test)]
    times: usize,
}

impl Azure {
    /// Makes a provider. It does nothing until [`Azure::run`] runs, and knows nothing until it has credentials and
    /// nodes.
    pub fn new(config: Config) -> Result<Self, SetupError> {
        let meter = Arc::new(Meter::default());
        let arm = Arm::new(config.environment, config.pace, Arc::clone(&meter)).map_err(SetupError::Http)?;
        let shared = Shared {
            arm,
            meter,
            period: config.period,
            parallel: config.parallel.max(1),
            resource_group: config.resource_group,
            state: Mutex::new(State::new(config.writes)),
            facts: watch::Sender::new(None),
            told: Mutex::default(),
            news: Notify::new(),
            work: Notify::new(),
            inventory: Notify::new(),
            hurry: Notify::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The nodes there are, and their machines.
    pub fn set_nodes(&self, nodes: BTreeMap<NodeName, MachineRef>) {
        let is_news = self.state().nodes() != Some(&nodes);
        if is_news && self.change(|state, _| state.set_nodes(nodes)) {
            self.shared.inventory.notify_one();
        }
    }

    /// The credentials, or why there are none. They hold from the next request on.
    pub fn set_credentials(&self, credentials: Result<Credentials, String>) {
        if self.shared.arm.tokens().set(credentials) {
            self.shared.arm.start_afresh();
            self.change(|state, _| state.forgive());
            self.shared.inventory.notify_one();
        }
    }

    /// Whether interfaces are written, from now on. What is under way goes on.
    pub fn set_writes(&self, writes: bool) {
        let is_news = self.state().writes() != writes;
        if is_news {
            self.change(|state, _| state.set_writes(writes));
        }
    }

    /// Whether we are the one who may write, from now on; at first we are not. Then there are no facts until the cloud
    /// has been read again: who was in charge before may have changed everything.
    pub fn set_may_write(&self, may_write: bool) {
        let is_news = self.state().may_write() != may_write;
        if is_news {
            self.change(|state, now| {
                state.set_may_write(may_write, now);
                self.shared.arm.set_term(state.term());
            });
            self.shared.hurry.notify_one();
        }
    }

    /// What is known of the cloud; none until it has been read once.
    pub fn facts(&self) -> Option<Arc<CloudFacts>> {
        self.tell();
        self.shared.facts.borrow().clone()
    }

    /// Why the last attempt to read the cloud failed, if it did.
    pub fn obstacle(&self) -> Option<String> {
        self.state().obstacle()
    }

    /// Rings soon after the facts change, or the obstacle while there are none, while [`Azure::run`] runs.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<CloudFacts>>> {
        self.shared.facts.subscribe()
    }

    /// Takes up a change of a node's interface: addresses to put on, and to take off. The facts show it as under way
    /// when this returns. Addresses that are there already, or are not ours to take off, are passed over, and so are
    /// those that Azure refused a while ago. An interface whose last change failed is written even if nothing is left.
    pub fn submit(&self, node: &NodeName, on: &BTreeSet<IpAddr>, off: &BTreeSet<IpAddr>) -> Result<(), NotSubmitted> {
        let submitted = self.change(|state, now| state.submit(now, node, on, off));
        self.told().has_submitted |= submitted.is_ok();
        submitted
    }

    /// What it has done so far.
    pub fn meter(&self) -> &Meter {
        &self.shared.meter
    }

    /// Changes the state, and wakes whoever waits for facts or work. Facts are derived from all interfaces, so that is done
    /// once for many changes in a row: when somebody looks, or a moment later.
    fn change<T>(&self, change: impl FnOnce(&mut State, Duration) -> T) -> T {
        let now = self.shared.arm.pace().now();
        let result = change(&mut self.state(), now);
        self.told().is_outdated = true;
        self.shared.news.notify_one();
        self.shared.work.notify_one();
        result
    }

    /// Tells what has not been told yet.
    fn tell(&self) {
        let now = self.shared.arm.pace().now();
        // Locked to the end, so that facts are told in the order in which they came to be.
        let state = self.state();
        let mut told = self.told();
        if !std::mem::take(&mut told.is_outdated) {
            return;
        }
        #[cfg(test)]
        {
            told.times += 1;
        }
        let obstacle = state.obstacle();
        let has_submitted = std::mem::take(&mut told.has_submitted);
        let is_news = obstacle != told.obstacle;
        told.obstacle = obstacle;
        let facts = state.facts(now, self.shared.arm.closed_for().is_some()).map(Arc::new);
        self.shared.facts.send_if_modified(|known| {
            let differs = *known != facts;
            if differs {
                *known = facts;
            }
            // As long as nothing is known of the cloud, why that is so is all there is to tell.
            differs || has_submitted || (is_news && known.is_none())
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.shared.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The facts of a listing, without a cloud to change.
pub(crate) fn facts_of(
    listing: crate::inventory::Listing,
    nodes: BTreeMap<NodeName, MachineRef>,
    writes: bool,
) -> CloudFacts {
    let mut state = State::new(writes);
    state.set_nodes(nodes);
    state.listed(listing, Duration::ZERO, Duration::ZERO);
    state.facts(Duration::ZERO, false).unwrap_or_default()
}
