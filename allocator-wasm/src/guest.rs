//! The policy as the host sees it.

use sluice_policy_sdk::{Attribute, Description, Plan, PlanError, Policy, Snapshot, log};

use crate::plan::decide;
use crate::settings::{SCHEMA, Settings};

/// The policy `zone-spread`.
#[derive(Clone, Copy, Debug)]
pub struct ZoneSpread;

impl Policy for ZoneSpread {
    type Settings = Settings;

    fn describe() -> Description {
        Description {
            name: "zone-spread".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Gives every owner an address in each zone, on the least loaded nodes.".to_owned(),
            settings_schema: SCHEMA.to_owned(),
            attributes: vec![Attribute::labels_unused()],
        }
    }

    fn plan(snapshot: &Snapshot, settings: &Settings) -> Result<Plan, PlanError> {
        let decision = decide(snapshot, settings)?;
        let (plan, stats) = (&decision.plan, &decision.stats);
        log::info(&format!(
            "generation {}: {} owners hold {} addresses; {} patches, {} holds, {} made room for",
            plan.generation,
            snapshot.owners.len(),
            stats.held,
            plan.patches.len(),
            plan.holds.len(),
            stats.rescued,
        ));
        Ok(decision.plan)
    }
}

sluice_policy_sdk::export!(ZoneSpread);
