//! Work on foreign input runs on a thread of its own.

use std::any::Any;
use std::thread;

/// Stack of such a thread. Wasm may use [`crate::WASM_STACK_BYTES`] of it; the rest is for the host functions and
/// libraries underneath, whose overflow would abort the process. Pools of other crates promise 2 MiB at most.
const STACK_BYTES: usize = 4 << 20;

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The work panicked: a bug on our side, or in a library.
    Panicked(String),
    /// The operating system gave no thread.
    NotStarted(String),
}

/// Runs the work on a thread with a known stack and waits for it. A panic ends the thread, not the process.
pub(crate) fn contain<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Lost> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("policy-call".into()).stack_size(STACK_BYTES);
        let handle = builder.spawn_scoped(scope, work).map_err(|error| Lost::NotStarted(error.to_string()))?;
        handle.join().map_err(|payload| Lost::Panicked(panic_text(payload.as_ref())))
    })
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_contained() {
        assert_eq!(contain(|| 7), Ok(7));
        assert_eq!(contain(|| -> u8 { panic!("boom {}", 1) }), Err(Lost::Panicked("boom 1".into())));
    }
}
