//! The default policy: every owner gets an address in each zone, and keeps it.
//!
//! A decision has two halves. *Allocation* settles which address an owner holds, by zones and ranges
//! alone. *Placement* settles which node carries it: what works stays, the rest goes to the least
//! loaded node, and where that fails, others make room if the budget allows.
//!
//! The crate is a plain library; built for wasm it is the component `zone-spread`. Its work is nearly linear
//! in the size of the snapshot. Only where no free node is left does a search look at other
//! addresses.

mod allocation;
mod book;
mod guest;
mod ids;
mod model;
mod placement;
mod plan;
mod settings;
mod slot;

pub use guest::ZoneSpread;
pub use plan::{Decision, Stats, decide};
pub use settings::Settings;
