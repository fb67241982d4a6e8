//! Reading fields of objects without trusting them.

use std::fmt;
use std::net::IpAddr;

use serde_json::Value;

use sluice_core::observed::Listed;

use super::Unreadable;

/// A field that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldNote {
    /// Path of the field, such as `status.addresses[1].address`.
    pub field: String,
    /// What is wrong with which value.
    pub text: String,
}

impl FieldNote {
    pub(crate) fn new(field: impl Into<String>, text: impl Into<String>) -> Self {
        Self { field: field.into(), text: text.into() }
    }
}

impl fmt::Display for FieldNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.text)
    }
}

/// What was noted while an object was read.
pub type FieldNotes = Vec<FieldNote>;

/// Longest value that is shown in a note, in characters: notes end up in status and on terminals.
const SHOWN: usize = 80;

/// A value as it stands in a note.
pub(crate) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Text; `null` is none; anything else is noted.
pub(crate) fn text<'v>(value: &'v Value, field: &str, notes: &mut FieldNotes) -> Option<&'v str> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => {
            notes.push(FieldNote::new(field, format!("expected text, found {}", shown(other))));
            None
        }
    }
}

/// A list; `null` is an empty one; anything else is noted and none.
pub(crate) fn list<'v>(value: &'v Value, field: &str, notes: &mut FieldNotes) -> Option<&'v [Value]> {
    match value {
        Value::Null => Some(&[]),
        Value::Array(items) => Some(items),
        other => {
            notes.push(FieldNote::new(field, format!("expected a list, found {}", shown(other))));
            None
        }
    }
}

/// Turns the last note into the reason why nothing can be read.
pub(crate) fn readable<T>(value: Option<T>, notes: &mut FieldNotes) -> Result<T, Unreadable> {
    value.ok_or_else(|| Unreadable(notes.pop().unwrap_or_else(|| FieldNote::new("", "cannot be read"))))
}

/// True or false; `null` is false; anything else is noted and false.
pub(crate) fn flag(value: &Value, field: &str, notes: &mut FieldNotes) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        other => {
            notes.push(FieldNote::new(field, format!("expected true or false, found {}", shown(other))));
            false
        }
    }
}

/// An address; `null` and empty text are none; anything else is noted.
pub(crate) fn address(value: &Value, field: &str, notes: &mut FieldNotes) -> Option<IpAddr> {
    let text = text(value, field, notes)?;
    if text.is_empty() {
        return None;
    }
    let parsed = text.parse().ok();
    if parsed.is_none() {
        notes.push(FieldNote::new(field, format!("{} is not an address", shown(value))));
    }
    parsed
}

/// A list of addresses in which entries that are none are kept as they are.
pub(crate) fn listed(items: &[Value], field: &str, notes: &mut FieldNotes) -> Vec<Listed> {
    let mut result = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        let entry = item.as_str().map_or_else(|| Listed::Other(item.to_string()), Listed::from);
        if let Listed::Other(_) = entry {
            notes.push(FieldNote::new(format!("{field}[{position}]"), format!("{} is not an address", shown(item))));
        }
        result.push(entry);
    }
    result
}

/// A note for each field of a map that nobody knows: a misspelt one would do nothing without a word.
pub(crate) fn unknown_fields(value: &Value, field: &str, known: &[&str]) -> FieldNotes {
    let names = value.as_object().into_iter().flatten().map(|(name, _)| name);
    let unknown = names.filter(|name| !known.contains(&name.as_str()));
    let note = |name: &String| {
        let alike = known.iter().find(|known| known.eq_ignore_ascii_case(name));
        let meant =
            alike.map_or_else(|| format!("known are {}", known.join(", ")), |known| format!("did you mean {known}?"));
        FieldNote::new(format!("{field}.{}", shown_name(name)), format!("unknown field; {meant}"))
    };
    unknown.map(note).collect()
}

/// A field's name as it stands in a note.
fn shown_name(name: &str) -> String {
    name.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

/// Labels or annotations are noted if they are no map of texts; what can be read of them counts.
pub(crate) fn check_texts(value: &Value, field: &str, notes: &mut FieldNotes) {
    match value {
        Value::Null => {}
        Value::Object(entries) => {
            for (key, value) in entries.iter().filter(|(_, value)| !value.is_string()) {
                notes.push(FieldNote::new(format!("{field}[{key}]"), format!("expected text, found {}", shown(value))));
            }
        }
        other => notes.push(FieldNote::new(field, format!("expected a map, found {}", shown(other)))),
    }
}
