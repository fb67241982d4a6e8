//! The host's log. Outside of a component, messages go to standard error.

/// What was of use while the policy was written.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// What was decided.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// What an operator may want to look at.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// What the policy cannot cope with.
pub fn error(message: &str) {
    write(Level::Error, message);
}

use crate::bindings::sluice::policy::log::Level;

#[cfg(target_family = "wasm")]
fn write(level: Level, message: &str) {
    crate::bindings::sluice::policy::log::log(level, message);
}

#[cfg(not(target_family = "wasm"))]
fn write(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}
