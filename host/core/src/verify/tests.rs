use super::{EndState, Finding, Invariant, Rejection, verify};
use crate::name::{NodeIndex, OwnerIndex, PoolIndex};
use crate::plan::{Operation, Patch, Plan, Reason};
use crate::snapshot::{
    Allocation, Assignment, Capacity, Flapped, Health, Node, Owner, Phase, Placement, Pool, Snapshot, Zone,
};

/// One pool, one zone, two nodes, one owner with an address on the first.
fn snapshot() -> Snapshot {
    let node =
        |name: &str| Node { name: name.into(), health: Health::Healthy, capacity: Capacity::default(), other_load: 0 };
    let address = "10.0.0.2".parse().unwrap();
    Snapshot {
        generation: 7,
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
            ranges: vec!["10.0.0.0/29".parse().unwrap()],
            nodes: vec![NodeIndex(0), NodeIndex(1)],
            may_leave: false,
            share: None,
        }],
        nodes: vec![node("n0"), node("n1")],
        owners: vec![Owner {
            name: "shop".into(),
            pool: PoolIndex(0),
            labels: Vec::new(),
            wanted: None,
            requested: Vec::new(),
            allocations: vec![Allocation::settled(address, None)],
            created: 1,
        }],
        assignments: vec![Assignment { address, node: NodeIndex(0), phase: Phase::Settled }],
        ..Snapshot::default()
    }
}

fn plan(operations: &[Operation]) -> Plan {
    let patch = |&operation| Patch { operation, reason: Reason::Other, text: String::new(), by_host: false };
    Plan { generation: 7, patches: operations.iter().map(patch).collect(), holds: Vec::new() }
}

#[test]
fn the_order_of_patches_means_nothing() {
    let new = "10.0.0.3".parse().unwrap();
    let allocate = Operation::Allocate { owner: OwnerIndex(0), zone: None, address: new };
    let assign = Operation::Assign { address: new, node: NodeIndex(1) };
    let one = verify(&snapshot(), plan(&[allocate, assign])).unwrap();
    let other = verify(&snapshot(), plan(&[assign, allocate])).unwrap();
    assert_eq!(one, other);
    assert_eq!(one.end().carriers_of(new), [NodeIndex(1)]);
}

fn refused_as(snapshot: &Snapshot, operations: &[Operation]) -> Vec<(Invariant, String)> {
    let rejection = verify(snapshot, plan(operations)).err();
    let findings = rejection.into_iter().flat_map(|rejection| rejection.findings);
    findings.map(|finding| (finding.invariant, finding.text)).collect()
}

#[test]
fn an_owner_is_silenced_only_where_it_must_be_or_where_it_gets_another_address() {
    let mut snapshot = snapshot();
    let (old, new) = ("10.0.0.2".parse().unwrap(), "10.0.0.3".parse().unwrap());
    let unassign = Operation::Unassign { address: old, node: NodeIndex(0) };
    let text = "shop: without 10.0.0.2 no node would carry any of its addresses".to_owned();
    assert_eq!(refused_as(&snapshot, &[unassign]), [(Invariant::Stable, text)]);
    let allocate = Operation::Allocate { owner: OwnerIndex(0), zone: None, address: new };
    let assign = Operation::Assign { address: new, node: NodeIndex(1) };
    assert_eq!(refused_as(&snapshot, &[unassign, allocate, assign]), []);
    snapshot.nodes[0].health = Health::Down;
    assert_eq!(refused_as(&snapshot, &[unassign]), [], "nobody hears it there");
    snapshot.nodes[0].health = Health::Healthy;
    snapshot.zones[0].nodes = vec![NodeIndex(1)];
    assert_eq!(refused_as(&snapshot, &[unassign]), [], "it may not be there");
}

#[test]
fn what_was_moved_to_and_fro_moves_only_if_it_must() {
    let mut snapshot = snapshot();
    let address = "10.0.0.2".parse().unwrap();
    let moves = Operation::Move { address, source: NodeIndex(0), target: NodeIndex(1) };
    assert_eq!(refused_as(&snapshot, &[moves]), []);
    snapshot.flapped = vec![Flapped { address, policy: "restless".to_owned() }];
    let text = "shop: 10.0.0.2 was moved to and fro by policy restless: it stays for now".to_owned();
    assert_eq!(refused_as(&snapshot, &[moves]), [(Invariant::Stable, text)]);
    snapshot.nodes[0].health = Health::Down;
    assert_eq!(refused_as(&snapshot, &[moves]), []);
    let inherited: Vec<String> =
        verify(&snapshot, plan(&[])).unwrap().inherited().iter().map(|f| f.text.clone()).collect();
    assert_eq!(inherited, ["shop: policy restless moved 10.0.0.2 to and fro: for an hour it moves only if it must"]);
}

#[test]
fn what_the_network_has_put_where_it_may_be_stays_there() {
    let mut snapshot = snapshot();
    snapshot.pools[0].placement = Placement::Among;
    let address = "10.0.0.2".parse().unwrap();
    let moves = Operation::Move { address, source: NodeIndex(0), target: NodeIndex(1) };
    let text = "shop: the network has put 10.0.0.2 on node n0, where it may be: it stays".to_owned();
    assert_eq!(refused_as(&snapshot, &[moves]), [(Invariant::Stable, text)]);
    snapshot.nodes[0].health = Health::Draining;
    assert_eq!(refused_as(&snapshot, &[moves]).len(), 1, "a cordoned node keeps what it has");
    snapshot.zones[0].nodes = vec![NodeIndex(1)];
    assert_eq!(refused_as(&snapshot, &[moves]), [], "it may not be there");
    snapshot.zones[0].nodes = vec![NodeIndex(0), NodeIndex(1)];
    snapshot.nodes[0].health = Health::Down;
    assert_eq!(refused_as(&snapshot, &[moves]), []);
}

#[test]
fn the_end_state_shows_touched_and_untouched_addresses_in_order() {
    let mut snapshot = snapshot();
    let later = "10.0.0.5".parse().unwrap();
    snapshot.assignments.push(Assignment { address: later, node: NodeIndex(1), phase: Phase::Settled });
    let base = EndState::before(&snapshot);
    let first = "10.0.0.2".parse().unwrap();
    let moved = Operation::Move { address: first, source: NodeIndex(0), target: NodeIndex(1) };
    let mut findings = Vec::new();
    let end = base.after(&snapshot, &plan(&[moved]).patches, &mut findings);
    let carried: Vec<_> = end.carried().map(|(address, nodes)| (address, nodes.to_vec())).collect();
    assert_eq!(carried, [(first, vec![NodeIndex(1)]), (later, vec![NodeIndex(1)])]);
    let off = Operation::Unassign { address: first, node: NodeIndex(0) };
    let end = base.after(&snapshot, &plan(&[off]).patches, &mut findings);
    assert_eq!(end.carried().map(|(address, _)| address).collect::<Vec<_>>(), [later]);
    assert_eq!(findings, []);
}

#[test]
fn all_findings_are_collected_and_the_first_are_spelled_out() {
    let node = NodeIndex(9);
    let bad: Vec<Operation> =
        (2..7).map(|n| Operation::Assign { address: format!("192.0.2.{n}").parse().unwrap(), node }).collect();
    let rejection = verify(&snapshot(), plan(&bad)).unwrap_err();
    assert_eq!(rejection.findings.len(), 5);
    assert_eq!(
        rejection.to_string(),
        "the plan breaks 5 rule(s): contract: assign 192.0.2.2: node 9 does not exist; the snapshot has 2; \
         contract: assign 192.0.2.3: node 9 does not exist; the snapshot has 2; \
         contract: assign 192.0.2.4: node 9 does not exist; the snapshot has 2; and 2 more"
    );
}

#[test]
fn a_breach_that_was_there_is_inherited_and_refuses_nothing() {
    let mut snapshot = snapshot();
    let mut twin = snapshot.owners[0].clone();
    twin.name = "twin".into();
    twin.created = 2;
    snapshot.owners.push(twin);
    let verified = verify(&snapshot, plan(&[])).unwrap();
    let finding = Finding {
        invariant: Invariant::Unique,
        inherited: true,
        owner: Some("twin".into()),
        text: "twin: 10.0.0.2 is held by shop too".to_owned(),
    };
    assert_eq!(verified.inherited(), [finding]);
}

#[test]
fn names_of_invariants_are_those_of_the_docs() {
    let rejection = Rejection {
        findings: vec![Finding { invariant: Invariant::InPool, inherited: false, owner: None, text: "x".to_owned() }],
    };
    assert_eq!(rejection.to_string(), "the plan breaks 1 rule(s): in-pool: x");
}
