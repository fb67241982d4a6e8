//! What goes over the wire, and what answers mean.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use sluice_core::backend::{Backend as _, WriteFailure, Written};
use sluice_core::network::{Change, Home, Network, Target, Write};

use super::{ApiServer, write_rows};
use crate::index::SharedIndex;
use crate::kind::Kind;
use crate::object::Object;
use crate::testing::{Answer, with_server};

fn write(target: Target, change: Change) -> Write {
    Write { target, change, after: Vec::new(), after_any: Vec::new() }
}

fn guard() -> Write {
    write(Target::Pool("east".into()), Change::Pool { guarded: true, other_guards: Vec::new() })
}

fn answer(head: &'static str, body: &Value) -> Vec<Answer> {
    vec![Answer { head, body: body.to_string() }]
}

fn written(name: &str) -> Vec<Answer> {
    answer("200 OK", &json!({"metadata": {"name": name, "uid": "u", "resourceVersion": "8"}}))
}

/// Sends a write and shows the request, without what says nothing.
fn check_request(write: &Write, expected: &Expect) {
    let (result, requests) = with_server(written(write.target.name()), |client| async move {
        ApiServer::new(client, Arc::default()).write(write, "7").await
    });
    assert_eq!(result, Ok(Written { resource_version: "8".to_owned() }));
    let dull = |line: &&str| !line.starts_with("host: ") && !line.starts_with("content-length: ");
    expected.assert_eq(&requests[0].lines().filter(dull).collect::<Vec<_>>().join("\n"));
}

#[test]
fn requests() {
    check_request(
        &guard(),
        &expect![[r#"
        PATCH /apis/redhatcop.redhat.io/v1alpha1/egressipams/east?&fieldManager=sluice HTTP/1.1
        accept: application/json
        content-type: application/merge-patch+json
        user-agent: sluice/0.1.0

        {"metadata":{"finalizers":["EgressIPAM_controller"],"resourceVersion":"7"}}"#]],
    );
    check_request(
        &write(
            Target::Carrier("n1".into()),
            Change::Carrier { egress_ips: Some(vec!["10.0.0.9".to_owned()]), ranges: None },
        ),
        &expect![[r#"
            PATCH /apis/network.openshift.io/v1/hostsubnets/n1?&fieldManager=sluice HTTP/1.1
            accept: application/json
            content-type: application/merge-patch+json
            user-agent: sluice/0.1.0

            {"egressIPs":["10.0.0.9"],"metadata":{"resourceVersion":"7"}}"#]],
    );
    check_request(
        &write(Target::Holding("shop".into()), holding("", &["10.0.0.9"], Some(home(&[])))),
        &expect![[r#"
            PATCH /apis/network.openshift.io/v1/netnamespaces/shop?&fieldManager=sluice HTTP/1.1
            accept: application/json
            content-type: application/merge-patch+json
            user-agent: sluice/0.1.0

            {"egressIPs":["10.0.0.9"],"metadata":{"annotations":{"sluice.dev/pool":"east","sluice.dev/zones":"10.0.0.9=a"},"resourceVersion":"7"}}"#]],
    );
    check_request(
        &write(Target::Namespace("shop".into()), Change::Namespace { result: Some(None), hold: None }),
        &expect![[r#"
            PATCH /api/v1/namespaces/shop?&fieldManager=sluice HTTP/1.1
            accept: application/json
            content-type: application/merge-patch+json
            user-agent: sluice/0.1.0

            {"metadata":{"annotations":{"egressip-ipam-operator.redhat-cop.io/egressips":null},"resourceVersion":"7"}}"#]],
    );
}

/// What is written for an owner; its record is about 10.0.0.8 so far.
fn holding(object: &str, addresses: &[&str], home: Option<Home>) -> Change {
    let address = |text: &&str| text.parse().unwrap();
    let recorded = ["10.0.0.8".parse().unwrap()].into();
    Change::Holding { object: object.to_owned(), egress_ips: addresses.iter().map(address).collect(), home, recorded }
}

fn home(replaced: &[&str]) -> Home {
    Home {
        pool: "east".into(),
        zones: vec![("10.0.0.9".parse().unwrap(), "a".to_owned())],
        replaced: replaced.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

#[test]
fn rows_of_ovn_kubernetes() {
    let made = Change::NewHolding { egress_ips: vec!["fd00::9".parse().unwrap()], home: home(&["fd00::8"]) };
    let writes = vec![
        write(Target::Carrier("n1".into()), Change::Assignable(true)),
        write(Target::Carrier("n2".into()), Change::Assignable(false)),
        write(Target::Holding("shop".into()), made),
        write(Target::Holding("docs".into()), holding("hand-made", &["10.0.0.9"], Some(home(&["10.0.0.8"])))),
        write(Target::Holding("wiki".into()), holding("hand-made-too", &["10.0.0.9"], None)),
        write(Target::Holding("mail".into()), Change::NoHolding { object: "egressip-mail".to_owned() }),
    ];
    let rows: Vec<String> =
        write_rows(&[writes], Network::OvnKubernetes).iter().map(|row| serde_json::to_string(row).unwrap()).collect();
    expect![[r#"
        {"order":1,"kind":"Node","name":"n1","patch":{"metadata":{"annotations":{"sluice.dev/egress-assignable":"true"},"labels":{"k8s.ovn.org/egress-assignable":""}}}}
        {"order":2,"kind":"Node","name":"n2","patch":{"metadata":{"annotations":{"sluice.dev/egress-assignable":null},"labels":{"k8s.ovn.org/egress-assignable":null}}}}
        {"order":3,"kind":"EgressIP","name":"egressip-shop","operation":"create","patch":{"apiVersion":"k8s.ovn.org/v1","kind":"EgressIP","metadata":{"labels":{"replaced.sluice.dev/fd00.0000.0000.0000.0000.0000.0000.0008":"","sluice.dev/namespace":"shop","sluice.dev/pool":"east","zone.sluice.dev/10.0.0.9":"a"},"name":"egressip-shop"},"spec":{"egressIPs":["fd00::9"],"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"shop"}}}}}
        {"order":4,"kind":"EgressIP","name":"hand-made","patch":{"metadata":{"labels":{"replaced.sluice.dev/10.0.0.8":"","sluice.dev/namespace":"docs","sluice.dev/pool":"east","zone.sluice.dev/10.0.0.8":null,"zone.sluice.dev/10.0.0.9":"a"}},"spec":{"egressIPs":["10.0.0.9"]}}}
        {"order":5,"kind":"EgressIP","name":"hand-made-too","patch":{"metadata":{"labels":{"replaced.sluice.dev/10.0.0.8":null,"sluice.dev/namespace":null,"sluice.dev/pool":null,"zone.sluice.dev/10.0.0.8":null}},"spec":{"egressIPs":["10.0.0.9"]}}}
        {"order":6,"kind":"EgressIP","name":"egressip-mail","operation":"delete","patch":null}"#]].assert_eq(&rows.join("\n"));
}

#[test]
fn rows() {
    let change = |guarded| Change::Pool { guarded, other_guards: vec!["other".to_owned()] };
    let both = Change::Carrier { egress_ips: Some(vec!["10.0.0.9".to_owned()]), ranges: Some(Vec::new()) };
    let told = Change::Namespace { result: Some(Some("10.0.0.9".to_owned())), hold: Some(None) };
    let interface = Change::Interface { on: ["10.0.0.9".parse().unwrap()].into(), off: BTreeSet::new() };
    let first = vec![
        write(Target::Pool("east".into()), change(true)),
        write(Target::Interface("n1".into()), interface),
        write(Target::Carrier("n1".into()), both),
    ];
    let second = vec![
        write(Target::Holding("shop".into()), holding("", &[], None)),
        write(Target::Namespace("shop".into()), told),
        write(Target::Pool("east".into()), change(false)),
    ];
    let rows: Vec<String> = write_rows(&[first, second], Network::OpenShiftSdn)
        .iter()
        .map(|row| serde_json::to_string(row).unwrap())
        .collect();
    expect![[r#"
        {"order":1,"kind":"EgressIPAM","name":"east","patch":{"metadata":{"finalizers":["other","EgressIPAM_controller"]}}}
        {"order":2,"kind":"NetworkInterface","name":"n1","patch":{"add":["10.0.0.9"],"remove":[]}}
        {"order":3,"kind":"HostSubnet","name":"n1","patch":{"egressCIDRs":[],"egressIPs":["10.0.0.9"]}}
        {"order":4,"kind":"NetNamespace","name":"shop","patch":{"egressIPs":[],"metadata":{"annotations":{"sluice.dev/pool":null,"sluice.dev/zones":null}}},"stage":1}
        {"order":5,"kind":"Namespace","name":"shop","patch":{"metadata":{"annotations":{"egressip-ipam-operator.redhat-cop.io/egressips":"10.0.0.9","sluice.dev/hold":null}}},"stage":1}
        {"order":6,"kind":"EgressIPAM","name":"east","patch":{"metadata":{"finalizers":["other"]}},"stage":1}"#]].assert_eq(&rows.join("\n"));
}

/// An interface is its provider's to write.
#[test]
fn an_interface_is_no_object_of_the_api_server() {
    let change = Change::Interface { on: BTreeSet::new(), off: BTreeSet::new() };
    let write = write(Target::Interface("n1".into()), change);
    let (result, requests) =
        with_server(
            Vec::new(),
            |client| async move { ApiServer::new(client, Arc::default()).write(&write, "7").await },
        );
    let text = "NetworkInterface n1 is no object of the API server".to_owned();
    assert_eq!((result, requests), (Err(WriteFailure::Invalid(text)), Vec::new()));
}

#[test]
fn status_request() {
    let (result, requests) = with_server(written("east"), |client| async move {
        let status = json!({"observedGeneration": 3});
        ApiServer::new(client, Arc::default()).write_status(&"east".into(), &status, "7").await
    });
    assert!(result.is_ok());
    assert!(
        requests[0]
            .starts_with("PATCH /apis/redhatcop.redhat.io/v1alpha1/egressipams/east/status?&fieldManager=sluice ")
    );
    assert!(requests[0].ends_with(r#"{"metadata":{"resourceVersion":"7"},"status":{"observedGeneration":3}}"#));
}

#[test]
fn event_request() {
    let (result, requests) = with_server(answer("201 Created", &json!({})), |client| async move {
        ApiServer::new(client, Arc::default()).create_event("shop", &json!({"kind": "Event"})).await
    });
    assert_eq!(result, Ok(()));
    assert!(requests[0].starts_with("POST /api/v1/namespaces/shop/events?&fieldManager=sluice "));
}

#[test]
fn the_answer_goes_into_the_index() {
    let index = Arc::new(SharedIndex::default());
    let known = Object::new(json!({"metadata": {"name": "shop", "uid": "u", "resourceVersion": "7"}}));
    index.change(|index| index.apply(Kind::NetNamespace, &known));
    let body = json!({"metadata": {"name": "shop", "uid": "u", "resourceVersion": "8"}, "egressIPs": ["10.0.0.9"]});
    let other = Arc::clone(&index);
    let change = holding("", &[], None);
    let _ = with_server(answer("200 OK", &body), |client| async move {
        ApiServer::new(client, other).write(&write(Target::Holding("shop".into()), change), "7").await
    });
    index.read(|index| {
        assert_eq!(index.resource_version(Kind::NetNamespace, "shop"), Some("8"));
        assert_eq!(index.facts().holdings["shop"].egress_ips.len(), 1);
    });
}

/// Writes to a NetNamespace of version 7, which the index knows as `known`. Returns the requests and what it knows then.
fn look_after(head: &'static str, known: &str) -> (Vec<String>, String) {
    let object = |version: &str| json!({"metadata": {"name": "shop", "uid": "u", "resourceVersion": version}});
    let index = Arc::new(SharedIndex::default());
    index.change(|index| index.apply(Kind::NetNamespace, &Object::new(object(known))));
    let mut answers = answer(head, &json!({"kind": "Status", "message": "no"}));
    answers.extend(answer("200 OK", &object("8")));
    let other = Arc::clone(&index);
    let change = holding("", &[], None);
    let (result, requests) = with_server(answers, |client| async move {
        ApiServer::new(client, other).write(&write(Target::Holding("shop".into()), change), "7").await
    });
    assert!(result.is_err(), "{result:?}");
    let requests = requests.iter().map(|text| text.lines().next().unwrap_or_default().to_owned()).collect();
    (requests, index.read(|index| index.resource_version(Kind::NetNamespace, "shop").unwrap().to_owned()))
}

#[test]
fn a_conflict_and_an_unknown_result_make_it_look() {
    for head in ["409 Conflict", "500 Internal Server Error"] {
        let (requests, version) = look_after(head, "7");
        assert_eq!(version, "8", "{head}");
        assert_eq!(requests[1..], ["GET /apis/network.openshift.io/v1/netnamespaces/shop HTTP/1.1"], "{head}");
    }
}

#[test]
fn it_does_not_look_at_what_it_knows_or_what_would_not_help() {
    assert_eq!(look_after("409 Conflict", "9").0.len(), 1, "the watch was faster");
    assert_eq!(look_after("403 Forbidden", "7").0.len(), 1);
    assert_eq!(look_after("404 Not Found", "7").0.len(), 1);
}

fn failure(answers: Vec<Answer>) -> WriteFailure {
    let (result, _) =
        with_server(answers, |client| async move { ApiServer::new(client, Arc::default()).write(&guard(), "7").await });
    result.unwrap_err()
}

fn refused(head: &'static str, message: &str) -> WriteFailure {
    failure(answer(head, &json!({"kind": "Status", "status": "Failure", "message": message, "reason": "R", "code": 1})))
}

#[test]
fn refusals() {
    assert_eq!(refused("409 Conflict", "the object has been modified"), WriteFailure::Conflict);
    assert_eq!(refused("404 Not Found", "not found"), WriteFailure::NotFound);
    assert_eq!(refused("410 Gone", "gone"), WriteFailure::NotFound);
    assert_eq!(refused("403 Forbidden", "no\n  rights"), WriteFailure::Denied("no rights".to_owned()));
    assert_eq!(refused("401 Unauthorized", "who?"), WriteFailure::Denied("who?".to_owned()));
    assert_eq!(refused("422 Unprocessable Entity", "bad"), WriteFailure::Invalid("bad".to_owned()));
    assert_eq!(refused("400 Bad Request", "bad"), WriteFailure::Invalid("bad".to_owned()));
    assert_eq!(refused("500 Internal Server Error", "etcd"), WriteFailure::Transient("etcd".to_owned()));
    assert_eq!(refused("503 Service Unavailable", "soon"), WriteFailure::Transient("soon".to_owned()));
    assert_eq!(refused("408 Request Timeout", "late"), WriteFailure::Transient("late".to_owned()));
}

#[test]
fn throttling() {
    let throttled = |seconds| WriteFailure::Throttled { retry_after: Some(Duration::from_secs(seconds)) };
    assert_eq!(refused("429 Too Many Requests\r\nretry-after: 3", "slow down"), throttled(3));
    assert_eq!(refused("503 Service Unavailable\r\nretry-after: 9", "soon"), throttled(9));
    let in_body = json!({"kind": "Status", "message": "slow down", "details": {"retryAfterSeconds": 5}});
    assert_eq!(failure(answer("429 Too Many Requests", &in_body)), throttled(5));
    let date = refused("429 Too Many Requests\r\nretry-after: Wed, 21 Oct 2015 07:28:00 GMT", "slow down");
    assert_eq!(date, WriteFailure::Throttled { retry_after: None });
}

#[test]
fn answers_that_are_none() {
    let page = Answer { head: "502 Bad Gateway", body: "<html>\n bad   gateway</html>".to_owned() };
    let text = "HTTP 502 Bad Gateway: <html> bad gateway</html>".to_owned();
    assert_eq!(failure(vec![page]), WriteFailure::Transient(text));
    let page = Answer { head: "200 OK", body: "<html>".to_owned() };
    assert!(matches!(failure(vec![page]), WriteFailure::Transient(text) if text.starts_with("the answer is not JSON")));
    for body in [
        json!({}),
        json!({"metadata": {"name": "east"}}),
        json!({"metadata": {"name": "west", "resourceVersion": "8"}}),
    ] {
        let text = "the answer is not the object that was written".to_owned();
        assert_eq!(failure(answer("200 OK", &body)), WriteFailure::Transient(text));
    }
    let long = "x".repeat(100_000);
    assert!(matches!(refused("403 Forbidden", &long), WriteFailure::Denied(text) if text.len() < 1000));
}

#[test]
fn silence_has_an_end() {
    let (result, _) = with_server(Vec::new(), |client| async move {
        let mut server = ApiServer::new(client, Arc::default());
        server.deadline = Duration::from_millis(50);
        server.write(&guard(), "7").await
    });
    assert_eq!(result, Err(WriteFailure::Transient("no answer within 0 s".to_owned())));
}
