//! Addresses that Azure refused by name: for a while, since whoever has them may give them back, or for long. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// One that somebody has is tried again after this.
const RETRY: Duration = Duration::from_secs(10);
/// One that is still refused this long after the first refusal is not just slow to be released. Nor is it given to
/// anybody new for so long.
const PATIENCE: Duration = Duration::from_mins(10);
/// A refusal this long after the last one is not its continuation.
const PAUSE: Duration = Duration::from_mins(1);
/// How long an address that is somebody else's, or that can never be given, is left alone.
const LONG: Duration = Duration::from_hours(1);

#[derive(Clone, Debug)]
struct Refusal {
    since: Duration,
    until: Duration,
    /// Why it is given up; none: whoever has it may give it back.
    lost: Option<String>,
}

/// The refused addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refused {
    addresses: BTreeMap<IpAddr, Refusal>,
}

impl Refused {
    /// Somebody has it. Nobody knows for how long: Azure takes its time to release what was taken off, and the interface
    /// may be gone by then. Whether this is the first refusal.
    pub(crate) fn is_taken(&mut self, address: IpAddr, now: Duration) -> bool {
        let before =
            self.addresses.get(&address).filter(|refusal| refusal.lost.is_none() && now < refusal.until + PAUSE);
        let since = before.map_or(now, |refusal| refusal.since);
        if now.saturating_sub(since) >= PATIENCE {
            let text = format!("azure has refused {address} for {} minutes: somebody has it", PATIENCE.as_secs() / 60);
            self.is_lost(address, text, now);
        } else {
            self.addresses.insert(address, Refusal { since, until: now + RETRY, lost: None });
        }
        since == now
    }

    /// It can never be given, as people are told.
    pub(crate) fn is_lost(&mut self, address: IpAddr, text: String, now: Duration) {
        self.addresses.insert(address, Refusal { since: now, until: now + LONG, lost: Some(text) });
    }

    /// It was put on.
    pub(crate) fn was_given(&mut self, address: IpAddr) {
        self.addresses.remove(&address);
    }

    /// Whether it is not to be tried now.
    pub(crate) fn contains(&self, address: IpAddr, now: Duration) -> bool {
        self.addresses.get(&address).is_some_and(|refusal| now < refusal.until)
    }

    fn now(&self, lost: bool, now: Duration) -> impl Iterator<Item = (&IpAddr, &Refusal)> {
        self.addresses.iter().filter(move |(_, refusal)| refusal.lost.is_some() == lost && now < refusal.until)
    }

    pub(crate) fn lost(&self, now: Duration) -> impl Iterator<Item = IpAddr> {
        self.now(true, now).map(|(address, _)| *address)
    }

    pub(crate) fn lingering(&self, now: Duration) -> BTreeSet<IpAddr> {
        self.now(false, now).map(|(address, _)| *address).collect()
    }

    /// Those that somebody has, or had a while ago.
    pub(crate) fn doubtful(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().filter(|(_, refusal)| refusal.lost.is_none()).map(|(address, _)| *address)
    }

    pub(crate) fn complaints(&self, now: Duration) -> impl Iterator<Item = String> {
        self.now(true, now).filter_map(|(_, refusal)| refusal.lost.clone())
    }

    /// Forgets what is long over. When the next one is.
    pub(crate) fn tick(&mut self, now: Duration) -> Option<Duration> {
        let end = |refusal: &Refusal| refusal.until + if refusal.lost.is_some() { Duration::ZERO } else { PATIENCE };
        self.addresses.retain(|_, refusal| now < end(refusal));
        let ends = self.addresses.values().flat_map(|refusal| [refusal.until, end(refusal)]);
        ends.filter(|until| *until > now).min()
    }
}
