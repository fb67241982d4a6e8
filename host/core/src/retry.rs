//! When to try again: the one back-off and the one reading of `Retry-After`. Pure: whoever waits has the clock.

use std::time::Duration;

/// Longest `Retry-After` that is taken at its word: a wish of centuries must not stop an object for good.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// A pause that doubles from one failure to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Begins with `first` and never lasts longer than `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The pause after another failure, where so many came before it.
    pub fn after(self, failures: u32) -> Duration {
        self.first.saturating_mul(2u32.saturating_pow(failures.min(31))).min(self.longest)
    }
}

/// The wish of a server, from the header's text; none where it is a date or makes no sense. Both API servers and clouds
/// send seconds.
pub fn retry_after(header: &str) -> Option<Duration> {
    let seconds = header.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_the_longest() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let pauses: Vec<u128> = [0, 1, 2, 5, 6, u32::MAX].map(|times| backoff.after(times).as_millis()).into();
        assert_eq!(pauses, [100, 200, 400, 3200, 5000, 5000]);
    }

    #[test]
    fn no_retry_after_is_too_long_or_too_odd() {
        assert_eq!(retry_after(" 39 "), Some(Duration::from_secs(39)));
        assert_eq!(retry_after("18446744073709551615"), Some(LONGEST_RETRY_AFTER));
        for odd in ["", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "99999999999999999999999"] {
            assert_eq!(retry_after(odd), None, "{odd}");
        }
    }
}
