//! `EgressIP` objects: what a namespace holds.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::labels::Labels;
use crate::network::guards::Guards;
use crate::network::holdings::{HoldingWrites, is_blocked, is_recorded_wrongly};
use crate::network::inputs::Inputs;
use crate::network::intent::Intent;
use crate::network::writes::Writes;
use crate::network::{Change, Home, Target};
use crate::observed::HoldingFacts;
use crate::plan::{Holder, Operation, Reason};

/// What becomes of one object now.
enum Step {
    /// It is as it shall be, or there is none and shall be none.
    Nothing,
    /// It has to change, and cannot yet.
    Wait,
    /// It gets new addresses beside those that it is to lose later.
    Grow(Change),
    /// It becomes what it shall be.
    Finish(Change),
}

/// Writes the objects of namespaces.
pub(super) fn write<'a>(
    inputs: &Inputs<'a>,
    intents: &[Intent<'a>],
    guards: &Guards<'_>,
    labels: &Labels<'_>,
    writes: &mut Writes<'_>,
) -> HoldingWrites<'a> {
    let mut holding_writes = HoldingWrites::default();
    let urgent = duplicates(inputs);
    for intent in intents {
        let facts = inputs.observed.holdings.get(intent.owner).map(AsRef::as_ref);
        let step = match step(inputs, intent, facts, labels, &urgent) {
            Step::Grow(_) | Step::Finish(_) if is_blocked(inputs, guards, intent) => Step::Wait,
            step => step,
        };
        let target = Target::Holding(intent.owner.clone());
        let (change, is_last) = match step {
            Step::Nothing => continue,
            Step::Wait => {
                writes.postpone(target);
                continue;
            }
            Step::Grow(change) => (change, false),
            Step::Finish(change) => (change, true),
        };
        let mut after: Vec<usize> = intent.pool.and_then(|pool| guards.of_pool(pool)).into_iter().collect();
        after.extend(holding_writes.clear_result(inputs, intent, writes));
        let write = writes.push(target, change, after);
        holding_writes.of_owner.extend(write.filter(|_| is_last).map(|write| (intent.owner, write)));
    }
    holding_writes
}

fn step(
    inputs: &Inputs<'_>,
    intent: &Intent<'_>,
    facts: Option<&HoldingFacts>,
    labels: &Labels<'_>,
    urgent: &BTreeSet<IpAddr>,
) -> Step {
    let Some(facts) = facts else {
        let Some(home) = intent.home(inputs.snapshot).filter(|_| !intent.shall.is_empty()) else {
            return Step::Nothing;
        };
        let change = Change::NewHolding { egress_ips: intent.shall.clone(), home };
        return if labels.known(intent.pool).is_complete { Step::Finish(change) } else { Step::Wait };
    };
    if intent.leaving && intent.shall.is_empty() {
        return leave(intent, facts);
    }
    let list = |egress_ips: Vec<IpAddr>| facts.rewritten(egress_ips, intent.home(inputs.snapshot));
    if !intent.changes() {
        let is_taken_over = facts.pool.is_none() && !intent.leaving && !intent.shall.is_empty();
        let is_wrong = is_taken_over || is_recorded_wrongly(inputs, intent, facts);
        return if is_wrong { Step::Finish(list(intent.held.clone())) } else { Step::Nothing };
    }
    let new: Vec<IpAddr> = intent.shall.iter().filter(|address| !intent.held.contains(address)).copied().collect();
    let gone: Vec<IpAddr> = intent.held.iter().filter(|address| !intent.shall.contains(address)).copied().collect();
    let known = labels.known(intent.pool);
    if !new.is_empty() && !known.is_complete {
        return Step::Wait;
    }
    // One that belongs to somebody else as well works for neither, and goes at once.
    let can_wait = gone.iter().any(|address| !urgent.contains(address) && is_carried(inputs, *address));
    if can_wait && !new.is_empty() && known.usable > intent.held.len() {
        let stays = |address: &&IpAddr| !urgent.contains(*address);
        let all = intent.held.iter().chain(&new).filter(stays).copied().collect();
        let replaced = gone.iter().filter(stays).copied().collect();
        let home = intent.home(inputs.snapshot).map(|home| Home { replaced, ..home });
        return Step::Grow(facts.rewritten(all, home));
    }
    let carried = intent.held.iter().filter(|address| is_carried(inputs, **address)).count();
    let is_awaited = |address: &IpAddr| intent.held.contains(address) && !is_carried(inputs, *address);
    if can_wait && new.is_empty() && known.usable > carried && intent.shall.iter().any(is_awaited) {
        return Step::Wait;
    }
    Step::Finish(list(intent.shall.clone()))
}

/// An object of the name that we give goes with its owner, whoever made it; one of another name was taken over and stays,
/// without our record.
fn leave(intent: &Intent<'_>, facts: &HoldingFacts) -> Step {
    if facts.deletable {
        Step::Finish(Change::NoHolding { object: facts.object.clone() })
    } else if facts.pool.is_some() {
        Step::Finish(facts.rewritten(intent.held.clone(), None))
    } else {
        Step::Nothing
    }
}

/// Whether a node that works carries an address.
fn is_carried(inputs: &Inputs<'_>, address: IpAddr) -> bool {
    inputs.snapshot.carriers(address).any(|node| inputs.snapshot.is_live(node))
}

/// Addresses that owners lose since somebody else holds them, too.
fn duplicates(inputs: &Inputs<'_>) -> BTreeSet<IpAddr> {
    let lost = inputs.plan.patches().iter().filter_map(|patch| match patch.operation {
        Operation::Release { holder: Some(Holder::Owner(_)), address } if patch.reason == Reason::Duplicate => {
            Some(address)
        }
        _ => None,
    });
    lost.collect()
}
