//! Clusters of many namespaces and pools, all of them served, as facts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use sluice_core::cloud::{CloudFacts, InterfaceAddress, InterfaceFacts};
use sluice_core::observed::{
    CarrierFacts, CloudPlatform, HoldingFacts, Listed, NamespaceFacts, NodeFacts, Observed, Platform, PoolEntry,
    PoolFacts, PoolSpec,
};
use sluice_core::snapshot::{Capacity, Phase};

const ZONES: usize = 3;
const NODES: usize = 300;

/// So many pools, each with its share of the namespaces, everybody with an address in each zone.
#[derive(Clone, Copy)]
pub(crate) struct Many {
    pub(crate) pools: usize,
    pub(crate) namespaces: usize,
    /// The nodes are machines of a cloud, whose interfaces we write.
    pub(crate) cloud: bool,
    /// All pools are being deleted.
    pub(crate) deleting: bool,
}

impl Many {
    pub(crate) fn observed(self) -> Observed {
        let mut observed = Observed {
            generation: 1,
            now: 1_700_000_000_000,
            platform: Platform::SelfManaged("BareMetal".to_owned()),
            ..Observed::default()
        };
        let pools = (0..self.pools).map(|pool| (pool_name(pool).as_str().into(), Arc::new(self.pool(pool))));
        observed.pools = pools.collect();
        for node in 0..NODES {
            let labels = [("zone".to_owned(), zone(node % ZONES))].into();
            let facts = NodeFacts { labels, ready: true, ..NodeFacts::default() };
            observed.nodes.insert(node_name(node).as_str().into(), Arc::new(facts));
        }
        let mut carried: BTreeMap<usize, Vec<IpAddr>> = BTreeMap::new();
        for number in 0..self.namespaces {
            let addresses: Vec<IpAddr> = (0..ZONES).map(|zone| self.address(number, zone)).collect();
            for (zone, address) in addresses.iter().enumerate() {
                let node = zone + ZONES * (number % (NODES / ZONES));
                carried.entry(node).or_default().push(*address);
            }
            self.namespace(&mut observed, number, &addresses);
        }
        for node in 0..NODES {
            let carried = carried.remove(&node).unwrap_or_default();
            self.node(&mut observed, node, &carried);
        }
        if self.cloud {
            observed.platform = Platform::Cloud(CloudPlatform { name: "Azure".to_owned(), settings: BTreeMap::new() });
        }
        observed
    }

    fn pool(self, pool: usize) -> PoolFacts {
        let entry =
            |at: usize| PoolEntry { cidr: self.range(pool, at), label_value: zone(at), reserved: BTreeSet::new() };
        let spec = PoolSpec {
            topology_label: "zone".to_owned(),
            entries: (0..ZONES).map(entry).collect(),
            ..PoolSpec::default()
        };
        PoolFacts {
            resource_version: "1".to_owned(),
            deleting: self.deleting,
            guarded: true,
            spec,
            ..PoolFacts::default()
        }
    }

    /// The range of a pool in a zone: each zone has its /10, divided among the pools.
    fn range(self, pool: usize, zone: usize) -> IpNet {
        let bits = self.pools.next_power_of_two().trailing_zeros();
        let prefix = 10 + bits;
        let network = (10 << 24) | at(zone) << 22 | at(pool) << (32 - prefix);
        let prefix = u8::try_from(prefix).expect("a few pools");
        Ipv4Net::new(Ipv4Addr::from_bits(network), prefix).expect("a prefix").into()
    }

    fn address(self, number: usize, zone: usize) -> IpAddr {
        let IpNet::V4(range) = self.range(number % self.pools, zone) else { unreachable!("all are IPv4") };
        // The first ones are kept free by custom.
        IpAddr::V4(Ipv4Addr::from_bits(range.network().to_bits() + 10 + at(number / self.pools)))
    }

    fn namespace(self, observed: &mut Observed, number: usize, addresses: &[IpAddr]) {
        let name = format!("team-{number:06}");
        let pool = pool_name(number % self.pools);
        let text = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let namespace = NamespaceFacts {
            resource_version: "1".to_owned(),
            pool: Some(pool.as_str().into()),
            egress_ips: Some(text),
            ..NamespaceFacts::default()
        };
        let net = HoldingFacts {
            resource_version: "1".to_owned(),
            egress_ips: addresses.iter().copied().map(Listed::Address).collect(),
            pool: Some(pool.as_str().into()),
            zones: addresses.iter().enumerate().map(|(at, address)| (*address, zone(at))).collect(),
            ..HoldingFacts::default()
        };
        observed.namespaces.insert(name.as_str().into(), Arc::new(namespace));
        observed.holdings.insert(name.as_str().into(), Arc::new(net));
    }

    fn node(self, observed: &mut Observed, node: usize, carried: &[IpAddr]) {
        let name = node_name(node);
        let subnet = CarrierFacts {
            resource_version: "1".to_owned(),
            egress_ips: carried.iter().copied().map(Listed::Address).collect(),
            ..CarrierFacts::default()
        };
        observed.carriers.insert(name.as_str().into(), Arc::new(subnet));
        if self.cloud {
            let on = InterfaceAddress { ours: true, phase: Phase::Settled };
            let interface = InterfaceFacts {
                version: "1".to_owned(),
                subnet: vec!["10.0.0.0/8".parse().expect("a range")],
                addresses: carried.iter().map(|address| (*address, on)).collect(),
                limit: Capacity { total: Some(100_000), ..Capacity::default() },
                own: 1,
                ..InterfaceFacts::default()
            };
            let cloud =
                observed.cloud.get_or_insert_with(|| Arc::new(CloudFacts { writes: true, ..CloudFacts::default() }));
            Arc::make_mut(cloud).interfaces.insert(name.as_str().into(), interface);
        }
    }
}

fn at(number: usize) -> u32 {
    u32::try_from(number).expect("a small number")
}

fn zone(number: usize) -> String {
    format!("zone-{number}")
}

fn pool_name(number: usize) -> String {
    format!("egress-{number:04}")
}

fn node_name(number: usize) -> String {
    format!("worker-{number:04}")
}
