//! Writes to NICs.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::config::text;
use crate::fault::Wrong;
use crate::fill::{fill, mark};
use crate::operation::{Deed, Operation};
use crate::request::Request;
use crate::resource::Path;
use crate::settings::Conflict;
use crate::validate::check;
use crate::world::World;

impl World {
    /// `PUT`: replaces the whole NIC. The order is: content, linked permissions, `If-Match`, another operation, rules.
    pub(crate) fn put_nic(
        &mut self,
        now: u64,
        request: &Request,
        (path, version): (&Path, &str),
        principal: &str,
        wrong: Option<&Wrong>,
    ) -> Result<Answer, Answer> {
        let body = request.json()?;
        if !body.get("properties").is_some_and(Value::is_object) {
            return Err(Answer::network(400, "InvalidRequestFormat", "Cannot parse the request.", &[]));
        }
        self.permit_links(principal, path, &body)?;
        let key = path.key();
        let existing = self.resources.get(&key).cloned();
        precondition(request, path, existing.as_ref())?;
        self.busy(&key, existing.as_ref())?;
        let configs = check(self, now, path, &body, existing.as_ref())?;
        let mut nic = fill(self, now, (path, version), &body, existing.as_ref(), &configs)?;
        let attached = nic.pointer("/properties/virtualMachine").is_some();
        let ending = if let Some(Wrong::Operation(ending)) = wrong { Some(ending.clone()) } else { None };
        let slow = attached || ending.is_some();
        if slow {
            let etag = self.etag();
            mark(&mut nic, "Updating", &etag);
        }
        self.resources.insert(key.clone(), nic.clone());
        let span = if slow { self.span(&key) } else { 0 };
        // What was released is refused until the operation ends, and that is settled then.
        self.index(&key, if slow { u64::MAX } else { now + self.settings.release_lag_ms });
        let status = if existing.is_some() { 200 } else { 201 };
        let mut answer = Answer::new(status, nic);
        if slow || self.settings.unattached_operation {
            let operation = Operation { before: existing, ending, ..self.operation(now + span, &key, path, version) };
            let id = self.start(now, operation, wrong, !slow);
            answer = self.name_operation(answer, &id, false).with("azure-asyncnotification", "Enabled");
        }
        Ok(if slow { answer.with_some("retry-after", self.settings.put_retry_after) } else { answer })
    }

    /// `PATCH`: replaces the tags, and nothing else.
    pub(crate) fn patch_nic(&mut self, request: &Request, path: &Path) -> Result<Answer, Answer> {
        let body = request.json()?;
        let etag = self.etag();
        let missing = self.not_found(path);
        let nic = self.resources.get_mut(&path.key()).ok_or(missing)?;
        if let (Some(tags), Some(fields)) = (body.get("tags"), nic.as_object_mut()) {
            fields.insert("tags".to_owned(), tags.clone());
        }
        let state = text(nic, "/properties/provisioningState").unwrap_or_default();
        mark(nic, &state, &etag);
        Ok(Answer::new(200, nic.clone()))
    }

    /// `DELETE`: of an unattached NIC, in some seconds.
    pub(crate) fn delete_nic(
        &mut self,
        now: u64,
        (path, version): (&Path, &str),
        wrong: Option<&Wrong>,
    ) -> Result<Answer, Answer> {
        const SPAN: u64 = 5_000;
        let key = path.key();
        let Some(existing) = self.resources.get(&key).cloned() else { return Ok(Answer::empty(204)) };
        if let Some(machine) = text(&existing, "/properties/virtualMachine/id") {
            let text = format!(
                "Network Interface {path} is used by existing resource {machine}. In order to delete the network \
                 interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic."
            );
            return Err(Answer::network(400, "NicInUse", &text, &[]));
        }
        self.busy(&key, Some(&existing))?;
        let etag = self.etag();
        if let Some(nic) = self.resources.get_mut(&key) {
            mark(nic, "Deleting", &etag);
        }
        let ending = if let Some(Wrong::Operation(ending)) = wrong { Some(ending.clone()) } else { None };
        let operation = self.operation(now + SPAN, &key, path, version);
        let operation = Operation { deed: Deed::Delete, before: Some(existing), ending, ..operation };
        let id = self.start(now, operation, wrong, false);
        let answer = Answer::empty(202).with_some("retry-after", self.settings.put_retry_after);
        Ok(self.name_operation(answer, &id, true))
    }

    /// A `PUT` that ends well.
    fn operation(&mut self, ends: u64, key: &str, path: &Path, version: &str) -> Operation {
        let location = self.resources.get(key).and_then(|nic| text(nic, "/location")).unwrap_or_default();
        Operation {
            deed: Deed::Put,
            nic: key.to_owned(),
            before: None,
            ends,
            ending: None,
            outcome: None,
            query: self.operation_query(version),
            location,
            subscription: path.subscription.clone(),
            gone: false,
        }
    }

    /// Starts an operation, or notes one that is already done.
    fn start(&mut self, now: u64, operation: Operation, wrong: Option<&Wrong>, done: bool) -> String {
        let id = self.guid();
        let nic = operation.nic.clone();
        let outcome = done.then(|| json!({"status": "Succeeded"}));
        let gone = matches!(wrong, Some(Wrong::OperationGone));
        self.operations.insert(id.clone(), Operation { outcome, gone, ..operation });
        self.supersede(now, &nic, &id);
        if !done {
            self.running.insert(nic, id.clone());
        }
        id
    }

    /// Refuses a write to a NIC that is being written to, unless it may take the place of the earlier one.
    fn busy(&self, nic: &str, existing: Option<&Value>) -> Result<(), Answer> {
        let Some(id) = self.running.get(nic) else { return Ok(()) };
        let deed = self.operations.get(id).map(|operation| operation.deed);
        let name = if deed == Some(Deed::Delete) { "DeleteNicOperation" } else { "PutNicOperation" };
        let guid = existing.and_then(|nic| text(nic, "/properties/resourceGuid")).unwrap_or_default();
        match self.settings.conflict {
            Conflict::Supersede if deed == Some(Deed::Put) => Ok(()),
            Conflict::AnotherOperation => {
                let text = format!(
                    "Another operation on this or dependent resource is in progress. To retrieve status of the \
                     operation use uri: {id}."
                );
                Err(Answer::network(409, "AnotherOperationInProgress", &text, &[]))
            }
            Conflict::Retryable | Conflict::Supersede => {
                let text = format!(
                    "Operation {name} ({id}) is updating resource {guid}. The call can be retried in 12 seconds."
                );
                Err(Answer::retryable("RetryableErrorDueToAnotherOperation", &text, 12))
            }
        }
    }
}

/// `If-Match`: the etag of the stored NIC, or `*`.
fn precondition(request: &Request, path: &Path, existing: Option<&Value>) -> Result<(), Answer> {
    let Some(wanted) = &request.if_match else { return Ok(()) };
    let found = existing.and_then(|nic| text(nic, "/etag"));
    if found.as_ref().is_some_and(|found| wanted == "*" || wanted == found) {
        return Ok(());
    }
    let text = format!(
        "Etag provided in if-match header {wanted} does not match etag {} of resource {path} in NRP data store.",
        found.unwrap_or_default()
    );
    let details = [("PreconditionFailedEtagMismatch", text.as_str())];
    Err(Answer::network(412, "PreconditionFailed", "Precondition failed.", &details))
}
