//! A round as flat rows of text, names instead of indices: what `plan -o json` prints, field for field.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use crate::name::PoolIndex;
use crate::plan::{Holder, Operation, Patch};
use crate::snapshot::Snapshot;
use crate::survey::NamedHold;
use crate::survey::ranges::spec_pool_of;
use crate::verify::{EndState, Finding, Holding, VerifiedPlan};

/// One patch of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatchRow {
    /// `allocate`, `release`, `assign`, `unassign` or `move`.
    pub op: String,
    /// The pool; none: of an address that no pool has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Home zone of the address, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Who gets it, has it or loses it; none: nobody holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The address.
    pub address: String,
    /// The node it leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The node it goes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why, in kebab case.
    pub reason: String,
    /// Why, in words, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// One owner that is not served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HoldRow {
    /// Its pool.
    pub pool: String,
    /// The zone; none: in all of the pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Who waits.
    pub owner: String,
    /// Why, in kebab case.
    pub code: String,
    /// Why, in words, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// One finding of the checker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FindingRow {
    /// Which rule, in kebab case.
    pub invariant: String,
    /// It was so before the plan.
    pub inherited: bool,
    /// What exactly.
    pub text: String,
}

/// The patches of a plan by pool, owner and address; patches of no pool come first. `snapshot` is the surveyed one
/// that the plan was verified against.
pub fn patch_rows(snapshot: &Snapshot, plan: &VerifiedPlan) -> Vec<PatchRow> {
    let concerned = Concerned::of(snapshot, plan);
    let row =
        |patch: &Patch| (patch.operation.address(), rank(&patch.operation), patch_row(snapshot, &concerned, patch));
    let mut keyed: Vec<_> = plan.patches().iter().map(row).collect();
    keyed.sort_by(|(address, rank, row), (other_address, other_rank, other)| {
        (&row.pool, &row.owner, address, rank, &row.from, &row.to).cmp(&(
            &other.pool,
            &other.owner,
            other_address,
            other_rank,
            &other.from,
            &other.to,
        ))
    });
    keyed.into_iter().map(|(_, _, row)| row).collect()
}

/// Holds as rows, in their order.
pub fn hold_rows(holds: &[NamedHold]) -> Vec<HoldRow> {
    let row = |hold: &NamedHold| HoldRow {
        pool: hold.pool.to_string(),
        zone: hold.zone.clone(),
        owner: hold.owner.to_string(),
        code: hold.code.to_string(),
        text: spoken(&hold.text),
    };
    holds.iter().map(row).collect()
}

/// Findings as rows, in their order.
pub fn finding_rows(findings: &[Finding]) -> Vec<FindingRow> {
    let row = |finding: &Finding| FindingRow {
        invariant: finding.invariant.to_string(),
        inherited: finding.inherited,
        text: finding.text.clone(),
    };
    findings.iter().map(row).collect()
}

fn patch_row(snapshot: &Snapshot, concerned: &Concerned<'_>, patch: &Patch) -> PatchRow {
    let address = patch.operation.address();
    let holding = match patch.operation {
        Operation::Allocate { owner, zone, .. } => Some(Holding { holder: Holder::Owner(owner), zone }),
        Operation::Release { holder, .. } => holder.map(|holder| before(snapshot, holder, address)),
        Operation::Assign { .. } | Operation::Unassign { .. } | Operation::Move { .. } => concerned.holding(address),
    };
    let pool = match holding.map(|holding| holding.holder) {
        Some(Holder::Owner(owner)) => snapshot.owner(owner).and_then(|owner| pool_name(snapshot, owner.pool)),
        Some(Holder::Leaving(index)) => {
            snapshot.leaving.get(index as usize).and_then(|leaving| leaving.pool.as_ref()).map(ToString::to_string)
        }
        None => spec_pool_of(snapshot, address).and_then(|pool| pool_name(snapshot, pool)),
    };
    let (from, to) = match patch.operation {
        Operation::Allocate { .. } | Operation::Release { .. } => (None, None),
        Operation::Assign { node, .. } => (None, Some(node)),
        Operation::Unassign { node, .. } => (Some(node), None),
        Operation::Move { source, target, .. } => (Some(source), Some(target)),
    };
    PatchRow {
        op: patch.operation.name().to_owned(),
        pool,
        zone: holding.and_then(|holding| snapshot.zone(holding.zone?)).map(|zone| zone.name.to_string()),
        owner: holding.map(|holding| holder_name(snapshot, holding.holder)),
        address: address.to_string(),
        from: from.map(|node| snapshot.node_name(node)),
        to: to.map(|node| snapshot.node_name(node)),
        reason: patch.reason.to_string(),
        text: spoken(&patch.text),
    }
}

/// What comes first of several patches for one address.
fn rank(operation: &Operation) -> u8 {
    match operation {
        Operation::Release { .. } => 0,
        Operation::Unassign { .. } => 1,
        Operation::Allocate { .. } => 2,
        Operation::Move { .. } => 3,
        Operation::Assign { .. } => 4,
    }
}

/// Whom a change of nodes concerns: who holds the address after the plan, else who held it before.
struct Concerned<'a> {
    snapshot: &'a Snapshot,
    end: &'a EndState,
    losers: BTreeMap<IpAddr, Holder>,
}

impl<'a> Concerned<'a> {
    fn of(snapshot: &'a Snapshot, plan: &'a VerifiedPlan) -> Self {
        let losers = plan.patches().iter().filter_map(|patch| match patch.operation {
            Operation::Release { holder, address } => holder.map(|holder| (address, holder)),
            _ => None,
        });
        Self { snapshot, end: plan.end(), losers: losers.collect() }
    }

    fn holding(&self, address: IpAddr) -> Option<Holding> {
        let loser = || self.losers.get(&address).map(|&holder| before(self.snapshot, holder, address));
        self.end.holders_of(address).first().copied().or_else(loser)
    }
}

/// A holder with the home zone the address had before the plan.
fn before(snapshot: &Snapshot, holder: Holder, address: IpAddr) -> Holding {
    let zone = match holder {
        Holder::Owner(owner) => snapshot
            .owner(owner)
            .and_then(|owner| owner.allocations.iter().find(|allocation| allocation.address == address)?.zone),
        Holder::Leaving(_) => None,
    };
    Holding { holder, zone }
}

fn pool_name(snapshot: &Snapshot, pool: PoolIndex) -> Option<String> {
    snapshot.pool(pool).map(|pool| pool.name.to_string())
}

fn holder_name(snapshot: &Snapshot, holder: Holder) -> String {
    match holder {
        Holder::Owner(owner) => snapshot.owner_name(owner),
        Holder::Leaving(index) => {
            snapshot.leaving.get(index as usize).map_or_else(|| format!("#{index}"), |leaving| leaving.name.to_string())
        }
    }
}

fn spoken(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
