//! Throttling, credentials, permissions and nodes that cannot be served, against a simulated Resource Manager.

mod common;

use std::time::Duration;

use common::*;
use sluice_azure::MachineRef;
use sluice_sandbox_azure::{Denial, ExpiresIn, Fault, Reason, Settings, Wrong};

fn throttled(retry_after: u64) -> Wrong {
    let details = vec![("RetryableErrorDueToTooManyCalls".to_owned(), "too many calls".to_owned())];
    Wrong::Throttled { code: "RetryableError".to_owned(), details, retry_after }
}

#[tokio::test]
async fn a_429_stops_the_writes_of_all_interfaces_until_it_is_over() {
    let setup = start(Settings::default()).await;
    setup.arm.inject(Fault::once("PUT", "w1-nic", throttled(240)));
    setup.submit("w1", &["10.0.40.1"], &[]);
    let facts = setup.until(|facts| !facts.complaints.is_empty()).await;
    assert!(facts.complaints[0].contains("429"), "{:?}", facts.complaints);
    let refused_at = setup.arm.clock().now();
    setup.submit("w2", &["10.0.40.2"], &[]);
    setup.reach("w1", &["10.0.40.1"]).await;
    setup.reach("w2", &["10.0.40.2"]).await;
    let log = setup.arm.log();
    let puts: Vec<u64> = log.iter().filter(|one| one.method == "PUT").map(|one| one.at).collect();
    assert_eq!(puts.len(), 3, "{puts:?}");
    assert!(puts[1..].iter().all(|at| *at > refused_at + 150_000), "{refused_at}: {puts:?}");
    assert_eq!(setup.azure.meter().throttled(), 1);
    setup.until(|facts| facts.complaints.is_empty()).await;
}

#[tokio::test]
async fn twenty_minutes_of_429_lose_nothing() {
    let setup = start(Settings::default()).await;
    let until = setup.arm.clock().now() + 20 * 60_000;
    setup.arm.inject(Fault::once("PUT", "", throttled(60)).until(until));
    setup.reach("w1", &["10.0.40.1", "10.0.40.2"]).await;
    assert!(setup.arm.clock().now() > until);
    assert!(setup.puts() <= 25, "{}", setup.puts());
}

#[tokio::test]
async fn a_token_may_expire_in_the_middle_of_an_operation() {
    for expires_in in [ExpiresIn::Text, ExpiresIn::Number] {
        let setup = start(Settings { token_life_s: 20, expires_in, ..Settings::default() }).await;
        setup.submit("w1", &["10.0.40.1"], &[]);
        let w1 = setup.until_node("w1", |one| one.addresses.len() == 1).await;
        assert_eq!(w1.complaint, None);
        assert!(setup.azure.meter().tokens() > 1);
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let setup = start(Settings::default()).await;
    setup.arm.revoke_tokens();
    setup.submit("w1", &["10.0.40.1"], &[]);
    let w1 = setup.until_node("w1", |one| one.addresses.len() == 1).await;
    assert_eq!((w1.complaint, setup.azure.meter().tokens(), setup.puts()), (None, 2, 1));
}

#[tokio::test]
async fn credentials_are_changed_while_it_runs() {
    let setup = start(Settings::default()).await;
    setup.arm.put_client(client("new"));
    setup.arm.revoke_tokens();
    setup.submit("w1", &["10.0.40.1"], &[]);
    let facts = setup.until(|facts| facts.interfaces["w1"].complaint.is_some()).await;
    let complaint = facts.interfaces["w1"].complaint.clone().unwrap();
    assert!(complaint.contains("AADSTS7000215") && !complaint.contains("hush"), "{complaint}");
    setup.azure.set_credentials(Ok(secret("new")));
    let w1 = setup.reach("w1", &["10.0.40.1"]).await;
    assert_eq!(w1.complaint, None);
    setup.azure.set_credentials(Err("key azure_client_id is missing or empty".to_owned()));
    setup.until(|facts| facts.complaints.iter().any(|text| text.contains("azure_client_id"))).await;
}

#[tokio::test]
async fn what_is_not_allowed_is_told_by_action_and_scope() {
    for reason in [Reason::Role, Reason::DenyAssignment] {
        let setup = start(Settings::default()).await;
        let scope = setup.nic("w1");
        let action = "Microsoft.Network/networkInterfaces/write".to_owned();
        setup.arm.deny(Denial { action: action.clone(), scope: scope.clone(), reason });
        setup.submit("w1", &["10.0.40.1"], &[]);
        let facts = setup.until(|facts| facts.interfaces["w1"].complaint.is_some()).await;
        let complaint = facts.interfaces["w1"].complaint.clone().unwrap();
        assert!(complaint.starts_with(&format!("not allowed: {action} on {scope}")), "{complaint}");
        setup.reach("w2", &["10.0.40.2"]).await;
        setup.arm.allow_all();
        setup.reach("w1", &["10.0.40.1"]).await;
    }
}

#[tokio::test]
async fn a_permission_on_what_the_interface_refers_to_is_told_too() {
    let setup = start(Settings::default()).await;
    let action = "Microsoft.Network/virtualNetworks/subnets/join/action".to_owned();
    let scope = setup.subnet.clone();
    setup.arm.deny(Denial { action: action.clone(), scope: scope.clone(), reason: Reason::Role });
    setup.submit("w1", &["10.0.40.1"], &[]);
    let facts = setup.until(|facts| facts.interfaces["w1"].complaint.is_some()).await;
    let complaint = facts.interfaces["w1"].complaint.clone().unwrap();
    assert!(complaint.contains(&action) && complaint.contains(&scope), "{complaint}");
}

#[tokio::test]
async fn nodes_that_cannot_be_served_say_why_and_others_are() {
    let setup = start(Settings::default()).await;
    let mut nodes = setup.nodes.clone();
    let told = |id: String| MachineRef { provider_id: Some(id), ..MachineRef::default() };
    let vm = setup.place.id("Microsoft.Compute/virtualMachines", "nobody");
    nodes.insert(node("missing"), told(format!("azure://{vm}")));
    nodes.insert(node("foreign"), told(format!("azure://{}", vm.replace(SUBSCRIPTION, "another"))));
    let uniform = vm.replace("virtualMachines/nobody", "virtualMachineScaleSets/x/virtualMachines/0");
    nodes.insert(node("uniform"), told(format!("azure://{uniform}")));
    nodes.insert(node("aws"), told("aws:///eu-west-1a/i-1".to_owned()));
    nodes.remove("w2");
    let machine = Some("openshift-machine-api/w2".to_owned());
    nodes.insert(node("by-machine"), MachineRef { machine, ..MachineRef::default() });
    nodes.insert(node("w3"), MachineRef::default());
    setup.arm.add_machine(&setup.place, "bare", None, &[]);
    nodes.insert(node("bare"), told(format!("azure://{}", vm.replace("nobody", "bare"))));
    setup.azure.set_nodes(nodes);
    let facts = setup.until(|facts| facts.unusable.get("bare").is_some_and(|why| why.contains("no interface"))).await;
    let names: Vec<&str> = facts.unusable.keys().map(sluice_core::name::NodeName::as_str).collect();
    assert_eq!(names, ["aws", "bare", "foreign", "missing", "uniform"], "{:?}", facts.unusable);
    let served: Vec<&str> = facts.interfaces.keys().map(sluice_core::name::NodeName::as_str).collect();
    assert_eq!(served, ["by-machine", "w1", "w3"], "w3 by its name");
}

#[tokio::test]
async fn the_end_does_not_wait_for_operations() {
    let mut setup = start(Settings::default()).await;
    setup.submit("w1", &["10.0.40.1"], &[]);
    setup.until_busy("w1").await;
    tokio::time::timeout(Duration::from_secs(5), setup.stop()).await.unwrap();
}

#[tokio::test]
async fn interfaces_are_only_read_where_somebody_else_writes_them() {
    let setup = start(Settings::default()).await;
    setup.azure.set_writes(false);
    assert!(!setup.azure.facts().unwrap().writes);
    let refused = setup.azure.submit(&node("w1"), &ips(&["10.0.40.1"]), &ips(&[]));
    assert_eq!(refused, Err(sluice_azure::NotSubmitted::ReadOnly));
    assert_eq!(setup.puts(), 0);
}

#[tokio::test]
async fn a_token_file_is_read_anew_each_time() {
    let setup = start(Settings::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "old\n").unwrap();
    let pairs = [
        ("azure_client_id", "app"),
        ("azure_tenant_id", "tenant"),
        ("azure_subscription_id", SUBSCRIPTION),
        ("azure_federated_token_file", file.to_str().unwrap()),
    ];
    let data = pairs.into_iter().map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec())).collect();
    setup.azure.set_credentials(Ok(sluice_azure::Credentials::from_secret(&data).unwrap()));
    setup.until(|facts| facts.complaints.iter().any(|text| text.contains("AADSTS700024"))).await;
    std::fs::write(&file, "jwt\n").unwrap();
    setup.until(|facts| facts.complaints.is_empty()).await;
    setup.reach("w1", &["10.0.40.1"]).await;
}

/// Virtual time passes by itself; no request is sent but by the provider.
async fn until_time(setup: &Setup, milliseconds: u64) {
    while setup.arm.clock().now() < milliseconds {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn authority_down() -> Fault {
    let wrong = Wrong::Refused { status: 503, code: "temporarily_unavailable".to_owned(), message: "down".to_owned() };
    Fault::once("POST", "/oauth2/", wrong).times(u32::MAX)
}

#[tokio::test]
async fn an_authority_that_is_down_stops_nobody_while_the_token_is_valid() {
    // To be renewed after 1,200 s, and valid for 1,500.
    let setup = start(Settings { token_life_s: 1_500, ..Settings::default() }).await;
    setup.arm.inject(authority_down());
    let bought_before = setup.arm.clock().now();
    until_time(&setup, bought_before + 1_220_000).await;
    setup.submit("w1", &["10.0.40.1"], &[]);
    let w1 = setup.until_node("w1", |one| one.addresses.len() == 1).await;
    assert_eq!((w1.complaint, setup.puts()), (None, 1));
    assert!(setup.arm.count("POST", "/oauth2/") > 1, "a renewal was tried");
    setup.arm.clear_faults();
    // And in the end there is a new one.
    until_time(&setup, bought_before + 1_600_000).await;
    setup.reach("w2", &["10.0.40.2"]).await;
}

#[tokio::test]
async fn an_authority_that_hangs_stops_nobody_while_the_token_is_valid() {
    let setup = start(Settings { token_life_s: 1_500, ..Settings::default() }).await;
    let bought_before = setup.arm.clock().now();
    setup.arm.inject(Fault::once("POST", "/oauth2/", Wrong::Slow(u64::from(u32::MAX))));
    until_time(&setup, bought_before + 1_220_000).await;
    for (name, address) in [("w1", "10.0.40.1"), ("w2", "10.0.40.2"), ("w3", "10.0.40.3")] {
        setup.submit(name, &[address], &[]);
    }
    // Only the request that asked for the renewal waits, and not for long.
    let sent = async {
        while setup.puts() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(8), sent).await.is_ok(), "{} of 3", setup.puts());
}

#[tokio::test]
async fn many_who_need_a_token_ask_once_and_a_failure_counts_for_all() {
    let setup = start(Settings::default()).await;
    setup.arm.revoke_tokens();
    setup.arm.inject(authority_down());
    let before = setup.arm.count("POST", "/oauth2/");
    for (name, address) in [("w1", "10.0.40.1"), ("w2", "10.0.40.2"), ("w3", "10.0.40.3")] {
        setup.submit(name, &[address], &[]);
    }
    let all_failed = |facts: &sluice_core::cloud::CloudFacts| {
        facts.interfaces.values().all(|one| one.complaint.as_ref().is_some_and(|text| text.contains("no token")))
    };
    let begun = setup.arm.clock().now();
    setup.until(all_failed).await;
    let asked = setup.arm.count("POST", "/oauth2/") - before;
    let most = 1 + usize::try_from((setup.arm.clock().now() - begun) / 10_000).unwrap();
    assert!(asked <= most, "{asked} of at most {most}, one in ten seconds");
    setup.arm.clear_faults();
    setup.reach("w1", &["10.0.40.1"]).await;
}
