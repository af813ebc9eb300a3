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
    Now {
        mono_ms: millis(ClockId::Boottime),
        wall_ms: millis(ClockId::Realtime),
    }
}

/// The present for rates, deadlines and latencies.
pub(crate) fn instant() -> Instant {
    Instant::now()
}

fn millis(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Both clocks are past their epochs; a realtime clock set before 1970 reads as 0.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

/// A wall time in RFC 3339, UTC, to the millisecond.
pub(crate) fn rfc3339(wall_ms: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(wall_ms)).to_string()
}
