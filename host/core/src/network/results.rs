//! Annotations of namespaces: what each is told of what it has, or why it has nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::holdings::HoldingWrites;
use super::inputs::Inputs;
use super::intent::Intent;
use super::interfaces::Interfaces;
use super::writes::Writes;
use super::{Change, Explained, Target};
use crate::name::OwnerName;
use crate::plan::HoldCode;
use crate::survey::{NamedHold, Wish};
use crate::text::shortened;

/// The longest text of a hold in an annotation, in bytes.
const LONGEST_HOLD: usize = 512;

/// What becomes of the annotation `egressips` of a namespace.
enum Statement {
    /// It stays as it is.
    Stands,
    /// It would not be true yet: a later round makes it.
    TooEarly,
    /// It gets this value (none: it goes), after the writes that make it true.
    Becomes(Option<String>, Vec<usize>),
}

/// By address, the writes that take it off its carriers; one for each carrier.
pub(super) type Removals = BTreeMap<IpAddr, Vec<usize>>;

/// Tells each namespace what it has, or why not.
pub(super) fn write(
    inputs: &Inputs<'_>,
    intents: &[Intent<'_>],
    explained: Explained<'_>,
    interfaces: &Interfaces<'_>,
    removals: &Removals,
    holding_writes: &HoldingWrites<'_>,
    writes: &mut Writes<'_>,
) {
    let texts = hold_texts(explained.holds);
    let by_owner: BTreeMap<&OwnerName, &Intent<'_>> = intents.iter().map(|intent| (intent.owner, intent)).collect();
    let results = Results { inputs, interfaces, removals, holding_writes, refused: refused(inputs) };
    for (name, facts) in &inputs.observed.namespaces {
        let target = Target::Namespace(name.clone());
        let intent = by_owner.get(name).copied();
        let statement = intent.map(|intent| results.statement(intent, facts.egress_ips.as_deref()));
        let (result, mut after) = match statement.unwrap_or(Statement::Stands) {
            Statement::Becomes(result, after) => (Some(result), after),
            Statement::Stands => (None, Vec::new()),
            Statement::TooEarly => {
                writes.postpone(target.clone());
                (None, Vec::new())
            }
        };
        let text = texts.get(name).cloned();
        let said = (text.is_some() || !explained.unknown.contains(name)).then_some(text);
        let mut hold = said.filter(|said| *said != facts.hold && !facts.terminating);
        if result.is_some() && facts.pool.is_none() && facts.hold.is_some() {
            hold = Some(None);
        }
        // A mere explanation delays nothing.
        let is_told = hold.is_some() && !inputs.avoid.contains(&target);
        if result.is_some() || is_told {
            after.extend(holding_writes.cleared.get(name));
            writes.push(target, Change::Namespace { result, hold }, after);
        }
    }
}

/// What statements follow from.
struct Results<'a> {
    inputs: &'a Inputs<'a>,
    interfaces: &'a Interfaces<'a>,
    removals: &'a Removals,
    holding_writes: &'a HoldingWrites<'a>,
    /// Owners whose request the policy does not meet.
    refused: BTreeSet<&'a OwnerName>,
}

impl Results<'_> {
    /// What becomes of an annotation that says `now`.
    fn statement(&self, intent: &Intent<'_>, now: Option<&str>) -> Statement {
        let write = self.holding_writes.of_owner.get(intent.owner).copied();
        let waits = intent.changes() && write.is_none();
        if waits || (intent.leaving && (self.still_carried(intent) || self.may_still_have(now))) {
            return Statement::TooEarly;
        }
        let mut after: Vec<usize> = write.into_iter().collect();
        if intent.leaving {
            after.extend(intent.held.iter().filter_map(|address| self.removals.get(address)).flatten());
            return if now.is_some() { Statement::Becomes(None, after) } else { Statement::Stands };
        }
        let met = match intent.wish {
            Wish::None => true,
            // A request that is not met stays as its author wrote it (R1).
            Wish::Malformed(_) => false,
            Wish::Request(addresses) => {
                addresses.iter().all(|address| intent.shall.contains(address)) && !self.refused.contains(intent.owner)
            }
        };
        // One that states what is held stands, in whatever order; one that was removed above has to come back.
        let blank = now.is_none_or(|text| text.trim().is_empty());
        let stands = !blank && *intent.wish == Wish::None && !intent.changes();
        if intent.terminating || !met || intent.shall.is_empty() || stands {
            return Statement::Stands;
        }
        let result = intent.result();
        if now == Some(result.as_str()) { Statement::Stands } else { Statement::Becomes(Some(result), after) }
    }

    /// Whether a node keeps an address of a namespace that leaves, since it cannot be written now.
    fn still_carried(&self, intent: &Intent<'_>) -> bool {
        intent.held.iter().any(|&address| {
            let end = self.inputs.carriers_after(address);
            let leaves = self.inputs.snapshot.carriers(address).any(|node| !end.contains(&node));
            leaves && self.inputs.owner_after(address).is_none() && !self.removals.contains_key(&address)
        })
    }

    /// Whether a cloud's interface may still have an address that an annotation states, for nobody.
    fn may_still_have(&self, stated: Option<&str>) -> bool {
        let parts = stated.into_iter().flat_map(|text| text.split(','));
        let mut addresses = parts.filter_map(|part| part.trim().parse::<IpAddr>().ok());
        addresses.any(|address| self.interfaces.may_still_have(address))
    }
}

/// Owners whose request the policy does not meet.
fn refused<'a>(inputs: &Inputs<'a>) -> BTreeSet<&'a OwnerName> {
    let about_request = |code| matches!(code, HoldCode::RequestInvalid | HoldCode::RequestTaken);
    let refused = inputs.plan.holds().iter().filter(|hold| about_request(hold.code));
    refused.filter_map(|hold| Some(&inputs.snapshot.owner(hold.owner)?.name)).collect()
}

/// One text for each namespace that is held.
fn hold_texts(holds: &[NamedHold]) -> BTreeMap<OwnerName, String> {
    let mut texts: BTreeMap<OwnerName, String> = BTreeMap::new();
    for hold in holds {
        let zone = hold
            .zone
            .as_ref()
            .filter(|zone| !zone.is_empty())
            .map(|zone| format!(" (zone {zone})"))
            .unwrap_or_default();
        let why = if hold.text.is_empty() { String::new() } else { format!(": {}", hold.text) };
        let text = format!("{}{why}{zone}", hold.code);
        let all = texts.entry(hold.owner.clone()).or_default();
        if !all.is_empty() {
            all.push_str("; ");
        }
        all.push_str(&text);
    }
    texts.into_iter().map(|(owner, text)| (owner, shortened(text, LONGEST_HOLD))).collect()
}

#[cfg(test)]
mod tests;
