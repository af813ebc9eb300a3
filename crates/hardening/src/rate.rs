//! A token bucket that refuses instead of waiting, on one atomic word.
//!
//! This is the generic cell rate algorithm (ITU-T I.371, virtual scheduling): the word is the time
//! at which the bucket would be full again. A request moves it one emission interval ahead, and is
//! refused when that would put it further ahead of now than the burst. Equivalent to a bucket of
//! `burst × rate` tokens, without a task or a tick to refill it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::{Reason, Refusal};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A rate over all requests that share it; put it behind an `Arc`.
#[derive(Debug)]
pub struct RateLimiter {
    /// Zero of `full_at`.
    origin: Instant,
    burst: u64,
    /// Requests per second; 0 lifts the limit.
    per_second: AtomicU64,
    /// When the bucket is full again, in nanoseconds after `origin`.
    full_at: AtomicU64,
}

impl RateLimiter {
    /// `per_second` requests per second, 0 for no limit, of which `burst`'s worth (at least one)
    /// may come at once. The bucket starts full.
    ///
    /// The interval between requests is rounded up to a whole nanosecond, so that the limiter is
    /// never above the rate, and below it by at most a `per_second / 10⁹`-th part.
    pub fn new(per_second: u64, burst: Duration, now: Instant) -> Self {
        Self {
            origin: now,
            burst: u64::try_from(burst.as_nanos()).unwrap_or(u64::MAX),
            per_second: AtomicU64::new(per_second),
            full_at: AtomicU64::new(0),
        }
    }

    /// Changes the rate from now on; 0 lifts it. Lock-free: what was spent stays spent.
    pub fn set_rate(&self, per_second: u64) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }

    /// Requests per second; 0 when lifted.
    pub fn per_second(&self) -> u64 {
        self.per_second.load(Ordering::Relaxed)
    }

    /// Spends one token, or refuses with [`Reason::RateLimited`] and the exact time until the next.
    pub fn admit(&self, now: Instant) -> Result<(), Refusal> {
        let Some(interval) = self.interval() else {
            return Ok(());
        };
        let now = self.nanos(now);
        // Relaxed: the word guards no other memory.
        self.full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                self.next(full_at, now, interval).ok()
            })
            .map(|_| ())
            .map_err(|full_at| refusal(self.next(full_at, now, interval).err()))
    }

    /// Refuses as [`admit`](Self::admit) would, and spends nothing.
    pub fn check(&self, now: Instant) -> Result<(), Refusal> {
        let Some(interval) = self.interval() else {
            return Ok(());
        };
        let full_at = self.full_at.load(Ordering::Relaxed);
        match self.next(full_at, self.nanos(now), interval) {
            Ok(_) => Ok(()),
            Err(wait) => Err(refusal(Some(wait))),
        }
    }

    /// When the bucket would be full again after one more request, or how long that has to wait.
    fn next(&self, full_at: u64, now: u64, interval: u64) -> Result<u64, Duration> {
        let latest = now.saturating_add(self.burst.max(interval));
        let next = full_at.max(now).saturating_add(interval);
        if next <= latest {
            Ok(next)
        } else {
            Err(Duration::from_nanos(next - latest))
        }
    }

    /// Requests that would be admitted if they all came now; `u64::MAX` when lifted.
    pub fn remaining(&self, now: Instant) -> u64 {
        let Some(interval) = self.interval() else {
            return u64::MAX;
        };
        self.burst.max(interval).saturating_sub(self.debt(now)) / interval
    }

    /// Time until the whole burst is there again.
    pub fn reset_after(&self, now: Instant) -> Duration {
        match self.interval() {
            Some(_) => Duration::from_nanos(self.debt(now)),
            None => Duration::ZERO,
        }
    }

    /// How far the bucket is from full, in nanoseconds.
    fn debt(&self, now: Instant) -> u64 {
        self.full_at
            .load(Ordering::Relaxed)
            .saturating_sub(self.nanos(now))
    }

    /// Nanoseconds between two requests at the rate; `None` when lifted.
    fn interval(&self) -> Option<u64> {
        match self.per_second() {
            0 => None,
            rate => Some(NANOS_PER_SECOND.div_ceil(rate)),
        }
    }

    /// Nanoseconds after `origin`: 584 years fit. A clock reading before it counts as zero.
    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }
}

fn refusal(wait: Option<Duration>) -> Refusal {
    let refusal = Refusal::new(Reason::RateLimited, "too many requests per second");
    refusal.with_retry_after(wait.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const BURST: Duration = Duration::from_millis(100);

    #[test]
    fn a_burst_is_admitted_and_one_more_is_told_when_to_return() {
        let start = Instant::now();
        let limiter = RateLimiter::new(500, BURST, start);
        assert_eq!(limiter.remaining(start), 50);
        for left in (0..50).rev() {
            limiter.admit(start).unwrap();
            assert_eq!(limiter.remaining(start), left);
        }
        let refusal = limiter.admit(start).unwrap_err();
        assert_eq!(refusal.reason, Reason::RateLimited);
        let wait = refusal.retry_after.unwrap();
        assert_eq!(wait, Duration::from_millis(2));
        assert_eq!(limiter.reset_after(start), BURST);

        let early = start + wait - Duration::from_nanos(1);
        assert!(limiter.admit(early).is_err());
        limiter.admit(start + wait).unwrap();
        assert!(limiter.admit(start + wait).is_err());
    }

    #[test]
    fn a_rate_slower_than_its_burst_still_admits_one() {
        let start = Instant::now();
        let limiter = RateLimiter::new(2, BURST, start);
        limiter.admit(start).unwrap();
        assert_eq!(
            limiter.admit(start).unwrap_err().retry_after,
            Some(Duration::from_millis(500))
        );
        limiter.admit(start + Duration::from_millis(500)).unwrap();
    }

    #[test]
    fn zero_lifts_the_limit_and_a_rate_can_change_while_running() {
        let start = Instant::now();
        let limiter = RateLimiter::new(0, BURST, start);
        for _ in 0..10_000 {
            limiter.admit(start).unwrap();
        }
        assert_eq!(limiter.remaining(start), u64::MAX);
        assert_eq!(limiter.reset_after(start), Duration::ZERO);
        limiter.set_rate(10);
        limiter.admit(start).unwrap();
        assert!(limiter.admit(start).is_err());
        limiter.set_rate(0);
        limiter.admit(start).unwrap();
    }

    #[test]
    fn six_times_the_rate_offered_is_exactly_the_rate_admitted() {
        let start = Instant::now();
        for rate in [500, 1000, 8000] {
            let limiter = RateLimiter::new(rate, BURST, start);
            let step = Duration::from_nanos(NANOS_PER_SECOND / (rate * 6));
            // The first second spends the burst; the second shows the rate alone.
            let mut now = start;
            while now < start + Duration::from_secs(1) {
                let _ = limiter.admit(now);
                now += step;
            }
            let second = now;
            let mut admitted = 0u64;
            while now < second + Duration::from_secs(1) {
                admitted += u64::from(limiter.admit(now).is_ok());
                now += step;
            }
            assert!(admitted.abs_diff(rate) <= 1, "{admitted} of {rate}");
        }
    }

    #[test]
    fn threads_together_get_one_burst() {
        let start = Instant::now();
        let limiter = RateLimiter::new(1000, BURST, start);
        let admitted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).filter(|_| limiter.admit(start).is_ok()).count()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(admitted, 100);
    }

    proptest! {
        /// However requests arrive, no window of time sees more than its share and one burst.
        #[test]
        fn no_window_admits_more_than_rate_and_burst(
            rate in 1u64..5000,
            burst_ms in 0u64..500,
            gaps in prop::collection::vec(0u64..20_000_000, 1..300),
        ) {
            let start = Instant::now();
            let limiter = RateLimiter::new(rate, Duration::from_millis(burst_ms), start);
            let mut nanos = 0u64;
            let mut admitted = Vec::new();
            for gap in gaps {
                nanos += gap;
                if limiter.admit(start + Duration::from_nanos(nanos)).is_ok() {
                    admitted.push(nanos);
                }
            }
            // In billionths of a request, so that nothing is rounded.
            let second = u128::from(NANOS_PER_SECOND);
            let burst = (u128::from(rate) * u128::from(burst_ms) * 1_000_000).max(second);
            for (index, from) in admitted.iter().enumerate() {
                for (count, until) in (1u128..).zip(&admitted[index..]) {
                    prop_assert!(count * second <= burst + u128::from(rate) * u128::from(until - from));
                }
            }
        }

        /// A refused peer that comes back exactly when told is admitted, and not before.
        #[test]
        fn retry_after_is_exact(rate in 1u64..100_000, burst_ms in 0u64..100, ahead in 0u64..1_000_000) {
            let start = Instant::now();
            let limiter = RateLimiter::new(rate, Duration::from_millis(burst_ms), start);
            let now = start + Duration::from_nanos(ahead);
            let wait = loop {
                let checked = limiter.check(now);
                let admitted = limiter.admit(now);
                prop_assert_eq!(checked, admitted);
                if let Err(refusal) = admitted {
                    break refusal.retry_after.unwrap();
                }
            };
            prop_assert!(wait > Duration::ZERO);
            prop_assert!(limiter.admit(now + wait - Duration::from_nanos(1)).is_err());
            prop_assert!(limiter.admit(now + wait).is_ok());
        }
    }
}
