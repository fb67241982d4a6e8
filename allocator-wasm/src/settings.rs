//! The settings of the policy.

use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer};

/// What operators can set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// How many addresses of each family an owner gets from ranges that belong to the whole pool, unless the
    /// owner says. One in each zone if not set.
    #[serde(default, deserialize_with = "present")]
    pub addresses_per_owner: Option<NonZeroU32>,
}

/// The same, as JSON Schema.
pub(crate) const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "zone-spread",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "addressesPerOwner": {
      "description": "Addresses of each family that an owner gets from ranges of the whole pool. One in each zone if not set.",
      "type": "integer",
      "minimum": 1,
      "maximum": 4294967295
    }
  }
}"#;

/// Takes no `null`, as the schema does not.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroU32>, D::Error> {
    NonZeroU32::deserialize(deserializer).map(Some)
}
