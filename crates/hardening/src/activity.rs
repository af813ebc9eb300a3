//! What one connection is doing, as seen from below and above its HTTP state machine.
//!
//! The stream wrapper, the service wrapper and the bodies write here; the connection's own loop
//! reads. All of them run in one task, so every access is relaxed and uncontended: the atomics
//! are there because hyper owns the parts that write, not because threads meet here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::lease::Lease;
use crate::slots::Occupancy;

/// What a connection's time is spent on, and so which clock runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A request head is on its way, or the connection is new.
    Head,
    /// Nothing is on its way in either direction.
    Idle,
    /// The service is at work; its clocks are not the connection's.
    Busy,
    /// Response bytes wait for the peer.
    Blocked,
}

/// Shared state of one connection.
#[derive(Debug)]
pub(crate) struct Activity {
    occupancy: Occupancy,
    /// Requests in progress: called and their response bodies not yet dropped.
    requests: AtomicU32,
    /// Requests called so far.
    calls: AtomicU64,
    /// The latest request has a body.
    has_body: AtomicBool,
    /// The service has answered the latest request.
    answered: AtomicBool,
    /// HTTP/1: of the latest response, if it may be taken back.
    lease: Mutex<Option<Lease>>,
    /// Whether there is one, which is rare.
    leased: AtomicBool,
    /// HTTP/2: response bytes handed to the connection and not yet written.
    outstanding: AtomicU64,
    /// HTTP/2: answered streams that are held until their requests have ended.
    pub(crate) held_streams: AtomicU64,
    /// Bytes read from and written to the socket.
    pub(crate) read: AtomicU64,
    pub(crate) written: AtomicU64,
    /// The socket took no more bytes.
    pub(crate) write_blocked: AtomicBool,
    /// Bytes written that the peer had not acknowledged when the socket last took no more.
    pub(crate) unsent: AtomicU64,
    /// Bytes of a request head have been read that has not been called yet.
    pub(crate) head_open: AtomicBool,
    /// HTTP/1: what was read last does not end where a head can end. After a request without a
    /// body this means that a part of the next head came with it.
    pub(crate) head_cut: AtomicBool,
    /// HTTP/2: a frame that is not part of a head has been read in part.
    pub(crate) frame_open: AtomicBool,
    /// The last HTTP/1 response has been flushed, so whatever is written next without a call is
    /// the HTTP implementation's own answer to a request that it could not parse.
    pub(crate) flushed: AtomicBool,
    /// The peer has closed its side.
    pub(crate) ended: AtomicBool,
    /// The peer went over its allowance of control frames.
    pub(crate) flooded: AtomicBool,
    /// HTTP/1: a head says twice where its body ends.
    pub(crate) ambiguous: AtomicBool,
    /// What the peer has not taken when the stream is closed is to be discarded.
    pub(crate) discard: AtomicBool,
}

impl Activity {
    pub(crate) fn new(occupancy: Occupancy) -> Self {
        Self {
            occupancy,
            requests: AtomicU32::new(0),
            calls: AtomicU64::new(0),
            has_body: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            lease: Mutex::default(),
            leased: AtomicBool::new(false),
            outstanding: AtomicU64::new(0),
            held_streams: AtomicU64::new(0),
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            write_blocked: AtomicBool::new(false),
            unsent: AtomicU64::new(0),
            head_open: AtomicBool::new(false),
            head_cut: AtomicBool::new(false),
            frame_open: AtomicBool::new(false),
            flushed: AtomicBool::new(true),
            ended: AtomicBool::new(false),
            flooded: AtomicBool::new(false),
            ambiguous: AtomicBool::new(false),
            discard: AtomicBool::new(false),
        }
    }

    /// A request begins; it ends when the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>, has_body: bool) -> InProgress {
        if self.requests.fetch_add(1, Relaxed) == 0 {
            self.occupancy.busy();
        }
        self.calls.fetch_add(1, Relaxed);
        self.has_body.store(has_body, Relaxed);
        self.answered.store(false, Relaxed);
        // That of the response before this one is no business of it.
        if self.leased.swap(false, Relaxed) {
            *self.lease.lock() = None;
        }
        self.head_open.store(false, Relaxed);
        InProgress {
            activity: Arc::clone(self),
        }
    }

    pub(crate) fn in_progress(&self) -> bool {
        self.requests.load(Relaxed) > 0
    }

    /// Requests called so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    /// Whether the latest request has a body, of which some may never have been read.
    pub(crate) fn has_body(&self) -> bool {
        self.has_body.load(Relaxed)
    }

    /// Bytes that the peer has taken, as far as is known: what was written, less what it had not
    /// acknowledged when that was looked at last, which is whenever a write blocks.
    pub(crate) fn delivered(&self) -> u64 {
        let written = self.written.load(Relaxed);
        written.saturating_sub(self.unsent.load(Relaxed))
    }

    /// Bytes that have moved in either direction, as far as is known.
    pub(crate) fn moved(&self) -> u64 {
        self.delivered() + self.read.load(Relaxed)
    }

    /// HTTP/2: response bytes that the connection holds.
    fn outstanding(&self) -> u64 {
        self.outstanding.load(Relaxed)
    }

    /// Whether the service has answered the latest request, so that its head may have been sent.
    pub(crate) fn answered(&self) -> bool {
        self.answered.load(Relaxed)
    }

    /// HTTP/1: whether the response on its way has been taken back.
    pub(crate) fn is_revoked(&self) -> bool {
        self.leased.load(Relaxed)
            && (self.lease.lock())
                .as_ref()
                .is_some_and(|lease| !lease.holds())
    }

    /// HTTP/1: whether the response on its way may have to give way to a newcomer.
    pub(crate) fn gives_way(&self) -> bool {
        !self.leased.load(Relaxed) || self.lease.lock().as_ref().is_none_or(Lease::gives_way)
    }

    /// HTTP/2: whether its streams have to be checked now and then.
    pub(crate) fn needs_checks(&self) -> bool {
        self.outstanding() > 0 || self.held_streams.load(Relaxed) > 0
    }

    pub(crate) fn hand(&self, bytes: u64) {
        self.outstanding.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn take(&self, bytes: u64) {
        self.outstanding.fetch_sub(bytes, Relaxed);
    }

    fn busy(&self) -> bool {
        self.in_progress() || self.outstanding() > 0
    }

    /// No request is in progress and no part of a response left to write.
    pub(crate) fn rests(&self) -> bool {
        !self.busy() && self.flushed.load(Relaxed)
    }

    pub(crate) fn phase(&self) -> Phase {
        let busy = self.busy();
        let next_head_began = !busy
            && (self.frame_open.load(Relaxed) || self.head_cut.load(Relaxed) && !self.has_body());
        if self.write_blocked.load(Relaxed) {
            Phase::Blocked
        } else if self.head_open.load(Relaxed) || next_head_began || self.calls() == 0 {
            Phase::Head
        } else if busy {
            Phase::Busy
        } else {
            Phase::Idle
        }
    }
}

/// A request in progress.
#[derive(Debug)]
pub(crate) struct InProgress {
    activity: Arc<Activity>,
}

impl InProgress {
    /// The service has answered.
    pub(crate) fn answered(&self) {
        self.activity.answered.store(true, Relaxed);
    }

    /// HTTP/1: the response may be taken back, or may not.
    pub(crate) fn lend(&self, lease: Option<Lease>) {
        if lease.is_some() {
            *self.activity.lease.lock() = lease;
            self.activity.leased.store(true, Relaxed);
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.activity.requests.fetch_sub(1, Relaxed);
    }
}
