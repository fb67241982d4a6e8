//! Texts of guests, made fit to show.

use std::fmt::Write;

use sluice_core::text::cut;

/// The text with what could confuse a terminal or a reader escaped, and at most `limit` bytes long.
pub(crate) fn tidy(text: &str, limit: usize) -> String {
    // Nearly all texts are short and plain, and a plan has tens of thousands.
    if text.len() <= limit && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    // Never looks further than what can be shown, whatever the text's length.
    let mut shown = String::with_capacity(text.len().min(limit));
    for character in text.chars() {
        let before = shown.len();
        if misleading(character) {
            // Writing to a string cannot fail.
            let _ = write!(shown, "{}", character.escape_default());
        } else {
            shown.push(character);
        }
        if shown.len() > limit {
            shown.truncate(before);
            return cut(shown, limit);
        }
    }
    shown
}

/// Control characters, line separators, and marks that change the direction of what follows.
fn misleading(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(tidy("a\nb\u{1b}[31m\u{202e}ü", 100), "a\\nb\\u{1b}[31m\\u{202e}ü");
    }

    #[test]
    fn a_text_of_the_limit_stays_and_one_byte_more_is_cut() {
        assert_eq!(tidy(&"a".repeat(256), 256), "a".repeat(256));
        assert_eq!(tidy(&"a".repeat(257), 256), "a".repeat(253) + "...");
        assert_eq!(tidy("äöü", 5), "ä...");
        assert_eq!(tidy("abc", 2), "");
        assert!(tidy(&"\n".repeat(1000), 256).len() <= 256);
    }
}
