//! What the provider is told of a Node.

use crate::id::{self, ResourceId};

/// Which machine a Node runs on, and how its interface is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineRef {
    /// `spec.providerID`.
    pub provider_id: Option<String>,
    /// The annotation `machine.openshift.io/machine`, which is looked at where there is no provider id.
    pub machine: Option<String>,
    /// Which backend pools new addresses join.
    pub pools: LoadBalancerChoice,
}

/// What annotation `egressip-ipam-operator.redhat-cop.io/azure-egress-load-balancer` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadBalancerChoice {
    /// `none`: new addresses join no pool.
    None,
    /// `same-as-primary-ip`: they join the pools of the machine's own address, but none with an outbound rule.
    #[default]
    SameAsPrimary,
}

/// What a Node says of its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// Exactly this one.
    Id(ResourceId),
    /// The one of this name in the cluster's resource groups.
    Name(String),
}

impl MachineRef {
    /// The machine: by provider id, else by the name of the Machine, else by the Node's.
    pub(crate) fn named(&self, node: &str) -> Result<Named, id::BadProviderId> {
        if let Some(provider_id) = self.provider_id.as_deref().filter(|text| !text.is_empty()) {
            return id::machine_of(provider_id).map(Named::Id);
        }
        let machine = self.machine.as_deref().map(|name| name.rsplit('/').next().unwrap_or(name));
        Ok(Named::Name(machine.filter(|name| !name.is_empty()).unwrap_or(node).to_owned()))
    }
}
