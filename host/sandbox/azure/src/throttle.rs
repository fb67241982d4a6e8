//! Throttling: ARM's token buckets and the five-minute quota of Microsoft.Network, in virtual time.

use std::collections::BTreeMap;

use crate::answer::Answer;

/// What kind of request it is to a throttle.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Verb {
    Read,
    Write,
    Delete,
}

impl Verb {
    /// The kind of a method.
    pub(crate) fn of(method: &str) -> Self {
        match method {
            "GET" | "HEAD" => Self::Read,
            "DELETE" => Self::Delete,
            _ => Self::Write,
        }
    }

    fn remaining(self) -> (&'static str, &'static str) {
        match self {
            Self::Read => {
                ("x-ms-ratelimit-remaining-subscription-reads", "x-ms-ratelimit-remaining-subscription-global-reads")
            }
            Self::Write => {
                ("x-ms-ratelimit-remaining-subscription-writes", "x-ms-ratelimit-remaining-subscription-global-writes")
            }
            Self::Delete => (
                "x-ms-ratelimit-remaining-subscription-deletes",
                "x-ms-ratelimit-remaining-subscription-global-deletes",
            ),
        }
    }
}

/// A bucket's size, and what flows in each second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// The most it holds.
    pub size: u64,
    /// What it gains in a second.
    pub per_second: u64,
}

/// The limits; the default is what Azure documents since 2024.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// ARM, reads of a principal in a subscription.
    pub reads: Rate,
    /// ARM, writes.
    pub writes: Rate,
    /// ARM, deletes.
    pub deletes: Rate,
    /// How many times a principal's limit the whole subscription has.
    pub global_factor: u64,
    /// Microsoft.Network, writes and deletes in five minutes.
    pub network_writes: u64,
    /// Microsoft.Network, reads in five minutes.
    pub network_reads: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reads: Rate { size: 250, per_second: 25 },
            writes: Rate { size: 200, per_second: 10 },
            deletes: Rate { size: 200, per_second: 10 },
            global_factor: 15,
            network_writes: 1000,
            network_reads: 10_000,
        }
    }
}

impl Limits {
    fn arm(&self, verb: Verb) -> Rate {
        match verb {
            Verb::Read => self.reads,
            Verb::Write => self.writes,
            Verb::Delete => self.deletes,
        }
    }
}

/// The state of all throttles.
#[derive(Debug, Default)]
pub(crate) struct Throttles {
    principals: BTreeMap<(String, String, Verb), Bucket>,
    subscriptions: BTreeMap<(String, Verb), Bucket>,
    network: BTreeMap<(String, bool), Quota>,
}

impl Throttles {
    /// Lets a request through ARM, with the headers that say what remains, or refuses it.
    pub(crate) fn arm(
        &mut self,
        now: u64,
        limits: &Limits,
        (subscription, principal): (&str, &str),
        verb: Verb,
        operation: &str,
    ) -> Result<[(&'static str, String); 2], Answer> {
        let rate = limits.arm(verb);
        let wide = Rate { size: rate.size * limits.global_factor, per_second: rate.per_second * limits.global_factor };
        let own = self.principals.entry((subscription.to_owned(), principal.to_owned(), verb)).or_default();
        let shared = self.subscriptions.entry((subscription.to_owned(), verb)).or_default();
        let refuse = |seconds: u64| {
            let message = format!(
                "Number of requests for subscription '{subscription}' and operation '{operation}' exceeded the \
                 backend storage limit. Please try again after '{seconds}' seconds."
            );
            Answer::arm(429, "SubscriptionRequestsThrottled", &message).with("retry-after", &seconds)
        };
        let all = shared.take(now, wide).map_err(refuse)?;
        let left = own.take(now, rate).map_err(refuse)?;
        let (name, global) = verb.remaining();
        Ok([(name, left.to_string()), (global, all.to_string())])
    }

    /// Lets a request through the network provider, or refuses it.
    pub(crate) fn network(&mut self, now: u64, limits: &Limits, subscription: &str, verb: Verb) -> Result<(), Answer> {
        let reads = verb == Verb::Read;
        let most = if reads { limits.network_reads } else { limits.network_writes };
        let quota = self.network.entry((subscription.to_owned(), reads)).or_default();
        quota.take(now, most).map_err(|seconds| {
            let message = format!(
                "Subscription {subscription} was used to perform too many calls within last 5 minutes. The number of \
                 calls exceeds Microsoft.Network throttling limit. The call can be retried in {seconds} seconds."
            );
            Answer::retryable("RetryableErrorDueToTooManyCalls", &message, seconds)
        })
    }
}

/// A token bucket. What was refused stays refused until the announced time, whatever flows in.
#[derive(Debug, Default)]
struct Bucket {
    /// Thousandths of tokens that were taken and have not flowed back.
    taken: u64,
    at: u64,
    closed_until: u64,
}

impl Bucket {
    /// Takes one; what remains, or the seconds to wait.
    fn take(&mut self, now: u64, rate: Rate) -> Result<u64, u64> {
        self.taken = self.taken.saturating_sub(now.saturating_sub(self.at).saturating_mul(rate.per_second));
        self.at = now;
        let size = rate.size.saturating_mul(1000);
        if now < self.closed_until {
            return Err((self.closed_until - now).div_ceil(1000));
        }
        let missing = self.taken.saturating_add(1000).saturating_sub(size);
        if missing > 0 {
            let seconds = missing.div_ceil(rate.per_second.max(1) * 1000).max(1);
            self.closed_until = now + seconds * 1000;
            return Err(seconds);
        }
        self.taken += 1000;
        Ok((size - self.taken) / 1000)
    }
}

/// A quota of five minutes.
#[derive(Debug, Default)]
struct Quota {
    since: u64,
    used: u64,
}

impl Quota {
    fn take(&mut self, now: u64, most: u64) -> Result<(), u64> {
        const SPAN: u64 = 300_000;
        if now >= self.since + SPAN {
            *self = Self { since: now, used: 0 };
        }
        if self.used >= most {
            return Err((self.since + SPAN - now).div_ceil(1000).max(1));
        }
        self.used += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: (&str, &str) = ("s", "p");

    #[test]
    fn a_write_bucket_empties_and_fills() {
        let (mut throttles, limits) = (Throttles::default(), Limits::default());
        for left in (0..200).rev() {
            let headers = throttles.arm(0, &limits, WHO, Verb::Write, "PUT/X").unwrap();
            assert_eq!(headers[0], ("x-ms-ratelimit-remaining-subscription-writes", left.to_string()));
        }
        let refused = throttles.arm(0, &limits, WHO, Verb::Write, "PUT/X").unwrap_err();
        assert_eq!(refused.status, 429);
        assert_eq!(refused.headers, [("retry-after", "1".to_owned())]);
        assert_eq!(
            refused.body.unwrap()["error"]["message"],
            "Number of requests for subscription 's' and operation 'PUT/X' exceeded the backend storage limit. \
             Please try again after '1' seconds."
        );
        assert!(throttles.arm(999, &limits, WHO, Verb::Write, "PUT/X").is_err(), "refused before Retry-After");
        assert!(throttles.arm(1000, &limits, WHO, Verb::Write, "PUT/X").is_ok());
        assert!(throttles.arm(1000, &limits, ("s", "other"), Verb::Write, "PUT/X").is_ok());
        assert!(throttles.arm(1000, &limits, WHO, Verb::Read, "GET/X").is_ok());
    }

    #[test]
    fn the_subscription_has_a_limit_of_its_own() {
        let limits = Limits { global_factor: 1, ..Limits::default() };
        let mut throttles = Throttles::default();
        for _ in 0..200 {
            throttles.arm(0, &limits, ("s", "a"), Verb::Delete, "").unwrap();
        }
        assert!(throttles.arm(0, &limits, ("s", "b"), Verb::Delete, "").is_err());
    }

    #[test]
    fn the_network_quota_is_of_five_minutes() {
        let (mut throttles, limits) = (Throttles::default(), Limits::default());
        for _ in 0..1000 {
            throttles.network(1000, &limits, "s", Verb::Write).unwrap();
        }
        let refused = throttles.network(262_000, &limits, "s", Verb::Delete).unwrap_err();
        let error = &refused.body.unwrap()["error"];
        assert_eq!(error["code"], "RetryableError");
        assert_eq!(error["details"][0]["code"], "RetryableErrorDueToTooManyCalls");
        assert_eq!(
            error["details"][0]["message"],
            "Subscription s was used to perform too many calls within last 5 minutes. The number of calls exceeds \
             Microsoft.Network throttling limit. The call can be retried in 38 seconds."
        );
        assert!(throttles.network(262_000, &limits, "s", Verb::Read).is_ok());
        assert!(throttles.network(300_000, &limits, "s", Verb::Write).is_ok());
    }
}
