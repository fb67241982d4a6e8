//! Addresses that Azure refused: for a while since they linger, or for long since they are a stranger's. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::id::ResourceId;
use crate::inventory::Listing;

/// An address that was just released is tried again after this.
const RETRY: Duration = Duration::from_secs(10);
/// One that is still refused this long after the first refusal is not just slow to be released.
const PATIENCE: Duration = Duration::from_mins(10);
/// How long an address that is somebody else's, or that can never be given, is left alone.
const LONG: Duration = Duration::from_hours(1);

#[derive(Clone, Debug)]
struct Refusal {
    since: Duration,
    until: Duration,
    lasting: bool,
    by: Option<ResourceId>,
    text: Option<String>,
}

/// The refused addresses, and those that we took off lately.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refused {
    addresses: BTreeMap<IpAddr, Refusal>,
    released: BTreeMap<IpAddr, Duration>,
}

impl Refused {
    /// Somebody has it who will give it back: one of ours.
    pub(crate) fn lingers(&mut self, address: IpAddr, by: Option<ResourceId>, now: Duration) {
        let since =
            self.addresses.get(&address).filter(|refusal| !refusal.lasting).map_or(now, |refusal| refusal.since);
        if now.saturating_sub(since) >= PATIENCE {
            let text = format!("azure has refused {address} for {} minutes", PATIENCE.as_secs() / 60);
            self.is_lost(address, by, Some(text), now);
        } else {
            self.addresses.insert(address, Refusal { since, until: now + RETRY, lasting: false, by, text: None });
        }
    }

    /// It is a stranger's, or can never be given; the latter is told to people.
    pub(crate) fn is_lost(&mut self, address: IpAddr, by: Option<ResourceId>, text: Option<String>, now: Duration) {
        self.addresses.insert(address, Refusal { since: now, until: now + LONG, lasting: true, by, text });
    }

    /// It was put on.
    pub(crate) fn was_given(&mut self, address: IpAddr) {
        self.addresses.remove(&address);
        self.released.remove(&address);
    }

    /// It was taken off.
    pub(crate) fn was_released(&mut self, address: IpAddr, now: Duration) {
        self.released.insert(address, now);
    }

    /// Whether it was taken off lately.
    pub(crate) fn is_fresh(&self, address: IpAddr, now: Duration) -> bool {
        self.released.get(&address).is_some_and(|then| now.saturating_sub(*then) < PATIENCE)
    }

    /// Whether it is not to be tried now.
    pub(crate) fn contains(&self, address: IpAddr, now: Duration) -> bool {
        self.addresses.get(&address).is_some_and(|refusal| now < refusal.until)
    }

    fn now(&self, lasting: bool, now: Duration) -> impl Iterator<Item = (&IpAddr, &Refusal)> {
        self.addresses.iter().filter(move |(_, refusal)| refusal.lasting == lasting && now < refusal.until)
    }

    pub(crate) fn lost(&self, now: Duration) -> impl Iterator<Item = IpAddr> {
        self.now(true, now).map(|(address, _)| *address)
    }

    pub(crate) fn lingering(&self, now: Duration) -> BTreeSet<IpAddr> {
        self.now(false, now).map(|(address, _)| *address).collect()
    }

    pub(crate) fn complaints(&self, now: Duration) -> impl Iterator<Item = String> {
        self.now(true, now).filter_map(|(_, refusal)| refusal.text.clone())
    }

    /// A refusal that the lists contradict is forgotten: who had the address was listed, and has it no more.
    pub(crate) fn compare(&mut self, listing: &Listing, started: Duration) {
        self.addresses.retain(|address, refusal| {
            let holder = refusal.by.as_ref().and_then(|by| listing.interfaces.get(&by.resource()));
            let contradicted = holder.is_some_and(|holder| !holder.has(*address));
            !(refusal.lasting && refusal.text.is_none() && refusal.since < started && contradicted)
        });
    }

    /// Forgets what is long over. When the next one is.
    pub(crate) fn tick(&mut self, now: Duration) -> Option<Duration> {
        self.addresses
            .retain(|_, refusal| now < refusal.until + if refusal.lasting { Duration::ZERO } else { PATIENCE });
        self.released.retain(|_, then| now.saturating_sub(*then) < PATIENCE);
        self.addresses.values().map(|refusal| refusal.until).filter(|until| *until > now).min()
    }
}
