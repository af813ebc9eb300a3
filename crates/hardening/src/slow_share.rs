//! Who gives way when everything is taken: the slowest stream.
//!
//! A cap on what is in flight protects the node, and a few hundred slow readers can hold all of it
//! without breaking any other bound. So when a newcomer finds the cap reached, the stream that has
//! moved least over the last window is cut for it, if it is slow in absolute terms and has had its
//! time. A fast stream is never cut, and neither is a young one.
//!
//! A connection samples itself, and enters the list only once a request on it has lasted long
//! enough to give way: short requests never touch the list's lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Samples per window.
const SAMPLES: usize = 4;

/// When a stream has to give way.
#[derive(Clone, Copy, Debug)]
pub struct SlowShareLimits {
    /// It has moved fewer bytes per second than this ...
    pub rate: u64,
    /// ... over this long, ...
    pub window: Duration,
    /// ... and is older than this.
    pub age: Duration,
}

/// The streams of a service that may have to give way. Clones share the list.
#[derive(Clone, Debug)]
pub struct SlowShare {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: SlowShareLimits,
    /// At most one per connection.
    candidates: Mutex<Vec<Arc<Candidate>>>,
}

/// A connection on which something is slow.
#[derive(Debug)]
struct Candidate {
    /// Of its slowest stream that is old enough, bytes per second.
    rate: AtomicU64,
    cut: AtomicBool,
    connection: AtomicWaker,
}

impl SlowShare {
    /// An empty list under `limits`.
    pub fn new(limits: SlowShareLimits) -> Self {
        Self {
            shared: Arc::new(Shared {
                limits,
                candidates: Mutex::default(),
            }),
        }
    }

    /// Tells the connection with the slowest stream to cut it. False if none has to give way. What
    /// the stream held comes back as soon as its connection has run.
    pub fn cut_slowest(&self) -> bool {
        let candidates = self.shared.candidates.lock();
        let slowest = candidates
            .iter()
            .filter(|candidate| !candidate.cut.load(Relaxed))
            .min_by_key(|candidate| candidate.rate.load(Relaxed))
            .filter(|candidate| candidate.rate.load(Relaxed) < self.shared.limits.rate);
        let Some(slowest) = slowest else {
            return false;
        };
        slowest.cut.store(true, Relaxed);
        slowest.connection.wake();
        true
    }

    /// Between two samples of a stream's pace; never zero, which would leave time for nothing else.
    pub fn sample_interval(&self) -> Duration {
        (self.shared.limits.window / SAMPLES as u32).max(Duration::from_millis(1))
    }

    /// Bytes per second of a stream that is old enough to give way.
    pub fn rate(&self, pace: &Pace, now: Instant, count: u64) -> Option<u64> {
        let SlowShareLimits { window, age, .. } = self.shared.limits;
        if pace.taken < SAMPLES || now.saturating_duration_since(pace.since) <= age {
            return None;
        }
        // The oldest sample is the one that the next replaces: a window ago.
        let moved = count.saturating_sub(pace.samples[pace.taken % SAMPLES]);
        Some((moved as f64 / window.as_secs_f64()) as u64)
    }

    /// The same, of a stream that is slow enough to be cut now: what was published may be older
    /// than a change of its pace.
    pub fn slow_rate(&self, pace: &Pace, now: Instant, count: u64) -> Option<u64> {
        self.rate(pace, now, count)
            .filter(|rate| *rate < self.shared.limits.rate)
    }

    /// Enters a connection.
    pub fn enter(&self) -> SlowEntry {
        let candidate = Arc::new(Candidate {
            rate: AtomicU64::new(u64::MAX),
            cut: AtomicBool::new(false),
            connection: AtomicWaker::new(),
        });
        self.shared.candidates.lock().push(Arc::clone(&candidate));
        SlowEntry {
            share: self.clone(),
            candidate,
        }
    }
}

/// A connection's place in the list, until it is dropped.
#[derive(Debug)]
pub struct SlowEntry {
    share: SlowShare,
    candidate: Arc<Candidate>,
}

impl SlowEntry {
    /// The rate of the slowest stream that is old enough; none has to give way without one.
    pub fn publish(&self, rate: Option<u64>) {
        self.candidate.rate.store(rate.unwrap_or(u64::MAX), Relaxed);
    }

    /// Has a cut from now on wake the task; whether one has been asked for before.
    pub fn listen(&self, waker: &Waker) -> bool {
        self.candidate.connection.register(waker);
        self.candidate.cut.load(Relaxed)
    }

    /// Whether the slowest stream is to be cut: true once for every time that it was told.
    pub fn take_cut(&self, waker: &Waker) -> bool {
        let cut = self.listen(waker);
        if cut {
            // Nobody knows how slow the rest is until the next sample, so nobody asks again before.
            self.publish(None);
            self.candidate.cut.store(false, Relaxed);
        }
        cut
    }
}

impl Drop for SlowEntry {
    fn drop(&mut self) {
        let mut candidates = self.share.shared.candidates.lock();
        let own = |candidate: &Arc<Candidate>| Arc::ptr_eq(candidate, &self.candidate);
        if let Some(place) = candidates.iter().position(own) {
            candidates.swap_remove(place);
        }
    }
}

/// The bytes that a stream had moved at its latest samples.
#[derive(Debug)]
pub struct Pace {
    since: Instant,
    samples: [u64; SAMPLES],
    taken: usize,
}

impl Pace {
    /// A stream that begins now, with a running count of `count` bytes.
    pub fn new(now: Instant, count: u64) -> Self {
        Self {
            since: now,
            samples: [count; SAMPLES],
            taken: 1,
        }
    }

    /// Takes the running count again, a [sample interval](SlowShare::sample_interval) after the
    /// last time.
    pub fn sample(&mut self, count: u64) {
        self.samples[self.taken % SAMPLES] = count;
        self.taken += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SlowShareLimits = SlowShareLimits {
        rate: 64 * 1024,
        window: Duration::from_secs(2),
        age: Duration::from_secs(5),
    };

    /// The rate of a stream that moves `per_second` for `seconds`.
    fn rate_after(share: &SlowShare, per_second: u64, half_seconds: u64) -> Option<u64> {
        let start = Instant::now();
        let mut pace = Pace::new(start, 0);
        let mut rate = None;
        for half in 1..=half_seconds {
            let now = start + share.sample_interval() * u32::try_from(half).expect("small");
            let count = per_second * half / 2;
            rate = share.rate(&pace, now, count);
            pace.sample(count);
        }
        rate
    }

    #[test]
    fn the_rate_is_that_of_the_last_window_and_only_of_old_streams() {
        let share = SlowShare::new(LIMITS);
        assert_eq!(rate_after(&share, 1000, 10), None, "five seconds old");
        assert_eq!(rate_after(&share, 1000, 11), Some(1000));
        assert_eq!(rate_after(&share, 0, 11), Some(0));

        let start = Instant::now();
        let mut pace = Pace::new(start, 0);
        for _ in 0..20 {
            pace.sample(1_000_000_000);
        }
        let now = start + Duration::from_secs(10);
        assert_eq!(share.rate(&pace, now, 1_000_000_000), Some(0));
    }

    #[test]
    fn the_slowest_of_the_slow_gives_way_once() {
        let share = SlowShare::new(LIMITS);
        assert!(!share.cut_slowest(), "nobody is there");
        let [fast, slow, slowest] = [LIMITS.rate, 2000, 1000].map(|rate| {
            let entry = share.enter();
            entry.publish(Some(rate));
            entry
        });
        let young = share.enter();
        young.publish(None);
        let waker = Waker::noop();
        assert!(share.cut_slowest());
        assert!(slowest.listen(waker), "who only listens does not take it");
        assert!(slowest.take_cut(waker) && !slowest.take_cut(waker));
        assert!(share.cut_slowest());
        assert!(slow.take_cut(waker));
        assert!(!share.cut_slowest(), "fast and young ones never give way");
        assert!(!fast.take_cut(waker) && !young.take_cut(waker));

        slow.publish(Some(10));
        drop(slow);
        assert!(!share.cut_slowest(), "who has left cannot give way");
        assert_eq!(share.shared.candidates.lock().len(), 3);
    }
}
