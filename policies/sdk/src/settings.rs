//! Reading settings, with errors that say where.

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::SettingsError;

/// Reads settings. An empty text counts as an empty object.
///
/// ```
/// #[derive(Debug, serde::Deserialize)]
/// struct Settings {
///     zones: Vec<String>,
/// }
///
/// let errors = sluice_policy_sdk::settings::parse::<Settings>(r#"{"zones": ["a", 1]}"#).unwrap_err();
/// assert_eq!(errors[0].path, "/zones/1");
/// ```
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Vec<SettingsError>> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    // Serde would also take an array, for a struct without mandatory fields.
    if !text.trim_start().starts_with('{') {
        return Err(vec![error("", &"not a JSON object")]);
    }
    let mut input = serde_json::Deserializer::from_str(text);
    let settings =
        serde_path_to_error::deserialize(&mut input).map_err(|e| vec![error(&pointer(e.path()), e.inner())])?;
    input.end().map_err(|e| vec![error("", &e)])?;
    Ok(settings)
}

/// An error at a JSON Pointer.
pub fn error(path: &str, text: &dyn std::fmt::Display) -> SettingsError {
    SettingsError { path: path.to_owned(), text: text.to_string() }
}

fn pointer(path: &Path) -> String {
    let token = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(format!("/{index}")),
        Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(token).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        #[serde(default, rename = "a/b~c")]
        _odd: Option<u32>,
    }

    fn path(text: &str) -> String {
        parse::<Settings>(text).unwrap_err().remove(0).path
    }

    #[test]
    fn errors_point_at_their_place() {
        assert_eq!(path(r#"{"a/b~c": "x"}"#), "/a~1b~0c");
        assert_eq!(path(r#"{"typo": 1}"#), "/typo");
        assert_eq!(path("[]"), "");
        assert_eq!(path("{"), "");
        assert_eq!(path("{} x"), "");
    }

    #[test]
    fn empty_text_is_an_empty_object() {
        assert!(parse::<Settings>(" ").is_ok());
    }
}
