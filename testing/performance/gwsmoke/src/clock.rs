//! The only place of this tool that reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Now, on the clock that latencies are taken from.
#[expect(
    clippy::disallowed_methods,
    reason = "a load tool measures time; everything else is handed it"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Time since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "a result says when it was measured"
)]
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
