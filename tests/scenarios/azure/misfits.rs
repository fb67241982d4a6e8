//! Nodes that cannot carry addresses, and load balancers.

use std::collections::BTreeSet;

use expect_test::expect;
use sluice_sandbox_azure::Place;

use super::ledger::Ledger;
use super::stage::{A_WHILE, SUBSCRIPTION, Stage};
use crate::harness::{eventually, namespace, node, pool, reads};

const MACHINES: &str = "Microsoft.Compute/virtualMachines";

impl Stage {
    /// A Node in zone 1 with this providerID.
    async fn odd_node(&self, name: &str, machine: &str) {
        let odd = node(name).zone("eastus-1").set("spec.providerID", format!("azure://{machine}"));
        self.cluster.create([odd]).await;
    }

    /// How many events tell of a load balancer's pool that is not joined.
    async fn not_joined(&self) -> usize {
        let events = self.cluster.list("Event").await;
        events.iter().filter(|event| event.data["reason"] == "LoadBalancerPoolNotJoined").count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_cannot_carry_addresses_are_told_and_passed_over() {
    let stage = Stage::start().await;
    stage.odd_node("no-machine", &stage.place.id(MACHINES, "no-machine")).await;
    stage.odd_node("no-nic", &stage.place.id(MACHINES, "no-nic")).await;
    stage.arm.add_machine(&stage.place, "no-nic", Some("1"), &[]);
    let uniform = stage.place.id("Microsoft.Compute/virtualMachineScaleSets", "pool/virtualMachines/0");
    stage.odd_node("uniform", &uniform).await;
    let theirs = Place::new("00000000-0000-4000-8000-00000000000f", "ocp1-rg", "eastus");
    stage.odd_node("abroad", &theirs.id(MACHINES, "abroad")).await;
    let network = Place::new(SUBSCRIPTION, "network-rg", "eastus").id("Microsoft.Network/virtualNetworks", "ocp1-vnet");
    let other = "10.99.0.4".parse().expect("an address");
    let nic = stage.arm.add_nic(&stage.place, "other-nic", &format!("{network}/subnets/other"), other);
    stage.arm.add_machine(&stage.place, "other", Some("1"), &[&nic]);
    stage.odd_node("other", &stage.place.id(MACHINES, "other")).await;
    stage.machines(&[("w1", 1), ("w2", 1)]).await;
    let ledger = Ledger::open(&stage, &["w1", "w2", "other"]).await;
    let egress = pool("egress").range("eastus-1", "10.20.1.0/24");
    stage.cluster.furnish([egress, namespace("crm").in_pool("egress"), namespace("shop").in_pool("egress")]).await;
    let _operator = stage.operator().await;
    stage.serves(&["crm", "shop"], 1).await;
    assert_eq!(stage.carried(&["w1", "w2"]).values().map(BTreeSet::len).collect::<Vec<_>>(), [1, 1]);
    reads(expect![[r#"
        served 2 of 2, held 0
        eastus-1 10.20.1.0/24: 2 of 253 used, 6 of 6 nodes healthy
        Ready=True Served: 2 namespaces served
        Degraded=False AsExpected: no address can be carried by abroad: its machine is in subscription 00000000-0000-4000-8000-00000000000f, and the credentials are for 00000000-0000-4000-8000-000000000001; no address can be carried by no-machine: there is no virtual machine no-machine in resource group ocp1-rg; no address can be carried by no-nic: virtual machine no-nic has no interface; no address can be carried by other: its subnet does not contain 10.20.1.0/24; no address can be carried by uniform: it is in a scale set of uniform orchestration, whose interfaces cannot be changed one by one"#]], || stage.cluster.status("egress")).await;
    ledger.closes().await;
    // The machine comes, and with it the node.
    stage.cluster.set_cordoned("w1", true).await;
    stage.cluster.set_cordoned("w2", true).await;
    let own = "10.20.0.77".parse().expect("an address");
    let nic = stage.arm.add_nic(&stage.place, "no-nic-nic", &format!("{network}/subnets/workers"), own);
    stage.arm.move_nic(&nic, &stage.place.id(MACHINES, "no-nic"));
    stage.cluster.create([namespace("wiki").in_pool("egress")]).await;
    let ledger = Ledger::open(&stage, &["w1", "w2", "other", "no-nic"]).await;
    stage.serves(&["wiki"], 1).await;
    assert_eq!(stage.cluster.outcome().await.nodes_of("10.20.1.4"), ["no-nic"]);
    ledger.closes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_join_the_pools_of_the_machine_but_none_with_an_outbound_rule() {
    let stage = Stage::start().await;
    stage.machines(&[("w1", 1)]).await;
    for name in ["internal", "outbound"] {
        stage.arm.join_pool(&stage.nic("w1"), &stage.balancer(name));
    }
    let ledger = Ledger::open(&stage, &["w1"]).await;
    let egress = pool("egress").range("eastus-1", "10.20.1.0/24");
    stage.cluster.furnish([egress, namespace("shop").in_pool("egress")]).await;
    let _operator = stage.operator().await;
    stage.serves(&["shop"], 1).await;
    expect![[r#"
        ipconfig1: internal outbound
        EgressIP10.20.1.2: internal"#]]
    .assert_eq(&stage.memberships("w1"));
    // Told once, however many addresses follow.
    stage.cluster.furnish([namespace("cafe").in_pool("egress")]).await;
    stage.serves(&["shop", "cafe"], 1).await;
    ledger.closes().await;
    assert_eq!(stage.not_joined().await, 1);
    let told = stage.cluster.warnings().await;
    assert!(told.contains(&stage.balancer("outbound")), "{told}");
}

/// What was told is known to the process, and to nobody else: its successor tells it once more, when it matters again.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_not_joined_is_told_once_whatever_happens_around_it() {
    let stage = Stage::start().await;
    stage.machines(&[("w1", 1), ("w2", 1)]).await;
    for machine in ["w1", "w2"] {
        stage.arm.join_pool(&stage.nic(machine), &stage.balancer("outbound"));
    }
    let ledger = Ledger::open(&stage, &["w1", "w2"]).await;
    let egress = pool("egress").range("eastus-1", "10.20.1.0/24");
    stage.cluster.furnish([egress, namespace("shop").in_pool("egress")]).await;
    let operator = stage.operator().await;
    stage.serves(&["shop"], 1).await;
    // An address moves, others come and go, and the cloud is read anew.
    let carrier = stage.cluster.outcome().await.nodes_of("10.20.1.2").concat();
    stage.cluster.set_ready(&carrier, false).await;
    eventually("it has moved", A_WHILE, || async {
        let outcome = stage.cluster.outcome().await;
        let nodes = outcome.nodes_of("10.20.1.2").concat();
        if nodes.is_empty() || nodes == carrier { Err(nodes) } else { Ok(()) }
    })
    .await;
    stage.cluster.set_ready(&carrier, true).await;
    stage.cluster.furnish([namespace("cafe").in_pool("egress")]).await;
    stage.serves(&["shop", "cafe"], 1).await;
    stage.cluster.opt_in("cafe", None).await;
    ledger.closes().await;
    let before = stage.arm.count("GET", "/loadBalancers");
    eventually("load balancers were read twice more", A_WHILE, || async {
        let now = stage.arm.count("GET", "/loadBalancers");
        if now >= before + 4 { Ok(()) } else { Err(now - before) }
    })
    .await;
    assert_eq!(stage.not_joined().await, 1);
    operator.stop().await;

    let _operator = stage.operator().await;
    stage.tells(&["Ready=True"]).await;
    ledger.closes().await;
    assert_eq!(stage.not_joined().await, 1, "nothing had to be put on");
    stage.cluster.furnish([namespace("till").in_pool("egress")]).await;
    eventually("it is told for the next address", A_WHILE, || async {
        let count = stage.not_joined().await;
        if count == 2 { Ok(()) } else { Err(count) }
    })
    .await;
    stage.cluster.furnish([namespace("wiki").in_pool("egress")]).await;
    stage.serves(&["shop", "till", "wiki"], 1).await;
    ledger.closes().await;
    assert_eq!(stage.not_joined().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_join_no_pool_where_the_annotation_says_none() {
    let stage = Stage::start().await;
    stage.machines(&[("w1", 1)]).await;
    stage.arm.join_pool(&stage.nic("w1"), &stage.balancer("internal"));
    let ledger = Ledger::open(&stage, &["w1"]).await;
    let egress = pool("egress")
        .range("eastus-1", "10.20.1.0/24")
        .annotation("egressip-ipam-operator.redhat-cop.io/azure-egress-load-balancer", "none");
    stage.cluster.furnish([egress, namespace("shop").in_pool("egress")]).await;
    let _operator = stage.operator().await;
    stage.serves(&["shop"], 1).await;
    expect![[r#"
        ipconfig1: internal
        EgressIP10.20.1.2: "#]]
    .assert_eq(&stage.memberships("w1"));
    ledger.closes().await;
}
