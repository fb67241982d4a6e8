//! Every name Sluice shares with others, whatever the network: annotations, finalizers, managers, locks.

/// Annotation of a Namespace: the pool it opts into. Name of the operator Sluice replaces.
pub const POOL_ANNOTATION: &str = "egressip-ipam-operator.redhat-cop.io/egressipam";
/// Annotation of a Namespace: its addresses, as result or as request. Name of the operator Sluice replaces.
pub const RESULT_ANNOTATION: &str = "egressip-ipam-operator.redhat-cop.io/egressips";
/// Annotation of a Namespace: why it is not served.
pub const HOLD_ANNOTATION: &str = "sluice.dev/hold";
/// Finalizer of an EgressIPAM. Name of the operator Sluice replaces.
pub const FINALIZER: &str = "EgressIPAM_controller";

/// Annotation of a Node: its Machine, as `namespace/name`. Of OpenShift's machine API.
pub const MACHINE_ANNOTATION: &str = "machine.openshift.io/machine";
/// Annotation of a Node: interface and capacity. Of OpenShift's cloud network config controller.
pub const CAPACITY_ANNOTATION: &str = "cloud.network.openshift.io/egress-ipconfig";
/// Annotation of an EgressIPAM: `none`, or `same-as-primary-ip` (also without it). Name of the operator Sluice replaces.
pub const LOAD_BALANCER_ANNOTATION: &str = "egressip-ipam-operator.redhat-cop.io/azure-egress-load-balancer";

/// The Secret with the account, in our own namespace. Name of the operator Sluice replaces.
pub const CREDENTIALS_SECRET: &str = "egress-ipam-operator-cloud-credentials";
/// Who the API server says made a change (`metadata.managedFields`).
pub const FIELD_MANAGER: &str = "sluice";

/// What events name as their source.
pub const EVENT_COMPONENT: &str = "sluice";

/// The `ConfigMap` by which instances of redhat-cop/egressip-ipam-operator elect their leader.
pub const FOREIGN_LOCK: &str = "9ae943bf.redhat.io";

/// The namespace that redhat-cop's operator is installed in unless somebody chose another.
pub const FOREIGN_NAMESPACE: &str = "egressip-ipam-operator";

/// Annotation of that `ConfigMap`: a JSON record of client-go's leader election.
pub const LEADER_ANNOTATION: &str = "control-plane.alpha.kubernetes.io/leader";

/// Name of the CRD both operators use.
pub const POOL_CRD: &str = "egressipams.redhatcop.redhat.io";

/// The only object that counts of those kinds by which OpenShift describes the cluster.
pub const CLUSTER: &str = "cluster";

/// The namespace whose uid is the same for a cluster's whole life.
pub const SYSTEM_NAMESPACE: &str = "kube-system";

/// Condition: the last round of the pool succeeded. Name and reason of the operator Sluice replaces.
pub const RECONCILE_SUCCESS: &str = "ReconcileSuccess";
/// Reason of [`RECONCILE_SUCCESS`]; the spelling is the one that dashboards know.
pub const REASON_SUCCESS: &str = "LastReconcileCycleSucceded";
/// Condition: the last round of the pool failed. Name and reason of the operator Sluice replaces.
pub const RECONCILE_ERROR: &str = "ReconcileError";
/// Reason of [`RECONCILE_ERROR`].
pub const REASON_ERROR: &str = "LastReconcileCycleFailed";
/// Condition: every owner is served and nothing is in the way.
pub const READY: &str = "Ready";
/// Condition: something works, but not all.
pub const DEGRADED: &str = "Degraded";

/// Reason of [`DEGRADED`], and of a warning event on an EgressIPAM: another policy than the chosen one plans.
pub const POLICY_STAND_IN: &str = "PolicyStandIn";

/// Reason of a warning event on a namespace: an address was taken from it that is not its own, or no longer.
pub const EVENT_ADDRESSES_CHANGED: &str = "AddressesChanged";

/// Reason of a warning event on an EgressIPAM: its addresses stay out of a load balancer pool that the machines are in.
pub const EVENT_POOL_NOT_JOINED: &str = "LoadBalancerPoolNotJoined";
/// Reason of a warning event on an EgressIPAM. Name of the operator Sluice replaces.
pub const EVENT_PROCESSING_ERROR: &str = "ProcessingError";
