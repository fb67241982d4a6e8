//! Our CRD: what may stand in an EgressIPAM, and how the API server is told.
//!
//! These types describe and build objects. Objects that come from a cluster are read leniently instead, see
//! [`crate::convert`]: other versions of the CRD may be served, and one bad field must not hide the rest.

mod crd;
mod pool;
mod status;

pub use crd::{crds, crds_yaml, pruned_fields};
pub use pool::{CidrAssignment, EgressIPAM, EgressIPAMSpec, NodeSelector, NodeSelectorRequirement, ZoneFailover};
pub use status::{Condition, EgressIPAMStatus, OwnerCounts, PolicyStatus, Summary, ZoneStatus};

#[cfg(test)]
mod tests;
