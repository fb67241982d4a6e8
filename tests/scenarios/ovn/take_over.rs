//! Objects that somebody else made, and a cluster whose network changes.

use expect_test::expect;
use kube::api::PostParams;
use serde_json::json;

use super::{becomes, by_hand, cluster, launch, of, told};
use crate::harness::bootstrap::{documents, fixtures, is_served};
use crate::harness::{Object, Operator, SOON, eventually, kinds, namespace};

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_others_are_taken_over_or_left_alone_and_told() {
    let (cluster, _ovn) = cluster(3).await;
    let by_label = json!({ "matchLabels": { "team": "red" } });
    cluster
        .create([
            // As the Cluster Network Operator leaves them after a migration.
            by_hand("egressip-docs", &of("docs"), &["10.20.0.10", "10.21.0.10"]),
            by_hand("mine", &of("shop"), &["10.20.0.11", "10.21.0.11"]),
            by_hand("outside", &of("wiki"), &["192.0.2.7"]),
            by_hand("red", &by_label, &["10.20.0.12"]),
        ])
        .await;
    let opted_in = ["docs", "shop", "wiki", "late"].map(|name| namespace(name).in_pool("egress"));
    cluster.create(opted_in).await;
    let operator = launch(&cluster).start().await;
    becomes(
        &cluster,
        expect![[r#"
            labels: worker-a0 worker-a1 worker-b0 worker-b1
            egressip-docs: 10.20.0.10,10.21.0.10 on 10.20.0.10@worker-a 10.21.0.10@worker-b (sluice.dev/namespace=docs sluice.dev/pool=egress zone.sluice.dev/10.20.0.10=zone-a zone.sluice.dev/10.21.0.10=zone-b)
            egressip-late: 10.20.0.2,10.21.0.2 on 10.20.0.2@worker-a 10.21.0.2@worker-b (sluice.dev/namespace=late sluice.dev/pool=egress zone.sluice.dev/10.20.0.2=zone-a zone.sluice.dev/10.21.0.2=zone-b)
            mine: 10.20.0.11,10.21.0.11 on 10.20.0.11@worker-a 10.21.0.11@worker-b (sluice.dev/namespace=shop sluice.dev/pool=egress zone.sluice.dev/10.20.0.11=zone-a zone.sluice.dev/10.21.0.11=zone-b)
            outside: 192.0.2.7 on  ()
            red: 10.20.0.12 on 10.20.0.12@worker-a ()
        "#]],
    )
    .await;
    eventually("wiki is told", SOON, || async {
        let told = told(&cluster, "wiki", "sluice.dev/hold").await;
        if told.starts_with("foreign-object: EgressIP outside has addresses that pool egress does not give") {
            Ok(())
        } else {
            Err(told)
        }
    })
    .await;
    // What was taken over stays when its namespace leaves, without our labels.
    cluster.opt_in("shop", None).await;
    eventually("it is its maker's again", SOON, || async {
        let object = cluster.get("EgressIP", "mine").await.expect("it stays");
        let labels = json!(object.metadata.labels);
        let is_given_up = !labels.to_string().contains("sluice.dev");
        if is_given_up { Ok(()) } else { Err(labels.to_string()) }
    })
    .await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_while_the_network_changes_and_everything_goes_on_afterwards() {
    let (cluster, _ovn) = cluster(4).await;
    let definition = documents(&fixtures().join("crds/networks.crd.yaml")).remove(0);
    cluster.create([Object::from_json(definition)]).await;
    is_served(&cluster.client(), "Network").await;
    let network = json!({
        "apiVersion": "config.openshift.io/v1",
        "kind": "Network",
        "metadata": { "name": "cluster" },
        "spec": { "networkType": "OVNKubernetes" },
        "status": { "networkType": "OpenShiftSDN" },
    });
    // The definition has no subresource: status is written with the object.
    let made = cluster.api("Network", None).create(&PostParams::default(), &kinds::dynamic(network)).await;
    made.expect("it can be made");
    cluster.create([namespace("shop").in_pool("egress").requesting("10.20.0.9,10.21.0.9")]).await;
    let operator = Operator::launch(&cluster).start().await;
    eventually("the pool says why", SOON, || async {
        let ready = cluster.condition("egress", "Ready").await;
        let text = "the cluster's network is being changed from OpenShiftSDN to OVNKubernetes";
        if ready.contains(text) { Ok(()) } else { Err(ready) }
    })
    .await;
    becomes(
        &cluster,
        expect![[r#"
        labels: 
    "#]],
    )
    .await;
    cluster.patch("Network", "cluster", &json!({ "status": { "networkType": "OVNKubernetes" } })).await;
    becomes(
        &cluster,
        expect![[r#"
            labels: worker-a0 worker-a1 worker-b0 worker-b1
            egressip-shop: 10.20.0.9,10.21.0.9 on 10.20.0.9@worker-a 10.21.0.9@worker-b (sluice.dev/namespace=shop sluice.dev/pool=egress zone.sluice.dev/10.20.0.9=zone-a zone.sluice.dev/10.21.0.9=zone-b)
        "#]],
    )
    .await;
    operator.stop().await;
}
