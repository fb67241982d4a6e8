//! What the real operator does to Azure: requests, and seconds of the cloud's time, in the simulated cloud.
//!
//! Beside each failover the least that a controller needs that changes one address in a request, waits at least 10 s for
//! each, and sends one request after the other for each interface, as OpenShift's cloud network config controller does:
//! all releases are of one interface, and the last address follows its own release. One namespace more is beside what
//! redhat-cop's operator does for it: four requests to read and four to write each interface.

use std::collections::BTreeSet;
use std::time::Duration;

use sluice_sandbox_azure::{Settings, Span};
use tokio::runtime::Runtime;

use crate::harness::azure::Stage;
use crate::harness::kinds::strings;
use crate::harness::{Object, Operator, eventually, namespace, pool};
use crate::report::Figure;

const ADDRESSES: [usize; 4] = [1, 10, 100, 250];
const TARGETS: [usize; 2] = [3, 20];
/// Virtual seconds in a real one. An update takes 71 s, the median of those recorded.
const SCALE: u32 = 20;
const UPDATE_MS: u64 = 71_000;
const LEAST_OF_ONE_BY_ONE: usize = 10;
const DEADLINE: Duration = Duration::from_mins(5);

/// Each of the first ones for every number of addresses.
pub const NAMES: &[&str] = &[
    "azure-onto-3-puts",
    "azure-onto-3-gets",
    "azure-onto-3-seconds",
    "azure-onto-3-one-by-one",
    "azure-onto-20-puts",
    "azure-onto-20-gets",
    "azure-onto-20-seconds",
    "azure-onto-20-one-by-one",
    "azure-one-more-puts",
    "azure-one-more-gets",
    "azure-one-more-puts-theirs",
    "azure-one-more-gets-theirs",
];
pub const LOOK_NAMES: &[&str] = &["azure-look-gets", "azure-look-of-one", "azure-look-puts"];

/// Addresses of a dead machine onto others, and one namespace more.
pub fn measure() -> Vec<Figure> {
    Runtime::new().unwrap().block_on(async {
        let mut figures = Vec::new();
        for targets in TARGETS {
            for addresses in ADDRESSES {
                figures.extend(failover(addresses, targets).await);
            }
        }
        figures.extend(one_more(20).await);
        figures
    })
}

/// What is asked of a large cloud at rest.
pub fn measure_look() -> Vec<Figure> {
    Runtime::new().unwrap().block_on(look(2_000))
}

async fn failover(addresses: usize, targets: usize) -> Vec<Figure> {
    let fleet = Fleet::start(1, 1, one_zone()).await;
    fleet.serve(addresses).await;
    fleet.add(1..=targets, 1).await;
    fleet.stage.arm.clear_log();
    let began = fleet.stage.arm.clock().now();
    fleet.stage.cluster.set_ready(&machine(0), false).await;
    let touched = fleet.moved(addresses).await;
    let seconds = (fleet.stage.arm.clock().now() - began) as f64 / 1e3;
    fleet.stage.cluster.assert_sound().await;
    let name = |what: &str| format!("azure-onto-{targets}-{what}");
    let one_by_one = LEAST_OF_ONE_BY_ONE * (addresses + 1);
    vec![
        Figure::new(name("puts"), addresses, fleet.count("PUT"), "PUTs").goal((touched + 1) as f64),
        Figure::new(name("gets"), addresses, fleet.count("GET"), "GETs"),
        // Two updates, each seen at its next poll, which Azure wants every 10 s, and some time to plan and to write.
        Figure::new(name("seconds"), addresses, seconds, "s of Azure").goal(2.0 * (UPDATE_MS as f64 / 1e3 + 15.0)),
        Figure::new(name("one-by-one"), addresses, one_by_one as f64, "s, model"),
    ]
}

/// One namespace more, with an address in each of three zones, where all machines have addresses.
async fn one_more(machines: usize) -> Vec<Figure> {
    const ZONES: usize = 3;
    const REQUESTS_FOR_EACH: usize = 4;
    let fleet = Fleet::start(machines, ZONES, three_zones()).await;
    fleet.serve(machines).await;
    fleet.stage.arm.clear_log();
    fleet.stage.cluster.create([namespace("one-more").in_pool("egress")]).await;
    fleet.stage.serves(&["one-more"], ZONES).await;
    let theirs = (REQUESTS_FOR_EACH * machines) as f64;
    vec![
        Figure::new("azure-one-more-puts", machines, fleet.count("PUT"), "PUTs").goal(ZONES as f64),
        Figure::new("azure-one-more-gets", machines, fleet.count("GET"), "GETs"),
        Figure::new("azure-one-more-puts-theirs", machines, theirs, "PUTs, model"),
        Figure::new("azure-one-more-gets-theirs", machines, theirs, "GETs, model"),
    ]
}

/// Everything that is asked between two looks at a large cloud where nothing happens.
async fn look(machines: usize) -> Vec<Figure> {
    let fleet = Fleet::start(machines, 3, three_zones()).await;
    fleet.serve(10).await;
    // The first look after the last change, which nobody waits for.
    fleet.looked_since(fleet.stage.arm.clock().now()).await;
    fleet.stage.arm.clear_log();
    fleet.looked_since(fleet.stage.arm.clock().now()).await;
    let log = fleet.stage.arm.log();
    let of_one =
        log.iter().filter(|request| request.path.ends_with("-nic") || request.path.contains("/virtualMachines/"));
    let per_page = Settings::default().page_size;
    // Interfaces and machines, and lists of load balancers and of networks.
    let lists = 2 * machines.div_ceil(per_page) + 6;
    vec![
        Figure::new("azure-look-gets", machines, fleet.count("GET"), "GETs").goal(lists as f64),
        Figure::new("azure-look-of-one", machines, of_one.count() as f64, "GETs").goal(0.0),
        Figure::new("azure-look-puts", machines, fleet.count("PUT"), "PUTs").goal(0.0),
    ]
}

fn one_zone() -> Object {
    pool("egress").range("eastus-1", "10.20.64.0/22")
}

/// Away from the addresses of many machines.
fn three_zones() -> Object {
    (1..=3)
        .fold(pool("egress"), |pool, zone| pool.range(&format!("eastus-{zone}"), &format!("10.20.{}.0/24", 100 + zone)))
}

fn machine(at: usize) -> String {
    format!("m{at}")
}

/// A cluster on Azure, and the operator at work on it.
struct Fleet {
    operator: Operator,
    stage: Stage,
}

impl Fleet {
    async fn start(machines: usize, zones: usize, pool: Object) -> Self {
        let settings = Settings { scale: SCALE, duration: Span::Fixed(UPDATE_MS), ..Settings::default() };
        let stage = Stage::with(settings).await;
        let names: Vec<(String, u8)> = (0..machines).map(|at| (machine(at), zone(at, zones))).collect();
        let names: Vec<(&str, u8)> = names.iter().map(|(name, zone)| (name.as_str(), *zone)).collect();
        stage.machines(&names).await;
        stage.cluster.create([pool]).await;
        let operator = stage.operator().await;
        let fleet = Self { operator, stage };
        fleet.knows(machines).await;
        fleet
    }

    /// More machines, of which the operator then knows.
    async fn add(&self, numbers: std::ops::RangeInclusive<usize>, zones: usize) {
        let all = numbers.end() + 1;
        for at in numbers {
            let nth = 4 + u16::try_from(at).unwrap();
            self.stage.machine(&machine(at), zone(at, zones), nth).await;
        }
        self.knows(all).await;
    }

    async fn knows(&self, machines: usize) {
        eventually("the operator knows all interfaces", DEADLINE, || async {
            let (_, page) = self.operator.page("/metrics").await?;
            let is_known = |line: &&str| line.starts_with("egressip_ip_capacity{") && !line.ends_with(" 0");
            let known = page.lines().filter(is_known).count();
            if known == machines { Ok(()) } else { Err(format!("{known} of {machines}")) }
        })
        .await;
    }

    /// So many namespaces, served.
    async fn serve(&self, namespaces: usize) {
        let all = (0..namespaces).map(|number| format!("team-{number:03}"));
        self.stage.cluster.create(all.clone().map(|name| namespace(&name).in_pool("egress"))).await;
        eventually("all namespaces are served", DEADLINE, || async {
            let outcome = self.stage.cluster.outcome().await;
            let told = |name: &String| outcome.namespaces.get(name).is_some_and(|state| state.annotated.is_some());
            let served = all.clone().filter(told).count();
            if served == namespaces { Ok(()) } else { Err(format!("{served} of {namespaces}")) }
        })
        .await;
    }

    /// Waits until all addresses are on other machines than the first; on how many.
    async fn moved(&self, addresses: usize) -> usize {
        let first = machine(0);
        eventually("all addresses are on other machines", DEADLINE, || async {
            let subnets = self.stage.cluster.list("HostSubnet").await;
            let name = |subnet: &kube::core::DynamicObject| subnet.metadata.name.clone().unwrap_or_default();
            let carried = |subnet| strings(subnet, "egressIPs");
            let others = || subnets.iter().filter(|subnet| name(subnet) != first);
            let there: BTreeSet<String> = others().flat_map(carried).collect();
            let left: usize = subnets.iter().filter(|subnet| name(subnet) == first).map(|one| carried(one).len()).sum();
            let right = left == 0 && there.len() == addresses;
            let touched = others().filter(|subnet| !carried(subnet).is_empty()).count();
            if right { Ok(touched) } else { Err(format!("{left} left, {} of {addresses} elsewhere", there.len())) }
        })
        .await
    }

    /// Waits until everything has been listed once more since a time.
    async fn looked_since(&self, time: u64) {
        eventually("the cloud is read", DEADLINE, || async {
            let lists = |what: &str| {
                let log = self.stage.arm.log();
                log.iter().filter(|request| request.at >= time && resource(&request.path).ends_with(what)).count()
            };
            // Load balancers come last.
            let (first, last) = (lists("/virtualMachines"), lists("/loadBalancers"));
            if first > 0 && last > 0 { Ok(()) } else { Err(format!("{first} and {last} lists")) }
        })
        .await;
    }

    fn count(&self, verb: &str) -> f64 {
        self.stage.arm.counts().get(verb).copied().unwrap_or(0) as f64
    }
}

/// A path without its query.
fn resource(path: &str) -> &str {
    path.split_once('?').map_or(path, |(resource, _)| resource)
}

fn zone(at: usize, zones: usize) -> u8 {
    u8::try_from(at % zones).unwrap() + 1
}
