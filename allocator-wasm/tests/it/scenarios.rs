//! The folder `scenarios`, played; and what the policy says about itself.

use sluice_policy_sdk::{Policy, SettingsError, validate_settings};
use sluice_zone_spread::{Settings, ZoneSpread};

#[test]
fn plans_are_as_expected() {
    sluice_policy_sdk::scenario::check::<ZoneSpread>(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"));
}

#[test]
fn settings_are_strict() {
    let set: Settings = validate_settings::<ZoneSpread>(r#"{"addressesPerOwner": 2}"#).unwrap();
    assert_eq!(set.addresses_per_owner.map(std::num::NonZero::get), Some(2));
    assert_eq!(validate_settings::<ZoneSpread>("{}").unwrap(), Settings::default());
    for (text, path) in [
        (r#"{"addressesPerOwner": 0}"#, "/addressesPerOwner"),
        (r#"{"addressesPerOwner": "2"}"#, "/addressesPerOwner"),
        (r#"{"addressesPerOwner": null}"#, "/addressesPerOwner"),
        (r#"{"adressesPerOwner": 2}"#, "/adressesPerOwner"),
        ("2", ""),
    ] {
        let errors: Vec<SettingsError> = validate_settings::<ZoneSpread>(text).unwrap_err();
        assert_eq!(errors[0].path, path, "{text}");
    }
}

#[test]
fn the_schema_names_the_settings() {
    let schema: serde_json::Value = serde_json::from_str(&ZoneSpread::describe().settings_schema).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["addressesPerOwner"]["minimum"], 1);
}
