//! The API server's side of a write.

use sluice_core::backend::{WriteFailure, Written};
use sluice_core::network::Write;

use crate::fault::Fault;
use crate::world::{Landed, World};

impl World {
    /// Answers a write that arrives.
    pub(crate) fn serve(&mut self, write: &Write, resource_version: &str) -> Result<Written, WriteFailure> {
        match self.faults.meet(&write.target) {
            None => self.commit(write, resource_version),
            Some(Fault::LostAnswer) => {
                // The client never learns what came of it.
                let _ = self.commit(write, resource_version);
                Err(Fault::LostAnswer.failure())
            }
            Some(fault) => Err(fault.failure()),
        }
    }

    fn commit(&mut self, write: &Write, resource_version: &str) -> Result<Written, WriteFailure> {
        let now = self.version_of(&write.target).ok_or(WriteFailure::NotFound)?;
        if now != resource_version {
            return Err(WriteFailure::Conflict);
        }
        // As in the real server, a patch that changes nothing makes no new version.
        if self.objects.carry_out(write) {
            self.journal.push(Landed { at: self.now, write: write.clone() });
            self.network_changed();
        }
        let now = self.version_of(&write.target).unwrap_or(resource_version);
        Ok(Written { resource_version: now.to_owned() })
    }
}
