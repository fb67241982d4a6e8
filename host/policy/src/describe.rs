//! What a policy says of itself, checked.

use crate::bindings::wit;
use crate::error::LoadError;
use crate::limits::Limits;
use crate::schema::Schema;
use sluice_core::text::printable;

/// Longest name and version: both end up in metrics, in events and in columns of tables.
const NAME_BYTES: usize = 63;

/// A description that makes sense.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) summary: String,
    pub(crate) schema: Schema,
    pub(crate) uses_labels: bool,
}

impl Description {
    /// Checks names, cuts the summary, compiles the schema. Unknown attributes are ignored.
    pub(crate) fn check(raw: wit::Description, limits: &Limits) -> Result<Self, LoadError> {
        let unused = |attribute: &wit::AttributeResult| attribute.name == "labels" && attribute.value == "unused";
        Ok(Self {
            uses_labels: !raw.attributes.iter().any(unused),
            name: word("name", raw.name, "-_.")?,
            version: word("version", raw.version, "-_.+")?,
            summary: printable(&raw.summary, limits.text_bytes),
            schema: Schema::parse(&raw.settings_schema, limits).map_err(|text| LoadError::SchemaInvalid { text })?,
        })
    }
}

/// A short text of letters, digits and a few marks that starts with a letter or digit.
fn word(what: &str, text: String, marks: &str) -> Result<String, LoadError> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || marks.contains(character);
    let sane = text.len() <= NAME_BYTES
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(allowed);
    if sane {
        return Ok(text);
    }
    let text = printable(&text, NAME_BYTES);
    let text = format!(
        "{what} {text:?}: 1 to {NAME_BYTES} letters, digits or any of `{marks}` are expected, a letter or digit first"
    );
    Err(LoadError::DescriptionInvalid { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_words() {
        for good in ["zone-spread", "a", "0.1.0", &"a".repeat(63)] {
            assert_eq!(word("name", good.to_owned(), "-_.").as_deref(), Ok(good));
        }
        for bad in ["", "-a", "a b", "a/b", "ä", "a\n", &"a".repeat(64)] {
            assert!(word("name", bad.to_owned(), "-_.").is_err(), "{bad:?}");
        }
    }
}
