//! Two replicas: one writes, the other takes over.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use serde_json::{Value, json};

use super::{is_served_within, serves, two_zones};
use crate::harness::bootstrap::OPERATOR_NAMESPACE;
use crate::harness::{Cluster, Matcher, Operator, Proxy, Rule, SOON, User, eventually, namespace, net_namespace};

/// A lease that nobody gives back ends 15 s after it was renewed; then somebody has to look.
const TAKEN_OVER: Duration = Duration::from_secs(40);
/// How long a lease is.
const LEASE: Duration = Duration::from_secs(15);

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

async fn lease(cluster: &Cluster) -> Value {
    let lease = cluster.api("Lease", Some(OPERATOR_NAMESPACE)).get("sluice").await.expect("the lease");
    lease.data["spec"].clone()
}

/// Nothing is wrong with its writes, only with its lease. There is something to write all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_renew_stops_writing_before_its_lease_ends() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let proxy = Proxy::start(&cluster).await;
    let first = replica(&cluster, "sluice-0").through(&proxy).start().await;
    comes_to_lead(&first, SOON).await;
    let second = replica(&cluster, "sluice-1").start().await;
    serves(&cluster, "shop").await;

    proxy.rule(Rule::hang(Matcher::any().on("leases")));
    let cut_off = SystemTime::now();
    let (mut written, mut last_write, mut looked, mut created) = (0, cut_off, 0, 0);
    eventually("the other leads", TAKEN_OVER, || {
        looked += 1;
        // A range has room for some 250.
        let is_due = looked % 8 == 0 && created < 200;
        created += usize::from(is_due);
        let now_written = proxy.asked(&Matcher::changes()).len();
        if now_written > written {
            (written, last_write) = (now_written, SystemTime::now());
        }
        let (cluster, second) = (&cluster, &second);
        async move {
            if is_due {
                cluster.create([namespace(&format!("busy-{created:04}")).in_pool("egress")]).await;
            }
            if leads(second).await { Ok(()) } else { Err(format!("{created} namespaces")) }
        }
    })
    .await;
    let lease = lease(&cluster).await;
    assert_eq!(lease["holderIdentity"], "sluice-1");
    // The other found it ended as it was renewed last, and no request of ours came later than that.
    let taken: Timestamp = lease["acquireTime"].as_str().expect("a time").parse().expect("a time");
    let since = |time: SystemTime| time.duration_since(cut_off).expect("later");
    let (wrote, taken) = (since(last_write), since(taken.into()));
    println!("wrote for {wrote:?} without its lease, which was taken after {taken:?}");
    assert!(wrote > Duration::from_secs(4), "it had work to do: {wrote:?}");
    // Its last renewal was before it was cut off.
    assert!(wrote < LEASE && wrote < taken, "wrote for {wrote:?}, taken after {taken:?}");
    assert!(!leads(&first).await && first.is_running());
    is_served_within(&cluster, &format!("busy-{created:04}"), SOON).await;
    cluster.assert_sound().await;
}

/// Neither is a lease free because its times are hours ago, nor taken because they are hours ahead.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_judged_by_its_changes_and_not_by_anybody_s_clock() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let api = cluster.api("Lease", Some(OPERATOR_NAMESPACE));
    let spec = |time: Timestamp| {
        let time = format!("{time:.6}");
        json!({ "holderIdentity": "elsewhere", "leaseDurationSeconds": 15, "acquireTime": time, "renewTime": time })
    };
    let mut slow_clock = Timestamp::now() - jiff::SignedDuration::from_hours(5);
    let metadata = ObjectMeta { name: Some("sluice".to_owned()), ..ObjectMeta::default() };
    let data = json!({ "spec": spec(slow_clock) });
    let types = Some(kube::core::TypeMeta { api_version: "coordination.k8s.io/v1".into(), kind: "Lease".into() });
    api.create(&PostParams::default(), &DynamicObject { types, metadata, data }).await.expect("a lease");
    let operator = replica(&cluster, "sluice-0").start().await;
    let ready_at = SystemTime::now();
    eventually("it was renewed for longer than it lasts", TAKEN_OVER, || {
        slow_clock += Duration::from_secs(1);
        let (api, operator) = (&api, &operator);
        let patch = Patch::Merge(json!({ "spec": spec(slow_clock) }));
        async move {
            assert!(!leads(operator).await, "it took a lease that is alive");
            api.patch("sluice", &PatchParams::default(), &patch).await.map_err(|error| error.to_string())?;
            let held = ready_at.elapsed().expect("later");
            if held > LEASE + Duration::from_secs(3) { Ok(()) } else { Err(format!("{held:?}")) }
        }
    })
    .await;
    let fast_clock = Timestamp::now() + jiff::SignedDuration::from_hours(5);
    let patch = Patch::Merge(json!({ "spec": spec(fast_clock) }));
    api.patch("sluice", &PatchParams::default(), &patch).await.expect("a lease");
    comes_to_lead(&operator, TAKEN_OVER).await;
    serves(&cluster, "shop").await;
}

/// Whoever deletes the lease makes it anybody's; whoever writes another name into it takes it away.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_deleted_is_made_again_and_one_that_is_taken_is_let_go() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let operator = replica(&cluster, "sluice-0").start().await;
    comes_to_lead(&operator, SOON).await;
    let api = cluster.api("Lease", Some(OPERATOR_NAMESPACE));
    api.delete("sluice", &kube::api::DeleteParams::default()).await.expect("a lease");
    eventually("there is a lease again", SOON, || async {
        let lease = api.get_opt("sluice").await.map_err(|error| error.to_string())?;
        let holder = lease.map(|lease| lease.data["spec"]["holderIdentity"].clone());
        if holder == Some(json!("sluice-0")) { Ok(()) } else { Err(format!("{holder:?}")) }
    })
    .await;
    comes_to_lead(&operator, SOON).await;
    let taken = Patch::Merge(json!({ "spec": { "holderIdentity": "somebody" } }));
    api.patch("sluice", &PatchParams::default(), &taken).await.expect("a lease");
    eventually("it steps down", Duration::from_secs(6), || async {
        if leads(&operator).await { Err("it leads") } else { Ok(()) }
    })
    .await;
    // Nobody renews it, so that it is free after a while.
    comes_to_lead(&operator, TAKEN_OVER).await;
    serves(&cluster, "shop").await;
}
