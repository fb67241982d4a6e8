//! The JSON Schema of a policy's settings: written by the guest, run by the host.
//!
//! Checking settings takes no fuel and cannot be interrupted, so the schema is bounded before it is used: no
//! references to other documents, no recursion, and few enough parts once every reference is followed.

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use crate::error::SettingsProblem;
use crate::limits::Limits;
use sluice_core::text::printable;

/// Most regular expressions in a schema.
const PATTERNS: usize = 64;
/// Size of a compiled regular expression, and of its cache.
const PATTERN_BYTES: usize = 256 << 10;

/// A schema that is safe to run.
#[derive(Debug)]
pub(crate) struct Schema {
    value: Value,
    validator: Validator,
}

impl Schema {
    /// Parses, bounds and compiles.
    pub(crate) fn parse(text: &str, limits: &Limits) -> Result<Self, String> {
        if text.len() > limits.schema_bytes {
            return Err(format!("too large: {} bytes, limit {}", text.len(), limits.schema_bytes));
        }
        // The parser itself refuses texts nested deeper than 128.
        let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let draft = draft(&value)?;
        Walk { root: &value, limits, nodes: 0, patterns: 0 }.weigh(&value, 0)?;
        let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES);
        let options = jsonschema::options().with_draft(draft).with_pattern_options(patterns);
        let options = options.should_validate_formats(false).offline();
        let validator = options.build(&naming(&value)).map_err(|error| {
            format!("{}: {}", error.instance_path(), printable(&error.to_string(), limits.text_bytes))
        })?;
        Ok(Self { value, validator })
    }

    /// What is wrong with the settings; empty if nothing is.
    pub(crate) fn problems(&self, settings: &Value, limits: &Limits) -> Vec<SettingsProblem> {
        let errors = self.validator.iter_errors(settings).take(limits.problems);
        let problem = |error: jsonschema::ValidationError<'_>| SettingsProblem {
            path: printable(error.instance_path().as_str(), limits.text_bytes),
            text: printable(&error.to_string(), limits.text_bytes),
        };
        errors.map(problem).collect()
    }

    /// The schema itself.
    pub(crate) fn into_value(self) -> Value {
        self.value
    }
}

/// The same schema in a form of which the validator names what is unexpected: it does not where nothing is expected.
fn naming(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(root) = schema.as_object_mut()
        && root.get("additionalProperties") == Some(&Value::Bool(false))
    {
        root.entry("properties").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    schema
}

/// Two drafts are served: keywords of the others would be read differently by [`Walk`] and by the validator.
fn draft(schema: &Value) -> Result<Draft, String> {
    let name = schema.get("$schema").and_then(Value::as_str).map(|name| name.trim_end_matches('#'));
    match name {
        None | Some("https://json-schema.org/draft/2020-12/schema") => Ok(Draft::Draft202012),
        Some("http://json-schema.org/draft-07/schema") => Ok(Draft::Draft7),
        Some(other) => Err(format!("$schema is {:?}; use draft 2020-12 or draft 7", printable(other, 128))),
    }
}

/// Walks the schema as the validator would, each reference followed.
struct Walk<'a> {
    root: &'a Value,
    limits: &'a Limits,
    nodes: usize,
    patterns: usize,
}

impl<'a> Walk<'a> {
    fn weigh(&mut self, part: &'a Value, depth: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > self.limits.schema_nodes {
            return Err(format!("more than {} parts, references followed", self.limits.schema_nodes));
        }
        if depth > self.limits.schema_depth {
            return Err(format!("deeper than {}, references followed; it must not recurse", self.limits.schema_depth));
        }
        match part {
            Value::Array(items) => items.iter().try_for_each(|item| self.weigh(item, depth + 1)),
            Value::Object(members) => members.iter().try_for_each(|(key, value)| self.member(key, value, depth)),
            _ => Ok(()),
        }
    }

    fn member(&mut self, key: &str, value: &'a Value, depth: usize) -> Result<(), String> {
        match (key, value) {
            ("$ref", Value::String(target)) => {
                let local = target.strip_prefix('#').filter(|pointer| !pointer.contains('%'));
                let found = local.and_then(|pointer| self.root.pointer(pointer));
                let found = found.ok_or_else(|| {
                    format!(
                        "$ref {:?}: only parts of this schema can be referred to, as `#/...`",
                        printable(target, 128)
                    )
                })?;
                self.weigh(found, depth + 1)
            }
            // These change what a reference means, so that this walk and the validator could disagree.
            ("$dynamicRef" | "$recursiveRef" | "$anchor" | "$dynamicAnchor" | "$recursiveAnchor", Value::String(_)) => {
                Err(format!("{key} is not supported; use $ref"))
            }
            ("$id" | "$schema", Value::String(_)) if depth > 0 => Err(format!("{key} is allowed at the top only")),
            ("pattern", Value::String(_)) => self.count_patterns(1),
            ("patternProperties", Value::Object(members)) => {
                self.count_patterns(members.len())?;
                self.weigh(value, depth + 1)
            }
            _ => self.weigh(value, depth + 1),
        }
    }

    fn count_patterns(&mut self, more: usize) -> Result<(), String> {
        self.patterns += more;
        if self.patterns > PATTERNS {
            return Err(format!("more than {PATTERNS} patterns, references followed"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(schema: &Value) -> String {
        Schema::parse(&schema.to_string(), &Limits::default()).unwrap_err()
    }

    #[test]
    fn settings_are_checked_with_a_pointer_to_each_problem() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": { "spread": { "$ref": "#/$defs/count" }, "name": { "pattern": "^[a-z]+$" } },
            "$defs": { "count": { "type": "integer", "minimum": 1 } },
            "additionalProperties": false
        });
        let limits = Limits::default();
        let schema = Schema::parse(&schema.to_string(), &limits).unwrap();
        assert_eq!(schema.problems(&json!({ "spread": 2, "name": "abc" }), &limits), []);
        let problems = schema.problems(&json!({ "spread": 0, "name": "A", "more": 1 }), &limits);
        let mut paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["", "/name", "/spread"], "{problems:?}");
    }

    #[test]
    fn what_is_unexpected_is_named_also_where_nothing_is_expected() {
        let limits = Limits::default();
        let schema = Schema::parse(r#"{"type":"object","additionalProperties":false}"#, &limits).unwrap();
        assert_eq!(schema.problems(&json!({}), &limits), []);
        let problems = schema.problems(&json!({ "unheardOf": 1 }), &limits);
        assert!(problems.len() == 1 && problems[0].text.contains("unheardOf"), "{problems:?}");
        assert!(schema.into_value().get("properties").is_none(), "it is shown as it was written");
    }

    #[test]
    fn references_leave_neither_the_schema_nor_the_ground() {
        for target in ["http://example.com/x", "https://example.com/x", "file:///etc/passwd", "other.json", "#anchor"] {
            assert!(refused(&json!({ "$ref": target })).contains("only parts of this schema"), "{target}");
        }
        assert!(refused(&json!({ "$ref": "#" })).contains("must not recurse"));
        assert!(refused(&json!({ "$dynamicRef": "#x" })).contains("not supported"));
        assert!(refused(&json!({ "items": { "$id": "http://x/" } })).contains("at the top only"));
        assert!(refused(&json!({ "$schema": "http://json-schema.org/draft-04/schema#" })).contains("draft 7"));
    }

    #[test]
    fn size_depth_parts_and_patterns_are_bounded() {
        let mut defs = serde_json::Map::new();
        for level in 0..20 {
            let next = json!({ "$ref": format!("#/$defs/d{}", level + 1) });
            defs.insert(format!("d{level}"), json!({ "allOf": [next, next] }));
        }
        defs.insert("d20".into(), json!(true));
        let bomb = json!({ "$ref": "#/$defs/d0", "$defs": defs });
        let error = refused(&bomb);
        assert!(error.contains("parts") || error.contains("deeper"), "{error}");

        let deep = (0..40).fold(json!(true), |inner, _| json!({ "not": inner }));
        assert!(refused(&deep).contains("deeper than 32"));
        assert!(refused(&json!({ "description": "x".repeat(70_000) })).contains("too large"));
        let many: Vec<_> = (0..65).map(|_| json!({ "pattern": "a" })).collect();
        assert!(refused(&json!({ "anyOf": many })).contains("patterns"));
        assert!(!refused(&json!({ "pattern": "((a{100}){100}){100}" })).is_empty());
        assert!(!refused(&json!({ "pattern": "(a)\\1" })).is_empty());
        assert!(!refused(&json!({ "type": "nonsense" })).is_empty());
    }
}
