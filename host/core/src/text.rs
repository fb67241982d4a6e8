//! Texts, made fit for logs, events, annotations and status: the one way to shorten them.

/// Says that a text goes on.
const MARK: &str = "...";

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
}
