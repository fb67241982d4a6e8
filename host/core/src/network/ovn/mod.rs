//! OVN-Kubernetes: what an owner holds is its `EgressIP`, and which nodes carry it the network says in that object's status.
//!
//! The network alone chooses the nodes, among those with its label, and moves nothing that works. So the label goes to the
//! nodes that the plan uses and to some more that stand by, and objects are written when all of these have had it for a
//! moment: otherwise the first node that gets it takes everything, for good.
//!
//! Order of an addition: labels, `EgressIP`, annotation of the namespace. Of a removal: `EgressIP`, annotation. To replace an
//! address, the object first gets the new one beside the old, and loses the old one when the new one is carried: the
//! network removes before it adds.
//!
//! What is written is the difference between what is seen and what shall be, not what the plan changed.

mod holdings;
mod labels;

use std::collections::BTreeMap;

use super::guards::{self, Guards};
use super::inputs::Inputs;
use super::intent::intents;
use super::interfaces::Interfaces;
use super::writes::Writes;
use super::{Explained, Write, results};

/// Makes the writes. Each step gets what the steps before it returned.
pub(super) fn schedule(inputs: &Inputs<'_>, explained: Explained<'_>) -> Vec<Write> {
    let mut writes = Writes::new(inputs.avoid);
    let guards = Guards::add(inputs, &mut writes);
    let intents = intents(inputs);
    let labels = labels::write(inputs, &guards, &mut writes);
    let holding_writes = holdings::write(inputs, &intents, &guards, &labels, &mut writes);
    let interfaces = Interfaces::of(inputs);
    results::write(inputs, &intents, explained, &interfaces, &BTreeMap::new(), &holding_writes, &mut writes);
    guards::remove(inputs, &intents, &interfaces, writes)
}
