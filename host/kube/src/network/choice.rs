//! Which network the cluster has.

use std::collections::BTreeSet;

use serde_json::Value;

use sluice_core::network::Network;

use crate::convert::FieldNotes;
use crate::convert::read::text;
use crate::kind::Kind;
use crate::object::Object;

/// What tells which network counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Choice {
    /// What an administrator said.
    pub(crate) given: Option<Network>,
    /// What OpenShift says, if there is its object.
    pub(crate) config: Option<NetworkConfig>,
    /// Kinds that the API server does not know.
    pub(crate) unserved: BTreeSet<Kind>,
}

/// `networks.config.openshift.io/cluster`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NetworkConfig {
    /// `status.networkType`: what works now.
    now: String,
    /// What it is to become, if that is something else.
    next: Option<String>,
}

impl NetworkConfig {
    /// Reads the object. While a migration runs, `status.migration` names the other type, or `spec` and `status` differ.
    pub(crate) fn read(object: &Object, notes: &mut FieldNotes) -> Self {
        let mut read = |pointer: &str, field: &str| {
            text(object.at(pointer), field, notes).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let now = read("/status/networkType", "status.networkType");
        let wanted = read("/spec/networkType", "spec.networkType");
        let migration = object.at("/status/migration/networkType");
        let migrates_to = Value::as_str(migration).filter(|text| !text.is_empty()).map(str::to_owned);
        let is_other = |next: &String| now.as_ref().is_some_and(|now| !now.eq_ignore_ascii_case(next));
        let next = migrates_to.or_else(|| wanted.filter(is_other));
        Self { now: now.unwrap_or_default(), next }
    }
}

impl Choice {
    /// The network that counts, and why nothing may be written to it, if so. `has_egress_ips`: objects of OVN-Kubernetes are
    /// known, which is all that files may show.
    pub(crate) fn network(&self, has_egress_ips: bool) -> (Network, Option<String>) {
        let (network, obstacle) = match (self.given, &self.config) {
            (Some(given), _) => (given, None),
            (None, Some(config)) if !config.now.is_empty() => named(&config.now),
            (None, _) => self.served(has_egress_ips),
        };
        let migration = self.config.as_ref().and_then(|config| {
            let next = config.next.as_ref()?;
            Some(format!("the cluster's network is being changed from {} to {next}", config.now))
        });
        let kinds = match network {
            Network::OpenShiftSdn => [Kind::NetNamespace, Kind::HostSubnet].as_slice(),
            Network::OvnKubernetes => &[Kind::EgressIp],
        };
        let missing = kinds.iter().find(|kind| self.unserved.contains(kind));
        let missing = || missing.map(|kind| format!("the API server does not know {}", kind.resource()));
        (network, migration.or(obstacle).or_else(missing))
    }

    /// The network by what the API server knows.
    fn served(&self, has_egress_ips: bool) -> (Network, Option<String>) {
        let (sdn, ovn) = (Kind::NetNamespace, Kind::EgressIp);
        match (self.unserved.contains(&sdn), self.unserved.contains(&ovn)) {
            (true, true) => {
                let text = format!("neither {} nor {} are known to the API server", sdn.resource(), ovn.resource());
                (Network::OpenShiftSdn, Some(text))
            }
            (is_no_sdn, is_no_ovn) if is_no_sdn || (has_egress_ips && !is_no_ovn) => (Network::OvnKubernetes, None),
            _ => (Network::OpenShiftSdn, None),
        }
    }
}

/// A network by the name that OpenShift has for it.
fn named(name: &str) -> (Network, Option<String>) {
    if name.eq_ignore_ascii_case("OVNKubernetes") {
        (Network::OvnKubernetes, None)
    } else if name.eq_ignore_ascii_case("OpenShiftSDN") {
        (Network::OpenShiftSdn, None)
    } else {
        (Network::OpenShiftSdn, Some(format!("network {name} is not served")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sluice_core::network::Network;

    use super::{Choice, NetworkConfig};
    use crate::convert::FieldNotes;
    use crate::kind::Kind;
    use crate::object::Object;

    fn config(spec: &str, status: &Value) -> Choice {
        let object =
            Object::new(json!({"metadata": {"name": "cluster"}, "spec": {"networkType": spec}, "status": status}));
        let config = NetworkConfig::read(&object, &mut FieldNotes::new());
        Choice { config: Some(config), ..Choice::default() }
    }

    fn unserved(kinds: &[Kind]) -> Choice {
        Choice { unserved: kinds.iter().copied().collect(), ..Choice::default() }
    }

    #[test]
    fn the_network_is_what_openshift_says_it_is() {
        let (sdn, ovn) = ((Network::OpenShiftSdn, None), (Network::OvnKubernetes, None));
        assert_eq!(config("OVNKubernetes", &json!({"networkType": "OVNKubernetes"})).network(false), ovn);
        assert_eq!(config("OpenShiftSDN", &json!({"networkType": "OpenShiftSDN"})).network(true), sdn);
        // A change of the MTU is no change of the network.
        let mtu =
            json!({"networkType": "OVNKubernetes", "migration": {"mtu": {"network": {"from": 1400, "to": 9000}}}});
        assert_eq!(config("OVNKubernetes", &mtu).network(false), ovn);
        let (_, obstacle) = config("Calico", &json!({"networkType": "Calico"})).network(false);
        assert_eq!(obstacle.as_deref(), Some("network Calico is not served"));
    }

    #[test]
    fn nothing_is_written_while_the_network_changes() {
        let text = Some("the cluster's network is being changed from OpenShiftSDN to OVNKubernetes");
        let differs = config("OVNKubernetes", &json!({"networkType": "OpenShiftSDN"}));
        assert_eq!(differs.network(false), (Network::OpenShiftSdn, text.map(str::to_owned)));
        let status = json!({"networkType": "OpenShiftSDN", "migration": {"networkType": "OVNKubernetes"}});
        assert_eq!(config("OpenShiftSDN", &status).network(true).1.as_deref(), text);
        // What an administrator says about the network does not make a migration safe.
        let given = Choice { given: Some(Network::OvnKubernetes), ..differs };
        assert_eq!(given.network(false), (Network::OvnKubernetes, text.map(str::to_owned)));
    }

    #[test]
    fn without_openshift_the_network_is_what_is_served() {
        let kinds = [Kind::NetNamespace, Kind::HostSubnet, Kind::EgressIp];
        assert_eq!(unserved(&kinds[..2]).network(false), (Network::OvnKubernetes, None));
        assert_eq!(unserved(&kinds[2..]).network(false), (Network::OpenShiftSdn, None));
        let neither =
            "neither netnamespaces.network.openshift.io nor egressips.k8s.ovn.org are known to the API server";
        assert_eq!(unserved(&kinds).network(false), (Network::OpenShiftSdn, Some(neither.to_owned())));
        // Files show nothing of what is served.
        assert_eq!(unserved(&[]).network(true), (Network::OvnKubernetes, None));
        assert_eq!(unserved(&[]).network(false), (Network::OpenShiftSdn, None));
        let half = "the API server does not know hostsubnets.network.openshift.io";
        assert_eq!(unserved(&kinds[1..]).network(false), (Network::OpenShiftSdn, Some(half.to_owned())));
    }
}
