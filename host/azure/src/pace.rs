//! Time: how much has passed, and waiting for more of it.

use std::time::Duration;

use tokio::time::Instant;

/// Where time comes from: real time times a factor, which is 1 but for tests against a simulator that is in a hurry.
/// All waiting and all reckoning with times goes through it; only the deadlines of single requests are real.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    start: Instant,
    factor: u32,
}

impl Pace {
    /// Time that passes `factor` times as fast as the real one; 0 counts as 1.
    pub fn new(factor: u32) -> Self {
        Self { start: Instant::now(), factor: factor.max(1) }
    }

    /// What has passed since this was made.
    pub fn now(&self) -> Duration {
        self.start.elapsed().saturating_mul(self.factor)
    }

    /// Waits.
    pub async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span / self.factor).await;
    }

    /// Waits until a time, or for ever.
    pub(crate) async fn until(&self, then: Option<Duration>) {
        match then {
            Some(then) => self.sleep(then.saturating_sub(self.now())).await,
            None => std::future::pending().await,
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::new(1)
    }
}
