//! Events become changes of objects.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use sluice_core::name::{NodeName, OwnerName, PoolName};
use sluice_core::observed::{CarrierFacts, HoldingFacts, Listed, NamespaceFacts, NodeFacts, PoolFacts, PoolSpec};

use crate::event::Event;
use crate::world::{EPOCH_MS, World, owned};

impl World {
    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::Pool(name, spec) => self.configure_pool(name, spec),
            Event::PoolDeleted(name) => self.delete_pool(&name),
            Event::NodeAdded { name, labels, address } => self.add_node(name, labels, address),
            Event::NodeReady(name, ready) => self.change_node(&name, |facts| facts.ready = ready),
            Event::NodeCordoned(name, cordoned) => self.change_node(&name, |facts| facts.unschedulable = cordoned),
            Event::NodeLabelled(name, key, value) => self.change_node(&name, |facts| match value {
                Some(value) => drop(facts.labels.insert(key, value)),
                None => drop(facts.labels.remove(&key)),
            }),
            Event::NodeDeleted(name) => self.delete_node(name),
            Event::ZoneReady { label, value, ready } => self.change_zone(&label, &value, ready),
            Event::NamespaceAdded(name, pool) => self.add_namespace(name, pool),
            Event::NamespacePool(name, pool) => self.change_namespace(&name, |facts| facts.pool = pool),
            Event::Requested(name, text) => self.change_namespace(&name, |facts| facts.egress_ips = text),
            Event::NamespaceDeleted(name) => {
                self.change_namespace(&name, |facts| facts.terminating = true);
                self.namespace_goes(name);
            }
            Event::Touched(target) => self.objects.touch(&target),
            Event::ForeignCarried(name, address) => self.foreign_carried(&name, address),
            Event::ForeignHeld(name, addresses) => self.foreign_held(&name, &addresses),
        }
    }

    fn configure_pool(&mut self, name: PoolName, spec: PoolSpec) {
        let resource_version = self.next_version();
        let created = EPOCH_MS + self.now;
        let fresh = || Arc::new(PoolFacts { created, ..PoolFacts::default() });
        let facts = owned(self.objects.pools.entry(name).or_insert_with(fresh));
        facts.resource_version = resource_version;
        facts.generation += 1;
        facts.spec = spec;
    }

    fn delete_pool(&mut self, name: &PoolName) {
        let resource_version = self.next_version();
        let Some(facts) = self.objects.pools.get_mut(name) else { return };
        let facts = owned(facts);
        facts.deleting = true;
        facts.resource_version = resource_version;
        if !facts.is_kept() {
            self.objects.pools.remove(name);
        }
    }

    fn add_node(&mut self, name: NodeName, labels: BTreeMap<String, String>, address: IpAddr) {
        let resource_version = self.next_version();
        let node =
            NodeFacts { labels, ready: true, unschedulable: false, addresses: vec![address], ..NodeFacts::default() };
        self.objects.nodes.insert(name.clone(), Arc::new(node));
        let subnet = CarrierFacts { resource_version, host_ip: Some(address), ..CarrierFacts::default() };
        self.objects.carriers.insert(name, Arc::new(subnet));
        self.network_changed();
    }

    fn change_node(&mut self, name: &NodeName, change: impl FnOnce(&mut NodeFacts)) {
        let Some(facts) = self.objects.nodes.get_mut(name) else { return };
        change(owned(facts));
        self.next_version();
        self.network_changed();
    }

    fn delete_node(&mut self, name: NodeName) {
        if self.objects.nodes.remove(&name).is_some() {
            self.next_version();
            self.network_changed();
            self.host_subnet_goes(name);
        }
    }

    fn change_zone(&mut self, label: &str, value: &str, ready: bool) {
        let inside = |facts: &NodeFacts| facts.labels.get(label).is_some_and(|found| found == value);
        let nodes: Vec<NodeName> =
            self.objects.nodes.iter().filter(|(_, facts)| inside(facts)).map(|(name, _)| name.clone()).collect();
        for name in nodes {
            self.change_node(&name, |facts| facts.ready = ready);
        }
    }

    /// A namespace of a name that is still being deleted cannot be created.
    fn add_namespace(&mut self, name: OwnerName, pool: Option<PoolName>) {
        if self.objects.namespaces.contains_key(&name) || self.objects.holdings.contains_key(&name) {
            return;
        }
        let resource_version = self.next_version();
        let created = EPOCH_MS + self.now;
        let namespace = NamespaceFacts { resource_version, created, pool, ..NamespaceFacts::default() };
        self.objects.namespaces.insert(name.clone(), Arc::new(namespace));
        let resource_version = self.next_version();
        let net = HoldingFacts { resource_version, ..HoldingFacts::default() };
        self.objects.holdings.insert(name, Arc::new(net));
    }

    fn change_namespace(&mut self, name: &OwnerName, change: impl FnOnce(&mut NamespaceFacts)) {
        let resource_version = self.next_version();
        let Some(facts) = self.objects.namespaces.get_mut(name) else { return };
        let facts = owned(facts);
        change(facts);
        facts.resource_version = resource_version;
    }

    fn foreign_carried(&mut self, name: &NodeName, address: IpAddr) {
        let resource_version = self.next_version();
        let Some(facts) = self.objects.carriers.get_mut(name) else { return };
        let facts = owned(facts);
        if !facts.egress_ips.contains(&Listed::Address(address)) {
            facts.egress_ips.push(Listed::Address(address));
        }
        facts.resource_version = resource_version;
        self.network_changed();
    }

    fn foreign_held(&mut self, name: &OwnerName, addresses: &[IpAddr]) {
        let resource_version = self.next_version();
        let Some(facts) = self.objects.holdings.get_mut(name) else { return };
        let facts = owned(facts);
        facts.egress_ips = addresses.iter().copied().map(Listed::Address).collect();
        facts.resource_version = resource_version;
        self.network_changed();
    }
}
