//! A cluster on Azure: its machines in a simulated cloud, its objects in a real API server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde_json::{Value, json};
use sluice_sandbox_azure::{Arm, Client, Place, Pool, Settings, Span};

use super::bootstrap::OPERATOR_NAMESPACE;
use super::{Cluster, Launch, Object, Operator, eventually, infrastructure, node, pool};

pub const SUBSCRIPTION: &str = "00000000-0000-4000-8000-000000000001";
const TENANT: &str = "00000000-0000-4000-8000-000000000002";
const CLIENT: &str = "00000000-0000-4000-8000-000000000003";
/// The client secret: no log, condition or event may ever show it.
pub const CLIENT_SECRET: &str = "s3cr3t-of-the-test";
/// The Secret with the account.
pub const SECRET: &str = "egress-ipam-operator-cloud-credentials";
/// The prefix of our configurations' names.
pub const OURS: &str = "EgressIP";
/// Virtual seconds in a real one: an update of 71 s takes 71 ms.
const SCALE: u32 = 1000;
/// Long enough for a few updates of interfaces, also on a busy machine.
pub const A_WHILE: std::time::Duration = std::time::Duration::from_secs(40);

/// The stage: cloud and cluster.
pub struct Stage {
    pub cluster: Cluster,
    pub arm: Arm,
    pub place: Place,
    network: Place,
}

impl Stage {
    /// An empty cluster on Azure with its account; one subnet 10.20.0.0/16 for all zones.
    pub async fn start() -> Self {
        Self::with(Settings { scale: SCALE, duration: Span::Fixed(71_000), ..Settings::default() }).await
    }

    /// The same, in a cloud of other habits.
    pub async fn with(settings: Settings) -> Self {
        Self::on(Cluster::start().await, settings).await
    }

    /// The same, around a cluster that is there.
    pub async fn on(cluster: Cluster, settings: Settings) -> Self {
        let arm = Arm::start(settings).await.expect("the simulator starts");
        let place = Place::new(SUBSCRIPTION, "ocp1-rg", "eastus");
        let network = Place::new(SUBSCRIPTION, "network-rg", "eastus");
        let prefix = |text: &str| text.parse().expect("a prefix");
        arm.add_network(
            &network,
            "ocp1-vnet",
            &[("workers", &[prefix("10.20.0.0/16")]), ("other", &[prefix("10.99.0.0/16")])],
        );
        let pools =
            [Pool { name: "internal".into(), outbound: false }, Pool { name: "outbound".into(), outbound: true }];
        arm.add_load_balancer(&place, "ocp1-lb", &pools);
        arm.put_client(client(CLIENT_SECRET));
        cluster.create([azure(), Self::secret(CLIENT_SECRET)]).await;
        Self { cluster, arm, place, network }
    }

    /// A pool over three zones, all in the one subnet.
    pub fn three_zones() -> Object {
        pool("egress")
            .range("eastus-1", "10.20.1.0/24")
            .range("eastus-2", "10.20.2.0/24")
            .range("eastus-3", "10.20.3.0/24")
    }

    /// Machines and their Nodes: name and zone. The first gets 10.20.0.4, and so on.
    pub async fn machines(&self, machines: &[(&str, u8)]) {
        let nodes = (4..).zip(machines).map(|(nth, (name, zone))| self.virtual_machine(name, *zone, nth));
        self.cluster.create(nodes).await;
    }

    /// One machine and its Node.
    pub async fn machine(&self, name: &str, zone: u8, nth: u16) {
        self.cluster.create([self.virtual_machine(name, zone, nth)]).await;
    }

    /// A machine with the nth address of the subnet, and what is to be its Node.
    fn virtual_machine(&self, name: &str, zone: u8, nth: u16) -> Object {
        let subnet = format!("{}/subnets/workers", self.network.id("Microsoft.Network/virtualNetworks", "ocp1-vnet"));
        let [high, low] = nth.to_be_bytes();
        let address = Ipv4Addr::new(10, 20, high, low);
        let nic = self.arm.add_nic(&self.place, &nic_name(name), &subnet, address.into());
        self.arm.add_machine(&self.place, name, Some(&zone.to_string()), &[&nic]);
        let machine = self.place.id("Microsoft.Compute/virtualMachines", name);
        node(name)
            .zone(&format!("eastus-{zone}"))
            .address(&address.to_string())
            .set("spec.providerID", format!("azure://{machine}"))
    }

    /// Starts the operator against cloud and cluster.
    pub async fn operator(&self) -> Operator {
        self.launch().start().await
    }

    /// How to start it.
    pub fn launch(&self) -> Launch {
        Operator::launch(&self.cluster).on_azure(&self.arm)
    }

    /// The id of a machine's interface.
    pub fn nic(&self, machine: &str) -> String {
        self.place.id("Microsoft.Network/networkInterfaces", &nic_name(machine))
    }

    /// Addresses of ours on interfaces, by machine.
    pub fn carried(&self, machines: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
        let of = |machine: &&str| {
            let configs = self.arm.addresses(&self.nic(machine)).into_iter();
            let ours = configs.filter(|(name, _)| name.starts_with(OURS)).map(|(_, address)| address);
            ((*machine).to_owned(), ours.collect())
        };
        machines.iter().map(of).collect()
    }

    /// Waits until namespaces, nodes and interfaces agree that these namespaces are served, and nothing is under way.
    pub async fn serves(&self, namespaces: &[&str], addresses: usize) {
        eventually(&format!("{namespaces:?} are served"), A_WHILE, || async {
            let outcome = self.cluster.outcome().await;
            for name in namespaces {
                let held = outcome.addresses_of(name);
                if held.len() != addresses {
                    return Err(format!("{name} holds {held:?}\n{outcome}"));
                }
                for address in held {
                    self.is_carried(address, &outcome.nodes_of(address))?;
                }
                let annotated = outcome.namespaces.get(*name).and_then(|state| state.annotated.clone());
                if annotated != Some(held.join(",")) {
                    return Err(format!("{name} is told {annotated:?}"));
                }
            }
            Ok(())
        })
        .await;
    }

    fn is_carried(&self, address: &str, nodes: &[&str]) -> Result<(), String> {
        let &[node] = nodes else { return Err(format!("{address} is on nodes {nodes:?}")) };
        let nic = self.nic(node);
        let has = self.arm.addresses(&nic).values().any(|other| other == address);
        if has && !self.arm.is_busy(&nic) {
            Ok(())
        } else {
            Err(format!("{address} is not on the interface of {node}"))
        }
    }

    /// An interface as it is stored.
    pub fn stored(&self, machine: &str) -> Value {
        self.arm.resource(&self.nic(machine)).expect("the interface is there")
    }

    /// What others have on it: see [`foreign`].
    pub fn foreign(&self, machine: &str) -> String {
        foreign(&self.arm, &self.nic(machine), &[OURS])
    }

    /// Waits until the status of pool `egress` contains all of these texts, and returns it.
    pub async fn tells(&self, texts: &[&str]) -> String {
        eventually(&format!("the pool's status says {texts:?}"), A_WHILE, || async {
            let status = self.cluster.status("egress").await;
            if texts.iter().all(|text| status.contains(text)) { Ok(status) } else { Err(status) }
        })
        .await
    }

    /// Waits until so many seconds of Azure's time have passed.
    pub async fn passes(&self, seconds: u64) {
        let end = self.arm.clock().now() + seconds * 1000;
        eventually(&format!("{seconds} s pass"), A_WHILE, || async {
            let now = self.arm.clock().now();
            if now >= end { Ok(()) } else { Err(format!("{} ms to go", end - now)) }
        })
        .await;
    }

    /// Waits until everything was listed twice more.
    pub async fn two_inventories(&self) {
        let before = self.arm.count("GET", "virtualMachines");
        eventually("two inventories", A_WHILE, || async {
            let now = self.arm.count("GET", "virtualMachines");
            if now >= before + 2 { Ok(()) } else { Err(now - before) }
        })
        .await;
    }

    /// Waits until the operator has seen the cloud anew and made of it what there is to make.
    pub async fn looks_again(&self) {
        self.two_inventories().await;
        self.cluster.settled().await;
    }

    /// Panics if a log, a status, an event or a namespace shows a client secret or a token.
    pub async fn keeps_secrets(&self, operators: &[&Operator], secrets: &[&str]) {
        let mut places: Vec<(String, String)> =
            operators.iter().map(|operator| ("the log".to_owned(), operator.log())).collect();
        for kind in ["EgressIPAM", "Event", "Namespace", "NetNamespace", "HostSubnet"] {
            let objects = self.cluster.list(kind).await;
            places.extend(objects.iter().map(|object| (kind.to_owned(), json!(object).to_string())));
        }
        assert!(places.iter().any(|(_, text)| text.contains("sluice")), "the right places are searched");
        // The simulator's tokens begin with this.
        for secret in secrets.iter().chain(&[CLIENT_SECRET, "simulated-"]) {
            let found: Vec<&String> =
                places.iter().filter(|(_, text)| text.contains(secret)).map(|(place, _)| place).collect();
            assert!(found.is_empty(), "{secret} is in {found:?}");
        }
    }

    /// Gives the application another client secret; the one before is refused from now on.
    pub fn rotate(&self, client_secret: &str) {
        self.arm.put_client(client(client_secret));
    }

    /// The Secret with the account.
    pub fn secret(client_secret: &str) -> Object {
        secret(client(client_secret).account(SUBSCRIPTION))
    }
}

impl Launch {
    /// Against a simulated cloud, at its time.
    pub fn on_azure(self, arm: &Arm) -> Self {
        let base = arm.base_url();
        let scale = arm.clock().scale().to_string();
        self.args(&["--azure-arm-endpoint", base, "--azure-authority-host", base, "--azure-time-scale", &scale])
    }
}

fn client(secret: &str) -> Client {
    Client::with_secret(TENANT, CLIENT, secret)
}

/// An interface's configurations but those with names of ours, byte for byte, and everything else that only others
/// write.
pub fn foreign(arm: &Arm, nic: &str, ours: &[&str]) -> String {
    let mut nic = arm.resource(nic).expect("the interface is there");
    let configs = nic["properties"]["ipConfigurations"].as_array_mut().expect("a list");
    let is_ours = |name: &str| ours.iter().any(|prefix| name.starts_with(prefix));
    configs.retain(|config| !is_ours(config["name"].as_str().unwrap_or_default()));
    configs.iter_mut().for_each(without_versions);
    without_versions(&mut nic);
    nic.to_string()
}

/// Versions and states change with every write, and the cloud adds a suffix to the first.
fn without_versions(value: &mut Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.remove("etag");
    }
    if let Some(properties) = value["properties"].as_object_mut() {
        properties.remove("provisioningState");
        if let Some(names) = properties.get_mut("dnsSettings").and_then(Value::as_object_mut) {
            names.remove("internalDomainNameSuffix");
        }
    }
}

fn nic_name(machine: &str) -> String {
    format!("{machine}-nic")
}

/// The Infrastructure object of a cluster on Azure.
fn azure() -> Object {
    infrastructure("Azure").set(
        "status.platformStatus.azure",
        json!({"cloudName": "AzurePublicCloud", "resourceGroupName": "ocp1-rg", "networkResourceGroupName": "network-rg"}),
    )
}

/// The Secret as the cloud credential operator writes it, for an account.
pub fn secret(account: BTreeMap<String, String>) -> Object {
    let place = [("azure_resourcegroup", "ocp1-rg"), ("azure_region", "eastus")];
    let place = place.map(|(key, text)| (key.to_owned(), text.to_owned()));
    let texts: BTreeMap<String, String> = account.into_iter().chain(place).collect();
    Object::from_json(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": OPERATOR_NAMESPACE},
        "stringData": texts,
    }))
}
