//! What is counted, for Prometheus.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use sluice_core::backend::WriteFailure;
use sluice_core::name::{NodeName, PoolName};
use sluice_core::network::{Network, Target};
use sluice_core::observed::{Observed, Platform};
use sluice_core::plan::Holder;
use sluice_core::round::{Failure, Outcome, Round};
use sluice_core::status::PoolReport;
use sluice_kube::index::WatchReport;
use sluice_kube::patch;
use sluice_policy::{Policy, PolicyInfo};

use super::round::{Ran, Thought};
use super::succession::{Rank, Succession};

/// What the operator that Sluice replaces says a node can carry where no cloud sets a limit: 2^32 - 1.
const UNLIMITED: i64 = 4_294_967_295;
/// Bounds of the histograms, in seconds: a round takes a millisecond in a small cluster and a tenth of a second in the
/// largest.
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($field:ident),* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $name { $($field: String),* }
    };
}

labels!(PoolNode { egressipam, node });
labels!(OwnerState { pool, state });
labels!(ZoneState { pool, zone, state });
labels!(ByOutcome { outcome });
labels!(BySlice { slice });
labels!(SliceOutcome { slice, outcome });
labels!(StandIn { by });
labels!(ByKind { kind });
labels!(KindState { kind, state });
labels!(ByReason { kind, reason });
labels!(PolicyLabels { name, version, digest });

type Seconds = Gauge<f64, AtomicU64>;

/// All metrics.
pub(super) struct Metrics {
    registry: Registry,
    /// Held while series are replaced, so that no scrape sees half of them.
    whole: Mutex<()>,
    capacity: Family<PoolNode, Gauge>,
    allocated: Family<PoolNode, Gauge>,
    owners: Family<OwnerState, Gauge>,
    addresses: Family<ZoneState, Gauge>,
    leader: Gauge,
    foreign_lock: Gauge,
    ignored_locks: Gauge,
    rounds: Family<ByOutcome, Counter>,
    slice_rounds: Family<SliceOutcome, Counter>,
    slice_budget: Family<BySlice, Gauge>,
    round: Histogram,
    policy_call: Histogram,
    policy_fuel: Gauge<u64, AtomicU64>,
    policy_memory: Gauge<u64, AtomicU64>,
    policy: Family<PolicyLabels, Gauge>,
    stand_in: Family<StandIn, Gauge>,
    swaps: Family<ByOutcome, Counter>,
    writes: Family<ByKind, Counter>,
    write_failures: Family<ByReason, Counter>,
    paused: Gauge,
    unreadable: Gauge,
    watch_age: Family<ByKind, Seconds>,
    watch_state: Family<KindState, Gauge>,
    last_round: Seconds,
}

impl Metrics {
    /// `others`: adds what is counted elsewhere.
    pub(super) fn new(others: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::default();
        others(&mut registry);
        let mut metrics = Self {
            registry,
            whole: Mutex::default(),
            capacity: Family::default(),
            allocated: Family::default(),
            owners: Family::default(),
            addresses: Family::default(),
            leader: Gauge::default(),
            foreign_lock: Gauge::default(),
            ignored_locks: Gauge::default(),
            rounds: Family::default(),
            slice_rounds: Family::default(),
            slice_budget: Family::default(),
            round: Histogram::new(SECONDS),
            policy_call: Histogram::new(SECONDS),
            policy_fuel: Gauge::default(),
            policy_memory: Gauge::default(),
            policy: Family::default(),
            stand_in: Family::default(),
            swaps: Family::default(),
            writes: Family::default(),
            write_failures: Family::default(),
            paused: Gauge::default(),
            unreadable: Gauge::default(),
            watch_age: Family::default(),
            watch_state: Family::default(),
            last_round: Seconds::default(),
        };
        metrics.register_the_old_operators();
        metrics.register_rounds();
        metrics.register_writes();
        metrics
    }

    fn register_the_old_operators(&mut self) {
        let old = &mut self.registry;
        old.register(
            "egressip_ip_capacity",
            "Addresses that a node can carry, its primary one included",
            self.capacity.clone(),
        );
        old.register(
            "egressip_ip_allocated",
            "Addresses of a pool planned for a node, plus one for its primary address",
            self.allocated.clone(),
        );
    }

    fn register_rounds(&mut self) {
        let own = self.registry.sub_registry_with_prefix("sluice");
        own.register(
            "owners",
            "Namespaces that opted in, by pool: seen to be served, held, or waiting for anything else",
            self.owners.clone(),
        );
        own.register("addresses", "Addresses of a zone, used and free", self.addresses.clone());
        own.register("leader", "1 if this replica holds the lease and writes", self.leader.clone());
        own.register(
            "foreign_lock",
            "1 while egressip-ipam-operator holds its lock, so that nothing is written",
            self.foreign_lock.clone(),
        );
        own.register(
            "ignored_locks",
            "Locks of egressip-ipam-operator in namespaces where it cannot be, which do not count",
            self.ignored_locks.clone(),
        );
        own.register("rounds", "Planning rounds by outcome", self.rounds.clone());
        own.register("slice_rounds", "Planning rounds of each slice by outcome", self.slice_rounds.clone());
        own.register(
            "slice_budget",
            "Unforced changes that a slice may make at once when it has made none",
            self.slice_budget.clone(),
        );
        own.register_with_unit("round", "From facts to writes, policy included", Unit::Seconds, self.round.clone());
        own.register_with_unit("policy_call", "Time in the policy", Unit::Seconds, self.policy_call.clone());
        own.register("policy_fuel", "Fuel of the last plan", self.policy_fuel.clone());
        own.register_with_unit(
            "policy_memory",
            "The most memory of the last plan",
            Unit::Bytes,
            self.policy_memory.clone(),
        );
        own.register("policy", "The policy that plans", self.policy.clone());
        own.register(
            "policy_stand_in",
            "1 while another policy than the chosen one plans: the last good one, or the built-in one with forced moves only",
            self.stand_in.clone(),
        );
        own.register("policy_swaps", "New policies by outcome", self.swaps.clone());
        own.register("unreadable_fields", "Fields of objects that make no sense", self.unreadable.clone());
        own.register_with_unit(
            "watch_age",
            "Since the watch of a kind last showed that it lives; some seconds while all is well",
            Unit::Seconds,
            self.watch_age.clone(),
        );
        own.register(
            "watch_state",
            "1 for the state of the watch of a kind: following, failing, blind (nothing for a minute) or waiting",
            self.watch_state.clone(),
        );
        own.register_with_unit(
            "last_round_timestamp",
            "When the last round ended, Unix time",
            Unit::Seconds,
            self.last_round.clone(),
        );
    }

    fn register_writes(&mut self) {
        let own = self.registry.sub_registry_with_prefix("sluice");
        own.register("writes", "Writes that succeeded, by kind of object", self.writes.clone());
        own.register("write_failures", "Writes that failed, by kind of object and reason", self.write_failures.clone());
        own.register(
            "paused_objects",
            "Objects left alone for a while after a failure or dispute",
            self.paused.clone(),
        );
    }

    /// The page.
    pub(super) fn page(&self, watches: &[WatchReport]) -> Result<String, fmt::Error> {
        let _whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        self.show_watches(watches);
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }

    fn show_watches(&self, watches: &[WatchReport]) {
        for watch in watches {
            let kind = watch.kind.to_string();
            if let Some(age) = watch.age {
                self.watch_age.get_or_create(&ByKind { kind: kind.clone() }).set(age.as_secs_f64());
            }
            for state in WatchReport::STATES {
                let labels = KindState { kind: kind.clone(), state: state.to_owned() };
                self.watch_state.get_or_create(&labels).set((watch.state == state).into());
            }
        }
    }

    pub(super) fn led(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    pub(super) fn locked(&self, locked: bool) {
        self.foreign_lock.set(locked.into());
    }

    pub(super) fn ignores_locks(&self, locks: usize) {
        self.ignored_locks.set(number(locks));
    }

    /// Shows the policies that plan from now on, one for each slice, and in which right.
    pub(super) fn plans_with<'a>(&self, slices: impl Iterator<Item = &'a Succession<Policy>> + Clone) {
        for (by, stands_in) in [("last-good", Rank::LastGood), ("built-in", Rank::BuiltIn)] {
            let count = slices.clone().filter(|policies| policies.rank() == stands_in).count();
            self.stand_in.get_or_create(&StandIn { by: by.to_owned() }).set(number(count));
        }
        let _whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        self.policy.clear();
        for policies in slices {
            let PolicyInfo { name, version, digest, .. } = policies.policy().info().clone();
            self.policy.get_or_create(&PolicyLabels { name, version, digest }).set(1);
        }
    }

    /// Counts a policy that took over, or did not.
    pub(super) fn swapped(&self, promoted: bool) {
        let outcome = if promoted { "promoted" } else { "refused" }.to_owned();
        self.swaps.get_or_create(&ByOutcome { outcome }).inc();
    }

    pub(super) fn written(&self, target: &Target, network: Network) {
        self.writes.get_or_create(&ByKind { kind: patch::kind_name(target, network).to_owned() }).inc();
    }

    pub(super) fn failed(&self, target: &Target, failure: &WriteFailure, network: Network) {
        let reason = match failure {
            WriteFailure::Conflict => "conflict",
            WriteFailure::NotFound => "not-found",
            WriteFailure::Denied(_) => "denied",
            WriteFailure::Invalid(_) => "invalid",
            WriteFailure::Throttled { .. } => "throttled",
            WriteFailure::Transient(_) => "transient",
        };
        let labels = ByReason { kind: patch::kind_name(target, network).to_owned(), reason: reason.to_owned() };
        self.write_failures.get_or_create(&labels).inc();
    }

    pub(super) fn pausing(&self, objects: usize) {
        self.paused.set(number(objects));
    }

    pub(super) fn cannot_read(&self, fields: usize) {
        self.unreadable.set(number(fields));
    }

    /// Counts a round and shows what it saw.
    pub(super) fn planned(&self, observed: &Observed, thought: &Thought) {
        let Thought { round, outcome, ran, took } = thought;
        let _whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let unfailing = if outcome.writes.is_empty() { "unchanged" } else { "changes" };
        let told = |failure: Option<&Failure>| match failure {
            Some(Failure::Policy(_)) => "policy-failed",
            Some(Failure::Rejected(_)) => "rejected",
            Some(Failure::Unmatched(_)) => "unmatched",
            None => unfailing,
        };
        self.rounds.get_or_create(&ByOutcome { outcome: told(outcome.failure()).to_owned() }).inc();
        for slice in &outcome.slices {
            let (name, outcome) = (slice.name.clone(), told(slice.failure.as_ref()).to_owned());
            self.slice_rounds.get_or_create(&SliceOutcome { slice: name.clone(), outcome }).inc();
            self.slice_budget.get_or_create(&BySlice { slice: name }).set(slice.budget.into());
        }
        self.round.observe(took.as_secs_f64());
        for Ran { cost, .. } in ran {
            self.policy_call.observe(cost.wall.as_secs_f64());
        }
        self.policy_fuel.set(ran.iter().map(|ran| ran.cost.fuel).sum());
        let memory = ran.iter().map(|ran| ran.cost.peak_memory).sum::<usize>();
        self.policy_memory.set(u64::try_from(memory).unwrap_or(u64::MAX));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_round.set(now.as_secs_f64());
        self.show_nodes(observed, round, outcome);
    }

    /// Shows who is served, and what is left of the ranges.
    pub(super) fn show_pools(&self, reports: &[PoolReport]) {
        let _whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        self.owners.clear();
        self.addresses.clear();
        for report in reports {
            let pool = report.pool.to_string();
            for (state, count) in [("served", report.served), ("held", report.held), ("waiting", report.waiting)] {
                let labels = OwnerState { pool: pool.clone(), state: state.to_owned() };
                self.owners.get_or_create(&labels).set(count.into());
            }
            for zone in &report.zones {
                for (state, count) in [("used", zone.used), ("free", zone.size.saturating_sub(zone.used))] {
                    let (pool, zone) = (pool.clone(), zone.name.clone());
                    let gauge = self.addresses.get_or_create_owned(&ZoneState { pool, zone, state: state.to_owned() });
                    // Two entries of a pool may share a zone.
                    gauge.inc_by(i64::try_from(count).unwrap_or(i64::MAX));
                }
            }
        }
    }

    /// As the operator that Sluice replaces: capacity for every node of the cluster, addresses for the nodes of a pool.
    fn show_nodes(&self, observed: &Observed, round: &Round, outcome: &Outcome) {
        self.capacity.clear();
        self.allocated.clear();
        let labels = |pool: &PoolName, node: String| PoolNode { egressipam: pool.to_string(), node };
        for pool in &round.surveyed().snapshot.pools {
            for node in observed.nodes.keys() {
                self.capacity.get_or_create(&labels(&pool.name, node.to_string())).set(capacity(observed, node));
            }
        }
        for ((pool, node), addresses) in planned_loads(round, outcome) {
            self.allocated.get_or_create(&labels(pool, node)).set(addresses + 1);
        }
    }
}

/// How many addresses a node can carry, the machine's own included; as with the operator that Sluice replaces, 0 where
/// that is not known.
fn capacity(observed: &Observed, node: &NodeName) -> i64 {
    match (&observed.platform, observed.cloud.as_deref()) {
        (Platform::SelfManaged(_), _) => UNLIMITED,
        (Platform::Cloud(_), Some(cloud)) => {
            // Who only reads may not know the interface, but a machine has an address.
            let own = cloud.interfaces.get(node).map_or(u32::from(!cloud.writes), |interface| interface.own);
            let capacity = observed.capacity(node);
            capacity.total.or(capacity.ipv4).map_or(0, |room| i64::from(room) + i64::from(own))
        }
        (Platform::Cloud(_), None) | (Platform::Unserved(_) | Platform::Unknown, _) => 0,
    }
}

/// How many addresses of each pool the plan puts on each of its nodes.
fn planned_loads<'a>(round: &'a Round, outcome: &Outcome) -> BTreeMap<(&'a PoolName, String), i64> {
    let snapshot = &round.surveyed().snapshot;
    let mut loads = BTreeMap::new();
    for zone in &snapshot.zones {
        let Some(pool) = snapshot.pool(zone.pool) else { continue };
        loads.extend(zone.nodes.iter().map(|node| ((&pool.name, snapshot.node_name(*node)), 0)));
    }
    for (address, carriers) in outcome.plan.end().carried() {
        for holding in outcome.plan.end().holders_of(address) {
            let Holder::Owner(owner) = holding.holder else { continue };
            let Some(pool) = snapshot.owner(owner).and_then(|owner| snapshot.pool(owner.pool)) else { continue };
            for node in carriers {
                *loads.entry((&pool.name, snapshot.node_name(*node))).or_insert(0) += 1;
            }
        }
    }
    loads
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use sluice_core::cloud::{CloudFacts, InterfaceAddress, InterfaceFacts};
    use sluice_core::observed::{CloudPlatform, NodeFacts};
    use sluice_core::snapshot::{Capacity, Phase};

    use super::*;

    /// Capacity of a node with an address of ours and two of others, or of one that the cloud does not show.
    fn shown(writes: bool, said: Capacity, has_interface: bool) -> i64 {
        let node = NodeName::from("n1");
        let on = |(last, ours)| (IpAddr::from([10, 0, 0, last]), InterfaceAddress { ours, phase: Phase::Settled });
        let addresses = [(5, true), (6, false), (7, false)].map(on).into();
        let limit = Capacity { total: Some(254), ..Capacity::default() };
        let interface = InterfaceFacts { addresses, limit, own: 2, ..InterfaceFacts::default() };
        let interfaces = has_interface.then(|| (node.clone(), interface)).into_iter().collect();
        let mut observed = Observed {
            platform: Platform::Cloud(CloudPlatform::default()),
            cloud: Some(Arc::new(CloudFacts { writes, interfaces, ..CloudFacts::default() })),
            ..Observed::default()
        };
        observed.nodes.insert(node.clone(), Arc::new(NodeFacts { capacity: said, ..NodeFacts::default() }));
        capacity(&observed, &node)
    }

    #[test]
    fn who_writes_interfaces_says_what_they_can_carry() {
        let nothing = Capacity::default();
        let total = Capacity { total: Some(100), ..nothing };
        assert_eq!(shown(true, total, true), 254, "ours: without what strangers have");
        assert_eq!(shown(true, total, false), 0, "ours, not known");
        assert_eq!(shown(false, total, true), 102, "the controller's");
        assert_eq!(shown(false, total, false), 101, "the controller's, read without an account");
        assert_eq!(shown(false, Capacity { ipv4: Some(9), ipv6: Some(4), ..nothing }, true), 11, "by family");
        assert_eq!(shown(false, nothing, true), 256, "nobody says");
        assert_eq!(shown(false, nothing, false), 0, "nobody knows");
    }

    #[test]
    fn without_a_cloud_there_is_no_limit() {
        let platform = |platform| capacity(&Observed { platform, ..Observed::default() }, &NodeName::from("n1"));
        assert_eq!(platform(Platform::SelfManaged("None".to_owned())), UNLIMITED);
        assert_eq!(platform(Platform::Cloud(CloudPlatform::default())), 0, "not read yet");
        assert_eq!(platform(Platform::Unserved("GCP".to_owned())), 0);
    }
}
