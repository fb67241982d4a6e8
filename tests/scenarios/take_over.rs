//! Clusters as redhat-cop/egressip-ipam-operator left them.
