//! The cloud controller by itself: the cases of its own tests.

use crate::fixtures::{condition, machines, node};
use sluice_sandbox_ovn::{
    Action, CloudController, CloudPrivateIpConfig, CpicStatus, FINALIZER, Fault, UNINITIALIZED, Verb, cpic_address,
    cpic_name,
};

const ADDRESS: &str = "192.168.126.5";

/// A controller, and the one object that it works on.
struct Bench {
    now: u64,
    controller: CloudController,
    object: Option<CloudPrivateIpConfig>,
    annotations: Vec<String>,
    /// All that was ever said: what fails is begun again at once.
    heard: Vec<(String, String)>,
}

impl Bench {
    /// Nodes a, b and c exist; the address may be on one of them.
    fn new(node_name: &str, status: CpicStatus, finalizers: &[&str], has: Option<&str>) -> Self {
        let mut controller = machines(&["a", "b", "c"], Some(3));
        if let Some(has) = has {
            controller.machines_mut().get_mut(has).unwrap().addresses.insert(ADDRESS.parse().unwrap());
        }
        let mut bench = Self { now: 0, controller, object: None, annotations: Vec::new(), heard: Vec::new() };
        for name in ["a", "b", "c"] {
            let actions = bench.controller.node_changed(0, node(name, &["192.168.126.12/24"]));
            bench.carry_out(actions);
        }
        bench.object = Some(CloudPrivateIpConfig {
            name: ADDRESS.into(),
            node: node_name.into(),
            status,
            finalizers: finalizers.iter().map(|finalizer| (*finalizer).to_owned()).collect(),
            ..CloudPrivateIpConfig::default()
        });
        bench
    }

    fn show(&mut self) {
        let actions = match self.object.clone() {
            Some(object) if object.deleting && object.finalizers.is_empty() => {
                self.object = None;
                self.controller.cpic_deleted(self.now, &object)
            }
            Some(object) => self.controller.cpic_changed(self.now, object),
            None => Vec::new(),
        };
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match (action, &mut self.object) {
                (Action::CpicStatus { status, .. }, Some(object)) => {
                    self.heard.push((status.node.clone(), status.conditions[0].status.clone()));
                    object.status = status;
                }
                (Action::CpicFinalizers { finalizers, .. }, Some(object)) => object.finalizers = finalizers,
                (Action::AnnotateNode { value, .. }, _) => {
                    self.annotations.push(value);
                    continue;
                }
                (_, _) => continue,
            }
            self.show();
        }
    }

    fn run(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        while let Some(at) = self.controller.next_wake().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let actions = self.controller.tick(self.now);
            self.carry_out(actions);
        }
        self.now = end;
    }

    fn said(&self) -> (String, String) {
        let object = self.object.as_ref().unwrap();
        (object.status.node.clone(), object.status.conditions.first().map_or("", |first| &first.status).to_owned())
    }

    fn has_failed_on(&self, node: &str) -> bool {
        self.heard.contains(&pair(node, "False"))
    }

    fn kept(&self) -> bool {
        self.object.as_ref().is_some_and(|object| object.finalizers.iter().any(|finalizer| finalizer == FINALIZER))
    }

    fn ops(&self) -> Vec<String> {
        let word = |verb| if verb == Verb::Assign { "assign" } else { "release" };
        self.controller.changes().iter().map(|change| format!("{} {}", word(change.verb), change.node)).collect()
    }

    fn spec(&mut self, node: &str) {
        self.object.as_mut().unwrap().node = node.into();
        self.show();
    }

    fn delete(&mut self) {
        self.object.as_mut().unwrap().deleting = true;
        self.show();
    }
}

fn nothing() -> CpicStatus {
    CpicStatus::default()
}

fn said(node: &str, status: &str) -> CpicStatus {
    CpicStatus { node: node.into(), conditions: vec![condition(status)] }
}

fn pair(node: &str, status: &str) -> (String, String) {
    (node.to_owned(), status.to_owned())
}

#[test]
fn a_new_address_is_put_on_its_node() {
    let mut bench = Bench::new("a", nothing(), &[], None);
    bench.show();
    assert_eq!(
        (bench.said(), bench.kept()),
        (pair("a", "Unknown"), true),
        "pending, and kept before the cloud is asked"
    );
    bench.run(999);
    assert_eq!(bench.said(), pair("a", "Unknown"));
    bench.run(1);
    assert_eq!((bench.said(), bench.ops()), (pair("a", "True"), vec!["assign a".to_owned()]));
}

#[test]
fn an_addition_that_the_cloud_refuses_is_a_failure_that_is_tried_again() {
    for (fault, takes) in [(Fault::Refuse, 0), (Fault::Fail, 1_000)] {
        let mut bench = Bench::new("a", nothing(), &[], None);
        bench.controller.fail_next(Verb::Assign, fault);
        bench.show();
        bench.run(takes);
        assert_eq!((bench.has_failed_on("a"), bench.kept(), bench.ops().len()), (true, true, 0), "{fault:?}");
        bench.run(1_005);
        assert_eq!(bench.said(), pair("a", "True"), "{fault:?}");
    }
}

#[test]
fn an_address_that_is_there_already_counts_as_added() {
    let mut bench = Bench::new("a", said("a", "False"), &[FINALIZER], Some("a"));
    bench.show();
    bench.run(0);
    assert_eq!((bench.said(), bench.ops().len()), (pair("a", "True"), 0));
}

#[test]
fn an_address_that_is_there_already_gets_its_finalizer() {
    let mut bench = Bench::new("a", said("a", "Unknown"), &[], Some("a"));
    bench.show();
    bench.run(0);
    assert_eq!((bench.said(), bench.kept(), bench.ops().len()), (pair("a", "True"), true, 0));
}

#[test]
fn an_addition_can_fail_again_after_a_restart() {
    for fault in [Fault::Refuse, Fault::Fail] {
        let mut bench = Bench::new("a", said("a", "Unknown"), &[FINALIZER], None);
        bench.controller.fail_next(Verb::Assign, fault);
        bench.show();
        bench.run(1_000);
        assert!(bench.has_failed_on("a"));
        bench.run(1_005);
        assert_eq!(bench.said(), pair("a", "True"));
    }
}

#[test]
fn an_addition_that_a_restart_interrupted_is_finished() {
    let mut bench = Bench::new("a", said("a", "Unknown"), &[FINALIZER], None);
    bench.show();
    bench.run(1_000);
    assert_eq!(bench.said(), pair("a", "True"));
}

#[test]
fn an_address_for_a_node_that_does_not_exist_fails_and_is_not_tried_again() {
    let mut bench = Bench::new("nowhere", nothing(), &[], None);
    bench.show();
    assert_eq!((bench.said(), bench.kept()), (pair("nowhere", "False"), true));
    bench.run(3_600_000);
    let actions = bench.controller.node_changed(bench.now, node("nowhere", &["192.168.126.99/24"]));
    bench.carry_out(actions);
    bench.run(3_600_000);
    assert_eq!(bench.said(), pair("nowhere", "False"), "not even when the node comes");
}

#[test]
fn a_deleted_object_goes_when_the_cloud_has_let_the_address_go() {
    let mut bench = Bench::new("a", said("a", "True"), &[FINALIZER], Some("a"));
    bench.show();
    bench.delete();
    assert_eq!(bench.said(), pair("a", "Unknown"));
    bench.run(1_000);
    assert_eq!((bench.object.is_none(), bench.ops()), (true, vec!["release a".to_owned()]));
}

#[test]
fn a_release_that_fails_keeps_the_object_and_is_tried_again() {
    for (fault, takes) in [(Fault::Refuse, 0), (Fault::Fail, 1_000)] {
        let mut bench = Bench::new("a", said("a", "True"), &[FINALIZER], Some("a"));
        bench.show();
        bench.controller.fail_next(Verb::Release, fault);
        bench.delete();
        bench.run(takes);
        assert_eq!((bench.has_failed_on("a"), bench.kept()), (true, true), "{fault:?}");
        bench.run(1_005);
        assert!(bench.object.is_none(), "{fault:?}");
    }
}

#[test]
fn a_release_that_a_restart_interrupted_is_finished_whatever_the_cloud_did() {
    for has in [Some("a"), None] {
        let mut bench = Bench::new("a", said("a", "Unknown"), &[FINALIZER], has);
        bench.object.as_mut().unwrap().deleting = true;
        bench.show();
        bench.run(1_000);
        assert!(bench.object.is_none(), "{has:?}");
    }
}

#[test]
fn a_release_can_fail_again_after_a_restart() {
    for fault in [Fault::Refuse, Fault::Fail] {
        let mut bench = Bench::new("a", said("a", "False"), &[FINALIZER], Some("a"));
        bench.controller.fail_next(Verb::Release, fault);
        bench.object.as_mut().unwrap().deleting = true;
        bench.show();
        assert!(bench.kept());
        bench.run(2_005);
        assert!(bench.has_failed_on("a") && bench.object.is_none());
    }
}

#[test]
fn an_address_that_changes_its_node_is_released_and_then_added() {
    let mut bench = Bench::new("a", said("a", "True"), &[FINALIZER], Some("a"));
    bench.show();
    bench.spec("b");
    bench.run(999);
    assert_eq!(bench.said(), pair("a", "Unknown"));
    bench.run(1);
    assert_eq!((bench.said(), bench.ops()), (pair("b", "Unknown"), vec!["release a".to_owned()]));
    bench.run(1_000);
    assert_eq!(bench.said(), pair("b", "True"));
    assert_eq!(bench.ops(), ["release a", "assign b"]);
}

#[test]
fn a_move_fails_at_its_release_or_at_its_addition() {
    for (verb, fault, node, until) in [
        (Verb::Release, Fault::Refuse, "a", 0),
        (Verb::Release, Fault::Fail, "a", 1_000),
        (Verb::Assign, Fault::Refuse, "b", 1_000),
        (Verb::Assign, Fault::Fail, "b", 2_000),
    ] {
        let mut bench = Bench::new("a", said("a", "True"), &[FINALIZER], Some("a"));
        bench.show();
        bench.controller.fail_next(verb, fault);
        bench.spec("b");
        bench.run(until);
        assert!(bench.has_failed_on(node), "{verb:?} {fault:?}");
        bench.run(3_000);
        assert_eq!(bench.said(), pair("b", "True"), "{verb:?} {fault:?}");
    }
}

#[test]
fn a_move_to_a_node_that_does_not_exist_ends_in_a_failure() {
    let mut bench = Bench::new("a", said("a", "True"), &[FINALIZER], Some("a"));
    bench.show();
    bench.spec("nowhere");
    bench.run(10_000);
    assert_eq!((bench.said(), bench.ops()), (pair("nowhere", "False"), vec!["release a".to_owned()]));
}

#[test]
fn a_node_that_is_gone_is_not_asked_to_release() {
    let mut bench = Bench::new("a", said("a", "True"), &[FINALIZER], Some("a"));
    bench.show();
    let actions = bench.controller.node_deleted(bench.now, &node("a", &["192.168.126.12/24"]));
    bench.carry_out(actions);
    bench.spec("b");
    bench.run(1_000);
    assert_eq!(bench.ops(), [""; 0], "and so the cloud still has the address on the old machine");
    bench.run(600_000);
    assert_eq!((bench.said(), bench.ops().len()), (pair("b", "False"), 0));
    bench.controller.machines_mut().remove("a");
    bench.spec("c");
    bench.run(3_000);
    assert_eq!(bench.said(), pair("c", "True"));
}

#[test]
fn changes_during_the_first_addition_are_made_as_one() {
    let mut bench = Bench::new("a", nothing(), &[], None);
    bench.show();
    bench.run(500);
    bench.spec("b");
    bench.run(100);
    bench.spec("c");
    bench.run(5_000);
    assert_eq!(bench.ops(), ["assign a", "release a", "assign c"]);
    assert_eq!(bench.said(), pair("c", "True"));
    assert!(!bench.heard.contains(&pair("a", "True")), "that it was done is a write that conflicts with the change");
}

#[test]
fn changes_during_a_release_are_made_as_one() {
    let mut bench = Bench::new("a", nothing(), &[], None);
    bench.show();
    bench.run(2_000);
    bench.spec("b");
    bench.run(100);
    bench.spec("c");
    bench.run(5_000);
    assert_eq!(bench.ops(), ["assign a", "release a", "assign c"]);
    assert_eq!(bench.said(), pair("c", "True"));
}

#[test]
fn an_addition_that_has_begun_is_finished_before_it_is_undone() {
    let mut bench = Bench::new("a", nothing(), &[], None);
    bench.show();
    bench.run(2_000);
    bench.spec("b");
    bench.run(1_100);
    bench.spec("c");
    bench.run(9_000);
    assert_eq!(bench.ops(), ["assign a", "release a", "assign b", "release b", "assign c"]);
    assert_eq!(bench.said(), pair("c", "True"));
}

#[test]
fn names_of_objects_are_addresses_in_full() {
    for (address, name) in
        [("192.168.0.10", "192.168.0.10"), ("fc00:f853:ccd:e793::54", "fc00.f853.0ccd.e793.0000.0000.0000.0054")]
    {
        assert_eq!(cpic_name(address), name);
        assert_eq!(cpic_address(name), Some(address.parse().unwrap()));
    }
}

#[test]
fn a_name_that_is_no_address_is_tried_in_vain() {
    assert_eq!(cpic_address("invalid_config"), None);
    let mut bench = Bench::new("a", nothing(), &[], None);
    bench.object.as_mut().unwrap().name = "invalid_config".into();
    bench.show();
    bench.run(3_600_000);
    assert_eq!((bench.ops().len(), bench.said()), (0, pair("", "")));
    assert_eq!(bench.controller.next_wake(), None, "the controller has given up");
}

#[test]
fn what_fails_is_tried_for_three_minutes_and_then_forgotten() {
    let mut bench = Bench::new("a", nothing(), &[], Some("b"));
    bench.show();
    bench.run(600_000);
    assert_eq!(bench.said(), pair("a", "False"));
    bench.controller.machines_mut().get_mut("b").unwrap().addresses.clear();
    bench.run(600_000);
    assert_eq!(bench.said(), pair("a", "False"), "the address has become free too late");
    bench.spec("c");
    bench.run(10_000);
    assert_eq!(bench.said(), pair("c", "True"), "until the object changes");
}

#[test]
fn a_deleted_object_without_a_node_keeps_its_finalizer_for_ever() {
    let mut bench = Bench::new("", said("", "True"), &[FINALIZER], None);
    bench.show();
    bench.delete();
    bench.run(3_600_000);
    assert!(bench.kept());
}

#[test]
fn a_full_interface_makes_an_addition_fail() {
    let mut bench = Bench::new("a", nothing(), &[], None);
    let full = ["192.168.126.12", "192.168.126.13", "192.168.126.14"];
    let machine = bench.controller.machines_mut().get_mut("a").unwrap();
    machine.addresses = full.iter().map(|address| address.parse().unwrap()).collect();
    bench.show();
    bench.run(600_000);
    assert_eq!((bench.said(), bench.ops().len()), (pair("a", "False"), 0));
}

#[test]
fn nodes_are_annotated_when_they_come_and_when_their_taints_change() {
    let mut bench = Bench::new("a", nothing(), &[], None);
    let expected = r#"[{"capacity":{"ip":3},"ifaddr":{"ipv4":"192.168.126.0/24"},"interface":"a-nic"}]"#;
    assert_eq!((bench.annotations.len(), bench.annotations[0].as_str()), (3, expected));
    // Addresses that are no CloudPrivateIPConfig's take room away, and that is seen late.
    let machine = bench.controller.machines_mut().get_mut("a").unwrap();
    machine.addresses.insert("192.168.126.12".parse().unwrap());
    bench.run(600_000);
    let mut tainted = node("a", &["192.168.126.12/24"]);
    let actions = bench.controller.node_changed(bench.now, tainted.clone());
    bench.carry_out(actions);
    assert_eq!(bench.annotations.len(), 3);
    tainted.taints = vec![UNINITIALIZED.into()];
    let actions = bench.controller.node_changed(bench.now, tainted.clone());
    bench.carry_out(actions);
    assert_eq!(bench.annotations.len(), 3, "not while the cloud does not know the node");
    tainted.taints.clear();
    let actions = bench.controller.node_changed(bench.now, tainted);
    bench.carry_out(actions);
    assert!(bench.annotations[3].contains(r#""ip":2"#), "{}", bench.annotations[3]);
}
