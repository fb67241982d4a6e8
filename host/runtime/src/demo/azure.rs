//! The demo on Azure: the real engine, policy and provider, a cluster in memory, and a simulated cloud over HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use sluice_azure::{Azure, Config, Credentials, Environment, EnvironmentOptions, MachineRef, Pace, plain_client};
use sluice_core::backend::{Backend, WriteFailure, Written};
use sluice_core::name::NodeName;
use sluice_core::network::{Change, Target, Write, versions};
use sluice_core::observed::{CloudPlatform, Listed, Observed, Platform, Promise};
use sluice_core::round::{Outcome, Round};
use sluice_policy::{Policy, PolicyHost};
use sluice_sandbox::{Dice, Event, Sandbox};
use sluice_sandbox_azure::{Arm, Client, Place, Settings};
use tokio_util::sync::CancellationToken;

use super::acts::{ZONE_LABEL, spec, unused_names};
use super::lines::Line;
use super::narrator::Narrator;
use super::tell::Teller;
use crate::apply::apply;

/// Virtual seconds in a real one.
const SCALE: u32 = 400;
/// Looks and waits within which all has to come to rest.
const MOST_LOOKS: usize = 400;
/// Longest to wait for the cloud, in real time.
const PATIENCE: Duration = Duration::from_secs(20);
const SUBSCRIPTION: &str = "00000000-0000-4000-8000-000000000001";
const ZONES: [&str; 3] = ["eastus-1", "eastus-2", "eastus-3"];
const POOL: &str = "egress";

/// Plays all acts; whether each was verified.
pub(super) fn play(seed: u64, host: &PolicyHost, teller: &mut dyn Teller) -> Result<bool> {
    let policy = host.load(sluice_builtin_policies::ZONE_SPREAD, "{}")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        teller.title(seed)?;
        let mut stage = Stage::start(seed, policy, teller).await?;
        let mut verified = stage.allocation().await?;
        verified &= stage.machine_failure().await?;
        verified &= stage.zone_failure().await?;
        stage.narrator.teller.end(stage.now(), verified)?;
        Ok(verified)
    })
}

struct Stage<'a> {
    sandbox: Sandbox,
    dice: Dice,
    policy: Policy,
    narrator: Narrator<'a>,
    arm: Arm,
    azure: Azure,
    place: Place,
    stop: CancellationToken,
    promises: BTreeMap<IpAddr, Promise>,
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The cluster in memory, and the cloud.
struct Both<'a> {
    sandbox: &'a Sandbox,
    azure: &'a Azure,
}

impl Backend for Both<'_> {
    async fn write(&self, write: &Write, resource_version: &str) -> Result<Written, WriteFailure> {
        let (Target::Interface(node), Change::Interface { on, off }) = (&write.target, &write.change) else {
            return self.sandbox.write(write, resource_version).await;
        };
        self.azure.submit(node, on, off).map_err(|refusal| WriteFailure::Transient(refusal.to_string()))?;
        Ok(Written { resource_version: resource_version.to_owned() })
    }
}

impl<'a> Stage<'a> {
    /// An empty cluster and cloud: a subnet for all zones, and the provider at work.
    async fn start(seed: u64, policy: Policy, teller: &'a mut dyn Teller) -> Result<Self> {
        let arm = Arm::start(Settings { seed, scale: SCALE, ..Settings::default() }).await?;
        let client = Client::with_secret("tenant", "sluice", "secret");
        let account = client.account(SUBSCRIPTION).into_iter().map(|(key, text)| (key, text.into_bytes())).collect();
        arm.put_client(client);
        let place = Place::new(SUBSCRIPTION, "cluster", "eastus");
        let base = Some(arm.base_url().to_owned());
        let options = EnvironmentOptions { manager: base.clone(), authority: base, ..EnvironmentOptions::default() };
        let http = plain_client().map_err(|text| anyhow!(text))?;
        let environment = Environment::find(&options, &http).await?;
        let azure = Azure::new(Config { pace: Pace::new(SCALE), ..Config::new(environment) })?;
        azure.set_credentials(Ok(Credentials::from_secret(&account)?));
        azure.set_may_write(true);
        let stop = CancellationToken::new();
        tokio::spawn(azure.clone().run(stop.clone()));
        Ok(Self {
            sandbox: Sandbox::new(seed),
            dice: Dice::new(!seed),
            policy,
            narrator: Narrator::new(teller),
            arm,
            azure,
            place,
            stop,
            promises: BTreeMap::new(),
        })
    }

    /// Milliseconds of the cloud's time.
    fn now(&self) -> u64 {
        self.arm.clock().now()
    }

    fn act(&mut self, title: &str, what: &str) -> Result<()> {
        self.arm.clear_log();
        self.narrator.act(self.now(), title, what)
    }

    fn line(&mut self, event: &str, about: impl FnOnce(Line) -> Line) -> Result<()> {
        self.narrator.line(self.now(), event, about)
    }

    /// Act 1: machines in three zones of one subnet, and an address in each zone for everyone.
    async fn allocation(&mut self) -> Result<bool> {
        let what = "Three zones in one subnet. An interface is updated with all its changes at once, which takes Azure a minute.";
        self.act("Azure: addresses on the interfaces of virtual machines", what)?;
        let subnet = ["10.20.0.0/16".parse()?];
        let network = self.arm.add_network(&self.place, "vnet", &[("workers", &subnet)]);
        let mut machines = BTreeMap::new();
        for (zone, value) in (1_u8..).zip(ZONES) {
            for nth in 0..u8::try_from(self.dice.between(2, 3))? {
                let (name, address) = (format!("worker-{zone}{nth}"), [10, 20, 0, 10 * zone + nth].into());
                let subnet = format!("{network}/subnets/workers");
                let nic = self.arm.add_nic(&self.place, &format!("{name}-nic"), &subnet, address);
                let id = self.arm.add_machine(&self.place, &name, Some(&zone.to_string()), &[&nic]);
                let provider_id = Some(format!("azure://{id}"));
                machines.insert(name.as_str().into(), MachineRef { provider_id, ..MachineRef::default() });
                let labels = BTreeMap::from([(ZONE_LABEL.to_owned(), value.to_owned())]);
                self.sandbox.happen(Event::NodeAdded { name: name.as_str().into(), labels, address });
                self.line("node-added", |line| line.to(&name).reason(value))?;
            }
        }
        self.azure.set_nodes(machines);
        let ranges = (1_u8..).zip(ZONES).map(|(zone, value)| (format!("10.20.{zone}.0/24"), value));
        self.sandbox.happen(Event::Pool(POOL.into(), spec(ranges, true)?));
        let mut names = unused_names(&self.sandbox.observe());
        self.dice.shuffle(&mut names);
        for name in names.into_iter().take(usize::try_from(self.dice.between(6, 9))?) {
            self.line("namespace-added", |line| line.owner(name.as_str()).reason(&format!("pool {POOL}")))?;
            self.sandbox.happen(Event::NamespaceAdded(name, Some(POOL.into())));
        }
        self.ends().await
    }

    /// Act 2: a machine that carries something dies.
    async fn machine_failure(&mut self) -> Result<bool> {
        let what =
            "All its addresses leave its interface in one request, and come in one for each machine that gets some.";
        self.act("A machine dies", what)?;
        let carriers: BTreeSet<NodeName> = carriers(&self.sandbox.observe()).into_values().collect();
        let carriers: Vec<NodeName> = carriers.into_iter().collect();
        let chosen = usize::try_from(self.dice.below(u64::try_from(carriers.len().max(1))?))?;
        let victim = carriers.get(chosen).context("nobody carries anything")?.clone();
        self.line("node-down", |line| line.from(victim.as_str()))?;
        self.sandbox.happen(Event::NodeReady(victim, false));
        self.ends().await
    }

    /// Act 3: a zone dies; its addresses may leave it.
    async fn zone_failure(&mut self) -> Result<bool> {
        let what = "The subnet spans the zones, and the pool says zoneFailover Any: the zone's addresses leave it.";
        self.act("A zone dies", what)?;
        let zone = ZONES.get(usize::try_from(self.dice.below(3))?).context("three zones")?;
        self.line("zone-down", |line| line.from(zone))?;
        let (label, value) = (ZONE_LABEL.to_owned(), (*zone).to_owned());
        self.sandbox.happen(Event::ZoneReady { label, value, ready: false });
        self.ends().await
    }

    /// Rounds until all is at rest, the story of them, and a check.
    async fn ends(&mut self) -> Result<bool> {
        let (began, before) = (self.now(), carriers(&self.sandbox.observe()));
        self.rest().await?;
        let after = carriers(&self.sandbox.observe());
        let lines: Vec<Line> = after
            .iter()
            .filter(|(address, node)| before.get(*address) != Some(*node))
            .map(|(address, node)| {
                let from = before.get(address).map(ToString::to_string);
                let event = if from.is_some() { "move" } else { "allocate" };
                Line { from, ..Line::new(self.now(), event).address(&address.to_string()).to(node.as_str()) }
            })
            .collect();
        self.narrator.teller.changes(&lines)?;
        let counts = self.arm.counts();
        let count = |verb: &str| counts.get(verb).copied().unwrap_or(0);
        let (puts, gets, seconds) = (count("PUT"), count("GET"), (self.now() - began) / 1000);
        let text = format!("{} addresses: {puts} PUTs, {gets} GETs, {seconds} s of Azure's time", lines.len());
        self.line("cost", |line| line.reason(&text))?;
        self.verify()
    }

    fn observe(&mut self) -> Observed {
        let mut observed = self.sandbox.observe();
        observed.platform = Platform::Cloud(CloudPlatform { name: "Azure".to_owned(), ..CloudPlatform::default() });
        observed.cloud = self.azure.facts();
        observed.promise(&self.promises);
        self.promises.clone_from(&observed.promises);
        observed
    }

    fn plan(&self, observed: &Observed) -> Result<(Round, Outcome)> {
        let round = Round::prepare(observed);
        let answer = self.policy.plan(round.policy_input()).map(|planned| planned.plan);
        let outcome = round.finish(observed, answer.map_err(|error| error.to_string()), &BTreeSet::new());
        match outcome.failure() {
            Some(failure) => bail!("policy {}: {failure}", self.policy.info().name),
            None => Ok((round, outcome)),
        }
    }

    async fn rest(&mut self) -> Result<()> {
        let mut news = self.azure.watch();
        for _ in 0..MOST_LOOKS {
            news.mark_unchanged();
            let observed = self.observe();
            let known = observed.cloud.as_ref().is_some_and(|cloud| cloud.interfaces.len() >= observed.nodes.len());
            let outcome = self.plan(&observed)?.1;
            if known && !outcome.writes.is_empty() {
                self.apply(&observed, &outcome)?;
                continue;
            }
            let busy = observed.cloud.iter().flat_map(|cloud| cloud.interfaces.values()).any(|one| one.busy);
            if known && !busy {
                return Ok(());
            }
            tokio::time::timeout(PATIENCE, news.changed()).await.context("the cloud does not come to rest")??;
        }
        bail!("the cluster does not come to rest")
    }

    fn apply(&mut self, observed: &Observed, outcome: &Outcome) -> Result<()> {
        for write in &outcome.writes {
            if let (Target::Interface(node), Change::Interface { on, off }) = (&write.target, &write.change) {
                let text = format!("adds {}, removes {}", on.len(), off.len());
                self.line("interface-update", |line| line.to(node.as_str()).reason(&text))?;
            }
        }
        let both = Both { sandbox: &self.sandbox, azure: &self.azure };
        let applying = apply(&both, &outcome.writes, versions(observed, &outcome.writes), |_| true);
        self.sandbox.run(applying).context("the schedule does not end")?;
        self.promises.extend(outcome.promises.clone());
        Ok(())
    }

    /// A new round must find nothing to do, and every held address must be on one interface: that of its node.
    fn verify(&mut self) -> Result<bool> {
        let observed = self.observe();
        let outcome = self.plan(&observed)?.1;
        let audit = self.narrator.audit(self.now(), &observed, &outcome)?;
        let mut on_interfaces: BTreeMap<IpAddr, Vec<NodeName>> = BTreeMap::new();
        for name in observed.nodes.keys() {
            let nic = self.place.id("Microsoft.Network/networkInterfaces", &format!("{name}-nic"));
            let ours = self.arm.addresses(&nic).into_iter().filter(|(config, _)| config.starts_with("EgressIP"));
            for address in ours.filter_map(|(_, address)| address.parse().ok()) {
                on_interfaces.entry(address).or_default().push(name.clone());
            }
        }
        let listed: BTreeMap<IpAddr, Vec<NodeName>> =
            carriers(&observed).into_iter().map(|(address, node)| (address, vec![node])).collect();
        let same = on_interfaces == listed;
        self.narrator.claim(self.now(), same, "interfaces and HostSubnets do not say the same")?;
        let counted = format!("{} addresses held, {} on interfaces", audit.addresses, on_interfaces.len());
        self.narrator.verdict(self.now(), &counted)
    }
}

/// Which node's HostSubnet lists an address.
fn carriers(observed: &Observed) -> BTreeMap<IpAddr, NodeName> {
    let listed = |(name, facts): (&NodeName, &std::sync::Arc<sluice_core::observed::CarrierFacts>)| {
        let addresses: Vec<IpAddr> = facts.egress_ips.iter().filter_map(Listed::address).collect();
        let name = name.clone();
        addresses.into_iter().map(move |address| (address, name.clone()))
    };
    observed.carriers.iter().flat_map(listed).collect()
}
