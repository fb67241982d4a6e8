//! The everyday life of addresses: they come, move, go.

use expect_test::expect;

use super::ledger::Ledger;
use super::stage::Stage;
use crate::harness::namespace;

#[tokio::test(flavor = "multi_thread")]
async fn three_zones_share_a_subnet() {
    let stage = Stage::start().await;
    stage.machines(&[("w1", 1), ("w2", 2), ("w3", 3)]).await;
    let ledger = Ledger::open(&stage, &["w1", "w2", "w3"]);
    stage.cluster.create([Stage::three_zones(), namespace("shop").in_pool("egress")]).await;
    let _operator = stage.operator().await;
    stage.serves(&["shop"], 3).await;
    stage.cluster.becomes(expect!["shop: egress, 10.20.1.2 on w1, 10.20.2.2 on w2, 10.20.3.2 on w3"]).await;
    assert_eq!(stage.arm.count("PUT", "networkInterfaces"), 3, "one for each address");
    ledger.closes().await;
}
