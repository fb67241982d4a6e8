//! The IP configurations of a NIC, as a request asks for them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::resource::key;

/// An IP configuration.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) primary: Option<bool>,
    pub(crate) subnet: Option<String>,
    pub(crate) fixed: bool,
    pub(crate) address: Option<String>,
    pub(crate) ipv6: bool,
    /// The application security groups, in lower case.
    pub(crate) groups: BTreeSet<String>,
    pub(crate) pools: Vec<String>,
    /// Inbound NAT rules.
    pub(crate) rules: Vec<String>,
    pub(crate) public: Option<String>,
    pub(crate) prefix_length: Option<u64>,
}

impl Config {
    /// Reads the configurations of a NIC's body.
    pub(crate) fn read_all(nic: &str, body: &Value) -> Vec<Self> {
        let configs = body.pointer("/properties/ipConfigurations").and_then(Value::as_array);
        configs.into_iter().flatten().map(|config| Self::read(nic, config)).collect()
    }

    fn read(nic: &str, value: &Value) -> Self {
        let name = text(value, "/name").unwrap_or_default();
        let says = |place: &str, word: &str| text(value, place).is_some_and(|found| found.eq_ignore_ascii_case(word));
        Self {
            id: format!("{nic}/ipConfigurations/{name}"),
            name,
            primary: value.pointer("/properties/primary").and_then(Value::as_bool),
            subnet: text(value, "/properties/subnet/id"),
            fixed: says("/properties/privateIPAllocationMethod", "Static"),
            address: text(value, "/properties/privateIPAddress").filter(|address| !address.is_empty()),
            ipv6: says("/properties/privateIPAddressVersion", "IPv6"),
            groups: ids(value, "/properties/applicationSecurityGroups").iter().map(|id| key(id)).collect(),
            pools: ids(value, "/properties/loadBalancerBackendAddressPools"),
            rules: ids(value, "/properties/loadBalancerInboundNatRules"),
            public: text(value, "/properties/publicIPAddress/id"),
            prefix_length: value.pointer("/properties/privateIPAddressPrefixLength").and_then(Value::as_u64),
        }
    }

    /// Whether it is for a block of addresses.
    pub(crate) fn is_block(&self) -> bool {
        self.prefix_length.is_some() || self.address.as_ref().is_some_and(|address| address.contains('/'))
    }
}

/// The text at a place in JSON.
pub(crate) fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

/// The ids of a list of references.
pub(crate) fn ids(value: &Value, pointer: &str) -> Vec<String> {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|item| text(item, "/id")).collect()
}
