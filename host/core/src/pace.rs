//! The pace of changes that nothing forces. A policy may stay inside its budget in each single round and still never let
//! a cluster rest, so what was changed counts in the rounds after it as well.
//!
//! Pure: whoever plans keeps a [`Pace`] from round to round, notes what was written, and shows what is left of it in
//! [`Observed::recent`](crate::observed::Observed::recent). Times are milliseconds of a clock that never goes back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::name::{NodeIndex, NodeName, OwnerIndex};
use crate::network::write::{Change, Target, Write};
use crate::observed::Recent;
use crate::plan::{Holder, Operation};
use crate::snapshot::Snapshot;
use crate::verify::{VerifiedPlan, is_forced};

/// A budget that is spent comes back evenly within this time: with ten, one a minute. A cloud takes up to 200 seconds for
/// a move, so that what goes wrong is seen before much more has moved.
const REFILL: u64 = 10 * 60 * 1_000;
/// So many returns of an address to nodes that it had left, within [`RETURNS_WITHIN`], are flapping.
const RETURNS: usize = 3;
/// Milliseconds.
const RETURNS_WITHIN: u64 = 10 * 60 * 1_000;
/// How long an address that flapped is not moved without need, in milliseconds.
const DAMPED: u64 = 60 * 60 * 1_000;

/// What was changed without need, and when.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// By the name of the grant whose policy made the changes.
    spent: BTreeMap<String, Spent>,
    /// When each address left each node to which it has not come back, and whether it had to.
    left: BTreeMap<(IpAddr, NodeName), Leg>,
    /// When addresses came back to nodes that they had left.
    returns: BTreeMap<IpAddr, Vec<u64>>,
    flapped: BTreeMap<IpAddr, Flapped>,
}

#[derive(Clone, Copy, Debug)]
struct Leg {
    at: u64,
    forced: bool,
}

#[derive(Clone, Debug)]
struct Flapped {
    until: u64,
    policy: String,
}

/// Unforced changes; they are made up for at the rate of the budget that was full last.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    /// Changes, times [`REFILL`].
    amount: u64,
    full: u32,
    at: u64,
}

impl Spent {
    fn left_at(&self, now: u64) -> u64 {
        self.amount.saturating_sub(now.saturating_sub(self.at).saturating_mul(self.full.into()))
    }

    /// Rounded up.
    fn changes_at(&self, now: u64) -> u32 {
        u32::try_from(self.left_at(now).div_ceil(REFILL)).unwrap_or(u32::MAX)
    }

    fn spend(&mut self, changes: u64, full: u32, now: u64) {
        let amount = self.left_at(now).saturating_add(changes.saturating_mul(REFILL));
        *self = Self { amount, full, at: now };
    }
}

impl Pace {
    /// What counts now.
    pub fn recent(&self, now: u64) -> Recent {
        let flapped = self.flapped.iter().filter(|(_, flapped)| flapped.until > now);
        Recent {
            spent: self.spent.iter().map(|(name, spent)| (name.clone(), spent.changes_at(now))).collect(),
            flapped: flapped.map(|(&address, flapped)| (address, flapped.policy.clone())).collect(),
        }
    }

    /// Notes what was written of a plan that was made from `snapshot`, with who planned for each owner. What was not written
    /// did not happen.
    pub fn note<'a, 'p>(
        &mut self,
        snapshot: &Snapshot,
        plan: &VerifiedPlan,
        written: impl IntoIterator<Item = &'a Write>,
        planner_of: impl Fn(OwnerIndex) -> Option<Planner<'p>>,
        now: u64,
    ) {
        self.forget(now);
        let written = Effects::of(written);
        let requests = granted(snapshot, plan);
        let mut spent: BTreeMap<&str, (u64, u32)> = BTreeMap::new();
        for patch in plan.patches().iter().filter(|patch| !patch.by_host) {
            let Some(planner) = owner_of(plan, &patch.operation).and_then(&planner_of) else { continue };
            let counts = match patch.operation {
                Operation::Move { address, source, target } => {
                    let leg = Leg { at: now, forced: is_forced(snapshot, plan, address, source) };
                    let counts = self.leaves(snapshot, &written, address, source, leg);
                    self.comes(snapshot, &written, address, target, leg, planner.policy);
                    counts
                }
                Operation::Unassign { address, node } => {
                    let leg = Leg { at: now, forced: is_forced(snapshot, plan, address, node) };
                    self.leaves(snapshot, &written, address, node, leg)
                }
                Operation::Assign { address, node } => {
                    self.comes(snapshot, &written, address, node, Leg { at: now, forced: true }, planner.policy);
                    false
                }
                // Who gives up an address for one that it asks for decides by itself how often.
                Operation::Release { holder: Some(Holder::Owner(owner)), address } if !requests.contains(&owner) => {
                    let name = snapshot.owner(owner).map(|owner| &owner.name);
                    name.is_some_and(|name| written.releases(name.as_str(), address))
                }
                Operation::Release { .. } | Operation::Allocate { .. } => false,
            };
            if counts {
                spent.entry(planner.grant).or_insert((0, planner.budget)).0 += 1;
            }
        }
        for (grant, (changes, full)) in spent {
            self.spent.entry(grant.to_owned()).or_default().spend(changes, full, now);
        }
    }

    /// Notes that an address left a node, if it did; whether that counts against the budget.
    fn leaves(
        &mut self,
        snapshot: &Snapshot,
        written: &Effects<'_>,
        address: IpAddr,
        node: NodeIndex,
        leg: Leg,
    ) -> bool {
        let Some(node) = snapshot.node(node).filter(|node| written.takes(&node.name, address)) else { return false };
        let place = (address, node.name.clone());
        // A write that has to be made once more, as to an interface that failed, is no other change.
        let is_known = self.left.get(&place).is_some_and(|left| left.forced == leg.forced);
        if !is_known {
            self.left.insert(place, leg);
        }
        !is_known && !leg.forced
    }

    /// Notes that an address came to a node, if it did. Where nothing but need moved it, it may come back as often.
    fn comes(
        &mut self,
        snapshot: &Snapshot,
        written: &Effects<'_>,
        address: IpAddr,
        node: NodeIndex,
        leg: Leg,
        policy: &str,
    ) {
        let Some(node) = snapshot.node(node).filter(|node| written.gives(&node.name, address)) else { return };
        let Some(left) = self.left.remove(&(address, node.name.clone())) else { return };
        if left.forced && leg.forced {
            return;
        }
        let returns = self.returns.entry(address).or_default();
        returns.push(leg.at);
        if returns.len() >= RETURNS {
            let flapped = Flapped { until: leg.at.saturating_add(DAMPED), policy: policy.to_owned() };
            self.flapped.insert(address, flapped);
            self.returns.remove(&address);
        }
    }

    /// Forgets what no longer counts, so that nothing grows for ever.
    fn forget(&mut self, now: u64) {
        let counts = |at: u64| now.saturating_sub(at) <= RETURNS_WITHIN;
        self.left.retain(|_, leg| counts(leg.at));
        for returns in self.returns.values_mut() {
            returns.retain(|&at| counts(at));
        }
        self.returns.retain(|_, returns| !returns.is_empty());
        self.flapped.retain(|_, flapped| flapped.until > now);
        self.spent.retain(|_, spent| spent.left_at(now) > 0);
    }
}

/// Who planned for an owner.
#[derive(Clone, Copy, Debug)]
pub struct Planner<'a> {
    /// The name of the grant.
    pub grant: &'a str,
    /// The name of the policy that planned for it.
    pub policy: &'a str,
    /// Unforced changes that the grant allows at once.
    pub budget: u32,
}

/// Whom a policy's operation is about.
fn owner_of(plan: &VerifiedPlan, operation: &Operation) -> Option<OwnerIndex> {
    if let Operation::Release { holder: Some(Holder::Owner(owner)), .. } = *operation {
        return Some(owner);
    }
    plan.end().owner_of(operation.address())
}

/// Owners who get an address that they ask for.
fn granted(snapshot: &Snapshot, plan: &VerifiedPlan) -> BTreeSet<OwnerIndex> {
    let granted = plan.patches().iter().filter_map(|patch| match patch.operation {
        Operation::Allocate { owner, address, .. } => {
            snapshot.owner(owner).filter(|facts| facts.requested.contains(&address)).map(|_| owner)
        }
        _ => None,
    });
    granted.collect()
}

/// What writes made of objects.
#[derive(Default)]
struct Effects<'a> {
    lists: BTreeMap<&'a NodeName, BTreeSet<IpAddr>>,
    interfaces: BTreeMap<&'a NodeName, (&'a BTreeSet<IpAddr>, &'a BTreeSet<IpAddr>)>,
    held: BTreeMap<&'a str, &'a [IpAddr]>,
}

impl<'a> Effects<'a> {
    fn of(writes: impl IntoIterator<Item = &'a Write>) -> Self {
        let mut written = Self::default();
        for write in writes {
            match (&write.target, &write.change) {
                (Target::Carrier(node), Change::Carrier { egress_ips: Some(list), .. }) => {
                    written.lists.insert(node, list.iter().filter_map(|text| text.parse().ok()).collect());
                }
                (Target::Interface(node), Change::Interface { on, off }) => {
                    written.interfaces.insert(node, (on, off));
                }
                (Target::Holding(owner), Change::Holding { egress_ips, .. }) => {
                    written.held.insert(owner.as_str(), egress_ips);
                }
                _ => {}
            }
        }
        written
    }

    /// Whether the address is no longer on the node.
    fn takes(&self, node: &NodeName, address: IpAddr) -> bool {
        let is_listed = self.lists.get(node).map(|list| list.contains(&address));
        is_listed == Some(false) || self.interfaces.get(node).is_some_and(|(_, off)| off.contains(&address))
    }

    /// Whether the address is on the node now.
    fn gives(&self, node: &NodeName, address: IpAddr) -> bool {
        let is_listed = self.lists.get(node).is_some_and(|list| list.contains(&address));
        is_listed || self.interfaces.get(node).is_some_and(|(on, _)| on.contains(&address))
    }

    /// Whether the owner no longer holds the address.
    fn releases(&self, owner: &str, address: IpAddr) -> bool {
        self.held.get(owner).is_some_and(|held| !held.contains(&address))
    }
}

#[cfg(test)]
mod tests;
