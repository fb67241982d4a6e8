//! What the host sees: the cluster's objects at one instant, reduced to the facts that decide something.
//!
//! Nothing here is judged: a bad value is kept as it is, so that it can be shown and preserved.

mod pool;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::cloud::{CloudFacts, InterfaceFacts};
use crate::name::{NodeName, OwnerName, PoolName};
use crate::network::{Network, Words};
use crate::snapshot::{Capacity, Phase};

pub use pool::{NodeSelector, PoolEntry, PoolFacts, PoolSpec, Requirement, SpecError};

/// The cluster at one instant. Cheap to clone: facts are shared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Counts changes of the index; a plan echoes it.
    pub generation: u64,
    /// Unix time in milliseconds.
    pub now: u64,
    /// The same for the whole life of a cluster; breaks ties.
    pub seed: u64,
    /// Who serves addresses to the machines.
    pub platform: Platform,
    /// What carries the traffic of namespaces, and by which objects.
    pub network: Network,
    /// EgressIPAM objects.
    pub pools: BTreeMap<PoolName, Arc<PoolFacts>>,
    /// Nodes.
    pub nodes: BTreeMap<NodeName, Arc<NodeFacts>>,
    /// Namespaces.
    pub namespaces: BTreeMap<OwnerName, Arc<NamespaceFacts>>,
    /// What owners hold, by the network's objects.
    pub holdings: BTreeMap<OwnerName, Arc<HoldingFacts>>,
    /// What nodes carry, by the network's objects.
    pub carriers: BTreeMap<NodeName, Arc<CarrierFacts>>,
    /// What people call those objects.
    pub words: Words,
    /// Why nothing may be written to the network now, whichever it is: it is not known, or being replaced by another.
    pub network_obstacle: Option<String>,
    /// What OpenShift's cloud network config controller makes of addresses; none: there is no such controller.
    pub private_ips: Option<BTreeMap<IpAddr, PrivateIpFacts>>,
    /// The machines' interfaces; none: there is no cloud, or nothing is known of it yet.
    pub cloud: Option<Arc<CloudFacts>>,
    /// Why nothing is known of the interfaces, where that is known.
    pub cloud_obstacle: Option<String>,
    /// Addresses that interfaces get for somebody who does not hold them yet: a cloud takes minutes for it.
    pub promises: BTreeMap<IpAddr, Promise>,
    /// What earlier rounds changed without need.
    pub recent: Recent,
    /// What has not been seen for long. What is known of it may be old, so that nothing follows from what it lacks.
    pub blind: BTreeSet<Blind>,
}

/// What earlier rounds did, as far as it counts in this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// Unforced changes that have not been made up for yet, by the name of the grant whose policy made them.
    pub spent: BTreeMap<String, u32>,
    /// Addresses that flapped, with the name of the policy that moved them.
    pub flapped: BTreeMap<IpAddr, String>,
}

/// What may be out of sight: the watch of each fails by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blind {
    /// [`Observed::pools`].
    Pools,
    /// [`Observed::nodes`].
    Nodes,
    /// [`Observed::namespaces`].
    Namespaces,
    /// [`Observed::holdings`].
    Holdings,
    /// [`Observed::carriers`].
    Carriers,
    /// [`Observed::platform`].
    Platform,
    /// [`Observed::private_ips`].
    PrivateIps,
}

impl Blind {
    /// What people call it.
    fn name(self, words: &Words) -> &'static str {
        match self {
            Self::Pools => "EgressIPAMs",
            Self::Nodes => "nodes",
            Self::Namespaces => "namespaces",
            Self::Holdings => words.holdings,
            Self::Carriers => words.carriers,
            Self::Platform => "the Infrastructure",
            Self::PrivateIps => "CloudPrivateIPConfigs",
        }
    }
}

/// What one `CloudPrivateIPConfig` says of its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrivateIpFacts {
    /// The cloud gives it to this node; none: it is not said to which.
    Given(Option<NodeName>),
    /// The cloud does not give it yet: what the controller waits for, for people.
    Awaited(String),
    /// Why the cloud does not give it, in the controller's words.
    Refused(String),
}

/// For whom an interface gets an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Who will hold it once it is carried.
    pub owner: OwnerName,
    /// Label value of its home zone; none: unknown.
    pub zone: Option<String>,
}

impl Observed {
    /// Why nothing may be written now, if so.
    pub fn refusal(&self) -> Option<String> {
        if let Some(why) = &self.network_obstacle {
            return Some(format!("{why}; addresses are planned, nothing is written"));
        }
        match &self.platform {
            Platform::Cloud(cloud) if self.cloud.is_none() => {
                let why = self.cloud_obstacle.as_deref().unwrap_or("they have not been read yet");
                let name = &cloud.name;
                Some(format!(
                    "the interfaces of {name} are not known: {why}; addresses are planned, nothing is written"
                ))
            }
            Platform::SelfManaged(_) | Platform::Cloud(_) => None,
            Platform::Unserved(name) => Some(format!(
                "platform {name} needs a cloud provider, which this version does not have: addresses are planned, nothing is written"
            )),
            Platform::Unknown => Some(
                "Infrastructure/cluster is missing or names no platform: addresses are planned, nothing is written"
                    .to_owned(),
            ),
        }
    }

    /// Whether what is known of a kind is up to date, so that what is not there is gone.
    pub(crate) fn sees(&self, kind: Blind) -> bool {
        !self.blind.contains(&kind)
    }

    /// Why nothing new may be given out now, if so.
    pub fn blindness(&self) -> Option<String> {
        let kinds: Vec<&str> = self.blind.iter().map(|kind| kind.name(&self.words)).collect();
        (!kinds.is_empty()).then(|| {
            format!("nothing has been heard of {} for a minute, so nothing new is given out", kinds.join(", "))
        })
    }

    /// Whether the cloud is about to be read: it has not been yet, and nothing is known to be in the way.
    pub fn awaits_cloud(&self) -> bool {
        matches!(self.platform, Platform::Cloud(_)) && self.cloud.is_none() && self.cloud_obstacle.is_none()
    }

    /// Shows promises: those that still wait for their interface, and those that their owner does not hold yet.
    pub fn promise(&mut self, promises: &BTreeMap<IpAddr, Promise>) {
        let interfaces = self.written_interfaces().into_iter().flat_map(|cloud| cloud.interfaces.values());
        let coming = interfaces.flat_map(|interface| &interface.addresses);
        let coming: BTreeSet<IpAddr> =
            coming.filter(|(_, on)| on.phase != Phase::Leaving).map(|(&address, _)| address).collect();
        let holds = |owner: &OwnerName, address: IpAddr| {
            let net = self.holdings.get(owner);
            net.is_some_and(|facts| facts.egress_ips.iter().any(|listed| listed.address() == Some(address)))
        };
        let waits =
            |(address, promise): &(&IpAddr, &Promise)| coming.contains(*address) && !holds(&promise.owner, **address);
        self.promises = promises.iter().filter(waits).map(|(&address, promise)| (address, promise.clone())).collect();
    }

    /// How many addresses a node can carry beside the machine's own. Where we write interfaces, that is what is left
    /// of them; one that is not known carries none. Where somebody else does, he says how many, or else the cloud's
    /// limit counts: whose addresses are on an interface already is not known then.
    pub fn capacity(&self, node: &NodeName) -> Capacity {
        if self.network.keeps_capacity() {
            return self.nodes.get(node).map(|facts| facts.capacity).unwrap_or_default();
        }
        let Some(cloud) = self.cloud.as_deref() else { return Capacity::default() };
        let interface = cloud.interfaces.get(node);
        if cloud.writes {
            return interface.map_or(Capacity { total: Some(0), ..Capacity::default() }, InterfaceFacts::capacity);
        }
        let said = self.nodes.get(node).map(|facts| facts.capacity).filter(|said| *said != Capacity::default());
        said.or_else(|| Some(interface?.limit)).unwrap_or_default()
    }

    /// The interface of a node, where it is us who writes it.
    pub(crate) fn interface(&self, node: &NodeName) -> Option<&InterfaceFacts> {
        self.written_interfaces()?.interfaces.get(node)
    }

    /// The interfaces, where it is us who writes them.
    pub(crate) fn written_interfaces(&self) -> Option<&CloudFacts> {
        self.cloud.as_deref().filter(|cloud| cloud.writes)
    }
}

/// What `Infrastructure/cluster` says about the machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Platform {
    /// No cloud step is needed: bare metal, vSphere, oVirt, `OpenStack` without provider, None.
    SelfManaged(String),
    /// A cloud whose network has to agree, and that this build has a provider for.
    Cloud(CloudPlatform),
    /// A cloud whose network has to agree, for which this build has no provider.
    Unserved(String),
    /// There is no Infrastructure object, or it names no platform.
    #[default]
    Unknown,
}

/// A cloud that this build has a provider for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudPlatform {
    /// Its name, as `Infrastructure/cluster` has it.
    pub name: String,
    /// Texts of `platformStatus` about it, such as `resourceGroupName`, by field.
    pub settings: BTreeMap<String, String>,
}

/// One Node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Condition Ready is `True`.
    pub ready: bool,
    /// Cordoned.
    pub unschedulable: bool,
    /// Addresses of the machine.
    pub addresses: Vec<IpAddr>,
    /// The machine in its cloud: `spec.providerID`.
    pub provider_id: Option<String>,
    /// The Machine object, as `namespace/name`.
    pub machine: Option<String>,
    /// How many addresses it can carry, as OpenShift's cloud network config controller says.
    pub capacity: Capacity,
}

/// One Namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamespaceFacts {
    /// Precondition of a write.
    pub resource_version: String,
    /// Creation, Unix milliseconds: decides who keeps an address that two owners hold.
    pub created: u64,
    /// It is going away; its pods may still talk.
    pub terminating: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The pool it opted into.
    pub pool: Option<PoolName>,
    /// What it states as its addresses, as written: a result of ours or somebody's request.
    pub egress_ips: Option<String>,
    /// What it was told last of why it is not served, as written.
    pub hold: Option<String>,
}

/// What one owner holds: the network's object of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HoldingFacts {
    /// Precondition of a write.
    pub resource_version: String,
    /// Creation, Unix milliseconds: a new one may be seen before its Namespace.
    pub created: u64,
    /// Its addresses.
    pub egress_ips: Vec<Listed>,
    /// We wrote the addresses, for this pool.
    pub pool: Option<PoolName>,
    /// Home zones of addresses, as we recorded them.
    pub zones: BTreeMap<IpAddr, String>,
    /// The network's number for the namespace. Namespaces with the same one are one to it, also for egress addresses.
    pub network_id: Option<u32>,
    /// Name of the object; empty: that of the owner.
    pub object: String,
    /// Why it is not ours to change, if so: its owner gets nothing, and what it lists is a stranger's.
    pub obstacle: Option<String>,
    /// It is ours to delete once its owner leaves.
    pub deletable: bool,
    /// Addresses that the network carries for this object, where it says so: of several objects that list an address it
    /// carries it for one.
    pub carried: BTreeSet<IpAddr>,
    /// Addresses that the owner only keeps until what replaces them is carried, as we recorded them.
    pub replaced: BTreeSet<IpAddr>,
}

/// What one node carries: the network's object of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CarrierFacts {
    /// Precondition of a write.
    pub resource_version: String,
    /// The node's own address.
    pub host_ip: Option<IpAddr>,
    /// Its addresses.
    pub egress_ips: Vec<Listed>,
    /// From where the network places addresses on the node by itself; empty: it does not.
    pub ranges: Vec<String>,
    /// That the network may place addresses here, where it does so among the nodes that are marked for it; none: it may
    /// not.
    pub assignable: Option<Assignable>,
    /// The networks whose addresses the node can carry; none: any.
    pub networks: Option<Vec<IpNet>>,
}

/// A node's mark that the network may place addresses on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignable {
    /// We set it, so that we may take it away.
    pub ours: bool,
    /// When it was seen first, Unix milliseconds of our clock. The network sees it at another moment.
    pub since: u64,
}

/// An element of a list of addresses; one that is no address is preserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// An address.
    Address(IpAddr),
    /// Something else, kept as it is.
    Other(String),
}

impl Listed {
    /// The address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Other(_) => None,
        }
    }
}

impl From<&str> for Listed {
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Other(text.to_owned()), Self::Address)
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}
