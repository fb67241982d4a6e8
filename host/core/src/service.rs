//! Who is served, judged by what is seen: a namespace is served while its network object lists all that it shall have,
//! and a live node carries each of these addresses. What a plan or a policy says of it proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::name::{NodeName, OwnerIndex, OwnerName, PoolName};
use crate::observed::{Listed, Observed};
use crate::plan::{Holder, Operation};
use crate::round::{Failure, Outcome, Round};
use crate::snapshot::{Owner, Phase};
use crate::verify::VerifiedPlan;

/// Most namespaces of a pool whose reason is spelled out.
const SPELLED_OUT: usize = 5;

/// The namespaces of one pool, each counted once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Service {
    /// All that opted in, without those that are about to get their network object and those that go away with nothing.
    pub(crate) owners: u32,
    /// Those that have what they shall have.
    pub(crate) served: u32,
    /// Those with a hold.
    pub(crate) held: u32,
    /// All others.
    pub(crate) waiting: u32,
    /// Why, of the first of these.
    pub(crate) reasons: Vec<String>,
}

impl Service {
    fn wait(&mut self, reason: impl FnOnce() -> Option<String>) {
        self.waiting += 1;
        if self.reasons.len() < SPELLED_OUT {
            self.reasons.extend(reason());
        }
    }
}

/// Counts the namespaces of each pool. `seen` is the cluster after the outcome's writes; `ungiven` are namespaces for
/// which a cloud has not done its part, of which others tell.
pub(crate) fn of_pools<'a>(
    planned: &'a Observed,
    seen: &Observed,
    round: &Round,
    outcome: &Outcome,
    ungiven: &BTreeSet<&OwnerName>,
) -> BTreeMap<&'a PoolName, Service> {
    let survey = round.surveyed();
    let mut pools: BTreeMap<&PoolName, Service> = BTreeMap::new();
    let held: BTreeSet<(&PoolName, &OwnerName)> = outcome.holds.iter().map(|hold| (&hold.pool, &hold.owner)).collect();
    let changes = Changes::of(&outcome.plan);
    let scene = Scene::of(seen);
    // Both are sorted by name.
    let mut owners = survey.snapshot.owners.iter().enumerate().peekable();
    for (name, facts) in &planned.namespaces {
        while owners.next_if(|(_, owner)| owner.name < *name).is_some() {}
        let owner = owners.next_if(|(_, owner)| owner.name == *name);
        let Some(pool) = facts.pool.as_ref().filter(|_| !survey.newborn.contains(name)) else { continue };
        if owner.is_none() && facts.terminating {
            continue;
        }
        let service = pools.entry(pool).or_default();
        service.owners += 1;
        if held.contains(&(pool, name)) {
            service.held += 1;
        } else if ungiven.contains(name) {
            service.wait(|| None);
        } else {
            let lack = owner.and_then(|(position, owner)| {
                changes.lack(OwnerIndex::at(position), owner).or_else(|| {
                    let mut shall = changes.shall(OwnerIndex::at(position), owner);
                    shall.find_map(|address| scene.lack(&owner.name, address))
                })
            });
            match lack {
                None => service.served += 1,
                Some(lack) => {
                    let slice = owner.and_then(|(position, _)| round.slice_of(OwnerIndex::at(position)));
                    let failure = slice.and_then(|slice| outcome.slices.get(slice)?.failure.as_ref());
                    service.wait(|| Some(format!("{name}: {}", scene.text(&lack, failure))));
                }
            }
        }
    }
    pools
}

/// What an owner lacks.
enum Lack<'a> {
    /// Everything.
    All,
    /// An address that it asks for.
    Requested(IpAddr),
    /// To be given an address that it shall have.
    Unlisted(IpAddr),
    /// A node that carries an address.
    NoCarrier(IpAddr),
    /// A node that works.
    Down(IpAddr, &'a NodeName),
    /// To have an address on one node only.
    Twice(IpAddr, &'a NodeName, &'a NodeName),
    /// The cloud's part of carrying it.
    Interface(IpAddr, &'a NodeName),
    /// To have an address for itself.
    Shared(IpAddr),
}

/// What a plan changes of what owners hold.
struct Changes {
    given: BTreeMap<OwnerIndex, Vec<IpAddr>>,
    taken: BTreeSet<(OwnerIndex, IpAddr)>,
}

impl Changes {
    fn of(plan: &VerifiedPlan) -> Self {
        let mut changes = Self { given: BTreeMap::new(), taken: BTreeSet::new() };
        for patch in plan.patches() {
            match patch.operation {
                Operation::Allocate { owner, address, .. } => changes.given.entry(owner).or_default().push(address),
                Operation::Release { holder: Some(Holder::Owner(owner)), address } => {
                    changes.taken.insert((owner, address));
                }
                _ => {}
            }
        }
        changes
    }

    /// What an owner shall hold.
    fn shall<'a>(&'a self, index: OwnerIndex, owner: &'a Owner) -> impl Iterator<Item = IpAddr> + 'a {
        let kept = owner.allocations.iter().map(|allocation| allocation.address);
        let kept = kept.filter(move |address| self.taken.is_empty() || !self.taken.contains(&(index, *address)));
        kept.chain(self.given.get(&index).into_iter().flatten().copied())
    }

    /// What nobody means to give to an owner.
    fn lack(&self, index: OwnerIndex, owner: &Owner) -> Option<Lack<'static>> {
        if self.shall(index, owner).next().is_none() {
            return Some(Lack::All);
        }
        let missing = |asked: &&IpAddr| self.shall(index, owner).all(|address| address != **asked);
        owner.requested.iter().find(missing).map(|&address| Lack::Requested(address))
    }
}

/// Who has what, and who carries it.
struct Scene<'a> {
    seen: &'a Observed,
    /// By address, then node.
    carriers: Vec<(IpAddr, &'a NodeName)>,
    /// Addresses that several network objects list.
    shared: BTreeSet<IpAddr>,
}

impl<'a> Scene<'a> {
    fn of(seen: &'a Observed) -> Self {
        let mut carriers: Vec<(IpAddr, &NodeName)> = Vec::new();
        for (name, facts) in &seen.carriers {
            carriers.extend(facts.egress_ips.iter().filter_map(Listed::address).map(|address| (address, name)));
        }
        carriers.sort_unstable();
        carriers.dedup();
        let listed = seen.holdings.values().flat_map(|facts| &facts.egress_ips);
        let mut listed: Vec<IpAddr> = listed.filter_map(Listed::address).collect();
        listed.sort_unstable();
        let shared = listed.chunk_by(|a, b| a == b).filter(|run| run.len() > 1);
        let shared = shared.filter_map(|run| run.first().copied()).collect();
        Self { seen, carriers, shared }
    }

    /// What keeps an address from working for an owner, if anything.
    fn lack(&self, owner: &OwnerName, address: IpAddr) -> Option<Lack<'a>> {
        let listed = self.seen.holdings.get(owner).into_iter().flat_map(|facts| &facts.egress_ips);
        if !listed.filter_map(Listed::address).any(|other| other == address) {
            return Some(Lack::Unlisted(address));
        }
        let start = self.carriers.partition_point(|(other, _)| *other < address);
        let mut nodes = self.carriers.iter().skip(start).take_while(|(other, _)| *other == address).map(|(_, on)| *on);
        match (nodes.next(), nodes.next()) {
            (None, _) => Some(Lack::NoCarrier(address)),
            (Some(one), Some(other)) => Some(Lack::Twice(address, one, other)),
            (Some(node), None) if self.seen.nodes.get(node).is_none_or(|facts| !facts.ready) => {
                Some(Lack::Down(address, node))
            }
            (Some(node), None) if !self.is_on_interface(address, node) => Some(Lack::Interface(address, node)),
            (Some(_), None) => self.shared.contains(&address).then_some(Lack::Shared(address)),
        }
    }

    /// Whether the cloud's part is done, where it is us who does it.
    fn is_on_interface(&self, address: IpAddr, node: &NodeName) -> bool {
        self.seen.written_interfaces().is_none_or(|cloud| {
            let on = cloud.interfaces.get(node).and_then(|interface| interface.addresses.get(&address));
            on.is_some_and(|on| on.phase == Phase::Settled)
        })
    }

    fn text(&self, lack: &Lack<'_>, failure: Option<&Failure>) -> String {
        match lack {
            Lack::All => match failure {
                None => "the policy allocated nothing".to_owned(),
                Some(Failure::Policy(_)) => "the policy failed".to_owned(),
                Some(Failure::Rejected(_)) => "the policy's plan was refused".to_owned(),
                Some(Failure::Unmatched(_)) => "the policy's plan does not go with what the host does".to_owned(),
            },
            Lack::Requested(address) => format!("it asks for {address}, and does not have it yet"),
            Lack::Unlisted(address) | Lack::NoCarrier(address) if self.arrives(*address).is_some() => {
                let node = self.arrives(*address).unwrap_or_default();
                format!("{address} waits for the interface of {node}")
            }
            Lack::Unlisted(address) => format!("{address} is not given to it yet"),
            Lack::NoCarrier(address) => format!("no node carries {address}"),
            Lack::Down(address, node) => format!("{address} is on node {node}, which is not ready"),
            Lack::Twice(address, one, other) => {
                format!("{address} is on nodes {one} and {other}, so it works on neither")
            }
            Lack::Interface(address, node) => format!("{address} waits for the interface of {node}"),
            Lack::Shared(address) => format!("another namespace holds {address}, too"),
        }
    }

    /// The node whose interface is about to get an address.
    fn arrives(&self, address: IpAddr) -> Option<&str> {
        let interfaces = self.seen.written_interfaces().into_iter().flat_map(|cloud| &cloud.interfaces);
        let mut gets = interfaces
            .filter(|(_, interface)| interface.addresses.get(&address).is_some_and(|on| on.phase != Phase::Leaving));
        gets.next().map(|(name, _)| name.as_str())
    }
}
