//! Write a Sluice policy in Rust.
//!
//! A policy decides which address an owner gets and which node carries it. It is a pure function from
//! a [`Snapshot`] to a [`Plan`]: implement [`Policy`] for a type, and [`export!`] it. Natively, the crate
//! is an ordinary library with ordinary tests; built for `wasm32-unknown-unknown` and wrapped
//! by `wit-component`, it is a component that imports nothing but a log.
//!
//! This policy is complete. It gives every owner the first free address of the first zone, and
//! leaves the choice of nodes to the network:
//!
//! ```
//! use sluice_policy_sdk::{
//!     Allocate, Description, Hold, HoldCode, Index, Operation, Patch, Plan, PlanError, Policy, Reason,
//!     Snapshot, log,
//! };
//! use std::collections::BTreeSet;
//!
//! struct FirstFree;
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {}
//!
//! impl Policy for FirstFree {
//!     type Settings = Settings;
//!
//!     fn describe() -> Description {
//!         Description {
//!             name: "first-free".to_owned(),
//!             version: "0.1.0".to_owned(),
//!             summary: "The first free address of the first zone.".to_owned(),
//!             settings_schema: r#"{"type":"object","additionalProperties":false}"#.to_owned(),
//!             attributes: Vec::new(),
//!         }
//!     }
//!
//!     fn plan(snapshot: &Snapshot, _: &Settings) -> Result<Plan, PlanError> {
//!         let mut taken: BTreeSet<_> = snapshot.occupied.iter().copied().collect();
//!         taken.extend(snapshot.assignments.iter().map(|a| a.address));
//!         taken.extend(snapshot.owners.iter().flat_map(|o| &o.allocations).map(|a| a.address));
//!
//!         let mut plan = Plan::answering(snapshot);
//!         for (owner, wish) in (0..).zip(&snapshot.owners) {
//!             if !wish.allocations.is_empty() {
//!                 continue;
//!             }
//!             let home = (0..).zip(&snapshot.zones).find(|(_, zone)| zone.pool == wish.pool);
//!             let free = home.and_then(|(zone, home)| {
//!                 let reserved = snapshot.pools.get(wish.pool as usize).map(|pool| &pool.reserved)?;
//!                 let mut candidates = home.ranges.iter().flat_map(|range| range.addresses());
//!                 let fits = |a: &_| !taken.contains(a) && !reserved.iter().any(|r| r.contains(*a));
//!                 candidates.find(fits).map(|address| (zone, address))
//!             });
//!             match free {
//!                 Some((zone, address)) => {
//!                     taken.insert(address);
//!                     let allocate = Allocate { owner, zone: Some(zone), address };
//!                     plan.patches.push(Patch {
//!                         operation: Operation::Allocate(allocate),
//!                         reason: Reason::Wanted,
//!                         text: String::new(),
//!                     });
//!                 }
//!                 None => plan.holds.push(Hold {
//!                     owner,
//!                     zone: None,
//!                     code: HoldCode::Exhausted,
//!                     text: String::new(),
//!                 }),
//!             }
//!         }
//!         log::info(&format!("{} to allocate", plan.patches.len()));
//!         Ok(plan)
//!     }
//! }
//!
//! // Makes the component's exports; for other targets than wasm, nothing.
//! sluice_policy_sdk::export!(FirstFree);
//!
//! # let snapshot = sluice_policy_sdk::scenario::snapshot(serde_json::json!({
//! #     "pools": [{"name": "blue"}],
//! #     "zones": [{"pool": 0, "name": "a", "ranges": ["10.0.0.0/30"]}],
//! #     "owners": [{"name": "team", "pool": 0}],
//! #     "occupied": ["10.0.0.0"],
//! # })).unwrap();
//! let plan = sluice_policy_sdk::make_plan::<FirstFree>(&snapshot, "{}").unwrap();
//! assert_eq!(
//!     sluice_policy_sdk::transcript::of(&snapshot, &plan),
//!     "allocate 10.0.0.1 to team, zone a (wanted)\n"
//! );
//! ```
//!
//! What each field means, and what a plan has to respect, is documented on the types; they are
//! generated from `wit/policy.wit`. All of them have `serde`'s traits: the JSON is the same that the host
//! writes and reads.

#[doc(hidden)]
pub mod bindings;

mod address;
pub mod log;
mod policy;
#[cfg(not(target_family = "wasm"))]
pub mod scenario;
pub mod settings;
pub mod transcript;

pub use address::{Family, ParseAddressError};
pub use bindings::exports::sluice::policy::allocator::{
    Allocate, Allocation, Assignment, Attribute, Capacity, Cidr, Description, Health, Hold, HoldCode, Index, IpAddress,
    Node, Operation, Owner, Patch, Phase, Placement, PlacementMode, Plan, PlanError, Pool, Reason, Relocation,
    SettingsError, Snapshot, Zone,
};
pub use policy::{Policy, make_plan, validate_settings};

#[doc(hidden)]
pub use policy::log_panics;
