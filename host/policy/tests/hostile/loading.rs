//! Components that must not be loaded, each refused at its stage.

use serde_json::json;
use sluice_policy::{CallError, Limits, LoadError, SettingsProblem};

use crate::guest::{Description, Guest};
use crate::{host, snapshot};

/// Why a component is not loaded with these settings.
fn refusal(component: &[u8], settings: &str) -> LoadError {
    host(Limits::default()).load(component, settings).unwrap_err()
}

fn describing(change: impl FnOnce(&mut Description)) -> Guest {
    let mut guest = Guest::default();
    change(&mut guest.description);
    guest
}

#[test]
fn a_component_over_the_size_limit_is_not_even_parsed() {
    let component = Guest::default().component();
    let size = component.len();
    let limits = Limits { component_bytes: size - 1, ..Limits::default() };
    let error = host(limits).load(&component, "{}").unwrap_err();
    assert_eq!(error, LoadError::ComponentTooLarge { size, limit: size - 1 });
    assert!(host(Limits { component_bytes: size, ..Limits::default() }).load(&component, "{}").is_ok());
}

#[test]
fn foreign_imports_are_named_before_anything_is_compiled() {
    let imports =
        r#"(import "wasi:clocks/wall-clock@0.2.0" (instance)) (import "sluice:policy/types@0.1.0" (instance))"#;
    let component = Guest { before: imports.into(), ..Guest::default() }.component();
    let error = refusal(&component, "{}");
    assert_eq!(error, LoadError::ForeignImport { name: "wasi:clocks/wall-clock@0.2.0".into() });
    let inspection = host(Limits::default()).inspect(&component);
    assert!(!inspection.accepted);
    assert_eq!(inspection.refusals.len(), 2, "{:?}", inspection.refusals);
    assert!(inspection.refusals[1].contains("`sluice:policy/types@0.1.0`"));
    assert_eq!(inspection.name, None, "describe must not have run");
}

#[test]
fn imports_of_parts_of_a_component_are_its_own_affair() {
    let before = r#"(component $part (import "inner" (func)))"#;
    let component = Guest { before: before.into(), ..Guest::default() }.component();
    let inspection = host(Limits::default()).inspect(&component);
    assert!(inspection.accepted, "{:?}", inspection.refusals);
    assert_eq!(inspection.imports, ["sluice:policy/log@0.1.0"]);
}

#[test]
fn other_versions_of_the_contract_are_told_apart() {
    let component = Guest { contract: "0.1.7", ..Guest::default() }.component();
    assert!(host(Limits::default()).load(&component, "{}").is_ok(), "a patch release of the draft fits");
    for contract in ["0.2.0", "1.0.0", "0.1.0-rc"] {
        let component = Guest { contract, ..Guest::default() }.component();
        let error = refusal(&component, "{}");
        assert_eq!(error, LoadError::WrongWorld { found: Some(format!("sluice:policy@{contract}")) });
        let text = error.to_string();
        assert!(
            text.contains(&format!("built for sluice:policy@{contract}, this host speaks sluice:policy@0.1")),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_policy_is_refused() {
    assert_eq!(refusal(&wat::parse_str("(component)").unwrap(), ""), LoadError::WrongWorld { found: None });
    let core = wat::parse_str("(module)").unwrap();
    assert_eq!(refusal(&core, ""), LoadError::CoreModule);
    assert!(refusal(&core, "").to_string().contains("wasm-tools component new"));
    assert!(matches!(refusal(b"", ""), LoadError::Malformed { .. }));
    assert!(matches!(refusal(b"#!/bin/sh", ""), LoadError::Malformed { .. }));
    let whole = Guest::default().component();
    assert!(matches!(refusal(&whole[..whole.len() - 9], ""), LoadError::Malformed { .. }));
}

#[test]
fn an_allocator_of_another_shape_does_not_link() {
    let text = r#"(component
        (core module $m (func (export "f")))
        (core instance $m (instantiate $m))
        (func $f (canon lift (core func $m "f")))
        (instance $i (export "describe" (func $f)))
        (export "sluice:policy/allocator@0.1.0" (instance $i)))"#;
    let error = refusal(&wat::parse_str(text).unwrap(), "");
    assert!(matches!(&error, LoadError::Unlinkable { text } if text.contains("validate-settings")), "{error}");
}

#[test]
fn invalid_code_is_refused_by_the_compiler() {
    let mut component = Guest::planning("(i32.const 123456789)").component();
    // The constant as LEB128; an opcode that does not exist takes its place.
    let constant = [0x41, 0x95, 0x9a, 0xef, 0x3a];
    let at = component.windows(5).position(|window| window == constant).unwrap();
    component[at] = 0xff;
    let error = refusal(&component, "");
    assert!(matches!(error, LoadError::CompileFailed { .. }), "{error}");
}

#[test]
fn a_description_must_make_sense() {
    let bad = describing(|description| description.name = b"no such\nname".to_vec());
    let error = refusal(&bad.component(), "");
    assert!(matches!(&error, LoadError::DescriptionInvalid { text } if text.contains(r"no such\\nname")), "{error}");
    let bad = describing(|description| description.version = "9".repeat(64));
    assert!(matches!(refusal(&bad.component(), ""), LoadError::DescriptionInvalid { .. }));
    let long = describing(|description| description.summary = "s".repeat(257));
    let policy = host(Limits::default()).load(&long.component(), "").unwrap();
    assert_eq!(policy.info().summary, "s".repeat(253) + "...");
    let bad = describing(|description| description.name = vec![0xff, 0xfe]);
    let error = refusal(&bad.component(), "");
    assert!(matches!(&error, LoadError::Describe(CallError::Trap { kind, .. }) if kind.contains("utf-8")), "{error}");
}

#[test]
fn a_schema_that_cannot_be_used_is_refused() {
    for (schema, why) in [
        ("", "not JSON"),
        ("{", "not JSON"),
        (r#"{"type": "nonsense"}"#, "nonsense"),
        (r#"{"$ref": "http://example.com/schema"}"#, "only parts of this schema"),
        (r#"{"$ref": "file:///etc/passwd"}"#, "only parts of this schema"),
        (r##"{"$ref": "#"}"##, "must not recurse"),
        (r#"{"pattern": "("}"#, "pattern"),
    ] {
        let guest = describing(|description| description.schema = schema.into());
        let error = refusal(&guest.component(), "");
        assert!(matches!(&error, LoadError::SchemaInvalid { text } if text.contains(why)), "{schema}: {error}");
    }
}

#[test]
fn settings_are_checked_by_the_schema_before_the_policy_sees_them() {
    let schema = json!({ "type": "object", "properties": { "spread": { "type": "integer" } } }).to_string();
    let guest = describing(|description| description.schema = schema);
    // The guest's own check would trap.
    let guest = Guest { validate: Some("unreachable".into()), ..guest };
    let error = refusal(&guest.component(), r#"{"spread": "wide"}"#);
    let LoadError::SettingsInvalid { errors } = &error else { panic!("{error}") };
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].path, "/spread");
    assert!(error.to_string().contains("/spread: \"wide\" is not of type"), "{error}");
    assert!(matches!(refusal(&guest.component(), "{"), LoadError::SettingsInvalid { .. }));
    assert!(matches!(refusal(&guest.component(), "{}"), LoadError::ValidateSettings(CallError::Trap { .. })));
    let large = format!("\"{}\"", "x".repeat(64 << 10));
    let size = large.len();
    assert_eq!(refusal(&guest.component(), &large), LoadError::SettingsTooLarge { size, limit: 64 << 10 });
}

#[test]
fn the_policy_may_refuse_its_settings() {
    // result: err at 8, a list of one at 12; the error: two texts of the settings themselves.
    let body = "(i32.store8 (i32.const 8) (i32.const 1))
        (i32.store (i32.const 12) (i32.const 24)) (i32.store (i32.const 16) (i32.const 1))
        (i32.store (i32.const 24) (local.get 0)) (i32.store (i32.const 28) (local.get 1))
        (i32.store (i32.const 32) (local.get 0)) (i32.store (i32.const 36) (local.get 1)) (i32.const 8)";
    let guest = Guest { validate: Some(body.into()), ..Guest::default() };
    let said = r#"{"a":1,"b":[]}"#.to_owned();
    let errors = vec![SettingsProblem { path: said.clone(), text: said }];
    // Members that occur twice, order and white space do not reach the policy.
    assert_eq!(refusal(&guest.component(), r#" { "b": [], "a": 0, "a": 1 } "#), LoadError::SettingsInvalid { errors });
}

#[test]
fn a_loaded_policy_knows_itself_and_is_compiled_once() {
    let guest = describing(|description| description.schema = r#"{"type":"object"}"#.into());
    let (component, host) = (guest.component(), host(Limits::default()));
    let inspection = host.inspect(&component);
    assert!(inspection.accepted, "{:?}", inspection.refusals);
    assert_eq!(inspection.contract.as_deref(), Some("sluice:policy@0.1.0"));
    assert!(inspection.exports.contains(&"sluice:policy/allocator@0.1.0".to_owned()));
    let policy = host.load(&component, "").unwrap();
    let info = policy.info();
    assert_eq!((info.name.as_str(), info.version.as_str(), info.settings.as_str()), ("hostile", "0.0.1", "{}"));
    assert_eq!(info.digest, inspection.digest);
    assert_eq!((info.digest.len(), &info.digest[..7]), (71, "sha256:"));
    assert_eq!(info.settings_schema, json!({ "type": "object" }));
    assert!(policy.clone().plan(&snapshot()).is_ok());
    let shown = serde_json::to_value(&inspection).unwrap();
    assert_eq!(shown["settingsSchema"], json!({ "type": "object" }));
    assert_eq!(shown["limits"]["planWall"], json!(10.0));
}
