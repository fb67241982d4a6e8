//! What the real operator does on a real API server.

use std::collections::BTreeSet;
use std::fs;
use std::future::Future;
use std::time::Duration;

use kube::api::ListParams;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::harness::audit::{Mark, Requests};
use crate::harness::kinds::strings;
use crate::harness::{
    ADDRESSES_ANNOTATION, Cluster, Matcher, Object, Operator, Proxy, Rule, User, eventually, infrastructure, namespace,
    node, pool,
};
use crate::report::{Figure, median};

const NODES: usize = 20;
const ZONES: usize = 3;
/// Long enough for whatever is measured here.
const LONG: Duration = Duration::from_mins(2);
/// How long an idle operator is looked at.
const IDLE: Duration = Duration::from_secs(10);
/// Of a second, in `/proc`.
const TICKS: f64 = 100.0;

pub const FAILOVER_NAMES: &[&str] = &["failover", "failover-writes"];
pub const ALLOCATION_NAMES: &[&str] = &[
    "allocation",
    "allocation-writes",
    "allocation-status-events",
    "one-more",
    "one-more-writes",
    "restart",
    "restart-writes",
    "resident-memory",
    "peak-memory",
    "idle-cpu",
    "idle-requests",
];
pub const BLACK_HOLE_NAMES: &[&str] = &["black-hole-failover"];
pub const LEASE_NAMES: &[&str] = &["cannot-renew", "cannot-renew-follower"];
pub const SWAP_NAMES: &[&str] = &["policy-swap"];

/// All namespaces at once, then one more, then a restart.
pub fn measure_allocation() -> Vec<Figure> {
    block_on(async {
        const N: usize = 1_000;
        let stage = Stage::new(N, &[]).await;
        let mut figures = Vec::new();
        let mark = stage.mark().await;
        let start = Instant::now();
        stage.cluster.create([ranges()]).await;
        stage.serves(N).await;
        figures.push(Figure::new("allocation", N, start.elapsed().as_secs_f64(), "s"));
        let (writes, told) = stage.written_since(mark).await;
        figures.push(Figure::new("allocation-writes", N, writes as f64 / N as f64, "per owner").goal(3.0));
        figures.push(Figure::new("allocation-status-events", N, told as f64, "writes"));
        stage.cluster.assert_sound().await;

        let mark = stage.mark().await;
        let start = Instant::now();
        stage.cluster.create([namespace("one-more").in_pool("egress")]).await;
        stage.serves(N + 1).await;
        figures.push(Figure::new("one-more", N, start.elapsed().as_secs_f64(), "s"));
        let (writes, _) = stage.written_since(mark).await;
        figures.push(Figure::new("one-more-writes", N, writes as f64, "writes"));

        stage.operator.stop().await;
        let mark = stage.mark().await;
        let start = Instant::now();
        let operator = Operator::start(&stage.cluster).await;
        at_work(&operator).await;
        figures.push(Figure::new("restart", N, start.elapsed().as_secs_f64(), "s"));
        let (writes, told) = stage.written_since(mark).await;
        figures.push(Figure::new("restart-writes", N, (writes + told) as f64, "writes").goal(0.0));

        let (mark, before) = (stage.mark().await, processor_seconds(&operator));
        tokio::time::sleep(IDLE).await;
        let idle = (processor_seconds(&operator) - before) / IDLE.as_secs_f64();
        let asked = stage.cluster.audit().since(mark).await.by(User::Sluice).count();
        figures.push(Figure::new("resident-memory", N, memory(&operator, "VmRSS"), "MiB"));
        figures.push(Figure::new("peak-memory", N, memory(&operator, "VmHWM"), "MiB"));
        figures.push(Figure::new("idle-cpu", N, idle * 100.0, "% of a core"));
        figures.push(Figure::new("idle-requests", N, asked as f64 / IDLE.as_secs_f64(), "per s"));
        stage.cluster.assert_sound().await;
        figures
    })
}

/// One node of each zone fails, one after the other.
pub fn measure_failover() -> Vec<Figure> {
    block_on(async {
        const N: usize = 500;
        let stage = Stage::new(N, &[]).await;
        stage.cluster.create([ranges()]).await;
        stage.serves(N).await;
        let (mut seconds, mut writes) = (Vec::new(), Vec::new());
        for failing in 0..ZONES {
            stage.cluster.settled().await;
            let failing = name_of(failing);
            let mark = stage.mark().await;
            let start = Instant::now();
            stage.cluster.set_ready(&failing, false).await;
            eventually("all addresses are on other nodes", LONG, || stage.carried_without(&failing, N)).await;
            seconds.push(start.elapsed().as_secs_f64());
            writes.push(stage.written_since(mark).await.0 as f64);
        }
        stage.cluster.assert_sound().await;
        vec![
            Figure::new("failover", N, median(seconds), "s").goal(1.0),
            Figure::new("failover-writes", N, median(writes), "writes"),
        ]
    })
}

/// A node fails just after every connection to the API server has died without a word; new ones work.
pub fn measure_black_hole() -> Vec<Figure> {
    block_on(async {
        const N: usize = 100;
        let cluster = furnished(N).await;
        let proxy = Proxy::start(&cluster).await;
        let operator = Operator::launch(&cluster).through(&proxy).start().await;
        at_work(&operator).await;
        let stage = Stage { operator, cluster };
        stage.cluster.create([ranges()]).await;
        stage.serves(N).await;
        let mut seconds = Vec::new();
        for failing in 0..ZONES {
            stage.cluster.settled().await;
            let failing = name_of(failing);
            proxy.swallow();
            let start = Instant::now();
            stage.cluster.set_ready(&failing, false).await;
            eventually("all addresses are on other nodes", LONG, || stage.carried_without(&failing, N)).await;
            seconds.push(start.elapsed().as_secs_f64());
        }
        stage.cluster.assert_sound().await;
        let longest = seconds.into_iter().fold(0.0, f64::max);
        vec![Figure::new("black-hole-failover", N, longest, "s").goal(10.0)]
    })
}

/// A leader's exchanges about its lease hang, while its writes go on: until its last write, and until the other leads.
pub fn measure_lease() -> Vec<Figure> {
    block_on(async {
        let cluster = Cluster::start().await;
        let nodes = (0..ZONES).map(|number| node(&name_of(number)).zone(&format!("zone-{number}")));
        cluster.create(nodes.chain([infrastructure("BareMetal"), ranges()])).await;
        let proxy = Proxy::start(&cluster).await;
        let first = Operator::launch(&cluster).env("POD_NAME", "sluice-0").through(&proxy).start().await;
        at_work(&first).await;
        let second = Operator::launch(&cluster).env("POD_NAME", "sluice-1").start().await;
        proxy.rule(Rule::hang(Matcher::any().on("leases")));
        let start = Instant::now();
        let (mut written, mut last, mut looked, mut created) = (0, start, 0, 0);
        eventually("the other leads", LONG, || {
            looked += 1;
            let is_due = looked % 8 == 0;
            created += usize::from(is_due);
            let now = proxy.asked(&Matcher::changes()).len();
            if now > written {
                (written, last) = (now, Instant::now());
            }
            let (cluster, second) = (&cluster, &second);
            async move {
                if is_due {
                    cluster.create([namespace(&format!("busy-{created:04}")).in_pool("egress")]).await;
                }
                if second.metric("sluice_leader").await == Some(1.0) { Ok(()) } else { Err("it does not") }
            }
        })
        .await;
        let taken = start.elapsed().as_secs_f64();
        cluster.assert_sound().await;
        vec![
            // It renews every 2 s, and has 10 s from then on.
            Figure::new("cannot-renew", created, (last - start).as_secs_f64(), "s").goal(10.0),
            Figure::new("cannot-renew-follower", created, taken, "s").goal(20.0),
        ]
    })
}

/// Another policy takes the place of the active one's file.
pub fn measure_swap() -> Vec<Figure> {
    block_on(async {
        const N: usize = 100;
        let folder = tempfile::tempdir().unwrap();
        let (active, next) = (folder.path().join("policy.wasm"), folder.path().join("next.wasm"));
        fs::write(&active, sluice_builtin_policies::ZONE_SPREAD).unwrap();
        let stage = Stage::new(N, &["--policy", active.to_str().unwrap()]).await;
        stage.cluster.create([ranges()]).await;
        stage.serves(N).await;
        fs::write(&next, sluice_builtin_policies::PACK).unwrap();
        let start = Instant::now();
        fs::rename(&next, &active).unwrap();
        eventually("the new policy plans", LONG, || async {
            let (_, page) = stage.operator.page("/metrics").await?;
            if page.contains("sluice_policy{name=\"pack\"") { Ok(()) } else { Err(page) }
        })
        .await;
        vec![Figure::new("policy-swap", N, start.elapsed().as_secs_f64(), "s")]
    })
}

fn block_on<T>(measure: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(measure)
}

/// A cluster with an operator that leads, and namespaces that wait for their pool.
struct Stage {
    operator: Operator,
    cluster: Cluster,
}

impl Stage {
    async fn new(namespaces: usize, arguments: &[&str]) -> Self {
        let cluster = furnished(namespaces).await;
        let operator = Operator::launch(&cluster).args(arguments).start().await;
        at_work(&operator).await;
        Self { operator, cluster }
    }

    async fn mark(&self) -> Mark {
        self.cluster.audit().mark().await
    }

    /// Waits until so many namespaces say what they were given.
    async fn serves(&self, namespaces: usize) {
        eventually("every namespace has its addresses", LONG, || async {
            let list = self.cluster.api("Namespace", None).list_metadata(&ListParams::default()).await;
            let list = list.map_err(|error| error.to_string())?;
            let annotations = list.items.iter().filter_map(|object| object.metadata.annotations.as_ref());
            let served = annotations.filter(|all| all.contains_key(ADDRESSES_ANNOTATION)).count();
            if served == namespaces { Ok(()) } else { Err(format!("{served} of {namespaces}")) }
        })
        .await;
    }

    /// Whether all addresses are on nodes, and none on the one that fails.
    async fn carried_without(&self, failing: &str, namespaces: usize) -> Result<(), String> {
        let subnets = self.cluster.list("HostSubnet").await;
        let mut carried = BTreeSet::new();
        let mut on_failing = 0;
        for subnet in &subnets {
            let addresses = strings(subnet, "egressIPs");
            if subnet.metadata.name.as_deref() == Some(failing) {
                on_failing = addresses.len();
            } else {
                carried.extend(addresses);
            }
        }
        let expected = namespaces * ZONES;
        let right = on_failing == 0 && carried.len() == expected;
        if right { Ok(()) } else { Err(format!("{on_failing} left, {} of {expected} elsewhere", carried.len())) }
    }

    /// The operator's writes once it is at rest: those that do something, and those that only tell (status, events).
    async fn written_since(&self, mark: Mark) -> (usize, usize) {
        self.cluster.settled().await;
        let all: Requests = self.cluster.written_since(mark).await;
        let count = all.count();
        let writes = all.except(&["events", "egressipams/status"]).count();
        (writes, count - writes)
    }
}

/// A cluster of so many namespaces that wait for their pool, without an operator.
async fn furnished(namespaces: usize) -> Cluster {
    let cluster = Cluster::start().await;
    let nodes = (0..NODES).map(|number| node(&name_of(number)).zone(&format!("zone-{}", number % ZONES)));
    cluster.create(nodes.chain([infrastructure("BareMetal")])).await;
    cluster.create((0..namespaces).map(|number| namespace(&format!("team-{number:04}")).in_pool("egress"))).await;
    eventually("the network knows all namespaces and nodes", LONG, || async {
        let (net_namespaces, host_subnets) =
            (cluster.list("NetNamespace").await.len(), cluster.list("HostSubnet").await.len());
        let there = net_namespaces >= namespaces && host_subnets == NODES;
        if there { Ok(()) } else { Err(format!("{net_namespaces} and {host_subnets}")) }
    })
    .await;
    cluster
}

/// Waits until the operator leads and has planned.
async fn at_work(operator: &Operator) {
    eventually("the operator plans", LONG, || async {
        let (_, page) = operator.page("/metrics").await?;
        let leads = page.lines().any(|line| line == "sluice_leader 1");
        let plans = page.lines().any(|line| line.starts_with("sluice_rounds_total"));
        if leads && plans { Ok(()) } else { Err(page) }
    })
    .await;
}

fn ranges() -> Object {
    (0..ZONES).fold(pool("egress"), |pool, zone| pool.range(&format!("zone-{zone}"), &format!("10.2{zone}.0.0/20")))
}

fn name_of(number: usize) -> String {
    format!("worker-{number:02}")
}

/// A line of `/proc/<pid>/status`, in MiB.
fn memory(operator: &Operator, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", operator.process().id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() / 1024.0
}

/// What the process has used of all processors.
fn processor_seconds(operator: &Operator) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", operator.process().id())).unwrap();
    // Fields are counted after the name, which may contain anything.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |position: usize| fields[position].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS
}
