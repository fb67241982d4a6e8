//! Addresses at the edges of a range and of a subnet.

use std::net::IpAddr;

use expect_test::expect;

use super::ledger::Ledger;
use super::stage::Stage;
use crate::harness::{FINALIZER, Object, host_subnet, namespace, net_namespace, pool, reads};

impl Stage {
    /// A namespace that holds an address, which a machine carries and its interface has.
    async fn is_served_already(&self, owner: &str, machine: &str, address: &str) {
        let ip: IpAddr = address.parse().expect("an address");
        self.arm.add_config(&self.nic(machine), &format!("EgressIP{address}"), ip);
        self.holds(owner, machine, address).await;
    }

    /// The same, as far as the cluster knows.
    async fn holds(&self, owner: &str, machine: &str, address: &str) {
        let served = namespace(owner).in_pool("egress").requesting(address);
        let objects = [served, net_namespace(owner).addresses(&[address]), host_subnet(machine).addresses(&[address])];
        self.cluster.create(objects).await;
    }
}

fn one_zone(range: &str) -> Object {
    pool("egress").range("eastus-1", range).finalizer(FINALIZER)
}

/// Never handed out by us; but Azure does not mind it, unless it is the subnet's own first.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_host_of_a_range_stays_with_who_has_it_and_is_given_to_nobody_else() {
    let stage = Stage::start().await;
    stage.machines(&[("w1", 1)]).await;
    stage.is_served_already("crm", "w1", "10.20.1.1").await;
    stage.cluster.create([one_zone("10.20.1.0/24")]).await;
    stage.cluster.companions_are_there().await;
    let ledger = Ledger::open(&stage, &["w1"]).await;
    let mark = stage.cluster.audit().mark().await;
    let _operator = stage.operator().await;
    stage.tells(&["Ready=True"]).await;
    ledger.closes().await;
    let written = stage.cluster.written_since(mark).await;
    assert_eq!(written.summary(), "patch egressipams/status: 1\n", "{written}");
    assert_eq!(ledger.puts(), [""; 0]);
    stage.cluster.becomes(expect!["crm: egress, 10.20.1.1 on w1"]).await;

    stage.cluster.create([namespace("shop").in_pool("egress")]).await;
    stage.serves(&["crm", "shop"], 1).await;
    stage.cluster.opt_in("crm", None).await;
    stage.cluster.becomes(expect!["crm: -\nshop: egress, 10.20.1.2 on w1"]).await;
    stage.cluster.create([namespace("wiki").in_pool("egress")]).await;
    stage.serves(&["shop", "wiki"], 1).await;
    stage.cluster.becomes(expect!["crm: -\nshop: egress, 10.20.1.2 on w1\nwiki: egress, 10.20.1.3 on w1"]).await;
    ledger.closes().await;
}

/// The subnet begins where the range does: Azure keeps its first four addresses, so that no interface has them.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_azure_keeps_for_itself_is_replaced() {
    let stage = Stage::start().await;
    stage.machines(&[("w1", 1)]).await;
    stage.holds("crm", "w1", "10.20.0.1").await;
    stage.cluster.create([one_zone("10.20.0.0/28")]).await;
    stage.cluster.companions_are_there().await;
    let ledger = Ledger::open(&stage, &["w1"]).await;
    let _operator = stage.operator().await;
    stage.cluster.becomes(expect!["crm: egress, 10.20.0.5 on w1"]).await;
    stage.serves(&["crm"], 1).await;
    ledger.closes().await;
    expect![[r#"
        w1-nic 400: 1 of ours
        w1-nic 200: 1 of ours"#]]
    .assert_eq(&ledger.puts().join("\n"));
    reads(expect![[r#"
        EgressIPAM egress: ProcessingError: PrivateIPAddressInReservedRange: Private static IP address 10.20.0.1 falls within reserved IP range of subnet prefix 10.20.0.0/16.
        Namespace crm: AddressesChanged: egress addresses changed from 10.20.0.1 to 10.20.0.5: 10.20.0.1: somebody else in the cloud has it, or it is given to nobody
    "#]], || stage.cluster.warnings()).await;
    // Nor is one of them given to who asks for it.
    stage.cluster.create([namespace("shop").in_pool("egress").requesting("10.20.0.2")]).await;
    reads(expect!["shop: request-invalid: 10.20.0.2 is not in the pool, or reserved"], || stage.cluster.holds()).await;
    assert_eq!(ledger.puts().len(), 2, "azure is not asked for it");
}
