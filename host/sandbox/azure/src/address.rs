//! Addresses: what a subnet has, and who holds which.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::Value;

use crate::resource::key;

/// A subnet.
#[derive(Clone, Debug)]
pub(crate) struct Subnet {
    pub(crate) id: String,
    pub(crate) prefixes: Vec<IpNet>,
    pub(crate) state: String,
}

impl Subnet {
    /// Reads a subnet: of `addressPrefix` or `addressPrefixes`.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        let id = value.get("id")?.as_str()?.to_owned();
        let properties = value.get("properties")?;
        let single = properties.get("addressPrefix").into_iter();
        let several = properties.get("addressPrefixes").and_then(Value::as_array).into_iter().flatten();
        let mut prefixes: Vec<IpNet> = single.chain(several).filter_map(|text| text.as_str()?.parse().ok()).collect();
        prefixes.dedup();
        let state = properties.get("provisioningState").and_then(Value::as_str).unwrap_or("Succeeded").to_owned();
        Some(Self { id, prefixes, state })
    }

    /// The prefix that an address is of.
    pub(crate) fn prefix_of(&self, address: IpAddr) -> Option<IpNet> {
        self.prefixes.iter().copied().find(|prefix| prefix.contains(&address))
    }

    /// The prefixes as Azure's messages write them.
    pub(crate) fn prefix_text(&self) -> String {
        self.prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// The addresses that may be given out, of IPv6 or IPv4.
    pub(crate) fn usable(&self, ipv6: bool) -> impl Iterator<Item = IpAddr> {
        let prefixes = self.prefixes.iter().filter(move |prefix| prefix.addr().is_ipv6() == ipv6);
        prefixes.flat_map(|prefix| {
            let (first, last) = (number(prefix.network()), number(prefix.broadcast()));
            let six = prefix.addr().is_ipv6();
            (first.saturating_add(4)..last).map(move |number| address(number, six))
        })
    }
}

/// Whether Azure keeps an address of a prefix for itself: the first four and the last.
pub(crate) fn reserved(prefix: IpNet, address: IpAddr) -> bool {
    let offset = number(address).saturating_sub(number(prefix.network()));
    offset < 4 || address == prefix.broadcast()
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn address(number: u128, six: bool) -> IpAddr {
    if six {
        Ipv6Addr::from_bits(number).into()
    } else {
        Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(0)).into()
    }
}

/// The addresses of a configuration's `privateIPAddress`: one, or those of a /28.
pub(crate) fn expand(text: &str) -> Vec<IpAddr> {
    match text.parse::<IpNet>() {
        Ok(block) if block.addr().is_ipv4() && block.prefix_len() >= 28 => {
            (number(block.network())..=number(block.broadcast())).map(|number| address(number, false)).collect()
        }
        _ => text.parse().into_iter().collect(),
    }
}

/// Who holds an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Holder {
    /// The id of the configuration.
    pub(crate) config: String,
    /// The key of the resource it is of.
    pub(crate) resource: String,
    /// When it is free again; none while it is in use.
    pub(crate) free_at: Option<u64>,
}

/// Who holds which address of which subnet.
#[derive(Debug, Default)]
pub(crate) struct Holders(BTreeMap<(String, IpAddr), Holder>);

impl Holders {
    /// Who stands in the way of a resource that wants an address.
    pub(crate) fn other(&self, now: u64, subnet: &str, address: IpAddr, resource: &str) -> Option<&Holder> {
        let holder = self.0.get(&(key(subnet), address))?;
        (holder.resource != resource && holder.free_at.is_none_or(|free| now < free)).then_some(holder)
    }

    /// Whether nobody holds an address.
    pub(crate) fn free(&self, now: u64, subnet: &str, address: IpAddr) -> bool {
        self.other(now, subnet, address, "").is_none()
    }

    /// The configurations that hold addresses of a subnet.
    pub(crate) fn of_subnet(&self, subnet: &str) -> Vec<&str> {
        let subnet = key(subnet);
        let least = (subnet.clone(), IpAddr::from([0, 0, 0, 0]));
        let held = self.0.range(least..).take_while(|((found, _), _)| *found == subnet);
        held.filter(|(_, holder)| holder.free_at.is_none()).map(|(_, holder)| holder.config.as_str()).collect()
    }

    /// Makes a resource hold exactly these (subnet, address, configuration); what it no longer holds is free at a time.
    pub(crate) fn settle(&mut self, resource: &str, wanted: &[(String, IpAddr, String)], free_at: u64) {
        for holder in self.0.values_mut().filter(|holder| holder.resource == resource) {
            holder.free_at = Some(holder.free_at.map_or(free_at, |at| at.min(free_at)));
        }
        for (subnet, address, config) in wanted {
            let holder = Holder { config: config.clone(), resource: resource.to_owned(), free_at: None };
            self.0.insert((key(subnet), *address), holder);
        }
    }

    /// Forgets what is free.
    pub(crate) fn sweep(&mut self, now: u64) {
        self.0.retain(|_, holder| holder.free_at.is_none_or(|free| now < free));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn five_addresses_of_each_prefix_are_reserved() {
        let subnet = Subnet::read(&json!({"id": "x", "properties": {"addressPrefix": "10.30.30.0/29"}})).unwrap();
        let usable: Vec<String> = subnet.usable(false).map(|address| address.to_string()).collect();
        assert_eq!(usable, ["10.30.30.4", "10.30.30.5", "10.30.30.6"]);
        assert!(reserved(subnet.prefixes[0], "10.30.30.3".parse().unwrap()));
        assert!(reserved(subnet.prefixes[0], "10.30.30.7".parse().unwrap()));
    }

    #[test]
    fn several_prefixes_are_read() {
        let properties = json!({"addressPrefixes": ["10.0.0.0/24", "fd00::/64"]});
        let subnet = Subnet::read(&json!({"id": "x", "properties": properties})).unwrap();
        assert_eq!(subnet.prefix_of("fd00::9".parse().unwrap()).unwrap().to_string(), "fd00::/64");
        assert_eq!(subnet.usable(true).next().unwrap().to_string(), "fd00::4");
    }

    #[test]
    fn a_block_is_sixteen_addresses() {
        assert_eq!(expand("172.20.2.16/28").len(), 16);
        assert_eq!(expand("172.20.2.16").len(), 1);
        assert!(expand("10.11.12.13.14").is_empty());
    }

    #[test]
    fn a_released_address_is_free_at_its_time() {
        let mut holders = Holders::default();
        let address: IpAddr = "10.0.0.9".parse().unwrap();
        holders.settle("a", &[("S".to_owned(), address, "a/c".to_owned())], 0);
        assert_eq!(holders.of_subnet("s"), ["a/c"]);
        holders.settle("a", &[], 500);
        assert!(holders.other(499, "s", address, "b").is_some());
        assert!(holders.other(499, "s", address, "a").is_none(), "its own it may take back");
        assert!(holders.free(500, "s", address));
    }
}
