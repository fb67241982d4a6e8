//! Identifiers of Azure resources, and the `providerID` that a Node carries.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// What a virtual machine is called in identifiers.
pub(crate) const MACHINE: &str = "Microsoft.Compute/virtualMachines";
/// What an interface is called in identifiers.
pub(crate) const INTERFACE: &str = "Microsoft.Network/networkInterfaces";
/// What a virtual network is called in identifiers.
pub(crate) const NETWORK: &str = "Microsoft.Network/virtualNetworks";
/// What a load balancer is called in identifiers.
pub(crate) const BALANCER: &str = "Microsoft.Network/loadBalancers";

/// Segments of an identifier up to the name of the resource: `/subscriptions/s/resourceGroups/g/providers/n/t/name`
/// has an empty one in front.
const OF_RESOURCE: usize = 9;

/// The identifier of a resource. Azure keeps the case of letters and does not look at it, and neither do comparisons.
#[derive(Clone, Debug)]
pub(crate) struct ResourceId(String);

impl ResourceId {
    /// Reads an identifier of a resource in a resource group, or of a part of one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches('/');
        let parts: Vec<&str> = text.split('/').collect();
        let [empty, subscriptions, _, groups, _, providers, _, _, _, rest @ ..] = parts.as_slice() else { return None };
        let fits = empty.is_empty()
            && subscriptions.eq_ignore_ascii_case("subscriptions")
            && groups.eq_ignore_ascii_case("resourceGroups")
            && providers.eq_ignore_ascii_case("providers")
            && rest.len() % 2 == 0
            && parts.iter().skip(1).all(|part| !part.is_empty() && !part.contains(['?', '#', '%']));
        fits.then(|| Self(text.to_owned()))
    }

    fn part(&self, at: usize) -> &str {
        self.0.split('/').nth(at).unwrap_or_default()
    }

    /// As Azure wrote it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Its subscription.
    pub(crate) fn subscription(&self) -> &str {
        self.part(2)
    }

    /// Its resource group.
    pub(crate) fn group(&self) -> &str {
        self.part(4)
    }

    /// The name of the resource; of a part, the name of the resource that it is a part of.
    pub(crate) fn name(&self) -> &str {
        self.part(OF_RESOURCE - 1)
    }

    /// Whether the resource, or the one that it is a part of, is of a kind such as `Microsoft.Compute/virtualMachines`.
    pub(crate) fn is_of(&self, kind: &str) -> bool {
        let (namespace, name) = kind.split_once('/').unwrap_or((kind, ""));
        self.part(6).eq_ignore_ascii_case(namespace) && self.part(7).eq_ignore_ascii_case(name)
    }

    /// Whether it is a part of a resource, as a subnet is of a network.
    pub(crate) fn is_part(&self) -> bool {
        self.0.split('/').count() > OF_RESOURCE
    }

    /// The resource that this is a part of, or itself.
    pub(crate) fn resource(&self) -> Self {
        Self(self.0.split('/').take(OF_RESOURCE).collect::<Vec<_>>().join("/"))
    }

    fn letters(&self) -> impl Iterator<Item = u8> {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ResourceId {}

impl PartialOrd for ResourceId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourceId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.letters().cmp(other.letters())
    }
}

impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.letters().for_each(|letter| state.write_u8(letter));
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a `providerID` names no machine that can be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadProviderId {
    /// It is not of Azure, or not complete.
    #[error("its spec.providerID is not that of an Azure virtual machine")]
    NotAzure,
    /// A machine of a scale set in uniform mode: its interfaces cannot be written by themselves.
    #[error("it is in a scale set of uniform orchestration, whose interfaces cannot be changed one by one")]
    ScaleSet,
}

/// The virtual machine of a `providerID`.
pub(crate) fn machine_of(provider_id: &str) -> Result<ResourceId, BadProviderId> {
    let scheme = "azure://";
    let starts = provider_id.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let id = provider_id.get(scheme.len()..).filter(|_| starts).and_then(ResourceId::parse);
    let id = id.ok_or(BadProviderId::NotAzure)?;
    if id.is_of("Microsoft.Compute/virtualMachineScaleSets") {
        return Err(BadProviderId::ScaleSet);
    }
    if id.is_of(MACHINE) && !id.is_part() { Ok(id) } else { Err(BadProviderId::NotAzure) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: &str = "/subscriptions/s/resourceGroups/Rg/providers/Microsoft.Compute/virtualMachines/w1";

    #[test]
    fn identifiers_are_equal_whatever_the_case() {
        let one = ResourceId::parse(VM).unwrap();
        let other = ResourceId::parse(&VM.to_uppercase()).unwrap();
        assert_eq!(one, other);
        assert_eq!(one.cmp(&other), Ordering::Equal);
        assert_eq!((one.subscription(), one.group(), one.name()), ("s", "Rg", "w1"));
        assert!(other.is_of(MACHINE));
    }

    #[test]
    fn a_part_knows_its_resource() {
        let subnet = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/a";
        let subnet = ResourceId::parse(subnet).unwrap();
        assert!(subnet.is_part());
        assert_eq!(subnet.resource().name(), "v");
        assert!(!subnet.resource().is_part());
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        for text in
            ["", "/", "/subscriptions/s", &format!("{VM}/x"), &VM.replace("w1", "a?b"), &VM.replace("/s/", "//")]
        {
            assert_eq!(ResourceId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_provider_id_names_a_machine() {
        assert_eq!(machine_of(&format!("azure://{VM}")).unwrap().name(), "w1");
        assert_eq!(machine_of(&format!("AZURE://{}", VM.to_uppercase())).unwrap().name(), "W1");
        let uniform = VM.replace("virtualMachines/w1", "virtualMachineScaleSets/x/virtualMachines/0");
        assert_eq!(machine_of(&format!("azure://{uniform}")), Err(BadProviderId::ScaleSet));
        for text in ["", "aws:///eu-west-1a/i-1", "azure:///subscriptions/s", &format!("azure://{VM}/extensions/x")] {
            assert_eq!(machine_of(text), Err(BadProviderId::NotAzure), "{text}");
        }
    }
}
