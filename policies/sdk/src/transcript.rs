//! Plans as text, for tests and people: names instead of indices, one line for each patch and hold.

use std::fmt::{self, Write};

use crate::{Hold, HoldCode, Index, Operation, Patch, Plan, Reason, Snapshot};

/// The plan, line by line, in its own order. Empty if it changes and holds nothing.
pub fn of(snapshot: &Snapshot, plan: &Plan) -> String {
    let names = Names(snapshot);
    let mut text = String::new();
    for patch in &plan.patches {
        names.line(&mut text, &names.patch(patch), &patch.text);
    }
    for hold in &plan.holds {
        names.line(&mut text, &names.hold(hold), &hold.text);
    }
    text
}

struct Names<'a>(&'a Snapshot);

impl Names<'_> {
    #[expect(clippy::unused_self, reason = "reads as the other methods do")]
    fn line(&self, out: &mut String, line: &str, comment: &str) {
        out.push_str(line);
        if !comment.is_empty() {
            // Writing into a string cannot fail.
            let _ = write!(out, "  # {comment}");
        }
        out.push('\n');
    }

    fn patch(&self, patch: &Patch) -> String {
        let reason = patch.reason;
        match &patch.operation {
            Operation::Allocate(to) => {
                let (owner, zone) = (self.owner(to.owner), self.zone(to.zone));
                format!("allocate {} to {owner}{zone} ({reason})", to.address)
            }
            Operation::Release(address) => format!("release {address} ({reason})"),
            Operation::Assign(at) => {
                format!("assign {} to {} ({reason})", at.address, self.node(at.node))
            }
            Operation::Unassign(at) => {
                format!("unassign {} from {} ({reason})", at.address, self.node(at.node))
            }
            Operation::Move(to) => {
                let (source, target) = (self.node(to.source), self.node(to.target));
                format!("move {} from {source} to {target} ({reason})", to.address)
            }
        }
    }

    fn hold(&self, hold: &Hold) -> String {
        format!("hold {}{}: {}", self.owner(hold.owner), self.zone(hold.zone), hold.code)
    }

    fn owner(&self, index: Index) -> &str {
        self.0.owners.get(index as usize).map_or("?", |owner| &owner.name)
    }

    fn node(&self, index: Index) -> &str {
        self.0.nodes.get(index as usize).map_or("?", |node| &node.name)
    }

    fn zone(&self, index: Option<Index>) -> String {
        let Some(index) = index else {
            return String::new();
        };
        let name = self.0.zones.get(index as usize).map_or("?", |zone| &zone.name);
        format!(", zone {name}")
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wanted => "wanted",
            Self::Requested => "requested",
            Self::Surplus => "surplus",
            Self::NodeDown => "node-down",
            Self::NodeDraining => "node-draining",
            Self::NodeIneligible => "node-ineligible",
            Self::OverCapacity => "over-capacity",
            Self::MakeRoom => "make-room",
            Self::Rebalance => "rebalance",
            Self::Other => "other",
        })
    }
}

impl fmt::Display for HoldCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exhausted => "exhausted",
            Self::NoNode => "no-node",
            Self::NoCapacity => "no-capacity",
            Self::RequestInvalid => "request-invalid",
            Self::RequestTaken => "request-taken",
            Self::Share => "share",
            Self::Budget => "budget",
            Self::InFlight => "in-flight",
            Self::Other => "other",
        })
    }
}
