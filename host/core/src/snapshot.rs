//! All inputs of one planning round, judged and put in order. Immutable.
//!
//! The lists up to `occupied` are what a policy sees, index for index. Lists are sorted by name, zones by pool and
//! then in the order of the spec, assignments by address.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::name::{NodeIndex, NodeName, OwnerIndex, OwnerName, PoolIndex, PoolName, ZoneIndex, ZoneName};

/// What a round plans from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Generation of the observation; a plan for another one is refused.
    pub generation: u64,
    /// Unix milliseconds.
    pub now: u64,
    /// The same for the cluster's life.
    pub seed: u64,
    /// Most moves, unassigns and releases that nothing forces (R15), less what earlier rounds have spent.
    pub budget: u32,
    /// Pools, by name.
    pub pools: Vec<Pool>,
    /// Zones, by pool, then in spec order.
    pub zones: Vec<Zone>,
    /// Nodes that can carry addresses or do, by name.
    pub nodes: Vec<Node>,
    /// Opted-in namespaces that can be served, by name.
    pub owners: Vec<Owner>,
    /// Addresses of pools on nodes, by address, then node.
    pub assignments: Vec<Assignment>,
    /// Addresses inside pools that nobody may get: of nodes, of strangers, of those who leave. Sorted.
    pub occupied: Vec<IpAddr>,
    /// Holders whose addresses the host takes back. A policy never sees them.
    pub leaving: Vec<Leaving>,
    /// Addresses that were moved to and fro: nothing moves them now that is not forced. By address. A policy sees those
    /// that it can leave where they are as arriving there.
    pub flapped: Vec<Flapped>,
}

/// An address that was moved to and fro.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flapped {
    /// The address.
    pub address: IpAddr,
    /// Name of the policy that moved it.
    pub policy: String,
}

/// Where addresses come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Name of the EgressIPAM.
    pub name: PoolName,
    /// For all zones together; empty if the zones have ranges.
    pub ranges: Vec<IpNet>,
    /// Never handed out.
    pub reserved: Vec<IpNet>,
    /// Who chooses the nodes of its addresses.
    pub placement: Placement,
}

/// Who chooses the nodes of a pool's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// We do, and the network carries each address where we say.
    Exact,
    /// The network, among the nodes that we mark for it: a plan says which nodes these are. Wherever it has put an address
    /// that may be there, the address stays.
    Among,
    /// The network alone: placement is observed, not planned (R13). The pool is self-placing.
    Network,
}

impl Pool {
    /// Whether the network alone chooses the nodes of its addresses.
    pub fn is_self_placing(&self) -> bool {
        self.placement == Placement::Network
    }
}

/// One `cidrAssignments` entry, or one label value of a pool with a range for all.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// Its pool.
    pub pool: PoolIndex,
    /// Label value; may repeat within a pool.
    pub name: ZoneName,
    /// What new addresses come from: the entry less what an older pool or an earlier entry owns (R6).
    pub ranges: Vec<IpNet>,
    /// Nodes that selector and topology label put here and that the network has a carrier for, sorted.
    pub nodes: Vec<NodeIndex>,
    /// Its addresses may sit on nodes of the pool's other zones (R9).
    pub may_leave: bool,
    /// Most addresses the policy may hold here; none: all.
    pub share: Option<u32>,
}

/// Whether a node can be used (R10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Ready.
    Healthy,
    /// Cordoned: keeps what it has, gets nothing new.
    Draining,
    /// Not ready, or gone.
    Down,
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Draining => "draining",
            Self::Down => "down",
        })
    }
}

/// How many addresses a node may carry; none: unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Both families together.
    pub total: Option<u32>,
    /// IPv4.
    pub ipv4: Option<u32>,
    /// IPv6.
    pub ipv6: Option<u32>,
}

impl Capacity {
    /// Takes off what is carried for somebody who is not shown.
    pub(crate) fn take(&mut self, address: IpAddr) {
        let of_family = if address.is_ipv4() { &mut self.ipv4 } else { &mut self.ipv6 };
        for limit in [&mut self.total, of_family].into_iter().flatten() {
            *limit = limit.saturating_sub(1);
        }
    }

    /// Makes room for so many addresses of each family.
    pub(crate) fn raise_to(&mut self, ipv4: u32, ipv6: u32) {
        let limits = [(&mut self.total, ipv4 + ipv6), (&mut self.ipv4, ipv4), (&mut self.ipv6, ipv6)];
        for (limit, least) in limits {
            *limit = limit.map(|limit| limit.max(least));
        }
    }

    /// Adds what is shown although it is a stranger's.
    pub(crate) fn give(&mut self, address: IpAddr) {
        let of_family = if address.is_ipv4() { &mut self.ipv4 } else { &mut self.ipv6 };
        for limit in [&mut self.total, of_family].into_iter().flatten() {
            *limit = limit.saturating_add(1);
        }
    }
}

/// A carrier.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Name of the node.
    pub name: NodeName,
    /// Whether it can be used.
    pub health: Health,
    /// What is left for the addresses of this snapshot; strangers' are taken off already.
    pub capacity: Capacity,
    /// Addresses carried for others; for balance only.
    pub other_load: u32,
}

impl Node {
    /// Counts an address that the node carries as one for somebody who is not shown.
    pub(crate) fn hide(&mut self, address: IpAddr) {
        self.other_load += 1;
        self.capacity.take(address);
    }
}

/// An address bound to an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The address.
    pub address: IpAddr,
    /// Home zone; none: unknown, or no longer a zone of the pool.
    pub zone: Option<ZoneIndex>,
    /// Settled: the owner holds it. Arriving: an interface gets it for the owner, who holds it once it is there. A
    /// policy sees no difference.
    pub phase: Phase,
}

impl Allocation {
    /// One that the owner holds.
    pub fn settled(address: IpAddr, zone: Option<ZoneIndex>) -> Self {
        Self { address, zone, phase: Phase::Settled }
    }
}

/// Who gets addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// Name of the namespace.
    pub name: OwnerName,
    /// The pool it opted into.
    pub pool: PoolIndex,
    /// Labels of the namespace.
    pub labels: Vec<(String, String)>,
    /// How many addresses; none: the policy's settings decide.
    pub wanted: Option<u32>,
    /// Addresses it asks for.
    pub requested: Vec<IpAddr>,
    /// What it holds, in the order of its holding, and then what is arriving.
    pub allocations: Vec<Allocation>,
    /// Its creation, Unix milliseconds. A policy does not see it.
    pub created: u64,
}

impl Owner {
    /// What its network object lists, without what is arriving.
    pub fn held(&self) -> impl Iterator<Item = IpAddr> {
        let settled = self.allocations.iter().filter(|allocation| allocation.phase == Phase::Settled);
        settled.map(|allocation| allocation.address)
    }
}

/// Whether a write is under way (R16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is under way.
    Settled,
    /// On its way onto the node.
    Arriving,
    /// On its way off the node.
    Leaving,
}

/// An address on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The address.
    pub address: IpAddr,
    /// Its carrier.
    pub node: NodeIndex,
    /// Whether a write is under way.
    pub phase: Phase,
}

/// A holder that is no owner any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaving {
    /// Name of the namespace.
    pub name: OwnerName,
    /// Its pool, where known.
    pub pool: Option<PoolName>,
    /// What it still holds.
    pub addresses: Vec<IpAddr>,
    /// Why it leaves.
    pub why: Departure,
}

/// Why a holder leaves (R7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Departure {
    /// The opt-in annotation was removed.
    OptedOut,
    /// The namespace is gone.
    NamespaceGone,
    /// The pool is being deleted.
    PoolDeleted,
}

impl Snapshot {
    /// The pool at an index.
    pub fn pool(&self, index: PoolIndex) -> Option<&Pool> {
        self.pools.get(index.position())
    }

    /// The zone at an index.
    pub fn zone(&self, index: ZoneIndex) -> Option<&Zone> {
        self.zones.get(index.position())
    }

    /// The node at an index.
    pub fn node(&self, index: NodeIndex) -> Option<&Node> {
        self.nodes.get(index.position())
    }

    /// The owner at an index.
    pub fn owner(&self, index: OwnerIndex) -> Option<&Owner> {
        self.owners.get(index.position())
    }

    /// The node of a name.
    pub fn node_named(&self, name: &NodeName) -> Option<NodeIndex> {
        self.nodes.binary_search_by(|node| node.name.cmp(name)).ok().map(NodeIndex::at)
    }

    /// Who moved an address to and fro, if anybody did.
    pub(crate) fn flapped(&self, address: IpAddr) -> Option<&Flapped> {
        let position = self.flapped.binary_search_by_key(&address, |flapped| flapped.address).ok()?;
        self.flapped.get(position)
    }

    /// The owner of a name.
    pub fn owner_named(&self, name: &OwnerName) -> Option<OwnerIndex> {
        self.owners.binary_search_by(|owner| owner.name.cmp(name)).ok().map(OwnerIndex::at)
    }

    /// The zones of a pool, in spec order. They stand next to each other.
    pub fn zones_of(&self, pool: PoolIndex) -> impl Iterator<Item = (ZoneIndex, &Zone)> {
        let start = self.zones.partition_point(|zone| zone.pool < pool);
        let zones = self.zones.iter().enumerate().skip(start);
        zones.take_while(move |(_, zone)| zone.pool == pool).map(|(i, zone)| (ZoneIndex::at(i), zone))
    }

    /// The nodes that carry an address.
    pub(crate) fn carriers(&self, address: IpAddr) -> impl Iterator<Item = NodeIndex> {
        let start = self.assignments.partition_point(|assignment| assignment.address < address);
        self.assignments.iter().skip(start).take_while(move |on| on.address == address).map(|on| on.node)
    }

    /// Whether what a node carries can work.
    pub(crate) fn is_live(&self, node: NodeIndex) -> bool {
        self.node(node).is_some_and(|node| node.health != Health::Down)
    }

    /// The nodes on which an address of a pool may be for good; `home` is its zone, none: unknown. The checker has a rule
    /// of its own, on purpose.
    pub(crate) fn may_be_on(&self, pool: PoolIndex, home: Option<ZoneIndex>) -> impl Iterator<Item = NodeIndex> {
        self.open_zones(pool, home).flat_map(|zone| zone.nodes.iter().copied())
    }

    /// Whether an address of a pool may be on a node for good.
    pub(crate) fn may_carry(&self, pool: PoolIndex, home: Option<ZoneIndex>, node: NodeIndex) -> bool {
        self.open_zones(pool, home).any(|zone| zone.nodes.binary_search(&node).is_ok())
    }

    /// The zones whose nodes may carry an address of a pool for good.
    fn open_zones(&self, pool: PoolIndex, home: Option<ZoneIndex>) -> impl Iterator<Item = &Zone> {
        let leaves = home.and_then(|home| self.zone(home)).is_none_or(|zone| zone.may_leave);
        self.zones_of(pool).filter(move |(zone, _)| leaves || Some(*zone) == home).map(|(_, zone)| zone)
    }

    /// Unforced changes that may be made at once: 5 % of the assignments, but at least ten (R15).
    pub(crate) fn full_budget(&self) -> u32 {
        const LEAST: usize = 10;
        u32::try_from((self.assignments.len() * 5 / 100).max(LEAST)).unwrap_or(u32::MAX)
    }

    /// The name of a node; an index out of bounds is written as a number.
    pub fn node_name(&self, index: NodeIndex) -> String {
        self.node(index).map_or_else(|| format!("#{}", index.0), |node| node.name.to_string())
    }

    /// The name of an owner; an index out of bounds is written as a number.
    pub fn owner_name(&self, index: OwnerIndex) -> String {
        self.owner(index).map_or_else(|| format!("#{}", index.0), |owner| owner.name.to_string())
    }
}
