//! The body of a write: what was read, with other configurations.
//!
//! A write replaces the whole interface, and whatever it leaves out is reset. So the text that Azure sent goes back:
//! only the list of configurations is put together anew, and the elements of it that stay are the very same text,
//! down to fields, numbers and blanks that nobody here has heard of.

use std::collections::BTreeSet;
use std::net::IpAddr;

use indexmap::IndexMap;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Configuration, LIMIT, name_of};
use crate::id::ResourceId;
use crate::json::{field, ids_in, text};

type Fields<'a> = IndexMap<String, &'a RawValue>;

/// Which backend pools of load balancers our configurations join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pools {
    /// None.
    #[default]
    None,
    /// Those of the machine's own configuration that are listed here: known, and without an outbound rule.
    SameAsPrimary(BTreeSet<ResourceId>),
}

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edited {
    /// The body.
    pub(crate) body: String,
    /// Whether it differs from what was read.
    pub(crate) changed: bool,
}

/// Why there is nothing to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditError {
    /// The body is not what the documentation says.
    #[error("azure's answer is not an interface with configurations: {0}")]
    Shape(String),
    /// There is no configuration to copy the subnet from.
    #[error("the interface has no primary configuration with a subnet")]
    NoPrimary,
    /// There would be more than an interface may have.
    #[error("the interface would have {0} addresses, and may have {LIMIT}")]
    Full(usize),
    /// There is a configuration of that name with another address.
    #[error("a configuration of somebody else's is called {0}: rename or remove it")]
    NameTaken(String),
}

/// Puts configurations for `on` into an interface's body and takes ours for `off` out of it. Nothing else changes.
/// Addresses that it has under whatever name are not added again; those in both sets stay.
pub(crate) fn edit(
    body: &str,
    on: &BTreeSet<IpAddr>,
    off: &BTreeSet<IpAddr>,
    pools: &Pools,
) -> Result<Edited, EditError> {
    let shape = |error: serde_json::Error| EditError::Shape(error.to_string());
    let lacks = |name: &str| EditError::Shape(format!("it lacks {name}"));
    let mut whole: Fields = serde_json::from_str(body).map_err(shape)?;
    let properties = *whole.get("properties").ok_or_else(|| lacks("properties"))?;
    let mut properties: Fields = serde_json::from_str(properties.get()).map_err(shape)?;
    let list = *properties.get("ipConfigurations").ok_or_else(|| lacks("properties.ipConfigurations"))?;
    let before: Vec<&RawValue> = serde_json::from_str(list.get()).map_err(shape)?;
    let values: Vec<Value> = serde_json::from_str(list.get()).map_err(shape)?;

    let configurations: Vec<Configuration> = values.iter().map(Configuration::of).collect();
    let primary = configurations.iter().position(|configuration| configuration.primary).unwrap_or(0);
    let goes = |at: usize, it: &Configuration| {
        at != primary && it.is_ours() && it.address.is_some_and(|it| off.contains(&it) && !on.contains(&it))
    };
    let (stay, kept): (Vec<&RawValue>, Vec<&Configuration>) = before
        .iter()
        .zip(&configurations)
        .enumerate()
        .filter(|(at, (_, configuration))| !goes(*at, configuration))
        .map(|(_, (raw, configuration))| (*raw, configuration))
        .unzip();
    let missing = on.iter().filter(|address| !kept.iter().any(|one| one.addresses().contains(*address)));
    let missing: Vec<IpAddr> = missing.copied().collect();
    if missing.is_empty() && stay.len() == before.len() {
        return Ok(Edited { body: body.to_owned(), changed: false });
    }
    if let Some(taken) = missing
        .iter()
        .map(|address| name_of(*address))
        .find(|name| kept.iter().any(|configuration| configuration.name.eq_ignore_ascii_case(name)))
    {
        return Err(EditError::NameTaken(taken));
    }
    let count = stay.len() + missing.len();
    if !missing.is_empty() && count > usize::try_from(LIMIT).unwrap_or(usize::MAX) {
        return Err(EditError::Full(count));
    }
    let model = values.get(primary).ok_or(EditError::NoPrimary)?;
    let added: Vec<Box<RawValue>> =
        missing.into_iter().map(|address| configuration(address, model, pools)).collect::<Result<_, _>>()?;
    let after: Vec<&RawValue> = stay.into_iter().chain(added.iter().map(AsRef::as_ref)).collect();
    let after = serde_json::value::to_raw_value(&after).map_err(shape)?;
    properties.insert("ipConfigurations".to_owned(), &after);
    let inner = serde_json::value::to_raw_value(&properties).map_err(shape)?;
    whole.insert("properties".to_owned(), &inner);
    Ok(Edited { body: serde_json::to_string(&whole).map_err(shape)?, changed: true })
}

/// A configuration for an address: in the primary's subnet and, since Azure demands it of all configurations of an
/// interface, in its application security groups.
fn configuration(address: IpAddr, primary: &Value, pools: &Pools) -> Result<Box<RawValue>, EditError> {
    let subnet = field(primary, "subnet").and_then(|subnet| text(subnet, "id")).ok_or(EditError::NoPrimary)?;
    let mut properties = json!({
        "privateIPAddress": address,
        "privateIPAddressVersion": if address.is_ipv4() { "IPv4" } else { "IPv6" },
        "privateIPAllocationMethod": "Static",
        "primary": false,
        "subnet": {"id": subnet},
    });
    let references = |ids: Vec<ResourceId>| -> Value { ids.iter().map(|id| json!({"id": id.as_str()})).collect() };
    let groups = ids_in(primary, "applicationSecurityGroups");
    let joined: Vec<ResourceId> = match pools {
        Pools::None => Vec::new(),
        Pools::SameAsPrimary(allowed) => {
            let all = ids_in(primary, "loadBalancerBackendAddressPools").into_iter();
            all.filter(|pool| allowed.contains(pool)).collect()
        }
    };
    for (name, ids) in [("applicationSecurityGroups", groups), ("loadBalancerBackendAddressPools", joined)] {
        if let (false, Some(fields)) = (ids.is_empty(), properties.as_object_mut()) {
            fields.insert(name.to_owned(), references(ids));
        }
    }
    let whole = json!({"name": name_of(address), "properties": properties});
    serde_json::value::to_raw_value(&whole).map_err(|error| EditError::Shape(error.to_string()))
}
