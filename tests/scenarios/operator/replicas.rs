//! Two replicas: one writes, the other takes over.

use std::time::Duration;

use super::{is_served_within, serves, two_zones};
use crate::harness::{Cluster, Operator, SOON, User, eventually, namespace, net_namespace};

/// A lease that nobody gives back ends 15 s after it was renewed; then somebody has to look.
const TAKEN_OVER: Duration = Duration::from_secs(40);

fn replica(cluster: &Cluster, name: &str) -> crate::harness::Launch {
    Operator::launch(cluster).env("POD_NAME", name)
}

async fn leads(operator: &Operator) -> bool {
    operator.metric("sluice_leader").await == Some(1.0)
}

async fn comes_to_lead(operator: &Operator, deadline: Duration) {
    eventually("it leads", deadline, || async { if leads(operator).await { Ok(()) } else { Err("it does not lead") } })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_writes_and_the_other_follows_at_once_when_it_is_told_to_stop() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let first = replica(&cluster, "sluice-0").start().await;
    comes_to_lead(&first, SOON).await;
    let second = replica(&cluster, "sluice-1").start().await;
    cluster.settled().await;
    let mark = cluster.audit().mark().await;
    // First what the network makes of it: a namespace without it is held for a moment, which takes more writes.
    cluster.create([net_namespace("shop")]).await;
    serves(&cluster, "shop").await;
    cluster.settled().await;
    assert!(leads(&first).await && !leads(&second).await);
    let written = cluster.written_since(mark).await.except(&["egressipams/status"]);
    assert_eq!(written.summary(), "patch hostsubnets: 2\npatch namespaces: 1\npatch netnamespaces: 1\n");
    assert!(written.iter().all(|request| request.code < 300), "{written}");
    let lease = cluster.api("Lease", Some(crate::harness::bootstrap::OPERATOR_NAMESPACE)).get("sluice").await;
    assert_eq!(lease.expect("the lease").data["spec"]["holderIdentity"], "sluice-0");

    first.stop().await;
    comes_to_lead(&second, Duration::from_secs(6)).await;
    serves(&cluster, "billing").await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_takes_over_when_it_is_killed() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let first = replica(&cluster, "sluice-0").start().await;
    comes_to_lead(&first, SOON).await;
    let second = replica(&cluster, "sluice-1").start().await;
    serves(&cluster, "shop").await;
    first.kill();
    cluster.create([namespace("billing").in_pool("egress")]).await;
    comes_to_lead(&second, TAKEN_OVER).await;
    is_served_within(&cluster, "billing", SOON).await;
    cluster.assert_sound().await;
}

/// It wakes up, believes that it still leads, and must do no harm.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_frozen_meanwhile_does_no_harm_and_steps_down() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let first = replica(&cluster, "sluice-0").start().await;
    comes_to_lead(&first, SOON).await;
    let second = replica(&cluster, "sluice-1").start().await;
    serves(&cluster, "shop").await;
    first.freeze();
    comes_to_lead(&second, TAKEN_OVER).await;
    serves(&cluster, "billing").await;
    cluster.set_ready("worker-a0", false).await;
    let mark = cluster.audit().mark().await;
    first.thaw();
    eventually("it steps down", SOON, || async { if leads(&first).await { Err("it leads") } else { Ok(()) } }).await;
    assert!(leads(&second).await);
    serves(&cluster, "reports").await;
    cluster.settled().await;
    cluster.assert_sound().await;
    let lost = cluster.audit().since(mark).await.by(User::Sluice).on("netnamespaces");
    assert!(lost.iter().filter(|request| request.is_write()).all(|request| request.name == "reports"), "{lost}");
}

/// The same replica again, as a restarted container starts it: it does not wait for its own lease to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_crashed_leads_again_at_once() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let first = replica(&cluster, "sluice-0").start().await;
    serves(&cluster, "shop").await;
    first.kill();
    let again = replica(&cluster, "sluice-0").start().await;
    comes_to_lead(&again, Duration::from_secs(6)).await;
    serves(&cluster, "billing").await;
}
