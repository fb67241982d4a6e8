//! What a watch makes of what an API server answers, and does not answer. A second takes 20 ms.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use expect_test::expect;
use futures::StreamExt as _;
use futures::stream;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::time::{Instant, interval, sleep, timeout};
use tower::service_fn;

use super::{LASTS, PATIENCE, Patience, Reader, watches};
use crate::index::{SharedIndex, WatchState};
use crate::kind::Kind;
use crate::testing::{Answer, with_server};

/// What the API server does with one request.
enum Act {
    /// A list at this version of these objects; `true`: there is a page after it.
    List(u64, Vec<Value>, bool),
    /// A refusal.
    Refuse(u16, &'static str),
    /// A watch that shows these events and lasts as long as it was asked to.
    Watch(Vec<Value>),
    /// A watch that shows these events and ends at once.
    Short(Vec<Value>),
    /// A watch that shows these events and nothing more, not even its end: the connection is dead.
    Dead(Vec<Value>),
    /// No answer at all.
    Silence,
    /// A body as it is.
    Body(Value),
}

fn subnet(name: &str, version: u64) -> Value {
    let metadata = json!({"name": name, "uid": name, "resourceVersion": version.to_string()});
    json!({"metadata": metadata, "egressIPs": []})
}

fn list(version: u64, names: &[&str]) -> Act {
    Act::List(version, names.iter().map(|name| subnet(name, 1)).collect(), false)
}

fn event(kind: &str, name: &str, version: u64) -> Value {
    json!({"type": kind, "object": subnet(name, version)})
}

fn bookmark(version: u64) -> Value {
    let metadata = json!({"resourceVersion": version.to_string(), "annotations": {}});
    json!({"type": "BOOKMARK", "object": {"kind": "HostSubnet", "apiVersion": "v1", "metadata": metadata}})
}

fn status(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": "Reason", "code": code})
}

/// How many milliseconds a second takes.
const SECOND: u64 = 20;

fn patience() -> Patience {
    let short = |time: Duration| time / u32::try_from(1000 / SECOND).unwrap();
    let both = |(first, last)| (short(first), short(last));
    let Patience { page, watch, too_short, question, absent, pause } = PATIENCE;
    let absent = (short(absent.0), absent.1);
    Patience {
        page: both(page),
        watch: short(watch),
        too_short: short(too_short),
        question: short(question),
        absent,
        pause: both(pause),
    }
}

/// Plays a script to the watch of a kind until something is so. Returns what was asked. After the script nothing is answered.
fn play(index: &Arc<SharedIndex>, kind: Kind, script: Vec<Act>, until: impl Fn(&str) -> bool) -> String {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let (script, asked) = (Arc::new(Mutex::new(VecDeque::from(script))), Arc::new(Mutex::new(String::new())));
        let shared = Arc::clone(&asked);
        let server = service_fn(move |request: Request<Body>| {
            writeln!(shared.lock().unwrap(), "{}", in_short(&request)).unwrap();
            let act = script.lock().unwrap().pop_front().unwrap_or(Act::Silence);
            async move { answer(act).await }
        });
        let reader = Reader::new(Client::new(server, "default"), kind, index, patience());
        let reached = async {
            let mut looks = interval(Duration::from_millis(1));
            while !until(&asked.lock().unwrap()) {
                looks.tick().await;
            }
        };
        tokio::select! {
            never = reader.run() => match never {},
            result = timeout(Duration::from_secs(20), reached) => assert!(result.is_ok(), "{}", asked.lock().unwrap()),
        }
        asked.lock().unwrap().clone()
    })
}

/// So many requests were made, and what came before the last of them was taken.
fn requests(count: usize) -> impl Fn(&str) -> bool {
    move |asked| asked.lines().count() == count
}

fn in_short(request: &Request<Body>) -> String {
    let query = request.uri().query().unwrap_or_default();
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    match (value("watch"), value("limit"), value("continue")) {
        (Some(_), ..) => format!("watch from {}", value("resourceVersion").unwrap_or("nowhere")),
        (None, Some("1"), _) => "look".to_owned(),
        (None, Some(_), None) => "list".to_owned(),
        (None, Some(_), Some(token)) => format!("list on from {token}"),
        (None, None, _) => format!("GET {}", request.uri().path()),
    }
}

type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

async fn answer(act: Act) -> Result<Response<AnyBody>, Infallible> {
    let whole = |code, body: Value| {
        Response::builder().status(code).body(Full::new(Bytes::from(body.to_string())).boxed_unsync()).unwrap()
    };
    let lines = |events: Vec<Value>| events.into_iter().map(|event| Bytes::from(format!("{event}\n")));
    let lines = |events| stream::iter(lines(events)).map(|line| Ok::<_, Infallible>(Frame::data(line)));
    Ok(match act {
        Act::List(version, items, more) => {
            let metadata = json!({"resourceVersion": version.to_string(), "continue": if more { "token" } else { "" }});
            whole(200, json!({"kind": "HostSubnetList", "apiVersion": "v1", "metadata": metadata, "items": items}))
        }
        Act::Refuse(code, message) => whole(code, status(code, message)),
        Act::Body(body) => whole(200, body),
        Act::Short(events) => Response::new(StreamBody::new(lines(events)).boxed_unsync()),
        Act::Watch(events) => {
            let end = stream::once(sleep(Duration::from_millis(SECOND * u64::from(LASTS)))).filter_map(async |()| None);
            Response::new(StreamBody::new(lines(events).chain(end)).boxed_unsync())
        }
        Act::Dead(events) => Response::new(StreamBody::new(lines(events).chain(stream::pending())).boxed_unsync()),
        Act::Silence => std::future::pending().await,
    })
}

fn known(index: &SharedIndex) -> Vec<String> {
    index.read(|index| index.facts().carriers.keys().map(ToString::to_string).collect())
}

fn state(index: &SharedIndex) -> WatchState {
    index.read(|index| index.watch(Kind::HostSubnet))
}

fn interrupted(text: &str) -> WatchState {
    WatchState::Interrupted(format!("cannot read hostsubnets.network.openshift.io: {text}"))
}

#[test]
fn a_list_and_changes() {
    let index = Arc::default();
    let changes = vec![event("ADDED", "n3", 2), event("DELETED", "n1", 3)];
    play(&index, Kind::HostSubnet, vec![list(1, &["n1", "n2"]), Act::Dead(changes)], |_| known(&index) == ["n2", "n3"]);
    assert_eq!(known(&index), ["n2", "n3"]);
    assert_eq!(state(&index), WatchState::Listed);
}

#[test]
fn a_list_rings_once_and_only_when_complete() {
    let index: Arc<SharedIndex> = Arc::default();
    let bell = index.subscribe();
    let page = || Act::List(1, vec![subnet("n1", 1)], true);
    play(&index, Kind::HostSubnet, vec![page()], requests(2));
    assert!(!bell.has_changed().unwrap());
    let asked = play(&index, Kind::HostSubnet, vec![page(), list(1, &["n2"])], requests(3));
    assert!(bell.has_changed().unwrap());
    assert_eq!(known(&index), ["n1", "n2"]);
    expect![[r"
        list
        list on from token
        watch from 1
    "]]
    .assert_eq(&asked);
}

#[test]
fn a_watch_is_asked_for_again_from_where_it_was() {
    let index = Arc::default();
    let script = vec![
        list(1, &["n1"]),
        Act::Watch(vec![event("ADDED", "n2", 4)]),
        Act::Watch(vec![bookmark(9)]),
        Act::Watch(vec![]),
        Act::Watch(vec![]),
    ];
    let asked = play(&index, Kind::HostSubnet, script, requests(5));
    assert_eq!((known(&index).len(), state(&index)), (2, WatchState::Listed));
    expect![[r"
        list
        watch from 1
        watch from 4
        watch from 9
        watch from 9
    "]]
    .assert_eq(&asked);
}

#[test]
fn a_watch_that_shows_no_end_is_dead_and_made_anew() {
    let index = Arc::default();
    // At first it looks where the cluster is, then it goes on at once.
    let script = vec![
        list(1, &["n1"]),
        Act::Dead(vec![bookmark(5)]),
        list(7, &["n1"]),
        Act::Watch(vec![event("ADDED", "n2", 6)]),
    ];
    let asked = play(&index, Kind::HostSubnet, script, |_| known(&index).len() == 2);
    assert_eq!(state(&index), WatchState::Listed);
    expect![[r"
        list
        watch from 1
        look
        watch from 5
    "]]
    .assert_eq(&asked);
}

#[test]
fn a_watch_that_never_begins_is_dead_as_well() {
    let index = Arc::default();
    let asked = play(&index, Kind::HostSubnet, vec![list(1, &["n1"]), Act::Silence], requests(3));
    assert_eq!(state(&index), interrupted("a watch shows no end within 0 s"));
    assert_eq!(known(&index), ["n1"]);
    expect![[r"
        list
        watch from 1
        look
    "]]
    .assert_eq(&asked);
}

/// Such as by a proxy that does not know what to do with a watch. Without a pause it would be asked without end.
#[test]
fn watches_that_end_at_once_are_failures() {
    let index = Arc::default();
    let short = || Act::Short(vec![bookmark(2)]);
    let look = || list(2, &["n1"]);
    let script = vec![list(1, &["n1"]), short(), look(), short(), look(), short(), look(), short()];
    let started = Instant::now();
    let asked = play(&index, Kind::HostSubnet, script, requests(9));
    assert_eq!(asked.lines().filter(|line| line.ends_with("from 2")).count(), 3, "{asked}");
    // After the second, third and fourth failure.
    let (first, _) = patience().pause;
    assert!(started.elapsed() >= first * 7, "{:?}", started.elapsed());
}

#[test]
fn an_etcd_that_was_restored_is_listed_although_its_versions_are_lower() {
    let index = Arc::default();
    let newer = |name| Act::List(100, vec![subnet(name, 90)], false);
    let script = vec![
        newer("n1"),
        Act::Watch(vec![bookmark(110)]),
        Act::Refuse(503, "restarting"),
        // A watch from 110 would show nothing before 110 comes again.
        list(50, &["n2"]),
        Act::List(50, vec![subnet("n2", 40), subnet("n1", 30)], false),
        Act::Watch(vec![event("DELETED", "n1", 51)]),
    ];
    let asked = play(&index, Kind::HostSubnet, script, |asked| requests(6)(asked) && known(&index) == ["n2"]);
    expect![[r"
        list
        watch from 100
        watch from 110
        look
        list
        watch from 50
    "]]
    .assert_eq(&asked);
}

#[test]
fn a_gap_is_closed_by_a_new_list() {
    let index = Arc::default();
    let gone = json!({"type": "ERROR", "object": status(410, "too old resource version")});
    let script = vec![
        list(1, &["n1", "n2"]),
        Act::Watch(vec![gone]),
        list(9, &["n2", "n4"]),
        Act::Refuse(410, "gone"),
        list(9, &["n4"]),
    ];
    play(&index, Kind::HostSubnet, script, requests(6));
    assert_eq!(known(&index), ["n4"]);
    assert_eq!(state(&index), WatchState::Listed);
}

#[test]
fn a_list_that_breaks_off_starts_over() {
    let index = Arc::default();
    let script = vec![Act::List(1, vec![subnet("n1", 1)], true), Act::Refuse(500, "etcd is gone"), list(2, &["n2"])];
    play(&index, Kind::HostSubnet, script, requests(4));
    assert_eq!(known(&index), ["n2"]);
}

#[test]
fn a_failure_is_told_and_what_is_known_stays() {
    let index = Arc::default();
    let refused = || Act::Refuse(403, "hostsubnets is forbidden");
    let script = [list(1, &["n1"])].into_iter().chain((0..40).map(|_| refused())).collect();
    play(&index, Kind::HostSubnet, script, requests(7));
    assert_eq!(state(&index), interrupted("hostsubnets is forbidden"));
    assert_eq!(known(&index), ["n1"]);
}

#[test]
fn before_the_first_list_a_failure_means_waiting() {
    let index = Arc::default();
    play(&index, Kind::HostSubnet, vec![Act::Refuse(403, "no"), Act::Refuse(403, "no")], requests(3));
    assert!(matches!(state(&index), WatchState::Waiting(_)));
}

#[test]
fn a_watch_that_begins_means_restored() {
    let index = Arc::default();
    let script = vec![list(1, &["n1"]), Act::Refuse(500, "connection reset"), list(1, &[]), Act::Watch(vec![])];
    play(&index, Kind::HostSubnet, script, |asked| requests(4)(asked) && state(&index) == WatchState::Listed);
    assert_eq!(known(&index), ["n1"], "a look is no list");
}

#[test]
fn a_kind_that_is_not_served_is_waited_for() {
    let index: Arc<SharedIndex> = Arc::default();
    let missing = || Act::Refuse(404, "the server could not find the resource");
    play(&index, Kind::Pool, vec![missing()], requests(2));
    let waiting = WatchState::Waiting("waiting for CRD egressipams.redhatcop.redhat.io".to_owned());
    assert_eq!(index.read(|index| index.watch(Kind::Pool)), waiting);
    // One that was served is believed to be gone once that is certain.
    let script = || [list(1, &["n1"])].into_iter().chain((0..40).map(|_| missing())).collect();
    play(&index, Kind::HostSubnet, script(), requests(5));
    assert_eq!((state(&index), known(&index).len()), (interrupted("the API server does not know it"), 1));
    let started = Instant::now();
    play(&index, Kind::HostSubnet, script(), |_| known(&index).is_empty());
    assert!(started.elapsed() > patience().absent.0);
    // A cluster may have another network.
    assert_eq!(state(&index), WatchState::Listed);
}

fn groups(names: &[&str]) -> Act {
    let group = |name: &&str| {
        let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
        json!({"name": name, "versions": [version.clone()], "preferredVersion": version})
    };
    Act::Body(
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": names.iter().map(group).collect::<Vec<_>>()}),
    )
}

/// The kinds of a group.
fn resources(names: &[&str]) -> Act {
    let resource =
        |name: &&str| json!({"name": name, "singularName": "", "namespaced": false, "kind": "X", "verbs": []});
    let all: Vec<Value> = names.iter().map(resource).collect();
    Act::Body(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "x/v1", "resources": all}))
}

#[test]
fn a_kind_may_be_missing_from_a_group_that_is_there() {
    let index: Arc<SharedIndex> = Arc::default();
    let missing = || Act::Refuse(404, "no");
    let openshift = || groups(&["config.openshift.io"]);
    let script = vec![missing(), openshift(), resources(&["infrastructures"])];
    let asked = play(&index, Kind::NetworkConfig, script, requests(4));
    assert_eq!(index.read(|index| index.watch(Kind::NetworkConfig)), WatchState::Listed);
    assert_eq!(asked, "list\nGET /apis\nGET /apis/config.openshift.io/v1\nlist\n");
    let index: Arc<SharedIndex> = Arc::default();
    let script = vec![missing(), openshift(), resources(&["infrastructures", "networks"]), Act::Silence];
    play(&index, Kind::NetworkConfig, script, requests(4));
    assert!(matches!(index.read(|index| index.watch(Kind::NetworkConfig)), WatchState::Waiting(_)));
}

#[test]
fn a_cluster_without_infrastructure_is_no_reason_to_wait() {
    let index: Arc<SharedIndex> = Arc::default();
    let asked = play(&index, Kind::Infrastructure, vec![Act::Refuse(404, "no"), groups(&["apps"])], requests(3));
    assert_eq!(index.read(|index| index.watch(Kind::Infrastructure)), WatchState::Listed);
    assert_eq!(asked, "list\nGET /apis\nlist\n");
}

/// Who else writes interfaces is there as long as its objects are served: without it we would write them too.
#[test]
fn that_nobody_else_writes_interfaces_is_believed_only_when_it_is_certain() {
    let served = |index: &SharedIndex| index.read(|index| index.facts().private_ips.is_some());
    let missing = || Act::Refuse(404, "404 page not found");
    let script = || [list(1, &[]), Act::Watch(vec![])].into_iter().chain((0..40).map(|_| missing())).collect();
    let index: Arc<SharedIndex> = Arc::default();
    play(&index, Kind::PrivateIp, script(), requests(6));
    assert!(served(&index));
    let started = Instant::now();
    play(&index, Kind::PrivateIp, script(), |_| !served(&index));
    assert!(started.elapsed() > patience().absent.0);
    // At the start, a 404 alone says nothing either.
    let index: Arc<SharedIndex> = Arc::default();
    play(
        &index,
        Kind::PrivateIp,
        vec![missing(), groups(&["apps", "cloud.network.openshift.io"]), missing(), Act::Silence],
        requests(5),
    );
    assert!(matches!(index.read(|index| index.watch(Kind::PrivateIp)), WatchState::Waiting(_)));
    play(&index, Kind::PrivateIp, vec![missing(), groups(&["apps"])], requests(3));
    assert_eq!(index.read(|index| index.watch(Kind::PrivateIp)), WatchState::Listed);
    assert!(!served(&index));
}

#[test]
fn a_list_that_hangs_is_given_up() {
    let index = Arc::default();
    play(&index, Kind::HostSubnet, vec![], requests(2));
    let text = "cannot read hostsubnets.network.openshift.io: no answer to a list within 0 s".to_owned();
    assert_eq!(state(&index), WatchState::Waiting(text));
}

#[test]
fn a_kind_is_blind_when_its_watch_shows_nothing_for_a_minute() {
    let index: Arc<SharedIndex> = Arc::default();
    let shown = |seconds| {
        let now = Instant::now() + Duration::from_secs(seconds);
        let reports = index.read(|index| index.watch_reports(now));
        let report = reports.into_iter().find(|report| report.kind == Kind::HostSubnet).unwrap();
        format!("{} {} {:?}", report.state, report.trouble.unwrap_or_default(), index.read(|index| index.blind(now)))
    };
    expect!["waiting waiting for the first list of hostsubnets.network.openshift.io {}"].assert_eq(&shown(3600));
    play(&index, Kind::HostSubnet, vec![list(1, &[]), Act::Watch(vec![])], requests(3));
    expect!["following  {}"].assert_eq(&shown(3));
    expect!["blind cannot read hostsubnets.network.openshift.io {Carriers}"].assert_eq(&shown(60));
    play(&index, Kind::HostSubnet, vec![list(1, &[]), Act::Watch(vec![]), Act::Refuse(500, "no")], requests(4));
    expect!["failing cannot read hostsubnets.network.openshift.io: no {}"].assert_eq(&shown(55));
    expect!["blind cannot read hostsubnets.network.openshift.io: no {Carriers}"].assert_eq(&shown(60));
    // A sign of life ends it, and planning looks at once.
    let bell = index.subscribe();
    assert!(index.change(|index| index.heard(Kind::HostSubnet, Instant::now() + Duration::from_secs(90))));
    assert!(bell.has_changed().unwrap());
    expect!["failing cannot read hostsubnets.network.openshift.io: no {}"].assert_eq(&shown(95));
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
            "GET /api/v1/configmaps?&watch=true&timeoutSeconds=5&fieldSelector=metadata.name%3D9ae943bf.redhat.io&allowWatchBookmarks=true&resourceVersion=9 HTTP/1.1",
        ]
    "#]]
    .assert_debug_eq(&lines);
    // This server ends a watch as soon as it has begun.
    let state = index.read(|index| index.watch(Kind::Lock));
    assert!(matches!(state, WatchState::Listed | WatchState::Interrupted(_)), "{state:?}");
}
