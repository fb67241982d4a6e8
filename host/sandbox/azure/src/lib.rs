//! Azure Resource Manager for tests: an HTTP server on loopback that keeps NICs, virtual networks, load balancers and
//! virtual machines, and answers as Azure does: with long-running operations, etags, conflicts, throttling and the
//! exact error codes.
//!
//! [`Arm::start`] starts one. Everything that is decided is decided in a synchronous core that takes the time as a
//! parameter; time is virtual ([`Clock`]), so that an update of 71 s takes 71 ms at a scale of 1000. The README says
//! what is served, on what evidence, and what is not reproduced; `tests/fidelity.rs` replays recorded exchanges.

mod address;
mod answer;
mod arm;
mod clock;
mod config;
mod fault;
mod fill;
mod http;
mod operation;
mod others;
mod read;
mod request;
mod resource;
mod rights;
mod seed;
mod settings;
#[cfg(test)]
mod tests;
mod throttle;
mod token;
mod validate;
mod world;
mod write;

pub use arm::Arm;
pub use clock::Clock;
pub use fault::{Denial, Ending, Fault, Reason, Wrong};
pub use others::Nics;
pub use request::Logged;
pub use seed::{Place, Pool};
pub use settings::{Conflict, ExpiresIn, Members, Settings, Span};
pub use throttle::{Limits, Rate};
pub use token::Client;
