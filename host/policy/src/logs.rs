//! What a policy says while it works.

use std::fmt;

use serde::Serialize;

use crate::bindings::log::Level;
use crate::limits::Limits;
use sluice_core::text::printable;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// For the policy's author.
    Debug,
    /// For the operator.
    Info,
    /// Something to look at.
    Warn,
    /// Something went wrong.
    Error,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// One message of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogRecord {
    /// How much it matters.
    pub level: LogLevel,
    /// The text; control characters are escaped.
    pub message: String,
}

/// The records of one call, bounded.
#[derive(Debug)]
pub(crate) struct LogBook {
    records: Vec<LogRecord>,
    dropped: u64,
    bytes_left: usize,
    max_records: usize,
    max_message: usize,
}

impl LogBook {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            records: Vec::new(),
            dropped: 0,
            bytes_left: limits.log_bytes,
            max_records: limits.log_records,
            max_message: limits.log_message_bytes,
        }
    }

    /// Keeps the message, or drops and counts it.
    pub(crate) fn record(&mut self, level: LogLevel, message: &str) {
        if self.records.len() >= self.max_records {
            self.dropped += 1;
            return;
        }
        let message = printable(message, self.max_message);
        match self.bytes_left.checked_sub(message.len()) {
            Some(left) => {
                self.bytes_left = left;
                self.records.push(LogRecord { level, message });
            }
            None => self.dropped += 1,
        }
    }

    /// The records and how many were dropped.
    pub(crate) fn close(self) -> (Vec<LogRecord>, u64) {
        (self.records, self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_bytes_are_bounded_and_the_rest_is_counted() {
        let limits = Limits { log_records: 2, log_bytes: 10, log_message_bytes: 8, ..Limits::default() };
        let mut book = LogBook::new(&limits);
        book.record(LogLevel::Info, "12345678");
        book.record(LogLevel::Info, "123");
        book.record(LogLevel::Info, "12");
        book.record(LogLevel::Info, "");
        let (records, dropped) = book.close();
        assert_eq!(records.iter().map(|record| record.message.as_str()).collect::<Vec<_>>(), ["12345678", "12"]);
        assert_eq!(dropped, 2);
    }
}
