//! What the cluster is like, as far as it does not say so itself.

use clap::ValueEnum;
use sluice_core::network::Network;
use sluice_core::observed::Platform;
use sluice_kube::index::Index;

/// Which network the cluster has, and what its machines run on.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct NetworkArgs {
    /// The cluster's network; auto: what OpenShift says, else whichever kinds the API server knows
    #[arg(long, value_enum, default_value_t)]
    network: NetworkChoice,
    /// What the machines run on, for a cluster without OpenShift's Infrastructure object
    #[arg(long, value_enum)]
    platform: Option<PlatformChoice>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum NetworkChoice {
    /// What the cluster says
    #[default]
    Auto,
    /// OpenShift SDN
    Sdn,
    /// OVN-Kubernetes
    Ovn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PlatformChoice {
    /// Nothing that has to agree to an address
    None,
    Azure,
    Aws,
    Gcp,
    #[value(name = "openstack")]
    OpenStack,
}

impl NetworkArgs {
    /// Tells the index.
    pub(crate) fn tell(self, index: &mut Index) {
        match self.network {
            NetworkChoice::Auto => {}
            NetworkChoice::Sdn => index.set_network(Network::OpenShiftSdn),
            NetworkChoice::Ovn => index.set_network(Network::OvnKubernetes),
        }
        if let Some(platform) = self.platform {
            index.set_platform(match platform {
                PlatformChoice::None => Platform::SelfManaged("None".to_owned()),
                // Which of them have to agree, and who sees to it, depends on the network.
                PlatformChoice::Azure => Platform::Unserved("Azure".to_owned()),
                PlatformChoice::Aws => Platform::Unserved("AWS".to_owned()),
                PlatformChoice::Gcp => Platform::Unserved("GCP".to_owned()),
                PlatformChoice::OpenStack => Platform::SelfManaged("OpenStack".to_owned()),
            });
        }
    }
}
