//! `/healthz` and `/readyz`, and what a start waits for.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{becomes, define, is_served, serves, two_zones};
use crate::harness::{Cluster, Operator, SOON, eventually, namespace};

/// Waits until `/readyz` says no, with this text; the process lives meanwhile.
async fn waits_for(operator: &Operator, what: &str) {
    eventually(&format!("it waits for {what}"), SOON, || async {
        assert!(operator.is_running(), "{}", operator.log());
        match operator.probe("/readyz").await? {
            (StatusCode::SERVICE_UNAVAILABLE, text) if text.contains(what) => Ok(()),
            (status, text) => Err(format!("{status} {text}")),
        }
    })
    .await;
    let (status, _) = operator.probe("/healthz").await.expect("an answer");
    assert_eq!(status, StatusCode::OK, "to wait is no illness");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_within_seconds() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    cluster.create([namespace("shop").in_pool("egress")]).await;
    let begin = Instant::now();
    let operator = Operator::start(&cluster).await;
    let ready = begin.elapsed();
    is_served(&cluster, "shop").await;
    // A debug build compiles the policy slowly; a release build takes less than 2 s.
    assert!(ready < Duration::from_secs(10), "ready after {ready:?}");
    for (path, expected) in [
        ("/healthz", StatusCode::OK),
        ("/readyz", StatusCode::OK),
        ("/startupz", StatusCode::OK),
        ("/else", StatusCode::NOT_FOUND),
    ] {
        let (status, _) = operator.probe(path).await.expect("an answer");
        assert_eq!(status, expected, "{path}");
    }
    assert_eq!(operator.page("/metrics").await.expect("an answer").0, StatusCode::OK);
    assert_eq!(operator.page("/else").await.expect("an answer").0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_definitions_of_the_network_are_waited_for() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    cluster.delete("CustomResourceDefinition", "hostsubnets.network.openshift.io").await;
    cluster.is_gone("CustomResourceDefinition", "hostsubnets.network.openshift.io").await;
    let operator = Operator::launch(&cluster).spawn();
    waits_for(&operator, "hostsubnets").await;
    becomes(&cluster, "egress", "Ready", "False", "hostsubnets").await;
    define(&cluster, "002_hostsubnets.crd.yaml").await;
    operator.ready().await;
    becomes(&cluster, "egress", "Ready", "True", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_definition_of_pools_it_waits_and_says_so() {
    let cluster = Cluster::start().await;
    cluster.delete("CustomResourceDefinition", "egressipams.redhatcop.redhat.io").await;
    cluster.is_gone("CustomResourceDefinition", "egressipams.redhatcop.redhat.io").await;
    let operator = Operator::launch(&cluster).spawn();
    waits_for(&operator, "egressipams").await;
    eventually("the log says so", Duration::from_secs(20), || async {
        let log = operator.log();
        if log.contains("egressipams") { Ok(()) } else { Err(log) }
    })
    .await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_not_there_is_waited_for() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    cluster.stop_apiserver();
    let operator = Operator::launch(&cluster).spawn();
    waits_for(&operator, "refused").await;
    cluster.start_apiserver().await;
    eventually("it is ready", Duration::from_mins(1), || async {
        match operator.probe("/readyz").await? {
            (StatusCode::OK, _) => Ok(()),
            (status, text) => Err(format!("{status} {text}")),
        }
    })
    .await;
    serves(&cluster, "shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_restarts_interrupts_nothing_for_good() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let operator = Operator::start(&cluster).await;
    serves(&cluster, "before").await;
    cluster.stop_apiserver();
    cluster.start_apiserver().await;
    cluster.create([namespace("after").in_pool("egress")]).await;
    super::is_served_within(&cluster, "after", Duration::from_mins(1)).await;
    assert!(operator.is_running());
    cluster.assert_sound().await;
}

/// A client that never comes to the end of its question.
async fn dawdler(operator: &Operator) -> TcpStream {
    let mut stream = TcpStream::connect(operator.health()).await.expect("it listens");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").await.expect("it reads");
    stream
}

/// Panics unless the operator closes a connection within so long.
async fn is_closed(mut stream: TcpStream, deadline: Duration) {
    let mut answer = Vec::new();
    let read = timeout(deadline, stream.read_to_end(&mut answer)).await.expect("it is closed");
    assert!(read.is_err() || answer.is_empty(), "an answer to half a question: {}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_dawdle_keep_no_connection_and_nobody_from_asking() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let operator = Operator::start(&cluster).await;
    let mut dawdlers = Vec::new();
    for _ in 0..200 {
        dawdlers.push(dawdler(&operator).await);
    }
    let (status, _) = operator.probe("/healthz").await.expect("an answer");
    assert_eq!(status, StatusCode::OK);
    is_closed(dawdlers.remove(0), Duration::from_secs(2)).await;
    is_closed(dawdlers.remove(198), Duration::from_secs(20)).await;
    dawdlers.push(dawdler(&operator).await);
    operator.stop().await;
}
