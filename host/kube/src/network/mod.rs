//! Networks: in which objects a network keeps what owners hold and what nodes carry.
//!
//! Each network has a module here: its kinds and annotations, how its objects are read as core's facts, and how core's
//! changes become patches of them. `Networks` keeps what the objects of all of them say, and knows which one counts.

mod choice;
pub(crate) mod ovn;
mod sdn;

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_core::name::{NodeName, OwnerName};
use sluice_core::network::{Network, Words};
use sluice_core::observed::{CarrierFacts, HoldingFacts, Observed, Platform};

use crate::kind::Kind;
pub(crate) use choice::{Choice, NetworkConfig};
pub(crate) use sdn::{HOST_SUBNET, NET_NAMESPACE, carrier_facts, carrier_patch, holding_facts, holding_patch};

/// What people call the objects of a network.
pub const fn words(network: Network) -> Words {
    match network {
        Network::OpenShiftSdn => sdn::WORDS,
        Network::OvnKubernetes => ovn::WORDS,
    }
}

/// The kind of the objects that say what owners hold.
pub(crate) const fn holding_kind(network: Network) -> Kind {
    match network {
        Network::OpenShiftSdn => Kind::NetNamespace,
        Network::OvnKubernetes => Kind::EgressIp,
    }
}

/// The kind of the objects that say what nodes carry, or whether they may.
pub(crate) const fn carrier_kind(network: Network) -> Kind {
    match network {
        Network::OpenShiftSdn => Kind::HostSubnet,
        Network::OvnKubernetes => Kind::Node,
    }
}

/// What the objects of all networks say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Networks {
    /// By NetNamespaces.
    pub(crate) holdings: BTreeMap<OwnerName, Arc<HoldingFacts>>,
    /// By HostSubnets.
    pub(crate) carriers: BTreeMap<NodeName, Arc<CarrierFacts>>,
    /// `EgressIP` objects by name.
    pub(crate) egress_ips: BTreeMap<String, Arc<ovn::EgressIpFacts>>,
    /// What OVN-Kubernetes and the cloud's controller say about nodes.
    pub(crate) nodes: BTreeMap<NodeName, Arc<ovn::NodeNetwork>>,
    /// Which network counts.
    pub(crate) choice: Choice,
    /// What an administrator said about the machines.
    pub(crate) platform: Platform,
}

impl Networks {
    /// The network that counts, and why nothing may be written to it, if so.
    pub(crate) fn network(&self) -> (Network, Option<String>) {
        self.choice.network(!self.egress_ips.is_empty())
    }

    /// Adds what the network that counts says.
    pub(crate) fn show(&self, observed: &mut Observed) {
        let (network, obstacle) = self.network();
        observed.network = network;
        observed.network_obstacle = obstacle;
        observed.words = words(network);
        if observed.platform == Platform::Unknown {
            observed.platform = self.platform.clone();
        }
        match network {
            Network::OpenShiftSdn => {
                observed.holdings = self.holdings.clone();
                observed.carriers = self.carriers.clone();
            }
            Network::OvnKubernetes => ovn::show(self, observed),
        }
    }
}
