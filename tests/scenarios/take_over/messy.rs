//! Clusters with damage: exactly the repairs that the dump's EXPECT.md asks for, and `plan --adopt` lists them beforehand.

use std::collections::BTreeMap;

use expect_test::expect;
use serde_json::{Value, json};

use super::{adopted, patches, planned_targets, sorted, taken_over, writes, written_targets};
use crate::harness::audit::Requests;
use crate::harness::{Cluster, History, Operator, Outcome, reads};

/// A cluster that was taken over, and what it took.
struct TakenOver {
    cluster: Cluster,
    _operator: Operator,
    before: Outcome,
    history: History,
    written: Requests,
}

async fn take_over(dump: &str) -> TakenOver {
    let cluster = Cluster::start().await;
    cluster.load_dump(dump).await;
    let before = cluster.outcome().await;
    let history = History::start(&cluster).await;
    let mark = cluster.audit().mark().await;
    let operator = Operator::start(&cluster).await;
    taken_over(&cluster).await;
    cluster.settled().await;
    let written = cluster.written_since(mark).await;
    TakenOver { cluster, _operator: operator, before, history, written }
}

impl TakenOver {
    /// Panics unless every object of these kinds is as the plan's last patch of each field has it.
    async fn is_as_planned(&self, plan: &Value, kinds: &[&str]) {
        let mut wanted: BTreeMap<(String, String), Value> = BTreeMap::new();
        for write in plan["writes"].as_array().expect("a list") {
            let text = |name: &str| write[name].as_str().expect("a text").to_owned();
            merge(wanted.entry((text("kind"), text("name"))).or_default(), &write["patch"]);
        }
        for ((kind, name), patch) in wanted.iter().filter(|((kind, _), _)| kinds.contains(&kind.as_str())) {
            let live = json!(self.cluster.get(kind, name).await.expect("it is there"));
            assert!(holds(patch, &live), "{kind} {name} was planned to have {patch} and is {live}");
        }
    }

    /// Panics if one of these addresses left its owner, or its node, for a moment.
    async fn never_touched(&self, kept: &[(&str, &str, &[&str])]) {
        for (owner, node, addresses) in kept {
            for address in *addresses {
                assert!(self.before.addresses_of(owner).iter().any(|held| held == address), "{owner} {address}");
                assert!(self.before.nodes_of(address).contains(node), "{node} {address}");
            }
            for step in self.history.steps().await {
                let is_theirs = step.name == *owner && step.kind == "NetNamespace" || step.name == *node;
                for address in addresses.iter().filter(|_| is_theirs) {
                    assert!(step.after.iter().any(|after| after == address), "{address} of {owner} left: {step:?}");
                }
            }
        }
    }
}

/// Merges a JSON merge patch into another, nulls included.
fn merge(into: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) => {
            if !into.is_object() {
                *into = json!({});
            }
            fields.iter().for_each(|(name, value)| merge(&mut into[name], value));
        }
        other => *into = other.clone(),
    }
}

/// Whether an object is as a merge patch would make it.
fn holds(patch: &Value, live: &Value) -> bool {
    match patch {
        Value::Null => live.is_null(),
        Value::Object(fields) => fields.iter().all(|(name, value)| holds(value, &live[name])),
        other => other == live,
    }
}

/// Owner, node and addresses of everything that was right.
const KEPT: [(&str, &str, &[&str]); 9] = [
    ("shop", "worker-a1", &["10.20.0.2"]),
    ("shop", "worker-b0", &["10.21.0.2"]),
    ("billing", "worker-a1", &["10.20.0.3"]),
    ("billing", "worker-b1", &["10.21.0.3"]),
    ("payments", "worker-a1", &["10.20.0.4"]),
    ("payments", "worker-b0", &["10.21.0.4"]),
    ("reports", "worker-a1", &["10.20.0.60"]),
    ("reports", "worker-b1", &["10.21.0.60"]),
    ("partner", "infra-0", &["10.20.9.5"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_repaired_as_planned() {
    let plan = adopted("messy-duplicates").await.ended_with(10).json();
    expect![[r#"
        release 10.20.0.4 of orders, - -> -, opted-out
        release 10.21.0.4 of orders, - -> -, opted-out
        unassign 10.20.0.5 of -, worker-a1 -> -, stale
        unassign 10.21.0.5 of -, worker-b1 -> -, stale
        unassign 10.20.0.3 of billing, worker-a0 -> -, duplicate: worker-a1 carries it too
        release 10.20.0.3 of mirror, - -> -, duplicate: billing holds it too and is the older namespace
        allocate 10.20.0.6 of mirror, - -> -, wanted
        assign 10.20.0.6 of mirror, - -> worker-a1, wanted
        release 10.21.0.3 of mirror, - -> -, duplicate: billing holds it too and is the older namespace
        allocate 10.21.0.6 of mirror, - -> -, wanted
        assign 10.21.0.6 of mirror, - -> worker-b0, wanted
        unassign 10.20.0.4 of payments, worker-a0 -> -, duplicate: worker-a1 carries it too
        release 8.8.8.8 of reports, - -> -, pool-changed: no longer an address of its pool
        unassign 10.20.0.60 of reports, worker-a0 -> -, duplicate: worker-a1 carries it too
    "#]]
    .assert_eq(&patches(&plan));
    expect![[r#"
        1. HostSubnet worker-a0 {"egressIPs":[]}
        2. HostSubnet worker-a1 {"egressIPs":["10.20.0.2","10.20.0.4","10.20.0.60","10.20.0.3","10.20.0.6"]}
        3. HostSubnet worker-b1 {"egressIPs":["10.21.0.3","10.21.0.60"]}
        4. HostSubnet worker-b0 {"egressIPs":["10.21.0.2","10.21.0.4","10.21.0.6"]}
        5. Namespace mirror {"metadata":{"annotations":{"egressip-ipam-operator.redhat-cop.io/egressips":null}}}
        6. NetNamespace mirror {"egressIPs":["10.20.0.6","10.21.0.6"],"metadata":{"annotations":{"sluice.dev/pool":"egress-prod","sluice.dev/zones":"10.20.0.6=zone-a,10.21.0.6=zone-b"}}}
        7. NetNamespace orders {"egressIPs":[],"metadata":{"annotations":{"sluice.dev/pool":null,"sluice.dev/zones":null}}}
        8. Namespace reports {"metadata":{"annotations":{"egressip-ipam-operator.redhat-cop.io/egressips":null}}}
        9. NetNamespace reports {"egressIPs":["10.20.0.60","10.21.0.60"],"metadata":{"annotations":{"sluice.dev/pool":"egress-prod","sluice.dev/zones":"10.20.0.60=zone-a,10.21.0.60=zone-b"}}}
        10. Namespace mirror {"metadata":{"annotations":{"egressip-ipam-operator.redhat-cop.io/egressips":"10.20.0.6,10.21.0.6"}}}
        11. Namespace orders {"metadata":{"annotations":{"egressip-ipam-operator.redhat-cop.io/egressips":null}}}
        12. Namespace reports {"metadata":{"annotations":{"egressip-ipam-operator.redhat-cop.io/egressips":"10.20.0.60,10.21.0.60"}}}
    "#]].assert_eq(&writes(&plan));

    let done = take_over("messy-duplicates").await;
    assert_eq!(written_targets(done.written.clone()), planned_targets(&plan));
    done.is_as_planned(&plan, &["HostSubnet", "NetNamespace", "Namespace"]).await;
    done.cluster
        .becomes(expect![[r#"
        billing: egress-prod, 10.20.0.3 on worker-a1, 10.21.0.3 on worker-b1
        egressip-ipam-operator: no NetNamespace
        legacy: -
        mirror: egress-prod, 10.20.0.6 on worker-a1, 10.21.0.6 on worker-b0
        orders: -
        partner: 10.20.9.5 on infra-0, not annotated
        payments: egress-prod, 10.20.0.4 on worker-a1, 10.21.0.4 on worker-b0
        reports: egress-prod, 10.20.0.60 on worker-a1, 10.21.0.60 on worker-b1
        shop: egress-prod, 10.20.0.2 on worker-a1, 10.21.0.2 on worker-b0
    "#]])
        .await;
    done.cluster.assert_sound().await;
    assert_eq!(done.history.breaches().await, Vec::<String>::new());
    done.never_touched(&KEPT).await;
    let told = expect![[r#"
        Namespace mirror: AddressesChanged: egress addresses changed from 10.20.0.3,10.21.0.3 to 10.20.0.6,10.21.0.6: 10.20.0.3: billing holds it too and is the older namespace; 10.21.0.3: billing holds it too and is the older namespace
        Namespace reports: AddressesChanged: egress addresses changed from 10.20.0.60,10.21.0.60,8.8.8.8 to 10.20.0.60,10.21.0.60: 8.8.8.8: no longer an address of its pool
    "#]];
    reads(told, || done.cluster.warnings()).await;
}

/// The annotation that says why a namespace waits changes with the reason: first the pool is being deleted, then it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_was_stuck_is_finished_as_planned() {
    let plan = adopted("mid-deletion").await.ended_with(11).json();
    expect![[r#"
        unassign 10.20.0.2 of -, worker-a0 -> -, stale
        unassign 10.20.0.3 of -, worker-a1 -> -, stale
        unassign 10.20.0.4 of -, worker-a0 -> -, stale
        unassign 10.20.0.5 of -, worker-a1 -> -, stale
        unassign 10.21.0.2 of -, worker-b1 -> -, stale
        unassign 10.21.0.3 of -, worker-b0 -> -, stale
        unassign 10.21.0.4 of -, worker-b0 -> -, stale
        unassign 10.21.0.5 of -, worker-b1 -> -, stale
    "#]]
    .assert_eq(&patches(&plan));
    expect![[r#"
        1. HostSubnet worker-a0 {"egressIPs":[]}
        2. HostSubnet worker-a1 {"egressIPs":[]}
        3. HostSubnet worker-b0 {"egressIPs":[]}
        4. HostSubnet worker-b1 {"egressIPs":[]}
        5. Namespace billing {"metadata":{"annotations":{"sluice.dev/hold":"pool-deleting: EgressIPAM egress-prod is being deleted"}}}
        6. Namespace search {"metadata":{"annotations":{"sluice.dev/hold":"pool-deleting: EgressIPAM egress-prod is being deleted"}}}
        7. Namespace shop {"metadata":{"annotations":{"sluice.dev/hold":"pool-deleting: EgressIPAM egress-prod is being deleted"}}}
        8. EgressIPAM egress-prod {"metadata":{"finalizers":[]}}
    "#]].assert_eq(&writes(&plan));

    let done = take_over("mid-deletion").await;
    let told_again = ["billing", "search", "shop"].map(|name| format!("patch namespaces {name}"));
    let expected = sorted(planned_targets(&plan).into_iter().chain(told_again));
    assert_eq!(written_targets(done.written.clone()), expected);
    done.is_as_planned(&plan, &["HostSubnet"]).await;
    done.cluster
        .becomes(expect![[r#"
        billing: egress-prod
        egressip-ipam-operator: no NetNamespace
        plain: -
        reports: egress-prod, no NetNamespace, terminating
        search: egress-prod, no NetNamespace
        shop: egress-prod
    "#]])
        .await;
    let pools = done.cluster.list("EgressIPAM").await;
    assert!(pools.is_empty(), "{pools:?}");
    let net_namespaces = done.cluster.list("NetNamespace").await.len();
    assert_eq!(net_namespaces, 3, "none is made for reports and search");
}
