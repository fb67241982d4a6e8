//! What counts as a change, and what order events may come in.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Index, LockGround, LockHolder, SharedIndex, WatchState, WriteRights};
use crate::kind::Kind;
use crate::object::Object;

/// An object of version `version` with more fields.
fn object(name: &str, version: u64, mut more: Value) -> Object {
    more["metadata"]["name"] = json!(name);
    more["metadata"]["uid"] = json!(format!("uid-{name}"));
    more["metadata"]["resourceVersion"] = json!(version.to_string());
    Object::new(more)
}

fn net_namespace(name: &str, version: u64, addresses: &[&str]) -> Object {
    object(name, version, json!({"egressIPs": addresses}))
}

/// An index that has listed everything; nothing but what `kind` lists is there.
fn listed(kind: Kind, objects: &[Object]) -> Index {
    let mut index = Index::default();
    for other in Kind::ALL {
        index.reset(other, if other == kind { objects } else { &[] });
    }
    index
}

fn addresses(index: &Index, name: &str) -> Option<String> {
    let facts = index.facts();
    let facts = facts.holdings.get(name)?;
    Some(facts.egress_ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}

#[test]
fn no_snapshot_before_everything_is_listed() {
    let mut index = Index::default();
    for kind in Kind::ALL {
        assert!(!index.ready(), "{kind}");
        assert_eq!(index.snapshot(7), None);
        index.reset(kind, &[]);
    }
    assert_eq!(index.snapshot(7).unwrap().now, 7);
    assert_eq!(index.waiting(), Vec::<String>::new());
}

#[test]
fn waiting_is_told_in_words() {
    let mut index = Index::default();
    Kind::ALL.into_iter().filter(|kind| *kind != Kind::Lock).for_each(|kind| _ = index.reset(kind, &[]));
    assert_eq!(index.waiting(), ["waiting for the first list of configmaps"]);
    index.reset(Kind::Lock, &[]);
    assert!(index.set_watch(Kind::HostSubnet, WatchState::Waiting("waiting for CRD".to_owned())));
    assert_eq!((index.ready(), index.waiting()), (false, vec!["waiting for CRD".to_owned()]));
    // What is known still counts while a watch is merely interrupted.
    assert!(index.set_watch(Kind::HostSubnet, WatchState::Interrupted("connection refused".to_owned())));
    assert_eq!((index.ready(), index.waiting()), (true, vec!["connection refused".to_owned()]));
}

#[test]
fn only_decisive_facts_count_as_change() {
    let ready = |heartbeat: &str, ready: &str| json!({"status": {"conditions": [{"type": "Ready", "status": ready, "lastHeartbeatTime": heartbeat}]}});
    let mut index = listed(Kind::Node, &[object("n1", 1, ready("a", "True"))]);
    let generation = index.generation();
    assert!(!index.apply(Kind::Node, &object("n1", 2, ready("b", "True"))));
    assert_eq!(index.generation(), generation);
    assert!(index.apply(Kind::Node, &object("n1", 3, ready("c", "False"))));
    assert_eq!(index.generation(), generation + 1);
}

#[test]
fn version_and_status_are_stored_silently() {
    let pool = |version, ready: &str| {
        let conditions = json!([{"type": "Ready", "status": ready}]);
        object("east", version, json!({"spec": {"topologyLabel": "zone"}, "status": {"conditions": conditions}}))
    };
    let mut index = listed(Kind::Pool, &[pool(1, "False")]);
    assert!(!index.apply(Kind::Pool, &pool(2, "True")));
    let stored = index.pool_object(&"east".into()).unwrap();
    assert_eq!((stored.resource_version.as_str(), stored.uid.as_str()), ("2", "uid-east"));
    assert_eq!(stored.status["conditions"][0]["status"], "True");
    assert_eq!(index.facts().pools["east"].resource_version, "2");
    assert_eq!(index.resource_version(Kind::Pool, "east"), Some("2"));
    assert_eq!(index.uid(Kind::Pool, "east"), Some("uid-east"));
}

#[test]
fn a_lagging_watch_does_not_undo_our_write() {
    let mut index = listed(Kind::NetNamespace, &[net_namespace("shop", 9, &[])]);
    assert!(index.note_written(Kind::NetNamespace, &net_namespace("shop", 100, &["10.0.0.9"])));
    // Versions are numbers, not texts: 99 is older than 100.
    assert!(!index.apply(Kind::NetNamespace, &net_namespace("shop", 99, &[])));
    assert_eq!(addresses(&index, "shop").unwrap(), "10.0.0.9");
    // The watch arrives at our write: nothing new.
    assert!(!index.apply(Kind::NetNamespace, &net_namespace("shop", 100, &["10.0.0.9"])));
    assert!(index.apply(Kind::NetNamespace, &net_namespace("shop", 101, &["10.0.0.7"])));
}

#[test]
fn a_list_that_began_before_our_write_does_not_undo_it() {
    let mut index = listed(Kind::NetNamespace, &[net_namespace("shop", 9, &[])]);
    index.begin_list(Kind::NetNamespace);
    index.note_written(Kind::NetNamespace, &net_namespace("shop", 12, &["10.0.0.9"]));
    assert!(!index.apply(Kind::NetNamespace, &net_namespace("shop", 10, &[])));
    assert!(!index.end_list(Kind::NetNamespace));
    assert_eq!(addresses(&index, "shop").unwrap(), "10.0.0.9");
}

/// As after etcd was restored from a backup: versions begin again where they were then.
#[test]
fn a_list_counts_also_where_its_versions_are_lower() {
    let mut index =
        listed(Kind::NetNamespace, &[net_namespace("shop", 90, &["10.0.0.9"]), net_namespace("new", 95, &[])]);
    index.note_written(Kind::NetNamespace, &net_namespace("shop", 99, &["10.0.0.9", "10.0.1.9"]));
    assert!(index.reset(Kind::NetNamespace, &[net_namespace("shop", 40, &["10.0.0.7"])]));
    assert_eq!((addresses(&index, "shop").as_deref(), addresses(&index, "new")), (Some("10.0.0.7"), None));
    assert_eq!(index.resource_version(Kind::NetNamespace, "shop"), Some("40"), "the precondition of the next write");
    // From there on earlier is earlier again.
    assert!(index.apply(Kind::NetNamespace, &net_namespace("shop", 41, &["10.0.0.6"])));
    assert!(!index.apply(Kind::NetNamespace, &net_namespace("shop", 40, &["10.0.0.7"])));
}

#[test]
fn the_answer_to_a_write_does_not_bring_back_what_was_deleted() {
    let mut index = listed(Kind::NetNamespace, &[net_namespace("shop", 9, &[])]);
    assert!(index.delete(Kind::NetNamespace, &net_namespace("shop", 13, &[])));
    assert!(!index.note_written(Kind::NetNamespace, &net_namespace("shop", 12, &["10.0.0.9"])));
    assert_eq!(addresses(&index, "shop"), None);
    // Nor may it slip into a list that no longer shows it.
    let mut index = listed(Kind::NetNamespace, &[net_namespace("shop", 9, &[])]);
    index.begin_list(Kind::NetNamespace);
    index.note_written(Kind::NetNamespace, &net_namespace("shop", 12, &["10.0.0.9"]));
    assert!(index.end_list(Kind::NetNamespace));
    assert_eq!(addresses(&index, "shop"), None);
}

#[test]
fn an_object_made_anew_replaces_the_old_one() {
    let mut index = listed(Kind::NetNamespace, &[net_namespace("shop", 100, &["10.0.0.9"])]);
    let mut other = net_namespace("shop", 101, &[]).body().clone();
    other["metadata"]["uid"] = json!("another");
    let other = Object::new(other);
    assert!(!index.note_written(Kind::NetNamespace, &other));
    assert!(index.apply(Kind::NetNamespace, &other));
    // The deletion of its predecessor is not its own.
    assert!(!index.delete(Kind::NetNamespace, &net_namespace("shop", 100, &[])));
    assert_eq!(addresses(&index, "shop").unwrap(), "");
}

#[test]
fn a_list_replaces_what_was_there() {
    let mut index = listed(Kind::NetNamespace, &[net_namespace("a", 1, &[]), net_namespace("b", 2, &[])]);
    assert!(!index.reset(Kind::NetNamespace, &[net_namespace("b", 2, &[]), net_namespace("a", 3, &[])]));
    assert!(index.reset(Kind::NetNamespace, &[net_namespace("b", 2, &[]), net_namespace("c", 4, &[])]));
    assert_eq!(index.facts().holdings.len(), 2);
    assert!(index.clear(Kind::NetNamespace));
    assert!(!index.clear(Kind::NetNamespace));
}

#[test]
fn an_unreadable_object_is_missing_and_told() {
    let mut index = listed(Kind::HostSubnet, &[object("n1", 1, json!({"egressIPs": ["10.0.0.9"]}))]);
    assert!(index.apply(Kind::HostSubnet, &object("n1", 2, json!({"egressIPs": "10.0.0.9"}))));
    assert!(!index.facts().carriers.contains_key("n1"));
    let problems = index.new_problems(5);
    assert_eq!((problems.len(), index.problem_count()), (1, 1));
    assert_eq!((problems[0].kind, problems[0].name.as_str()), (Kind::HostSubnet, "n1"));
    assert_eq!(problems[0].note.to_string(), r#"egressIPs: expected a list, found "10.0.0.9""#);
    assert!(index.apply(Kind::HostSubnet, &object("n1", 3, json!({"egressIPs": []}))));
    assert_eq!((index.new_problems(5), index.problem_count()), (Vec::new(), 0));
}

#[test]
fn a_problem_is_news_once_and_again_when_it_changes() {
    let subnet = |version, addresses: Value| object("n1", version, json!({"egressIPs": addresses}));
    let mut index = listed(Kind::HostSubnet, &[subnet(1, json!(["x", "y"]))]);
    let news = |index: &mut Index, most| {
        index.new_problems(most).iter().map(|problem| problem.note.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(news(&mut index, 1), [r#"egressIPs[0]: "x" is not an address"#]);
    index.reset(Kind::HostSubnet, &[subnet(2, json!(["x", "y"]))]);
    assert_eq!(news(&mut index, 5), [r#"egressIPs[1]: "y" is not an address"#], "what was not told yet");
    index.apply(Kind::HostSubnet, &subnet(3, json!(["x", "z"])));
    index.apply(Kind::HostSubnet, &subnet(4, json!(["x", "w"])));
    assert_eq!(news(&mut index, 5), [r#"egressIPs[1]: "w" is not an address"#], "only what is still wrong");
    assert_eq!((news(&mut index, 5), index.problem_count()), (Vec::new(), 2));
    index.apply(Kind::HostSubnet, &subnet(5, json!([])));
    index.apply(Kind::HostSubnet, &subnet(6, json!(["x"])));
    index.delete(Kind::HostSubnet, &subnet(7, json!(["x"])));
    assert_eq!((news(&mut index, 5), index.problem_count()), (Vec::new(), 0));
}

#[test]
fn the_seed_is_the_clusters() {
    let mut index = listed(Kind::Namespace, &[object("shop", 1, json!({}))]);
    assert_eq!(index.snapshot(0).unwrap().seed, 0);
    assert!(index.apply(Kind::Namespace, &object("kube-system", 1, json!({}))));
    // FNV-1a of "uid-kube-system"; must be the same in every version.
    assert_eq!(index.snapshot(0).unwrap().seed, 0x871a_bb51_d182_de51);
    assert_eq!(super::identity::stable_hash(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(super::identity::stable_hash(b"foobar"), 0x8594_4171_f739_67e8);
}

#[test]
fn only_one_infrastructure_counts() {
    let platform = json!({"status": {"platformStatus": {"type": "BareMetal"}}});
    let mut index = listed(Kind::Infrastructure, &[object("other", 1, platform.clone())]);
    assert_eq!(index.facts().platform, sluice_core::observed::Platform::Unknown);
    assert!(index.apply(Kind::Infrastructure, &object("cluster", 2, platform)));
    assert!(index.delete(Kind::Infrastructure, &object("cluster", 3, json!({}))));
    assert_eq!(index.facts().platform, sluice_core::observed::Platform::Unknown);
}

fn lock(namespace: &str, version: u64, holder: &str, renewed: &str, seconds: u64) -> Object {
    let record = json!({"holderIdentity": holder, "leaseDurationSeconds": seconds, "renewTime": renewed});
    let mut body = object("9ae943bf.redhat.io", version, json!({})).body().clone();
    body["metadata"]["namespace"] = json!(namespace);
    body["metadata"]["uid"] = json!(format!("uid-{namespace}"));
    body["metadata"]["annotations"] = json!({"control-plane.alpha.kubernetes.io/leader": record.to_string()});
    Object::new(body)
}

/// An index that finds a lock at minute one, in a namespace where nobody was asked who may write.
fn found_unasked(renewed: &str, seconds: u64) -> Index {
    let mut index = Index::default();
    index.set_time(60_000);
    index.reset(Kind::Lock, &[lock("ops", 1, "pod-1", renewed, seconds)]);
    index
}

/// An index that finds a lock at minute one, in a namespace where it counts.
fn found(renewed: &str, seconds: u64) -> Index {
    let mut index = found_unasked(renewed, seconds);
    index.note_write_rights("ops", WriteRights::Granted);
    index
}

fn holder(index: &Index, now: u64) -> Option<String> {
    index.foreign_lock(now).map(|holder| holder.identity)
}

#[test]
fn a_foreign_lock_is_live_for_its_duration_since_its_change_was_seen() {
    let mut index = found("1970-01-01T00:00:50Z", 15);
    let expected = LockHolder {
        namespace: "ops".to_owned(),
        identity: "pod-1".to_owned(),
        until: 75_000,
        ground: Some(LockGround::Rights),
    };
    assert_eq!(index.foreign_lock(74_999), Some(expected));
    assert_eq!(index.foreign_lock(75_000), None);
    // A renewal in time decides nothing, whatever the holder's clock says; a new holder or a comeback does.
    index.set_time(62_000);
    assert!(!index.apply(Kind::Lock, &lock("ops", 2, "pod-1", "1970-01-01T00:00:01Z", 15)));
    assert_eq!(index.foreign_lock(76_999).unwrap().until, 77_000);
    assert!(index.apply(Kind::Lock, &lock("ops", 3, "pod-2", "1970-01-01T00:00:03Z", 15)));
    index.set_time(80_000);
    assert!(index.apply(Kind::Lock, &lock("ops", 5, "pod-2", "1970-01-01T00:00:05Z", 15)));
    // The same record again, in a list or with another field changed, is no change of it.
    index.set_time(90_000);
    assert!(!index.reset(Kind::Lock, &[lock("ops", 6, "pod-2", "1970-01-01T00:00:05Z", 15)]));
    assert_eq!((holder(&index, 94_999).as_deref(), holder(&index, 95_000)), (Some("pod-2"), None));
    assert!(!index.apply(Kind::Lock, &object("other", 1, json!({}))), "an unrelated object");
}

#[test]
fn a_foreign_lock_from_the_future_or_without_end_is_not_believed_for_ever() {
    let index = found("2999-01-01T00:00:00Z", 15);
    assert_eq!((holder(&index, 74_999).as_deref(), holder(&index, 75_000)), (Some("pod-1"), None));
    let index = found("1970-01-01T00:01:00Z", u64::MAX);
    assert_eq!((holder(&index, 659_999).as_deref(), holder(&index, 660_000)), (Some("pod-1"), None));
    assert_eq!(holder(&index, 0).as_deref(), Some("pod-1"), "a clock that was set back a little");
    let mut index = found("1970-01-01T00:01:00Z", 15);
    assert_eq!(holder(&index, 0), None, "a clock that was set back by more than the duration");
    index.set_time(1_000);
    assert!(index.apply(Kind::Lock, &lock("ops", 2, "pod-1", "1970-01-01T00:00:01Z", 15)), "it is renewed");
    assert_eq!(holder(&index, 2_000).as_deref(), Some("pod-1"));
}

#[test]
fn a_foreign_lock_that_ran_out_before_it_was_found_is_nobodys() {
    let mut index = found("1970-01-01T00:00:45Z", 15);
    assert_eq!(holder(&index, 60_000), None);
    assert!(
        index.apply(Kind::Lock, &lock("ops", 2, "pod-1", "1970-01-01T00:00:47Z", 15)),
        "it is renewed all the same"
    );
    assert_eq!(holder(&index, 60_000).as_deref(), Some("pod-1"));
    // One in another namespace is another lock; a live one that goes away is gone.
    index.set_time(61_000);
    index.note_write_rights("old", WriteRights::Granted);
    assert!(index.apply(Kind::Lock, &lock("old", 1, "pod-0", "1970-01-01T00:01:00Z", 15)));
    assert_eq!(holder(&index, 61_000).as_deref(), Some("pod-0"));
    assert!(index.delete(Kind::Lock, &lock("old", 5, "", "", 0)));
    assert_eq!(holder(&index, 61_000).as_deref(), Some("pod-1"));
}

#[test]
fn a_lock_that_ends_unseen_is_still_held() {
    let heard = |index: &mut Index, at| {
        index.set_time(at);
        index.heard(Kind::Lock, Instant::now());
    };
    let mut index = found("1970-01-01T00:00:50Z", 15);
    heard(&mut index, 70_000);
    // Its watch shows nothing from here on: whoever held it may have renewed it.
    assert_eq!(index.foreign_lock(74_999).unwrap().until, 75_000);
    let unseen = index.foreign_lock(900_000).unwrap();
    assert_eq!((unseen.identity.as_str(), unseen.until), ("pod-1", 901_000));
    heard(&mut index, 900_001);
    assert_eq!(index.foreign_lock(900_001), None, "it shows that nobody did");
    // One that was nobody's when it was last seen stops nothing, however long that was ago.
    assert_eq!(index.foreign_lock(9_000_000), None);
}

#[test]
fn a_foreign_lock_counts_where_the_old_operator_can_be() {
    let mut index = found_unasked("1970-01-01T00:00:50Z", 600);
    assert_eq!(index.lock_questions(60_000), ["ops"]);
    assert!(index.note_write_rights("ops", WriteRights::NotGranted), "writes go on");
    assert_eq!(holder(&index, 60_000), None);
    assert_eq!(index.ignored_locks(60_000).len(), 1);
    assert_eq!(index.lock_questions(60_000), Vec::<String>::new());
    // Whatever becomes of a forged lock wakes nobody.
    assert!(!index.apply(Kind::Lock, &lock("ops", 2, "pod-2", "1970-01-01T00:01:01Z", 600)));
    assert!(!index.apply(Kind::Lock, &lock("ops", 3, "", "1970-01-01T00:01:02Z", 600)));
    assert!(!index.apply(Kind::Lock, &lock("ops", 4, "pod-2", "1970-01-01T00:01:03Z", 600)));
    assert!(!index.delete(Kind::Lock, &lock("ops", 5, "", "", 0)));
    // A lock that counts is preferred to one of which it is not known.
    assert!(index.apply(Kind::Lock, &lock("new", 6, "forged", "1970-01-01T00:01:00Z", 600)));
    index.expect_locks_in(["old".to_owned()]);
    assert!(index.apply(Kind::Lock, &lock("old", 7, "pod-0", "1970-01-01T00:01:00Z", 15)));
    assert_eq!(holder(&index, 60_000).as_deref(), Some("pod-0"));
    assert_eq!(index.foreign_lock(60_000).unwrap().ground, Some(LockGround::Named));
    assert!(!index.note_write_rights("new", WriteRights::NotGranted), "the other one counts all the same");
    assert_eq!(index.ignored_locks(60_000).len(), 1);
    assert!(index.delete(Kind::Lock, &lock("old", 8, "", "", 0)));
    assert_eq!(holder(&index, 60_000), None);
}

#[test]
fn what_is_not_known_or_no_longer_known_of_a_foreign_lock_counts() {
    let mut index = found("1970-01-01T00:00:50Z", 600);
    assert!(index.note_write_rights("ops", WriteRights::NoAnswer("forbidden".to_owned())), "the reason is another");
    assert_eq!(holder(&index, 60_000).as_deref(), Some("pod-1"));
    assert!(index.note_write_rights("ops", WriteRights::Granted));
    assert_eq!(index.foreign_lock(60_000).unwrap().ground, Some(LockGround::Rights));
    assert!(index.note_write_rights("ops", WriteRights::NotGranted));
    // Ten minutes later nobody has answered again; the next renewal wakes the planner.
    index.set_time(660_000);
    assert!(index.apply(Kind::Lock, &lock("ops", 2, "pod-1", "1970-01-01T00:11:00Z", 600)));
    assert_eq!(holder(&index, 660_000).as_deref(), Some("pod-1"));
}

#[test]
fn the_bell_rings_for_changes_only() {
    let shared = SharedIndex::default();
    let bell = shared.subscribe();
    assert!(!bell.has_changed().unwrap());
    shared.change(|index| index.apply(Kind::NetNamespace, &net_namespace("shop", 1, &[])));
    assert!(bell.has_changed().unwrap());
    let bell = shared.subscribe();
    shared.change(|index| index.apply(Kind::NetNamespace, &net_namespace("shop", 2, &[])));
    shared.quietly(|index| index.apply(Kind::NetNamespace, &net_namespace("shop", 3, &["10.0.0.9"])));
    assert!(!bell.has_changed().unwrap());
}

#[test]
fn a_changed_status_rings_a_bell_of_its_own() {
    let shared = SharedIndex::default();
    let pool = |version, ready: &str| object("east", version, json!({"status": {"ready": ready}}));
    shared.change(|index| index.apply(Kind::Pool, &pool(1, "True")));
    let (bell, mut statuses) = (shared.subscribe(), shared.subscribe_statuses());
    shared.change(|index| index.apply(Kind::Pool, &pool(2, "True")));
    assert!(!statuses.has_changed().unwrap());
    shared.change(|index| index.apply(Kind::Pool, &pool(3, "False")));
    assert!(statuses.has_changed().unwrap());
    statuses.mark_unchanged();
    shared.quietly(|index| index.note_written(Kind::Pool, &pool(4, "True")));
    assert!(statuses.has_changed().unwrap());
    assert!(!bell.has_changed().unwrap());
}

#[test]
fn a_panic_elsewhere_does_not_end_the_index() {
    let shared = std::sync::Arc::new(SharedIndex::default());
    let other = std::sync::Arc::clone(&shared);
    let panicked = std::thread::spawn(move || other.read(|_| panic!("on purpose"))).join();
    assert!(panicked.is_err());
    assert!(shared.change(|index| index.apply(Kind::NetNamespace, &net_namespace("shop", 1, &[]))));
}
