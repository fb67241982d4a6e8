//! Policies that are hostile, each of whose plans is legal: for an hour of virtual time, at full speed. What they may
//! write is bounded, nobody falls silent, what has to move moves at once, and an honest policy finds all in order.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

// The runtime depends on this crate. Its applier is one file that needs `sluice-core` alone, so the file is taken.
#[path = "../../../runtime/src/apply.rs"]
#[allow(dead_code, missing_docs, unreachable_pub, reason = "part of another crate")]
mod apply;
#[path = "../simulation/native.rs"]
mod native;
mod policies;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::IpAddr;

use sluice_core::name::NodeName;
use sluice_core::network::{Target, versions};
use sluice_core::observed::Recent;
use sluice_core::observed::{Listed, NodeSelector, Observed, PoolEntry, PoolSpec};
use sluice_core::pace::{Pace, Planner};
use sluice_core::plan::Plan;
use sluice_core::round::{Outcome, Round};
use sluice_core::snapshot::Snapshot;
use sluice_core::status::reports;
use sluice_sandbox::{Event, Expectation, Sandbox, audit};

const ZONE: &str = "zone";
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
/// The runtime looks again after so long although nothing changed.
const RESYNC: u64 = 30_000;
/// Unforced changes at once: 5 % of 40 addresses, but at least ten.
const FULL: usize = 10;
/// A full budget at once, and what comes back of it in an hour at one a minute.
const AN_HOUR: usize = FULL + 60;
/// No test runs for ever: an hour at full speed is more writes than this.
const FAR_TOO_MANY: usize = 2_000;

struct Life {
    sandbox: Sandbox,
    pace: Pace,
    failures: BTreeSet<String>,
    warnings: BTreeSet<String>,
}

impl Life {
    /// Twenty namespaces with an address in each of two zones of three nodes, served by an honest policy.
    fn begin() -> Self {
        let sandbox = Sandbox::new(7);
        for (zone, value) in (0u8..).zip(["a", "b"]) {
            for nth in 1..=3 {
                let labels = BTreeMap::from([(ZONE.to_owned(), value.to_owned())]);
                let (name, address) = (format!("{value}{nth}"), IpAddr::from([10, 0, zone, nth]));
                sandbox.happen(Event::NodeAdded { name: name.as_str().into(), labels, address });
            }
        }
        let entry = |(octet, zone): (u8, &str)| PoolEntry {
            cidr: format!("10.{octet}.0.0/24").parse().unwrap(),
            label_value: zone.to_owned(),
            reserved: BTreeSet::new(),
        };
        let spec = PoolSpec {
            topology_label: ZONE.to_owned(),
            node_selector: NodeSelector::default(),
            entries: (20..).zip(["a", "b"]).map(entry).collect(),
            ..PoolSpec::default()
        };
        sandbox.happen(Event::Pool("egress".into(), spec));
        for nth in 0..20 {
            sandbox.happen(Event::NamespaceAdded(format!("ns{nth:02}").as_str().into(), Some("egress".into())));
        }
        let mut life = Self { sandbox, pace: Pace::default(), failures: BTreeSet::new(), warnings: BTreeSet::new() };
        life.live(MINUTE, "honest", native::plan);
        life.is_well();
        life
    }

    /// Rounds at full speed, with rests only where nothing was written. The writes to each kind of object.
    fn live(&mut self, ms: u64, name: &str, policy: impl Fn(&Snapshot) -> Plan) -> BTreeMap<&'static str, usize> {
        let (begin, end) = (self.sandbox.journal().len(), self.sandbox.now() + ms);
        while self.sandbox.now() < end && self.sandbox.journal().len() < begin + FAR_TOO_MANY {
            if self.round(name, &policy) == 0 {
                self.sandbox.advance(RESYNC.min(end - self.sandbox.now()));
            }
            self.talks();
        }
        let mut written = BTreeMap::new();
        for landed in &self.sandbox.journal()[begin..] {
            *written.entry(landed.write.target.kind()).or_default() += 1;
        }
        written
    }

    fn round(&mut self, name: &str, policy: impl Fn(&Snapshot) -> Plan) -> usize {
        let mut observed = self.sandbox.observe();
        observed.recent = self.pace.recent(self.sandbox.now());
        let round = Round::prepare(&observed);
        let outcome = round.finish(&observed, Ok(policy(round.policy_input())), &BTreeSet::new());
        self.failures.extend(outcome.failure().iter().map(ToString::to_string));
        let reports = reports(&round, &outcome, &observed, &observed);
        self.warnings.extend(reports.into_iter().flat_map(|report| report.warnings));
        self.apply(name, &observed, &round, &outcome)
    }

    /// Unforced changes that have not been made up for.
    fn spent(&self) -> u32 {
        self.pace.recent(self.sandbox.now()).spent.values().sum()
    }

    /// Rounds of an honest policy until nothing is left to do.
    fn rest(&mut self) {
        let rests = (0..20).any(|_| self.round("honest", native::plan) == 0);
        assert!(rests, "no rest at {} ms", self.sandbox.now());
    }

    fn apply(&mut self, name: &str, observed: &Observed, round: &Round, outcome: &Outcome) -> usize {
        let applying = apply::apply(&self.sandbox, &outcome.writes, versions(observed, &outcome.writes), |_| true);
        let applied = self.sandbox.run(applying).unwrap();
        let written = applied.written.iter().map(|position| &outcome.writes[*position]);
        let planner = Planner { grant: "", policy: name, budget: outcome.slices[0].budget };
        self.pace.note(&round.surveyed().snapshot, &outcome.plan, written, |_| Some(planner), self.sandbox.now());
        applied.written.len()
    }

    /// Everybody who holds something is carried by a node that works.
    fn talks(&self) {
        let observed = self.sandbox.observe();
        let works = |address: IpAddr| {
            observed.carriers.iter().any(|(node, facts)| {
                let carries = facts.egress_ips.iter().any(|listed| listed.address() == Some(address));
                carries && observed.nodes.get(node).is_some_and(|node| node.ready)
            })
        };
        for (name, facts) in observed.holdings.iter().filter(|(_, facts)| !facts.egress_ips.is_empty()) {
            let talks = facts.egress_ips.iter().filter_map(Listed::address).any(works);
            assert!(talks, "{name} is silent after {} ms", self.sandbox.now());
        }
    }

    fn is_well(&mut self) {
        assert_eq!(self.round("honest", native::plan), 0, "at rest");
        let observed = self.sandbox.observe();
        let audit = audit(&observed, &[], Expectation::EachZone);
        assert_eq!((audit.complaints, audit.carried), (Vec::new(), 40));
    }

    fn nodes_of(&self, address: &str) -> Vec<NodeName> {
        let listed = Listed::from(address);
        let observed = self.sandbox.observe();
        let carriers = observed.carriers.iter().filter(|(_, facts)| facts.egress_ips.contains(&listed));
        carriers.map(|(name, _)| name.clone()).collect()
    }
}

/// Lives for an hour with a hostile policy, in which a node fails, and then with an honest one.
fn an_hour(name: &str, policy: impl Fn(&Snapshot) -> Plan) -> (Life, BTreeMap<&'static str, usize>) {
    let mut life = Life::begin();
    let written = life.live(HOUR, name, policy);
    // Not by `println!`: the test runner would show it only if the test fails.
    writeln!(std::io::stdout().lock(), "{name}, writes in an hour: {written:?}").unwrap();
    assert!(life.sandbox.now() >= HOUR, "{name}: {written:?} after {} ms", life.sandbox.now());
    (life, written)
}

/// An honest policy takes over: it is not refused for what others spent, and all is well at once. A node that fails is
/// failed over in the very next round.
fn honest_at_last(mut life: Life) {
    life.failures.clear();
    life.rest();
    life.is_well();
    let node =
        life.sandbox.observe().carriers.iter().find(|(_, facts)| !facts.egress_ips.is_empty()).unwrap().0.clone();
    life.sandbox.happen(Event::NodeReady(node.clone(), false));
    let spent = life.spent();
    assert!(life.round("honest", native::plan) > 0);
    assert!(life.spent() <= spent, "what has to move is not counted");
    assert!(life.sandbox.observe().carriers[&node].egress_ips.is_empty(), "it is failed over at once");
    life.rest();
    life.is_well();
    assert_eq!(life.failures, BTreeSet::new());
}

fn count(written: &BTreeMap<&'static str, usize>, kind: &str) -> usize {
    written.get(kind).copied().unwrap_or(0)
}

#[test]
fn a_silent_policy_changes_nothing() {
    let (life, written) = an_hour("silent", policies::silent);
    assert_eq!(written.values().sum::<usize>(), 0);
    honest_at_last(life);
}

#[test]
fn a_policy_that_unassigns_silences_nobody() {
    let (life, written) = an_hour("unassigning", policies::unassigning);
    assert!(count(&written, "carrier") <= 20, "one address of each namespace: {written:?}");
    let failure = life.failures.iter().find(|failure| failure.contains("no node would carry any of its addresses"));
    assert!(failure.is_some(), "{:?}", life.failures);
    honest_at_last(life);
}

#[test]
fn an_address_that_goes_to_and_fro_comes_to_rest() {
    let (life, written) = an_hour("alternating", policies::alternating);
    assert_eq!(written, BTreeMap::from([("carrier", 8)]), "four moves");
    let told = "stable: ns00: policy alternating moved 10.20.0.2 to and fro: for an hour it moves only if it must";
    assert!(life.warnings.contains(told), "{:?}", life.warnings);
    honest_at_last(life);
}

#[test]
fn a_policy_that_takes_turns_with_unassign_and_assign_comes_to_rest() {
    let (life, written) = an_hour("taking turns", policies::taking_turns);
    assert!(count(&written, "carrier") <= 8, "{written:?}");
    honest_at_last(life);
}

#[test]
fn a_policy_that_always_moves_does_so_at_the_pace_of_the_refill() {
    let (life, written) = an_hour("moving", policies::moving);
    let moves = count(&written, "carrier");
    assert!(moves <= 2 * AN_HOUR, "{written:?}");
    assert_eq!(life.failures, BTreeSet::new(), "each of its plans is legal");
    honest_at_last(life);
}

#[test]
fn a_policy_that_always_gives_other_addresses_does_so_at_the_pace_of_the_refill() {
    let (life, written) = an_hour("exchanging", policies::exchanging);
    assert!(count(&written, "holding") <= 2 * AN_HOUR, "{written:?}");
    honest_at_last(life);
}

/// What failover does counts as little as it is kept waiting: in an hour of nodes that come and go, all is moved at once.
#[test]
fn nodes_that_come_and_go_are_failed_over_at_any_pace() {
    let mut life = Life::begin();
    for _ in 0..60 {
        for name in ["a1", "a2", "b1", "b2"] {
            life.sandbox.happen(Event::NodeReady(name.into(), false));
            life.rest();
            life.talks();
            life.sandbox.happen(Event::NodeReady(name.into(), true));
        }
        life.sandbox.advance(MINUTE);
    }
    assert_eq!(life.pace.recent(life.sandbox.now()), Recent::default());
    assert_eq!(life.failures, BTreeSet::new());
    life.is_well();
}

/// A namespace decides by itself how often it asks for another address; it takes nothing from others.
#[test]
fn what_namespaces_ask_for_does_not_slow_down_others() {
    let mut life = Life::begin();
    let mut answered = 0;
    for nth in 0..100 {
        let wish = format!("10.20.0.{}", 100 + nth % 50);
        life.sandbox.happen(Event::Requested("ns03".into(), Some(wish.clone())));
        life.rest();
        answered += usize::from(!life.nodes_of(&wish).is_empty());
    }
    assert_eq!(answered, 100);
    assert_eq!(life.spent(), 0);
}

#[test]
fn only_host_subnets_are_touched_by_moves() {
    let mut life = Life::begin();
    let begin = life.sandbox.journal().len();
    life.live(10 * MINUTE, "moving", policies::moving);
    let kinds = |landed: &sluice_sandbox::Landed| matches!(landed.write.target, Target::Carrier(_));
    assert!(life.sandbox.journal()[begin..].iter().all(kinds));
}
