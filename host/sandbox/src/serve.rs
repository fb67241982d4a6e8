//! The API server's side of a write.

use sluice_core::backend::{WriteFailure, Written};
use sluice_core::name::{NodeName, OwnerName, PoolName};
use sluice_core::observed::Listed;
use sluice_core::schedule::{Change, Home, Target, Write};

use crate::fault::Fault;
use crate::world::{Landed, World, owned};

impl World {
    /// Answers a write that arrives.
    pub(crate) fn serve(&mut self, write: &Write, resource_version: &str) -> Result<Written, WriteFailure> {
        match self.faults.meet(&write.target) {
            None => self.commit(write, resource_version),
            Some(Fault::LostAnswer) => {
                // The client never learns what came of it.
                let _ = self.commit(write, resource_version);
                Err(Fault::LostAnswer.failure())
            }
            Some(fault) => Err(fault.failure()),
        }
    }

    fn commit(&mut self, write: &Write, resource_version: &str) -> Result<Written, WriteFailure> {
        let now = self.version_of(&write.target).ok_or(WriteFailure::NotFound)?;
        if now != resource_version {
            return Err(WriteFailure::Conflict);
        }
        // As in the real server, a patch that changes nothing makes no new version.
        if self.change(write) {
            self.journal.push(Landed { at: self.now, write: write.clone() });
            self.network_changed();
        }
        let now = self.version_of(&write.target).unwrap_or(resource_version);
        Ok(Written { resource_version: now.to_owned() })
    }

    /// Carries out a write; whether anything changed.
    fn change(&mut self, write: &Write) -> bool {
        match (&write.target, &write.change) {
            (Target::Pool(name), Change::Finalizers(finalizers)) => self.set_finalizers(name, finalizers),
            (Target::HostSubnet(name), Change::HostSubnet { egress_ips, egress_cidrs }) => {
                self.set_host_subnet(name, egress_ips.as_deref(), egress_cidrs.as_deref())
            }
            (Target::NetNamespace(name), Change::NetNamespace { egress_ips, home }) => {
                let listed = egress_ips.iter().copied().map(Listed::Address).collect();
                self.set_net_namespace(name, listed, home.as_ref())
            }
            (Target::Namespace(name), Change::Namespace { result, hold }) => {
                self.set_annotations(name, result.as_ref(), hold.as_ref())
            }
            _ => false,
        }
    }

    fn set_finalizers(&mut self, name: &PoolName, finalizers: &[String]) -> bool {
        let version = self.next_version();
        let Some(facts) = self.objects.pools.get_mut(name) else { return false };
        if facts.finalizers == finalizers {
            return false;
        }
        let facts = owned(facts);
        facts.finalizers = finalizers.to_vec();
        facts.resource_version = version;
        if facts.deleting && finalizers.is_empty() {
            self.objects.pools.remove(name);
        }
        true
    }

    fn set_host_subnet(&mut self, name: &NodeName, ips: Option<&[String]>, cidrs: Option<&[String]>) -> bool {
        let version = self.next_version();
        let Some(facts) = self.objects.host_subnets.get_mut(name) else { return false };
        let mut changed = facts.as_ref().clone();
        if let Some(ips) = ips {
            changed.egress_ips = ips.iter().map(|text| Listed::from(text.as_str())).collect();
        }
        if let Some(cidrs) = cidrs {
            changed.egress_cidrs = cidrs.to_vec();
        }
        if changed == **facts {
            return false;
        }
        *owned(facts) = changed;
        owned(facts).resource_version = version;
        true
    }

    fn set_net_namespace(&mut self, name: &OwnerName, listed: Vec<Listed>, home: Option<&Home>) -> bool {
        let version = self.next_version();
        let Some(facts) = self.objects.net_namespaces.get_mut(name) else { return false };
        let mut changed = facts.as_ref().clone();
        changed.egress_ips = listed;
        changed.pool = home.map(|home| home.pool.clone());
        changed.zones = home.map(|home| home.zones.clone());
        if changed == **facts {
            return false;
        }
        *owned(facts) = changed;
        owned(facts).resource_version = version;
        true
    }

    fn set_annotations(
        &mut self,
        name: &OwnerName,
        result: Option<&Option<String>>,
        hold: Option<&Option<String>>,
    ) -> bool {
        let version = self.next_version();
        let Some(facts) = self.objects.namespaces.get_mut(name) else { return false };
        let mut changed = facts.as_ref().clone();
        if let Some(result) = result {
            changed.egress_ips.clone_from(result);
        }
        if let Some(hold) = hold {
            changed.hold.clone_from(hold);
        }
        if changed == **facts {
            return false;
        }
        *owned(facts) = changed;
        owned(facts).resource_version = version;
        true
    }
}
