//! The operator is killed at every single write, to the API server or to Azure, and has to finish after a restart.
//!
//! As in `kill_points`, but with interfaces: each phase runs once undisturbed, which tells how many writes of objects
//! and how many PUTs it takes. Then for each of them it is killed right after it, before it has its answer, and for each
//! write of an object once more when that is on its way, which then never arrives. Each run has a cloud of its own, put
//! together from what was stored before the phase.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::Value;
use sluice_sandbox_azure::{Settings, Span};

use super::ledger::with_unknown_fields;
use super::stage::{A_WHILE, Stage};
use crate::harness::process::Process;
use crate::harness::{Cluster, History, Launch, Matcher, Object, Outcome, Proxy, namespace, until};
use crate::scenarios::kill_points::fleet::snapshot;
use crate::scenarios::kill_points::verdict::{Verdict, conclude};

/// Name, zone, and the number of the address of each machine.
const MACHINES: [(&str, u8, u16); 6] =
    [("a1", 1, 4), ("a2", 1, 5), ("b1", 2, 6), ("b2", 2, 7), ("c1", 3, 8), ("c2", 3, 9)];
const OWNERS: [&str; 2] = ["shop", "till"];

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The operator finds two namespaces that want addresses.
    Allocation,
    /// A node fails.
    Failover,
    /// A namespace opts out.
    OptOut,
    /// The pool is deleted.
    PoolDeletion,
}

impl Phase {
    async fn happen(self, cluster: &Cluster) {
        match self {
            Self::Allocation => {}
            Self::Failover => cluster.set_ready("a1", false).await,
            Self::OptOut => cluster.opt_in("shop", None).await,
            Self::PoolDeletion => cluster.delete("EgressIPAM", "egress").await,
        }
    }

    fn leaves(self, owner: &str) -> bool {
        self == Self::PoolDeletion || self == Self::OptOut && owner == "shop"
    }
}

/// When a run's operator is killed.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// Once write k of an object is committed.
    Object(usize),
    /// When write k of an object is sent; it does not arrive.
    Unsent(usize),
    /// Once PUT k has reached Azure.
    Interface(usize),
}

/// Cluster and interfaces before a phase.
#[derive(Clone)]
struct Scene {
    objects: Vec<Object>,
    nics: BTreeMap<String, Value>,
    /// The addresses of each namespace.
    held: BTreeMap<String, BTreeSet<String>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_write_it_converges() {
    let cluster = Cluster::start().await;
    let (unserved, served) = scenes(&cluster).await;
    let mut runs = VecDeque::new();
    let phases = [
        (Phase::Allocation, &unserved),
        (Phase::Failover, &served),
        (Phase::OptOut, &served),
        (Phase::PoolDeletion, &served),
    ];
    for (phase, scene) in phases {
        let (objects, puts) = undisturbed(&cluster, scene, phase).await;
        assert!(objects > 0 && puts > 0, "{phase:?}: {objects} objects, {puts} PUTs");
        runs.extend((1..=objects).map(|k| (phase, scene.clone(), Kill::Object(k))));
        runs.extend((1..=objects).map(|k| (phase, scene.clone(), Kill::Unsent(k))));
        runs.extend((1..=puts).map(|k| (phase, scene.clone(), Kill::Interface(k))));
    }
    let total = runs.len();
    let runs = Mutex::new(runs);
    let other = Cluster::start().await;
    let (mut verdicts, more) = tokio::join!(lane(&cluster, &runs), lane(&other, &runs));
    verdicts.extend(more);
    conclude("azure kill points", total, &verdicts);
}

fn settings() -> Settings {
    Settings { scale: 1000, duration: Span::Fixed(71_000), ..Settings::default() }
}

/// The cluster before and after its namespaces are served.
async fn scenes(cluster: &Cluster) -> (Scene, Scene) {
    let stage = Stage::on(cluster.clone(), settings()).await;
    for (name, zone, nth) in MACHINES {
        stage.machine(name, zone, nth).await;
        let stranger = format!("10.20.9.{nth}").parse().expect("an address");
        stage.arm.add_config(&stage.nic(name), "of-somebody", stranger);
        stage.arm.edit(&stage.nic(name), with_unknown_fields);
    }
    cluster.create([Stage::three_zones()]).await;
    cluster.create(OWNERS.map(|name| namespace(name).in_pool("egress"))).await;
    cluster.companions_are_there().await;
    let unserved = scene(&stage).await;
    let operator = launch(&stage).start().await;
    finished(&stage, Phase::Allocation, &unserved).await.unwrap_or_else(|problem| panic!("{problem}"));
    operator.stop().await;
    let served = scene(&stage).await;
    (unserved, served)
}

async fn scene(stage: &Stage) -> Scene {
    let outcome = stage.cluster.outcome().await;
    let held = |name: &&str| ((*name).to_owned(), outcome.addresses_of(name).iter().cloned().collect());
    Scene {
        objects: snapshot(&stage.cluster).await,
        nics: MACHINES.iter().map(|(name, ..)| ((*name).to_owned(), stage.stored(name))).collect(),
        held: OWNERS.iter().map(held).collect(),
    }
}

/// Puts a scene into an emptied cluster and a new cloud.
async fn set(cluster: &Cluster, scene: &Scene) -> (Stage, History) {
    cluster.reset().await;
    cluster.openshift().stop().await;
    cluster.store(scene.objects.clone()).await;
    cluster.openshift().resume();
    let stage = Stage::on(cluster.clone(), settings()).await;
    for (name, zone, _) in MACHINES {
        stage.arm.put_resource(scene.nics[name].clone());
        stage.arm.add_machine(&stage.place, name, Some(&zone.to_string()), &[&stage.nic(name)]);
    }
    let history = History::start(cluster).await;
    (stage, history)
}

/// All operators are the same container of the same pod, started again: the lease is theirs at once.
fn launch(stage: &Stage) -> Launch {
    stage.launch().env("POD_NAME", "sluice-0")
}

/// Runs a phase to its end. How many objects it wrote, and how many interfaces.
async fn undisturbed(cluster: &Cluster, scene: &Scene, phase: Phase) -> (usize, usize) {
    let (stage, history) = set(cluster, scene).await;
    let mut mark = cluster.audit().mark().await;
    let operator = launch(&stage).start().await;
    if phase != Phase::Allocation {
        cluster.settled().await;
        mark = cluster.audit().mark().await;
        assert_eq!(stage.arm.count("PUT", ""), 0, "{phase:?}: nothing is to be done yet");
        phase.happen(cluster).await;
    }
    finished(&stage, phase, scene).await.unwrap_or_else(|problem| panic!("{phase:?}, undisturbed: {problem}"));
    assert_eq!(history.breaches().await, [""; 0], "{phase:?}, undisturbed");
    let writes = cluster.written_since(mark).await.except(&["events", "egressipams/status"]);
    operator.stop().await;
    (writes.count(), stage.arm.count("PUT", "networkInterfaces"))
}

async fn lane(cluster: &Cluster, runs: &Mutex<VecDeque<(Phase, Scene, Kill)>>) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    loop {
        let next = runs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((phase, scene, kill)) = next else { return verdicts };
        let verdict = disturbed(cluster, &scene, phase, kill).await;
        for text in verdict.unfinished.iter().chain(&verdict.duplicates).chain(&verdict.lost) {
            eprintln!("{phase:?} killed {kill:?}: {text}");
        }
        verdicts.push(verdict);
    }
}

async fn disturbed(cluster: &Cluster, scene: &Scene, phase: Phase, kill: Kill) -> Verdict {
    let (stage, history) = set(cluster, scene).await;
    let strange: Vec<String> = MACHINES.iter().map(|(name, ..)| stage.foreign(name)).collect();
    let mut unfinished = killed(&stage, phase, kill).await.err();
    let operator = launch(&stage).spawn();
    let problem = finished(&stage, phase, scene).await.err();
    unfinished = unfinished.or(problem.map(|problem| format!("{problem}\n{}", operator.log())));
    let now: Vec<String> = MACHINES.iter().map(|(name, ..)| stage.foreign(name)).collect();
    let mut lost = losses(phase, &history).await;
    lost.extend((now != strange).then(|| format!("what is not ours changed: {strange:#?} is {now:#?}")));
    Verdict { unfinished, duplicates: history.breaches().await, lost }
}

/// Starts an operator that will not live long, and returns when it is dead.
async fn killed(stage: &Stage, phase: Phase, kill: Kill) -> Result<(), String> {
    let proxy = Proxy::start(&stage.cluster).await;
    let victim: Arc<OnceLock<Process>> = Arc::default();
    let arm = || match kill {
        Kill::Object(k) => proxy.kill_after(k, Matcher::changes()),
        Kill::Unsent(k) => proxy.kill_before(k, Matcher::changes()),
        Kill::Interface(k) => kill_after_put(stage, k, Arc::clone(&victim)),
    };
    let launch = launch(stage).through(&proxy);
    let operator = if phase == Phase::Allocation {
        arm();
        launch.spawn()
    } else {
        let operator = launch.start().await;
        stage.cluster.settled().await;
        arm();
        operator
    };
    let process = operator.process().clone();
    assert!(victim.set(process).is_ok(), "there is one victim");
    phase.happen(&stage.cluster).await;
    let dead = operator.process().wait(A_WHILE).await;
    stage.arm.on_request(|_| ());
    let log = || format!("not killed; PUTs: {}\n{}", stage.arm.count("PUT", ""), operator.log());
    dead.map(drop).ok_or_else(log)
}

/// Kills when PUT k from now is done and not answered yet.
fn kill_after_put(stage: &Stage, k: usize, victim: Arc<OnceLock<Process>>) {
    let mut puts = 0;
    stage.arm.on_request(move |request| {
        puts += usize::from(request.method == "PUT");
        if puts == k && request.method == "PUT" {
            victim.wait().kill();
        }
    });
}

/// Waits until everything is as it has to be, and stays so.
async fn finished(stage: &Stage, phase: Phase, scene: &Scene) -> Result<(), String> {
    let look = || async {
        let outcome = stage.cluster.outcome().await;
        let mut problems = problems(stage, phase, scene, &outcome);
        if phase == Phase::PoolDeletion && stage.cluster.get("EgressIPAM", "egress").await.is_some() {
            problems.push("the pool is still there".to_owned());
        }
        if problems.is_empty() { Ok(()) } else { Err(format!("{}\n{outcome}", problems.join("\n"))) }
    };
    until(A_WHILE, look).await?;
    stage.cluster.settled().await;
    look().await
}

fn problems(stage: &Stage, phase: Phase, scene: &Scene, outcome: &Outcome) -> Vec<String> {
    let mut problems = outcome.faults();
    let mut wanted: BTreeMap<String, BTreeSet<String>> =
        MACHINES.iter().map(|(name, ..)| ((*name).to_owned(), BTreeSet::new())).collect();
    for owner in OWNERS {
        let held: BTreeSet<String> = outcome.addresses_of(owner).iter().cloned().collect();
        let count = if phase.leaves(owner) { 0 } else { 3 };
        let had = &scene.held[owner];
        if held.len() != count || (count > 0 && !had.is_empty() && *had != held) {
            problems.push(format!("{owner} holds {held:?}"));
        }
        for address in held {
            match outcome.nodes_of(&address)[..] {
                ["a1"] if phase == Phase::Failover => problems.push(format!("{address} is on the dead a1")),
                [node] => drop(wanted.entry(node.to_owned()).or_default().insert(address)),
                _ => problems.push(format!("{address} is on {:?}", outcome.nodes_of(&address))),
            }
        }
    }
    let listed: usize = outcome.host_subnets.values().map(|state| state.carried.len()).sum();
    let names: Vec<&str> = MACHINES.iter().map(|(name, ..)| *name).collect();
    let carried = stage.carried(&names);
    if carried != wanted || listed != wanted.values().map(BTreeSet::len).sum::<usize>() {
        problems.push(format!("interfaces carry {carried:?}, wanted {wanted:?}"));
    }
    problems
        .extend(names.iter().filter(|name| stage.arm.is_busy(&stage.nic(name))).map(|name| format!("{name} is busy")));
    problems
}

/// Every moment at which a namespace that stays lost an address it had.
async fn losses(phase: Phase, history: &History) -> Vec<String> {
    let steps = history.steps().await;
    let of_owners = steps.iter().filter(|step| step.kind == "NetNamespace" && !phase.leaves(&step.name));
    let lost = of_owners.filter(|step| step.before.iter().any(|address| !step.after.contains(address)));
    lost.map(|step| format!("revision {}: {} had {:?}, now {:?}", step.revision, step.name, step.before, step.after))
        .collect()
}
