//! The other writers of a node's NIC, who write without a request: the cloud controller manager, CNCC, people, and
//! whoever deletes machines.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::arm::Arm;
use crate::config::text;
use crate::fault::Ending;
use crate::resource::{Path, key};
use crate::seed::set;

/// What becomes of the NICs of a deleted machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Nics {
    /// They stay, unattached, with their addresses.
    Kept,
    /// They go with it, and their addresses are free.
    Deleted,
}

impl Arm {
    /// The cloud controller manager adds the primary configuration of a NIC to a backend pool.
    pub fn join_pool(&self, nic: &str, pool: &str) {
        self.edit(nic, |nic| {
            let configs = nic.pointer_mut("/properties/ipConfigurations").and_then(Value::as_array_mut);
            let is_primary = |config: &&mut Value| config.pointer("/properties/primary") == Some(&json!(true));
            let Some(primary) = configs.into_iter().flatten().find(is_primary) else { return };
            let mut pools = crate::config::ids(primary, "/properties/loadBalancerBackendAddressPools");
            pools.push(pool.to_owned());
            let pools: Vec<Value> = pools.into_iter().map(|id| json!({"id": id})).collect();
            if let Some(properties) = primary.get_mut("properties") {
                set(properties, "loadBalancerBackendAddressPools", json!(pools));
            }
        });
    }

    /// CNCC assigns an address to a node: a configuration `<node>_<address>`.
    pub fn cncc_assign(&self, nic: &str, node: &str, address: IpAddr) {
        self.add_config(nic, &format!("{node}_{address}"), address);
    }

    /// Someone adds a static secondary configuration, in the subnet and with the security groups of the primary.
    pub fn add_config(&self, nic: &str, name: &str, address: IpAddr) {
        self.edit(nic, |nic| {
            let id = text(nic, "/id").unwrap_or_default();
            let Some(configs) = nic.pointer_mut("/properties/ipConfigurations").and_then(Value::as_array_mut) else {
                return;
            };
            let Some(first) = configs.first() else { return };
            let family = if address.is_ipv6() { "IPv6" } else { "IPv4" };
            let mut properties = json!({
                "provisioningState": "Succeeded",
                "privateIPAddress": address.to_string(),
                "privateIPAllocationMethod": "Static",
                "privateIPAddressVersion": family,
                "primary": false,
            });
            for field in ["subnet", "applicationSecurityGroups"] {
                if let Some(value) = first.pointer(&format!("/properties/{field}")) {
                    set(&mut properties, field, value.clone());
                }
            }
            configs.push(json!({
                "name": name,
                "id": format!("{id}/ipConfigurations/{name}"),
                "etag": "",
                "type": "Microsoft.Network/networkInterfaces/ipConfigurations",
                "properties": properties,
            }));
        });
    }

    /// Someone removes a configuration.
    pub fn remove_config(&self, nic: &str, name: &str) {
        self.edit(nic, |nic| {
            if let Some(configs) = nic.pointer_mut("/properties/ipConfigurations").and_then(Value::as_array_mut) {
                configs.retain(|config| text(config, "/name").as_deref() != Some(name));
            }
        });
    }

    /// Someone removes a resource at once; the addresses it held are free.
    pub fn remove(&self, id: &str) {
        let mut world = self.shared.world();
        let now = self.clock().now();
        world.settle(now);
        world.resources.remove(&key(id));
        world.index(&key(id), now);
    }

    /// Someone deletes a virtual machine. Operations that run on its NICs fail.
    pub fn delete_machine(&self, machine: &str, nics: Nics) {
        let body = self.resource(machine).unwrap_or_default();
        let message = format!(
            "Operation 'startTenantUpdate' is not allowed on VM '{}' since the VM is marked for deletion.",
            text(&body, "/name").unwrap_or_default()
        );
        let ending = Ending::Failed { code: "OperationNotAllowed".to_owned(), message, applied: true };
        for nic in crate::config::ids(&body, "/properties/networkProfile/networkInterfaces") {
            let now = self.clock().now();
            self.shared.world().interrupt(now, &nic, &ending);
        }
        self.remove(machine);
        for nic in crate::config::ids(&body, "/properties/networkProfile/networkInterfaces") {
            match nics {
                Nics::Kept => self.attach(&nic, None, false),
                Nics::Deleted => self.remove(&nic),
            }
        }
    }

    /// Someone detaches a NIC from its machine and attaches it to another, as the primary one if that has none.
    pub fn move_nic(&self, nic: &str, machine: &str) {
        let before = self.resource(nic).and_then(|body| text(&body, "/properties/virtualMachine/id"));
        let list = "/properties/networkProfile/networkInterfaces";
        if let Some(before) = before {
            self.edit(&before, |body| {
                if let Some(refs) = body.pointer_mut(list).and_then(Value::as_array_mut) {
                    refs.retain(|found| text(found, "/id").is_none_or(|id| !id.eq_ignore_ascii_case(nic)));
                }
            });
        }
        let mut primary = false;
        self.edit(machine, |body| {
            if let Some(refs) = body.pointer_mut(list).and_then(Value::as_array_mut) {
                primary = refs.is_empty();
                refs.push(json!({"id": nic, "properties": {"primary": primary}}));
            }
        });
        self.attach(nic, Some(machine), primary);
    }

    /// Attaches a NIC to a machine, or detaches it.
    pub(crate) fn attach(&self, nic: &str, machine: Option<&str>, primary: bool) {
        let tail = self.shared.world().guid().to_ascii_uppercase();
        let pair = |at: usize| tail.get(at..at + 2).unwrap_or("00").to_owned();
        let mac = format!("00-0D-3A-{}-{}-{}", pair(0), pair(2), pair(4));
        self.edit(nic, |nic| {
            let Some(properties) = nic.get_mut("properties").and_then(Value::as_object_mut) else { return };
            properties.remove("virtualMachine");
            properties.remove("primary");
            if let Some(machine) = machine {
                properties.entry("macAddress").or_insert_with(|| json!(mac));
                properties.insert("primary".to_owned(), json!(primary));
                properties.insert("virtualMachine".to_owned(), json!({"id": machine}));
            }
        });
    }

    /// Sets the provisioning state of a subnet, e.g. to `Updating`: NICs in it can then not be written.
    pub fn set_subnet_state(&self, subnet: &str, state: &str) {
        let Some(path) = Path::parse(subnet) else { return };
        self.edit(&path.top().to_string(), |network| {
            let subnets = network.pointer_mut("/properties/subnets").and_then(Value::as_array_mut);
            let is_it = |found: &&mut Value| text(found, "/id").is_some_and(|id| id.eq_ignore_ascii_case(subnet));
            let found = subnets.into_iter().flatten().find(is_it);
            if let Some(properties) = found.and_then(|subnet| subnet.get_mut("properties")) {
                set(properties, "provisioningState", json!(state));
            }
        });
    }
}
