//! What only happens on the wire: tokens, lost connections, late answers and scaled time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod common;

use std::time::{Duration, Instant};

use serde_json::json;
use sluice_sandbox_azure::{Arm, Client, Fault, Place, Settings, Span, Wrong};

use crate::common::send;

async fn cloud(settings: Settings) -> (Arm, String) {
    let arm = Arm::start(settings).await.unwrap();
    let place = Place::new("sub", "rg", "eastus");
    let network = arm.add_network(&place, "vnet", &[("nodes", &["10.0.0.0/24".parse().unwrap()])]);
    let nic = arm.add_nic(&place, "nic", &format!("{network}/subnets/nodes"), "10.0.0.4".parse().unwrap());
    arm.add_machine(&place, "vm", Some("1"), &[&nic]);
    (arm, nic)
}

#[tokio::test]
async fn a_token_is_bought_used_and_expires() {
    let (arm, nic) = cloud(Settings { scale: 0, token_life_s: 300, ..Settings::default() }).await;
    arm.put_client(Client {
        tenant: "t".to_owned(),
        id: "app".to_owned(),
        secret: Some("s3cret".to_owned()),
        assertions: Vec::new(),
    });
    let form = "grant_type=client_credentials&client_id=app&client_secret=s3cret&scope=https%3A%2F%2Fx%2F.default";
    let answer = send(&arm, "POST", "/t/oauth2/v2.0/token", "", form.to_owned()).await.unwrap();
    assert_eq!((answer.status, &answer.body["expires_in"]), (200, &json!(300)));
    let token = answer.body["access_token"].as_str().unwrap().to_owned();
    let path = format!("{nic}?api-version=2024-03-01");
    assert_eq!(send(&arm, "GET", &path, &token, String::new()).await.unwrap().status, 200);
    arm.clock().advance(300_000);
    let expired = send(&arm, "GET", &path, &token, String::new()).await.unwrap();
    assert_eq!((expired.status, &expired.body["error"]["code"]), (401, &json!("ExpiredAuthenticationToken")));
    assert!(arm.log().iter().all(|logged| !format!("{logged:?}").contains("s3cret")), "credentials are not logged");
}

#[tokio::test]
async fn the_token_endpoint_may_refuse() {
    let (arm, _) = cloud(Settings::default()).await;
    let what = Wrong::Refused { status: 400, code: "invalid_grant".to_owned(), message: "AADSTS1: no".to_owned() };
    arm.inject(Fault::once("POST", "/oauth2/", what));
    let answer = send(&arm, "POST", "/t/oauth2/v2.0/token", "", String::new()).await.unwrap();
    assert_eq!(answer.body, json!({"error": "invalid_grant", "error_description": "AADSTS1: no"}));
}

#[tokio::test]
async fn a_connection_is_lost_before_or_after_the_deed() {
    let (arm, nic) = cloud(Settings { scale: 0, ..Settings::default() }).await;
    let path = format!("{nic}?api-version=2024-03-01");
    let token = arm.bearer("operator");
    let body = arm.resource(&nic).unwrap().to_string();
    for (wrong, done) in [(Wrong::DroppedBefore, false), (Wrong::DroppedAfter, true)] {
        arm.inject(Fault::once("PUT", "networkInterfaces", wrong));
        assert!(send(&arm, "PUT", &path, &token, body.clone()).await.is_none());
        assert_eq!(arm.is_busy(&nic), done);
    }
    assert_eq!(
        send(&arm, "GET", &path, &token, String::new()).await.unwrap().body["properties"]["provisioningState"],
        "Updating"
    );
}

#[tokio::test]
async fn an_update_of_71_seconds_takes_71_milliseconds() {
    let (arm, nic) = cloud(Settings { duration: Span::Fixed(71_000), scale: 1000, ..Settings::default() }).await;
    let path = format!("{nic}?api-version=2024-03-01");
    let token = arm.bearer("operator");
    let started = Instant::now();
    let body = arm.resource(&nic).unwrap().to_string();
    let answer = send(&arm, "PUT", &path, &token, body).await.unwrap();
    let poll = answer.headers["azure-asyncoperation"].strip_prefix(arm.base_url()).unwrap().to_owned();
    loop {
        let status = send(&arm, "GET", &poll, &token, String::new()).await.unwrap().body;
        if status["status"] != "InProgress" {
            assert_eq!(status, json!({"status": "Succeeded"}));
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "the operation does not end");
        tokio::time::sleep(arm.clock().real(10_000)).await;
    }
    assert!(started.elapsed() >= Duration::from_millis(71));
}

#[tokio::test]
async fn an_answer_may_be_late() {
    let (arm, nic) = cloud(Settings { scale: 1000, ..Settings::default() }).await;
    arm.inject(Fault::once("GET", "", Wrong::Slow(50_000)));
    let started = Instant::now();
    let path = format!("{nic}?api-version=2024-03-01");
    assert_eq!(send(&arm, "GET", &path, &arm.bearer("operator"), String::new()).await.unwrap().status, 200);
    assert!(started.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn the_server_ends_with_its_handle() {
    let (arm, _) = cloud(Settings::default()).await;
    let address = arm.base_url().strip_prefix("http://").unwrap().to_owned();
    let other = arm.clone();
    drop(arm);
    assert!(tokio::net::TcpStream::connect(&address).await.is_ok(), "a clone is left");
    drop(other);
    let deadline = Instant::now() + Duration::from_secs(30);
    while tokio::net::TcpStream::connect(&address).await.is_ok() {
        assert!(Instant::now() < deadline, "the server goes on");
        tokio::task::yield_now().await;
    }
}
