//! What the host holds back of a plan takes along what depends on it, and nothing else: the rest is carried out, and a
//! plan that was good as it came is not called a bad one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use expect_test::{Expect, expect};
use sluice_core::name::{NodeIndex, OwnerIndex};
use sluice_core::plan::{Holder, Operation, Patch, Plan, Reason};
use sluice_core::round::Round;
use sluice_core::snapshot::{Assignment, Snapshot};
use sluice_core::verify::verify;

use crate::honest;
use crate::random::{Dice, scenario};
use crate::text::{cluster, transcript};

/// Makes a plan of lines such as `move 10.20.0.2 n1 n2`, as a policy would for what it sees.
fn plan(seen: &Snapshot, lines: &[&str]) -> Plan {
    let node = |name: &str| seen.node_named(&name.into()).expect("a node that is seen");
    let owner = |name: &str| seen.owner_named(&name.into()).expect("an owner that is seen");
    let operation = |line: &&str| match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["allocate", address, to, zone] => {
            let owner = owner(to);
            let pool = seen.owner(owner).expect("in bounds").pool;
            let zone = seen.zones_of(pool).find(|(_, facts)| facts.name.as_str() == *zone).map(|(zone, _)| zone);
            Operation::Allocate { owner, zone, address: ip(address) }
        }
        ["release", address, from] => {
            Operation::Release { holder: Some(Holder::Owner(owner(from))), address: ip(address) }
        }
        ["assign", address, to] => Operation::Assign { address: ip(address), node: node(to) },
        ["unassign", address, from] => Operation::Unassign { address: ip(address), node: node(from) },
        ["move", address, from, to] => Operation::Move { address: ip(address), source: node(from), target: node(to) },
        words => panic!("what is {words:?}?"),
    };
    let patch = |line| Patch { operation: operation(line), reason: Reason::Other, text: String::new(), by_host: false };
    Plan { generation: seen.generation, patches: lines.iter().map(patch).collect(), holds: Vec::new() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// What comes of a plan that the policy may make by all that it sees.
fn check(text: &str, lines: &[&str], expected: &Expect) {
    let cluster = cluster(text);
    let round = Round::prepare(&cluster.observed);
    let answer = plan(round.policy_input(), lines);
    let good = verify(round.policy_input(), answer.clone());
    assert!(good.is_ok(), "{good:?}");
    let outcome = round.finish(&cluster.observed, Ok(answer), &BTreeSet::new());
    assert_eq!(outcome.failure(), None);
    expected.assert_eq(&transcript(&round, &outcome, cluster.observed.network));
}

/// Of `kept`, whose pool has an error, a policy may want a release, which does not happen: then the place stays taken.
#[test]
fn who_was_to_get_the_place_of_an_owner_that_stays_waits() {
    check(
        "
        cloud azure reads
        pool broken zone=a:10.20.0.0/29 error
        pool egress zone=a:10.21.0.0/29 zone=b:10.22.0.0/29
        ns kept pool=broken holds=10.20.0.2 says
        ns other pool=egress
        ns shop pool=egress
        node n1 zone=a carries=10.20.0.2 room=1
        node n2 zone=b room=9
        ",
        &[
            "release 10.20.0.2 kept",
            "unassign 10.20.0.2 n1",
            "allocate 10.21.0.2 shop a",
            "assign 10.21.0.2 n1",
            "allocate 10.22.0.2 other b",
            "assign 10.22.0.2 n2",
        ],
        &expect![[r"
            pool egress
              + other 10.22.0.2 b on n2  other
              ! shop held: no-capacity: what was to make room for its address stays where it is
            1. HostSubnet n2 {egressIPs: [10.22.0.2]}
            2. NetNamespace other {egressIPs: [10.22.0.2], {sluice.dev/pool: egress, sluice.dev/zones: 10.22.0.2=b}}  after one of 1
            3. Namespace other {{egressips: 10.22.0.2}}  after 2
            4. Namespace shop {{sluice.dev/hold: no-capacity:  what was to make room for its address stays where it is}}
        "]],
    );
}

/// The policy does not see that 10.99.0.9, of no range any more, keeps `n2` from taking another address of `kept`.
#[test]
fn who_was_to_get_the_place_of_an_address_that_cannot_move_waits() {
    check(
        "
        cloud azure reads
        pool broken zone=a:10.20.0.0/29 error
        pool egress zone=a:10.21.0.0/29 zone=b:10.22.0.0/29
        ns kept pool=broken holds=10.20.0.2,10.99.0.9 says
        ns other pool=egress
        ns shop pool=egress
        node n1 zone=a carries=10.20.0.2 room=1
        node n2 zone=a carries=10.99.0.9 room=9
        node n3 zone=b room=9
        ",
        &[
            "move 10.20.0.2 n1 n2",
            "allocate 10.21.0.2 shop a",
            "assign 10.21.0.2 n1",
            "allocate 10.22.0.2 other b",
            "assign 10.22.0.2 n3",
        ],
        &expect![[r"
            pool egress
              + other 10.22.0.2 b on n3  other
              ! shop held: no-capacity: what was to make room for its address stays where it is
            in-pool (before the plan): kept: 10.99.0.9 is outside pool broken
            1. HostSubnet n3 {egressIPs: [10.22.0.2]}
            2. NetNamespace other {egressIPs: [10.22.0.2], {sluice.dev/pool: egress, sluice.dev/zones: 10.22.0.2=b}}  after one of 1
            3. Namespace other {{egressips: 10.22.0.2}}  after 2
            4. Namespace shop {{sluice.dev/hold: no-capacity:  what was to make room for its address stays where it is}}
        "]],
    );
}

/// A dead node's address goes before what is merely to be given out, where there is room for one of them.
#[test]
fn where_room_is_left_for_one_it_is_the_one_that_a_dead_node_had() {
    check(
        "
        cloud azure reads
        pool broken zone=a:10.20.0.0/29 error
        pool egress zone=a:10.21.0.0/29
        ns kept pool=broken holds=10.20.0.2 says
        ns lost pool=egress holds=10.21.0.5 says
        ns shop pool=egress
        node dead zone=a carries=10.21.0.5 down
        node n1 zone=a carries=10.20.0.2 room=2
        ",
        &[
            "release 10.20.0.2 kept",
            "unassign 10.20.0.2 n1",
            "allocate 10.21.0.2 shop a",
            "assign 10.21.0.2 n1",
            "move 10.21.0.5 dead n1",
        ],
        &expect![[r"
            pool egress
              ~ lost 10.21.0.5 dead -> n1  other
              ! shop held: no-capacity: what was to make room for its address stays where it is
            1. HostSubnet dead {egressIPs: []}
            2. HostSubnet n1 {egressIPs: [10.20.0.2, 10.21.0.5]}  after 1
            3. Namespace shop {{sluice.dev/hold: no-capacity:  what was to make room for its address stays where it is}}
        "]],
    );
}

/// `shop` cannot adopt 10.20.0.9 from where its other address is, so all of `shop` stays, and its places with it.
#[test]
fn who_was_to_get_the_place_of_an_owner_that_cannot_adopt_waits() {
    check(
        "
        cloud azure reads
        pool egress zone=a:10.20.0.0/28 zone=b:10.21.0.0/28 failover
        ns free pool=egress holds=10.21.0.5 says
        ns other pool=egress holds=10.21.0.4 says
        ns shop pool=egress holds=10.21.0.2 says
        ns till pool=egress holds=10.20.0.3 says
        node n1 zone=a carries=10.20.0.9,10.21.0.2 room=2
        node n2 zone=a room=9
        node n3 zone=b carries=10.20.0.3,10.21.0.4,10.21.0.5 room=9
        ",
        &[
            "allocate 10.20.0.9 shop a",
            "move 10.20.0.9 n1 n2",
            "move 10.21.0.2 n1 n3",
            "move 10.20.0.3 n3 n1",
            "allocate 10.20.0.4 other a",
            "assign 10.20.0.4 n1",
            "allocate 10.20.0.5 free a",
            "assign 10.20.0.5 n2",
        ],
        &expect![[r"
            pool egress
              - (nobody) 10.20.0.9 off n1  stale
              + free 10.20.0.5 a on n2  other
              ! other held: no-capacity: what was to make room for its address stays where it is
            1. HostSubnet n1 {egressIPs: [10.21.0.2]}
            2. HostSubnet n2 {egressIPs: [10.20.0.5]}
            3. Namespace free {{egressips: null}}
            4. NetNamespace free {egressIPs: [10.20.0.5, 10.21.0.5], {sluice.dev/pool: egress, sluice.dev/zones: 10.20.0.5=a, 10.21.0.5=b}}  after 3  after one of 2
            5. Namespace free {{egressips: 10.20.0.5, 10.21.0.5}}  after 3 4
            6. Namespace other {{sluice.dev/hold: no-capacity:  what was to make room for its address stays where it is}}
        "]],
    );
}

/// The only address of `last` stays until another one works, so that its place is not free.
#[test]
fn who_was_to_get_the_place_of_an_owner_that_would_fall_silent_waits() {
    check(
        "
        cloud azure reads
        pool egress zone=a:10.20.0.0/28 zone=b:10.21.0.0/28
        ns last pool=egress holds=10.20.0.2 says
        ns other pool=egress holds=10.21.0.4 says
        ns shop pool=egress holds=10.21.0.3 says
        node n1 zone=a carries=10.20.0.2 room=1
        node n2 zone=b carries=10.21.0.3,10.21.0.4 room=9
        node n3 zone=a room=1
        ",
        &[
            "release 10.20.0.2 last",
            "unassign 10.20.0.2 n1",
            "allocate 10.20.0.5 shop a",
            "assign 10.20.0.5 n1",
            "allocate 10.20.0.6 other a",
            "assign 10.20.0.6 n3",
        ],
        &expect![[r"
            pool egress
              ! last held: other: the policy takes its last address and gives no other that works, so that it stays
              + other 10.20.0.6 a on n3  other
              ! shop held: no-capacity: what was to make room for its address stays where it is
            1. HostSubnet n3 {egressIPs: [10.20.0.6]}
            2. Namespace other {{egressips: null}}
            3. NetNamespace other {egressIPs: [10.20.0.6, 10.21.0.4], {sluice.dev/pool: egress, sluice.dev/zones: 10.20.0.6=a, 10.21.0.4=b}}  after 2  after one of 1
            4. Namespace last {{sluice.dev/hold: other:  the policy takes its last address and gives no other that works,  so that it stays}}
            5. Namespace other {{egressips: 10.20.0.6, 10.21.0.4}}  after 2 3
            6. Namespace shop {{sluice.dev/hold: no-capacity:  what was to make room for its address stays where it is}}
        "]],
    );
}

/// Something that a policy might want, whether it may or not.
fn whim(seen: &Snapshot, dice: &mut Dice) -> Option<Vec<Operation>> {
    let node = |dice: &mut Dice| NodeIndex::at(dice.below(seen.nodes.len()));
    let assignment =
        |dice: &mut Dice| (!seen.assignments.is_empty()).then(|| seen.assignments[dice.below(seen.assignments.len())]);
    let owner = |dice: &mut Dice| (!seen.owners.is_empty()).then(|| OwnerIndex::at(dice.below(seen.owners.len())));
    Some(match dice.below(5) {
        0 | 1 => {
            let on = assignment(dice)?;
            vec![Operation::Move { address: on.address, source: on.node, target: node(dice) }]
        }
        2 => {
            let on = assignment(dice)?;
            vec![Operation::Unassign { address: on.address, node: on.node }]
        }
        3 => {
            let index = owner(dice)?;
            let address = seen.owner(index)?.allocations.first()?.address;
            let release = Operation::Release { holder: Some(Holder::Owner(index)), address };
            let unassign = |on: &Assignment| Operation::Unassign { address, node: on.node };
            let carried = seen.assignments.iter().filter(|on| on.address == address).map(unassign);
            std::iter::once(release).chain(carried).collect()
        }
        _ => {
            let owner = owner(dice)?;
            let zones: Vec<_> = seen.zones_of(seen.owner(owner)?.pool).collect();
            let (zone, facts) = zones.get(dice.below(zones.len().max(1)))?;
            let pool = seen.pool(facts.pool)?;
            let range = facts.ranges.iter().chain(&pool.ranges).next()?;
            let address = range.hosts().nth(dice.below(9))?;
            let allocate = Operation::Allocate { owner, zone: Some(*zone), address };
            vec![allocate, Operation::Assign { address, node: node(dice) }]
        }
    })
}

/// Whatever a policy thinks of, as long as it is right by all that the policy sees: it is never refused for what the
/// host does besides, and so never stops the others.
#[test]
fn a_plan_that_is_good_as_it_came_is_never_refused() {
    let (mut plans, mut changes) = (0, 0);
    for seed in 0..1_500 {
        let mut dice = Dice::new(seed);
        let full = format!("limit={}", 2 + dice.below(3));
        let text = scenario(&mut dice).replace("limit=256", &full);
        let cluster = cluster(&text);
        let round = Round::prepare(&cluster.observed);
        let seen = round.policy_input();
        let mut plan = if dice.one_in(2) { honest::plan(seen) } else { plan(seen, &[]) };
        for _ in 0..12 {
            let mut next = plan.clone();
            let operations = whim(seen, &mut dice).unwrap_or_default().into_iter();
            let text = String::new;
            next.patches.extend(operations.map(|operation| Patch {
                operation,
                reason: Reason::Other,
                text: text(),
                by_host: false,
            }));
            if verify(seen, next.clone()).is_ok() {
                plan = next;
            }
        }
        (plans, changes) = (plans + 1, changes + plan.patches.len());
        let shown = format!("{:#?}", plan.patches);
        let outcome = round.finish(&cluster.observed, Ok(plan), &BTreeSet::new());
        assert!(outcome.failure().is_none(), "seed {seed}: {}\n{text}{shown}", outcome.failure().unwrap());
    }
    assert!(changes > 2 * plans, "{changes} patches in {plans} plans");
}
