//! From the contract's plan to core's: counted, cut to size, and nothing else. What the plan says is untrusted
//! before and after; indices out of bounds pass through for `verify` to find.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sluice_core::name::{NodeIndex, OwnerIndex, ZoneIndex};
use sluice_core::plan::{Hold, HoldCode, Holder, Operation, Patch, Plan, Reason};
use sluice_core::snapshot::Snapshot;

use crate::bindings::wit;
use crate::error::{CallError, Refusal, SettingsProblem};
use crate::limits::Limits;
use sluice_core::text::printable;

/// The answer of `make-plan` in core's terms.
pub(crate) fn plan(
    answer: Result<wit::Plan, wit::PlanError>,
    snapshot: &Snapshot,
    limits: &Limits,
) -> Result<Plan, CallError> {
    let plan = answer.map_err(|error| CallError::Refused(refusal(error, limits)))?;
    if plan.generation != snapshot.generation {
        return Err(CallError::StaleGeneration { expected: snapshot.generation, got: plan.generation });
    }
    let (patches, holds) = (limits.patches_for(snapshot), limits.holds_for(snapshot));
    if plan.patches.len() > patches {
        return Err(CallError::TooManyPatches { count: plan.patches.len(), limit: patches });
    }
    if plan.holds.len() > holds {
        return Err(CallError::TooManyHolds { count: plan.holds.len(), limit: holds });
    }
    let holders = Holders::of_released(&plan.patches, snapshot);
    let patch = |patch: wit::Patch| Patch {
        operation: holders.operation(patch.operation),
        reason: reason(patch.reason),
        text: printable(&patch.text, limits.text_bytes),
        by_host: false,
    };
    Ok(Plan {
        generation: plan.generation,
        patches: plan.patches.into_iter().map(patch).collect(),
        holds: plan.holds.iter().map(|held| hold(held, limits)).collect(),
    })
}

/// Bytes of an answer on the host's side, texts included.
pub(crate) fn size(answer: &Result<wit::Plan, wit::PlanError>) -> usize {
    let Ok(plan) = answer else { return 0 };
    let texts = plan.patches.iter().map(|patch| patch.text.len()).chain(plan.holds.iter().map(|hold| hold.text.len()));
    let attributes = plan.attributes.iter().map(|attribute| attribute.name.len() + attribute.value.len());
    size_of_val(plan.patches.as_slice())
        + size_of_val(plan.holds.as_slice())
        + size_of_val(plan.attributes.as_slice())
        + texts.chain(attributes).sum::<usize>()
}

/// Problems as the guest reports them, cut to size.
pub(crate) fn problems(problems: Vec<wit::SettingsError>, limits: &Limits) -> Vec<SettingsProblem> {
    let problem = |problem: wit::SettingsError| SettingsProblem {
        path: printable(&problem.path, limits.text_bytes),
        text: printable(&problem.text, limits.text_bytes),
    };
    problems.into_iter().take(limits.problems).map(problem).collect()
}

fn refusal(error: wit::PlanError, limits: &Limits) -> Refusal {
    match error {
        wit::PlanError::Settings(errors) => Refusal::Settings(problems(errors, limits)),
        wit::PlanError::Unsupported(text) => Refusal::Unsupported(printable(&text, limits.text_bytes)),
        wit::PlanError::Internal(text) => Refusal::Internal(printable(&text, limits.text_bytes)),
    }
}

/// Who holds the addresses that a plan releases. The contract names only the address.
struct Holders(Vec<(IpAddr, Option<OwnerIndex>)>);

impl Holders {
    /// Looks at the owners only: a policy does not see who is leaving, so it cannot mean them. An address that two
    /// owners hold is released from the first; the host settles such a mess before a policy plans.
    fn of_released(patches: &[wit::Patch], snapshot: &Snapshot) -> Self {
        let released = patches.iter().filter_map(|patch| match patch.operation {
            wit::Operation::Release(released) => Some((address(released), None)),
            _ => None,
        });
        let mut holders: Vec<(IpAddr, Option<OwnerIndex>)> = released.collect();
        holders.sort_unstable();
        holders.dedup();
        if !holders.is_empty() {
            for (position, owner) in snapshot.owners.iter().enumerate() {
                for held in &owner.allocations {
                    let found = holders.binary_search_by(|(address, _)| address.cmp(&held.address));
                    if let Some((_, holder)) = found.ok().and_then(|at| holders.get_mut(at)) {
                        holder.get_or_insert(OwnerIndex::at(position));
                    }
                }
            }
        }
        Self(holders)
    }

    fn holder(&self, address: IpAddr) -> Option<Holder> {
        let found = self.0.binary_search_by(|(released, _)| released.cmp(&address)).ok()?;
        self.0.get(found)?.1.map(Holder::Owner)
    }

    fn operation(&self, operation: wit::Operation) -> Operation {
        match operation {
            wit::Operation::Allocate(wit::Allocate { owner, zone, address: it }) => {
                Operation::Allocate { owner: OwnerIndex(owner), zone: zone.map(ZoneIndex), address: address(it) }
            }
            wit::Operation::Release(it) => {
                Operation::Release { holder: self.holder(address(it)), address: address(it) }
            }
            wit::Operation::Assign(wit::Placement { address: it, node }) => {
                Operation::Assign { address: address(it), node: NodeIndex(node) }
            }
            wit::Operation::Unassign(wit::Placement { address: it, node }) => {
                Operation::Unassign { address: address(it), node: NodeIndex(node) }
            }
            wit::Operation::Move(wit::Relocation { address: it, source, target }) => {
                Operation::Move { address: address(it), source: NodeIndex(source), target: NodeIndex(target) }
            }
        }
    }
}

fn address(address: wit::IpAddress) -> IpAddr {
    match address {
        wit::IpAddress::Ipv4(bits) => IpAddr::V4(Ipv4Addr::from_bits(bits)),
        wit::IpAddress::Ipv6((high, low)) => IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low))),
    }
}

fn reason(reason: wit::Reason) -> Reason {
    match reason {
        wit::Reason::Wanted => Reason::Wanted,
        wit::Reason::Requested => Reason::Requested,
        wit::Reason::Surplus => Reason::Surplus,
        wit::Reason::NodeDown => Reason::NodeDown,
        wit::Reason::NodeDraining => Reason::NodeDraining,
        wit::Reason::NodeIneligible => Reason::NodeIneligible,
        wit::Reason::OverCapacity => Reason::OverCapacity,
        wit::Reason::MakeRoom => Reason::MakeRoom,
        wit::Reason::Rebalance => Reason::Rebalance,
        wit::Reason::Other => Reason::Other,
    }
}

fn hold(hold: &wit::Hold, limits: &Limits) -> Hold {
    Hold {
        owner: OwnerIndex(hold.owner),
        zone: hold.zone.map(ZoneIndex),
        code: match hold.code {
            wit::HoldCode::Exhausted => HoldCode::Exhausted,
            wit::HoldCode::NoNode => HoldCode::NoNode,
            wit::HoldCode::NoCapacity => HoldCode::NoCapacity,
            wit::HoldCode::RequestInvalid => HoldCode::RequestInvalid,
            wit::HoldCode::RequestTaken => HoldCode::RequestTaken,
            wit::HoldCode::Share => HoldCode::Share,
            wit::HoldCode::Budget => HoldCode::Budget,
            wit::HoldCode::InFlight => HoldCode::InFlight,
            wit::HoldCode::Other => HoldCode::Other,
        },
        text: printable(&hold.text, limits.text_bytes),
    }
}
