//! What the host itself took from owners, for their own people: they may know a namespace by an address that it lost.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use crate::name::{OwnerIndex, OwnerName};
use crate::plan::{Holder, Operation};
use crate::snapshot::{Allocation, Snapshot};
use crate::verify::VerifiedPlan;

/// An owner that holds other addresses after a plan, since the host released one (R4, R18).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Who.
    pub owner: OwnerName,
    /// What it held.
    pub from: Vec<IpAddr>,
    /// What it holds then.
    pub to: Vec<IpAddr>,
    /// The released addresses, each with its reason.
    pub why: Vec<String>,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |addresses: &[IpAddr]| match addresses {
            [] => "none".to_owned(),
            some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        };
        write!(f, "egress addresses changed from {} to {}: {}", list(&self.from), list(&self.to), self.why.join("; "))
    }
}

/// What a plan repairs, by owner. Who leaves knows why, and those who have nothing released by the host lose nothing.
pub fn repairs(snapshot: &Snapshot, plan: &VerifiedPlan) -> Vec<Repair> {
    let mut why: BTreeMap<OwnerIndex, Vec<String>> = BTreeMap::new();
    for patch in plan.patches().iter().filter(|patch| patch.by_host) {
        if let Operation::Release { holder: Some(Holder::Owner(owner)), address } = patch.operation {
            let reason = if patch.text.is_empty() { patch.reason.to_string() } else { patch.text.clone() };
            why.entry(owner).or_default().push(format!("{address}: {reason}"));
        }
    }
    if why.is_empty() {
        return Vec::new();
    }
    let after = plan.end().allocations(snapshot.owners.len());
    let addresses = |held: &[Allocation]| held.iter().map(|allocation| allocation.address).collect();
    let repair = |(index, why): (OwnerIndex, Vec<String>)| {
        let owner = snapshot.owner(index)?;
        let to = after.get(index.position()).map(|held| addresses(held)).unwrap_or_default();
        Some(Repair { owner: owner.name.clone(), from: owner.held().collect(), to, why })
    };
    why.into_iter().filter_map(repair).collect()
}
