//! Whatever happens: no address on two nodes, no two addresses of one object on a node, no node above its capacity.

use crate::fixtures::{bare_metal, cloud, egress_ip, label, machines, node, on_cloud, unlabel};
use crate::world::World;
use serde_json::json;
use sluice_sandbox_ovn::{Node, Settings};
use std::collections::{BTreeMap, BTreeSet};

const NODES: [&str; 4] = ["node0", "node1", "node2", "node3"];
const ROOM: usize = 3;
const STEPS: usize = 120;

/// Numbers that are the same on every machine (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[usize::try_from(self.below(items.len() as u64)).unwrap()]
    }
}

/// What can go wrong besides.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    on_cloud: bool,
    late: bool,
    refusing: bool,
}

fn a_node(name: &str, trouble: Trouble) -> Node {
    let last = 10 + name.bytes().last().unwrap();
    let node = node(name, &[&format!("192.168.126.{last}/24")]);
    if !trouble.on_cloud {
        return node;
    }
    let config = json!([{ "ifaddr": { "ipv4": "192.168.126.0/24" }, "capacity": { "ip": ROOM } }]);
    on_cloud(node, &config)
}

fn start(seed: u64, trouble: Trouble, numbers: &mut Numbers) -> World {
    let settings = if trouble.on_cloud { cloud(seed) } else { bare_metal(seed) };
    let settings = Settings { probing: sluice_sandbox_ovn::Probing::Legacy, ..settings };
    let nodes = NODES.iter().map(|name| a_node(name, trouble)).collect();
    let mut world = World::start(settings, nodes, Vec::new());
    if trouble.on_cloud {
        world = world.with_cloud(machines(&NODES, Some(i64::try_from(ROOM).unwrap())));
    }
    if trouble.late {
        world.lag = [numbers.below(3_000), numbers.below(3_000), numbers.below(3_000)];
    }
    if trouble.refusing {
        let mut dice = Numbers(seed ^ 0xabc);
        world.refuse = Box::new(move |_| dice.below(10) == 0);
    }
    world
}

/// One thing happens.
fn happen(world: &mut World, numbers: &mut Numbers, trouble: Trouble) {
    let name = numbers.pick(&NODES);
    let object = numbers.pick(&["a", "b", "c", "d", "e"]);
    match numbers.below(12) {
        0 | 1 if world.cluster.nodes.contains_key(name) => world.edit_node(name, label),
        2 if world.cluster.nodes.contains_key(name) => world.edit_node(name, unlabel),
        3 if world.cluster.nodes.contains_key(name) => world.edit_node(name, |node| node.ready = !node.ready),
        4 if numbers.below(3) == 0 => world.delete_node(name),
        4 | 5 => world.put_node(crate::fixtures::labelled(a_node(name, trouble))),
        6 => {
            let reachable = numbers.below(3) > 0;
            world.manager.set_reachable(name, reachable);
        }
        7 | 8 => {
            let count = 1 + numbers.below(3);
            let addresses: Vec<String> =
                (0..count).map(|_| format!("192.168.126.{}", 100 + numbers.below(9))).collect();
            let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
            if world.cluster.egress_ips.contains_key(object) {
                let asked = egress_ip(object, &addresses).egress_ips;
                world.edit(object, |found| found.egress_ips = asked);
            } else {
                world.put(egress_ip(object, &addresses));
            }
        }
        9 => world.delete(object),
        10 if numbers.below(4) == 0 => world.restart(),
        _ => {
            let milliseconds = 1 + numbers.below(20_000);
            world.run(milliseconds);
        }
    }
}

/// What the cluster manager has in mind is never at fault.
fn check_cache(world: &World, context: &str) {
    let mut seen = BTreeSet::new();
    for (node, held) in world.manager.allocations() {
        let owners: BTreeSet<&String> = held.values().collect();
        assert_eq!(owners.len(), held.len(), "{context}: two addresses of one object on {node}: {held:?}");
        for address in held.keys() {
            assert!(seen.insert(address.clone()), "{context}: {address} on two nodes");
        }
        if world.settings.cloud {
            assert!(held.len() <= ROOM, "{context}: {node} has {held:?}");
        }
    }
}

/// Where no write fails and no watch is late, status is not at fault either.
fn check_status(world: &World, context: &str) -> usize {
    let mut nodes: BTreeMap<&str, &str> = BTreeMap::new();
    let mut loads: BTreeMap<&str, usize> = BTreeMap::new();
    for egress_ip in world.cluster.egress_ips.values() {
        let mut own = BTreeSet::new();
        for item in &egress_ip.status {
            assert!(own.insert(&item.node), "{context}: two addresses of {} on {}", egress_ip.name, item.node);
            assert_eq!(nodes.insert(&item.egress_ip, &item.node), None, "{context}: {} twice", item.egress_ip);
            *loads.entry(&item.node).or_default() += 1;
        }
    }
    if world.settings.cloud {
        assert!(loads.values().all(|load| *load <= ROOM), "{context}: {loads:?}");
    }
    nodes.len()
}

/// The cloud itself never has an address twice, nor an interface that is too full.
fn check_machines(world: &World, context: &str) -> usize {
    let Some(cloud) = &world.cloud else { return 0 };
    let mut seen = BTreeSet::new();
    for (name, machine) in cloud.machines() {
        assert!(machine.addresses.len() <= ROOM, "{context}: {name} has {:?}", machine.addresses);
        for address in &machine.addresses {
            assert!(seen.insert(*address), "{context}: {address} on two machines");
        }
    }
    seen.len()
}

fn play(seeds: std::ops::Range<u64>, trouble: Trouble) {
    let (mut items, mut on_machines, mut refused) = (0, 0, 0);
    for seed in seeds.clone() {
        let mut numbers = Numbers(seed);
        let mut world = start(seed, trouble, &mut numbers);
        for step in 0..STEPS {
            happen(&mut world, &mut numbers, trouble);
            let context = format!("seed {seed}, step {step}, {trouble:?}");
            check_cache(&world, &context);
            on_machines += check_machines(&world, &context);
            if !trouble.late && !trouble.refusing {
                items += check_status(&world, &context);
            }
        }
        refused += world.log.refused;
    }
    println!(
        "{trouble:?}, seeds {seeds:?}: {items} items of status, {on_machines} on machines, {refused} writes refused"
    );
    assert!(refused > 0 || !trouble.refusing);
    assert!(trouble.late || trouble.refusing || items > 1_000, "hardly anything was assigned: {items}");
}

#[test]
fn on_bare_metal_nothing_is_carried_twice_whatever_happens() {
    play(0..60, Trouble { on_cloud: false, late: false, refusing: false });
}

#[test]
fn on_a_cloud_nothing_is_carried_twice_whatever_happens() {
    play(0..60, Trouble { on_cloud: true, late: false, refusing: false });
}

#[test]
fn nothing_is_meant_to_be_carried_twice_with_late_watches_and_failing_writes() {
    for on_cloud in [false, true] {
        play(0..30, Trouble { on_cloud, late: true, refusing: false });
        play(0..30, Trouble { on_cloud, late: false, refusing: true });
    }
}

/// On a cloud this need not be so: an object that is deleted while no cluster manager runs leaves its
/// `CloudPrivateIPConfig`s behind.
#[test]
fn what_was_disturbed_on_bare_metal_comes_to_rest() {
    let trouble = Trouble { on_cloud: false, late: false, refusing: true };
    let mut refused = 0;
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let mut world = start(seed, trouble, &mut numbers);
        for _ in 0..STEPS {
            happen(&mut world, &mut numbers, trouble);
        }
        refused += world.log.refused;
        world.refuse = Box::new(|_| false);
        for name in NODES {
            world.manager.set_reachable(name, true);
            world.put_node(crate::fixtures::labelled(a_node(name, trouble)));
        }
        for object in ["a", "b", "c", "d", "e"] {
            world.delete(object);
        }
        // A restart lets go of what was allocated to objects that went while their status was not written.
        world.restart();
        world.put(egress_ip("last", &["192.168.126.200", "192.168.126.201"]));
        world.run(60_000);
        assert_eq!(world.status("last").len(), 2, "seed {seed}");
    }
    println!("60 seeds, {refused} writes refused before");
    assert!(refused > 100);
}
