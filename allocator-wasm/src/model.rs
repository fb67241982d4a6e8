//! The snapshot, checked once, as tables that ids index. What is wrong with it is found here.

use std::ops::Range;

use sluice_policy_sdk as sdk;
use sluice_policy_sdk::{Family, Health, Phase, PlanError, Snapshot};

use crate::book::{Book, Carried, Holder, mix};
use crate::ids::{AddressId, ClassId, Id, NodeId, OwnerId, PoolId, Table, ZoneId};

pub(crate) struct Model<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) pools: Table<PoolId, Pool<'a>>,
    pub(crate) zones: Table<ZoneId, Zone<'a>>,
    pub(crate) nodes: Table<NodeId, Node>,
    pub(crate) classes: Table<ClassId, Class>,
    pub(crate) owners: Table<OwnerId, Owner<'a>>,
    /// The owners' allocations, one owner after the other.
    held: Vec<Held>,
    /// What the nodes carry at present.
    pub(crate) loads: Table<NodeId, Load>,
    pub(crate) book: Book,
}

pub(crate) struct Pool<'a> {
    pub(crate) input: &'a sdk::Pool,
    /// In the order of the specification.
    pub(crate) zones: Vec<ZoneId>,
    /// The nodes of all its zones.
    pub(crate) class: ClassId,
}

pub(crate) struct Zone<'a> {
    pub(crate) input: &'a sdk::Zone,
    pub(crate) pool: PoolId,
    /// Its own nodes.
    pub(crate) class: ClassId,
    /// The nodes that its addresses may sit on.
    pub(crate) reach: ClassId,
    /// How many addresses are held here, of both families and of each.
    pub(crate) held: u32,
    pub(crate) held_of: [u32; 2],
}

pub(crate) struct Node {
    pub(crate) health: Health,
    pub(crate) capacity: Load,
    pub(crate) other_load: u32,
    /// Breaks ties: random, but the same on every replica and in every round.
    pub(crate) tie: u64,
    /// Its place in the order of ties.
    pub(crate) turn: u32,
}

/// Numbers of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) total: u32,
    pub(crate) of: [u32; 2],
}

pub(crate) struct Class {
    /// One bit for each node.
    bits: Vec<u64>,
    /// The healthy ones, in order of their ties.
    pub(crate) targets: Vec<NodeId>,
}

pub(crate) struct Owner<'a> {
    pub(crate) input: &'a sdk::Owner,
    /// Its index in the snapshot.
    pub(crate) index: u32,
    pub(crate) pool: PoolId,
    held: Range<usize>,
}

/// An address that an owner holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Held {
    /// In which zone; unknown ones come last.
    pub(crate) zone: Option<ZoneId>,
    pub(crate) id: AddressId,
    pub(crate) address: sdk::IpAddress,
    /// An owner that sorts first holds it, too.
    pub(crate) duplicate: bool,
}

pub(crate) const fn index_of(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

impl Load {
    pub(crate) fn of(&self, family: Family) -> u32 {
        let [v4, v6] = self.of;
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }

    pub(crate) fn add(&mut self, family: Family) {
        self.total += 1;
        *self.of_mut(family) += 1;
    }

    pub(crate) fn remove(&mut self, family: Family) {
        self.total -= 1;
        *self.of_mut(family) -= 1;
    }

    fn of_mut(&mut self, family: Family) -> &mut u32 {
        let [v4, v6] = &mut self.of;
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }
}

impl Class {
    pub(crate) fn contains(&self, node: NodeId) -> bool {
        let word = self.bits.get(node.position() as usize / 64).copied().unwrap_or(0);
        word >> (node.position() % 64) & 1 == 1
    }
}

impl<'a> Model<'a> {
    /// Whether the node may get addresses of the class.
    pub(crate) fn is_target(&self, class: ClassId, node: NodeId) -> bool {
        self.nodes[node].health == Health::Healthy && self.classes[class].contains(node)
    }

    pub(crate) fn new(snapshot: &'a Snapshot) -> Result<Self, PlanError> {
        let nodes: Table<NodeId, Node> =
            snapshot.nodes.iter().map(|node| Node::new(node, snapshot.seed)).collect::<Vec<_>>().into();
        let mut model = Self {
            snapshot,
            pools: Table::new(),
            zones: Table::new(),
            loads: nodes.parallel(Load::default()),
            classes: Table::new(),
            owners: Table::new(),
            held: Vec::new(),
            book: Book::default(),
            nodes,
        };
        model.add_pools(snapshot)?;
        model.add_zones(snapshot)?;
        model.add_targets();
        let expected = model.expected(snapshot);
        model.book = Book::with_capacity(expected + snapshot.occupied.len());
        for &address in &snapshot.occupied {
            let id = model.book.enter(address);
            model.book.at_mut(id).holder = Holder::Stranger;
        }
        model.add_assignments(snapshot)?;
        model.add_owners(snapshot)?;
        Ok(model)
    }

    /// About how many addresses the owners will hold: to make room for them at once.
    pub(crate) fn expected(&self, snapshot: &Snapshot) -> usize {
        let zones = |owner: &sdk::Owner| self.pools.check(owner.pool).map_or(0, |pool| self.pools[pool].zones.len());
        snapshot.owners.iter().map(zones).sum::<usize>().max(snapshot.assignments.len())
    }

    fn add_pools(&mut self, snapshot: &'a Snapshot) -> Result<(), PlanError> {
        for input in &snapshot.pools {
            check_ranges(&input.ranges)?;
            check_ranges(&input.reserved)?;
            let class = self.classes.push(Class::empty(self.nodes.len()));
            self.pools.push(Pool { input, zones: Vec::new(), class });
        }
        Ok(())
    }

    fn add_zones(&mut self, snapshot: &'a Snapshot) -> Result<(), PlanError> {
        for input in &snapshot.zones {
            check_ranges(&input.ranges)?;
            let pool = self.pools.check(input.pool).ok_or_else(|| broken("a zone's pool"))?;
            let class = self.classes.push(Class::empty(self.nodes.len()));
            for &node in &input.nodes {
                let node = self.nodes.check(node).ok_or_else(|| broken("a zone's node"))?;
                self.classes[class].add(node);
                let whole = self.pools[pool].class;
                self.classes[whole].add(node);
            }
            let reach = if input.may_leave { self.pools[pool].class } else { class };
            let zone = Zone { input, pool, class, reach, held: 0, held_of: [0, 0] };
            let zone = self.zones.push(zone);
            self.pools[pool].zones.push(zone);
        }
        Ok(())
    }

    fn add_targets(&mut self) {
        let mut targets: Vec<_> = self.nodes.ids().collect();
        targets.sort_unstable_by_key(|node| self.nodes[*node].tie);
        for (turn, node) in (0..).zip(&targets) {
            self.nodes[*node].turn = turn;
        }
        targets.retain(|node| self.nodes[*node].health == Health::Healthy);
        for class in self.classes.ids() {
            let class = &mut self.classes[class];
            let members = targets.iter().copied().filter(|node| class.contains(*node));
            class.targets = members.collect();
        }
    }

    fn add_assignments(&mut self, snapshot: &Snapshot) -> Result<(), PlanError> {
        for assignment in &snapshot.assignments {
            let node = self.nodes.check(assignment.node).ok_or_else(|| broken("an assignment's node"))?;
            self.loads[node].add(assignment.address.family());
            let id = self.book.enter(assignment.address);
            let stays = assignment.phase != Phase::Leaving;
            let settled = assignment.phase == Phase::Settled;
            let carried = &mut self.book.at_mut(id).carried;
            *carried = Some(match *carried {
                None => Carried { node, also: None, stays: [stays, false], settled },
                Some(before) => before.and(node, stays),
            });
        }
        Ok(())
    }

    fn add_owners(&mut self, snapshot: &'a Snapshot) -> Result<(), PlanError> {
        let mut sorted: Vec<(u32, &sdk::Owner)> = (0..).zip(&snapshot.owners).collect();
        if !sorted.is_sorted_by_key(|(_, owner)| &owner.name) {
            sorted.sort_by_key(|(_, owner)| &owner.name);
        }
        self.held.reserve(snapshot.assignments.len());
        for (index, input) in sorted {
            let pool = self.pools.check(input.pool).ok_or_else(|| broken("an owner's pool"))?;
            let owner = self.owners.next_id();
            let start = self.held.len();
            for allocation in &input.allocations {
                let zone = self.home_zone(pool, allocation.zone)?;
                self.hold(owner, zone, allocation.address);
            }
            let held = start..self.held.len();
            if let Some(mine) = self.held.get_mut(held.clone())
                && !mine.is_sorted_by_key(sort_key)
            {
                mine.sort_unstable_by_key(sort_key);
            }
            self.owners.push(Owner { input, index, pool, held });
        }
        Ok(())
    }

    fn home_zone(&self, pool: PoolId, zone: Option<u32>) -> Result<Option<ZoneId>, PlanError> {
        let Some(zone) = zone else { return Ok(None) };
        let zone = self.zones.check(zone).filter(|zone| self.zones[*zone].pool == pool);
        zone.map(Some).ok_or_else(|| broken("an allocation's zone"))
    }

    fn hold(&mut self, owner: OwnerId, zone: Option<ZoneId>, address: sdk::IpAddress) {
        let id = self.book.enter(address);
        let known = self.book.at_mut(id);
        let duplicate = matches!(known.holder, Holder::Owner(_));
        if !duplicate {
            known.holder = Holder::Owner(owner);
        }
        if let Some(zone) = zone {
            self.count(zone, address.family());
        }
        self.held.push(Held { zone, id, address, duplicate });
    }

    /// Notes that one address more is held in a zone.
    pub(crate) fn count(&mut self, zone: ZoneId, family: Family) {
        let zone = &mut self.zones[zone];
        zone.held += 1;
        if let Some(held) = zone.held_of.get_mut(index_of(family)) {
            *held += 1;
        }
    }

    /// Notes that one address fewer is held in a zone.
    pub(crate) fn discount(&mut self, zone: ZoneId, family: Family) {
        let zone = &mut self.zones[zone];
        zone.held -= 1;
        if let Some(held) = zone.held_of.get_mut(index_of(family)) {
            *held -= 1;
        }
    }

    /// What the owner holds: by zone, then by address.
    pub(crate) fn held(&self, owner: OwnerId) -> &[Held] {
        self.held.get(self.owners[owner].held.clone()).unwrap_or_default()
    }

    /// The nodes for an address of this pool and home zone.
    pub(crate) fn reach(&self, pool: PoolId, zone: Option<ZoneId>) -> ClassId {
        zone.map_or(self.pools[pool].class, |zone| self.zones[zone].reach)
    }
}

impl Node {
    fn new(input: &sdk::Node, seed: u64) -> Self {
        let limit = |capacity: Option<u32>| capacity.unwrap_or(u32::MAX);
        let sdk::Capacity { total, ipv4, ipv6 } = input.capacity;
        Self {
            health: input.health,
            capacity: Load { total: limit(total), of: [limit(ipv4), limit(ipv6)] },
            other_load: input.other_load,
            tie: tie(&input.name, seed),
            turn: 0,
        }
    }
}

impl Class {
    fn empty(nodes: usize) -> Self {
        Self { bits: vec![0; nodes.div_ceil(64)], targets: Vec::new() }
    }

    fn add(&mut self, node: NodeId) {
        if let Some(word) = self.bits.get_mut(node.position() as usize / 64) {
            *word |= 1 << (node.position() % 64);
        }
    }
}

impl Carried {
    /// The same address on one more node. A third one adds nothing: the address is left alone anyway.
    fn and(self, node: NodeId, stays: bool) -> Self {
        let [first, second] = self.stays;
        match self.also {
            None => Self { also: Some(node), stays: [first, stays], settled: false, ..self },
            Some(_) => Self { stays: [first, second], settled: false, ..self },
        }
    }

    /// The nodes on which it is, or is to be.
    pub(crate) fn stays(self) -> impl Iterator<Item = NodeId> {
        let [first, second] = self.stays;
        Some(self.node).filter(|_| first).into_iter().chain(self.also.filter(|_| second))
    }
}

fn sort_key(held: &Held) -> (bool, Option<ZoneId>, sdk::IpAddress) {
    (held.zone.is_none(), held.zone, held.address)
}

/// FNV-1a of the name, started from the seed, and mixed.
fn tie(name: &str, seed: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ mix(seed);
    mix(name.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)))
}

fn check_ranges(ranges: &[sdk::Cidr]) -> Result<(), PlanError> {
    let fits = |range: &sdk::Cidr| range.prefix_length <= range.family().bits();
    if ranges.iter().all(fits) { Ok(()) } else { Err(broken("a range's prefix")) }
}

fn broken(what: &str) -> PlanError {
    PlanError::Internal(format!("malformed snapshot: {what} does not exist"))
}
