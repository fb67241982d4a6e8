//! Seeding the cloud, without requests.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::arm::Arm;
use crate::config::text;
use crate::resource::{Path, group_key, key, parent};
use crate::world::World;

/// Where resources are put.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The subscription.
    pub subscription: String,
    /// The resource group.
    pub group: String,
    /// The region.
    pub location: String,
}

impl Place {
    /// A place.
    pub fn new(subscription: &str, group: &str, location: &str) -> Self {
        Self { subscription: subscription.to_owned(), group: group.to_owned(), location: location.to_owned() }
    }

    /// The id of a resource here; `kind` is e.g. `Microsoft.Network/networkInterfaces`.
    pub fn id(&self, kind: &str, name: &str) -> String {
        format!("/subscriptions/{}/resourceGroups/{}/providers/{kind}/{name}", self.subscription, self.group)
    }
}

/// A backend pool to seed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pool {
    /// The name.
    pub name: String,
    /// Whether an outbound rule uses it.
    pub outbound: bool,
}

impl Arm {
    /// Adds a subscription and a resource group.
    pub fn add_group(&self, subscription: &str, group: &str) {
        let mut world = self.shared.world();
        world.subscriptions.insert(key(subscription));
        world.groups.insert(group_key(subscription, group));
    }

    /// Adds a resource, or replaces it, just as it is; its `id` says where, and the group comes to be with it.
    pub fn put_resource(&self, body: Value) {
        let now = self.clock().now();
        put(&mut self.shared.world(), now, body);
    }

    /// Adds a virtual network with subnets of these names and prefixes: one prefix as `addressPrefix`, several as
    /// `addressPrefixes`. The id.
    pub fn add_network(&self, place: &Place, name: &str, subnets: &[(&str, &[IpNet])]) -> String {
        let id = place.id("Microsoft.Network/virtualNetworks", name);
        let etag = self.shared.world().etag();
        let subnet = |(name, prefixes): &(&str, &[IpNet])| {
            let (field, prefix) = match prefixes {
                [one] => ("addressPrefix", json!(one.to_string())),
                several => ("addressPrefixes", json!(several.iter().map(ToString::to_string).collect::<Vec<_>>())),
            };
            let properties = json!({"provisioningState": "Succeeded", field: prefix, "delegations": []});
            let kind = "Microsoft.Network/virtualNetworks/subnets";
            let id = format!("{id}/subnets/{name}");
            json!({"name": name, "id": id, "etag": etag, "type": kind, "properties": properties})
        };
        let prefixes: Vec<String> = subnets.iter().flat_map(|(_, all)| all.iter().map(ToString::to_string)).collect();
        let subnets: Vec<Value> = subnets.iter().map(subnet).collect();
        let properties = json!({
            "provisioningState": "Succeeded",
            "addressSpace": {"addressPrefixes": prefixes},
            "subnets": subnets,
            "virtualNetworkPeerings": [],
        });
        self.add(place, "Microsoft.Network/virtualNetworks", name, &properties)
    }

    /// Adds a load balancer with backend pools, and an outbound rule for each that has one. The id.
    pub fn add_load_balancer(&self, place: &Place, name: &str, pools: &[Pool]) -> String {
        let id = place.id("Microsoft.Network/loadBalancers", name);
        let pool_id = |pool: &Pool| format!("{id}/backendAddressPools/{}", pool.name);
        let rule_id = |pool: &Pool| format!("{id}/outboundRules/{}", pool.name);
        let backend = |pool: &Pool| {
            let mut properties = json!({"provisioningState": "Succeeded"});
            if let (true, Some(fields)) = (pool.outbound, properties.as_object_mut()) {
                fields.insert("outboundRules".to_owned(), json!([{"id": rule_id(pool)}]));
            }
            json!({"name": pool.name, "id": pool_id(pool), "properties": properties})
        };
        let rule = |pool: &Pool| {
            let properties = json!({"provisioningState": "Succeeded", "backendAddressPool": {"id": pool_id(pool)}});
            json!({"name": pool.name, "id": rule_id(pool), "properties": properties})
        };
        let properties = json!({
            "provisioningState": "Succeeded",
            "backendAddressPools": pools.iter().map(backend).collect::<Vec<_>>(),
            "outboundRules": pools.iter().filter(|pool| pool.outbound).map(rule).collect::<Vec<_>>(),
        });
        self.add(place, "Microsoft.Network/loadBalancers", name, &properties)
    }

    /// Adds an unattached NIC with a primary configuration `ipconfig1` of a static address. The id.
    pub fn add_nic(&self, place: &Place, name: &str, subnet: &str, address: IpAddr) -> String {
        let id = place.id("Microsoft.Network/networkInterfaces", name);
        let config = json!({
            "name": "ipconfig1",
            "id": format!("{id}/ipConfigurations/ipconfig1"),
            "type": "Microsoft.Network/networkInterfaces/ipConfigurations",
            "properties": {
                "provisioningState": "Succeeded",
                "privateIPAddress": address.to_string(),
                "privateIPAllocationMethod": "Static",
                "subnet": {"id": subnet},
                "primary": true,
                "privateIPAddressVersion": "IPv4",
            },
        });
        let guid = self.shared.world().guid();
        let properties = json!({
            "provisioningState": "Succeeded",
            "resourceGuid": guid,
            "ipConfigurations": [config],
            "dnsSettings": {"dnsServers": [], "appliedDnsServers": []},
            "enableAcceleratedNetworking": true,
            "enableIPForwarding": false,
            "vnetEncryptionSupported": false,
            "disableTcpStateTracking": false,
            "hostedWorkloads": [],
            "tapConfigurations": [],
            "nicType": "Standard",
            "auxiliaryMode": "None",
            "auxiliarySku": "None",
        });
        self.add(place, "Microsoft.Network/networkInterfaces", name, &properties)
    }

    /// Adds a virtual machine and attaches NICs to it; the first is the primary one. The id.
    pub fn add_machine(&self, place: &Place, name: &str, zone: Option<&str>, nics: &[&str]) -> String {
        let refs = nics.iter().enumerate();
        let refs: Vec<Value> = refs.map(|(at, id)| json!({"id": id, "properties": {"primary": at == 0}})).collect();
        let guid = self.shared.world().guid();
        let properties = json!({
            "vmId": guid,
            "hardwareProfile": {"vmSize": "Standard_D8s_v3"},
            "osProfile": {"computerName": name},
            "networkProfile": {"networkInterfaces": refs},
            "provisioningState": "Succeeded",
        });
        let id = self.add(place, "Microsoft.Compute/virtualMachines", name, &properties);
        if let Some(zone) = zone {
            self.edit(&id, |machine| set(machine, "zones", json!([zone])));
        }
        for (at, nic) in nics.iter().enumerate() {
            self.attach(nic, Some(&id), at == 0);
        }
        id
    }

    /// Changes a resource as another client would: at once, with a new etag, and whatever it does to addresses.
    /// Nothing happens if there is no such resource. The change must not use the handle.
    pub fn edit(&self, id: &str, change: impl FnOnce(&mut Value)) {
        let mut world = self.shared.world();
        let now = self.clock().now();
        world.settle(now);
        let etag = world.etag();
        let Some(body) = world.resources.get_mut(&key(id)) else { return };
        change(body);
        if body.get("etag").is_some() {
            let state = text(body, "/properties/provisioningState").unwrap_or_default();
            crate::fill::mark(body, &state, &etag);
        }
        world.index(&key(id), now);
    }

    fn add(&self, place: &Place, kind: &str, name: &str, properties: &Value) -> String {
        let id = place.id(kind, name);
        let mut world = self.shared.world();
        let now = self.clock().now();
        let mut body =
            json!({"name": name, "id": id, "type": kind, "location": place.location, "properties": properties});
        if kind.starts_with("Microsoft.Network/") {
            let etag = world.etag();
            crate::fill::mark(&mut body, "Succeeded", &etag);
        }
        put(&mut world, now, body);
        id
    }
}

/// Sets a field of an object.
pub(crate) fn set(value: &mut Value, name: &str, to: Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.insert(name.to_owned(), to);
    }
}

fn put(world: &mut World, now: u64, body: Value) {
    let Some(id) = text(&body, "/id") else { return };
    if let Some(path) = parent(&id).and_then(|id| Path::parse(&id)) {
        world.subscriptions.insert(key(&path.subscription));
        world.groups.extend(path.group.as_ref().map(|group| group_key(&path.subscription, group)));
    }
    world.resources.insert(key(&id), body);
    world.index(&key(&id), now);
}
