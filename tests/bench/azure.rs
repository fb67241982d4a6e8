//! What a failover costs in Azure: requests, and seconds of the cloud's time, in the simulated cloud.
//!
//! Beside each the least that a controller needs that changes one address in a request, waits at least 10 s for each, and
//! one request after the other for each interface, as OpenShift's cloud network config controller does: all releases are
//! of one interface, and the last address follows its own release. One namespace more is beside what redhat-cop's
//! operator does for it: four requests to read and four to write each interface.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sluice_azure::{Azure, Config, Credentials, Environment, EnvironmentOptions, MachineRef, Pace, plain_client};
use sluice_core::cloud::CloudFacts;
use sluice_core::name::NodeName;
use sluice_sandbox_azure::{Arm, Client, Place, Settings, Span};
use tokio_util::sync::CancellationToken;

use crate::report::Figure;

const ADDRESSES: [usize; 4] = [1, 10, 100, 250];
const TARGETS: [usize; 2] = [3, 20];
/// Virtual seconds in a real one. An update takes 71 s, the median of those recorded.
const SCALE: u32 = 50;
const UPDATE_MS: u64 = 71_000;
const LEAST_OF_ONE_BY_ONE: usize = 10;
const DEADLINE: Duration = Duration::from_mins(1);
const SUBSCRIPTION: &str = "00000000-0000-4000-8000-000000000001";

/// Each of them for every number of addresses, but the last.
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
    "azure-look-gets",
];

/// Addresses of a dead machine onto others, and a look at a large cloud.
pub fn measure() -> Vec<Figure> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut figures = Vec::new();
        for targets in TARGETS {
            for addresses in ADDRESSES {
                figures.extend(failover(addresses, targets).await);
            }
        }
        figures.extend(one_more(20).await);
        figures.push(look(2_000).await);
        figures
    })
}

async fn failover(addresses: usize, targets: usize) -> Vec<Figure> {
    let fleet = Fleet::start(targets + 1).await;
    let all: Vec<IpAddr> = (0..addresses).map(|at| address([10, 20, 64, 0], at)).collect();
    fleet.submit(0, &all, &[]);
    fleet.until(|facts| carries(facts, 0) == addresses).await;
    fleet.arm.clear_log();
    let began = fleet.arm.clock().now();
    fleet.submit(0, &[], &all);
    fleet.until(|facts| carries(facts, 0) == 0).await;
    let mut of_target: Vec<Vec<IpAddr>> = vec![Vec::new(); targets];
    for (at, address) in all.iter().enumerate() {
        of_target[at % targets].push(*address);
    }
    let touched = of_target.iter().filter(|some| !some.is_empty()).count();
    for (at, some) in of_target.iter().enumerate().filter(|(_, some)| !some.is_empty()) {
        fleet.submit(at + 1, some, &[]);
    }
    fleet.until(|facts| of_target.iter().enumerate().all(|(at, some)| carries(facts, at + 1) == some.len())).await;
    let seconds = (fleet.arm.clock().now() - began) as f64 / 1e3;
    let counts = fleet.arm.counts();
    let count = |verb: &str| counts.get(verb).copied().unwrap_or(0) as f64;
    let name = |what: &str| format!("azure-onto-{targets}-{what}");
    let one_by_one = LEAST_OF_ONE_BY_ONE * (addresses + 1);
    vec![
        Figure::new(name("puts"), addresses, count("PUT"), "PUTs").goal((touched + 1) as f64),
        Figure::new(name("gets"), addresses, count("GET"), "GETs"),
        // Two updates, each seen at its next poll, which Azure wants every 10 s, and the pace of this program.
        Figure::new(name("seconds"), addresses, seconds, "s of Azure").goal(2.0 * (UPDATE_MS as f64 / 1e3 + 15.0)),
        Figure::new(name("one-by-one"), addresses, one_by_one as f64, "s, model"),
    ]
}

/// One namespace more, with an address in each of three zones, where all machines have addresses.
async fn one_more(machines: usize) -> Vec<Figure> {
    const ZONES: usize = 3;
    const REQUESTS_FOR_EACH: usize = 4;
    let fleet = Fleet::start(machines).await;
    for at in 0..machines {
        fleet.submit(at, &[address([10, 20, 64, 0], at)], &[]);
    }
    fleet.until(|facts| (0..machines).all(|at| carries(facts, at) == 1)).await;
    fleet.arm.clear_log();
    for at in 0..ZONES {
        fleet.submit(at, &[address([10, 20, 65, 0], at)], &[]);
    }
    fleet.until(|facts| (0..ZONES).all(|at| carries(facts, at) == 2)).await;
    let counts = fleet.arm.counts();
    let count = |verb: &str| counts.get(verb).copied().unwrap_or(0) as f64;
    let theirs = (REQUESTS_FOR_EACH * machines) as f64;
    vec![
        Figure::new("azure-one-more-puts", machines, count("PUT"), "PUTs").goal(ZONES as f64),
        Figure::new("azure-one-more-gets", machines, count("GET"), "GETs"),
        Figure::new("azure-one-more-puts-theirs", machines, theirs, "PUTs, model"),
        Figure::new("azure-one-more-gets-theirs", machines, theirs, "GETs, model"),
    ]
}

/// All that is asked to know a large cloud.
async fn look(machines: usize) -> Figure {
    let fleet = Fleet::start(machines).await;
    let gets = fleet.arm.counts()["GET"] as f64;
    let per_page = Settings::default().page_size;
    // Interfaces and machines, a list of load balancers, and of networks.
    let lists = 2 * machines.div_ceil(per_page) + 4;
    Figure::new("azure-look-gets", machines, gets, "GETs").goal(lists as f64)
}

fn address(base: [u8; 4], offset: usize) -> IpAddr {
    let offset = u32::try_from(offset).expect("few addresses");
    Ipv4Addr::from_bits(Ipv4Addr::from(base).to_bits() + offset).into()
}

fn machine(at: usize) -> String {
    format!("m{at}")
}

/// How many addresses a machine carries; none while its interface is being changed.
fn carries(facts: &CloudFacts, at: usize) -> usize {
    let interface = facts.interfaces.get(machine(at).as_str());
    interface.filter(|interface| !interface.busy).map_or(usize::MAX, |interface| interface.addresses.len())
}

/// A cloud with machines, and the provider at work on it.
struct Fleet {
    arm: Arm,
    azure: Azure,
    stop: CancellationToken,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Fleet {
    async fn start(machines: usize) -> Self {
        let settings = Settings { scale: SCALE, duration: Span::Fixed(UPDATE_MS), ..Settings::default() };
        let arm = Arm::start(settings).await.unwrap();
        let client = Client::with_secret("t", "c", "s");
        let account = client.account(SUBSCRIPTION).into_iter().map(|(key, text)| (key, text.into_bytes())).collect();
        arm.put_client(client);
        let place = Place::new(SUBSCRIPTION, "rg", "eastus");
        let network = arm.add_network(&place, "vnet", &[("workers", &["10.20.0.0/16".parse().unwrap()])]);
        let mut nodes: BTreeMap<NodeName, MachineRef> = BTreeMap::new();
        for at in 0..machines {
            let nic = arm.add_nic(
                &place,
                &format!("{}-nic", machine(at)),
                &format!("{network}/subnets/workers"),
                address([10, 20, 0, 10], at),
            );
            let id = arm.add_machine(&place, &machine(at), None, &[&nic]);
            let provider_id = Some(format!("azure://{id}"));
            nodes.insert(machine(at).as_str().into(), MachineRef { provider_id, ..MachineRef::default() });
        }
        let base = Some(arm.base_url().to_owned());
        let options = EnvironmentOptions { manager: base.clone(), authority: base, ..EnvironmentOptions::default() };
        let environment = Environment::find(&options, &plain_client().unwrap()).await.unwrap();
        let azure = Azure::new(Config { pace: Pace::new(SCALE), ..Config::new(environment) }).unwrap();
        azure.set_credentials(Ok(Credentials::from_secret(&account).unwrap()));
        azure.set_nodes(nodes);
        azure.set_in_charge(true);
        let stop = CancellationToken::new();
        tokio::spawn(azure.clone().run(stop.clone()));
        let fleet = Self { arm, azure, stop };
        fleet.until(|_| true).await;
        fleet
    }

    fn submit(&self, at: usize, on: &[IpAddr], off: &[IpAddr]) {
        let set = |list: &[IpAddr]| list.iter().copied().collect::<BTreeSet<_>>();
        self.azure.submit(&machine(at).as_str().into(), &set(on), &set(off)).unwrap();
    }

    async fn until(&self, done: impl Fn(&CloudFacts) -> bool) {
        let mut facts = self.azure.watch();
        let reached = facts.wait_for(|facts| facts.as_ref().is_some_and(|facts| done(facts)));
        tokio::time::timeout(DEADLINE, reached).await.expect("the cloud gets there").expect("the provider runs");
    }
}
