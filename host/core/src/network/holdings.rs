//! What the networks have in common about what namespaces hold.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::guards::Guards;
use super::inputs::Inputs;
use super::intent::Intent;
use super::writes::Writes;
use super::{Change, Home, Target};
use crate::name::OwnerName;
use crate::observed::HoldingFacts;

/// The writes that change what namespaces hold.
#[derive(Default)]
pub(super) struct HoldingWrites<'a> {
    /// By namespace, the write to its holding.
    pub(super) of_owner: BTreeMap<&'a OwnerName, usize>,
    /// By namespace, the write that removes its annotation since what it holds changes.
    pub(super) cleared: BTreeMap<&'a OwnerName, usize>,
}

impl<'a> HoldingWrites<'a> {
    /// Removes the annotation that states what is about to change, and returns the write; none: there is nothing to remove.
    pub(super) fn clear_result(
        &mut self,
        inputs: &Inputs<'_>,
        intent: &Intent<'a>,
        writes: &mut Writes<'_>,
    ) -> Option<usize> {
        if !intent.outdates_result(inputs.observed) {
            return None;
        }
        let change = Change::Namespace { result: Some(None), hold: None };
        let clear = writes.push(Target::Namespace(intent.owner.clone()), change, Vec::new());
        self.cleared.extend(clear.map(|write| (intent.owner, write)));
        clear
    }
}

impl HoldingFacts {
    /// The change by which the object gets these addresses and this record.
    pub(super) fn rewritten(&self, egress_ips: Vec<IpAddr>, home: Option<Home>) -> Change {
        let recorded = self.zones.keys().chain(&self.replaced).copied().collect();
        Change::Holding { object: self.object.clone(), egress_ips, home, recorded }
    }
}

/// Whether the holding of a namespace cannot be written now, or not before something else that cannot be.
pub(super) fn is_blocked(inputs: &Inputs<'_>, guards: &Guards<'_>, intent: &Intent<'_>) -> bool {
    inputs.avoid.contains(&Target::Holding(intent.owner.clone()))
        || (intent.outdates_result(inputs.observed) && inputs.avoid.contains(&Target::Namespace(intent.owner.clone())))
        || (!intent.shall.is_empty() && intent.pool.is_some_and(|pool| guards.are_missing(pool)))
}

/// Whether our record of what a namespace holds has to change although its addresses do not.
pub(super) fn is_recorded_wrongly(inputs: &Inputs<'_>, intent: &Intent<'_>, facts: &HoldingFacts) -> bool {
    names_another_pool(intent, facts) || lacks_a_home(inputs, intent, facts)
}

/// Whether the home of an address is known and not recorded: who edits records may not break them for good.
fn lacks_a_home(inputs: &Inputs<'_>, intent: &Intent<'_>, facts: &HoldingFacts) -> bool {
    let wrong = |(address, zone)| facts.zones.get(&address).map(String::as_str) != Some(zone);
    facts.pool.is_some() && !intent.leaving && !intent.terminating && intent.home_zones(inputs.snapshot).any(wrong)
}

/// Whether the holding names a pool it does not belong to: the namespace left it, or went to another one that
/// gives the same addresses. One that names none is left as it was taken over.
fn names_another_pool(intent: &Intent<'_>, facts: &HoldingFacts) -> bool {
    let named = intent.pool.filter(|_| !intent.zones.is_empty());
    facts.pool.is_some() && (intent.leaving || (named.is_some() && facts.pool.as_ref() != named))
}
