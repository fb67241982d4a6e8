//! What a watch makes of a stream of events and failures.

use std::iter::repeat;
use std::time::Duration;

use expect_test::expect;
use futures::stream::{self, StreamExt as _};
use futures::{FutureExt as _, Stream};
use kube::core::Status;
use kube::runtime::watcher::{Error, Event};
use serde_json::json;
use tokio::runtime::Builder;

use super::{Item, Patience, follow, watches};
use crate::index::{SharedIndex, WatchState};
use crate::kind::Kind;
use crate::object::Object;
use crate::testing::{Answer, with_server};

fn subnet(name: &str, version: u64) -> Object {
    let metadata = json!({"name": name, "uid": name, "resourceVersion": version.to_string()});
    Object::new(json!({"metadata": metadata, "egressIPs": []}))
}

fn refused(code: u16, message: &str) -> Box<Status> {
    Box::new(Status::failure(message, "Reason").with_code(code))
}

fn listed(names: &[&str]) -> Vec<Item> {
    let objects = names.iter().map(|name| Ok(Event::InitApply(subnet(name, 1))));
    [Ok(Event::Init)].into_iter().chain(objects).chain([Ok(Event::InitDone)]).collect()
}

/// Runs a watch until its stream has nothing more to say, or it gives the stream up; then returns why.
fn run(index: &SharedIndex, kind: Kind, stream: impl Stream<Item = Item> + Send) -> Option<String> {
    let mut patience = Patience {
        list: Duration::from_millis(30),
        quiet: Duration::from_millis(30),
        pauses: repeat(Duration::from_millis(1)),
    };
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        tokio::select! {
            why = follow(stream, kind, index, &mut patience) => Some(why),
            () = tokio::time::sleep(Duration::from_millis(200)) => None,
        }
    })
}

/// A stream that says this and then stays open.
fn open(items: Vec<Item>) -> impl Stream<Item = Item> + Send {
    stream::iter(items).chain(futures::future::pending::<Item>().into_stream())
}

fn known(index: &SharedIndex) -> Vec<String> {
    index.read(|index| index.facts().host_subnets.keys().map(ToString::to_string).collect())
}

fn state(index: &SharedIndex) -> WatchState {
    index.read(|index| index.watch(Kind::HostSubnet))
}

#[test]
fn a_list_and_changes() {
    let index = SharedIndex::default();
    let mut events = listed(&["n1", "n2"]);
    events.extend([Ok(Event::Apply(subnet("n3", 2))), Ok(Event::Delete(subnet("n1", 3)))]);
    assert_eq!(run(&index, Kind::HostSubnet, open(events)), None);
    assert_eq!(known(&index), ["n2", "n3"]);
    assert_eq!(state(&index), WatchState::Listed);
}

#[test]
fn a_list_rings_once_and_only_when_complete() {
    let index = SharedIndex::default();
    let bell = index.subscribe();
    let mut events = listed(&["n1", "n2"]);
    events.pop();
    run(&index, Kind::HostSubnet, stream::iter(events));
    assert!(!bell.has_changed().unwrap());
    run(&index, Kind::HostSubnet, open(listed(&["n1"])));
    assert!(bell.has_changed().unwrap());
}

#[test]
fn a_gap_is_closed_by_a_new_list() {
    let index = SharedIndex::default();
    let mut events = listed(&["n1", "n2"]);
    events.push(Err(Error::WatchError(refused(410, "too old resource version"))));
    events.extend(listed(&["n2", "n4"]));
    assert_eq!(run(&index, Kind::HostSubnet, open(events)), None);
    assert_eq!(known(&index), ["n2", "n4"]);
    assert_eq!(state(&index), WatchState::Listed);
}

#[test]
fn a_list_that_breaks_off_starts_over() {
    let index = SharedIndex::default();
    let mut events = listed(&["n1", "n2"]);
    events.pop();
    events.push(Err(Error::InitialListFailed(kube::Error::Api(refused(500, "etcd is gone")))));
    events.extend(listed(&["n2"]));
    assert_eq!(run(&index, Kind::HostSubnet, open(events)), None);
    assert_eq!(known(&index), ["n2"]);
}

#[test]
fn a_failure_is_told_and_what_is_known_stays() {
    let index = SharedIndex::default();
    let mut events = listed(&["n1"]);
    // More failures than the test waits for.
    let failure = || Err(Error::WatchStartFailed(kube::Error::Api(refused(403, "hostsubnets is forbidden"))));
    events.extend((0..1000).map(|_| failure()));
    run(&index, Kind::HostSubnet, open(events));
    let text = "cannot read hostsubnets.network.openshift.io: hostsubnets is forbidden".to_owned();
    assert_eq!(state(&index), WatchState::Interrupted(text));
    assert_eq!(known(&index), ["n1"]);
}

#[test]
fn before_the_first_list_a_failure_means_waiting() {
    let index = SharedIndex::default();
    let failure = || Err(Error::InitialListFailed(kube::Error::Api(refused(403, "no"))));
    run(&index, Kind::HostSubnet, open(vec![failure(), failure()]));
    assert!(matches!(state(&index), WatchState::Waiting(_)));
}

#[test]
fn silence_after_a_failure_means_restored() {
    let index = SharedIndex::default();
    let mut events = listed(&["n1"]);
    events.push(Err(Error::WatchFailed(kube::Error::Api(refused(500, "connection reset")))));
    assert_eq!(run(&index, Kind::HostSubnet, open(events)), None);
    assert_eq!(state(&index), WatchState::Listed);
}

#[test]
fn a_kind_that_is_not_served_is_waited_for() {
    let index = SharedIndex::default();
    run(&index, Kind::HostSubnet, open(listed(&["n1"])));
    let gone = Err(Error::WatchStartFailed(kube::Error::Api(refused(404, "the server could not find the resource"))));
    let why = run(&index, Kind::HostSubnet, open([listed(&["n1"]), vec![gone]].into_iter().flatten().collect()));
    assert_eq!(why.unwrap(), "waiting for CRD hostsubnets.network.openshift.io");
    assert_eq!(state(&index), WatchState::Waiting("waiting for CRD hostsubnets.network.openshift.io".to_owned()));
    assert_eq!(known(&index), Vec::<String>::new());
}

#[test]
fn a_cluster_without_infrastructure_is_no_reason_to_wait() {
    let index = SharedIndex::default();
    let gone = Err(Error::InitialListFailed(kube::Error::Api(refused(404, "no"))));
    assert!(run(&index, Kind::Infrastructure, open(vec![gone])).is_some());
    assert_eq!(index.read(|index| index.watch(Kind::Infrastructure)), WatchState::Listed);
}

#[test]
fn a_list_that_hangs_is_given_up() {
    let index = SharedIndex::default();
    let why = run(&index, Kind::HostSubnet, open(vec![Ok(Event::Init)]));
    assert_eq!(why.unwrap(), "no answer to a list within 0 s");
    assert!(matches!(state(&index), WatchState::Waiting(_)));
}

#[test]
fn over_the_wire() {
    let index = std::sync::Arc::new(SharedIndex::default());
    let lock = |version: &str, holder: &str| {
        let record = json!({"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "2024-05-06T07:08:09Z"});
        let annotations = json!({"control-plane.alpha.kubernetes.io/leader": record.to_string()});
        let metadata = json!({"name": "9ae943bf.redhat.io", "namespace": "ops", "uid": "u", "resourceVersion": version,
                              "annotations": annotations, "managedFields": [5]});
        json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata})
    };
    let list = json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "9"},
                      "items": [{"metadata": "broken"}, lock("5", "pod-1")]});
    let change = json!({"type": "MODIFIED", "object": lock("10", "pod-2")});
    let bookmark = json!({"type": "BOOKMARK", "object": {"kind": "ConfigMap", "apiVersion": "v1",
                          "metadata": {"resourceVersion": "12", "annotations": {}}}});
    let answer = |body: String| Answer { head: "200 OK\r\ncontent-type: application/json", body };
    let answers = vec![answer(list.to_string()), answer(format!("{change}\n{bookmark}\n"))];
    let shared = std::sync::Arc::clone(&index);
    let ((), requests) = with_server(answers, |client| async move {
        let mut bell = shared.subscribe();
        let watch = watches(&client, &shared).into_iter().find(|watch| watch.kind == Kind::Lock).unwrap();
        let holder = |index: &crate::index::Index| index.foreign_lock(0).map(|holder| holder.identity);
        tokio::select! {
            never = watch.future => match never {},
            () = async { while shared.read(holder).as_deref() != Some("pod-2") { bell.changed().await.unwrap(); } } => {}
        }
    });
    let lines: Vec<&str> = requests.iter().filter_map(|request| request.lines().next()).collect();
    expect![[r#"
        [
            "GET /api/v1/configmaps?&fieldSelector=metadata.name%3D9ae943bf.redhat.io&limit=250 HTTP/1.1",
            "GET /api/v1/configmaps?&watch=true&timeoutSeconds=290&fieldSelector=metadata.name%3D9ae943bf.redhat.io&allowWatchBookmarks=true&resourceVersion=9 HTTP/1.1",
        ]
    "#]]
    .assert_debug_eq(&lines);
    assert_eq!(index.read(|index| index.watch(Kind::Lock)), WatchState::Listed);
}
