//! Writes as the API server of a cluster with OVN-Kubernetes gets them, so that transcripts read like what an
//! administrator sees.

use serde_json::{Map, Value, json};
use sluice_core::network::{Change, Home, Target};

use crate::sdn;

/// Kind and name of an object.
pub(crate) fn object(target: &Target) -> String {
    match target {
        Target::Carrier(name) => format!("Node {name}"),
        Target::Holding(name) => format!("EgressIP {name}"),
        _ => sdn::object(target),
    }
}

/// The patch.
pub(crate) fn patch(change: &Change) -> Value {
    match change {
        Change::Assignable(may) => json!({"assignable": may}),
        Change::NewHolding { egress_ips, home } => {
            json!({"new": true, "egressIPs": egress_ips, "metadata": {"labels": labels(home)}})
        }
        Change::Holding { egress_ips, home, .. } => {
            json!({"egressIPs": egress_ips, "metadata": {"labels": home.as_ref().map(labels)}})
        }
        Change::NoHolding { .. } => json!({"deleted": true}),
        _ => sdn::patch(change),
    }
}

fn labels(home: &Home) -> Map<String, Value> {
    let zones = home.zones.iter().map(|(address, zone)| (address.to_string(), json!(zone)));
    std::iter::once(("pool".to_owned(), json!(home.pool.as_str()))).chain(zones).collect()
}
