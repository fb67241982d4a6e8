//! The cluster that is disturbed, and what happens to it.

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::json;

use crate::harness::kinds::{self, is_system_namespace};
use crate::harness::{
    ADDRESSES_ANNOTATION, Cluster, Object, Operator, POOL_ANNOTATION, infrastructure, namespace, node, pool,
};

/// A pool with its zones, each with its range and nodes, and its namespaces.
pub struct Side {
    pub pool: &'static str,
    pub zones: &'static [(&'static str, &'static str, &'static [&'static str])],
    pub owners: &'static [&'static str],
}

/// Two pools: one of three zones, which Sluice places, and one of a single range, which the network places.
pub const SIDES: [Side; 2] = [
    Side {
        pool: "egress",
        zones: &[
            ("zone-a", "10.20.0.0/24", &["worker-a0", "worker-a1", "worker-a2"]),
            ("zone-b", "10.21.0.0/24", &["worker-b0", "worker-b1"]),
            ("zone-c", "10.22.0.0/24", &["worker-c0", "worker-c1"]),
        ],
        owners: &["billing", "mirror", "shop"],
    },
    Side {
        pool: "flat",
        zones: &[("zone-f", "10.30.0.0/24", &["worker-f0", "worker-f1"])],
        owners: &["depot", "till"],
    },
];

/// What is there before anything is served.
pub fn objects() -> Vec<Object> {
    let mut objects = vec![infrastructure("BareMetal")];
    for side in &SIDES {
        let ranges = side.zones.iter();
        objects.push(ranges.fold(pool(side.pool), |pool, (zone, range, _)| pool.range(zone, range)));
        for (zone, _, nodes) in side.zones {
            objects.extend(nodes.iter().map(|name| node(name).zone(zone)));
        }
        objects.extend(side.owners.iter().map(|name| namespace(name).in_pool(side.pool)));
    }
    objects
}

/// Everything that was set up or written, to be stored again in an empty cluster.
pub async fn snapshot(cluster: &Cluster) -> Vec<Object> {
    let mut objects = Vec::new();
    for kind in ["Infrastructure", "EgressIPAM", "Node", "HostSubnet", "Namespace", "NetNamespace"] {
        let listed = cluster.list(kind).await;
        let ours = listed.into_iter().filter(|object| kind != "Namespace" || !is_system_namespace(&object.name_any()));
        objects.extend(ours.map(|object| whole(kind, object)));
    }
    objects
}

/// Objects of a list come without kind and version.
fn whole(kind: &str, mut object: DynamicObject) -> Object {
    object.metadata.managed_fields = None;
    let resource = kinds::resource(kind);
    let mut json = json!(object);
    json["apiVersion"] = resource.api_version.into();
    json["kind"] = kind.into();
    Object::from_json(json)
}

/// Waits until OpenShift has added its part to [`objects`].
pub async fn companions_are_there(cluster: &Cluster) {
    for side in &SIDES {
        for name in side.owners {
            cluster.is_there("NetNamespace", name).await;
        }
        for name in side.zones.iter().flat_map(|(_, _, nodes)| *nodes) {
            cluster.is_there("HostSubnet", name).await;
        }
    }
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The operator finds five namespaces that want addresses.
    Allocation,
    /// Two nodes in different zones fail at the same time.
    Failover,
    /// A namespace of each pool opts out, one by one annotation, one by both.
    OptOut,
    /// Both pools are deleted.
    PoolDeletion,
}

impl Phase {
    pub const ALL: [Self; 4] = [Self::Allocation, Self::Failover, Self::OptOut, Self::PoolDeletion];

    /// Nodes that are down afterwards.
    pub fn down(self) -> &'static [&'static str] {
        if self == Self::Failover { &["worker-a0", "worker-b0"] } else { &[] }
    }

    /// Whether a namespace has nothing afterwards.
    pub fn leaves(self, owner: &str) -> bool {
        match self {
            Self::Allocation | Self::Failover => false,
            Self::OptOut => matches!(owner, "shop" | "till"),
            Self::PoolDeletion => true,
        }
    }

    /// Whether the pools are gone afterwards.
    pub fn deletes_pools(self) -> bool {
        self == Self::PoolDeletion
    }

    /// Whether an operator finds it when it starts. The others happen to a running one.
    pub fn is_found(self) -> bool {
        self == Self::Allocation
    }

    /// Makes it happen. All of it at once: the operator is frozen meanwhile.
    pub async fn happen(self, cluster: &Cluster, operator: &Operator) {
        operator.freeze();
        match self {
            Self::Allocation => {}
            Self::Failover => {
                for node in self.down() {
                    cluster.set_ready(node, false).await;
                }
            }
            Self::OptOut => {
                cluster.opt_in("shop", None).await;
                let neither = json!({ POOL_ANNOTATION: null, ADDRESSES_ANNOTATION: null });
                cluster.patch("Namespace", "till", &json!({ "metadata": { "annotations": neither } })).await;
            }
            Self::PoolDeletion => {
                for side in &SIDES {
                    cluster.delete("EgressIPAM", side.pool).await;
                }
            }
        }
        operator.thaw();
    }
}
