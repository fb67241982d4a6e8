//! Texts from elsewhere, made fit for logs, events and status.

/// A text on one line, cut after so many characters.
pub fn bounded(text: &str, longest: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(longest) {
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
        None => line,
    }
}
