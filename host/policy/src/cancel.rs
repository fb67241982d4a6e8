//! What ends work that nobody wants any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends the calls and compilations that it was given to, within some hundredths of a second. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ends them, for good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Ends them when it is dropped: nobody waits for them any more.
    pub fn drop_guard(&self) -> DropGuard {
        DropGuard(self.clone())
    }

    /// Whether they are to end.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Cancels when it is dropped.
#[derive(Debug)]
pub struct DropGuard(Cancel);

impl Drop for DropGuard {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
