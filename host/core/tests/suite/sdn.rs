//! Writes as the API server of a cluster with OpenShift SDN gets them, so that transcripts read like what an
//! administrator sees.

use serde_json::{Map, Value, json};
use sluice_core::network::{Change, Home, Target};

/// Kind and name of an object.
pub(crate) fn object(target: &Target) -> String {
    let kind = match target {
        Target::Pool(_) => "EgressIPAM",
        Target::Carrier(_) => "HostSubnet",
        Target::Holding(_) => "NetNamespace",
        Target::Namespace(_) => "Namespace",
        Target::Interface(_) => "NetworkInterface",
    };
    format!("{kind} {}", target.name())
}

/// The merge patch.
pub(crate) fn patch(change: &Change) -> Value {
    let given = |fields: [(&str, Option<Value>); 2]| -> Map<String, Value> {
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    };
    match change {
        Change::Pool { guarded, other_guards } => {
            let ours = guarded.then_some("EgressIPAM_controller");
            let all: Vec<&str> = other_guards.iter().map(String::as_str).chain(ours).collect();
            json!({"metadata": {"finalizers": all}})
        }
        Change::Carrier { egress_ips, ranges } => {
            let [addresses, cidrs] = [egress_ips, ranges].map(|list| list.as_ref().map(|list| json!(list)));
            Value::Object(given([("egressIPs", addresses), ("egressCIDRs", cidrs)]))
        }
        Change::Holding { egress_ips, home, .. } => json!({
            "egressIPs": egress_ips,
            "metadata": {"annotations": {
                "sluice.dev/pool": home.as_ref().map(|home| home.pool.as_str()),
                "sluice.dev/zones": home.as_ref().and_then(zones),
            }},
        }),
        Change::Namespace { result, hold } => {
            let [result, hold] = [result, hold].map(|text| text.as_ref().map(|text| json!(text)));
            let peer = "egressip-ipam-operator.redhat-cop.io/egressips";
            json!({"metadata": {"annotations": given([("sluice.dev/hold", hold), (peer, result)])}})
        }
        Change::Interface { on, off } => json!({"add": on, "remove": off}),
        // There is none on OpenShift SDN.
        Change::Assignable(_) | Change::NewHolding { .. } | Change::NoHolding { .. } => json!(format!("{change:?}")),
    }
}

fn zones(home: &Home) -> Option<String> {
    let zones: Vec<String> = home.zones.iter().map(|(address, zone)| format!("{address}={zone}")).collect();
    (!zones.is_empty()).then(|| zones.join(","))
}
