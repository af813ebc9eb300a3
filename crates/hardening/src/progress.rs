//! Whether a peer that is waited for still moves: some bytes in every interval, and a least
//! average rate once the first interval is over.
//!
//! Only time spent waiting for the peer counts, so a slow service is never mistaken for a slow
//! reader. Pure: time and the running byte count are passed in, and may be sampled coarsely.

use std::time::Duration;

use tokio::time::Instant;

/// What is demanded of a peer that is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Some bytes move in every such interval, ...
    pub interval: Duration,
    /// ... and once the first is over, this many per second on average. `0` = any.
    pub min_rate: u64,
}

/// What a peer has done while it was waited for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// All the time spent waiting, and the bytes that moved in it.
    waited: Duration,
    moved: u64,
    /// The part of `waited` since bytes moved last.
    still: Duration,
    /// The latest sample, while waiting.
    waiting: Option<(Instant, u64)>,
}

impl Progress {
    /// The peer is being waited for; `count` is the running number of bytes moved.
    pub fn wait(&mut self, now: Instant, count: u64) {
        if let Some((at, before)) = self.waiting {
            let passed = now.saturating_duration_since(at);
            // Acknowledgements may be seen late, and so a count that is lower than the last.
            let moved = count.saturating_sub(before);
            self.waited += passed;
            self.moved += moved;
            self.still = if moved > 0 {
                Duration::ZERO
            } else {
                self.still + passed
            };
        }
        self.waiting = Some((now, count));
    }

    /// The peer is not being waited for now.
    pub fn pause(&mut self, now: Instant, count: u64) {
        if self.waiting.is_some() {
            self.wait(now, count);
            self.still = Duration::ZERO;
            self.waiting = None;
        }
    }

    /// When the peer fails the demand unless bytes move before: `None` while it is not waited
    /// for or nothing is demanded. The peer has failed when this is not in the future.
    pub fn deadline(&self, demand: Demand) -> Option<Instant> {
        let (at, _) = self.waiting?;
        let until_still = demand.interval.saturating_sub(self.still);
        let paid_for = (self.moved.saturating_mul(1_000_000))
            .checked_div(demand.min_rate)
            .map_or(Duration::MAX, Duration::from_micros);
        let until_slow = paid_for.max(demand.interval).saturating_sub(self.waited);
        at.checked_add(until_still.min(until_slow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMAND: Demand = Demand {
        interval: Duration::from_secs(5),
        min_rate: 4096,
    };

    /// Samples every `step`, with `per_step` bytes moving in each; the second it fails in.
    fn fails_after(per_step: u64, step: Duration, limit: Duration) -> Option<Duration> {
        let start = Instant::now();
        let mut progress = Progress::default();
        let mut passed = Duration::ZERO;
        let mut count = 0;
        progress.wait(start, count);
        while passed < limit {
            passed += step;
            count += per_step;
            progress.wait(start + passed, count);
            if progress.deadline(DEMAND)? <= start + passed {
                return Some(passed);
            }
        }
        None
    }

    #[test]
    fn a_peer_that_takes_nothing_fails_after_the_interval() {
        let second = Duration::from_secs(1);
        assert_eq!(fails_after(0, second, second * 60), Some(second * 5));
    }

    #[test]
    fn the_least_rate_holds_from_the_interval_on() {
        let second = Duration::from_secs(1);
        assert_eq!(fails_after(4097, second, second * 600), None);
        assert_eq!(fails_after(4096, second, second * 600), Some(second * 5));
        assert_eq!(fails_after(1, second, second * 600), Some(second * 5));
        // A burst pays for a while, but not for a pause of a whole interval.
        assert_eq!(fails_after(1 << 20, second * 5, second * 600), None);
    }

    #[test]
    fn time_that_is_not_spent_waiting_does_not_count() {
        let start = Instant::now();
        let mut progress = Progress::default();
        for minute in 0..10 {
            let begin = start + Duration::from_secs(60 * minute);
            progress.wait(begin, minute * 10_000);
            progress.pause(begin + Duration::from_secs(1), minute * 10_000 + 10_000);
            assert_eq!(progress.deadline(DEMAND), None);
        }
        progress.wait(start + Duration::from_secs(600), 100_000);
        let fails = progress.deadline(DEMAND);
        assert_eq!(fails, Some(start + Duration::from_secs(605)));
    }

    #[test]
    fn no_least_rate_leaves_only_the_interval() {
        let start = Instant::now();
        let demand = Demand {
            min_rate: 0,
            ..DEMAND
        };
        let mut progress = Progress::default();
        progress.wait(start, 0);
        progress.wait(start + Duration::from_secs(100), 1);
        let fails = progress.deadline(demand);
        assert_eq!(fails, Some(start + Duration::from_secs(105)));
    }
}
