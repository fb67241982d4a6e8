//! Sends the request of a recording to a simulator of its own.

use serde_json::Value;
use sluice_sandbox_azure::{Arm, Ending, Fault, Place, Settings, Span, Wrong};

use crate::common::{self, Answer};
use crate::record::Recording;
use crate::setting;

/// Replays a recording.
pub(crate) async fn replay(recording: &Recording) -> Answer {
    // Time stands: an operation ends when it is told to. Recorded operation URLs are older than the signed parameters.
    let settings =
        Settings { scale: 0, signed_operations: false, duration: Span::Fixed(71_000), ..Settings::default() };
    let arm = Arm::start(settings).await.unwrap();
    if recording.path.contains("/providers/Microsoft.Network/locations/") {
        return poll(&arm, recording).await;
    }
    setting::seed(&arm, recording);
    send(&arm, &recording.method, &recording.path, recording.sent.as_ref()).await
}

/// Brings an operation about, and asks for it.
async fn poll(arm: &Arm, recording: &Recording) -> Answer {
    let place = Place::new("s", "g", "eastus");
    let network = arm.add_network(&place, "v", &[("n", &["10.0.0.0/24".parse().unwrap()])]);
    let nic = arm.add_nic(&place, "nic", &format!("{network}/subnets/n"), "10.0.0.4".parse().unwrap());
    let version = recording.parameter("api-version").unwrap();
    let path = format!("{nic}?api-version={version}");
    let results = recording.path.contains("/operationResults/");
    let started = if results {
        send(arm, "DELETE", &path, None).await
    } else {
        arm.add_machine(&place, "vm", None, &[&nic]);
        let error = &recording.body["error"];
        if let (Some(code), Some(message)) = (error["code"].as_str(), error["message"].as_str()) {
            let ending = Ending::Failed { code: code.to_owned(), message: message.to_owned(), applied: true };
            arm.inject(Fault::once("PUT", "", Wrong::Operation(ending)));
        }
        send(arm, "PUT", &path, arm.resource(&nic).as_ref()).await
    };
    let ended = if results { recording.status != 202 } else { recording.body["status"] != "InProgress" };
    if ended {
        arm.clock().advance(71_000);
    }
    let url = &started.headers[if results { "location" } else { "azure-asyncoperation" }];
    let path = url.strip_prefix(arm.base_url()).unwrap();
    assert_eq!(form(path), form(&recording.path), "the shape of the operation's URL");
    send(arm, "GET", path, None).await
}

/// A URL of an operation without subscription, region and GUID, and with the GUID's form checked.
fn form(url: &str) -> String {
    let mut parts: Vec<String> = url.split('/').map(str::to_owned).collect();
    let last = parts.pop().unwrap();
    let (guid, query) = last.split_once('?').unwrap();
    let lengths: Vec<usize> = guid.split('-').map(str::len).collect();
    parts[2] = String::new();
    parts[6] = String::new();
    format!("{} {lengths:?} {query}", parts.join("/"))
}

async fn send(arm: &Arm, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let body = body.map(Value::to_string).unwrap_or_default();
    common::send(arm, method, path, &arm.bearer("someone"), body).await.unwrap()
}
