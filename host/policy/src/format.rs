//! What a file is that is no WebAssembly at all: a download that went wrong, a layer that was not unpacked, a text.

use serde::de::IgnoredAny;

use sluice_core::text::printable;

/// What every file of WebAssembly begins with.
const WASM: &[u8] = b"\0asm";
/// Formats by what they begin with.
const BY_FIRST_BYTES: [(&[u8], &str); 6] = [
    (&[0x1f, 0x8b], "gzip-compressed (1f 8b)"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd-compressed (28 b5 2f fd)"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz-compressed (fd 37 7a 58 5a 00)"),
    (b"BZh", "bzip2-compressed (42 5a 68)"),
    (b"PK\x03\x04", "a zip archive"),
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, the content was not fetched"),
];
/// A tar archive has its mark here, after the name and properties of the first file.
const TAR_MARK: (usize, &[u8]) = (257, b"ustar");
/// Where markup and text show what they are, in bytes.
const LOOKED_AT: usize = 4096;
/// The longest beginning of a text that is shown, in bytes.
const SHOWN: usize = 60;

/// What a file is, in words, if it is certainly no WebAssembly and something that people know.
pub(crate) fn known_format(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some("the file is empty".to_owned());
    }
    if bytes.starts_with(WASM) || WASM.starts_with(bytes) {
        return None;
    }
    if let Some((_, words)) = BY_FIRST_BYTES.iter().find(|(first, _)| bytes.starts_with(first)) {
        return Some((*words).to_owned());
    }
    let (at, mark) = TAR_MARK;
    if bytes.get(at..).is_some_and(|rest| rest.starts_with(mark)) {
        return Some("a tar archive".to_owned());
    }
    let text = beginning(bytes)?.trim_start_matches('\u{feff}').trim_start();
    let starts = |word: &str| text.get(..word.len()).is_some_and(|first| first.eq_ignore_ascii_case(word));
    let code = without_comments(text);
    Some(match () {
        () if starts("<!doctype html") || starts("<html") => "HTML".to_owned(),
        () if starts("<") => "XML or HTML".to_owned(),
        () if is_json(bytes, text) => "JSON".to_owned(),
        () if ["(component", "(module"].iter().any(|word| code.starts_with(word)) => {
            "WebAssembly text, not binary".to_owned()
        }
        () => {
            let line = text.lines().next().unwrap_or_default().trim_end();
            format!("text, which begins with \"{}\"", printable(line, SHOWN))
        }
    })
}

/// The beginning of a file as text, if it is text: UTF-8 without control characters other than blanks.
fn beginning(bytes: &[u8]) -> Option<&str> {
    let first = bytes.get(..LOOKED_AT).unwrap_or(bytes);
    let text = match std::str::from_utf8(first) {
        Ok(text) => text,
        // The last character may be cut in two where looking ends.
        Err(error) if error.error_len().is_none() && first.len() < bytes.len() => {
            std::str::from_utf8(first.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    text.chars().all(|character| !character.is_control() || character.is_ascii_whitespace()).then_some(text)
}

fn is_json(bytes: &[u8], beginning: &str) -> bool {
    let whole = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    beginning.starts_with(['{', '[']) && serde_json::from_slice::<IgnoredAny>(whole).is_ok()
}

/// WebAssembly text from its first parenthesis that opens no comment.
fn without_comments(mut text: &str) -> &str {
    loop {
        let rest = if text.starts_with(";;") {
            text.split_once('\n').map(|(_, rest)| rest)
        } else if text.starts_with("(;") {
            text.split_once(";)").map(|(_, rest)| rest)
        } else {
            return text;
        };
        text = rest.unwrap_or_default().trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(bytes: &[u8]) -> String {
        known_format(bytes).unwrap_or_else(|| "-".to_owned())
    }

    #[test]
    fn what_begins_as_webassembly_is_left_to_the_parser_and_noise_too() {
        for bytes in [&b"\0asm\x0d\0\x01\0"[..], b"\0as", b"\0", b"\0asm garbage", &[0x8f, 1, 0xfe, 0, 0x9c]] {
            assert_eq!(known_format(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn text_is_told_by_how_it_begins() {
        let rows = [
            ("", "the file is empty"),
            ("\u{feff}\r\n <!DOCTYPE HTML>", "HTML"),
            ("<?xml version=\"1.0\"?><Error/>", "XML or HTML"),
            (" {\"errors\": []}\n", "JSON"),
            ("{\"errors\": [", "text, which begins with \"{\"errors\": [\""),
            ("(; (component ;) ;; one\n (module)", "WebAssembly text, not binary"),
            ("(;", "text, which begins with \"(;\""),
            ("\u{fc}ber\ngut", "text, which begins with \"\u{fc}ber\""),
        ];
        for (text, words) in rows {
            assert_eq!(known(text.as_bytes()), words, "{text:?}");
        }
    }

    #[test]
    fn a_character_that_is_cut_where_looking_ends_is_no_noise() {
        let text = "a".repeat(LOOKED_AT - 1) + "\u{fc}\u{fc}";
        assert!(known(text.as_bytes()).starts_with("text, which begins with \"aaa"));
        let mut cut = text.into_bytes();
        cut.truncate(LOOKED_AT);
        assert_eq!(known(&cut), "-", "here the file itself ends in half a character");
    }

    #[test]
    fn a_terminal_is_not_confused() {
        assert_eq!(known("see \u{1b}[31m".as_bytes()), "-");
        assert_eq!(known("see \u{202e}".as_bytes()), "text, which begins with \"see \\u{202e}\"");
    }
}
