//! What decides about `EgressIP` in a cluster, for tests: OVN-Kubernetes' cluster manager ([`ClusterManager`]) and
//! OpenShift's cloud network config controller ([`CloudController`]).
//!
//! Both are state machines without a clock, threads or I/O. Whoever drives them hands over what watches show, in
//! milliseconds of any clock, and carries out the [`Action`]s: on objects in memory, or on a real API server. They are
//! modelled on the releases of August and April 2026 (OVN-Kubernetes 8871cd9ce, `cloud-network-config-controller`
//! 2d69ad95), quirks included: a client that gets along with these gets along with those. The conformance tests are
//! the evidence; what is left to chance there is decided by a seed here.
//!
//! ```
//! use serde_json::json;
//! use sluice_sandbox_ovn::{Action, Cluster, ClusterManager, EgressIp, Settings};
//!
//! let (mut manager, _) = ClusterManager::start(Settings::default(), 0, Cluster::default());
//! let object = json!({ "metadata": { "name": "eip" }, "spec": { "egressIPs": ["192.168.126.5"] } });
//! let actions = EgressIp::from_json(&object).map(|object| manager.egress_ip_changed(20, object)).unwrap_or_default();
//! assert!(matches!(&actions[..], [Action::Event { .. }]), "there is no node yet");
//! assert_eq!(manager.next_wake(), None, "and nothing to do until there is one");
//! ```

mod action;
mod cloud;
mod dice;
mod manager;
mod marks;
mod names;
mod network;
mod object;
mod probe;
mod retry;
mod selector;

pub use action::{Action, Reason};
pub use cloud::{Change, CloudController, CloudSettings, Fault, Machine, Verb};
pub use manager::{Cluster, ClusterManager, Settings};
pub use names::{
    ASSIGNABLE, CLOUD_CONFIG, FINALIZER, HOST_CIDRS, MARK, OWNER, PRIMARY, SUBNETS, UNINITIALIZED, cpic_address,
    cpic_name,
};
pub use network::Capacity;
pub use object::{CloudPrivateIpConfig, Condition, CpicStatus, EgressIp, Node, StatusItem};
pub use probe::Probing;
pub use selector::{Expression, Operator, Selector};
