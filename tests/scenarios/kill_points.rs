//! The operator is killed at every single write and has to finish after a restart.
//!
//! First each phase runs undisturbed, and the API server's audit log tells how many writes it takes: K. Then for each k
//! from 1 to K the operator is killed right after write k is committed, and once more when write k is on its way, which
//! then never arrives. Some runs are killed a second time, at the first write after the restart. Each run starts from the
//! same stored cluster, ends with an operator left alone, and has to end well; on the way no address may be on two nodes
//! or with two namespaces, and no namespace that stays may lose an address, not even for a moment.
//!
//! Leases, events and status are not counted: nothing follows from them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use self::fleet::Phase;
use self::judge::{losses, problems};
use self::verdict::{Verdict, conclude};
use crate::harness::{Cluster, History, Launch, Matcher, Object, Operator, Proxy, SOON, until};

pub(super) mod fleet;
mod judge;
pub(super) mod verdict;

/// Of every third write that does not arrive the run is killed again after the restart.
const TWICE: usize = 3;

/// The clusters of each phase before it begins.
struct Scenes {
    unserved: Vec<Object>,
    served: Vec<Object>,
}

impl Scenes {
    fn of(&self, phase: Phase) -> Vec<Object> {
        if phase.is_found() { self.unserved.clone() } else { self.served.clone() }
    }
}

/// When a run's operator is killed.
#[derive(Debug, Clone, Copy)]
enum Kill {
    /// Once write k is committed.
    After(usize),
    /// When write k is sent; it does not arrive.
    Before(usize),
}

/// One run.
#[derive(Debug)]
struct Run {
    phase: Phase,
    kills: Vec<Kill>,
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_write_it_converges() {
    let cluster = Cluster::start().await;
    let scenes = undisturbed_allocation(&cluster).await;
    let mut runs = VecDeque::new();
    for phase in Phase::ALL {
        let writes = undisturbed(&cluster, &scenes, phase).await;
        assert!(writes > 0, "{phase:?} writes nothing");
        runs.extend(runs_of(phase, writes));
    }
    let total = runs.len();
    let runs = Mutex::new(runs);
    let other = Cluster::start().await;
    let (mut verdicts, more) = tokio::join!(lane(&cluster, &scenes, &runs), lane(&other, &scenes, &runs));
    verdicts.extend(more);
    conclude("kill points", total, &verdicts);
}

/// Every way to kill a phase of so many writes.
fn runs_of(phase: Phase, writes: usize) -> Vec<Run> {
    let mut runs = Vec::new();
    for k in 1..=writes {
        runs.push(Run { phase, kills: vec![Kill::After(k)] });
        let mut kills = vec![Kill::Before(k)];
        if k % TWICE == 1 {
            // What did not arrive has to be written again, so there is a second time to be killed.
            kills.push(Kill::After(1));
        }
        runs.push(Run { phase, kills });
    }
    runs
}

/// Sets the cluster up and serves it.
async fn undisturbed_allocation(cluster: &Cluster) -> Scenes {
    cluster.create(fleet::objects()).await;
    fleet::companions_are_there(cluster).await;
    let unserved = fleet::snapshot(cluster).await;
    let operator = launch(cluster).start().await;
    finished(cluster, Phase::Allocation).await.unwrap_or_else(|problem| panic!("{problem}"));
    operator.stop().await;
    Scenes { unserved, served: fleet::snapshot(cluster).await }
}

/// Runs a phase to its end, and returns how many writes that took.
async fn undisturbed(cluster: &Cluster, scenes: &Scenes, phase: Phase) -> usize {
    let history = set(cluster, scenes, phase).await;
    let mut mark = cluster.audit().mark().await;
    let operator = launch(cluster).start().await;
    if !phase.is_found() {
        cluster.settled().await;
        mark = cluster.audit().mark().await;
        phase.happen(cluster, &operator).await;
    }
    finished(cluster, phase).await.unwrap_or_else(|problem| panic!("{phase:?}, undisturbed: {problem}"));
    assert_eq!(history.breaches().await, [""; 0], "{phase:?}, undisturbed");
    assert_eq!(losses(phase, &history).await, [""; 0], "{phase:?}, undisturbed");
    let writes = cluster.written_since(mark).await.except(&["events", "egressipams/status"]);
    operator.stop().await;
    writes.count()
}

/// Does runs until there are no more.
async fn lane(cluster: &Cluster, scenes: &Scenes, runs: &Mutex<VecDeque<Run>>) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    loop {
        let next = runs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(run) = next else { return verdicts };
        let verdict = disturbed(cluster, scenes, &run).await;
        for text in verdict.unfinished.iter().chain(&verdict.duplicates).chain(&verdict.lost) {
            eprintln!("{:?} killed {:?}: {text}", run.phase, run.kills);
        }
        verdicts.push(verdict);
    }
}

async fn disturbed(cluster: &Cluster, scenes: &Scenes, run: &Run) -> Verdict {
    let history = set(cluster, scenes, run.phase).await;
    let mut unfinished = None;
    for (nth, kill) in run.kills.iter().enumerate() {
        let trigger = (nth == 0).then_some(run.phase);
        unfinished = unfinished.or(killed(cluster, *kill, trigger).await.err());
    }
    let operator = launch(cluster).spawn();
    let finished = finished(cluster, run.phase).await;
    unfinished = unfinished.or(finished.err().map(|problem| format!("{problem}\n{}", operator.log())));
    Verdict { unfinished, duplicates: history.breaches().await, lost: losses(run.phase, &history).await }
}

/// Empties the cluster and puts the phase's beginning into it.
async fn set(cluster: &Cluster, scenes: &Scenes, phase: Phase) -> History {
    cluster.reset().await;
    // Who sees half of a scene would add to it.
    cluster.openshift().stop().await;
    cluster.store(scenes.of(phase)).await;
    cluster.openshift().resume();
    History::start(cluster).await
}

/// All operators are the same container of the same pod, started again: the lease is theirs at once.
fn launch(cluster: &Cluster) -> Launch {
    Operator::launch(cluster).env("POD_NAME", "sluice-0")
}

/// Starts an operator that will not live long, and returns when it is dead. Without a phase it finds its work by itself.
async fn killed(cluster: &Cluster, kill: Kill, phase: Option<Phase>) -> Result<(), String> {
    let proxy = Proxy::start(cluster).await;
    let arm = || match kill {
        Kill::After(k) => proxy.kill_after(k, Matcher::changes()),
        Kill::Before(k) => proxy.kill_before(k, Matcher::changes()),
    };
    let launch = launch(cluster).through(&proxy);
    let operator = match phase.filter(|phase| !phase.is_found()) {
        None => {
            arm();
            launch.spawn()
        }
        Some(phase) => {
            let operator = launch.start().await;
            arm();
            phase.happen(cluster, &operator).await;
            operator
        }
    };
    let dead = operator.process().wait(SOON).await;
    let asked = proxy.asked(&Matcher::changes());
    dead.map(drop).ok_or_else(|| format!("not killed; it wrote {asked:#?}\n{}", operator.log()))
}

/// Waits until everything is as it has to be, and stays so.
async fn finished(cluster: &Cluster, phase: Phase) -> Result<(), String> {
    let look = || async {
        let outcome = cluster.outcome().await;
        let problems = problems(phase, &outcome);
        if problems.is_empty() { Ok(()) } else { Err(format!("{}\n{outcome}", problems.join("\n"))) }
    };
    until(SOON, look).await?;
    cluster.settled().await;
    look().await
}
