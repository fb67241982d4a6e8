//! The cloud itself: interfaces with addresses, and what goes wrong there.

use crate::network::Capacity;
use ipnet::IpNet;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

/// A machine's interface in the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The name of the interface.
    pub interface: String,
    /// The range of its subnet, of IPv4.
    pub v4: Option<IpNet>,
    /// The range of its subnet, of IPv6.
    pub v6: Option<IpNet>,
    /// How many addresses the cloud allows on it, its own ones included.
    pub limit: Capacity,
    /// The addresses on it, its own ones included.
    pub addresses: BTreeSet<IpAddr>,
}

impl Machine {
    /// The annotation that says what the node can carry: addresses that no `CloudPrivateIPConfig` is about take room away.
    pub(super) fn annotation(&self, ours: &BTreeSet<IpAddr>) -> String {
        let others = |v6: Option<bool>| {
            let counted = |ip: &&IpAddr| !ours.contains(ip) && v6.is_none_or(|v6| ip.is_ipv6() == v6);
            i64::try_from(self.addresses.iter().filter(counted).count()).unwrap_or(i64::MAX)
        };
        let mut capacity = serde_json::Map::new();
        let families = [
            ("ip", self.limit.ip, None),
            ("ipv4", self.limit.ipv4, Some(false)),
            ("ipv6", self.limit.ipv6, Some(true)),
        ];
        for (name, limit, v6) in families {
            if let Some(limit) = limit {
                capacity.insert(name.to_owned(), json!(limit.saturating_sub(others(v6))));
            }
        }
        let mut ifaddr = serde_json::Map::new();
        for (name, network) in [("ipv4", self.v4), ("ipv6", self.v6)] {
            if let Some(network) = network {
                ifaddr.insert(name.to_owned(), Value::String(network.to_string()));
            }
        }
        json!([{ "interface": self.interface, "ifaddr": ifaddr, "capacity": capacity }]).to_string()
    }

    fn has_room_for(&self, ip: IpAddr) -> bool {
        let used = |v6: Option<bool>| self.addresses.iter().filter(|ip| v6.is_none_or(|v6| ip.is_ipv6() == v6)).count();
        let has_room = |limit: Option<i64>, used: usize| {
            limit.is_none_or(|limit| i64::try_from(used).is_ok_and(|used| used < limit))
        };
        let family = if ip.is_ipv6() { self.limit.ipv6 } else { self.limit.ipv4 };
        has_room(self.limit.ip, used(None)) && has_room(family, used(Some(ip.is_ipv6())))
    }

    fn reaches(&self, ip: IpAddr) -> bool {
        [self.v4, self.v6].into_iter().flatten().any(|network| network.contains(&ip))
    }
}

/// What is asked of a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Puts an address on an interface.
    Assign,
    /// Takes it off.
    Release,
}

/// How the cloud fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It refuses the request at once.
    Refuse,
    /// It accepts the request, and says later that it came to nothing.
    Fail,
}

/// A change that was made to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What was done.
    pub verb: Verb,
    /// The address.
    pub address: IpAddr,
    /// The node of the interface.
    pub node: String,
}

/// All interfaces.
#[derive(Clone, Debug, Default)]
pub(super) struct Cloud {
    pub(super) machines: BTreeMap<String, Machine>,
    pub(super) changes: Vec<Change>,
    pub(super) faults: BTreeMap<Verb, VecDeque<Fault>>,
}

impl Cloud {
    /// Whether things are as asked for already. Both operations are idempotent.
    pub(super) fn is_so(&self, verb: Verb, address: IpAddr, node: &str) -> bool {
        let has = self.machines.get(node).is_some_and(|machine| machine.addresses.contains(&address));
        has == (verb == Verb::Assign)
    }

    /// Carries an operation out.
    pub(super) fn carry_out(&mut self, verb: Verb, address: IpAddr, node: &str) -> Result<(), String> {
        if self.is_so(verb, address, node) {
            return Ok(());
        }
        if verb == Verb::Assign
            && let Some(other) = self.machines.iter().find(|(_, machine)| machine.addresses.contains(&address))
        {
            return Err(format!("PrivateIPAddressIsAllocated: {address} is on the interface of {}", other.0));
        }
        let machine = self.machines.get_mut(node).ok_or_else(|| format!("there is no machine of {node}"))?;
        if verb == Verb::Assign {
            if !machine.reaches(address) {
                return Err(format!("{address} is not in the subnet of {node}"));
            }
            if !machine.has_room_for(address) {
                return Err(format!("the interface of {node} has no room for {address}"));
            }
            machine.addresses.insert(address);
        } else {
            machine.addresses.remove(&address);
        }
        self.changes.push(Change { verb, address, node: node.to_owned() });
        Ok(())
    }

    pub(super) fn fault(&mut self, verb: Verb) -> Option<Fault> {
        self.faults.get_mut(&verb)?.pop_front()
    }
}
