//! When requests are due: the arithmetic of an open loop.

use std::time::{Duration, Instant};

/// Requests at a constant rate, shared out among threads: request `k` of all is due at `k / rate`
/// after the start, and thread `t` of `n` has those with `k mod n = t`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start: Instant,
    /// ns between two requests of all threads.
    period_ns: f64,
    thread: u64,
    threads: u64,
    /// How many of its own this thread has.
    pub(crate) total: u64,
}

impl Schedule {
    /// `rate` is in requests per second of all threads, over `time` from `start` on.
    pub(crate) fn new(
        start: Instant,
        rate: f64,
        time: Duration,
        thread: u32,
        threads: u32,
    ) -> Self {
        let mut schedule = Self {
            start,
            period_ns: 1e9 / rate,
            thread: thread.into(),
            threads: threads.into(),
            total: u64::MAX,
        };
        schedule.total = schedule.due_before(ns(time));
        schedule
    }

    /// ns from the start to when request `k` of this thread is due.
    fn due_ns(&self, k: u64) -> u64 {
        // Exact to a ns for a hundred days.
        ((k * self.threads + self.thread) as f64 * self.period_ns).round() as u64
    }

    /// When request `k` of this thread is due.
    pub(crate) fn due(&self, k: u64) -> Instant {
        self.start + Duration::from_nanos(self.due_ns(k))
    }

    /// How many requests of this thread are due within `ns` from the start, its end left out.
    fn due_before(&self, ns: u64) -> u64 {
        let all = ns as f64 / self.period_ns - self.thread as f64;
        let mut count = (all / self.threads as f64).max(0.0) as u64;
        // Rounding may be one off to either side.
        while count > 0 && self.due_ns(count - 1) >= ns {
            count -= 1;
        }
        while self.due_ns(count) < ns {
            count += 1;
        }
        count.min(self.total)
    }

    /// How many requests of this thread are due at `now`.
    pub(crate) fn due_by(&self, now: Instant) -> u64 {
        match now.checked_duration_since(self.start) {
            Some(since) => self.due_before(ns(since).saturating_add(1)),
            None => 0,
        }
    }
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use proptest::prelude::*;

    #[test]
    fn a_second_at_a_rate_is_that_many_requests() {
        let start = clock::now();
        let second = Duration::from_secs(1);
        for (rate, count) in [
            (1.0, 1),
            (2.0, 2),
            (400.0, 400),
            (50_000.0, 50_000),
            (0.5, 1),
        ] {
            let schedule = Schedule::new(start, rate, second, 0, 1);
            assert_eq!(schedule.total, count, "{rate}");
            assert_eq!(schedule.due(0), start);
        }
        let half = Schedule::new(start, 2.0, second, 0, 1);
        assert_eq!(half.due(1), start + second / 2);
        assert_eq!(half.due_by(start), 1, "the first one is due at once");
        assert_eq!(half.due_by(start + second / 2), 2);
        assert_eq!(
            half.due_by(start + 10 * second),
            2,
            "and no more than there are"
        );
    }

    proptest! {
        /// How many are due is consistent with when each is, at any rate and any time.
        #[test]
        fn as_many_are_due_as_have_a_time_that_has_come(
            rate in 0.1..500_000.0_f64, ns in 0..100_000_000_000_u64, threads in 1..8_u32, thread in 0..8_u32,
        ) {
            let start = clock::now();
            let schedule = Schedule::new(start, rate, Duration::MAX / 2, thread % threads, threads);
            let now = start + Duration::from_nanos(ns);
            let due = schedule.due_by(now);
            prop_assert!(due == 0 || schedule.due(due - 1) <= now);
            prop_assert!(schedule.due(due) > now);
        }

        /// Whatever the number of threads, all requests together are those of one.
        #[test]
        fn threads_share_the_requests_of_one(rate in 1.0..5_000.0_f64, threads in 1..8_u32) {
            let (start, time) = (clock::now(), Duration::from_millis(100));
            let one = Schedule::new(start, rate, time, 0, 1);
            let mut all: Vec<Instant> = (0..threads)
                .map(|thread| Schedule::new(start, rate, time, thread, threads))
                .flat_map(|share| (0..share.total).map(move |k| share.due(k)))
                .collect();
            all.sort();
            let expected: Vec<Instant> = (0..one.total).map(|k| one.due(k)).collect();
            prop_assert_eq!(all, expected);
        }
    }
}
