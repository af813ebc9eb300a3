//! The pace of a peer and of its streams, and the one timer of a connection.

use crate::node::Node;
use micronode_hardening::{Demand, Pace, Progress, SlowEntry, SlowShare};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that one stream has moved, in either direction.
pub(super) struct Moved {
    bytes: u64,
    pace: Pace,
}

impl Moved {
    pub(super) fn new(now: Instant) -> Self {
        Self::from(now, 0)
    }

    /// Counts on from `bytes`.
    pub(super) fn from(now: Instant, bytes: u64) -> Self {
        Self {
            bytes,
            pace: Pace::new(now, bytes),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    pub(super) fn set(&mut self, bytes: u64) {
        self.bytes = bytes;
    }

    /// Bytes per second, if the stream is old enough to give way.
    pub(super) fn sample(&mut self, share: &SlowShare, now: Instant) -> Option<u64> {
        let rate = share.rate(&self.pace, now, self.bytes);
        self.pace.sample(self.bytes);
        rate
    }

    /// The same, if it is slow enough to be cut now.
    pub(super) fn slow_rate(&self, share: &SlowShare, now: Instant) -> Option<u64> {
        share.slow_rate(&self.pace, now, self.bytes)
    }
}

/// A connection's place among those that may have to give way; entered with the first stream that
/// is sampled, left with the last.
pub(super) struct Slowness {
    share: SlowShare,
    entry: Option<SlowEntry>,
    next_sample: Option<Instant>,
}

impl Slowness {
    pub(super) fn new(share: SlowShare) -> Self {
        Self {
            share,
            entry: None,
            next_sample: None,
        }
    }

    /// Takes note of whether there are streams; samples them when it is time to.
    pub(super) fn observe<'a>(
        &mut self,
        now: Instant,
        streams: impl Iterator<Item = &'a mut Moved>,
        waker: &Waker,
    ) {
        let mut streams = streams.peekable();
        if streams.peek().is_none() {
            self.entry = None;
            self.next_sample = None;
            return;
        }
        let due = *self
            .next_sample
            .get_or_insert(now + self.share.sample_interval());
        if due > now {
            return;
        }
        self.next_sample = Some(now + self.share.sample_interval());
        let rates = streams.map(|moved| moved.sample(&self.share, now));
        let slowest = rates.flatten().min();
        if slowest.is_some() || self.entry.is_some() {
            let entry = self.entry.get_or_insert_with(|| self.share.enter());
            entry.publish(slowest);
            // A cut may have come before anybody listened.
            if entry.listen(waker) {
                waker.wake_by_ref();
            }
        }
    }

    /// Whether the slowest stream has to give way now.
    pub(super) fn take_cut(&self, waker: &Waker) -> bool {
        let entry = self.entry.as_ref();
        entry.is_some_and(|entry| entry.take_cut(waker))
    }

    pub(super) fn share(&self) -> &SlowShare {
        &self.share
    }

    pub(super) fn next_sample(&self) -> Option<Instant> {
        self.next_sample
    }
}

/// What a peer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// The rest of a frame.
    Frame,
    /// Its reading of what was written.
    Reading,
}

/// How fast a peer sends what it has begun, and takes what it is sent.
pub(super) struct Paces {
    demand: Demand,
    frame: Progress,
    /// Frames that had come when `frame` was looked at.
    frames: u64,
    reading: Progress,
}

impl Paces {
    pub(super) fn new(node: &Node) -> Self {
        Self {
            demand: node.limits.demand,
            frame: Progress::default(),
            frames: 0,
            reading: Progress::default(),
        }
    }

    /// Takes note of whether the peer is waited for in the middle of a frame; `received` counts
    /// bytes, `frames` whole frames.
    pub(super) fn frame(&mut self, now: Instant, is_open: bool, received: u64, frames: u64) {
        if frames != self.frames {
            // Every frame has the time that it takes.
            self.frame = Progress::default();
            self.frames = frames;
        }
        if is_open {
            self.frame.wait(now, received);
        } else {
            self.frame.pause(now, received);
        }
    }

    /// Takes note of whether the socket takes no more; `delivered` counts the bytes that the peer
    /// is known to have.
    pub(super) fn reading(&mut self, now: Instant, is_blocked: bool, delivered: u64) {
        if is_blocked {
            self.reading.wait(now, delivered);
        } else {
            self.reading = Progress::default();
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let paces = [&self.frame, &self.reading];
        let deadlines = paces.map(|pace| pace.deadline(self.demand));
        deadlines.into_iter().flatten().min()
    }

    pub(super) fn late(&self, now: Instant) -> Option<Late> {
        let is_late = |pace: &Progress| pace.deadline(self.demand).is_some_and(|at| at <= now);
        if is_late(&self.reading) {
            Some(Late::Reading)
        } else {
            is_late(&self.frame).then_some(Late::Frame)
        }
    }
}

/// The one timer of a connection: re-armed only when it fires, or must fire earlier.
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    armed: Option<Instant>,
}

impl Timer {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            sleep: Box::pin(sleep_until(now)),
            armed: None,
        }
    }

    /// Ready when `at` has come, or an earlier time that was asked for before.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        if self.armed.is_none_or(|armed| at < armed) {
            self.sleep.as_mut().reset(at);
            self.armed = Some(at);
        }
        let fired = self.sleep.as_mut().poll(cx);
        if fired.is_ready() {
            self.armed = None;
        }
        fired
    }
}
