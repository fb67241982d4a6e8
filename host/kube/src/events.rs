//! Events: told once when something goes wrong, not every time it is looked at.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use sluice_core::plan::HoldCode;
use sluice_core::repair::Repair;
use sluice_core::status::PoolReport;
use sluice_core::survey::NamedHold;

use crate::failure;
use crate::kind::Kind;
use crate::names;
use crate::status::seconds;

/// Most events of one round. The rest is told in the next rounds.
const MOST_PER_ROUND: usize = 50;

/// Where events about cluster-scoped objects go, as with every other controller.
const DEFAULT_NAMESPACE: &str = "default";

/// A warning about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Kind of the object: a pool or a namespace.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

impl Event {
    /// Where the event goes. A namespace's own people see what stands in it.
    pub fn namespace(&self) -> &str {
        if self.kind == Kind::Namespace { &self.name } else { DEFAULT_NAMESPACE }
    }

    /// The core/v1 Event; `uid` is the object's.
    pub fn body(&self, uid: Option<&str>, now: Timestamp) -> Value {
        let time = seconds(now);
        let mut about = json!({
            "apiVersion": self.kind.api_resource().api_version,
            "kind": self.kind.to_string(),
            "name": self.name,
            "uid": uid,
        });
        // The API server wants both to agree, unless the object has none and the event is in `default`.
        if let (Kind::Namespace, Some(about)) = (self.kind, about.as_object_mut()) {
            about.insert("namespace".to_owned(), json!(self.name));
        }
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": format!("{}.", self.name), "namespace": self.namespace()},
            "involvedObject": about,
            "type": "Warning",
            "reason": self.reason,
            "message": self.message,
            "source": {"component": names::EVENT_COMPONENT},
            "reportingComponent": names::EVENT_COMPONENT,
            "reportingInstance": names::EVENT_COMPONENT,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
        })
    }
}

/// The same repair of the same namespace is told again after so long: sooner, somebody keeps undoing it, and one event
/// says so as well as many.
const REPEATED: SignedDuration = SignedDuration::from_mins(10);

/// An object whose events are refused is tried again after so long: a right may be missing, or the namespace is going.
const REFUSED: SignedDuration = SignedDuration::from_mins(1);

/// An object, and the reason where there may be several at a time.
type Topic = (Kind, String, &'static str);

/// Reasons that are a topic of their own: something else may be wrong with the same object.
const OWN_TOPICS: [&str; 2] = [names::EVENT_POOL_NOT_JOINED, names::POLICY_STAND_IN];

/// Most namespaces whose repairs are kept, and most repairs of one: more than any take-over makes while the API server
/// takes no event.
const MOST_KEPT: (usize, usize) = (20_000, 8);

/// What has been told already, and what is still to be told. Holds one entry for each object that something is wrong
/// with now, or was repaired lately.
#[derive(Debug, Default)]
pub struct EventBook {
    told: BTreeMap<Topic, (String, String)>,
    /// Repairs that are to be told, by namespace, in their order.
    repaired: BTreeMap<String, Vec<String>>,
    /// Repairs that were, and when.
    told_repairs: BTreeMap<String, (String, Timestamp)>,
    /// Objects whose events are refused, and until when they are left alone.
    refused: BTreeMap<(Kind, String), Timestamp>,
}

impl EventBook {
    /// Notes a repair that was made. It is a warning: who knows the namespace by the address it lost has to act.
    ///
    /// It is kept until it is told, in memory: a restart forgets it. Returns whether there was room for it.
    pub fn repaired(&mut self, repair: &Repair) -> bool {
        let (name, message) = (repair.owner.to_string(), failure::bounded(&repair.to_string()));
        if self.repaired.len() >= MOST_KEPT.0 && !self.repaired.contains_key(&name) {
            return false;
        }
        let of_one = self.repaired.entry(name).or_default();
        if of_one.contains(&message) {
            return true;
        }
        let has_room = of_one.len() < MOST_KEPT.1;
        if has_room {
            of_one.push(message);
        }
        has_room
    }

    /// What is to be told after a round: repairs, and everything that is wrong now and was not, or was wrong otherwise.
    ///
    /// It stays due until [`EventBook::told`].
    pub fn due(&mut self, reports: &[PoolReport], holds: &[NamedHold], now: Timestamp) -> Vec<Event> {
        let mut due = self.due_repairs(now);
        let wrong = wrong_now(reports, holds);
        self.told.retain(|object, _| wrong.contains_key(object));
        for (topic, said) in wrong {
            if due.len() >= MOST_PER_ROUND {
                break;
            }
            if self.told.get(&topic) != Some(&said) && !self.is_refused(topic.0, &topic.1) {
                due.push(Event { kind: topic.0, name: topic.1, reason: said.0, message: said.1 });
            }
        }
        due
    }

    /// Repairs that are to be told. They were made, whatever goes on.
    pub fn due_repairs(&mut self, now: Timestamp) -> Vec<Event> {
        self.refused.retain(|_, until| now < *until);
        self.told_repairs.retain(|_, (_, told)| now.duration_since(*told) < REPEATED);
        let told = &self.told_repairs;
        self.repaired.retain(|name, messages| {
            messages.retain(|message| told.get(name).is_none_or(|(last, _)| last != message));
            !messages.is_empty()
        });
        let all = self.repaired.iter().filter(|(name, _)| !self.is_refused(Kind::Namespace, name));
        let all = all.flat_map(|(name, messages)| messages.iter().map(move |message| (name, message)));
        let event = |(name, message): (&String, &String)| Event {
            kind: Kind::Namespace,
            name: name.clone(),
            reason: names::EVENT_ADDRESSES_CHANGED.to_owned(),
            message: message.clone(),
        };
        all.take(MOST_PER_ROUND).map(event).collect()
    }

    /// Notes that an event was created, or never can be.
    pub fn told(&mut self, event: Event, now: Timestamp) {
        self.refused.remove(&(event.kind, event.name.clone()));
        if event.reason == names::EVENT_ADDRESSES_CHANGED {
            if let Some(messages) = self.repaired.get_mut(&event.name) {
                messages.retain(|message| *message != event.message);
            }
            self.told_repairs.insert(event.name, (event.message, now));
        } else {
            let topic = OWN_TOPICS.into_iter().find(|own| *own == event.reason).unwrap_or_default();
            self.told.insert((event.kind, event.name, topic), (event.reason, event.message));
        }
    }

    /// Notes that events of an object are refused: it is left alone for a while, so that others get their turn.
    pub fn refused(&mut self, event: &Event, now: Timestamp) {
        self.refused.insert((event.kind, event.name.clone()), now + REFUSED);
    }

    /// When the first refused object is tried again.
    pub fn again(&self) -> Option<Timestamp> {
        self.refused.values().min().copied()
    }

    fn is_refused(&self, kind: Kind, name: &str) -> bool {
        !self.refused.is_empty() && self.refused.contains_key(&(kind, name.to_owned()))
    }
}

/// Reason and message for each object that something is wrong with.
fn wrong_now(reports: &[PoolReport], holds: &[NamedHold]) -> BTreeMap<Topic, (String, String)> {
    let mut wrong = BTreeMap::new();
    for report in reports.iter().filter(|report| !report.passed_over.is_empty()) {
        let reason = names::EVENT_POOL_NOT_JOINED;
        let said = (reason.to_owned(), failure::bounded(&report.passed_over.join("; ")));
        wrong.insert((Kind::Pool, report.pool.to_string(), reason), said);
    }
    for report in reports {
        if let Some(text) = &report.stand_in {
            let reason = names::POLICY_STAND_IN;
            wrong.insert((Kind::Pool, report.pool.to_string(), reason), (reason.to_owned(), failure::bounded(text)));
        }
    }
    for report in reports.iter().filter(|report| !report.errors.is_empty()) {
        let said = (names::EVENT_PROCESSING_ERROR.to_owned(), failure::bounded(&report.errors.join("; ")));
        wrong.insert((Kind::Pool, report.pool.to_string(), ""), said);
    }
    let mut owners: BTreeMap<String, (HoldCode, Vec<String>)> = BTreeMap::new();
    for hold in holds {
        let place = hold.zone.as_ref().map(|zone| format!("zone {zone}: ")).unwrap_or_default();
        let (_, texts) = owners.entry(hold.owner.to_string()).or_insert_with(|| (hold.code, Vec::new()));
        texts.push(format!("{place}{}", hold.text));
    }
    for (owner, (code, texts)) in owners {
        let said = (one_word(&code.to_string()), failure::bounded(&texts.join("; ")));
        wrong.insert((Kind::Namespace, owner, ""), said);
    }
    wrong
}

/// `no-node` as `NoNode`, the way reasons of events are written.
fn one_word(kebab: &str) -> String {
    let upper = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
    };
    kebab.split('-').map(upper).collect()
}

#[cfg(test)]
mod tests;
