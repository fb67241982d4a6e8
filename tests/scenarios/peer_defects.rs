//! Defects of redhat-cop/egressip-ipam-operator, each with what Sluice does instead.
