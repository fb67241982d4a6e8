//! What each namespace shall hold, beside what it holds.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Draft;
use crate::name::{OwnerIndex, OwnerName, PoolName, ZoneIndex};
use crate::network::Home;
use crate::plan::Holder;
use crate::survey::Wish;

/// One namespace: what it holds and what it shall hold.
pub(super) struct Intent<'a> {
    pub(super) owner: OwnerName,
    /// The pool it is in or leaves, where known.
    pub(super) pool: Option<PoolName>,
    pub(super) held: Vec<IpAddr>,
    /// In zone order.
    pub(super) shall: Vec<IpAddr>,
    /// The home zone of each, in the same order.
    pub(super) zones: Vec<Option<ZoneIndex>>,
    /// It opted out, is gone, or its pool is being deleted.
    pub(super) leaving: bool,
    pub(super) terminating: bool,
    /// The annotation asks for something.
    pub(super) wish: &'a Wish,
}

impl Intent<'_> {
    /// Whether the NetNamespace has to change. Another order of the same addresses is left alone: it means nothing to
    /// the network, and a cluster that is taken over is not rewritten.
    pub(super) fn changes(&self) -> bool {
        self.held.len() != self.shall.len() || !self.shall.iter().all(|address| self.held.contains(address))
    }

    /// The annotation `egressips` that states what it shall hold.
    pub(super) fn result(&self) -> String {
        self.shall.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

impl<'a> Draft<'a> {
    /// Every namespace that holds or shall hold something, by name.
    pub(super) fn intents(&self) -> Vec<Intent<'a>> {
        let mut intents = self.owner_intents();
        intents.extend(self.leaving_intents());
        intents.sort_by(|a, b| a.owner.cmp(&b.owner));
        intents
    }

    fn owner_intents(&self) -> Vec<Intent<'a>> {
        self.snapshot
            .owners
            .iter()
            .zip(&self.allocations)
            .zip(self.wishes)
            .map(|((owner, allocations), wish)| {
                let pool = self.snapshot.pool(owner.pool).map(|pool| pool.name.clone());
                let namespace = self.observed.namespaces.get(&owner.name);
                Intent {
                    owner: owner.name.clone(),
                    pool,
                    shall: allocations.iter().map(|allocation| allocation.address).collect(),
                    zones: allocations.iter().map(|allocation| allocation.zone).collect(),
                    leaving: false,
                    terminating: namespace.is_some_and(|facts| facts.terminating),
                    wish,
                    held: owner.held().collect(),
                }
            })
            .collect()
    }

    fn leaving_intents(&self) -> Vec<Intent<'a>> {
        let kept: BTreeMap<u32, Vec<IpAddr>> =
            self.plan.end().held().fold(BTreeMap::new(), |mut kept, (address, holders)| {
                for holding in holders {
                    if let Holder::Leaving(index) = holding.holder {
                        kept.entry(index).or_default().push(address);
                    }
                }
                kept
            });
        self.snapshot
            .leaving
            .iter()
            .zip(0u32..)
            .map(|(leaving, index)| {
                let shall = kept.get(&index).cloned().unwrap_or_default();
                Intent {
                    owner: leaving.name.clone(),
                    pool: leaving.pool.clone(),
                    held: leaving.addresses.clone(),
                    zones: Vec::new(),
                    leaving: shall.is_empty(),
                    shall,
                    terminating: false,
                    wish: &Wish::None,
                }
            })
            .collect()
    }

    /// What our annotations on its NetNamespace shall say; none: nothing.
    pub(super) fn home(&self, intent: &Intent<'_>) -> Option<Home> {
        if intent.zones.is_empty() {
            return None;
        }
        let zones = self.zones(intent).map(|(address, zone)| (address, zone.to_owned())).collect();
        Some(Home { pool: intent.pool.clone()?, zones })
    }

    /// The home zones of what it shall hold, where they are known.
    pub(super) fn zones<'b>(&'b self, intent: &'b Intent<'_>) -> impl Iterator<Item = (IpAddr, &'b str)> {
        let homes = intent.shall.iter().zip(&intent.zones);
        homes.filter_map(|(address, zone)| Some((*address, self.snapshot.zone((*zone)?)?.name.as_str())))
    }

    /// Who holds an address after the plan, if an owner does.
    pub(super) fn owner_after(&self, address: IpAddr) -> Option<OwnerIndex> {
        self.plan.end().holders_of(address).iter().find_map(|holding| match holding.holder {
            Holder::Owner(owner) => Some(owner),
            Holder::Leaving(_) => None,
        })
    }
}
