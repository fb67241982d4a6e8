//! Azure: the interfaces of the machines, in a simulated cloud.

mod account;
mod buckets;
mod clouds;
mod cncc;
mod controller;
mod edges;
mod kills;
mod leaving;
pub(super) mod ledger;
mod life;
mod misfits;
mod moves;
mod refusals;
mod rights;
mod several;
mod strangers;
mod wire;
mod zones;

use crate::harness::azure as stage;
