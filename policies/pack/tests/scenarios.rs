//! The folder `scenarios`, played.

use sluice_pack::Pack;

#[test]
fn plans_are_as_expected() {
    sluice_policy_sdk::scenario::check::<Pack>(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"));
}
