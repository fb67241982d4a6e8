//! The life of an operation, and what happens while one runs.

use serde_json::{Value, json};

use super::{Lab, error, header};
use crate::{Conflict, Ending, Fault, Settings, Span, Wrong};

#[tokio::test]
async fn an_update_ends_when_its_time_has_come() {
    let lab = Lab::new(|_| {}).await;
    let before = lab.arm.resource(&lab.nic).unwrap()["etag"].clone();
    let accepted = lab.put(1000, &lab.nic, &lab.with(&lab.nic, "10.0.0.9"));
    assert_eq!(header(&accepted, "retry-after").as_deref(), Some("10"));
    let body = accepted.body.clone().unwrap();
    assert_eq!(body["properties"]["provisioningState"], "Updating");
    assert_ne!(body["etag"], before);
    let running = lab.poll(71_999, &accepted);
    assert_eq!(
        (running.body.clone().unwrap(), header(&running, "retry-after")),
        (json!({"status": "InProgress"}), Some("10".to_owned()))
    );
    let ended = lab.poll(72_000, &accepted);
    assert_eq!((ended.body.clone().unwrap(), header(&ended, "retry-after")), (json!({"status": "Succeeded"}), None));
    let after = lab.get(72_000, &lab.nic);
    let body_after = after.body.clone().unwrap();
    assert_ne!(body_after["etag"], body["etag"], "the etag changes again at the end");
    assert_eq!(header(&after, "etag").unwrap(), body_after["etag"]);
    assert_eq!(body_after["properties"]["ipConfigurations"][1]["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn operations_are_asked_for_with_their_whole_query() {
    let lab = Lab::new(|_| {}).await;
    let accepted = lab.put(0, &lab.nic, &lab.with(&lab.nic, "10.0.0.9"));
    let url = header(&accepted, "azure-asyncoperation").unwrap();
    let path = url.strip_prefix(lab.arm.base_url()).unwrap();
    assert!(path.contains("&t=") && path.contains("&c=") && path.contains("&s=") && path.contains("&h="));
    assert_eq!(lab.get(0, path.split("&t=").next().unwrap()).status, 404);
    assert_eq!(lab.get(0, path).status, 200);
    let day = 24 * 3_600_000;
    assert_eq!(lab.get(71_000 + day, path).status, 200);
    assert_eq!(lab.get(71_001 + day, path).status, 404, "eventually it is forgotten");
}

#[tokio::test]
async fn an_address_is_free_when_its_release_has_ended() {
    let lab = Lab::new(|settings| settings.release_lag_ms = 5000).await;
    lab.arm.add_config(&lab.nic, "EgressIP10.0.0.9", super::ip("10.0.0.9"));
    let wanted = lab.with(&lab.other, "10.0.0.9");
    let mut released = lab.arm.resource(&lab.nic).unwrap();
    released["properties"]["ipConfigurations"].as_array_mut().unwrap().pop();
    assert_eq!(lab.put(0, &lab.nic, &released).status, 200);
    for now in [0, 70_999, 75_999] {
        assert_eq!(error(&lab.put(now, &lab.other, &wanted)).1, "PrivateIPAddressIsAllocated", "at {now}");
    }
    assert_eq!(lab.put(76_000, &lab.other, &wanted).status, 200);
    let back = lab.with(&lab.nic, "10.0.0.9");
    assert_eq!(error(&lab.put(76_000, &lab.nic, &back)).1, "PrivateIPAddressIsAllocated", "reserved when accepted");
}

#[tokio::test]
async fn an_unattached_nic_is_written_at_once() {
    for named in [true, false] {
        let lab = Lab::new(|settings| settings.unattached_operation = named).await;
        let answer = lab.put(0, &lab.spare, &lab.with(&lab.spare, "10.0.0.9"));
        assert_eq!(answer.body.as_ref().unwrap()["properties"]["provisioningState"], "Succeeded");
        assert_eq!(header(&answer, "azure-asyncoperation").is_some(), named);
        assert_eq!(header(&answer, "retry-after"), None);
        if named {
            assert_eq!(lab.poll(0, &answer).body.unwrap()["status"], "Succeeded");
        }
    }
}

#[tokio::test]
async fn if_match_prevents_lost_updates_and_nothing_else_does() {
    let lab = Lab::new(|_| {}).await;
    let read = lab.arm.resource(&lab.nic).unwrap();
    let etag = read["etag"].as_str().unwrap();
    let mine = lab.with(&lab.nic, "10.0.0.9");
    let pool = format!("{}/backendAddressPools/in", lab.balancer);
    lab.arm.join_pool(&lab.nic, &pool);
    let now = lab.arm.resource(&lab.nic).unwrap()["etag"].as_str().unwrap().to_owned();
    let answer = lab.send(0, "PUT", &lab.nic, Some(&mine), Some(etag)).answer.unwrap();
    let error = &answer.body.as_ref().unwrap()["error"];
    assert_eq!(
        (answer.status, &error["code"], &error["message"]),
        (412, &json!("PreconditionFailed"), &json!("Precondition failed."))
    );
    let text = format!(
        "Etag provided in if-match header {etag} does not match etag {now} of resource {} in NRP data store.",
        lab.nic
    );
    assert_eq!(error["details"], json!([{"code": "PreconditionFailedEtagMismatch", "message": text}]));
    assert_eq!(lab.put(0, &lab.nic, &mine).status, 200);
    let primary = lab.arm.resource(&lab.nic).unwrap()["properties"]["ipConfigurations"][0].clone();
    assert_eq!(primary["properties"].get("loadBalancerBackendAddressPools"), None, "the other writer's pool is lost");
}

/// Two writes to one NIC, the second while the first runs.
async fn collide(conflict: Conflict) -> (Lab, crate::answer::Answer, crate::answer::Answer) {
    let lab = Lab::new(|settings| settings.conflict = conflict).await;
    let first = lab.put(0, &lab.nic, &lab.with(&lab.nic, "10.0.0.9"));
    let mut second = lab.with(&lab.nic, "10.0.0.10");
    second["properties"]["ipConfigurations"].as_array_mut().unwrap().remove(1);
    let second = lab.put(1000, &lab.nic, &second);
    (lab, first, second)
}

#[tokio::test]
async fn a_second_write_may_have_to_wait() {
    let (_, first, second) = collide(Conflict::Retryable).await;
    assert_eq!((second.status, header(&second, "retry-after").unwrap().as_str()), (429, "12"));
    let url = header(&first, "azure-asyncoperation").unwrap();
    let id = url.split("/operations/").nth(1).unwrap().split('?').next().unwrap();
    let guid = first.body.unwrap()["properties"]["resourceGuid"].as_str().unwrap().to_owned();
    let body = second.body.unwrap();
    assert_eq!(body["error"]["message"], "A retryable error occurred.");
    let text =
        format!("Operation PutNicOperation ({id}) is updating resource {guid}. The call can be retried in 12 seconds.");
    let code = "RetryableErrorDueToAnotherOperation";
    assert_eq!(body["error"]["details"], json!([{"code": code, "message": text}]));
}

#[tokio::test]
async fn a_second_write_may_be_a_conflict() {
    let (_, _, second) = collide(Conflict::AnotherOperation).await;
    assert_eq!((error(&second).0, error(&second).1.as_str()), (409, "AnotherOperationInProgress"));
    assert_eq!(header(&second, "retry-after"), None);
}

#[tokio::test]
async fn a_second_write_may_take_the_place_of_the_first() {
    let (lab, first, second) = collide(Conflict::Supersede).await;
    assert_eq!(second.status, 200);
    let status = lab.poll(1000, &first).body.unwrap();
    assert_eq!((&status["status"], &status["error"]["code"]), (&json!("Canceled"), &json!("Canceled")));
    assert_eq!(status["error"]["details"][0]["code"], "CanceledAndSupersededDueToAnotherOperation");
    assert_eq!(lab.poll(71_999, &second).body.unwrap()["status"], "InProgress");
    assert_eq!(lab.poll(72_000, &second).body.unwrap()["status"], "Succeeded");
    let names: Vec<String> = lab.arm.addresses(&lab.nic).into_values().collect();
    assert_eq!(names, ["10.0.0.10", "10.0.0.4"], "the last writer wins");
    assert_eq!(lab.put(72_000, &lab.other, &lab.with(&lab.other, "10.0.0.9")).status, 200);
}

#[tokio::test]
async fn an_operation_may_end_badly() {
    let failed = |applied| Ending::Failed { code: " InternalError".to_owned(), message: "no".to_owned(), applied };
    let canceled = |applied| Ending::Canceled { superseded: false, applied };
    for (ending, status, state, kept) in [
        (failed(true), "Failed", "Failed", true),
        (failed(false), "Failed", "Failed", false),
        (canceled(true), "Canceled", "Failed", true),
        (canceled(false), "Canceled", "Succeeded", false),
    ] {
        let lab = Lab::new(|_| {}).await;
        let before = lab.arm.resource(&lab.nic).unwrap();
        lab.arm.inject(Fault::once("PUT", "networkInterfaces", Wrong::Operation(ending.clone())));
        let accepted = lab.put(0, &lab.nic, &lab.with(&lab.nic, "10.0.0.9"));
        assert_eq!(accepted.status, 200);
        let ended = lab.poll(71_000, &accepted);
        assert_eq!((ended.status, &ended.body.unwrap()["status"]), (200, &json!(status)));
        let after = lab.get(71_000, &lab.nic).body.unwrap();
        assert_eq!(after["properties"]["provisioningState"], state, "{ending:?}");
        assert_ne!(after["etag"], before["etag"]);
        assert_eq!(after["properties"]["ipConfigurations"].as_array().unwrap().len() == 2, kept, "{ending:?}");
        let free = lab.put(71_000, &lab.other, &lab.with(&lab.other, "10.0.0.9")).status == 200;
        assert_eq!(free, !kept, "the address is held if the change stays");
        let repaired = lab.put(71_000, &lab.nic, &after);
        assert_eq!(lab.poll(142_000, &repaired).body.unwrap()["status"], "Succeeded");
    }
}

#[tokio::test]
async fn an_operation_may_be_gone() {
    let lab = Lab::new(|_| {}).await;
    lab.arm.inject(Fault::once("PUT", "", Wrong::OperationGone));
    let accepted = lab.put(0, &lab.nic, &lab.with(&lab.nic, "10.0.0.9"));
    assert_eq!(lab.poll(0, &accepted).status, 404);
    assert_eq!(lab.get(71_000, &lab.nic).body.unwrap()["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn answers_are_lost_before_and_after_the_deed() {
    let lab = Lab::new(|_| {}).await;
    let body = lab.with(&lab.nic, "10.0.0.9");
    for (wrong, done) in [(Wrong::DroppedBefore, false), (Wrong::DroppedAfter, true)] {
        lab.arm.inject(Fault::once("PUT", "", wrong));
        assert!(lab.send(0, "PUT", &lab.nic, Some(&body), None).answer.is_none());
        assert_eq!(lab.arm.is_busy(&lab.nic), done);
    }
    assert_eq!(lab.arm.log().iter().map(|logged| logged.status).collect::<Vec<_>>(), [None, None]);
}

#[tokio::test]
async fn twenty_minutes_of_throttling_end() {
    let lab = Lab::new(|_| {}).await;
    let details = vec![("RetryableErrorDueToTooManyCalls".to_owned(), "Too many.".to_owned())];
    let what = Wrong::Throttled { code: "RetryableError".to_owned(), details, retry_after: 39 };
    lab.arm.inject(Fault::once("PUT", "", what).until(1_200_000));
    let refused = lab.put(1_199_999, &lab.nic, &lab.with(&lab.nic, "10.0.0.9"));
    assert_eq!((refused.status, header(&refused, "retry-after").unwrap().as_str()), (429, "39"));
    assert_eq!(lab.put(1_200_000, &lab.nic, &lab.with(&lab.nic, "10.0.0.9")).status, 200);
}

#[tokio::test]
async fn durations_are_those_recorded() {
    let lab =
        Lab::new(|settings| *settings = Settings { scale: 0, duration: Span::Drawn, ..Settings::default() }).await;
    let mut spans: Vec<u64> = (0..100_001).map(|_| lab.arm.shared.world().span("nic")).collect();
    spans.sort_unstable();
    assert!(spans[0] >= 30_000 && spans[100_000] <= 198_000);
    assert!((70_000..72_000).contains(&spans[50_000]), "median {}", spans[50_000]);
    assert!((81_000..86_000).contains(&spans[90_000]), "ninth decile {}", spans[90_000]);
}

#[tokio::test]
async fn a_nic_is_deleted_unless_it_is_used() {
    let lab = Lab::new(|_| {}).await;
    let used = lab.send(0, "DELETE", &lab.nic, None, None).answer.unwrap();
    assert_eq!((error(&used).0, error(&used).1.as_str()), (400, "NicInUse"));
    let accepted = lab.send(0, "DELETE", &lab.spare, None, None).answer.unwrap();
    assert_eq!((accepted.status, accepted.body), (202, None::<Value>));
    assert_eq!(lab.get(4999, &lab.spare).body.unwrap()["properties"]["provisioningState"], "Deleting");
    assert_eq!(lab.get(5000, &lab.spare).status, 404);
    assert_eq!(lab.send(5000, "DELETE", &lab.spare, None, None).answer.unwrap().status, 204);
    assert_eq!(lab.put(5000, &lab.nic, &lab.with(&lab.nic, "10.0.0.6")).status, 200);
}
