//! `spec.nodeSelector`.

use std::collections::BTreeSet;

use serde_json::Value;

use sluice_core::observed::{NodeSelector, Requirement};

use super::read::{FieldNote, FieldNotes, list, shown, text, unknown_fields};

/// Reads a label selector. A condition that cannot be read selects nothing: leaving it out would put addresses onto
/// nodes that nobody chose.
pub(super) fn node_selector(value: &Value, field: &str, errors: &mut FieldNotes) -> NodeSelector {
    let mut requirements = Vec::new();
    if !matches!(value, Value::Null | Value::Object(_)) {
        errors.push(FieldNote::new(field, format!("expected a label selector, found {}", shown(value))));
        requirements.push(nothing(""));
    }
    // A plain map of labels has none of a selector's fields: read as one, it would take in all nodes.
    let unknown = unknown_fields(value, field, &["matchLabels", "matchExpressions"]);
    if !unknown.is_empty() {
        errors.extend(unknown);
        requirements.push(nothing(""));
    }
    let labels = value.get("matchLabels").unwrap_or(&Value::Null);
    match labels {
        Value::Null => {}
        Value::Object(entries) => {
            for (key, value) in entries {
                let wanted = text(value, &format!("{field}.matchLabels[{key}]"), errors);
                requirements.push(Requirement::In(key.clone(), wanted.map(str::to_owned).into_iter().collect()));
            }
        }
        other => {
            errors.push(FieldNote::new(
                format!("{field}.matchLabels"),
                format!("expected a map, found {}", shown(other)),
            ));
            requirements.push(nothing(""));
        }
    }
    let path = format!("{field}.matchExpressions");
    match list(value.get("matchExpressions").unwrap_or(&Value::Null), &path, errors) {
        Some(items) => {
            for (position, item) in items.iter().enumerate() {
                requirements.push(requirement(item, &format!("{path}[{position}]"), errors));
            }
        }
        None => requirements.push(nothing("")),
    }
    NodeSelector { requirements }
}

/// Selects no node.
fn nothing(key: &str) -> Requirement {
    Requirement::In(key.to_owned(), BTreeSet::new())
}

fn requirement(item: &Value, field: &str, errors: &mut FieldNotes) -> Requirement {
    let before = errors.len();
    let part = |name: &str| item.get(name).unwrap_or(&Value::Null);
    errors.extend(unknown_fields(item, field, &["key", "operator", "values"]));
    let key = text(part("key"), &format!("{field}.key"), errors).unwrap_or_default();
    if key.is_empty() && errors.len() == before {
        errors.push(FieldNote::new(format!("{field}.key"), "missing"));
    }
    let mut values = BTreeSet::new();
    for (position, value) in
        list(part("values"), &format!("{field}.values"), errors).unwrap_or_default().iter().enumerate()
    {
        let field = format!("{field}.values[{position}]");
        match text(value, &field, errors) {
            Some(value) => _ = values.insert(value.to_owned()),
            None if value.is_null() => errors.push(FieldNote::new(field, "expected text, found null")),
            None => {}
        }
    }
    let operator = part("operator");
    let of_set = matches!(operator.as_str(), Some("In" | "NotIn"));
    let of_key = matches!(operator.as_str(), Some("Exists" | "DoesNotExist"));
    if !of_set && !of_key {
        let text = format!("unknown operator {}; known are In, NotIn, Exists and DoesNotExist", shown(operator));
        errors.push(FieldNote::new(format!("{field}.operator"), text));
    } else if of_set && values.is_empty() && errors.len() == before {
        errors.push(FieldNote::new(format!("{field}.values"), "In and NotIn need values"));
    } else if of_key && !values.is_empty() {
        errors.push(FieldNote::new(format!("{field}.values"), "Exists and DoesNotExist take no values"));
    }
    let key = key.to_owned();
    match operator.as_str() {
        _ if errors.len() > before => nothing(&key),
        Some("In") => Requirement::In(key, values),
        Some("NotIn") => Requirement::NotIn(key, values),
        Some("Exists") => Requirement::Exists(key),
        Some("DoesNotExist") => Requirement::DoesNotExist(key),
        _ => nothing(&key),
    }
}
