//! What the network calls its objects, for people and metrics.

/// The kind of the object that has what an owner holds.
pub(crate) const HOLDING: &str = "NetNamespace";
/// The kind of the object that has what a node carries.
pub(crate) const CARRIER: &str = "HostSubnet";
/// Several of the former.
pub(crate) const HOLDINGS: &str = "NetNamespaces";
/// Several of the latter.
pub(crate) const CARRIERS: &str = "HostSubnets";
/// What is said of an owner without such an object.
pub(crate) const NO_HOLDING: &str = "its NetNamespace does not exist";
