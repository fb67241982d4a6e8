//! NetNamespaces and annotations: what a namespace holds and what it is told.

use std::collections::{BTreeMap, BTreeSet};

use super::intent::Intent;
use super::{Change, Draft, Target};
use crate::name::{OwnerIndex, OwnerName};
use crate::plan::HoldCode;
use crate::survey::{NamedHold, Wish};

/// The longest text of a hold in an annotation, in bytes.
const LONGEST_HOLD: usize = 512;

impl Draft<'_> {
    /// Removes annotations that state what will no longer be true.
    pub(super) fn clear_results(&mut self, intents: &[Intent]) {
        for intent in intents.iter().filter(|intent| intent.changes() && !intent.leaving && intent.wish == Wish::None) {
            let stated = self.observed.namespaces.get(&intent.owner).is_some_and(|facts| facts.egress_ips.is_some());
            if stated && !intent.held.is_empty() {
                let change = Change::Namespace { result: Some(None), hold: None };
                if let Some(write) = self.push(Target::Namespace(intent.owner.clone()), change, Vec::new(), Vec::new())
                {
                    self.cleared.insert(intent.owner.clone(), write);
                }
            }
        }
    }

    /// Writes NetNamespaces: from old to new addresses in one patch (R2).
    pub(super) fn hold(&mut self, intents: &[Intent]) {
        for intent in intents {
            let Some(facts) = self.observed.net_namespaces.get(&intent.owner) else {
                continue;
            };
            if !intent.changes() && !(intent.leaving && facts.pool.is_some()) {
                continue;
            }
            let mut after: Vec<usize> =
                intent.pool.iter().filter_map(|pool| self.finalizer_of.get(pool).copied()).collect();
            if self.unfinished.contains(&Target::Namespace(intent.owner.clone())) {
                continue;
            }
            after.extend(self.cleared.get(&intent.owner));
            let Some(after_any) = self.carried_by(intent) else {
                continue;
            };
            let change = Change::NetNamespace { egress_ips: intent.shall.clone(), home: intent.home.clone() };
            if let Some(write) = self.push(Target::NetNamespace(intent.owner.clone()), change, after, after_any) {
                self.net_of.insert(intent.owner.clone(), write);
            }
        }
    }

    /// The writes of which one must put an address of the namespace onto a node first; none if that cannot be.
    fn carried_by(&self, intent: &Intent) -> Option<Vec<usize>> {
        if intent.shall.is_empty() {
            return Some(Vec::new());
        }
        let carried =
            intent.shall.iter().any(|&address| crate::survey::carriers(self.snapshot, address).next().is_some());
        let puts: BTreeSet<usize> =
            intent.shall.iter().filter_map(|address| self.put_on.get(address).copied()).collect();
        if carried {
            return Some(Vec::new());
        }
        if !puts.is_empty() {
            return Some(puts.into_iter().collect());
        }
        let pool = self.snapshot.pools.iter().find(|pool| Some(&pool.name) == intent.pool.as_ref());
        let placed = pool.filter(|pool| pool.self_placing)?;
        let ready =
            self.observed.pools.get(&placed.name).and_then(|facts| facts.spec.entries.first()).is_some_and(|entry| {
                let range = entry.cidr.to_string();
                self.observed.host_subnets.values().any(|facts| facts.egress_cidrs.contains(&range))
            });
        if ready { Some(Vec::new()) } else { self.ranged.get(&placed.name).cloned() }
    }

    /// Tells each namespace what it has, or why not.
    pub(super) fn state_results(&mut self, intents: &[Intent], holds: Option<&[NamedHold]>) {
        let texts = holds.map(hold_texts);
        let by_owner: BTreeMap<&OwnerName, &Intent> = intents.iter().map(|intent| (&intent.owner, intent)).collect();
        let observed = self.observed;
        for (name, facts) in &observed.namespaces {
            let intent = by_owner.get(name).copied();
            let result = intent.and_then(|intent| self.stated(intent, facts.egress_ips.as_deref()));
            let said = texts.as_ref().map(|texts| texts.get(name).cloned());
            let mut hold = said.filter(|said| *said != facts.hold && !facts.terminating);
            let result = match result {
                Some((result, after)) => Some((result, after)),
                None if hold.is_none() => continue,
                None => None,
            };
            let (result, mut after) = result.map_or((None, Vec::new()), |(result, after)| (Some(result), after));
            if intent.is_some_and(|intent| intent.leaving && facts.pool.is_none()) && facts.hold.is_some() {
                hold = Some(None);
            }
            after.extend(self.cleared.get(name));
            self.push(Target::Namespace(name.clone()), Change::Namespace { result, hold }, after, Vec::new());
        }
    }

    /// The new value of the annotation `egressips`, with the writes it states, or none if it stays.
    fn stated(&mut self, intent: &Intent, now: Option<&str>) -> Option<(Option<String>, Vec<usize>)> {
        let waits = intent.changes() && !self.net_of.contains_key(&intent.owner);
        let net_exists = self.observed.net_namespaces.contains_key(&intent.owner);
        if waits && net_exists {
            self.unfinished.insert(Target::Namespace(intent.owner.clone()));
            return None;
        }
        let mut after: Vec<usize> = self.net_of.get(&intent.owner).copied().into_iter().collect();
        if intent.leaving {
            after.extend(intent.held.iter().filter_map(|address| self.taken_off.get(address)).flatten());
            return now.is_some().then_some((None, after));
        }
        if intent.terminating || !self.honoured(intent) {
            return None;
        }
        let result = intent.result();
        // The annotation may have been removed above; then it has to come back.
        let stands = now == Some(result.as_str()) && !self.cleared.contains_key(&intent.owner);
        (!intent.shall.is_empty() && !stands).then_some((Some(result), after))
    }

    /// A request that is not met stays as its author wrote it (R1).
    fn honoured(&self, intent: &Intent) -> bool {
        match &intent.wish {
            Wish::None => true,
            Wish::Malformed(_) => false,
            Wish::Request(addresses) => {
                let owner = self.snapshot.owner_named(&intent.owner);
                addresses.iter().all(|address| intent.shall.contains(address)) && !self.refused(owner)
            }
        }
    }

    fn refused(&self, owner: Option<OwnerIndex>) -> bool {
        let about_request = |code| matches!(code, HoldCode::RequestInvalid | HoldCode::RequestTaken);
        self.plan.holds().iter().any(|hold| Some(hold.owner) == owner && about_request(hold.code))
    }
}

/// One text for each namespace that is held.
fn hold_texts(holds: &[NamedHold]) -> BTreeMap<OwnerName, String> {
    let mut texts: BTreeMap<OwnerName, String> = BTreeMap::new();
    for hold in holds {
        let zone = hold.zone.as_ref().map(|zone| format!(" (zone {zone})")).unwrap_or_default();
        let text = format!("{}: {}{zone}", hold.code, hold.text);
        let all = texts.entry(hold.owner.clone()).or_default();
        if !all.is_empty() {
            all.push_str("; ");
        }
        all.push_str(&text);
    }
    for text in texts.values_mut() {
        let end = (0..=LONGEST_HOLD.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
    }
    texts
}
