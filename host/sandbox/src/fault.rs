//! Faults of the API server, on demand.

use std::time::Duration;

use sluice_core::backend::WriteFailure;
use sluice_core::network::Target;

/// What goes wrong with a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Somebody else was faster.
    Conflict,
    /// The connection breaks before the server has the request.
    LostRequest,
    /// The connection breaks after the server has done what it was asked for.
    LostAnswer,
    /// The server asks for patience.
    Throttled(Duration),
    /// An admission hook or RBAC says no.
    Denied,
    /// The server refuses the content.
    Invalid,
}

impl Fault {
    /// What the client sees.
    pub(crate) fn failure(&self) -> WriteFailure {
        match self {
            Self::Conflict => WriteFailure::Conflict,
            Self::LostRequest => WriteFailure::Transient("connection reset before the request was sent".to_owned()),
            Self::LostAnswer => WriteFailure::Transient("connection reset before the answer came".to_owned()),
            Self::Throttled(after) => WriteFailure::Throttled { retry_after: Some(*after) },
            Self::Denied => WriteFailure::Denied("admission denied the request".to_owned()),
            Self::Invalid => WriteFailure::Invalid("field is immutable".to_owned()),
        }
    }
}

/// Faults that wait for their writes.
#[derive(Default)]
pub(crate) struct Faults(Vec<Trap>);

struct Trap {
    fault: Fault,
    matches: Box<dyn Fn(&Target) -> bool + Send>,
    left: u32,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault, times: u32, matches: Box<dyn Fn(&Target) -> bool + Send>) {
        self.0.push(Trap { fault, matches, left: times });
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that meets this write, if any: the oldest that matches.
    pub(crate) fn meet(&mut self, target: &Target) -> Option<Fault> {
        let trap = self.0.iter_mut().find(|trap| trap.left > 0 && (trap.matches)(target))?;
        trap.left -= 1;
        let fault = trap.fault.clone();
        self.0.retain(|trap| trap.left > 0);
        Some(fault)
    }
}
