//! Which clock runs for a connection, and when it has run out.
//!
//! Pure: fed with what the connection is doing after each time it was polled, it answers with
//! the next deadline. The current time is asked for only when the answer can have changed, which
//! for a kept-alive connection is once per request.

use std::time::Duration;

use tokio::time::Instant;

use crate::activity::Phase;
use crate::progress::{Demand, Progress};

/// The clock that has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// A request head was not complete in time.
    Head,
    /// Nothing was asked for too long.
    Idle,
    /// The peer did not take its response fast enough.
    Write,
}

/// Times that a connection is held to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    pub(crate) head: Duration,
    pub(crate) idle: Duration,
    pub(crate) write: Demand,
}

#[derive(Debug)]
pub(crate) struct Watchdog {
    deadlines: Deadlines,
    phase: Phase,
    /// Requests called when `phase` was seen.
    calls: u64,
    /// When the head in progress began.
    head_since: Instant,
    /// When work was seen last. Frames that ask for nothing do not move it.
    idle_since: Instant,
    write: Progress,
}

impl Watchdog {
    /// A connection that has just been accepted: its first head has begun.
    pub(crate) fn new(deadlines: Deadlines, now: Instant) -> Self {
        Self {
            deadlines,
            phase: Phase::Head,
            calls: 0,
            head_since: now,
            idle_since: now,
            write: Progress::default(),
        }
    }

    /// What the connection does now: its phase, the requests called so far and the bytes that the
    /// peer has taken so far.
    pub(crate) fn observe(
        &mut self,
        phase: Phase,
        calls: u64,
        delivered: u64,
        clock: impl FnOnce() -> Instant,
    ) {
        let unchanged = phase == self.phase && calls == self.calls;
        if unchanged && phase != Phase::Blocked {
            return;
        }
        let now = clock();
        let worked = calls != self.calls || matches!(self.phase, Phase::Busy | Phase::Blocked);
        match phase {
            Phase::Blocked => self.write.wait(now, delivered),
            Phase::Busy => self.write.pause(now, delivered),
            Phase::Head | Phase::Idle => self.write = Progress::default(),
        }
        if phase == Phase::Head {
            self.head_since = now;
        }
        if worked {
            self.idle_since = now;
        }
        self.phase = phase;
        self.calls = calls;
    }

    /// The peer has been asked to close at `now`, for which it has `idle` once nothing is worked on.
    pub(crate) fn closing(&mut self, now: Instant, idle: Duration) {
        self.deadlines.idle = self.deadlines.idle.min(idle);
        self.idle_since = self.idle_since.max(now);
    }

    /// Since when nothing has been worked on, if nothing is.
    pub(crate) fn idle_since(&self) -> Instant {
        self.idle_since
    }

    /// When to look again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Head => self.head_since.checked_add(self.deadlines.head),
            Phase::Idle => self.idle_since.checked_add(self.deadlines.idle),
            Phase::Busy => None,
            Phase::Blocked => self.write.deadline(self.deadlines.write),
        }
    }

    /// The clock that has run out at `now`.
    pub(crate) fn expired(&self, now: Instant) -> Option<Expiry> {
        let deadline = self.deadline()?;
        (deadline <= now).then_some(match self.phase {
            Phase::Head => Expiry::Head,
            Phase::Blocked => Expiry::Write,
            Phase::Idle | Phase::Busy => Expiry::Idle,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn watchdog(start: Instant) -> Watchdog {
        let deadlines = Deadlines {
            head: 5 * SECOND,
            idle: 60 * SECOND,
            write: Demand {
                interval: 5 * SECOND,
                min_rate: 4096,
            },
        };
        Watchdog::new(deadlines, start)
    }

    #[test]
    fn the_first_head_counts_from_the_start_however_it_dribbles() {
        let start = Instant::now();
        let mut watchdog = watchdog(start);
        for _ in 0..4 {
            watchdog.observe(Phase::Head, 0, 0, || unreachable!("nothing changed"));
        }
        assert_eq!(watchdog.expired(start + 4 * SECOND), None);
        assert_eq!(watchdog.expired(start + 5 * SECOND), Some(Expiry::Head));
    }

    #[test]
    fn a_later_head_counts_from_its_first_byte_and_idleness_from_the_last_request() {
        let start = Instant::now();
        let mut watchdog = watchdog(start);
        let ended = start + SECOND;
        watchdog.observe(Phase::Idle, 1, 0, || ended);
        assert_eq!(watchdog.deadline(), Some(ended + 60 * SECOND));

        let byte = start + 30 * SECOND;
        watchdog.observe(Phase::Head, 1, 0, || byte);
        assert_eq!(watchdog.expired(byte + 5 * SECOND), Some(Expiry::Head));

        // A frame that asked for nothing: the idle time goes on where it was.
        let later = start + 31 * SECOND;
        watchdog.observe(Phase::Idle, 1, 0, || later);
        assert_eq!(watchdog.expired(ended + 60 * SECOND), Some(Expiry::Idle));
    }

    #[test]
    fn a_busy_connection_has_no_deadline_and_a_blocked_one_has() {
        let start = Instant::now();
        let mut watchdog = watchdog(start);
        watchdog.observe(Phase::Busy, 1, 0, || start);
        assert_eq!(watchdog.deadline(), None);

        watchdog.observe(Phase::Blocked, 1, 100, || start + SECOND);
        assert_eq!(watchdog.expired(start + 6 * SECOND), Some(Expiry::Write));
        watchdog.observe(Phase::Blocked, 1, 100_100, || start + 3 * SECOND);
        assert_eq!(watchdog.deadline(), Some(start + 8 * SECOND));

        let ended = start + 4 * SECOND;
        watchdog.observe(Phase::Idle, 1, 200_000, || ended);
        // The next response starts with a clean slate.
        watchdog.observe(Phase::Blocked, 2, 200_000, || start + 9 * SECOND);
        assert_eq!(watchdog.deadline(), Some(start + 14 * SECOND));
    }

    #[test]
    fn a_request_served_between_two_looks_restarts_the_idle_time() {
        let start = Instant::now();
        let mut watchdog = watchdog(start);
        for served in 1..4 {
            let now = start + SECOND * u32::try_from(served).expect("small");
            watchdog.observe(Phase::Idle, served, 0, || now);
            assert_eq!(watchdog.deadline(), Some(now + 60 * SECOND));
        }
    }
}
