//! OpenShift SDN: what an owner holds is its NetNamespace, what a node carries is its HostSubnet.
//!
//! Order of an addition: cloud, HostSubnet, NetNamespace, annotation. Of a removal: NetNamespace, HostSubnet, cloud,
//! annotation. Of a move: off the old node, onto the new one. A cloud takes minutes, so what waits for it is not in the
//! schedule: it follows in a later one, from what is seen then. Before an allocation changes, the annotation that states the
//! old one is removed, so that a crash cannot turn an old result into a request.
//!
//! What is written is the difference between what is seen and what shall be, not what the plan changed: a write that
//! was lost, or undone by somebody else, is made again.

mod carry;
mod holdings;
mod ranges;
mod waiting;

use super::guards::{self, Guards};
use super::inputs::Inputs;
use super::intent::intents;
use super::interfaces::{Before, Interfaces};
use super::writes::Writes;
use super::{Explained, Write, results};

/// Makes the writes. Each step gets what the steps before it returned: no write can be made before those it waits for.
pub(super) fn schedule(inputs: &Inputs<'_>, explained: Explained<'_>) -> Vec<Write> {
    let mut writes = Writes::new(inputs.avoid);
    let guards = Guards::add(inputs, &mut writes);
    let intents = intents(inputs);
    let interfaces = Interfaces::of(inputs);
    let waiting = waiting::find(inputs, &intents, &guards, &interfaces);
    let unsettled = waiting.unsettled(inputs.moving(), interfaces.incomplete());
    let holders = holdings::holders(&intents, &unsettled);
    let ranges = ranges::Ranges::of(inputs);
    let changes = carry::changes(inputs, &interfaces, &ranges, &unsettled, &holders);
    let carrier_writes = carry::before_holdings(inputs, &changes, &ranges, &guards, &mut writes);
    let holding_writes =
        holdings::write(inputs, &intents, &guards, &interfaces, &waiting, &carrier_writes, &mut writes);
    let released = holdings::releases(&holders, &holding_writes);
    let carrier_writes = carry::after_holdings(inputs, &changes, &released, carrier_writes, &mut writes);
    let before = Before { guards: &guards, unlisted: &carrier_writes.off, released: &released };
    interfaces.write(&unsettled, &before, &mut writes);
    results::write(inputs, &intents, explained, &interfaces, &carrier_writes.off, &holding_writes, &mut writes);
    guards::remove(inputs, &intents, &interfaces, writes)
}

#[cfg(test)]
mod tests;
