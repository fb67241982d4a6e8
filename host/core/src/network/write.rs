//! Writes as values: one object each, with what must have happened before.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::{CARRIER, HOLDING};
use crate::name::{NodeName, OwnerName, PoolName};
use crate::observed::Observed;

/// Annotation of a Namespace: the pool it opts into. Name of the operator Sluice replaces.
pub const POOL_ANNOTATION: &str = "egressip-ipam-operator.redhat-cop.io/egressipam";
/// Annotation of a Namespace: its addresses, as result or as request. Name of the operator Sluice replaces.
pub const RESULT_ANNOTATION: &str = "egressip-ipam-operator.redhat-cop.io/egressips";
/// Annotation of a Namespace: why it is not served.
pub const HOLD_ANNOTATION: &str = "sluice.dev/hold";
/// Annotation of a NetNamespace: the pool Sluice wrote its addresses for.
pub const OWNED_BY_POOL_ANNOTATION: &str = "sluice.dev/pool";
/// Annotation of a NetNamespace: home zones of its addresses, such as `10.20.0.5=east-1,10.21.0.7=east-2`.
pub const ZONES_ANNOTATION: &str = "sluice.dev/zones";
/// Finalizer of an EgressIPAM. Name of the operator Sluice replaces.
pub const FINALIZER: &str = "EgressIPAM_controller";

/// One change of one object. To the API server it goes as a JSON merge patch, sent with the object's `resourceVersion`.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// What is written.
    pub target: Target,
    /// How.
    pub change: Change,
    /// Positions, in the same schedule, of writes that must have succeeded before. Always smaller than its own.
    pub after: Vec<usize>,
    /// Positions of writes that must have ended before; if there are any, one of them with success.
    pub after_any: Vec<usize>,
}

/// The object of a write. One write is in flight per target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// An EgressIPAM.
    Pool(PoolName),
    /// What a node carries: the network's object of that node.
    Carrier(NodeName),
    /// What an owner holds: the network's object of that owner.
    Holding(OwnerName),
    /// A Namespace.
    Namespace(OwnerName),
    /// The cloud's interface of a node.
    Interface(NodeName),
}

impl Target {
    /// The object's kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pool(_) => "EgressIPAM",
            Self::Carrier(_) => CARRIER,
            Self::Holding(_) => HOLDING,
            Self::Namespace(_) => "Namespace",
            Self::Interface(_) => "NetworkInterface",
        }
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Pool(name) => name.as_str(),
            Self::Carrier(name) | Self::Interface(name) => name.as_str(),
            Self::Holding(name) | Self::Namespace(name) => name.as_str(),
        }
    }

    /// The object's version as it was observed: the precondition of a write. None: there is no such object.
    pub fn version<'a>(&self, observed: &'a Observed) -> Option<&'a str> {
        match self {
            Self::Pool(name) => observed.pools.get(name).map(|facts| facts.resource_version.as_str()),
            Self::Carrier(name) => observed.carriers.get(name).map(|facts| facts.resource_version.as_str()),
            Self::Holding(name) => observed.holdings.get(name).map(|facts| facts.resource_version.as_str()),
            Self::Namespace(name) => observed.namespaces.get(name).map(|facts| facts.resource_version.as_str()),
            Self::Interface(name) => observed.interface(name).map(|interface| interface.version.as_str()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// New values of fields. Lists are whole values, as a merge patch has them.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Of an EgressIPAM: all finalizers.
    Finalizers(Vec<String>),
    /// Of what a node carries; none: untouched.
    Carrier {
        /// `egressIPs`, strangers' entries included.
        egress_ips: Option<Vec<String>>,
        /// From where the network places by itself: `egressCIDRs`.
        ranges: Option<Vec<String>>,
    },
    /// Of what an owner holds: addresses and our annotations, in one patch.
    Holding {
        /// `egressIPs`, in zone order.
        egress_ips: Vec<IpAddr>,
        /// Our annotations; none: removed.
        home: Option<Home>,
    },
    /// Of a Namespace: annotations; outer none: untouched, inner none: removed.
    Namespace {
        /// `egressips`.
        result: Option<Option<String>>,
        /// `sluice.dev/hold`.
        hold: Option<Option<String>>,
    },
    /// Of an interface: what comes and what goes, in one request to the cloud, which takes its time with it.
    Interface {
        /// Addresses to add.
        on: BTreeSet<IpAddr>,
        /// Addresses of ours to remove.
        off: BTreeSet<IpAddr>,
    },
}

/// Where the addresses of a NetNamespace are at home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Its pool.
    pub pool: PoolName,
    /// The zone of each address where it is known, in their order.
    pub zones: Vec<(IpAddr, String)>,
}

impl Home {
    /// The text of [`ZONES_ANNOTATION`]; none: no zone is known.
    fn zones_text(&self) -> Option<String> {
        let zones = self.zones.iter().map(|(address, zone)| format!("{address}={zone}"));
        (!self.zones.is_empty()).then(|| zones.collect::<Vec<_>>().join(","))
    }
}

impl Change {
    /// The body of the merge patch, without the precondition; of an interface what changes, for people.
    pub fn merge_patch(&self) -> Value {
        match self {
            Self::Finalizers(finalizers) => json!({"metadata": {"finalizers": finalizers}}),
            Self::Carrier { egress_ips, ranges } => {
                let mut body = Map::new();
                if let Some(cidrs) = ranges {
                    body.insert("egressCIDRs".to_owned(), json!(cidrs));
                }
                if let Some(addresses) = egress_ips {
                    body.insert("egressIPs".to_owned(), json!(addresses));
                }
                Value::Object(body)
            }
            Self::Holding { egress_ips, home } => json!({
                "egressIPs": egress_ips,
                "metadata": {"annotations": {
                    OWNED_BY_POOL_ANNOTATION: home.as_ref().map(|home| home.pool.as_str()),
                    ZONES_ANNOTATION: home.as_ref().and_then(Home::zones_text),
                }},
            }),
            Self::Namespace { result, hold } => {
                let mut annotations = Map::new();
                for (name, value) in [(HOLD_ANNOTATION, hold), (RESULT_ANNOTATION, result)] {
                    if let Some(value) = value {
                        annotations.insert(name.to_owned(), json!(value));
                    }
                }
                json!({"metadata": {"annotations": annotations}})
            }
            Self::Interface { on, off } => json!({"add": on, "remove": off}),
        }
    }
}
