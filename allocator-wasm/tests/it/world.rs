//! Random snapshots of all kinds, and what becomes of them when a plan is applied.

use std::collections::{BTreeMap, BTreeSet};

use sluice_policy_sdk::{
    Allocation, Assignment, Attribute, Capacity, Cidr, Family, Health, IpAddress, Node, Operation, Owner, Phase,
    PlacementMode, Plan, Pool, Snapshot, Zone,
};

/// A generator of random numbers (`SplitMix64`).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    pub(crate) fn number(&mut self, range: std::ops::RangeInclusive<u32>) -> u32 {
        range.start() + u32::try_from(self.below((range.end() - range.start()) as usize + 1)).unwrap()
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

pub(crate) fn index(position: usize) -> u32 {
    u32::try_from(position).unwrap()
}

pub(crate) fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

/// A random snapshot with up to this many owners.
pub(crate) fn generate(seed: u64, size: usize) -> Snapshot {
    let random = &mut Random(seed);
    let mut snapshot = Snapshot {
        generation: random.next(),
        now: 0,
        seed: random.next(),
        budget: if random.percent(30) { random.number(0..=2) } else { 1000 },
        pools: Vec::new(),
        zones: Vec::new(),
        nodes: (0..random.number(1..=8)).map(|n| node(random, n)).collect(),
        owners: Vec::new(),
        assignments: Vec::new(),
        occupied: Vec::new(),
        attributes: Vec::new(),
    };
    for pool in 0..random.number(1..=3) {
        add_pool(random, &mut snapshot, pool);
    }
    let mut taken = BTreeSet::new();
    for owner in 0..random.below(size + 1) {
        add_owner(random, &mut snapshot, owner, &mut taken);
    }
    add_strays(random, &mut snapshot, &mut taken);
    snapshot.assignments.sort();
    snapshot.assignments.dedup_by_key(|assignment| assignment.address);
    snapshot.occupied.sort_unstable();
    snapshot
}

fn node(random: &mut Random, number: u32) -> Node {
    let health = match random.below(10) {
        0 | 1 => Health::Down,
        2 => Health::Draining,
        _ => Health::Healthy,
    };
    let limit = |random: &mut Random, percent| random.percent(percent).then(|| random.number(0..=4));
    let capacity = Capacity { total: limit(random, 50), ipv4: limit(random, 10), ipv6: limit(random, 10) };
    let other_load = if random.percent(20) { random.number(1..=3) } else { 0 };
    Node { name: format!("node-{number}"), health, capacity, other_load, attributes: Vec::new() }
}

fn add_pool(random: &mut Random, snapshot: &mut Snapshot, number: u32) {
    let (shared, v6) = (random.percent(40), random.percent(30));
    let ranges = |random: &mut Random, third: u32| {
        let length = random.number(27..=30);
        let mut ranges = vec![cidr(&format!("10.{number}.{third}.0/{length}"))];
        if v6 {
            ranges.push(cidr(&format!("fd00:{number}:{third}::/{}", random.number(123..=126))));
        }
        ranges
    };
    let mut reserved = vec![cidr(&format!("10.{number}.0.0/32"))];
    if random.percent(30) {
        reserved.push(cidr(&format!("10.{number}.{}.2/31", random.below(3))));
    }
    snapshot.pools.push(Pool {
        name: format!("pool-{number}"),
        ranges: if shared { ranges(random, 0) } else { Vec::new() },
        reserved,
        placement: match random.number(0..=9) {
            0 => PlacementMode::Network,
            1..=3 => PlacementMode::Among,
            _ => PlacementMode::Exact,
        },
        attributes: Vec::new(),
    });
    let zones = random.number(1..=3);
    let first = snapshot.zones.len();
    let may_leave = random.percent(30);
    for third in 0..zones {
        snapshot.zones.push(Zone {
            pool: number,
            name: format!("zone-{}", if random.percent(10) { 0 } else { third }),
            ranges: if shared { Vec::new() } else { ranges(random, third) },
            nodes: Vec::new(),
            may_leave,
            share: random.percent(15).then(|| random.number(0..=4)),
            attributes: Vec::new(),
        });
    }
    for node in 0..index(snapshot.nodes.len()) {
        if random.percent(85) {
            let zone = first + random.below(zones as usize);
            snapshot.zones[zone].nodes.push(node);
        }
    }
}

/// A random address of the owner's pool, and the zone it belongs to.
fn address(random: &mut Random, snapshot: &Snapshot, pool: u32) -> (IpAddress, u32) {
    let zones: Vec<u32> = (0..).zip(&snapshot.zones).filter(|(_, z)| z.pool == pool).map(|(i, _)| i).collect();
    let zone = zones[random.below(zones.len())];
    let mut ranges = &snapshot.pools[pool as usize].ranges;
    if ranges.is_empty() {
        ranges = &snapshot.zones[zone as usize].ranges;
    }
    let range = &ranges[random.below(ranges.len())];
    let outside = u128::from(random.percent(3)) * 64;
    let number = range.first() + outside + u128::from(random.number(0..=12)) % (range.last() - range.first() + 1);
    (IpAddress::from_number(range.family(), number).unwrap(), zone)
}

fn add_owner(random: &mut Random, snapshot: &mut Snapshot, number: usize, taken: &mut BTreeSet<IpAddress>) {
    let pool = index(random.below(snapshot.pools.len()));
    let mut owner = Owner {
        name: format!("owner-{number:03}"),
        pool,
        // The policy says that it does not look at them: nobody's plan may depend on who has some.
        labels: (0..number % 3)
            .map(|nth| Attribute { name: format!("label-{nth}"), value: number.to_string() })
            .collect(),
        wanted: random.percent(20).then(|| random.number(0..=4)),
        requested: Vec::new(),
        allocations: Vec::new(),
        attributes: Vec::new(),
    };
    for _ in 0..random.number(0..=4) {
        let (address, zone) = address(random, snapshot, pool);
        if !taken.insert(address) {
            continue;
        }
        let zone = (!random.percent(8)).then_some(zone);
        owner.allocations.push(Allocation { address, zone });
        if random.percent(80) {
            let assignment = carried(random, snapshot, address, zone);
            snapshot.assignments.push(assignment);
        }
    }
    owner.allocations.sort_by_key(|a| (a.zone.is_none(), a.zone, a.address));
    if random.percent(20) {
        for _ in 0..random.number(1..=3) {
            owner.requested.push(address(random, snapshot, pool).0);
        }
        let held = owner.allocations.iter().map(|a| a.address);
        let kept: Vec<_> = held.filter(|_| random.percent(50)).collect();
        owner.requested.extend(kept);
        owner.requested.sort_unstable();
        owner.requested.dedup();
    }
    snapshot.owners.push(owner);
}

fn carried(random: &mut Random, snapshot: &Snapshot, address: IpAddress, zone: Option<u32>) -> Assignment {
    let home = zone.map(|zone| snapshot.zones[zone as usize].nodes.clone()).unwrap_or_default();
    let node = if home.is_empty() || random.percent(10) {
        index(random.below(snapshot.nodes.len()))
    } else {
        home[random.below(home.len())]
    };
    let phase = match random.below(20) {
        0 => Phase::Arriving,
        1 => Phase::Leaving,
        _ => Phase::Settled,
    };
    Assignment { address, node, phase }
}

/// Addresses that nobody shown holds: stale ones, and those of strangers.
fn add_strays(random: &mut Random, snapshot: &mut Snapshot, taken: &mut BTreeSet<IpAddress>) {
    for _ in 0..random.number(0..=4) {
        let pool = index(random.below(snapshot.pools.len()));
        let (address, zone) = address(random, snapshot, pool);
        if !taken.insert(address) {
            continue;
        }
        if random.percent(50) {
            snapshot.occupied.push(address);
        } else {
            let assignment = carried(random, snapshot, address, Some(zone));
            snapshot.assignments.push(assignment);
        }
    }
}

/// The snapshot once the plan is carried out and nothing is under way any more. Stale addresses are gone.
pub(crate) fn apply(snapshot: &Snapshot, plan: &Plan) -> Snapshot {
    let mut after = snapshot.clone();
    after.generation += 1;
    let mut carriers: BTreeMap<IpAddress, u32> = snapshot
        .assignments
        .iter()
        .filter(|assignment| assignment.phase != Phase::Leaving)
        .map(|assignment| (assignment.address, assignment.node))
        .collect();
    for patch in &plan.patches {
        match &patch.operation {
            Operation::Allocate(to) => {
                let allocation = Allocation { address: to.address, zone: to.zone };
                after.owners[to.owner as usize].allocations.push(allocation);
            }
            Operation::Release(address) => {
                for owner in &mut after.owners {
                    owner.allocations.retain(|allocation| allocation.address != *address);
                }
                carriers.remove(address);
            }
            Operation::Assign(at) => assert_eq!(carriers.insert(at.address, at.node), None),
            Operation::Unassign(at) => assert_eq!(carriers.remove(&at.address), Some(at.node)),
            Operation::Move(to) => assert_eq!(carriers.insert(to.address, to.target), Some(to.source)),
        }
    }
    for owner in &mut after.owners {
        owner.allocations.sort_by_key(|a| (a.zone.is_none(), a.zone, a.address));
    }
    let held: BTreeSet<_> = after.owners.iter().flat_map(|owner| &owner.allocations).map(|a| a.address).collect();
    carriers.retain(|address, _| held.contains(address));
    after.assignments =
        carriers.into_iter().map(|(address, node)| Assignment { address, node, phase: Phase::Settled }).collect();
    after
}

/// The same snapshot with all lists in another order, but the zones of a pool.
pub(crate) fn shuffle(snapshot: &Snapshot, seed: u64) -> Snapshot {
    let random = &mut Random(seed);
    let mut after = snapshot.clone();
    let pools = permutation(random, snapshot.pools.len());
    let nodes = permutation(random, snapshot.nodes.len());
    // Zones go where their pools go, each pool's in their own order.
    let mut zones: Vec<usize> = (0..snapshot.zones.len()).collect();
    zones.sort_by_key(|zone| (pools[snapshot.zones[*zone].pool as usize], *zone));
    let place: BTreeMap<u32, u32> = (0..).zip(&zones).map(|(new, old)| (index(*old), new)).collect();
    for (old, new) in pools.iter().enumerate() {
        after.pools[*new] = snapshot.pools[old].clone();
    }
    for (old, new) in nodes.iter().enumerate() {
        after.nodes[*new] = snapshot.nodes[old].clone();
    }
    let node = |old: u32| index(nodes[old as usize]);
    after.zones = zones.iter().map(|old| snapshot.zones[*old].clone()).collect();
    for zone in &mut after.zones {
        zone.pool = index(pools[zone.pool as usize]);
        zone.nodes = zone.nodes.iter().copied().map(node).collect();
        random.shuffle(&mut zone.nodes);
        random.shuffle(&mut zone.ranges);
    }
    for owner in &mut after.owners {
        owner.pool = index(pools[owner.pool as usize]);
        for allocation in &mut owner.allocations {
            allocation.zone = allocation.zone.map(|zone| place[&zone]);
        }
        random.shuffle(&mut owner.allocations);
        random.shuffle(&mut owner.requested);
    }
    for assignment in &mut after.assignments {
        assignment.node = node(assignment.node);
    }
    random.shuffle(&mut after.owners);
    random.shuffle(&mut after.assignments);
    random.shuffle(&mut after.occupied);
    after
}

fn permutation(random: &mut Random, length: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..length).collect();
    random.shuffle(&mut places);
    places
}

/// The families that an owner's new addresses may have.
pub(crate) fn families(snapshot: &Snapshot, zone: &Zone) -> Vec<Family> {
    let pool = &snapshot.pools[zone.pool as usize];
    let ranges = if pool.ranges.is_empty() { &zone.ranges } else { &pool.ranges };
    Family::ALL.into_iter().filter(|family| ranges.iter().any(|range| range.family() == *family)).collect()
}
