//! Texts, made fit for logs, events, annotations and status: the one way to shorten them.

use std::fmt::{Display, Write as _};

/// Says that a text goes on.
const MARK: &str = "...";
/// How many things a text names before it counts the others.
const LISTED: usize = 3;

/// A text of at most so many bytes; one that is longer is cut, and says so.
pub fn shortened(text: String, longest: usize) -> String {
    if text.len() > longest { cut(text, longest) } else { text }
}

/// The beginning of a text that goes on: at most so many bytes, with a mark at the end if there is room for it.
pub fn cut(mut text: String, longest: usize) -> String {
    if let Some(room) = longest.checked_sub(MARK.len()) {
        text.truncate(text.floor_char_boundary(room));
        text.push_str(MARK);
    } else {
        text.clear();
    }
    text
}

/// A text from elsewhere on one line, of at most so many bytes.
pub fn bounded(text: &str, longest: usize) -> String {
    shortened(text.split_whitespace().collect::<Vec<_>>().join(" "), longest)
}

/// The first of some things, and how many more there are.
pub fn listed(all: impl IntoIterator<Item = impl Display>, separator: &str) -> String {
    let all: Vec<String> = all.into_iter().map(|one| one.to_string()).collect();
    let shown = all.get(..LISTED).unwrap_or(&all).join(separator);
    match all.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The text with what could confuse a terminal or a reader escaped, and at most `limit` bytes long.
pub fn printable(text: &str, limit: usize) -> String {
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
    fn a_text_of_the_limit_stays_and_one_byte_more_is_cut_between_characters() {
        assert_eq!(shortened("abcdef".to_owned(), 6), "abcdef");
        assert_eq!(shortened("abcdefg".to_owned(), 6), "abc...");
        assert_eq!(shortened("äöüä".to_owned(), 6), "ä...");
        assert_eq!(shortened("abc".to_owned(), 2), "");
        assert_eq!(bounded(" a\n b\t c ", 9), "a b c");
    }

    #[test]
    fn of_many_things_the_first_are_named_and_the_others_counted() {
        assert_eq!(listed(["a", "b"], ", "), "a, b");
        assert_eq!(listed(["a", "b", "c"], ", "), "a, b, c");
        assert_eq!(listed(["a", "b", "c", "d", "e"], ", "), "a, b, c and 2 more");
        assert_eq!(listed([""; 0], ", "), "");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\nb\u{1b}[31m\u{202e}ü", 100), "a\\nb\\u{1b}[31m\\u{202e}ü");
    }

    #[test]
    fn a_text_of_the_limit_stays_and_one_byte_more_is_cut() {
        assert_eq!(printable(&"a".repeat(256), 256), "a".repeat(256));
        assert_eq!(printable(&"a".repeat(257), 256), "a".repeat(253) + "...");
        assert_eq!(printable("äöü", 5), "ä...");
        assert_eq!(printable("abc", 2), "");
        assert!(printable(&"\n".repeat(1000), 256).len() <= 256);
    }
}
