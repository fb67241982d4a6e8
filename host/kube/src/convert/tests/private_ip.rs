//! `CloudPrivateIPConfig`.

use expect_test::expect;

use super::object;
use crate::convert::{FieldNotes, private_ip, private_ip_facts};

#[test]
fn private_ips_are_named_after_their_address() {
    let read = |name: &str| private_ip(name).map(|address| address.to_string());
    assert_eq!(read("10.20.0.9").as_deref(), Some("10.20.0.9"));
    assert_eq!(read("fc00.f853.0ccd.e793.0000.0000.0000.0054").as_deref(), Some("fc00:f853:ccd:e793::54"));
    assert_eq!(read("nonsense"), None);
}

#[test]
fn private_ips_are_given_awaited_or_refused() {
    let told = |deleting: &str, status: &str| {
        let yaml = format!("{{metadata: {{name: 10.20.0.9{deleting}}}, spec: {{node: n1}}, status: {status}}}");
        let mut notes = FieldNotes::new();
        let facts = private_ip_facts(&object(&yaml), &mut notes);
        format!("{facts:?} {}\n", notes.iter().map(ToString::to_string).collect::<String>())
    };
    let assigned = |status: &str, message: &str| {
        let time = "lastTransitionTime: '2026-01-01T00:00:00Z'";
        format!("{{node: n1, conditions: [{{type: Other}}, {{type: Assigned, status: {status}, {time}{message}}}]}}")
    };
    let deleting = ", deletionTimestamp: '2026-01-01T00:00:00Z'";
    let shown = [
        told("", "null"),
        told("", "{conditions: []}"),
        told("", "{conditions: {}}"),
        told("", &assigned("Unknown", ", message: Adding IP address")),
        told("", &assigned("Unknown", "")),
        told("", &assigned("'True'", ", message: well")),
        told("", &assigned("'True'", "").replace("node: n1, ", "")),
        told("", &assigned("'False'", ", message: no")),
        told("", &assigned("'False'", "")),
        told(deleting, &assigned("'True'", ", message: well")),
        told(deleting, &assigned("Unknown", ", message: Deleting IP address")),
        told(deleting, &assigned("'False'", ", message: no")),
    ];
    expect![[r#"
        Awaited("the controller has not begun") 
        Awaited("the controller has not begun") 
        Awaited("the controller has not begun") status.conditions: expected a list, found {}
        Awaited("Adding IP address since 2026-01-01T00:00:00Z") 
        Awaited("the controller has not begun since 2026-01-01T00:00:00Z") 
        Given(Some(NodeName("n1"))) 
        Given(None) 
        Refused("no") 
        Refused("the cloud refused it") 
        Awaited("it is to be taken off a node") 
        Awaited("Deleting IP address since 2026-01-01T00:00:00Z") 
        Refused("no") 
    "#]]
    .assert_eq(&shown.concat());
}
