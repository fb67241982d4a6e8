//! NetNamespaces and annotations: what a namespace holds and what it is told.

use std::collections::{BTreeMap, BTreeSet};

use super::Draft;
use super::intent::Intent;
use crate::name::OwnerName;
use crate::network::{Change, Target};
use crate::observed::HoldingFacts;
use crate::plan::HoldCode;
use crate::survey::{NamedHold, Wish, carriers, is_live};

/// The longest text of a hold in an annotation, in bytes.
pub(super) const LONGEST_HOLD: usize = 512;

impl Draft<'_> {
    /// Whether the annotation states what will no longer be true: it has to go before the NetNamespace changes.
    pub(super) fn has_to_be_cleared(&self, intent: &Intent<'_>) -> bool {
        let states = || {
            let now = self.observed.namespaces.get(&intent.owner).and_then(|facts| facts.egress_ips.as_deref());
            now.is_some_and(|text| !text.trim().is_empty())
        };
        intent.changes() && !intent.leaving && *intent.wish == Wish::None && !intent.held.is_empty() && states()
    }

    /// Writes NetNamespaces: from old to new addresses in one patch (R2).
    pub(super) fn hold(&mut self, intents: &[Intent<'_>]) {
        for intent in intents {
            let Some(facts) = self.observed.holdings.get(&intent.owner) else {
                continue;
            };
            if !intent.changes() && !marked_wrongly(intent, facts) && !self.is_recorded_wrongly(intent, facts) {
                continue;
            }
            let target = Target::Holding(intent.owner.clone());
            if self.is_deaf(intent) {
                self.unfinished.insert(target);
                continue;
            }
            let Some(after_any) = self.carried_by(intent) else {
                continue;
            };
            let mut after: Vec<usize> =
                intent.pool.iter().filter_map(|pool| self.finalizer_of.get(pool).copied()).collect();
            if self.has_to_be_cleared(intent) {
                let change = Change::Namespace { result: Some(None), hold: None };
                let clear = self.push(Target::Namespace(intent.owner.clone()), change, Vec::new(), Vec::new());
                after.extend(clear);
                self.cleared.extend(clear.map(|write| (intent.owner.clone(), write)));
            }
            let change = Change::Holding { egress_ips: intent.shall.clone(), home: self.home(intent) };
            if let Some(write) = self.push(target, change, after, after_any) {
                self.net_of.insert(intent.owner.clone(), write);
            }
        }
    }

    /// Whether the home of an address is known and not recorded: who edits records may not break them for good.
    fn is_recorded_wrongly(&self, intent: &Intent<'_>, facts: &HoldingFacts) -> bool {
        let wrong = |(address, zone)| facts.zones.get(&address).map(String::as_str) != Some(zone);
        facts.pool.is_some() && !intent.leaving && !intent.terminating && self.zones(intent).any(wrong)
    }

    /// The writes of which one must put an address of the namespace onto a node first; none if that cannot be.
    fn carried_by(&self, intent: &Intent<'_>) -> Option<Vec<usize>> {
        if intent.shall.iter().all(|address| intent.held.contains(address)) {
            return Some(Vec::new());
        }
        let puts: BTreeSet<usize> =
            intent.shall.iter().filter_map(|address| self.put_on.get(address).copied()).collect();
        if !puts.is_empty() {
            return Some(puts.into_iter().collect());
        }
        let mut carriers = intent.shall.iter().flat_map(|&address| self.listed_on(address));
        if carriers.any(|node| is_live(self.snapshot, node)) {
            return Some(Vec::new());
        }
        // To let go first is the only way for its address to be carried next.
        if intent.shall.iter().any(|address| self.next_round.contains(address)) {
            return Some(Vec::new());
        }
        let pool = self.snapshot.pools.iter().find(|pool| Some(&pool.name) == intent.pool.as_ref());
        let placed = pool.filter(|pool| pool.self_placing)?;
        let ready =
            self.observed.pools.get(&placed.name).and_then(|facts| facts.spec.entries.first()).is_some_and(|entry| {
                let range = entry.cidr.to_string();
                self.observed.carriers.values().any(|facts| facts.ranges.contains(&range))
            });
        if ready { Some(Vec::new()) } else { self.ranged.get(&placed.name).cloned() }
    }

    /// Tells each namespace what it has, or why not.
    pub(super) fn state_results(&mut self, intents: &[Intent<'_>], holds: Option<&[NamedHold]>) {
        let texts = holds.map(hold_texts);
        let by_owner: BTreeMap<&OwnerName, &Intent<'_>> =
            intents.iter().map(|intent| (&intent.owner, intent)).collect();
        let refused = self.refused();
        let observed = self.observed;
        for (name, facts) in &observed.namespaces {
            let intent = by_owner.get(name).copied();
            let result = intent.and_then(|intent| self.stated(intent, facts.egress_ips.as_deref(), &refused));
            let said = texts.as_ref().map(|texts| texts.get(name).cloned());
            let mut hold = said.filter(|said| *said != facts.hold && !facts.terminating);
            if result.is_some() && facts.pool.is_none() && facts.hold.is_some() {
                hold = Some(None);
            }
            let target = Target::Namespace(name.clone());
            let Some((result, mut after)) = result.map(|(result, after)| (Some(result), after)).or_else(|| {
                // A mere explanation delays nothing.
                let told = hold.is_some() && !self.avoid.contains(&target);
                told.then(|| (None, Vec::new()))
            }) else {
                continue;
            };
            after.extend(self.cleared.get(name));
            self.push(target, Change::Namespace { result, hold }, after, Vec::new());
        }
    }

    /// The new value of the annotation `egressips`, with the writes it states, or none if it stays.
    fn stated(
        &mut self,
        intent: &Intent<'_>,
        now: Option<&str>,
        refused: &BTreeSet<OwnerName>,
    ) -> Option<(Option<String>, Vec<usize>)> {
        let waits = intent.changes() && !self.net_of.contains_key(&intent.owner);
        let net_exists = self.observed.holdings.contains_key(&intent.owner);
        if (waits && net_exists) || (intent.leaving && self.still_carried(intent)) {
            self.unfinished.insert(Target::Namespace(intent.owner.clone()));
            return None;
        }
        let mut after: Vec<usize> = self.net_of.get(&intent.owner).copied().into_iter().collect();
        if intent.leaving && self.lingers(now) {
            self.unfinished.insert(Target::Namespace(intent.owner.clone()));
            return None;
        }
        if intent.leaving {
            after.extend(intent.held.iter().filter_map(|address| self.taken_off.get(address)).flatten());
            return now.is_some().then_some((None, after));
        }
        let met = match intent.wish {
            Wish::None => true,
            // A request that is not met stays as its author wrote it (R1).
            Wish::Malformed(_) => false,
            Wish::Request(addresses) => {
                addresses.iter().all(|address| intent.shall.contains(address)) && !refused.contains(&intent.owner)
            }
        };
        if intent.terminating || !met {
            return None;
        }
        // One that states what is held stands, in whatever order; one that was removed above has to come back.
        let blank = now.is_none_or(|text| text.trim().is_empty());
        if intent.shall.is_empty() || (!blank && *intent.wish == Wish::None && !intent.changes()) {
            return None;
        }
        let result = intent.result();
        (now != Some(result.as_str())).then_some((Some(result), after))
    }

    /// Whether a node keeps an address of a namespace that leaves, since it cannot be written now.
    fn still_carried(&self, intent: &Intent<'_>) -> bool {
        intent.held.iter().any(|&address| {
            let end = self.plan.end().carriers_of(address);
            let leaves = carriers(self.snapshot, address).any(|node| !end.contains(&node));
            leaves && self.owner_after(address).is_none() && !self.taken_off.contains_key(&address)
        })
    }

    /// Owners whose request the policy does not meet.
    fn refused(&self) -> BTreeSet<OwnerName> {
        let about_request = |code| matches!(code, HoldCode::RequestInvalid | HoldCode::RequestTaken);
        let refused = self.plan.holds().iter().filter(|hold| about_request(hold.code));
        refused.filter_map(|hold| Some(self.snapshot.owner(hold.owner)?.name.clone())).collect()
    }
}

/// Whether the NetNamespace names a pool it does not belong to: the namespace left it, or went to another one that
/// gives the same addresses. One that names none is left as it was taken over.
fn marked_wrongly(intent: &Intent<'_>, facts: &HoldingFacts) -> bool {
    let named = intent.pool.as_ref().filter(|_| !intent.zones.is_empty());
    facts.pool.is_some() && (intent.leaving || (named.is_some() && facts.pool.as_ref() != named))
}

/// One text for each namespace that is held.
pub(super) fn hold_texts(holds: &[NamedHold]) -> BTreeMap<OwnerName, String> {
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
    for text in texts.values_mut() {
        text.truncate(text.floor_char_boundary(LONGEST_HOLD));
    }
    texts
}
