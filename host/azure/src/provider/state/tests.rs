use futures::FutureExt as _;
use serde_json::{Value, json};

use super::*;

const VM: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines";
const NETWORK: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network";

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ips(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

fn node(name: &str) -> NodeName {
    name.into()
}

fn id(name: &str) -> ResourceId {
    ResourceId::parse(&format!("{NETWORK}/networkInterfaces/{name}-nic")).unwrap()
}

fn nic(name: &str, state: &str, secondary: &[&str]) -> Value {
    let subnet = json!({"id": format!("{NETWORK}/virtualNetworks/v/subnets/a")});
    let own = format!("10.0.0.{}", 10 + name.len());
    let mut list =
        vec![json!({"name": "own", "properties": {"primary": true, "privateIPAddress": own, "subnet": subnet}})];
    list.extend(secondary.iter().map(|address| {
        json!({"name": format!("EgressIP{address}"), "properties": {"privateIPAddress": address, "subnet": subnet}})
    }));
    json!({"id": id(name).as_str(), "etag": "1", "properties": {
        "provisioningState": state,
        "primary": true,
        "virtualMachine": {"id": format!("{VM}/{name}")},
        "ipConfigurations": list,
    }})
}

fn view(name: &str, state: &str, secondary: &[&str]) -> Interface {
    Interface::of(&nic(name, state, secondary)).unwrap()
}

fn listing(nics: &[Value]) -> Listing {
    let mut listing = Listing { subscription: Some("s".to_owned()), ..Listing::default() };
    for nic in nics {
        listing.add_interface(nic);
        let interfaces = json!([{"id": nic["id"]}]);
        let machine = &nic["properties"]["virtualMachine"]["id"];
        listing
            .add_machine(&json!({"id": machine, "properties": {"networkProfile": {"networkInterfaces": interfaces}}}));
    }
    let subnet =
        json!({"id": format!("{NETWORK}/virtualNetworks/v/subnets/a"), "properties": {"addressPrefix": "10.0.0.0/24"}});
    listing.add_network(&json!({"id": format!("{NETWORK}/virtualNetworks/v"), "properties": {"subnets": [subnet]}}));
    listing
}

/// Nodes a and bb.
fn state(nics: &[Value]) -> State {
    let mut state = State::new(true);
    state.set_may_write(true, s(0));
    state.set_nodes([(node("a"), MachineRef::default()), (node("bb"), MachineRef::default())].into());
    state.listed(listing(nics), s(0), s(0));
    state
}

fn facts(state: &State, now: Duration) -> CloudFacts {
    state.facts(now, false).unwrap()
}

/// Submits and starts a change.
fn start(state: &mut State, now: Duration, name: &str, on: &[&str], off: &[&str]) -> Job {
    state.submit(now, &node(name), &ips(on), &ips(off)).unwrap();
    state.next_job(now).unwrap()
}

fn failed(code: &str, message: &str) -> ArmError {
    ArmError::of_answer(400, None, &json!({"error": {"code": code, "message": message}}).to_string())
}

fn taken(address: &str, by: &str) -> ArmError {
    let message = format!(
        "IP configuration {NETWORK}/networkInterfaces/a-nic/ipConfigurations/x is using the private IP address {address} \
         which is already allocated to resource {by}."
    );
    failed("PrivateIPAddressIsAllocated", &message)
}

fn report(seen: Interface, failure: Option<ArmError>) -> Report {
    Report { seen: Seen::Interface(seen), failure }
}

#[test]
fn nothing_is_known_before_nodes_and_lists() {
    let mut state = State::new(true);
    state.listed(listing(&[nic("a", "Succeeded", &[])]), s(0), s(0));
    assert_eq!(state.facts(s(0), false), None);
    assert_eq!(state.submit(s(0), &node("a"), &ips(&["10.0.0.50"]), &ips(&[])), Err(NotSubmitted::NotReady));
    assert!(state.set_nodes([(node("a"), MachineRef::default())].into()));
    assert_eq!(facts(&state, s(0)).interfaces.len(), 1);
}

#[test]
fn what_was_seen_before_our_turn_does_not_count() {
    let mut state = state(&[nic("a", "Succeeded", &["10.0.0.50"]), nic("bb", "Failed", &["10.0.0.51"])]);
    let job = start(&mut state, s(10), "a", &["10.0.0.52"], &[]);
    assert_eq!(state.submit(s(10), &node("bb"), &ips(&[]), &ips(&[])), Ok(()));
    state.set_may_write(false, s(20));
    assert_eq!((state.term(), state.next_job(s(400))), (0, None), "nothing is mended, either");
    assert!(state.facts(s(20), false).is_some(), "who stands by may look");
    assert_eq!(state.submit(s(20), &node("a"), &ips(&[]), &ips(&["10.0.0.50"])), Err(NotSubmitted::NotReady));

    state.set_may_write(true, s(30));
    assert!(state.may_write() && state.term() != job.term);
    state.listed(listing(&[nic("a", "Succeeded", &["10.0.0.50"])]), s(29), s(31));
    assert!(state.is_outdated() && state.facts(s(31), false).is_none(), "it was begun too early");
    state.listed(listing(&[nic("a", "Succeeded", &[])]), s(30), s(32));
    assert!(!state.is_outdated() && facts(&state, s(32)).interfaces["a"].addresses.contains_key(&ip("10.0.0.52")));
    state.finish(&job, report(view("a", "Succeeded", &[]), None), s(33));
    assert!(facts(&state, s(33)).interfaces["a"].addresses.is_empty());
}

#[test]
fn a_group_that_vanishes_is_believed_when_it_stays_away() {
    let mut state = state(&[nic("a", "Succeeded", &[])]);
    let other = Listing { missing: ["elsewhere".to_owned()].into(), ..listing(&[nic("a", "Succeeded", &[])]) };
    assert_eq!(state.doubts(&other), None, "one that never was there");
    let group = state.listing.as_ref().unwrap().interfaces.keys().next().unwrap().group().to_owned();
    let gone = Listing { missing: [group.clone()].into(), ..Listing::default() };
    for _ in 0..MOST_DOUBTED {
        assert!(state.doubts(&gone).unwrap().contains(&group));
    }
    assert_eq!(state.doubts(&gone), None);
    let part = Listing { missing: [group.clone()].into(), ..listing(&[nic("bb", "Succeeded", &[])]) };
    assert!(state.doubts(&part).is_some(), "a part of it, or its networks, is as bad");
    assert!(State::new(true).doubts(&gone).is_some(), "also at the start");
}

#[test]
fn what_waits_for_its_turn_is_dropped_with_it() {
    let mut state = state(&[nic("a", "Succeeded", &["10.0.0.50"])]);
    state.submit(s(1), &node("a"), &ips(&[]), &ips(&["10.0.0.50"])).unwrap();
    state.set_may_write(false, s(2));
    state.set_may_write(true, s(3));
    assert_eq!(state.next_job(s(4)), None);
}

#[test]
fn an_address_that_somebody_has_lingers_and_nobody_new_gets_it() {
    let mut state = state(&[nic("a", "Succeeded", &[]), nic("bb", "Succeeded", &[])]);
    let job = start(&mut state, s(0), "a", &["10.0.0.50", "10.0.0.51"], &[]);
    let by = format!("{}/ipConfigurations/EgressIP10.0.0.50", id("bb"));
    state.finish(&job, report(view("a", "Succeeded", &[]), Some(taken("10.0.0.50", &by))), s(1));
    let told = facts(&state, s(1));
    assert_eq!((told.lingering, told.interfaces["a"].busy), (ips(&["10.0.0.50"]), false));
    assert!(state.take_curiosity(), "nobody knew that it has it");

    let job = start(&mut state, s(2), "a", &["10.0.0.50", "10.0.0.51"], &[]);
    let Task::Change(change) = &job.task else { panic!("{job:?}") };
    assert_eq!(change.on, ips(&["10.0.0.51"]), "the other one gets on meanwhile");
    let stranger = format!("{NETWORK}/loadBalancers/lb/frontendIPConfigurations/f");
    state.finish(&job, report(view("a", "Succeeded", &[]), Some(taken("10.0.0.51", &stranger))), s(3));
    let told = facts(&state, s(3));
    assert!(state.take_curiosity(), "the lists may show who has it");
    assert_eq!(
        (&told.lingering, told.occupied.len()),
        (&ips(&["10.0.0.50", "10.0.0.51"]), 2),
        "besides the two machines"
    );
    assert!(told.interfaces["a"].complaint.is_none());
    assert_eq!(state.tick(s(3)), Some(s(11)));
    let later = facts(&state, s(13));
    assert!(later.lingering.is_empty(), "it is tried again, for whoever holds it");
    assert_eq!(later.doubtful, ips(&["10.0.0.50", "10.0.0.51"]));
    assert_eq!(state.tick(s(20)), Some(s(611)));
    state.tick(s(613));
    assert!(facts(&state, s(613)).doubtful.is_empty());
}

#[test]
fn an_address_does_not_linger_for_ever() {
    let mut state = state(&[nic("a", "Succeeded", &[]), nic("bb", "Succeeded", &[])]);
    let by = format!("{}/ipConfigurations/x", id("bb"));
    for at in 0..=61 {
        let now = s(at * 10);
        let job = start(&mut state, now, "a", &["10.0.0.50"], &[]);
        state.finish(&job, report(view("a", "Succeeded", &[]), Some(taken("10.0.0.50", &by))), now);
        if !facts(&state, now).occupied.contains(&ip("10.0.0.50")) {
            assert!(at < 60, "{at}");
            continue;
        }
        assert_eq!((at, facts(&state, now).complaints.len()), (60, 1));
        return;
    }
    panic!("it lingers for ever");
}

#[test]
fn a_refusal_without_address_is_narrowed_down() {
    let mut state = state(&[nic("a", "Succeeded", &["10.0.0.40"])]);
    let on = ["10.0.0.50", "10.0.0.51", "10.0.0.52", "10.0.0.53"];
    let mut carried = BTreeSet::from(["10.0.0.40".to_owned()]);
    for round in 0_u64..60 {
        let now = s(round * 700);
        if state.submit(now, &node("a"), &ips(&on), &ips(&["10.0.0.40"])).is_err() {
            continue;
        }
        let Some(job) = state.next_job(now) else { break };
        let Task::Change(change) = &job.task else { panic!("{job:?}") };
        let bad = change.on.contains(&ip("10.0.0.51"));
        if !bad {
            carried.extend(change.on.iter().map(ToString::to_string));
            carried.retain(|address| !change.off.contains(&ip(address)));
        }
        let carried: Vec<&str> = carried.iter().map(String::as_str).collect();
        let failure = bad.then(|| failed("Strange", "no"));
        state.finish(&job, report(view("a", "Succeeded", &carried), failure), now);
        if carried.len() == 3 && !carried.contains(&"10.0.0.40") {
            return;
        }
    }
    panic!("the bad one blocks the others: {carried:?}");
}

#[test]
fn an_interface_that_refuses_everything_uses_up_no_addresses() {
    let mut state = state(&[nic("a", "Succeeded", &[])]);
    let mut now = s(0);
    for last in [50, 51, 52, 50] {
        let on = format!("10.0.0.{last}");
        let job = start(&mut state, now, "a", &[&on], &[]);
        state.finish(&job, report(view("a", "Succeeded", &[]), Some(failed("Strange", "no"))), now);
        now += s(301);
    }
    let facts = facts(&state, now);
    let lost: Vec<_> =
        ["10.0.0.50", "10.0.0.51", "10.0.0.52"].map(ip).into_iter().filter(|a| facts.occupied.contains(a)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(facts.interfaces["a"].complaint.as_deref().unwrap().contains("Strange"));
}

#[test]
fn a_list_that_is_older_than_a_write_does_not_undo_it() {
    let mut state = state(&[nic("a", "Succeeded", &[])]);
    let job = start(&mut state, s(10), "a", &["10.0.0.50"], &[]);
    state.listed(listing(&[nic("a", "Succeeded", &[])]), s(5), s(11));
    assert!(facts(&state, s(11)).interfaces["a"].busy);
    state.finish(&job, report(view("a", "Succeeded", &["10.0.0.50"]), None), s(80));
    state.listed(listing(&[nic("a", "Succeeded", &[])]), s(70), s(81));
    assert_eq!(facts(&state, s(81)).interfaces["a"].addresses.len(), 1);
    state.listed(listing(&[nic("a", "Succeeded", &[])]), s(90), s(91));
    assert_eq!(facts(&state, s(91)).interfaces["a"].addresses.len(), 0, "somebody took it off");
}

#[test]
fn an_interface_that_is_updating_or_failed_is_looked_after() {
    let mut state = state(&[nic("a", "Updating", &["10.0.0.50"]), nic("bb", "Failed", &["10.0.0.51"])]);
    let told = facts(&state, s(0));
    assert!(told.interfaces["a"].busy && !told.interfaces["a"].failed);
    assert!(!told.interfaces["bb"].busy && told.interfaces["bb"].failed);
    assert!(
        told.interfaces["a"].may_hide_removals && !told.interfaces["bb"].may_hide_removals,
        "what a gives back is not known"
    );
    assert_eq!(told.interfaces["a"].addresses[&ip("10.0.0.50")].phase, sluice_core::snapshot::Phase::Arriving);
    let one = state.next_job(s(0)).unwrap();
    assert_eq!((one.task.clone(), state.next_job(s(0))), (Task::Watch, None));
    let other = start(&mut state, s(0), "bb", &[], &[]);
    let error = ArmError::of_answer(500, None, "");
    state.finish(&other, report(view("bb", "Failed", &["10.0.0.51"]), Some(error)), s(1));
    assert!(facts(&state, s(2)).interfaces["bb"].busy, "it rests");
    assert_eq!(state.submit(s(2), &node("bb"), &ips(&[]), &ips(&[])), Err(NotSubmitted::Busy(node("bb"))));
    start(&mut state, s(6), "bb", &[], &[]);
    state.finish(&one, Report { seen: Seen::Nothing, failure: None }, s(7));
    let one = state.next_job(s(7)).unwrap();
    assert_eq!(one.task, Task::Watch, "until it could be read");
    assert!(facts(&state, s(7)).interfaces["a"].may_hide_removals);
    state.finish(&one, report(view("a", "Succeeded", &["10.0.0.50"]), None), s(8));
    assert!(!facts(&state, s(8)).interfaces["a"].may_hide_removals, "it has ended");
}

#[test]
fn an_address_is_taken_from_nobody_for_a_refusal_that_does_not_name_it() {
    let by = format!("{}/ipConfigurations/x", id("gone"));
    let cases = [
        ("of an interface that nobody knows", taken("10.0.0.50", &by)),
        ("unknown to us", failed("Strange", "no")),
        ("of a proxy", ArmError::of_answer(407, None, "")),
        ("of a pool that is gone", ArmError::of_answer(404, None, r#"{"error":{"code":"NotFound","message":"m"}}"#)),
    ];
    for (name, error) in cases {
        let mut state = state(&[nic("a", "Succeeded", &[]), nic("bb", "Succeeded", &[])]);
        let before = facts(&state, s(0)).occupied;
        let job = start(&mut state, s(0), "a", &["10.0.0.50"], &[]);
        state.finish(&job, report(view("a", "Succeeded", &[]), Some(error)), s(1));
        assert_eq!(facts(&state, s(1)).occupied, before, "{name}");
    }
}

#[test]
fn a_single_address_is_narrowed_from_its_releases_only_once() {
    let mut state = state(&[nic("a", "Succeeded", &["10.0.0.40"])]);
    let job = start(&mut state, s(0), "a", &["10.0.0.50"], &["10.0.0.40"]);
    state.finish(&job, report(view("a", "Succeeded", &["10.0.0.40"]), Some(failed("Strange", "no"))), s(0));
    let on: Vec<String> = (50..60).map(|last| format!("10.0.0.{last}")).collect();
    let on: Vec<&str> = on.iter().map(String::as_str).collect();
    let job = start(&mut state, s(10), "a", &on, &["10.0.0.40"]);
    state.finish(&job, report(view("a", "Succeeded", &[]), None), s(10));
    for now in 11..20 {
        let job = start(&mut state, s(now), "a", &on, &[]);
        let Task::Change(change) = &job.task else { panic!("{job:?}") };
        if change.on.len() == on.len() {
            return;
        }
        state.finish(&job, report(view("a", "Succeeded", &[]), None), s(now));
    }
    panic!("it never dares to write ten again");
}

#[test]
fn a_repair_that_is_refused_is_not_tried_at_once() {
    let mut state = state(&[nic("a", "Failed", &["10.0.0.50"]), nic("bb", "Succeeded", &[])]);
    let by = format!("{}/ipConfigurations/x", id("bb"));
    let job = start(&mut state, s(0), "a", &[], &[]);
    state.finish(&job, report(view("a", "Failed", &["10.0.0.50"]), Some(taken("10.0.0.50", &by))), s(1));
    assert!(facts(&state, s(10)).interfaces["a"].busy);
    start(&mut state, s(11), "a", &[], &[]);
}

#[test]
fn a_failed_interface_of_somebody_else_s_making_may_be_written() {
    let mut state = state(&[nic("a", "Failed", &[])]);
    let told = facts(&state, s(0)).interfaces["a"].clone();
    assert!(!told.busy && !told.failed);
    start(&mut state, s(0), "a", &["10.0.0.50"], &[]);
}

#[test]
fn one_that_is_gone_is_gone() {
    let mut state = state(&[nic("a", "Succeeded", &["10.0.0.50"]), nic("bb", "Succeeded", &[])]);
    let job = start(&mut state, s(1), "a", &[], &["10.0.0.50"]);
    state.finish(&job, Report { seen: Seen::Gone, failure: None }, s(2));
    assert!(state.take_curiosity() && !facts(&state, s(2)).interfaces.contains_key("a"));
    assert_eq!(
        state.submit(s(2), &node("a"), &ips(&["10.0.0.51"]), &ips(&[])),
        Err(NotSubmitted::NoInterface(node("a")))
    );
}

/// A round hands over changes of all its interfaces in a row. Facts are derived from all of them each time.
#[test]
fn many_changes_in_a_row_are_told_as_one() {
    let options = crate::EnvironmentOptions::default();
    let environment = crate::Environment::find(&options, &crate::plain_client().unwrap()).now_or_never().unwrap();
    let azure = super::super::Azure::new(super::super::Config::new(environment.unwrap())).unwrap();
    let names: Vec<String> = (0..200).map(|number| format!("n{number:03}")).collect();
    let nics: Vec<Value> = names.iter().map(|name| nic(name, "Succeeded", &[])).collect();
    azure.set_may_write(true);
    azure.set_nodes(names.iter().map(|name| (node(name), MachineRef::default())).collect());
    azure.change(|state, now| state.listed(listing(&nics), now, now));
    assert_eq!(azure.facts().unwrap().interfaces.len(), 200);
    let news = azure.watch();
    let before = azure.told().times;
    for (number, name) in names.iter().enumerate() {
        let address = format!("10.0.0.{}", 20 + number);
        azure.submit(&node(name), &ips(&[&address]), &ips(&[])).unwrap();
    }
    assert_eq!(azure.told().times, before, "nobody has looked");
    let facts = azure.facts().unwrap();
    assert!(facts.interfaces.values().all(|interface| interface.busy), "and whoever looks sees all of them");
    azure.facts();
    assert_eq!((azure.told().times, news.has_changed().unwrap()), (before + 1, true));
}
