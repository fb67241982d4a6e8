//! How many requests Azure allows, kept on this side of the wire, so that it seldom has to say 429.
//!
//! Resource Manager has a bucket of tokens for reads and one for writes of each principal and subscription;
//! Microsoft.Network counts over five minutes: 1,000 writes and 10,000 reads. Whichever five minutes it counts, a full
//! bucket and what flows into it meanwhile are no more than that. Pure: the time is a parameter.

use std::time::Duration;

use crate::arm::Verb;

/// One bucket of tokens.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    size: f64,
    per_second: f64,
    level: f64,
    at: Duration,
}

impl Bucket {
    fn new(size: f64, per_second: f64) -> Self {
        Self { size, per_second, level: size, at: Duration::ZERO }
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.level = passed.mul_add(self.per_second, self.level).min(self.size);
        self.at = self.at.max(now);
    }

    /// How long until there is a token.
    fn wait(&self) -> Duration {
        let missing = (1.0 - self.level).max(0.0);
        // A little more, so that rounding does not end a wait just before its time.
        if missing > 0.0 { Duration::from_secs_f64(missing / self.per_second + 0.001) } else { Duration::ZERO }
    }
}

/// The limits of one subscription, as far as this process uses them up.
#[derive(Clone, Debug)]
pub(crate) struct Throttle {
    manager_reads: Bucket,
    manager_writes: Bucket,
    network_reads: Bucket,
    network_writes: Bucket,
    reads_closed: Duration,
    writes_closed: Duration,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            manager_reads: Bucket::new(250.0, 25.0),
            manager_writes: Bucket::new(200.0, 10.0),
            network_reads: Bucket::new(1_000.0, 9_000.0 / 300.0),
            network_writes: Bucket::new(200.0, 800.0 / 300.0),
            reads_closed: Duration::ZERO,
            writes_closed: Duration::ZERO,
        }
    }
}

impl Throttle {
    /// Takes what a request needs. If that is not there: how long to wait before asking again.
    pub(crate) fn take(&mut self, verb: Verb, now: Duration) -> Result<(), Duration> {
        let (buckets, closed) = match verb {
            Verb::Put => ([&mut self.manager_writes, &mut self.network_writes], self.writes_closed),
            Verb::Get | Verb::Poll => ([&mut self.manager_reads, &mut self.network_reads], self.reads_closed),
        };
        let mut wait = closed.saturating_sub(now);
        let buckets = buckets.map(|bucket| {
            bucket.fill(now);
            wait = wait.max(bucket.wait());
            bucket
        });
        if wait > Duration::ZERO {
            return Err(wait);
        }
        for bucket in buckets {
            bucket.level -= 1.0;
        }
        Ok(())
    }

    /// Azure refused a request since there were too many: no writes until then, and no reads if it was a read.
    pub(crate) fn close(&mut self, verb: Verb, now: Duration, retry_after: Duration) {
        let until = now + retry_after;
        self.writes_closed = self.writes_closed.max(until);
        if verb != Verb::Put {
            self.reads_closed = self.reads_closed.max(until);
        }
    }

    /// How long writes are still closed.
    pub(crate) fn closed_for(&self, now: Duration) -> Option<Duration> {
        Some(self.writes_closed.saturating_sub(now)).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn drain(throttle: &mut Throttle, verb: Verb, now: Duration) -> u32 {
        (0..10_000).take_while(|_| throttle.take(verb, now).is_ok()).fold(0, |count, _| count + 1)
    }

    #[test]
    fn writes_come_200_at_once_and_then_slowly() {
        let mut throttle = Throttle::default();
        assert_eq!(drain(&mut throttle, Verb::Put, s(0)), 200);
        assert_eq!(drain(&mut throttle, Verb::Put, s(1)), 2);
        assert_eq!(drain(&mut throttle, Verb::Get, s(1)), 250);
    }

    #[test]
    fn no_five_minutes_see_more_than_the_network_allows() {
        for (verb, most) in [(Verb::Put, 1_000), (Verb::Get, 10_000)] {
            let mut throttle = Throttle::default();
            let sent: Vec<u32> = (0..900).map(|second| drain(&mut throttle, verb, s(second))).collect();
            let busiest = sent.windows(300).map(|span| span.iter().sum::<u32>()).max().unwrap();
            assert!(busiest <= most && busiest > most / 2, "{verb:?}: {busiest}");
        }
    }

    #[test]
    fn after_a_wait_there_is_a_token() {
        let mut throttle = Throttle::default();
        drain(&mut throttle, Verb::Put, s(0));
        let wait = throttle.take(Verb::Put, s(0)).unwrap_err();
        assert!(wait > Duration::from_millis(374) && wait < Duration::from_millis(386), "{wait:?}");
        assert_eq!(throttle.take(Verb::Put, wait), Ok(()));
    }

    #[test]
    fn a_refused_write_closes_writes_only() {
        let mut throttle = Throttle::default();
        throttle.close(Verb::Put, s(5), s(39));
        assert_eq!(throttle.take(Verb::Put, s(10)), Err(s(34)));
        assert_eq!(throttle.take(Verb::Get, s(10)), Ok(()));
        assert_eq!(throttle.closed_for(s(10)), Some(s(34)));
        throttle.close(Verb::Put, s(6), s(1));
        assert_eq!(throttle.closed_for(s(10)), Some(s(34)), "an earlier end does not open them");
        assert_eq!(throttle.take(Verb::Put, s(44)), Ok(()));
    }
}
