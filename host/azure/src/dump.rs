//! Facts from files, as the command line tool writes them, for a look at a cloud without asking it.

use std::collections::BTreeMap;

use serde_json::Value;
use sluice_core::cloud::CloudFacts;
use sluice_core::name::NodeName;

use crate::arm::bounded;
use crate::id::{BALANCER, INTERFACE, MACHINE, NETWORK};
use crate::inventory::Listing;
use crate::json::id_in;
use crate::machine::MachineRef;
use crate::provider::facts_of;

/// Why a file tells nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DumpError {
    /// It is not JSON.
    #[error("not JSON: {0}; write it with: az network nic list -o json")]
    NotJson(String),
    /// There is no interface in it.
    #[error("there is no network interface in it; write it with: az network nic list -o json")]
    NoInterfaces,
}

/// The facts that a file tells of: what `az network nic list -o json` and `az vm list -o json` write, as one list of
/// any of them, or as `{"nics": [], "vms": [], "vnets": []}`. What Resource Manager itself answers is understood, too.
///
/// Without virtual machines, interfaces are found by the machine that they say they are attached to. Without virtual
/// networks nobody knows the subnets, and a complaint says so.
///
/// `writes` tells whether it is us who would write them.
pub fn facts_of_dump(
    text: &str,
    nodes: &BTreeMap<NodeName, MachineRef>,
    writes: bool,
) -> Result<CloudFacts, DumpError> {
    let value: Value = serde_json::from_str(text).map_err(|error| DumpError::NotJson(bounded(&error.to_string())))?;
    let mut listing = Listing::default();
    add(&mut listing, &value, 0);
    if listing.interfaces.is_empty() {
        return Err(DumpError::NoInterfaces);
    }
    if listing.subnets.is_empty() {
        let text = "the file has no virtual networks, so what belongs to which subnet is not known";
        listing.complaints.push(text.to_owned());
    }
    Ok(facts_of(listing, nodes.clone(), writes))
}

/// Adds all resources in lists, and in lists of lists as deep as `{"nics": {"value": [..]}}`.
fn add(listing: &mut Listing, value: &Value, depth: u8) {
    match (value, id_in(value)) {
        (Value::Array(items), _) if depth < 4 => items.iter().for_each(|item| add(listing, item, depth + 1)),
        (Value::Object(fields), None) if depth < 4 => fields.values().for_each(|field| add(listing, field, depth + 1)),
        (_, Some(id)) if id.is_part() => {}
        (_, Some(id)) if id.is_of(INTERFACE) => listing.add_interface(value),
        (_, Some(id)) if id.is_of(MACHINE) => listing.add_machine(value),
        (_, Some(id)) if id.is_of(NETWORK) => listing.add_network(value),
        (_, Some(id)) if id.is_of(BALANCER) => listing.add_balancer(value),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
