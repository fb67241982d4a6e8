//! Azure: the interfaces of the machines, in a simulated cloud.

mod ledger;
mod life;
mod moves;
mod stage;
