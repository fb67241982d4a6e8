//! A cloud of a few workers, and a provider that runs against it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, of which each file uses some"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sluice_azure::{Azure, Config, Credentials, Environment, EnvironmentOptions, LoadBalancerChoice, MachineRef, Pace};
use sluice_core::cloud::{CloudFacts, InterfaceFacts};
use sluice_core::name::NodeName;
use sluice_core::snapshot::Phase;
use sluice_sandbox_azure::{Arm, Client, Place, Pool, Settings};
use tokio_util::sync::CancellationToken;

/// Virtual seconds in a real one, of cloud and provider alike.
pub(crate) const SCALE: u32 = 100;
/// The longest that anything is waited for, in real time.
const DEADLINE: Duration = Duration::from_secs(40);
pub(crate) const SUBSCRIPTION: &str = "11111111-2222-3333-4444-555555555555";

pub(crate) struct Setup {
    pub(crate) arm: Arm,
    pub(crate) azure: Azure,
    pub(crate) place: Place,
    pub(crate) subnet: String,
    pub(crate) nodes: BTreeMap<NodeName, MachineRef>,
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Setup {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn ips(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

pub(crate) fn node(name: &str) -> NodeName {
    name.into()
}

pub(crate) fn secret(secret: &str) -> Credentials {
    let account = client(secret).account(SUBSCRIPTION);
    Credentials::from_secret(&account.into_iter().map(|(key, text)| (key, text.into_bytes())).collect()).unwrap()
}

pub(crate) fn client(secret: &str) -> Client {
    Client { assertions: vec!["jwt".to_owned()], ..Client::with_secret("tenant", "app", secret) }
}

/// A cloud with three workers, w1 to w3, whose network is in another resource group.
pub(crate) async fn cloud(settings: Settings) -> (Arm, Place, String) {
    let arm = Arm::start(Settings { scale: SCALE, ..settings }).await.unwrap();
    arm.put_client(client("hush"));
    let place = Place::new(SUBSCRIPTION, "cluster-rg", "westeurope");
    let networks = Place::new(SUBSCRIPTION, "network-rg", "westeurope");
    let network = arm.add_network(&networks, "vnet", &[("workers", &["10.0.32.0/19".parse().unwrap()])]);
    let subnet = format!("{network}/subnets/workers");
    let pools = [("ingress", false), ("outbound", true)];
    let pools = pools.map(|(name, outbound)| Pool { name: name.to_owned(), outbound });
    arm.add_load_balancer(&place, "lb", &pools);
    for at in 1..=3_u8 {
        let nic = arm.add_nic(&place, &format!("w{at}-nic"), &subnet, ip(&format!("10.0.32.{}", 10 + at)));
        arm.add_machine(&place, &format!("w{at}"), Some(&at.to_string()), &[&nic]);
    }
    (arm, place, subnet)
}

pub(crate) async fn environment(arm: &Arm) -> Environment {
    let options = EnvironmentOptions {
        manager: Some(arm.base_url().to_owned()),
        authority: Some(arm.base_url().to_owned()),
        ..EnvironmentOptions::default()
    };
    Environment::find(&options, &sluice_azure::plain_client().unwrap()).await.unwrap()
}

pub(crate) async fn start(settings: Settings) -> Setup {
    let (arm, place, subnet) = cloud(settings).await;
    start_on(arm, place, subnet).await
}

/// Starts a provider, and waits until it has read the cloud.
pub(crate) async fn start_on(arm: Arm, place: Place, subnet: String) -> Setup {
    let config = config(&arm).await;
    start_with(config, arm, place, subnet).await
}

pub(crate) async fn config(arm: &Arm) -> Config {
    Config { pace: Pace::new(SCALE), ..Config::new(environment(arm).await) }
}

/// The same, with a configuration.
pub(crate) async fn start_with(config: Config, arm: Arm, place: Place, subnet: String) -> Setup {
    let azure = Azure::new(config).unwrap();
    azure.set_credentials(Ok(secret("hush")));
    let nodes: BTreeMap<NodeName, MachineRef> =
        ["w1", "w2", "w3"].into_iter().map(|name| (node(name), machine(&place, name))).collect();
    azure.set_nodes(nodes.clone());
    azure.set_may_write(true);
    let stop = CancellationToken::new();
    let task = Some(tokio::spawn(azure.clone().run(stop.clone())));
    let setup = Setup { arm, azure, place, subnet, nodes, stop, task };
    setup.until(|_| true).await;
    setup
}

pub(crate) fn machine(place: &Place, name: &str) -> MachineRef {
    let id = place.id("Microsoft.Compute/virtualMachines", name);
    MachineRef {
        provider_id: Some(format!("azure://{id}").replace("cluster-rg", "CLUSTER-RG")),
        machine: None,
        pools: LoadBalancerChoice::SameAsPrimary,
    }
}

impl Setup {
    pub(crate) fn nic(&self, name: &str) -> String {
        self.place.id("Microsoft.Network/networkInterfaces", &format!("{name}-nic"))
    }

    pub(crate) fn pool(&self, name: &str) -> String {
        format!("{}/backendAddressPools/{name}", self.place.id("Microsoft.Network/loadBalancers", "lb"))
    }

    pub(crate) fn puts(&self) -> usize {
        self.arm.count("PUT", "/networkInterfaces/")
    }

    pub(crate) fn submit(&self, name: &str, on: &[&str], off: &[&str]) {
        self.azure.submit(&node(name), &ips(on), &ips(off)).unwrap();
    }

    /// Waits until the facts are as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&CloudFacts) -> bool) -> Arc<CloudFacts> {
        let mut watch = self.azure.watch();
        let all = async {
            loop {
                watch.mark_unchanged();
                if let Some(facts) = self.azure.facts().filter(|facts| wanted(facts)) {
                    return facts;
                }
                watch.changed().await.unwrap();
            }
        };
        let Ok(facts) = tokio::time::timeout(DEADLINE, all).await else {
            panic!("never: {:#?} {:?}\n{:#?}", self.azure.facts(), self.azure.obstacle(), self.trace());
        };
        facts
    }

    /// Waits until a node's interface is as wanted and at rest.
    pub(crate) async fn until_node(&self, name: &str, wanted: impl Fn(&InterfaceFacts) -> bool) -> InterfaceFacts {
        let is_so = |facts: &CloudFacts| facts.interfaces.get(name).is_some_and(|one| !one.busy && wanted(one));
        let facts = self.until(is_so).await;
        facts.interfaces.get(name).unwrap().clone()
    }

    /// Waits until Azure works on a node's interface.
    pub(crate) async fn until_busy(&self, name: &str) {
        let nic = self.nic(name);
        let all = async {
            while !self.arm.is_busy(&nic) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(DEADLINE, all).await.unwrap();
    }

    /// Plans for one node again and again, as the planner does, until it carries what it should and is sound.
    pub(crate) async fn reach(&self, name: &str, on: &[&str]) -> InterfaceFacts {
        let (name, on) = (node(name), ips(on));
        let mut watch = self.azure.watch();
        let all = async {
            loop {
                watch.mark_unchanged();
                let facts = self.azure.facts();
                if let Some(one) = facts.as_ref().and_then(|facts| facts.interfaces.get(&name))
                    && !one.busy
                {
                    let ours: BTreeSet<IpAddr> =
                        one.addresses.iter().filter(|(_, it)| it.ours).map(|(address, _)| *address).collect();
                    if ours == on && !one.failed {
                        return one.clone();
                    }
                    let off = ours.difference(&on).copied().collect();
                    drop(self.azure.submit(&name, &on, &off));
                }
                watch.changed().await.unwrap();
            }
        };
        let Ok(facts) = tokio::time::timeout(DEADLINE, all).await else {
            panic!("{name} never carried {on:?}: {:#?}\n{:#?}", self.azure.facts(), self.trace());
        };
        facts
    }

    fn trace(&self) -> Vec<String> {
        let log = self.arm.log().into_iter();
        log.map(|one| format!("{} {} {} {:?}", one.at / 1000, one.method, one.path, one.status)).collect()
    }

    /// Ends the provider.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
        }
    }
}

/// The addresses of an interface, and the phase of each.
pub(crate) fn phases(facts: &InterfaceFacts) -> Vec<(String, Phase)> {
    facts.addresses.iter().map(|(address, it)| (address.to_string(), it.phase)).collect()
}

/// What is in the cloud under our names.
pub(crate) fn ours(arm: &Arm, nic: &str) -> BTreeSet<String> {
    arm.addresses(nic)
        .into_iter()
        .filter(|(name, _)| name.starts_with("EgressIP"))
        .map(|(_, address)| address)
        .collect()
}
