//! The node's clocks, read here and nowhere else.
//!
//! TTL runs on `CLOCK_BOOTTIME`, which goes on while the machine sleeps; dates shown to people
//! are wall time. Everything below this crate is handed a [`Now`] and has no clock of its own.

use micronode_engine::Now;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::Instant;

/// The present on both clocks, in milliseconds.
pub(crate) fn now() -> Now {
    let mono = since_epoch(ClockId::Boottime);
    let wall = since_epoch(ClockId::Realtime);
    let mono_ms = millis(mono);
    Now {
        mono_ms,
        // Cut to milliseconds each on its own, the clocks would lie one more or one less apart
        // from call to call, and the same expiry would be shown as two different dates.
        wall_ms: mono_ms + millis(wall.saturating_sub(mono)),
    }
}

/// The present for rates, deadlines and latencies.
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// CPU time that the calling thread has taken.
#[cfg(feature = "faults")]
pub(crate) fn thread_cpu() -> Duration {
    since_epoch(ClockId::ThreadCPUTime)
}

fn since_epoch(clock: ClockId) -> Duration {
    // Both clocks are past their epochs; a realtime clock set before 1970 reads as 0.
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A wall time in RFC 3339, UTC, to the millisecond.
pub(crate) fn rfc3339(wall_ms: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(wall_ms)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_move_together() {
        // Long enough to meet every phase of a millisecond.
        let apart: Vec<u64> = (0..100)
            .map(|_| {
                std::thread::sleep(Duration::from_micros(100));
                let now = now();
                now.wall_ms - now.mono_ms
            })
            .collect();
        // Once in a while the reader is interrupted between the two, or a clock is set.
        let changes = apart.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes < 10, "{changes} of 99: {apart:?}");
    }
}
