//! Virtual time: real time times a factor.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A clock that runs `scale` times as fast as the real one, and can be put forward. With a scale of 0 it moves only
/// when it is put forward. A client divides its own waits by the same scale.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    scale: u32,
    skipped: AtomicU64,
}

impl Clock {
    /// A clock that starts at 0 now.
    pub fn new(scale: u32) -> Self {
        Self { started: Instant::now(), scale, skipped: AtomicU64::new(0) }
    }

    /// Virtual milliseconds since the start.
    pub fn now(&self) -> u64 {
        let passed = self.started.elapsed().as_micros() * u128::from(self.scale) / 1000;
        u64::try_from(passed).unwrap_or(u64::MAX).saturating_add(self.skipped.load(Ordering::SeqCst))
    }

    /// Puts the clock forward.
    pub fn advance(&self, milliseconds: u64) {
        self.skipped.fetch_add(milliseconds, Ordering::SeqCst);
    }

    /// How many virtual seconds pass in a real one.
    pub fn scale(&self) -> u32 {
        self.scale
    }

    /// How long a virtual span takes in real time; nothing while the clock stands.
    pub fn real(&self, milliseconds: u64) -> Duration {
        let scaled = milliseconds.saturating_mul(1000).checked_div(u64::from(self.scale));
        Duration::from_micros(scaled.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_clock_moves_only_by_hand() {
        let clock = Clock::new(0);
        assert_eq!(clock.now(), 0);
        clock.advance(71_000);
        assert_eq!(clock.now(), 71_000);
        assert_eq!(clock.real(71_000), Duration::ZERO);
    }

    #[test]
    fn a_minute_takes_sixty_milliseconds_at_a_thousand() {
        assert_eq!(Clock::new(1000).real(60_000), Duration::from_millis(60));
    }
}
