//! Several addresses of one owner on one node: the network voids all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Draft, Withdrawal};
use crate::name::{NodeIndex, OwnerIndex};
use crate::network;
use crate::plan::{Holder, Operation, Patch, Reason};
use crate::snapshot::Phase;

/// An address that a node carries for nobody cannot be given to an owner of which the same node has another address: as
/// soon as it is named, they would void each other. Then nothing changes for that owner in this round; the address is
/// taken off the node, and free for the next.
pub(super) fn adopted(draft: &Draft<'_>) -> Withdrawal {
    let base = &draft.round.base;
    let mut adopted: BTreeMap<IpAddr, OwnerIndex> = BTreeMap::new();
    for (_, patch) in draft.answered() {
        if let Operation::Allocate { owner, address, .. } = patch.operation
            && !base.carriers_of(address).is_empty()
        {
            adopted.insert(address, owner);
        }
    }
    if adopted.is_empty() {
        return Withdrawal::default();
    }
    let mut places: BTreeMap<(OwnerIndex, NodeIndex), BTreeSet<IpAddr>> = BTreeMap::new();
    for &owner in adopted.values().collect::<BTreeSet<_>>() {
        let new = adopted.iter().filter(|&(_, to)| *to == owner).map(|(&address, _)| address);
        for address in draft.held(owner).filter(|&address| draft.end.is_held_by(address, owner)).chain(new) {
            let carriers = base.carriers_of(address).iter();
            for &node in carriers.filter(|&&node| !network::network_places(&draft.round.survey.snapshot, node)) {
                places.entry((owner, node)).or_default().insert(address);
            }
        }
    }
    let crowded: BTreeSet<OwnerIndex> = places
        .iter()
        .filter(|(_, here)| here.len() > 1 && here.iter().any(|address| adopted.contains_key(address)))
        .map(|(&(owner, _), _)| owner)
        .collect();
    let patches = draft.positions(|patch| {
        let holder = draft.end.holders_of(patch.operation.address()).first().map(|holding| holding.holder);
        let owner = super::changed_owner(&patch.operation).or(match holder {
            Some(Holder::Owner(owner)) => Some(owner),
            _ => None,
        });
        owner.is_some_and(|owner| crowded.contains(&owner))
    });
    Withdrawal { patches, waiting: BTreeMap::new() }
}

/// Addresses of an owner that one node carries.
struct Crowd {
    owner: OwnerIndex,
    node: NodeIndex,
    addresses: Vec<IpAddr>,
}

/// Where a plan leaves several addresses of an owner on one node, all but one leave it at once, also when no other node
/// can take them: then one works, instead of none. It is not a move, and so nothing delays it; a policy places what left in
/// a later round. Their owner keeps them all.
pub(super) fn parted(draft: &Draft<'_>) -> Vec<Patch> {
    let survey = &draft.round.survey;
    let snapshot = &survey.snapshot;
    let mut parted = Vec::new();
    for Crowd { owner, node, mut addresses } in crowds(draft) {
        addresses
            .retain(|&address| draft.end.carriers_of(address).contains(&node) && draft.end.is_held_by(address, owner));
        let at_rest = |address: &IpAddr| phase(draft, *address, node) == Some(Phase::Settled);
        let acts = snapshot.is_live(node) && !network::network_places(snapshot, node);
        if addresses.len() < 2 || !acts || !addresses.iter().all(at_rest) {
            continue;
        }
        let stays = |address: IpAddr| {
            survey.constraints.foreign.contains(&(address, node))
                || survey.constraints.immovable.contains(&(owner, address))
        };
        let is_incomplete = |address: IpAddr| survey.constraints.incomplete.contains(&(address, node));
        addresses.sort_by_key(|&address| {
            (!stays(address), is_incomplete(address), !is_at_home(draft, owner, address, node), address)
        });
        let keeper = addresses.first().map(ToString::to_string).unwrap_or_default();
        let name = snapshot.node_name(node);
        let leave = addresses.into_iter().skip(1).filter(|&address| !stays(address));
        parted.extend(leave.map(|address| Patch {
            operation: Operation::Unassign { address, node },
            reason: Reason::NodeIneligible,
            text: format!("{name} carries {keeper} of the same namespace, and two on one node void each other"),
            by_host: true,
        }));
    }
    parted
}

/// All crowds that were there before.
fn crowds(draft: &Draft<'_>) -> Vec<Crowd> {
    let base = &draft.round.base;
    let mut places: Vec<(OwnerIndex, NodeIndex, IpAddr)> = Vec::new();
    let mut held = base.held().peekable();
    for (address, nodes) in base.carried() {
        while held.next_if(|(other, _)| *other < address).is_some() {}
        let Some((_, holders)) = held.next_if(|(other, _)| *other == address) else { continue };
        for holding in holders {
            if let Holder::Owner(owner) = holding.holder {
                places.extend(nodes.iter().map(|&node| (owner, node, address)));
            }
        }
    }
    places.sort_unstable();
    let crowded = places.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).filter(|of_one| of_one.len() > 1);
    let crowd = |of_one: &[(OwnerIndex, NodeIndex, IpAddr)]| {
        let &(owner, node, _) = of_one.first()?;
        Some(Crowd { owner, node, addresses: of_one.iter().map(|(_, _, address)| *address).collect() })
    };
    crowded.filter_map(crowd).collect()
}

fn phase(draft: &Draft<'_>, address: IpAddr, node: NodeIndex) -> Option<Phase> {
    let assignments = &draft.round.survey.snapshot.assignments;
    let at = assignments.binary_search_by(|on| (on.address, on.node).cmp(&(address, node))).ok()?;
    assignments.get(at).map(|on| on.phase)
}

/// Whether a node is in the home zone of an address.
fn is_at_home(draft: &Draft<'_>, owner: OwnerIndex, address: IpAddr, node: NodeIndex) -> bool {
    let snapshot = &draft.round.survey.snapshot;
    let held = snapshot.owner(owner).and_then(|owner| owner.allocations.iter().find(|held| held.address == address));
    let zone = held.and_then(|held| snapshot.zone(held.zone?));
    zone.is_some_and(|zone| zone.nodes.binary_search(&node).is_ok())
}
