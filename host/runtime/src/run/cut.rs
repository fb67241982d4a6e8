//! When the writes of a round are cut short, so that the next one begins: a round ends by our own clock and by what
//! happens to the nodes it counts on, however long the API server takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sluice_core::name::NodeName;
use sluice_core::network::{Target, Write};
use sluice_core::observed::{NodeFacts, Observed, PoolFacts};
use sluice_kube::index::SharedIndex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::lease::{self, Term};

/// So long a round writes whatever happens. A cluster whose nodes come and go all the time gets on even so: with a few
/// hundred writes where the API server is quick, and with those in flight, which go on, where it is slow.
const AT_LEAST: Duration = Duration::from_millis(500);
/// So long at most, as a single write has at most.
const AT_MOST: Duration = Duration::from_secs(10);
/// How often nodes are looked at while much changes: our own writes ring the bell, too.
const NOISE: Duration = Duration::from_millis(50);
/// So long what is in flight has to end before it is left to itself. An API server that is well needs much less.
pub(super) const GRACE: Duration = Duration::from_millis(200);

/// Why writing ends before all is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The process is to end.
    Stopped,
    /// It leads no more.
    Deposed,
    /// A node that matters to the round can carry nothing any more.
    NodeLost,
    /// It has taken long enough.
    Late,
}

impl Cut {
    /// For the log.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Stopped => "asked to stop",
            Self::Deposed => "this process leads no more",
            Self::NodeLost => "a node was lost",
            Self::Late => "writing takes too long",
        }
    }
}

/// What is watched while a round is written.
pub(super) struct Watch {
    pub(super) index: Arc<SharedIndex>,
    pub(super) leads: watch::Receiver<Term>,
    pub(super) stop: CancellationToken,
}

impl Watch {
    /// Waits until the writing that began at `started` is to be cut short.
    pub(super) async fn cut(self, counted_on: CountedOn, started: Instant) -> Cut {
        let Self { index, leads, stop } = self;
        tokio::select! {
            biased;
            () = stop.cancelled() => Cut::Stopped,
            () = lease::ended(leads) => Cut::Deposed,
            () = sleep_until(started + AT_MOST) => Cut::Late,
            () = lost(&index, &counted_on, started) => Cut::NodeLost,
        }
    }
}

/// Waits until a node is lost, and the round has had its time.
async fn lost(index: &SharedIndex, counted_on: &CountedOn, started: Instant) {
    let mut bell = index.subscribe();
    while index.read(|index| counted_on.all_are_in(index.nodes())) {
        if bell.changed().await.is_err() {
            return std::future::pending().await;
        }
        sleep(NOISE).await;
    }
    sleep_until(started + AT_LEAST).await;
}

/// The nodes that a round counts on: healthy, in use by a pool, and carrying something now or after it.
pub(super) struct CountedOn {
    nodes: BTreeMap<NodeName, Arc<NodeFacts>>,
    pools: Vec<Arc<PoolFacts>>,
}

impl CountedOn {
    pub(super) fn of(observed: &Observed, writes: &[Write]) -> Self {
        let carrying = observed.carriers.iter().filter(|(_, facts)| !facts.egress_ips.is_empty());
        let written = writes.iter().filter_map(|write| match &write.target {
            Target::Carrier(name) | Target::Interface(name) => Some(name),
            _ => None,
        });
        let pools: Vec<_> = observed.pools.values().cloned().collect();
        let nodes = carrying
            .map(|(name, _)| name)
            .chain(written)
            .filter_map(|name| Some((name.clone(), Arc::clone(observed.nodes.get(name)?))))
            .filter(|(_, node)| node.ready && pools.iter().any(|pool| zone_in(pool, node).is_some()));
        Self { nodes: nodes.collect(), pools }
    }

    fn all_are_in(&self, nodes: &BTreeMap<NodeName, Arc<NodeFacts>>) -> bool {
        self.nodes.iter().all(|(name, before)| nodes.get(name).is_some_and(|now| self.still_counts(before, now)))
    }

    /// Whether a node can carry what it could: it is ready, and in the same zones of the same pools.
    fn still_counts(&self, before: &Arc<NodeFacts>, now: &Arc<NodeFacts>) -> bool {
        let stays = |pool: &Arc<PoolFacts>| match zone_in(pool, before) {
            None => true,
            zone => zone == zone_in(pool, now),
        };
        Arc::ptr_eq(before, now) || now.ready && (before.labels == now.labels || self.pools.iter().all(stays))
    }
}

/// The value of the label by which a pool tells zones apart, of a node that it uses.
fn zone_in<'a>(pool: &PoolFacts, node: &'a NodeFacts) -> Option<&'a String> {
    node.labels.get(&pool.spec.topology_label).filter(|_| pool.spec.node_selector.matches(&node.labels))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use serde_json::{Value, json};
    use sluice_kube::kind::Kind;
    use sluice_kube::object::Object;

    use super::*;

    fn node(name: &str, zone: &str, ready: bool) -> Object {
        let status = if ready { "True" } else { "False" };
        Object::new(json!({
            "metadata": { "name": name, "uid": name, "resourceVersion": "1", "labels": { "zone": zone, "n": zone } },
            "status": { "conditions": [{ "type": "Ready", "status": status }] },
        }))
    }

    fn named(name: &str, more: &Value) -> Object {
        let mut body = json!({ "metadata": { "name": name, "uid": name, "resourceVersion": "1" } });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Object::new(body)
    }

    /// Three nodes of a pool, of which the first carries something and the second is written; and one that is no pool's.
    fn stage() -> (Arc<SharedIndex>, CountedOn) {
        let index = Arc::new(SharedIndex::new(|| 0));
        index.change(|index| Kind::ALL.map(|kind| index.reset(kind, &[])).contains(&true));
        let spec = json!({ "spec": { "topologyLabel": "zone", "cidr": "10.0.0.0/24" } });
        let subnet = json!({ "host": "a", "hostIP": "10.9.0.1", "egressIPs": ["10.0.0.9"] });
        index.change(|index| index.apply(Kind::Pool, &named("pool", &spec)));
        index.change(|index| index.apply(Kind::HostSubnet, &named("a", &subnet)));
        set_nodes(&index, &[node("a", "1", true), node("b", "1", true), node("c", "1", true)]);
        let change = sluice_core::network::Change::Carrier { egress_ips: Some(Vec::new()), ranges: None };
        let write = Write { target: Target::Carrier("b".into()), change, after: Vec::new(), after_any: Vec::new() };
        let observed = index.snapshot(0).unwrap();
        (Arc::clone(&index), CountedOn::of(&observed, &[write]))
    }

    fn set_nodes(index: &SharedIndex, nodes: &[Object]) {
        index.change(|index| index.reset(Kind::Node, nodes));
    }

    fn is_lost(nodes: &[Object]) -> bool {
        let (index, counted_on) = stage();
        set_nodes(&index, nodes);
        index.read(|index| !counted_on.all_are_in(index.nodes()))
    }

    #[test]
    fn a_node_is_lost_that_carries_or_is_written_and_is_down_gone_or_of_another_zone() {
        let (a, b, c) = (node("a", "1", true), node("b", "1", true), node("c", "1", true));
        assert!(!is_lost(&[a.clone(), b.clone(), c.clone()]));
        assert!(is_lost(&[node("a", "1", false), b.clone(), c.clone()]), "down");
        assert!(is_lost(&[a.clone(), node("b", "1", false), c.clone()]), "down, and about to carry something");
        assert!(is_lost(&[a.clone(), c.clone()]), "gone");
        assert!(is_lost(&[node("a", "2", true), b.clone(), c.clone()]), "in another zone");
        assert!(!is_lost(&[a.clone(), b.clone(), node("c", "1", false)]), "it carries nothing");
        let other_label = Object::new(json!({
            "metadata": { "name": "a", "uid": "a", "resourceVersion": "2", "labels": { "zone": "1", "n": "9" } },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        }));
        assert!(!is_lost(&[other_label, b, c, node("d", "1", false)]), "nothing that matters");
    }

    fn watch_of(index: &Arc<SharedIndex>) -> (Watch, watch::Sender<Term>, CancellationToken) {
        let (sender, leads) = watch::channel(Term::for_ever());
        let stop = CancellationToken::new();
        (Watch { index: Arc::clone(index), leads, stop: stop.clone() }, sender, stop)
    }

    #[tokio::test]
    async fn a_round_has_its_time_before_a_lost_node_ends_it_and_no_more_than_its_time() {
        let cut = |started, lose: bool| async move {
            let (index, counted_on) = stage();
            let (watch, _leads, _stop) = watch_of(&index);
            if lose {
                set_nodes(&index, &[node("b", "1", true)]);
            }
            (watch.cut(counted_on, started).await, started.elapsed())
        };
        let (why, after) = cut(Instant::now(), true).await;
        assert!(why == Cut::NodeLost && after >= AT_LEAST, "{why:?} after {after:?}");
        let (why, after) = cut(Instant::now().checked_sub(AT_MOST.saturating_sub(AT_LEAST)).unwrap(), false).await;
        assert!(why == Cut::Late && after >= AT_MOST, "{why:?} after {after:?}");
    }

    #[tokio::test]
    async fn a_round_ends_at_once_when_it_is_stopped_or_its_term_is_over() {
        let (index, counted_on) = stage();
        let (watch, _leads, stop) = watch_of(&index);
        stop.cancel();
        assert_eq!(watch.cut(counted_on, Instant::now()).now_or_never(), Some(Cut::Stopped));

        let (index, counted_on) = stage();
        let (watch, leads, _stop) = watch_of(&index);
        leads.send_replace(Term::default());
        assert_eq!(watch.cut(counted_on, Instant::now()).now_or_never(), Some(Cut::Deposed));
    }
}
