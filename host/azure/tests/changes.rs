//! Changes of interfaces, against a simulated Resource Manager.

mod common;

use common::*;
use sluice_azure::{Config, NotSubmitted};
use sluice_core::snapshot::Phase;
use sluice_sandbox_azure::{Conflict, Ending, Fault, Members, Nics, Pool, Settings, Span, Wrong};

#[tokio::test]
async fn many_addresses_take_one_write() {
    let setup = start(Settings::default()).await;
    let on: Vec<String> = (1..=100).map(|at| format!("10.0.40.{at}")).collect();
    let on: Vec<&str> = on.iter().map(String::as_str).collect();
    setup.submit("w1", &on, &[]);
    let now = setup.azure.facts().unwrap();
    let w1 = &now.interfaces["w1"];
    assert!(w1.busy);
    assert!(phases(w1).iter().all(|(_, phase)| *phase == Phase::Arriving));
    assert_eq!(w1.addresses.len(), 100);
    assert_eq!(setup.azure.submit(&node("w1"), &ips(&on), &ips(&[])), Err(NotSubmitted::Busy(node("w1"))));

    let done = setup.until_node("w1", |one| one.addresses.len() == 100).await;
    assert!(done.addresses.values().all(|it| it.ours && it.phase == Phase::Settled));
    assert_eq!((setup.puts(), setup.azure.meter().take_updates().len()), (1, 1));
    assert_eq!(ours(&setup.arm, &setup.nic("w1")).len(), 100);
    let put = setup.arm.log().into_iter().find(|logged| logged.method == "PUT").unwrap();
    assert!(put.if_match.is_some());
    // What is there is not written again.
    setup.submit("w1", &on, &[]);
    assert!(!setup.azure.facts().unwrap().interfaces["w1"].busy);
}

#[tokio::test]
async fn the_first_facts_tell_all() {
    let setup = start(Settings { members: Members::Null, page_size: 2, ..Settings::default() }).await;
    let facts = setup.azure.facts().unwrap();
    assert_eq!(facts.interfaces.len(), 3);
    assert!(facts.writes && facts.unusable.is_empty() && facts.complaints.is_empty(), "{facts:#?}");
    let w1 = &facts.interfaces["w1"];
    assert_eq!((w1.limit.total, w1.own, w1.capacity().total), (Some(255), 1, Some(255)), "256 in all");
    assert_eq!((w1.capacity().ipv4, w1.capacity().ipv6), (None, None), "both families together");
    assert_eq!(w1.subnet, ["10.0.32.0/19".parse().unwrap()]);
    assert_eq!(facts.occupied, ips(&["10.0.32.11", "10.0.32.12", "10.0.32.13"]));
    let reserved: Vec<String> = facts.reserved.iter().map(ToString::to_string).collect();
    assert_eq!(reserved, ["10.0.32.0/30", "10.0.63.255/32"]);
    assert_eq!(setup.arm.count("GET", "/networkInterfaces/"), 0, "lists only");
}

#[tokio::test]
async fn an_address_moves_with_one_write_each() {
    let setup = start(Settings::default()).await;
    setup.submit("w1", &["10.0.40.1", "10.0.40.2"], &[]);
    setup.until_node("w1", |one| one.addresses.len() == 2).await;
    setup.submit("w1", &[], &["10.0.40.1", "10.0.40.2"]);
    let leaving = setup.azure.facts().unwrap();
    assert!(leaving.interfaces["w1"].addresses.values().all(|it| it.phase == Phase::Leaving));
    setup.until_node("w1", |one| one.addresses.is_empty()).await;
    setup.submit("w2", &["10.0.40.1"], &[]);
    setup.submit("w3", &["10.0.40.2"], &[]);
    setup.until_node("w2", |one| one.addresses.len() == 1).await;
    setup.until_node("w3", |one| one.addresses.len() == 1).await;
    assert_eq!(setup.puts(), 4);
}

#[tokio::test]
async fn the_hand_over_of_an_address_may_take_a_while() {
    let setup = start(Settings { release_lag_ms: 90_000, ..Settings::default() }).await;
    setup.reach("w1", &["10.0.40.1"]).await;
    setup.reach("w1", &[]).await;
    setup.submit("w2", &["10.0.40.1", "10.0.40.2"], &[]);
    let facts = setup.until(|facts| !facts.lingering.is_empty()).await;
    assert_eq!(facts.lingering, ips(&["10.0.40.1"]));
    assert_eq!(facts.interfaces["w2"].complaint, None);
    let w2 = setup.reach("w2", &["10.0.40.1", "10.0.40.2"]).await;
    assert_eq!(w2.complaint, None);
    assert!(setup.azure.facts().unwrap().occupied.is_disjoint(&ips(&["10.0.40.1"])));
}

#[tokio::test]
async fn an_address_that_a_stranger_took_is_told_and_does_not_block_others() {
    let setup = start(Settings::default()).await;
    let elsewhere = sluice_sandbox_azure::Place::new(SUBSCRIPTION, "other-rg", "westeurope");
    setup.arm.add_nic(&elsewhere, "stranger", &setup.subnet, ip("10.0.40.1"));
    setup.submit("w1", &["10.0.40.1", "10.0.40.2"], &[]);
    setup.until(|facts| facts.doubtful.contains(&ip("10.0.40.1"))).await;
    assert_eq!(ours(&setup.arm, &setup.nic("w1")).len(), 0);
    setup.submit("w1", &["10.0.40.1", "10.0.40.2"], &[]);
    setup.until_node("w1", |one| one.addresses.len() == 1).await;
    // Whoever holds it tries again, and is refused again.
    let puts = setup.puts();
    setup.submit("w1", &["10.0.40.1"], &[]);
    let facts = setup.until(|facts| facts.lingering.contains(&ip("10.0.40.1"))).await;
    assert!(setup.puts() == puts + 1 && facts.doubtful.contains(&ip("10.0.40.1")));
    let again = setup.azure.submit(&node("w1"), &ips(&["10.0.40.1"]), &ips(&[]));
    assert_eq!(again, Err(NotSubmitted::Refused(node("w1"))));
}

#[tokio::test]
async fn a_bad_address_is_left_out() {
    let setup = start(Settings::default()).await;
    let wanted = ["10.0.40.1", "10.0.40.2", "10.0.63.255", "192.0.2.1", "10.0.40.3"];
    for _ in 0..20 {
        drop(setup.azure.submit(&node("w1"), &ips(&wanted), &ips(&[])));
        if setup.until_node("w1", |_| true).await.addresses.len() == 3 {
            break;
        }
    }
    let facts = setup.azure.facts().unwrap();
    assert_eq!(facts.interfaces["w1"].addresses.len(), 3);
    assert!(facts.occupied.contains(&ip("192.0.2.1")) && facts.occupied.contains(&ip("10.0.63.255")));
    assert_eq!(facts.complaints.len(), 2, "{:?}", facts.complaints);
}

#[tokio::test]
async fn what_others_wrote_in_between_stays() {
    let setup = start(Settings::default()).await;
    let (nic, pool) = (setup.nic("w1"), setup.pool("ingress"));
    setup.arm.edit(&nic, |nic| nic["properties"]["fieldOfTheFuture"] = serde_json::json!({"a": [1.50, null]}));
    // The controller adds the pool between our GET and our PUT: the GET is answered late.
    let fault = Fault::once(
        "PUT",
        "w1-nic",
        Wrong::Refused {
            status: 412,
            code: "PreconditionFailed".to_owned(),
            message: "Precondition failed.".to_owned(),
        },
    );
    setup.arm.inject(fault);
    setup.arm.join_pool(&nic, &pool);
    setup.arm.cncc_assign(&nic, "w1", ip("10.0.50.1"));
    let w1 = setup.reach("w1", &["10.0.40.1"]).await;
    assert_eq!(w1.complaint, None);
    assert!(!w1.addresses[&ip("10.0.50.1")].ours);
    let body = setup.arm.resource(&nic).unwrap();
    assert_eq!(body["properties"]["fieldOfTheFuture"], serde_json::json!({"a": [1.50, null]}));
    let configurations = body["properties"]["ipConfigurations"].as_array().unwrap();
    assert_eq!(configurations.len(), 3);
    assert_eq!(configurations[0]["properties"]["loadBalancerBackendAddressPools"][0]["id"], pool);
    assert_eq!(configurations[2]["properties"]["loadBalancerBackendAddressPools"][0]["id"], pool);
    assert_eq!(setup.puts(), 2);
}

#[tokio::test]
async fn a_pool_with_an_outbound_rule_is_not_joined() {
    let setup = start(Settings::default()).await;
    let (nic, pool) = (setup.nic("w1"), setup.pool("outbound"));
    setup.arm.join_pool(&nic, &pool);
    setup.reach("w1", &["10.0.40.1"]).await;
    let body = setup.arm.resource(&nic).unwrap();
    assert!(body["properties"]["ipConfigurations"][1]["properties"]["loadBalancerBackendAddressPools"].is_null());
    let told = setup.azure.facts().unwrap().passed_over.clone();
    assert!(told.len() == 1 && told.first().unwrap().contains(&pool), "{told:?}");

    let pools = [Pool { name: "outbound".to_owned(), outbound: false }];
    setup.arm.add_load_balancer(&setup.place, "lb", &pools);
    setup.until(|facts| facts.passed_over.is_empty()).await;
}

#[tokio::test]
async fn an_operation_that_fails_is_repaired() {
    let setup = start(Settings::default()).await;
    for applied in [true, false] {
        let failed = Ending::Failed { code: "InternalServerError".to_owned(), message: "sorry".to_owned(), applied };
        setup.arm.inject(Fault::once("PUT", "w1-nic", Wrong::Operation(failed)));
        let on: &[&str] = if applied { &["10.0.40.1"] } else { &["10.0.40.1", "10.0.40.2"] };
        setup.submit("w1", on, &[]);
        let facts = setup.until(|facts| facts.interfaces["w1"].complaint.is_some()).await;
        let complaint = facts.interfaces["w1"].complaint.clone().unwrap();
        assert_eq!(complaint, "the operation ended Failed: InternalServerError: sorry");
        let w1 = setup.reach("w1", on).await;
        assert_eq!(w1.complaint, None);
        let body = setup.arm.resource(&setup.nic("w1")).unwrap();
        assert_eq!(body["properties"]["provisioningState"], "Succeeded");
    }
}

#[tokio::test]
async fn a_canceled_operation_is_done_again() {
    let setup = start(Settings::default()).await;
    let canceled = Ending::Canceled { superseded: true, applied: false };
    setup.arm.inject(Fault::once("PUT", "w1-nic", Wrong::Operation(canceled)));
    setup.submit("w1", &["10.0.40.1"], &[]);
    let w1 = setup.reach("w1", &["10.0.40.1"]).await;
    assert_eq!((w1.complaint, setup.puts()), (None, 2));
}

#[tokio::test]
async fn an_operation_that_nobody_knows_is_judged_by_the_interface() {
    let setup = start(Settings::default()).await;
    setup.arm.inject(Fault::once("PUT", "w1-nic", Wrong::OperationGone));
    setup.submit("w1", &["10.0.40.1"], &[]);
    setup.until_node("w1", |one| one.addresses.len() == 1).await;
    assert_eq!(setup.puts(), 1);
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_not_repeated() {
    for wrong in [Wrong::DroppedAfter, Wrong::FailedAfter { status: 504, code: "GatewayTimeout".to_owned() }] {
        let setup = start(Settings::default()).await;
        setup.arm.inject(Fault::once("PUT", "w1-nic", wrong));
        setup.submit("w1", &["10.0.40.1"], &[]);
        let w1 = setup.until_node("w1", |one| one.addresses.len() == 1).await;
        assert_eq!((w1.complaint, setup.puts()), (None, 1));
    }
}

#[tokio::test]
async fn a_write_that_was_never_made_is_made_again() {
    let setup = start(Settings::default()).await;
    setup.arm.inject(Fault::once("PUT", "w1-nic", Wrong::DroppedBefore));
    setup.submit("w1", &["10.0.40.1"], &[]);
    let w1 = setup.reach("w1", &["10.0.40.1"]).await;
    assert_eq!((w1.complaint, setup.puts()), (None, 2));
}

#[tokio::test]
async fn a_busy_interface_is_waited_for() {
    for conflict in [Conflict::Retryable, Conflict::AnotherOperation, Conflict::Supersede] {
        let setup = start(Settings { conflict, ..Settings::default() }).await;
        let mut first = start_on(setup.arm.clone(), setup.place.clone(), setup.subnet.clone()).await;
        first.submit("w1", &["10.0.40.1"], &[]);
        first.until_busy("w1").await;
        let w1 = setup.reach("w1", &["10.0.40.1", "10.0.40.2"]).await;
        assert_eq!(w1.complaint, None);
        first.stop().await;
    }
}

#[tokio::test]
async fn a_start_in_the_middle_of_an_update_waits_for_its_end() {
    let mut setup = start(Settings::default()).await;
    setup.submit("w1", &["10.0.40.1"], &[]);
    setup.until_busy("w1").await;
    setup.stop().await;
    let second = start_on(setup.arm.clone(), setup.place.clone(), setup.subnet.clone()).await;
    second.until_node("w1", |one| phases(one) == [("10.0.40.1".to_owned(), Phase::Settled)]).await;
    assert_eq!(setup.puts(), 1);
}

#[tokio::test]
async fn the_interface_of_a_dead_machine_is_released() {
    let setup = start(Settings::default()).await;
    setup.reach("w1", &["10.0.40.1"]).await;
    let mut nodes = setup.nodes.clone();
    nodes.remove("w1");
    setup.azure.set_nodes(nodes.clone());
    let facts = setup.azure.facts().unwrap();
    assert!(facts.interfaces.contains_key("w1"), "by the name of its machine");
    let machine = setup.place.id("Microsoft.Compute/virtualMachines", "w1");
    setup.arm.delete_machine(&machine, Nics::Kept);
    let facts = setup.until(|facts| facts.interfaces.contains_key("w1-nic")).await;
    assert!(!facts.interfaces.contains_key("w1"));
    setup.submit("w1-nic", &[], &["10.0.40.1"]);
    setup.until(|facts| facts.interfaces["w1-nic"].addresses.is_empty()).await;
    setup.reach("w2", &["10.0.40.1"]).await;
}

#[tokio::test]
async fn a_move_to_many_writes_each_interface_once() {
    let settings = Settings { duration: sluice_sandbox_azure::Span::Fixed(70_000), ..Settings::default() };
    let (arm, place, subnet) = cloud(settings).await;
    let mut nodes = std::collections::BTreeMap::new();
    for at in 0..20_u8 {
        let name = format!("m{at}");
        let nic = arm.add_nic(&place, &format!("{name}-nic"), &subnet, ip(&format!("10.0.33.{}", 10 + at)));
        arm.add_machine(&place, &name, None, &[&nic]);
        nodes.insert(node(&name), machine(&place, &name));
    }
    let setup = start_on(arm, place, subnet).await;
    nodes.extend(setup.nodes.clone());
    setup.azure.set_nodes(nodes.clone());
    let addresses: Vec<String> = (0..100).map(|at| format!("10.0.40.{}", 1 + at)).collect();
    let all: Vec<&str> = addresses.iter().map(String::as_str).collect();
    setup.reach("w1", &all).await;
    setup.arm.clear_log();
    setup.reach("w1", &[]).await;
    for (at, some) in all.chunks(5).enumerate() {
        setup.submit(&format!("m{at}"), some, &[]);
    }
    setup
        .until(|facts| {
            (0..20).all(|at| {
                let one = &facts.interfaces[format!("m{at}").as_str()];
                one.addresses.len() == 5 && !one.busy
            })
        })
        .await;
    assert_eq!(setup.puts(), 21, "one for each interface");
}

#[tokio::test]
async fn the_interface_of_a_dead_machine_has_its_addresses_until_their_release_ends() {
    let setup = start(Settings::default()).await;
    setup.reach("w1", &["10.0.40.1"]).await;
    let mut nodes = setup.nodes.clone();
    nodes.remove("w1");
    // It was listed before it had the address.
    setup.azure.set_nodes(nodes.clone());
    setup.submit("w1", &[], &["10.0.40.1"]);
    setup.until_busy("w1").await;
    // A node that nobody has heard of makes it list again, and now the interface shows no address any more.
    nodes.insert(node("w4"), machine(&setup.place, "w4"));
    setup.azure.set_nodes(nodes);
    loop {
        let facts = setup.azure.facts().unwrap();
        if !setup.arm.is_busy(&setup.nic("w1")) {
            break;
        }
        assert_eq!(phases(&facts.interfaces["w1"]), [("10.0.40.1".to_owned(), Phase::Leaving)]);
        tokio::task::yield_now().await;
    }
    setup.until(|facts| facts.interfaces.get("w1").is_none_or(|one| one.addresses.is_empty())).await;
    setup.reach("w2", &["10.0.40.1"]).await;
    assert_eq!(setup.puts(), 3, "azure never had to refuse anything");
}

#[tokio::test]
async fn an_operation_is_asked_after_as_often_as_azure_wishes() {
    for (put, poll, wished) in [(Some(20), Some(15), 15), (Some(10), Some(25), 25), (None, None, 10)] {
        let settings = Settings { put_retry_after: put, poll_retry_after: poll, ..Settings::default() };
        let setup = start(settings).await;
        setup.reach("w1", &["10.0.40.1"]).await;
        let log = setup.arm.log();
        let wrote = log.iter().find(|one| one.method == "PUT").unwrap().at;
        let polls: Vec<u64> = log.iter().filter(|one| one.path.contains("/operations/")).map(|one| one.at).collect();
        assert!(polls.len() >= 2, "{polls:?}");
        assert!(polls[0] >= wrote + put.unwrap_or(10) * 1000, "{put:?}: {wrote}, {polls:?}");
        assert!(polls.windows(2).all(|two| two[1] >= two[0] + wished * 1000), "{poll:?}: {polls:?}");
    }
}

#[tokio::test]
async fn no_more_interfaces_are_written_at_once_than_allowed() {
    let (arm, place, subnet) = cloud(Settings { duration: Span::Fixed(60_000), ..Settings::default() }).await;
    let config = Config { parallel: 2, ..config(&arm).await };
    let setup = start_with(config, arm, place, subnet).await;
    for (at, name) in ["w1", "w2", "w3"].into_iter().enumerate() {
        setup.submit(name, &[format!("10.0.40.{}", at + 1).as_str()], &[]);
    }
    setup.until(|facts| facts.interfaces.values().all(|one| !one.busy && one.addresses.len() == 1)).await;
    let log = setup.arm.log();
    let puts: Vec<u64> = log.iter().filter(|one| one.method == "PUT").map(|one| one.at).collect();
    assert!(puts.len() == 3 && puts[2] >= puts[0] + 60_000, "{puts:?}");
}
