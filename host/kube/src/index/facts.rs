//! Which facts of which kind go where, and which of them decide something.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_core::name::{NodeName, OwnerName, PoolName};
use sluice_core::observed::{CarrierFacts, HoldingFacts, NamespaceFacts, NodeFacts, Platform, PoolFacts};

use super::identity::Key;
use super::lock::Lock;
use super::{Index, PoolObject};
use crate::convert::{self, FieldNotes, Unreadable};
use crate::kind::Kind;
use crate::network;
use crate::network::ovn::{EgressIpFacts, NodeNetwork};
use crate::object::Object;

/// Versioned that can be compared without the version they were read at.
trait Versioned: Clone + PartialEq {
    /// Takes over the other's version.
    fn at_version_of(&mut self, other: &Self);
}

macro_rules! versioned {
    ($($facts:ty),*) => {$(
        impl Versioned for $facts {
            fn at_version_of(&mut self, other: &Self) {
                self.resource_version.clone_from(&other.resource_version);
            }
        }
    )*};
}

versioned!(PoolFacts, NamespaceFacts, HoldingFacts, CarrierFacts, EgressIpFacts);

impl Versioned for NodeFacts {
    fn at_version_of(&mut self, _: &Self) {}
}

impl Versioned for NodeNetwork {
    fn at_version_of(&mut self, _: &Self) {}
}

/// Stores facts; true if they decide otherwise than those before.
fn put<K: Ord, F: Versioned>(map: &mut BTreeMap<K, Arc<F>>, key: K, facts: F) -> bool {
    let changed = match map.get(&key) {
        None => true,
        Some(before) if **before == facts => return false,
        Some(before) => {
            let mut before = F::clone(before);
            before.at_version_of(&facts);
            before != facts
        }
    };
    map.insert(key, Arc::new(facts));
    changed
}

/// Stores readable facts; unreadable ones count as a missing object.
fn put_readable<K: Ord, F: Versioned>(
    map: &mut BTreeMap<K, Arc<F>>,
    key: K,
    facts: Result<F, Unreadable>,
    notes: &mut FieldNotes,
) -> bool {
    match facts {
        Ok(facts) => put(map, key, facts),
        Err(Unreadable(note)) => {
            notes.push(note);
            map.remove(&key).is_some()
        }
    }
}

impl Index {
    /// Stores what an object says; true if that decides something.
    pub(super) fn store(&mut self, kind: Kind, key: &Key, object: &Object) -> bool {
        let mut notes = FieldNotes::new();
        let observed = &mut self.observed;
        let name = key.name();
        let changed = match kind {
            Kind::Pool => {
                let status = object.at("/status").clone();
                let (uid, resource_version) = (object.uid().to_owned(), object.resource_version().to_owned());
                let pool = PoolObject { uid, resource_version, status: status.clone() };
                let before = self.pools.insert(PoolName::from(name), pool);
                let is_other = before.is_some_and(|before| before.status != status);
                self.statuses = self.statuses.wrapping_add(is_other.into());
                put(&mut observed.pools, PoolName::from(name), convert::pool_facts(object))
            }
            Kind::Node => {
                let before = self.networks.nodes.get(name).map(AsRef::as_ref);
                let network = NodeNetwork::read(object, before, self.now, &mut notes);
                put(&mut observed.nodes, NodeName::from(name), convert::node_facts(object, &mut notes))
                    | put(&mut self.networks.nodes, NodeName::from(name), network)
            }
            Kind::Namespace => {
                let facts = convert::namespace_facts(object, &mut notes);
                let changed = put(&mut observed.namespaces, OwnerName::from(name), facts);
                self.seed_from(object) || changed
            }
            Kind::NetNamespace => {
                let facts = network::holding_facts(object, &mut notes);
                put_readable(&mut self.networks.holdings, OwnerName::from(name), facts, &mut notes)
            }
            Kind::HostSubnet => {
                let facts = network::carrier_facts(object, &mut notes);
                put_readable(&mut self.networks.carriers, NodeName::from(name), facts, &mut notes)
            }
            Kind::EgressIp => {
                let facts = EgressIpFacts::read(object, &mut notes);
                put_readable(&mut self.networks.egress_ips, name.to_owned(), facts, &mut notes)
            }
            Kind::NetworkConfig => {
                let config = Some(network::NetworkConfig::read(object, &mut notes));
                std::mem::replace(&mut self.networks.choice.config, config.clone()) != config
            }
            Kind::Infrastructure => {
                let platform = convert::platform(object, &mut notes);
                std::mem::replace(&mut observed.platform, platform.clone()) != platform
            }
            Kind::PrivateIp => convert::private_ip(name).is_some_and(|address| {
                let facts = convert::private_ip_facts(object, &mut notes);
                let known = observed.private_ips.get_or_insert_default();
                known.insert(address, facts.clone()) != Some(facts)
            }),
            Kind::Lock => {
                let lock = Lock::read(object, self.locks.get(key), self.now, &mut notes);
                self.lock_scope.seen(key.namespace(), self.now);
                let before = self.locks.insert(key.clone(), lock.clone()).unwrap_or_default();
                lock.is_decisively_other(&before, self.now) && self.lock_counts(key)
            }
        };
        self.problems.set(kind, key, notes);
        changed
    }

    /// Forgets an object; true if it was known for something.
    pub(super) fn forget(&mut self, kind: Kind, key: &Key) -> bool {
        self.identities.remove(&(kind, key.clone()));
        self.problems.set(kind, key, FieldNotes::new());
        let observed = &mut self.observed;
        match kind {
            Kind::Pool => {
                self.pools.remove(key.name());
                observed.pools.remove(key.name()).is_some()
            }
            Kind::Node => {
                self.networks.nodes.remove(key.name());
                observed.nodes.remove(key.name()).is_some()
            }
            Kind::Namespace => observed.namespaces.remove(key.name()).is_some(),
            Kind::NetNamespace => self.networks.holdings.remove(key.name()).is_some(),
            Kind::HostSubnet => self.networks.carriers.remove(key.name()).is_some(),
            Kind::EgressIp => self.networks.egress_ips.remove(key.name()).is_some(),
            Kind::NetworkConfig => self.networks.choice.config.take().is_some(),
            Kind::Infrastructure => std::mem::take(&mut observed.platform) != Platform::Unknown,
            Kind::PrivateIp => {
                let known = observed.private_ips.as_mut().zip(convert::private_ip(key.name()));
                known.is_some_and(|(known, address)| known.remove(&address).is_some())
            }
            Kind::Lock => {
                self.locks.remove(key).is_some_and(|lock| lock.live(self.now).is_some()) && self.lock_counts(key)
            }
        }
    }
}
