use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{DAMPED, Pace, Planner, REFILL, RETURNS_WITHIN};
use crate::name::{NodeIndex, OwnerIndex, PoolIndex};
use crate::network::{Change, Target, Write};
use crate::observed::Recent;
use crate::plan::{Holder, Operation, Patch, Plan, Reason};
use crate::snapshot::{Allocation, Assignment, Capacity, Health, Node, Owner, Phase, Placement, Pool, Snapshot, Zone};
use crate::verify::{VerifiedPlan, verify};

const RESTLESS: Planner<'static> = Planner { grant: "all", policy: "restless", budget: 10 };
const NAMES: [&str; 2] = ["n0", "n1"];

fn spent_by_all(recent: &Recent) -> u32 {
    recent.spent.get("all").copied().unwrap_or_default()
}

fn address() -> IpAddr {
    "10.0.0.2".parse().unwrap()
}

/// One owner, whose address is on this one of two nodes.
fn snapshot(node: usize) -> Snapshot {
    let facts = |name: &&str| Node {
        name: (*name).into(),
        health: Health::Healthy,
        capacity: Capacity::default(),
        other_load: 0,
    };
    Snapshot {
        budget: 10,
        pools: vec![Pool {
            name: "pool".into(),
            ranges: Vec::new(),
            reserved: Vec::new(),
            placement: Placement::Exact,
        }],
        zones: vec![Zone {
            pool: PoolIndex(0),
            name: "a".into(),
            ranges: vec!["10.0.0.0/24".parse().unwrap()],
            nodes: vec![NodeIndex(0), NodeIndex(1)],
            may_leave: false,
            share: None,
        }],
        nodes: NAMES.iter().map(facts).collect(),
        owners: vec![Owner {
            name: "shop".into(),
            pool: PoolIndex(0),
            labels: Vec::new(),
            wanted: None,
            requested: Vec::new(),
            allocations: vec![Allocation::settled(address(), None)],
            created: 1,
        }],
        assignments: vec![Assignment { address: address(), node: NodeIndex::at(node), phase: Phase::Settled }],
        ..Snapshot::default()
    }
}

fn verified(snapshot: &Snapshot, operations: &[Operation]) -> VerifiedPlan {
    let patch = |&operation| Patch { operation, reason: Reason::Other, text: String::new(), by_host: false };
    verify(snapshot, Plan { patches: operations.iter().map(patch).collect(), ..Plan::default() }).unwrap()
}

fn lists(node: usize, addresses: &[IpAddr]) -> Write {
    let egress_ips = Some(addresses.iter().map(ToString::to_string).collect());
    let change = Change::Carrier { egress_ips, ranges: None };
    Write { target: Target::Carrier(NAMES[node].into()), change, after: Vec::new(), after_any: Vec::new() }
}

/// Moves the address off a node and onto the other one.
fn moves(pace: &mut Pace, source: usize, health: Health, now: u64) {
    let mut snapshot = snapshot(source);
    snapshot.nodes[source].health = health;
    let (from, to) = (NodeIndex::at(source), NodeIndex::at(1 - source));
    let plan = verified(&snapshot, &[Operation::Move { address: address(), source: from, target: to }]);
    pace.note(&snapshot, &plan, &[lists(source, &[]), lists(1 - source, &[address()])], |_| Some(RESTLESS), now);
}

#[test]
fn what_is_spent_comes_back_one_by_one() {
    let mut pace = Pace::default();
    for turn in 0..5 {
        moves(&mut pace, turn % 2, Health::Healthy, 1_000);
    }
    let spent = |after| spent_by_all(&pace.recent(1_000 + after));
    assert_eq!(spent(0), 5);
    assert_eq!(spent(REFILL / 10 - 1), 5);
    assert_eq!(spent(REFILL / 10), 4);
    assert_eq!(spent(REFILL / 2 - 1), 1);
    assert_eq!(spent(REFILL / 2), 0);
}

/// As where an interface refuses the update that takes the address off.
#[test]
fn what_has_to_be_written_again_counts_once() {
    let mut pace = Pace::default();
    for _ in 0..5 {
        moves(&mut pace, 0, Health::Healthy, 1_000);
    }
    assert_eq!(spent_by_all(&pace.recent(1_000)), 1);
}

#[test]
fn what_must_move_costs_nothing_and_never_flaps() {
    let mut pace = Pace::default();
    for turn in 0..20 {
        moves(&mut pace, turn % 2, Health::Down, 1_000);
    }
    assert_eq!(pace.recent(1_000), crate::observed::Recent::default());
}

#[test]
fn the_third_return_within_ten_minutes_is_flapping_for_an_hour() {
    let mut pace = Pace::default();
    // Away, back, away again (to where it was before), back.
    for turn in 0..3 {
        moves(&mut pace, turn % 2, Health::Healthy, 1_000);
    }
    assert!(pace.recent(1_000).flapped.is_empty());
    moves(&mut pace, 1, Health::Healthy, 1_000 + RETURNS_WITHIN);
    let flapped = |at| pace.recent(at).flapped.into_iter().collect::<Vec<_>>();
    let begin = 1_000 + RETURNS_WITHIN;
    assert_eq!(flapped(begin), [(address(), "restless".to_owned())]);
    assert_eq!(flapped(begin + DAMPED - 1).len(), 1);
    assert!(flapped(begin + DAMPED).is_empty());
}

#[test]
fn slower_returns_are_none() {
    let mut pace = Pace::default();
    for turn in 0..100u32 {
        let source = usize::from(turn % 2 == 1);
        moves(&mut pace, source, Health::Healthy, u64::from(turn) * (RETURNS_WITHIN + 1));
    }
    assert!(pace.recent(100 * RETURNS_WITHIN).flapped.is_empty());
}

#[test]
fn nodes_that_come_and_go_under_a_policy_that_always_goes_back_flap() {
    let mut pace = Pace::default();
    for _ in 0..3 {
        moves(&mut pace, 0, Health::Down, 1_000);
        moves(&mut pace, 1, Health::Healthy, 1_000);
    }
    assert_eq!(pace.recent(1_000).flapped.len(), 1);
}

#[test]
fn what_was_not_written_did_not_happen() {
    let snapshot = snapshot(0);
    let mut pace = Pace::default();
    let operation = Operation::Move { address: address(), source: NodeIndex(0), target: NodeIndex(1) };
    pace.note(&snapshot, &verified(&snapshot, &[operation]), &[lists(1, &[address()])], |_| Some(RESTLESS), 0);
    assert_eq!(spent_by_all(&pace.recent(0)), 0);
}

#[test]
fn a_release_counts_unless_the_owner_asks_for_another_address() {
    let mut snapshot = snapshot(0);
    let new = "10.0.0.3".parse().unwrap();
    let operations = [
        Operation::Release { holder: Some(Holder::Owner(OwnerIndex(0))), address: address() },
        Operation::Allocate { owner: OwnerIndex(0), zone: None, address: new },
        Operation::Assign { address: new, node: NodeIndex(1) },
    ];
    let change =
        Change::Holding { object: String::new(), egress_ips: vec![new], home: None, recorded: BTreeSet::new() };
    let write = Write { target: Target::Holding("shop".into()), change, after: Vec::new(), after_any: Vec::new() };
    let spent = |snapshot: &Snapshot| {
        let mut pace = Pace::default();
        pace.note(snapshot, &verified(snapshot, &operations), [&write], |_| Some(RESTLESS), 0);
        spent_by_all(&pace.recent(0))
    };
    assert_eq!(spent(&snapshot), 1);
    snapshot.owners[0].requested = vec![new];
    assert_eq!(spent(&snapshot), 0);
}

#[test]
fn nothing_is_remembered_for_ever() {
    let mut pace = Pace::default();
    for turn in 0..7 {
        moves(&mut pace, turn % 2, Health::Healthy, 1_000);
    }
    moves(&mut pace, 0, Health::Down, 1_000 + 2 * DAMPED);
    assert_eq!((pace.left.len(), pace.returns.len(), pace.flapped.len()), (1, 0, 0));
}
