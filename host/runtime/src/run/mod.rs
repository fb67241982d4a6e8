//! The operator: tasks, their wiring, and their end.
//!
//! ```text
//! watches -> index -> planner -> API server
//!                     |   ^-- swap (files), lease
//!                     v
//!                     reporter -> status, events
//! ```
//!
//! Every task is joined. One that ends by itself ends the process: a half-alive operator is worse than a restart.

mod authorization;
mod cloud;
mod cut;
mod events;
mod lease;
pub(crate) mod locks;
mod metrics;
mod pauses;
mod planner;
mod probes;
mod reporter;
mod round;
pub(crate) mod scrape;
mod slice;
mod succession;
mod swap;
mod tls;
mod trial;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use kube::Client;
use sluice_core::round::Grant;
use sluice_kube::client::{ClientOptions, connect};
use sluice_kube::index::SharedIndex;
use sluice_kube::patch::ApiServer;
use sluice_kube::watch::watches;
use sluice_policy::{Cancel, Policy, PolicyHost};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::cli::{Listen, policy_host};
use crate::clouds::CloudArgs;
use crate::network_args::NetworkArgs;
use crate::policy_files::PolicyFiles;
use crate::unix_milliseconds;
use cloud::{Cloud, Needs, Writer};
use events::Events;
use lease::{Candidate, Identity, Term};
use locks::LockArgs;
use metrics::Metrics;
use planner::{Memory, Planner};
use probes::{Probed, Pulse, serve};
use reporter::{Reporter, Story};
use scrape::ScrapeArgs;
use slice::Slice;
use succession::{Named, Succession};
use swap::{Files, Offer};

/// After SIGTERM: how long writes in flight get to end. With the lease's release it is well below 5 s.
const LAST_WRITES: Duration = Duration::from_millis(2500);
/// After SIGTERM: how long giving the lease back may take.
const LAST_WORDS: Duration = Duration::from_millis(1500);

/// How long a start waits for the policy of the files, before the built-in one stands in. The largest take 13 s to compile.
const LOADING: Duration = Duration::from_secs(20);

/// Where a pod's namespace stands.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// The name of the only slice.
const EVERYTHING: &str = "default";

/// What the command line says.
pub(crate) struct RunOptions {
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) policy: PolicyFiles,
    pub(crate) metrics: Listen,
    pub(crate) health: Listen,
    pub(crate) scrape: ScrapeArgs,
    pub(crate) network: NetworkArgs,
    pub(crate) locks: LockArgs,
    pub(crate) clouds: CloudArgs,
}

/// Why the operator is no more.
pub(crate) enum Ended {
    /// It was asked to.
    Asked,
    /// A task died.
    Died,
    /// It never started.
    CannotStart,
}

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(options: RunOptions) -> Ended {
    info!(version = env!("CARGO_PKG_VERSION"), "sluice starts");
    let started = async {
        options.clouds.check()?;
        options.scrape.check(&options.metrics, &options.health)?;
        let mut signals = Signals::catch()?;
        tokio::select! {
            operator = Operator::start(options) => Ok(Some((operator?, signals))),
            () = signals.stop() => Ok::<_, anyhow::Error>(None),
        }
    };
    match started.await {
        Ok(Some((operator, signals))) => operator.supervise(signals).await,
        Ok(None) => Ended::Asked,
        Err(failure) => {
            error!(error = format!("{failure:#}"), "cannot start");
            Ended::CannotStart
        }
    }
}

/// What asks to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        info!("asked to stop");
    }
}

/// All tasks.
struct Operator {
    /// Those whose work is ended in order: planner, reporter, file watch.
    work: JoinSet<(&'static str, Result<()>)>,
    stop: CancellationToken,
    /// Gives the lease back once all work is ended.
    lease: JoinSet<(&'static str, Result<()>)>,
    /// Those that only serve, until the last moment: watches, probes.
    services: JoinSet<(&'static str, Result<()>)>,
    release: CancellationToken,
}

impl Operator {
    async fn start(options: RunOptions) -> Result<Self> {
        let host = policy_host()?;
        let client =
            connect(&ClientOptions { kubeconfig: options.kubeconfig.clone(), ..ClientOptions::default() }).await?;
        let index = Arc::new(SharedIndex::new(unix_milliseconds));
        options.locks.tell(&index);
        index.quietly(|index| options.network.tell(index));
        let cloud = Arc::new(Cloud::new(options.clouds.setups()));
        let metrics = Arc::new(Metrics::new(|registry| cloud.register(registry)));
        let pulse = Arc::new(Pulse::default());
        let (stop, release) = (CancellationToken::new(), CancellationToken::new());
        let (mut work, mut lease, mut services) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        let facts = Probed {
            index: Arc::clone(&index),
            pulse: Arc::clone(&pulse),
            metrics: Arc::clone(&metrics),
            cloud: Arc::clone(&cloud),
        };
        listen(&options, &facts, &client, &mut services).await?;
        // Only now: whoever asks how it is gets an answer while it compiles.
        let (policies, files) = load(&options.policy, &host, &metrics).await?;
        let leads = elect(&options, &mut lease, release.clone()).await?;
        for watch in watches(&client, &index) {
            let future = async move { match watch.future.await {} };
            spawn(&mut services, "watch", future);
        }
        let asking = locks::ask(client.clone(), Arc::clone(&index));
        spawn(&mut services, "locks", async move { match asking.await {} });
        let (offer, offers) = mpsc::channel(1);
        if let Some(files) = files {
            spawn(&mut work, "policy files", files.watch(offer, stop.clone()));
        }
        let server = ApiServer::new(client.clone(), Arc::clone(&index));
        let needs = Needs {
            client: client.clone(),
            index: Arc::clone(&index),
            namespace: own_namespace(),
            leads: leads.clone(),
        };
        spawn(&mut work, "cloud", Arc::clone(&cloud).run(needs, stop.clone()));
        let (stories, heard) = watch::channel(Arc::new(Story::default()));
        // A story replaces the one before; a repair is told once, and there are never more than writes.
        let (repairs, repaired) = mpsc::unbounded_channel();
        let events = Events::new(server.clone(), Arc::clone(&index), repaired);
        let reporter = Reporter::new(server.clone(), client, Arc::clone(&index), heard, events, leads.clone());
        let (memory, quit) = (Memory::default(), stop.clone());
        let writer = Writer { server, cloud };
        let slices = vec![Slice::new(Grant { name: EVERYTHING.to_owned(), ..Grant::default() }, policies)];
        let planner =
            Planner { index, writer, slices, offers, leads, stories, repairs, metrics, pulse, stop: quit, memory };
        let quit = stop.clone();
        spawn(&mut work, "reporter", async move {
            reporter.run(quit).await;
            Ok(())
        });
        spawn(&mut work, "planner", planner.run());
        Ok(Self { work, stop, lease, services, release })
    }

    /// Waits for the end, and brings it about in order.
    async fn supervise(mut self, mut signals: Signals) -> Ended {
        let died = tokio::select! {
            () = signals.stop() => None,
            Some(ended) = self.work.join_next() => Some(ended),
            Some(ended) = self.lease.join_next() => Some(ended),
            Some(ended) = self.services.join_next() => Some(ended),
        };
        let ended = match died {
            None => Ended::Asked,
            Some(ended) => {
                let (task, failure) = match ended {
                    Ok((task, Ok(()))) => (task, anyhow!("it ended by itself")),
                    Ok((task, Err(failure))) => (task, failure),
                    Err(panic) => ("a task", panic.into()),
                };
                error!(task, error = format!("{failure:#}"), "died");
                Ended::Died
            }
        };
        // First the writes, then the lease under which they are made.
        self.stop.cancel();
        finish(&mut self.work, LAST_WRITES).await;
        self.release.cancel();
        finish(&mut self.lease, LAST_WORDS).await;
        self.services.shutdown().await;
        info!("stopped");
        ended
    }
}

/// Adds a task that has a name.
fn spawn(
    tasks: &mut JoinSet<(&'static str, Result<()>)>,
    name: &'static str,
    task: impl Future<Output = Result<()>> + Send + 'static,
) {
    tasks.spawn(async move { (name, task.await) });
}

/// Joins tasks; those that take too long are cut off, which is as safe as a crash.
async fn finish(tasks: &mut JoinSet<(&'static str, Result<()>)>, patience: Duration) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if timeout(patience, all).await.is_err() {
        tasks.shutdown().await;
    }
}

/// The policies that can plan: the chosen one, unless it cannot be used or takes too long, and the built-in one.
async fn load(
    files: &PolicyFiles,
    host: &PolicyHost,
    metrics: &Metrics,
) -> Result<(Succession<Policy>, Option<Files>)> {
    let built_in = built_in(host).await.context("cannot load the built-in policy")?;
    if let Some(missing) = host.compiler_remark() {
        warn!(missing, "this kernel cannot confine the compiler of policies as it should be");
    }
    if files.are_none() {
        return Ok((Succession::new(Ok(built_in.clone()), built_in, Instant::now()), None));
    }
    let mut files = Files::load(files.clone(), host.clone());
    let chosen = match files.first(LOADING).await {
        Some(Offer::Policy(policy)) => {
            let info = policy.info();
            info!(name = info.name, version = info.version, digest = info.digest, "policy loaded");
            Ok(*policy)
        }
        Some(Offer::Refused(reason)) => {
            metrics.swapped(false);
            Err(reason)
        }
        None => Err("the policy is still being loaded".to_owned()),
    };
    Ok((Succession::new(chosen, built_in, Instant::now()), Some(files)))
}

async fn built_in(host: &PolicyHost) -> Result<Policy> {
    let cancel = Cancel::default();
    let _wanted = cancel.drop_guard();
    let host = host.until(cancel);
    Ok(spawn_blocking(move || PolicyFiles::default().load(&host)).await??)
}

impl Named for Policy {
    fn name(&self) -> String {
        format!("{} {}", self.info().name, self.info().version)
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.info().digest, &self.info().settings) == (&other.info().digest, &other.info().settings)
    }
}

/// Opens the ports. Probes and metrics share one if they are told the same.
async fn listen(
    options: &RunOptions,
    facts: &Probed,
    client: &Client,
    services: &mut JoinSet<(&'static str, Result<()>)>,
) -> Result<()> {
    let page = options.scrape.guard(&options.metrics, facts.page(), client);
    let pages = if options.metrics == options.health {
        vec![(&options.health, facts.probes().merge(page), None)]
    } else {
        vec![(&options.health, facts.probes(), None), (&options.metrics, page, options.scrape.certificate())]
    };
    for (address, routes, certificate) in pages {
        let listener = address.bind().await.with_context(|| format!("cannot listen at {address}"))?;
        if let Some(listener) = listener {
            let server = async move { match serve(listener, routes, certificate).await {} };
            spawn(services, "http server", server);
        }
    }
    Ok(())
}

/// Competes for the lease; without a namespace to keep it in, this process leads.
async fn elect(
    options: &RunOptions,
    tasks: &mut JoinSet<(&'static str, Result<()>)>,
    release: CancellationToken,
) -> Result<watch::Receiver<Term>> {
    let Some(namespace) = own_namespace() else {
        warn!("NAMESPACE is not set: there is no leader election, so let no other replica run");
        // The sender may go: what was said last stays.
        return Ok(watch::channel(Term::for_ever()).1);
    };
    let patience = Some(lease::PATIENCE);
    let client =
        connect(&ClientOptions { kubeconfig: options.kubeconfig.clone(), patience, ..ClientOptions::default() })
            .await?;
    let (leads, heard) = watch::channel(Term::default());
    let candidate = Candidate { client, namespace, identity: identity(), leads };
    spawn(tasks, "lease", async move {
        candidate.run(release).await;
        Ok(())
    });
    Ok(heard)
}

fn own_namespace() -> Option<String> {
    let set = std::env::var("NAMESPACE").ok().or_else(|| std::fs::read_to_string(OWN_NAMESPACE).ok());
    set.map(|namespace| namespace.trim().to_owned()).filter(|namespace| !namespace.is_empty())
}

fn identity() -> Identity {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let machine = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
    match set("POD_NAME") {
        Some(name) => Identity::Pod(name),
        None => Identity::Process { machine: set("HOSTNAME").or_else(machine).unwrap_or_else(|| "sluice".to_owned()) },
    }
}
