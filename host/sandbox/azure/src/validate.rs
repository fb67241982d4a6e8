//! The rules of a `PUT` of a NIC, in the order in which they are checked. Azure documents no order; this one goes from
//! the request alone, over what it refers to, to who holds which address.
//!
//! 1. `location`: given, and that of the existing NIC
//! 2. configurations: at least one, named, names unique, each with a subnet
//! 3. primary: exactly one, IPv4, the existing one neither deleted nor renamed
//! 4. one subnet for all, one set of application security groups for all IPv4 ones
//! 5. at most 256 addresses, at most one IPv6, blocks only /28 and not primary
//! 6. references exist: subnet and load balancer pools; the subnet is not being updated
//! 7. no secondary configuration in a pool with an outbound rule
//! 8. addresses: syntax, in the subnet, not reserved, not twice in the request, not held by another resource
//!
//! Codes that begin with `Simulated` are ours: what Azure says is not known, and no client may depend on them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::address::{Subnet, expand, reserved};
use crate::answer::Answer;
use crate::config::{Config, text};
use crate::resource::{Path, key};
use crate::world::World;

/// The most private addresses of a NIC.
const MOST_ADDRESSES: usize = 256;

type Checked<T = ()> = Result<T, Answer>;

/// Checks a request for a NIC; its configurations, with `primary` settled.
pub(crate) fn check(
    world: &World,
    now: u64,
    path: &Path,
    body: &Value,
    existing: Option<&Value>,
) -> Checked<Vec<Config>> {
    location(path, body, existing)?;
    let mut configs = Config::read_all(&path.to_string(), body);
    shape(path, &configs)?;
    primary(path, &mut configs, existing)?;
    alike(&configs)?;
    limits(&configs)?;
    let subnet = references(world, path, &configs)?;
    outbound(world, &configs)?;
    addresses(world, now, path, &configs, &subnet)?;
    Ok(configs)
}

fn refuse<T>(code: &str, message: &str) -> Checked<T> {
    Err(Answer::network(400, code, message, &[]))
}

fn location(path: &Path, body: &Value, existing: Option<&Value>) -> Checked {
    let Some(wanted) = text(body, "/location") else {
        let text = "The location property is required for this definition.";
        return Err(Answer::arm(400, "LocationRequired", text));
    };
    let found = existing.and_then(|existing| text(existing, "/location")).unwrap_or_else(|| wanted.clone());
    if found.eq_ignore_ascii_case(&wanted) {
        return Ok(());
    }
    let message = format!(
        "The resource '{}' already exists in location '{found}' in resource group '{}'. A resource with the same name \
         cannot be created in location '{wanted}'. Please select a new resource name.",
        path.part(1),
        path.group.as_deref().unwrap_or_default()
    );
    Err(Answer::arm(409, "InvalidResourceLocation", &message))
}

fn shape(path: &Path, configs: &[Config]) -> Checked {
    if configs.is_empty() {
        return refuse("SimulatedNoIpConfiguration", &format!("NIC {path} must have at least one IP configuration."));
    }
    if configs.iter().any(|config| config.name.is_empty()) {
        return refuse("SimulatedIpConfigurationNameRequired", "An IP configuration must have a name.");
    }
    let mut names = BTreeSet::new();
    for config in configs {
        if !names.insert(key(&config.name)) {
            let text = format!("Resource {path} has two child resources with the same name ({}).", config.name);
            return refuse("DuplicateResourceName", &text);
        }
        if config.subnet.is_none() {
            let text = format!("Subnet reference is required for ipconfiguration {}.", config.id);
            return refuse("SimulatedSubnetReferenceRequired", &text);
        }
    }
    Ok(())
}

fn primary(path: &Path, configs: &mut [Config], existing: Option<&Value>) -> Checked {
    if let [only] = configs {
        only.primary = Some(true);
    }
    let before = existing.map(|existing| Config::read_all(&path.to_string(), existing)).unwrap_or_default();
    if let Some(before) = before.iter().find(|config| config.primary == Some(true))
        && !configs.iter().any(|config| config.name.eq_ignore_ascii_case(&before.name))
    {
        let text = format!(
            "IP Configuration {} cannot be deleted. Deletion and renaming of primary IP Configuration is not supported",
            before.name
        );
        return refuse("IpConfigDeleteNotSupported", &text);
    }
    let mut primaries = configs.iter().filter(|config| config.primary == Some(true));
    match (primaries.next(), primaries.next()) {
        (Some(primary), None) if !primary.ipv6 => Ok(()),
        (Some(primary), None) => {
            refuse("SimulatedPrimaryMustBeIPv4", &format!("Primary IP configuration {} must be IPv4.", primary.id))
        }
        _ => refuse("SimulatedOnePrimaryRequired", &format!("NIC {path} must have exactly one primary configuration.")),
    }
}

fn alike(configs: &[Config]) -> Checked {
    let subnet = |config: &Config| config.subnet.as_deref().map(key);
    let Some(first) = configs.first() else { return Ok(()) };
    if configs.iter().any(|config| subnet(config) != subnet(first)) {
        let text = "IPConfigurations on a Nic cannot belong to different subnets.";
        return refuse("IpConfigurationsOnSameNicCannotUseDifferentSubnets", text);
    }
    let mut plain = configs.iter().filter(|config| !config.ipv6);
    let Some(first) = plain.next() else { return Ok(()) };
    let Some(other) = plain.find(|config| config.groups != first.groups) else { return Ok(()) };
    let list = |config: &Config| config.groups.iter().cloned().collect::<Vec<_>>().join(", ");
    // The misspelling is Azure's.
    let text = format!(
        "All IPConfigurations on a Network Interface should reference the same set of Application Security Groups. \
         IPConfiguration {} references ASG(s) {}, wheras IPConfiguration {} references ASG(s) {}.",
        first.id,
        list(first),
        other.id,
        list(other)
    );
    refuse("AllIpConfigurationsOnANicMustBelongToTheSameApplicationSecurityGroups", &text)
}

fn limits(configs: &[Config]) -> Checked {
    if configs.len() > MOST_ADDRESSES {
        let text = format!("A NIC cannot have more than {MOST_ADDRESSES} private addresses.");
        return refuse("SimulatedPrivateIPAddressLimitExceeded", &text);
    }
    if configs.iter().filter(|config| config.ipv6).count() > 1 {
        return refuse("SimulatedOneIPv6AddressPerNic", "A NIC cannot have more than one IPv6 address.");
    }
    for config in configs.iter().filter(|config| config.is_block()) {
        let block = config.address.as_deref().and_then(|text| text.parse::<IpNet>().ok());
        let fits = block.is_some_and(|block| block.prefix_len() == 28 && block.trunc() == block);
        if config.primary == Some(true) || !fits {
            let text = format!("IP configuration {} must be secondary, and a given /28 of IPv4.", config.id);
            return refuse("SimulatedInvalidAddressBlock", &text);
        }
    }
    Ok(())
}

fn references(world: &World, path: &Path, configs: &[Config]) -> Checked<Subnet> {
    let missing = |id: &str| {
        let text = format!(
            "Resource {id} referenced by resource {path} was not found. Please make sure that the referenced resource \
             exists, and that both resources are in the same region."
        );
        Answer::network(400, "InvalidResourceReference", &text, &[])
    };
    let id = configs.first().and_then(|config| config.subnet.clone()).unwrap_or_default();
    let subnet = world.subnet(&id).ok_or_else(|| missing(&id))?;
    for pool in configs.iter().flat_map(|config| &config.pools) {
        if !world.exists(pool) {
            return Err(missing(pool));
        }
    }
    if subnet.state != "Succeeded" {
        let text = format!(
            "Cannot proceed with operation because resource {} used by resource {path} is not in Succeeded state. \
             Resource is in {} state and the last operation that updated/is updating the resource is \
             PutSubnetOperation.",
            subnet.id, subnet.state
        );
        return Err(Answer::retryable("ReferencedResourceNotProvisioned", &text, 10));
    }
    Ok(subnet)
}

fn outbound(world: &World, configs: &[Config]) -> Checked {
    for config in configs.iter().filter(|config| config.primary != Some(true)) {
        for pool in &config.pools {
            if let Some(rule) = world.outbound_rule(pool) {
                let text = format!(
                    "OutboundRule {rule} cannot be used with Backend Address Pool {pool} that contains Secondary \
                     IPConfig {}",
                    config.id
                );
                let code = "OutboundRuleCannotBeUsedWithBackendAddressPoolThatIsReferencedBySecondaryIpConfigs";
                return refuse(code, &text);
            }
        }
    }
    Ok(())
}

fn addresses(world: &World, now: u64, path: &Path, configs: &[Config], subnet: &Subnet) -> Checked {
    let mut seen: Vec<(IpAddr, &Config)> = Vec::new();
    for config in configs.iter().filter(|config| config.fixed || config.is_block()) {
        let Some(text) = &config.address else {
            let text = format!("Static IP configuration {} must have an address.", config.id);
            return refuse("SimulatedStaticAddressRequired", &text);
        };
        let addresses = expand(text);
        if addresses.is_empty() {
            let text = format!("Private static IP address value {text} is invalid.");
            return refuse("InvalidPrivateIPAddressFormat", &text);
        }
        for address in addresses {
            place(subnet, address, config.is_block())?;
            if let Some((_, other)) = seen.iter().find(|(found, _)| *found == address) {
                let text = format!(
                    "IP configuration {} is using the same private IP address {address} as IP configuration {}.",
                    config.id, other.id
                );
                return refuse("PrivateIPAddressInUse", &text);
            }
            if let Some(holder) = world.holders.other(now, &subnet.id, address, &path.key()) {
                let text = format!(
                    "IP configuration {} is using the private IP address {address} which is already allocated to \
                     resource {}.",
                    config.id, holder.config
                );
                return refuse("PrivateIPAddressIsAllocated", &text);
            }
            seen.push((address, config));
        }
    }
    Ok(())
}

fn place(subnet: &Subnet, address: IpAddr, block: bool) -> Checked {
    match subnet.prefix_of(address) {
        None => {
            let prefixes = subnet.prefix_text();
            let text = format!(
                "Private static IP address {address} does not belong to the range of subnet prefix {prefixes}."
            );
            refuse("PrivateIPAddressNotInSubnet", &text)
        }
        Some(prefix) if !block && reserved(prefix, address) => {
            let text = format!(
                "Private static IP address {address} falls within reserved IP range of subnet prefix {prefix}."
            );
            refuse("PrivateIPAddressInReservedRange", &text)
        }
        Some(_) => Ok(()),
    }
}
