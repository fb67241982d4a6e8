//! Names that the cluster manager and the cloud controller share with the rest of a cluster.

/// A node with this label may carry addresses. Only its presence counts, the value does not.
pub const ASSIGNABLE: &str = "k8s.ovn.org/egress-assignable";
/// The address and prefix of a node's primary interface.
pub const PRIMARY: &str = "k8s.ovn.org/node-primary-ifaddr";
/// All addresses of a host, with their prefixes.
pub const HOST_CIDRS: &str = "k8s.ovn.org/host-cidrs";
/// The ranges of a node's pods. A node without it cannot be probed, and is not used.
pub const SUBNETS: &str = "k8s.ovn.org/node-subnets";
/// What a cloud allows on a node's interface, as the cloud controller says it.
pub const CLOUD_CONFIG: &str = "cloud.network.openshift.io/egress-ipconfig";
/// The packet mark of an `EgressIP`.
pub const MARK: &str = "k8s.ovn.org/egressip-mark";
/// The `EgressIP` that a `CloudPrivateIPConfig` was made for.
pub const OWNER: &str = "k8s.ovn.org/egressip-owner-ref";
/// What keeps a `CloudPrivateIPConfig` until the cloud has let its address go.
pub const FINALIZER: &str = "cloudprivateipconfig.cloud.network.openshift.io/finalizer";
/// A node with this taint is not known to the cloud yet.
pub const UNINITIALIZED: &str = "node.cloudprovider.kubernetes.io/uninitialized";

/// The name of the `CloudPrivateIPConfig` of an address: an IPv6 address is written in full, with dots, because the name
/// of an object has no colons.
pub fn cpic_name(address: &str) -> String {
    match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V6(ip)) => {
            let parts: Vec<String> = ip.segments().iter().map(|part| format!("{part:04x}")).collect();
            parts.join(".")
        }
        _ => address.to_owned(),
    }
}

/// The address that a `CloudPrivateIPConfig` is about; none if its name is not that of an address.
pub fn cpic_address(name: &str) -> Option<std::net::IpAddr> {
    name.parse().or_else(|_| name.replace('.', ":").parse()).ok()
}
