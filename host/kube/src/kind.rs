//! The kinds of objects Sluice watches.

use std::fmt;

use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;

use crate::{names, network};

/// API group, version, kind and plural.
pub(crate) type Coordinates = (&'static str, &'static str, &'static str, &'static str);

/// A kind of object that Sluice reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `EgressIPAM`, a pool.
    Pool,
    /// `Node`.
    Node,
    /// `Namespace`.
    Namespace,
    /// `NetNamespace` of OpenShift SDN.
    NetNamespace,
    /// `HostSubnet` of OpenShift SDN.
    HostSubnet,
    /// `EgressIP` of OVN-Kubernetes.
    EgressIp,
    /// `Network` of OpenShift, which says what the cluster's network is; only `cluster` counts.
    NetworkConfig,
    /// `Infrastructure` of OpenShift; only `cluster` counts.
    Infrastructure,
    /// `CloudPrivateIPConfig` of OpenShift's cloud network config controller; where it is served, that controller
    /// writes the machines' interfaces.
    PrivateIp,
    /// `ConfigMap`; only the lock of redhat-cop's operator counts, in any namespace.
    Lock,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Pool,
        Self::Node,
        Self::Namespace,
        Self::NetNamespace,
        Self::HostSubnet,
        Self::EgressIp,
        Self::NetworkConfig,
        Self::Infrastructure,
        Self::PrivateIp,
        Self::Lock,
    ];

    const fn coordinates(self) -> Coordinates {
        match self {
            Self::Pool => ("redhatcop.redhat.io", "v1alpha1", "EgressIPAM", "egressipams"),
            Self::Node => ("", "v1", "Node", "nodes"),
            Self::Namespace => ("", "v1", "Namespace", "namespaces"),
            Self::NetNamespace => network::NET_NAMESPACE,
            Self::HostSubnet => network::HOST_SUBNET,
            Self::EgressIp => network::ovn::EGRESS_IP,
            Self::NetworkConfig => ("config.openshift.io", "v1", "Network", "networks"),
            Self::Infrastructure => ("config.openshift.io", "v1", "Infrastructure", "infrastructures"),
            Self::PrivateIp => ("cloud.network.openshift.io", "v1", "CloudPrivateIPConfig", "cloudprivateipconfigs"),
            Self::Lock => ("", "v1", "ConfigMap", "configmaps"),
        }
    }

    /// What kube needs to build addresses.
    pub fn api_resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.coordinates();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// The kind of an object with this `apiVersion` and `kind`; none: nothing Sluice reads.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|candidate| {
            let (group, version, name, _) = candidate.coordinates();
            let expected = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
            name == kind && expected == api_version
        })
    }

    /// Its name, as people and metrics have it.
    pub const fn name(self) -> &'static str {
        self.coordinates().2
    }

    /// Plural and group, as a CRD is named: `hostsubnets.network.openshift.io`.
    pub fn resource(self) -> String {
        let (group, _, _, plural) = self.coordinates();
        if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
    }

    /// Restricts list and watch to the objects that count; it is also what lets RBAC name them.
    pub fn field_selector(self) -> Option<String> {
        match self {
            Self::Infrastructure | Self::NetworkConfig => Some(format!("metadata.name={}", names::CLUSTER)),
            Self::Lock => Some(format!("metadata.name={}", names::FOREIGN_LOCK)),
            _ => None,
        }
    }

    /// Whether a cluster may do without: each has the kinds of one network, plain Kubernetes has nothing of OpenShift, and
    /// only some clouds have the controller of `CloudPrivateIPConfig`s.
    pub fn is_optional(self) -> bool {
        match self {
            Self::Pool | Self::Node | Self::Namespace | Self::Lock => false,
            Self::NetNamespace
            | Self::HostSubnet
            | Self::EgressIp
            | Self::NetworkConfig
            | Self::Infrastructure
            | Self::PrivateIp => true,
        }
    }

    /// Whether objects of that name are of interest.
    pub fn counts(self, name: &str) -> bool {
        match self {
            Self::Infrastructure | Self::NetworkConfig => name == names::CLUSTER,
            Self::Lock => name == names::FOREIGN_LOCK,
            _ => true,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
