//! Who plans what: a round is a list of slices. Each has owners, ranges, and a part of what nodes can carry; it is planned
//! by one policy, from a snapshot that shows nothing else, and fails alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::name::{OwnerIndex, OwnerName};
use crate::plan::{Hold, Holder, Operation, Patch, Plan};
use crate::settle::Settlement;
use crate::snapshot::{Assignment, Capacity, Node, Owner, Pool, Snapshot, Zone};
use crate::survey::ranges::{addresses, common, spec_pool_of, subtract};

/// What one policy plans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Its name, for status and metrics.
    pub name: String,
    /// Its owners; none: all that no other grant names.
    pub owners: Option<BTreeSet<OwnerName>>,
    /// Where its new addresses come from: parts of pools' ranges that nobody else gets; empty: all that no other grant has.
    pub ranges: Vec<IpNet>,
    /// How much of what a node can carry it may use, in percent; none: all.
    pub node_percent: Option<u8>,
}

impl Grant {
    fn limits_nothing(&self) -> bool {
        self.owners.is_none() && self.ranges.is_empty() && self.node_percent.is_none()
    }
}

/// One slice of a round.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    pub(super) name: String,
    /// Unforced changes that it may make when it has made none.
    pub(super) budget: u32,
    /// What its policy sees; none: everything.
    view: Option<View>,
    /// Only forced moves count of what its policy answers; the text is for those who wait for more.
    pub(super) stands_in: Option<StandIn>,
}

/// A snapshot that shows some owners.
#[derive(Clone, Debug)]
struct View {
    snapshot: Snapshot,
    /// Each owner's index in the whole.
    owners: Vec<OwnerIndex>,
}

/// A policy that plans in place of the one that should.
#[derive(Clone, Debug)]
pub(super) struct StandIn {
    pub(super) why: String,
    /// Owners that only the other one may give what they want.
    pub(super) waiting: BTreeSet<OwnerIndex>,
}

impl Slice {
    /// The slices of grants. A single grant that limits nothing has everything.
    pub(super) fn of(settlement: &mut Settlement, grants: &[Grant], spent: &BTreeMap<String, u32>) -> Vec<Self> {
        let is_whole = matches!(grants, [grant] if grant.limits_nothing());
        let slice = |(nth, grant): (usize, &Grant)| {
            let mut view = (!is_whole).then(|| View::of(&settlement.snapshot, grants, nth));
            let seen = view.as_mut().map_or(&mut settlement.snapshot, |view| &mut view.snapshot);
            let budget = seen.budget;
            seen.budget = budget.saturating_sub(spent.get(&grant.name).copied().unwrap_or_default());
            Self { name: grant.name.clone(), budget, view, stands_in: None }
        };
        grants.iter().enumerate().map(slice).collect()
    }

    /// What its policy plans from.
    pub(super) fn snapshot<'a>(&'a self, settled: &'a Snapshot) -> &'a Snapshot {
        self.view.as_ref().map_or(settled, |view| &view.snapshot)
    }

    pub(super) fn snapshot_mut<'a>(&'a mut self, settled: &'a mut Snapshot) -> &'a mut Snapshot {
        self.view.as_mut().map_or(settled, |view| &mut view.snapshot)
    }

    /// Whether it shows everything.
    pub(super) fn is_whole(&self) -> bool {
        self.view.is_none()
    }

    /// The index in the whole of one of its owners.
    pub(super) fn owner(&self, index: OwnerIndex) -> Option<OwnerIndex> {
        match &self.view {
            Some(view) => view.owners.get(index.position()).copied(),
            None => Some(index),
        }
    }

    /// Whether an owner of the whole is one of its own.
    pub(super) fn has(&self, owner: OwnerIndex) -> bool {
        self.view.as_ref().is_none_or(|view| view.owners.binary_search(&owner).is_ok())
    }

    /// A checked answer with the indices of the whole.
    pub(super) fn lift(&self, mut plan: Plan) -> Plan {
        if self.view.is_none() {
            return plan;
        }
        let lifted = |owner| self.owner(owner);
        plan.patches = plan.patches.into_iter().filter_map(|patch| lift_patch(patch, lifted)).collect();
        let holds = plan.holds.into_iter();
        plan.holds = holds.filter_map(|hold| Some(Hold { owner: lifted(hold.owner)?, ..hold })).collect();
        plan
    }
}

/// A patch that names an owner which is not there was refused before.
fn lift_patch(patch: Patch, lifted: impl Fn(OwnerIndex) -> Option<OwnerIndex>) -> Option<Patch> {
    let operation = match patch.operation {
        Operation::Allocate { owner, zone, address } => Operation::Allocate { owner: lifted(owner)?, zone, address },
        Operation::Release { holder: Some(Holder::Owner(owner)), address } => {
            Operation::Release { holder: Some(Holder::Owner(lifted(owner)?)), address }
        }
        other => other,
    };
    Some(Patch { operation, ..patch })
}

impl View {
    fn of(settled: &Snapshot, grants: &[Grant], nth: usize) -> Self {
        let nothing = Grant::default();
        let grant = grants.get(nth).unwrap_or(&nothing);
        let owners = owners_of(settled, grants, nth);
        let shown: Vec<Owner> = owners.iter().filter_map(|&owner| settled.owner(owner).cloned()).collect();
        let ours: BTreeSet<IpAddr> = held(&shown).collect();
        let others: BTreeSet<IpAddr> = held(&settled.owners).filter(|address| !ours.contains(address)).collect();
        let mut snapshot = Snapshot {
            owners: shown,
            nodes: settled.nodes.clone(),
            flapped: settled.flapped.iter().filter(|flapped| ours.contains(&flapped.address)).cloned().collect(),
            budget: part_of_budget(settled.budget, owners.len(), settled.owners.len()),
            generation: settled.generation,
            now: settled.now,
            seed: settled.seed,
            ..ranges_of(settled, grant, grants)
        };
        let gives = |snapshot: &Snapshot, address| spec_pool_of(snapshot, address).is_some();
        let occupied: BTreeSet<IpAddr> = settled.occupied.iter().copied().chain(others).collect();
        snapshot.occupied = occupied.into_iter().filter(|&address| gives(&snapshot, address)).collect();
        // What others hold is a load that this policy cannot change. What nobody holds, it may give out where it is.
        let is_free = |address| snapshot.occupied.binary_search(&address).is_err();
        let is_shown = |on: &&Assignment| {
            let address = on.address;
            ours.contains(&address) || (gives(&snapshot, address) && is_free(address))
        };
        let (assignments, hidden) = settled.assignments.iter().partition::<Vec<_>, _>(is_shown);
        snapshot.assignments = assignments.into_iter().copied().collect();
        limit_nodes(&mut snapshot.nodes, grant.node_percent, hidden.into_iter());
        Self { snapshot, owners }
    }
}

/// The owners of a grant, in order. Who is named by several is the first one's.
fn owners_of(snapshot: &Snapshot, grants: &[Grant], nth: usize) -> Vec<OwnerIndex> {
    let has = |grant: &Grant, owner: &OwnerName| grant.owners.as_ref().is_some_and(|owners| owners.contains(owner));
    let planned_by = |owner: &OwnerName| {
        let named = grants.iter().position(|grant| has(grant, owner));
        named.or_else(|| grants.iter().position(|grant| grant.owners.is_none()))
    };
    let owners = snapshot.owners.iter().enumerate();
    owners.filter(|(_, owner)| planned_by(&owner.name) == Some(nth)).map(|(at, _)| OwnerIndex::at(at)).collect()
}

fn held(owners: &[Owner]) -> impl Iterator<Item = IpAddr> {
    owners.iter().flat_map(|owner| owner.allocations.iter().map(|held| held.address))
}

/// The pools and zones of a snapshot, with the ranges that a grant may give new addresses from: its own, or all that no
/// other grant has. How many that are is its share of a zone.
fn ranges_of(snapshot: &Snapshot, grant: &Grant, grants: &[Grant]) -> Snapshot {
    let ranges = |of: &[IpNet]| -> Vec<IpNet> {
        if grant.ranges.is_empty() {
            let taken = grants.iter().flat_map(|other| &other.ranges);
            return taken.fold(of.to_vec(), |rest, &hole| subtract(&rest, hole));
        }
        of.iter().flat_map(|range| grant.ranges.iter().filter_map(|own| common(*range, *own))).collect()
    };
    let pool = |pool: &Pool| Pool { ranges: ranges(&pool.ranges), ..pool.clone() };
    let zone = |zone: &Zone| {
        let ranges = ranges(&zone.ranges);
        let is_limited = !grant.ranges.is_empty() && !zone.ranges.is_empty();
        let size = || ranges.iter().map(|&range| addresses(range)).fold(0, u128::saturating_add);
        let share = is_limited.then(|| u32::try_from(size()).unwrap_or(u32::MAX));
        Zone { ranges, share, ..zone.clone() }
    };
    let (pools, zones) = (snapshot.pools.iter().map(pool).collect(), snapshot.zones.iter().map(zone).collect());
    Snapshot { pools, zones, ..Snapshot::default() }
}

/// What nodes can carry of a slice: no more than its part, and no more than others leave.
fn limit_nodes<'a>(nodes: &mut [Node], percent: Option<u8>, hidden: impl Iterator<Item = &'a Assignment>) {
    let part = |limit: Option<u32>| {
        let of = |limit: u32| u64::from(limit) * u64::from(percent.unwrap_or(100)) / 100;
        limit.map(|limit| u32::try_from(of(limit)).unwrap_or(u32::MAX))
    };
    let parts: Vec<[Option<u32>; 3]> = nodes
        .iter()
        .map(|node| [part(node.capacity.total), part(node.capacity.ipv4), part(node.capacity.ipv6)])
        .collect();
    for on in hidden {
        if let Some(node) = nodes.get_mut(on.node.position()) {
            node.hide(on.address);
        }
    }
    for (node, [total, ipv4, ipv6]) in nodes.iter_mut().zip(parts) {
        let least = |left: Option<u32>, part: Option<u32>| left.zip(part).map(|(left, part)| left.min(part));
        let left = node.capacity;
        node.capacity =
            Capacity { total: least(left.total, total), ipv4: least(left.ipv4, ipv4), ipv6: least(left.ipv6, ipv6) };
    }
}

/// The budget is divided by owners; everybody who has one at all has at least one change.
fn part_of_budget(budget: u32, owners: usize, all: usize) -> u32 {
    let part = u64::from(budget) * owners as u64 / all.max(1) as u64;
    u32::try_from(part).unwrap_or(u32::MAX).max(budget.min(1))
}
