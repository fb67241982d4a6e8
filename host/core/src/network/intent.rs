//! What each namespace shall hold, beside what it holds.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Home;
use super::inputs::Inputs;
use crate::name::{OwnerName, PoolName, ZoneIndex};
use crate::observed::Observed;
use crate::plan::Holder;
use crate::snapshot::{Leaving, Snapshot};
use crate::survey::Wish;

/// One namespace: what it holds and what it shall hold.
pub(super) struct Intent<'a> {
    pub(super) owner: &'a OwnerName,
    /// The pool it is in or leaves, where known.
    pub(super) pool: Option<&'a PoolName>,
    pub(super) held: Vec<IpAddr>,
    /// In zone order.
    pub(super) shall: Vec<IpAddr>,
    /// The home zone of each address in `shall`, in the same order.
    pub(super) zones: Vec<Option<ZoneIndex>>,
    /// It opted out, is gone, or its pool is being deleted.
    pub(super) leaving: bool,
    pub(super) terminating: bool,
    /// What its annotation asks for.
    pub(super) wish: &'a Wish,
}

impl Intent<'_> {
    /// Whether its holding has to change. Another order of the same addresses is left alone: it means nothing to the
    /// network, and a cluster that is taken over is not rewritten.
    pub(super) fn changes(&self) -> bool {
        self.held.len() != self.shall.len() || !self.shall.iter().all(|address| self.held.contains(address))
    }

    /// The annotation `egressips` that states what it shall hold.
    pub(super) fn result(&self) -> String {
        self.shall.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// Whether the annotation states what will no longer be true: it has to go before the holding changes, or a crash in
    /// between would turn an old result into a request (R1).
    pub(super) fn outdates_result(&self, observed: &Observed) -> bool {
        let states = || {
            let now = observed.namespaces.get(self.owner).and_then(|facts| facts.egress_ips.as_deref());
            now.is_some_and(|text| !text.trim().is_empty())
        };
        self.changes() && !self.leaving && *self.wish == Wish::None && !self.held.is_empty() && states()
    }

    /// What our annotations on its holding shall say; none: they are removed.
    pub(super) fn home(&self, snapshot: &Snapshot) -> Option<Home> {
        if self.zones.is_empty() {
            return None;
        }
        let zones = self.home_zones(snapshot).map(|(address, zone)| (address, zone.to_owned())).collect();
        Some(Home { pool: self.pool?.clone(), zones, replaced: Vec::new() })
    }

    /// The home zones of what it shall hold, where they are known.
    pub(super) fn home_zones<'b>(&'b self, snapshot: &'b Snapshot) -> impl Iterator<Item = (IpAddr, &'b str)> {
        let homes = self.shall.iter().zip(&self.zones);
        homes.filter_map(|(address, zone)| Some((*address, snapshot.zone((*zone)?)?.name.as_str())))
    }
}

/// Every namespace that holds or shall hold something, by name.
pub(super) fn intents<'a>(inputs: &Inputs<'a>) -> Vec<Intent<'a>> {
    let mut intents = of_owners(inputs);
    intents.extend(of_leaving(inputs));
    intents.sort_by_key(|intent| intent.owner);
    intents
}

fn of_owners<'a>(inputs: &Inputs<'a>) -> Vec<Intent<'a>> {
    let mut intents = Vec::with_capacity(inputs.snapshot.owners.len());
    for ((owner, allocations), wish) in inputs.snapshot.owners.iter().zip(&inputs.allocations).zip(inputs.wishes) {
        let namespace = inputs.observed.namespaces.get(&owner.name);
        intents.push(Intent {
            owner: &owner.name,
            pool: inputs.snapshot.pool(owner.pool).map(|pool| &pool.name),
            held: owner.held().collect(),
            shall: allocations.iter().map(|allocation| allocation.address).collect(),
            zones: allocations.iter().map(|allocation| allocation.zone).collect(),
            leaving: false,
            terminating: namespace.is_some_and(|facts| facts.terminating),
            wish,
        });
    }
    intents
}

/// One that leaves and still holds something after the plan does not count as leaving yet, so that it is not told that all
/// is gone.
fn of_leaving<'a>(inputs: &Inputs<'a>) -> Vec<Intent<'a>> {
    let mut kept: BTreeMap<u32, Vec<IpAddr>> = BTreeMap::new();
    for (address, holders) in inputs.plan.end().held() {
        for holding in holders {
            if let Holder::Leaving(index) = holding.holder {
                kept.entry(index).or_default().push(address);
            }
        }
    }
    let intent = |(leaving, index): (&'a Leaving, u32)| {
        let shall = kept.get(&index).cloned().unwrap_or_default();
        Intent {
            owner: &leaving.name,
            pool: leaving.pool.as_ref(),
            held: leaving.addresses.clone(),
            zones: Vec::new(),
            leaving: shall.is_empty(),
            shall,
            terminating: false,
            wish: &Wish::None,
        }
    };
    inputs.snapshot.leaving.iter().zip(0u32..).map(intent).collect()
}
