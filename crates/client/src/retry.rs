//! When to try again: one policy, visible to the caller, for every operation.
//!
//! Whether and when is decided here and nowhere else. Whether a call is safe to repeat is for the
//! operation, which does not ask when it is not.

use std::mem;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Error;

/// How often and how long a call is repeated after a failure that may pass.
///
/// The time before attempt *n + 1* is drawn evenly from the upper half of
/// `first_delay × 2^(n-1)`, at most `max_delay`, so that clients refused together do not come
/// back together. A `Retry-After` of the node is a lower bound on that time. A download that
/// advances starts over with a full budget: what is bounded is time without progress.
///
/// A request that was refused for its token, which has then been renewed, is repeated once at
/// once. That is no attempt by this policy, because the node has not considered the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included; 0 counts as 1.
    pub attempts: u32,
    /// No attempt is started later than this after the first failure. How long an attempt itself
    /// takes is for the timeouts.
    pub total: Duration,
    /// Upper bound of the first delay.
    pub first_delay: Duration,
    /// Upper bound of any delay that the node did not ask for.
    pub max_delay: Duration,
}

impl RetryPolicy {
    /// One attempt.
    pub const NEVER: RetryPolicy = RetryPolicy {
        attempts: 1,
        total: Duration::ZERO,
        first_delay: Duration::ZERO,
        max_delay: Duration::ZERO,
    };

    /// The delay after `made` attempts, `failing` since the first of them failed, or `None` to give
    /// up. `fraction` is even in `0..=u32::MAX`.
    fn delay(
        &self,
        made: u32,
        failing: Duration,
        retry_after: Option<Duration>,
        fraction: u32,
    ) -> Option<Duration> {
        if made >= self.attempts {
            return None;
        }
        let doubled = 2u32.saturating_pow(made.saturating_sub(1));
        let ceiling = self.first_delay.saturating_mul(doubled).min(self.max_delay);
        let jittered = upper_half(ceiling, fraction);
        // Asked to stay away for a while: everyone was told the same, so the jitter comes on top.
        let delay = retry_after.map_or(jittered, |asked| asked.saturating_add(jittered));
        (failing.saturating_add(delay) <= self.total).then_some(delay)
    }
}

impl Default for RetryPolicy {
    /// 6 attempts within 30 s, delays from 100 ms to 5 s.
    fn default() -> Self {
        RetryPolicy {
            attempts: 6,
            total: Duration::from_secs(30),
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
        }
    }
}

/// The attempts of one call so far.
pub(crate) struct Attempts {
    policy: RetryPolicy,
    /// When the first attempt failed, since something came through.
    failing_since: Option<Instant>,
    made: u32,
    /// It was repeated because the token was renewed.
    renewed: bool,
}

impl Attempts {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Attempts {
            policy,
            failing_since: None,
            made: 0,
            renewed: false,
        }
    }

    /// Something came through: the budget is full again.
    pub(crate) fn progressed(&mut self) {
        self.failing_since = None;
        self.made = 0;
        self.renewed = false;
    }

    /// What has no end was cut after this time, which is progress if nobody would have waited as
    /// long for it.
    pub(crate) fn lasted(&mut self, time: Duration) {
        if time >= self.policy.max_delay {
            self.progressed();
        }
    }

    /// Waits for the next attempt, or gives the error back when there shall be none.
    pub(crate) async fn pause_after(&mut self, error: Error) -> Result<(), Error> {
        if error.is_renewed() && !mem::replace(&mut self.renewed, true) {
            return Ok(());
        }
        self.made += 1;
        if !error.is_retryable() {
            return Err(error);
        }
        let failing_since = *self.failing_since.get_or_insert_with(Instant::now);
        match self.policy.delay(
            self.made,
            failing_since.elapsed(),
            error.retry_after(),
            fraction(),
        ) {
            Some(delay) => {
                sleep(delay).await;
                Ok(())
            }
            None => Err(error),
        }
    }
}

/// Nothing came of a request, made at `asked`, that the node was to let wait for `wait`. Pauses if
/// it did not, as one that drains, lest it be asked without end; whether that is so.
pub(crate) async fn pause_if_early(asked: Instant, wait: Duration) -> bool {
    let waited = asked.elapsed();
    if waited >= wait / 2 {
        return false;
    }
    sleep(upper_half(EARLY, fraction()).min(wait - waited)).await;
    true
}

/// The longest of those pauses.
const EARLY: Duration = Duration::from_secs(1);

fn upper_half(ceiling: Duration, fraction: u32) -> Duration {
    ceiling / 2 + (ceiling / 2).mul_f64(f64::from(fraction) / f64::from(u32::MAX))
}

/// Even in `0..=u32::MAX`. Without randomness the delays are merely less spread.
fn fraction() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::TransportError;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn delays_double_up_to_the_cap_and_stay_in_their_upper_half() {
        let policy = RetryPolicy {
            attempts: 9,
            total: 3600 * 1000 * MS,
            first_delay: 100 * MS,
            max_delay: 1000 * MS,
        };
        for (made, ceiling) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (8, 1000)] {
            assert_eq!(
                policy.delay(made, Duration::ZERO, None, 0),
                Some(ceiling * MS / 2)
            );
            assert_eq!(
                policy.delay(made, Duration::ZERO, None, u32::MAX),
                Some(ceiling * MS)
            );
        }
    }

    #[test]
    fn attempts_are_capped() {
        let policy = RetryPolicy {
            attempts: 3,
            ..RetryPolicy::default()
        };
        assert!(policy.delay(2, Duration::ZERO, None, 0).is_some());
        assert_eq!(policy.delay(3, Duration::ZERO, None, 0), None);
        assert_eq!(RetryPolicy::NEVER.delay(1, Duration::ZERO, None, 0), None);
        let none = RetryPolicy {
            attempts: 0,
            ..RetryPolicy::default()
        };
        assert_eq!(none.delay(1, Duration::ZERO, None, 0), None);
    }

    #[test]
    fn no_attempt_starts_after_the_total() {
        let policy = RetryPolicy {
            attempts: 9,
            total: 1000 * MS,
            first_delay: 100 * MS,
            max_delay: 100 * MS,
        };
        assert_eq!(policy.delay(1, 900 * MS, None, u32::MAX), Some(100 * MS));
        assert_eq!(policy.delay(1, 901 * MS, None, u32::MAX), None);
    }

    #[test]
    fn the_node_sets_the_least_delay_and_an_hour_is_too_long() {
        let policy = RetryPolicy {
            first_delay: 10 * MS,
            ..RetryPolicy::default()
        };
        assert_eq!(
            policy.delay(1, Duration::ZERO, Some(2000 * MS), 0),
            Some(2005 * MS)
        );
        assert_eq!(
            policy.delay(1, Duration::ZERO, Some(3600 * 1000 * MS), 0),
            None
        );
        assert_eq!(
            policy.delay(1, Duration::ZERO, Some(Duration::MAX), 0),
            None
        );
    }

    #[test]
    fn extreme_policies_do_not_overflow() {
        let policy = RetryPolicy {
            attempts: u32::MAX,
            total: Duration::MAX,
            first_delay: Duration::MAX,
            max_delay: Duration::MAX / 2,
        };
        assert!(
            policy
                .delay(u32::MAX - 1, Duration::ZERO, None, u32::MAX)
                .is_some()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn progress_refills_the_budget_and_final_errors_end_it() {
        let mut attempts = Attempts::new(RetryPolicy {
            attempts: 2,
            ..RetryPolicy::default()
        });
        let lost = || Error::from(TransportError::Truncated);
        attempts.pause_after(lost()).await.unwrap();
        attempts.pause_after(lost()).await.unwrap_err();
        attempts.progressed();
        attempts.pause_after(lost()).await.unwrap();
        let mut attempts = Attempts::new(RetryPolicy::default());
        attempts
            .pause_after(Error::Protocol("final"))
            .await
            .unwrap_err();
    }

    /// Time used to count from the start of the first attempt: an upload of more than half a minute
    /// was never repeated, nor a download whose reader had paused for that long.
    #[tokio::test(start_paused = true)]
    async fn a_long_attempt_leaves_time_for_the_next() {
        let policy = RetryPolicy {
            total: 2000 * MS,
            first_delay: 1000 * MS,
            max_delay: 1000 * MS,
            attempts: 9,
        };
        let lost = || Error::from(TransportError::Truncated);
        let mut attempts = Attempts::new(policy);
        sleep(10 * policy.total).await;
        attempts.pause_after(lost()).await.unwrap();
        // From the first failure on, time counts whatever takes it.
        sleep(policy.total).await;
        attempts.pause_after(lost()).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_early_answer_is_followed_by_a_pause() {
        for (waited, pauses) in [
            (Duration::ZERO, 500..1001),
            (1999 * MS, 500..1001),
            (2000 * MS, 0..1),
            (4000 * MS, 0..1),
        ] {
            let asked = Instant::now();
            sleep(waited).await;
            let early = pause_if_early(asked, 4000 * MS).await;
            let paused = (asked.elapsed() - waited).as_millis();
            assert!(pauses.contains(&paused), "{waited:?}: {paused}");
            assert_eq!(early, !pauses.contains(&0));
        }
        // Who did not ask it to wait, and who had no time left.
        assert!(!pause_if_early(Instant::now(), Duration::ZERO).await);
    }
}
