//! How slow the requests of a connection are, sampled while one of them is at work.

use std::task::Waker;

use tokio::time::Instant;

use crate::slow_share::{Pace, SlowEntry, SlowShare};

/// The connection's own samples, and its place among those that may have to give way.
pub(super) struct Slowness {
    share: SlowShare,
    /// What is sampled, while something is at work.
    work: Option<Work>,
    /// Held while something is old enough to give way.
    entry: Option<SlowEntry>,
}

struct Work {
    /// Requests called when the samples began: another request begins anew.
    calls: u64,
    pace: Pace,
    next_sample: Instant,
}

impl Slowness {
    pub(super) fn new(share: SlowShare) -> Self {
        Self {
            share,
            work: None,
            entry: None,
        }
    }

    pub(super) fn share(&self) -> &SlowShare {
        &self.share
    }

    /// Something is at work. `count` bytes have moved on the connection so far.
    pub(super) fn work(&mut self, calls: u64, count: u64) {
        if self.work.is_none() {
            self.begin(Instant::now(), calls, count);
        }
    }

    fn begin(&mut self, now: Instant, calls: u64, count: u64) {
        self.work = Some(Work {
            calls,
            pace: Pace::new(now, count),
            next_sample: now + self.share.sample_interval(),
        });
    }

    /// Nothing is at work.
    pub(super) fn rest(&mut self) {
        self.work = None;
        self.entry = None;
    }

    /// When to sample next.
    pub(super) fn next_sample(&self) -> Option<Instant> {
        self.work.as_ref().map(|work| work.next_sample)
    }

    /// Samples the connection as a whole, and says at what rate its one request moves, if that is
    /// old enough to give way.
    pub(super) fn sample(&mut self, now: Instant, calls: u64, count: u64) -> Option<u64> {
        let work = self.work.as_mut().filter(|work| work.calls == calls);
        let Some(work) = work else {
            self.begin(now, calls, count);
            return None;
        };
        let rate = self.share.rate(&work.pace, now, count);
        work.pace.sample(count);
        work.next_sample = now + self.share.sample_interval();
        rate
    }

    /// Whether the one request of the connection is still slow enough to be cut.
    pub(super) fn is_slow(&self, now: Instant, calls: u64, count: u64) -> bool {
        let work = self.work.as_ref().filter(|work| work.calls == calls);
        work.is_some_and(|work| self.share.slow_rate(&work.pace, now, count).is_some())
    }

    /// Says how slow the slowest request is, if any is old enough to give way.
    pub(super) fn publish(&mut self, rate: Option<u64>) {
        match (&self.entry, rate) {
            (None, None) => {}
            (Some(entry), rate) => entry.publish(rate),
            (None, rate) => {
                let entry = self.share.enter();
                entry.publish(rate);
                self.entry = Some(entry);
            }
        }
    }

    /// Has the task woken when the slowest request has to give way; whether it has to already.
    pub(super) fn listen(&self, waker: &Waker) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.listen(waker))
    }

    /// Whether the slowest request has to give way now.
    pub(super) fn take_cut(&self, waker: &Waker) -> bool {
        self.entry
            .as_ref()
            .is_some_and(|entry| entry.take_cut(waker))
    }
}
