//! What `wit-bindgen` makes of the contract. The crate re-exports all that policies need of it.

#![allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    reason = "generated code"
)]

wit_bindgen::generate!({
    world: "policy",
    path: "../../wit",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "sluice_policy_sdk::bindings",
    additional_derives: [
        PartialEq,
        Eq,
        PartialOrd,
        Ord,
        Hash,
        serde::Serialize,
        serde::Deserialize,
    ],
});
