//! Looking into JSON that may be Resource Manager's, with `properties`, or the command line tool's, without.

use serde_json::Value;

use crate::id::ResourceId;

/// A field of a resource, wherever it is. The tool writes some names with other capitals.
pub(crate) fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let own = value.as_object()?;
    let inner = own.get("properties").and_then(Value::as_object);
    let exact = inner.and_then(|inner| inner.get(name)).or_else(|| own.get(name));
    let similar = || {
        let fields = inner.into_iter().flatten().chain(own);
        fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    };
    exact.or_else(similar).filter(|value| !value.is_null())
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    field(value, name)?.as_str()
}

pub(crate) fn flag(value: &Value, name: &str) -> Option<bool> {
    field(value, name)?.as_bool()
}

/// The elements of a list; none if there is no such list.
pub(crate) fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    field(value, name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The identifier that an object has.
pub(crate) fn id_in(value: &Value) -> Option<ResourceId> {
    ResourceId::parse(text(value, "id")?)
}

/// The identifiers of a list of references.
pub(crate) fn ids_in(value: &Value, name: &str) -> Vec<ResourceId> {
    items(value, name).iter().filter_map(id_in).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_found_with_and_without_properties() {
        assert_eq!(text(&json!({"properties": {"a": "x"}, "a": "y"}), "a"), Some("x"));
        assert_eq!(text(&json!({"privateIpAddress": "z"}), "privateIPAddress"), Some("z"));
        assert_eq!(text(&json!({"a": null}), "a"), None);
        assert_eq!(text(&json!([1]), "a"), None);
    }
}
