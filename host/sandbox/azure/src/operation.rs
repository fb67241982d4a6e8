//! Long-running operations: their life in virtual time, and how they are asked for.

use serde_json::{Value, json};
use sluice_sandbox::Dice;

use crate::answer::{Answer, error};
use crate::fault::Ending;
use crate::fill::mark;
use crate::request::Request;
use crate::resource::key;
use crate::settings::Span;
use crate::world::World;

/// What an operation does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Deed {
    Put,
    Delete,
}

/// An operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) deed: Deed,
    /// The key of the NIC.
    pub(crate) nic: String,
    /// The NIC before the change.
    pub(crate) before: Option<Value>,
    pub(crate) ends: u64,
    /// How it ends, if not well.
    pub(crate) ending: Option<Ending>,
    /// The final status, once it has one.
    pub(crate) outcome: Option<Value>,
    /// The query of its URL.
    pub(crate) query: String,
    pub(crate) location: String,
    pub(crate) subscription: String,
    /// Whether it can never be asked for.
    pub(crate) gone: bool,
}

impl Operation {
    fn url(&self, base: &str, id: &str, which: &str) -> String {
        let Self { subscription, location, query, .. } = self;
        format!(
            "{base}/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/{which}/{id}?{query}"
        )
    }
}

impl World {
    /// How long the next update of a NIC takes: the same for the same seed, NIC and count of its updates, whatever else
    /// happens.
    pub(crate) fn span(&mut self, nic: &str) -> u64 {
        // Quantiles of 39 recorded updates, in milliseconds.
        const QUANTILES: [(u64, u64); 4] = [(0, 30_000), (500, 71_000), (900, 83_000), (1000, 198_000)];
        if let Span::Fixed(span) = self.settings.duration {
            return span;
        }
        let count = self.updates.entry(nic.to_owned()).or_default();
        *count += 1;
        let sum = nic.bytes().fold(self.settings.seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let drawn = Dice::new(sum.wrapping_add(*count)).below(1000);
        let segment = QUANTILES.iter().zip(QUANTILES.iter().skip(1)).find(|(_, (end, _))| drawn < *end);
        segment.map_or(0, |((start, low), (end, high))| low + (high - low) * (drawn - start) / (end - start))
    }

    /// The query of a new operation's URL.
    pub(crate) fn operation_query(&mut self, version: &str) -> String {
        let mut query = format!("api-version={version}");
        if self.settings.signed_operations {
            let stamp = self.dice.below(u64::MAX);
            let seal = self.guid().replace('-', "");
            let proof = self.guid().replace('-', "");
            query = format!("{query}&t={stamp}&c=MIIHpTCC{seal}&s={proof}_-{seal}&h={proof}");
        }
        query
    }

    /// The headers that name an operation: `Azure-AsyncOperation`, and `Location` if asked for.
    pub(crate) fn name_operation(&self, answer: Answer, id: &str, location: bool) -> Answer {
        let Some(operation) = self.operations.get(id) else { return answer };
        let answer = answer.with("azure-asyncoperation", &operation.url(&self.base, id, "operations"));
        let result = location.then(|| operation.url(&self.base, id, "operationResults"));
        answer.with_some("location", result)
    }

    /// Ends what has to end by now, in the order of the ends.
    pub(crate) fn settle(&mut self, now: u64) {
        let mut due: Vec<(u64, String)> = Vec::new();
        for id in self.running.values() {
            let ends = self.operations.get(id).map_or(0, |operation| operation.ends);
            if ends <= now {
                due.push((ends, id.clone()));
            }
        }
        due.sort();
        for (_, id) in due {
            self.finish(&id);
        }
    }

    /// Ends an operation.
    fn finish(&mut self, id: &str) {
        let Some(operation) = self.operations.get(id).cloned() else { return };
        self.running.remove(&operation.nic);
        let outcome = match &operation.ending {
            None => json!({"status": "Succeeded"}),
            Some(Ending::Failed { code, message, .. }) => {
                json!({"status": "Failed", "error": error(code, message, &[])})
            }
            Some(Ending::Canceled { superseded, .. }) => canceled(id, superseded.then_some("another")),
        };
        self.resolve(&operation);
        if let Some(operation) = self.operations.get_mut(id) {
            operation.outcome = Some(outcome);
        }
    }

    /// Leaves the NIC as the end of its operation leaves it.
    fn resolve(&mut self, operation: &Operation) {
        let free_at = operation.ends + self.settings.release_lag_ms;
        let etag = self.etag();
        let (applied, state) = match operation.ending {
            None => (true, "Succeeded"),
            Some(Ending::Failed { applied, .. }) => (applied, "Failed"),
            Some(Ending::Canceled { applied, .. }) => (applied, if applied { "Failed" } else { "Succeeded" }),
        };
        if !self.resources.contains_key(&operation.nic) {
            // Somebody removed it meanwhile, and it does not come back.
        } else if operation.deed == Deed::Delete && operation.ending.is_none() {
            self.resources.remove(&operation.nic);
        } else if !applied {
            match operation.before.clone() {
                Some(before) => self.resources.insert(operation.nic.clone(), before),
                None => self.resources.remove(&operation.nic),
            };
        }
        if let Some(nic) = self.resources.get_mut(&operation.nic) {
            mark(nic, state, &etag);
        }
        self.index(&operation.nic, free_at);
    }

    /// Ends the operation that runs on a NIC now, and badly.
    pub(crate) fn interrupt(&mut self, now: u64, nic: &str, ending: &Ending) {
        self.settle(now);
        let Some(id) = self.running.get(&key(nic)).cloned() else { return };
        if let Some(operation) = self.operations.get_mut(&id) {
            operation.ends = now;
            operation.ending = Some(ending.clone());
        }
        self.finish(&id);
    }

    /// Cancels the operation that runs on a NIC, for another takes its place.
    pub(crate) fn supersede(&mut self, now: u64, nic: &str, by: &str) {
        let Some(id) = self.running.remove(nic) else { return };
        let outcome = canceled(&id, Some(by));
        if let Some(operation) = self.operations.get_mut(&id) {
            operation.ends = now;
            operation.outcome = Some(outcome);
        }
    }

    /// `GET …/operations/{id}` and `GET …/operationResults/{id}`.
    pub(crate) fn ask_operation(&self, now: u64, id: &str, request: &Request, result: bool) -> Answer {
        let life = self.settings.operation_life_ms;
        let known = self.operations.get(id).filter(|operation| {
            let old = operation.outcome.is_some() && now > operation.ends.saturating_add(life);
            operation.query == request.query && !operation.gone && !old
        });
        let Some(operation) = known else {
            let text = format!("Operation {id} not found.");
            return Answer::network(404, "OperationNotFound", &text, &[]);
        };
        match (&operation.outcome, result) {
            (None, false) => {
                // The versions of 2014 and 2015 never said when to ask again, those from 2016-12-01 on always.
                let tells = request.parameter("api-version").is_some_and(|version| version.as_str() >= "2016");
                let retry_after = self.settings.poll_retry_after.filter(|_| tells);
                Answer::new(200, json!({"status": "InProgress"})).with_some("retry-after", retry_after)
            }
            (Some(outcome), false) => Answer::new(200, outcome.clone()),
            (None, true) => {
                let answer = Answer::empty(202).with_some("retry-after", self.settings.poll_retry_after);
                self.name_operation(answer, id, true)
            }
            (Some(_), true) => {
                let answer = match (operation.deed, self.resources.get(&operation.nic)) {
                    (Deed::Put, Some(nic)) => Answer::new(200, nic.clone()),
                    _ => Answer::empty(204),
                };
                self.name_operation(answer, id, true)
            }
        }
    }
}

/// The status of an operation that was canceled.
fn canceled(id: &str, by: Option<&str>) -> Value {
    let details = by.map(|by| {
        let text = format!(
            "Operation PutNicOperation ({id}) was canceled and superseded by operation PutNicOperation ({by})."
        );
        ("CanceledAndSupersededDueToAnotherOperation", text)
    });
    let details: Vec<(&str, &str)> = details.iter().map(|(code, text)| (*code, text.as_str())).collect();
    json!({"status": "Canceled", "error": error("Canceled", "Operation was canceled.", &details)})
}
