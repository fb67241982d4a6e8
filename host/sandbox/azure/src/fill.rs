//! What the server adds to a NIC that it is asked to store, by api-version.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::address::{Subnet, expand};
use crate::answer::Answer;
use crate::config::{Config, ids, text};
use crate::resource::{Path, key, parent};
use crate::world::World;

/// Properties that only the server writes: whatever a request says, they stay.
const READ_ONLY: [&str; 12] = [
    "defaultOutboundConnectivityEnabled",
    "dscpConfiguration",
    "hostedWorkloads",
    "macAddress",
    "primary",
    "privateEndpoint",
    "privateLinkService",
    "provisioningState",
    "resourceGuid",
    "tapConfigurations",
    "virtualMachine",
    "vnetEncryptionSupported",
];

/// A property that a NIC has without being asked, from an api-version on and, if given, up to another.
struct Default {
    name: &'static str,
    since: &'static str,
    until: &'static str,
    value: fn() -> Value,
}

const fn default(name: &'static str, since: &'static str, until: &'static str, value: fn() -> Value) -> Default {
    Default { name, since, until, value }
}

/// Recorded up to 2019-12-01; later ones are documented, and the version they came with is a guess.
const DEFAULTS: [Default; 13] = [
    default("enableIPForwarding", "", "", || json!(false)),
    default("enableAcceleratedNetworking", "2016-09-01", "", || json!(false)),
    default("virtualNetworkTapProvisioningState", "2018-02-01", "2018-12-01", || json!("NotProvisioned")),
    default("services", "2018-04-01", "2018-12-01", || Value::Null),
    default("hostedWorkloads", "2018-12-01", "", || json!([])),
    default("tapConfigurations", "2018-12-01", "", || json!([])),
    default("nicType", "2019-12-01", "", || json!("Standard")),
    default("vnetEncryptionSupported", "2022-01-01", "", || json!(false)),
    default("disableTcpStateTracking", "2022-09-01", "", || json!(false)),
    default("auxiliaryMode", "2022-09-01", "", || json!("None")),
    default("auxiliarySku", "2023-06-01", "", || json!("None")),
    default("allowPort25Out", "2024-07-01", "", || json!(true)),
    default("defaultOutboundConnectivityEnabled", "2024-07-01", "", || json!(true)),
];

/// The NIC that a checked request asks for.
pub(crate) fn fill(
    world: &mut World,
    now: u64,
    (path, version): (&Path, &str),
    body: &Value,
    existing: Option<&Value>,
    configs: &[Config],
) -> Result<Value, Answer> {
    let etag = world.etag();
    let before = existing.and_then(|existing| existing.get("properties")).and_then(Value::as_object);
    let mut properties = object(body.get("properties"));
    properties.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
    for name in READ_ONLY {
        if let Some(value) = before.and_then(|before| before.get(name)) {
            properties.insert(name.to_owned(), value.clone());
        }
    }
    for default in DEFAULTS.iter().filter(|default| applies(default, version)) {
        properties.entry(default.name).or_insert_with(default.value);
    }
    properties.insert("dnsSettings".to_owned(), dns(body, existing, configs));
    reduce(&mut properties, "networkSecurityGroup");
    if !properties.contains_key("resourceGuid") {
        properties.insert("resourceGuid".to_owned(), json!(world.guid()));
    }
    let asked = body.pointer("/properties/ipConfigurations").and_then(Value::as_array).cloned().unwrap_or_default();
    let addresses = assign(world, now, path, existing, configs)?;
    let filled: Vec<Value> = asked
        .iter()
        .zip(configs.iter().zip(addresses))
        .map(|(asked, (config, address))| configuration(asked, config, &address, version))
        .collect();
    properties.insert("ipConfigurations".to_owned(), Value::Array(filled));
    let mut nic = object(Some(body));
    if let Some(kind) = existing.and_then(|existing| existing.get("kind")) {
        nic.insert("kind".to_owned(), kind.clone());
    }
    let named = existing.and_then(|existing| text(existing, "/name")).unwrap_or_else(|| path.part(1).to_owned());
    let id = existing.and_then(|existing| text(existing, "/id")).unwrap_or_else(|| path.to_string());
    nic.insert("name".to_owned(), json!(named));
    nic.insert("id".to_owned(), json!(id));
    nic.insert("type".to_owned(), json!("Microsoft.Network/networkInterfaces"));
    nic.insert("properties".to_owned(), Value::Object(properties));
    let mut nic = Value::Object(nic);
    mark(&mut nic, "Succeeded", &etag);
    Ok(nic)
}

/// Sets the state and the etag of a NIC and of each of its configurations.
pub(crate) fn mark(nic: &mut Value, state: &str, etag: &str) {
    let set = |value: &mut Value| {
        if let Some(fields) = value.as_object_mut() {
            fields.insert("etag".to_owned(), json!(etag));
        }
        if let Some(properties) = value.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("provisioningState".to_owned(), json!(state));
        }
    };
    set(nic);
    let configs = nic.pointer_mut("/properties/ipConfigurations").and_then(Value::as_array_mut);
    configs.into_iter().flatten().for_each(set);
}

fn applies(default: &Default, version: &str) -> bool {
    version >= default.since && (default.until.is_empty() || version < default.until)
}

fn object(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Leaves only the id of what is referred to.
fn reduce(fields: &mut Map<String, Value>, name: &str) {
    if let Some(id) = fields.get(name).and_then(|value| value.get("id")).cloned() {
        fields.insert(name.to_owned(), json!({"id": id}));
    }
}

fn dns(body: &Value, existing: Option<&Value>, configs: &[Config]) -> Value {
    let mut settings = object(body.pointer("/properties/dnsSettings"));
    settings.entry("dnsServers").or_insert_with(|| json!([]));
    settings.insert("appliedDnsServers".to_owned(), json!([]));
    let kept = existing.and_then(|existing| text(existing, "/properties/dnsSettings/internalDomainNameSuffix"));
    let suffix = kept.unwrap_or_else(|| {
        // One suffix for a whole virtual network, as recorded; which one does not matter.
        let subnet = configs.first().and_then(|config| config.subnet.clone()).unwrap_or_default();
        let network = key(&parent(&subnet).unwrap_or(subnet));
        let sum = network.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        format!("{sum:026x}.bx.internal.cloudapp.net")
    });
    settings.insert("internalDomainNameSuffix".to_owned(), json!(suffix));
    Value::Object(settings)
}

fn configuration(asked: &Value, config: &Config, address: &str, version: &str) -> Value {
    let mut properties = object(asked.get("properties"));
    let method = if config.fixed { "Static" } else { "Dynamic" };
    let family = if config.ipv6 { "IPv6" } else { "IPv4" };
    properties.insert("privateIPAddress".to_owned(), json!(address));
    properties.insert("privateIPAllocationMethod".to_owned(), json!(method));
    properties.insert("privateIPAddressVersion".to_owned(), json!(family));
    properties.insert("primary".to_owned(), json!(config.primary == Some(true)));
    if config.is_block() {
        properties.insert("privateIPAddressPrefixLength".to_owned(), json!(28));
    }
    if ("2018-02-01".."2018-12-01").contains(&version) {
        properties.insert("isInUseWithService".to_owned(), json!(false));
    }
    for name in ["subnet", "publicIPAddress"] {
        reduce(&mut properties, name);
    }
    for name in ["loadBalancerBackendAddressPools", "loadBalancerInboundNatRules", "applicationSecurityGroups"] {
        let ids = ids(asked, &format!("/properties/{name}"));
        properties.remove(name);
        if !ids.is_empty() {
            let ids: Vec<Value> = ids.into_iter().map(|id| json!({"id": id})).collect();
            properties.insert(name.to_owned(), json!(ids));
        }
    }
    let mut filled = object(Some(asked));
    filled.insert("id".to_owned(), json!(config.id));
    if version >= "2018-06-01" {
        filled.insert("type".to_owned(), json!("Microsoft.Network/networkInterfaces/ipConfigurations"));
    }
    filled.insert("properties".to_owned(), Value::Object(properties));
    Value::Object(filled)
}

/// The address of each configuration: the given one if static, else the one it has in this subnet, else the next free.
fn assign(
    world: &World,
    now: u64,
    path: &Path,
    existing: Option<&Value>,
    configs: &[Config],
) -> Result<Vec<String>, Answer> {
    let before = existing.map(|existing| Config::read_all(&path.to_string(), existing)).unwrap_or_default();
    let given = |config: &&Config| config.fixed || config.is_block();
    let mut taken: Vec<IpAddr> =
        configs.iter().filter(given).filter_map(|config| config.address.as_deref()).flat_map(expand).collect();
    let mut assigned = Vec::new();
    for config in configs {
        let kept = before.iter().find(|old| same(old, config)).and_then(|old| old.address.clone());
        let address = match kept {
            _ if given(&config) => config.address.clone().unwrap_or_default(),
            Some(kept) if !kept.contains('/') && !taken.iter().any(|taken| taken.to_string() == kept) => kept,
            _ => {
                let subnet = config.subnet.as_deref().and_then(|id| world.subnet(id));
                next(world, now, subnet.as_ref(), config, &taken)?
            }
        };
        taken.extend(expand(&address));
        assigned.push(address);
    }
    Ok(assigned)
}

fn same(old: &Config, new: &Config) -> bool {
    let subnet = |config: &Config| config.subnet.as_deref().map(key);
    old.name.eq_ignore_ascii_case(&new.name) && subnet(old) == subnet(new) && old.ipv6 == new.ipv6
}

fn next(world: &World, now: u64, subnet: Option<&Subnet>, config: &Config, taken: &[IpAddr]) -> Result<String, Answer> {
    let free = subnet.and_then(|subnet| {
        let mut usable = subnet.usable(config.ipv6);
        usable.find(|address| !taken.contains(address) && world.holders.free(now, &subnet.id, *address))
    });
    free.map(|address| address.to_string()).ok_or_else(|| {
        let (id, prefixes) = subnet.map_or((String::new(), String::new()), |s| (s.id.clone(), s.prefix_text()));
        let text =
            format!("Subnet {id} with address prefix {prefixes} does not have enough capacity for 1 IP addresses.");
        Answer::network(400, "SubnetIsFull", &text, &[])
    })
}
