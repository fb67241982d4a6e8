//! How the watches stand, and what cannot be known while one of them shows nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_core::network::Network;
use sluice_core::observed::Blind;
use tokio::time::Instant;

use crate::kind::Kind;

/// A kind whose watch showed no sign of life for so long is blind. Some five watches have failed by then.
const BLIND: Duration = Duration::from_mins(1);

/// How the watch of one kind stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WatchState {
    /// The first list has not come yet.
    #[default]
    Pending,
    /// The list came, and changes are followed.
    Listed,
    /// Changes are followed, but the last attempt to read them failed, for this reason. What is known still counts.
    Interrupted(String),
    /// Nothing can be read, for this reason. What was known no longer counts.
    Waiting(String),
}

/// When a watch last showed that it lives.
#[derive(Clone, Copy, Debug)]
struct Sign {
    at: Instant,
    /// The same in Unix milliseconds.
    unix: u64,
}

/// One watch, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchReport {
    /// What it watches.
    pub kind: Kind,
    /// One of [`WatchReport::STATES`].
    pub state: &'static str,
    /// Since its last sign of life; none: there was none yet.
    pub age: Option<Duration>,
    /// What is in the way, if anything.
    pub trouble: Option<String>,
}

impl WatchReport {
    /// A watch follows changes; its last attempt failed, and what is known still counts; it has been blind for a minute;
    /// nothing has been listed.
    pub const STATES: [&'static str; 4] = ["following", "failing", "blind", "waiting"];

    /// Whether what is known may be old.
    pub fn is_blind(&self) -> bool {
        self.state == "blind"
    }
}

/// All watches.
#[derive(Debug, Default)]
pub(super) struct Watched {
    states: BTreeMap<Kind, WatchState>,
    signs: BTreeMap<Kind, Sign>,
}

impl Watched {
    pub(super) fn set(&mut self, kind: Kind, state: WatchState) {
        self.states.insert(kind, state);
    }

    pub(super) fn state(&self, kind: Kind) -> WatchState {
        self.states.get(&kind).cloned().unwrap_or_default()
    }

    /// Notes a sign of life; true if the kind was blind.
    pub(super) fn heard(&mut self, kind: Kind, at: Instant, unix: u64) -> bool {
        let was_blind = self.is_blind(kind, at);
        self.signs.insert(kind, Sign { at, unix });
        was_blind
    }

    /// Up to when what is known of a kind is known, in Unix milliseconds: its watch showed nothing since. A kind that no
    /// watch feeds is known at `now`.
    pub(super) fn known_at(&self, kind: Kind, now: u64) -> u64 {
        self.signs.get(&kind).map_or(now, |sign| sign.unix.min(now))
    }

    fn is_blind(&self, kind: Kind, now: Instant) -> bool {
        let sign = self.signs.get(&kind);
        sign.is_some_and(|sign| now.saturating_duration_since(sign.at) >= BLIND)
    }

    /// Of the old operator's lock nothing follows but whether we may write.
    pub(super) fn blind(&self, now: Instant, network: Network) -> BTreeSet<Blind> {
        let blind = Kind::ALL.into_iter().filter(|kind| self.is_blind(*kind, now));
        blind.flat_map(|kind| in_core(kind, network)).copied().collect()
    }

    pub(super) fn reports(&self, now: Instant) -> Vec<WatchReport> {
        let report = |kind: Kind| {
            let age = self.signs.get(&kind).map(|sign| now.saturating_duration_since(sign.at));
            let (state, trouble) = match self.state(kind) {
                WatchState::Pending => ("waiting", Some(format!("waiting for the first list of {}", kind.resource()))),
                WatchState::Waiting(text) => ("waiting", Some(text)),
                WatchState::Listed if self.is_blind(kind, now) => {
                    ("blind", Some(format!("cannot read {}", kind.resource())))
                }
                WatchState::Interrupted(text) if self.is_blind(kind, now) => ("blind", Some(text)),
                WatchState::Interrupted(text) => ("failing", Some(text)),
                WatchState::Listed => ("following", None),
            };
            WatchReport { kind, state, age, trouble }
        };
        Kind::ALL.into_iter().map(report).collect()
    }
}

/// What core calls it; nothing: it plans nothing from it.
fn in_core(kind: Kind, network: Network) -> &'static [Blind] {
    match (kind, network) {
        (Kind::Pool, _) => &[Blind::Pools],
        (Kind::Node, Network::OpenShiftSdn) => &[Blind::Nodes],
        (Kind::Node, Network::OvnKubernetes) => &[Blind::Nodes, Blind::Carriers],
        (Kind::Namespace, _) => &[Blind::Namespaces],
        (Kind::NetNamespace, Network::OpenShiftSdn) => &[Blind::Holdings],
        (Kind::HostSubnet, Network::OpenShiftSdn) => &[Blind::Carriers],
        (Kind::EgressIp, Network::OvnKubernetes) => &[Blind::Holdings, Blind::Carriers],
        (Kind::Infrastructure | Kind::NetworkConfig, _) => &[Blind::Platform],
        (Kind::PrivateIp, _) => &[Blind::PrivateIps],
        (Kind::Lock | Kind::NetNamespace | Kind::HostSubnet | Kind::EgressIp, _) => &[],
    }
}
