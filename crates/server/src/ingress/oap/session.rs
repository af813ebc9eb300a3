//! One connection from its first byte to its last: the socket loop around `protocol::connection`.
//!
//! Backpressure goes down to the socket. Nothing more is taken from a peer that leaves its answers
//! unread, whose requests wait for the work that takes them, or whose next frame cannot be paid
//! for; and what is not taken is not read.

use super::inbox::Backlog;
use super::long_frame::LongFrame;
use super::memory::Held;
use super::pace::{Moved, Paces, Slowness, Timer};
use super::parked::Parked;
use super::stream::Stream;
use super::work::Work;
use crate::authority::Holder;
use crate::buffer::reserve;
use crate::call::CallError;
use crate::clock;
use crate::guard::admission::InProgress;
use crate::node::Node;
use bytes::BufMut;
use futures_util::stream::{FuturesUnordered, StreamExt};
use micronode_engine::{MemoryKind, Reservation};
use micronode_hardening::{DrainSignal, Occupancy, RateLimiter, Slot, Transport};
use micronode_protocol::ErrorCode;
use micronode_protocol::connection::{Connection, FrameCounts};
use micronode_protocol::limits::{
    LINGER_BYTES, LINGER_TIME, OAP_BACKLOG_BYTES, OAP_IDLE_FRAMES, OAP_IDLE_FRAMES_PER_SECOND,
    OAP_READ_BYTES, OAP_TURN_BYTES, OAP_UNREAD_PAUSE_BYTES, OAP_WRITE_AHEAD_BYTES,
};
use micronode_protocol::operation::CONTROL;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

/// [`OAP_IDLE_FRAMES`] at their rate.
const IDLE_BURST: Duration = Duration::from_secs(OAP_IDLE_FRAMES / OAP_IDLE_FRAMES_PER_SECOND);

/// Slices written at once.
const SLICES: usize = 64;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The peer has been told something that it should get to read.
    Told,
    /// There is nothing to be told.
    Silent,
    /// The peer does not read: what it has not taken is thrown away.
    Unread,
}

/// See the [module](self).
pub(super) struct Session<I> {
    pub(super) node: Arc<Node>,
    pub(super) peer: IpAddr,
    /// Who makes the requests that bring no capability of their own, as HELLO said.
    pub(super) holder: Option<Arc<Holder>>,
    /// When to ask next whether those who wait for an answer may still have it.
    pub(super) check_authority_at: Option<Instant>,
    pub(super) io: I,
    pub(super) slot: Slot,
    pub(super) occupancy: Occupancy,
    pub(super) drain: DrainSignal,
    /// The task that eviction and drain wake.
    pub(super) waker: Option<Waker>,

    pub(super) connection: Connection,
    pub(super) streams: HashMap<u64, Stream>,
    pub(super) work: FuturesUnordered<Work>,
    /// Streams that wait, which are none of `streams`.
    pub(super) parked: Parked,
    /// Requests whose answers are queued, and where they end on the scale of bytes written.
    pub(super) unwritten: VecDeque<(u64, InProgress)>,
    /// How fast those go, while there are any with permits.
    pub(super) leaving: Option<Moved>,
    /// Fields of an answer, before they are queued.
    pub(super) fields: Vec<u8>,

    /// Bytes of answers that wait for their turn and are held for nothing else.
    pub(super) owed: usize,
    /// Memory of answers that are read slice by slice.
    pub(super) held: Held,
    /// Pays for what is unread beyond a read buffer's worth.
    pub(super) pays_for_unread: Option<Reservation>,
    pub(super) long_frame: Option<LongFrame>,
    /// Why a long frame is thrown away, until it has passed.
    pub(super) skipped_for: Option<CallError>,
    pub(super) backlog: Backlog,
    /// Work since others had a turn: see [`OAP_TURN_BYTES`].
    pub(super) turn: usize,
    /// What the peer may send that asks for nothing, and how much of it was charged.
    idle_frames: RateLimiter,
    charged: u64,

    pub(super) paces: Paces,
    pub(super) slowness: Slowness,
    pub(super) timer: Timer,
    /// When buffers are let go of, if nothing happens before.
    pub(super) rest_at: Option<Instant>,
    /// Whether the slot counts the connection as busy.
    pub(super) is_busy: bool,
    /// Frames that had come when the slot was last told that it is not ...
    pub(super) occupied: FrameCounts,
    /// ... and when it was last asked whether buffers may go.
    pub(super) came: FrameCounts,
    /// The peer has closed its side.
    pub(super) ended: bool,
    pub(super) received: u64,
    /// Totals that the metrics include: bytes in and out, and frames.
    reported: (u64, u64, (FrameCounts, FrameCounts)),
}

/// Serves one connection until it ends: by the peer, by a bound, by `slot` being needed for
/// another or by the drain. Ends everything that the connection has begun when dropped.
pub(crate) async fn serve<I: Transport>(
    node: Arc<Node>,
    io: I,
    peer: IpAddr,
    slot: Slot,
    drain: DrainSignal,
) {
    let signal = drain.clone();
    let mut drain_started = pin!(signal.started());
    let mut session = Session::new(node, io, peer, slot, drain);
    let ending = poll_fn(|cx| session.poll(cx, drain_started.as_mut())).await;
    session.part(ending).await;
}

impl<I: Transport> Session<I> {
    fn new(node: Arc<Node>, io: I, peer: IpAddr, slot: Slot, drain: DrainSignal) -> Self {
        let now = clock::instant();
        Self {
            connection: Connection::new(node.limits.oap, now.into_std()),
            paces: Paces::new(&node),
            slowness: Slowness::new(node.data_plane.slow_share.clone()),
            timer: Timer::new(now),
            occupancy: slot.occupancy(),
            node,
            peer,
            holder: None,
            check_authority_at: None,
            io,
            slot,
            drain,
            waker: None,
            streams: HashMap::new(),
            work: FuturesUnordered::new(),
            parked: Parked::default(),
            unwritten: VecDeque::new(),
            leaving: None,
            fields: Vec::new(),
            owed: 0,
            held: Held::default(),
            pays_for_unread: None,
            long_frame: None,
            skipped_for: None,
            backlog: Backlog::default(),
            turn: 0,
            idle_frames: RateLimiter::new(OAP_IDLE_FRAMES_PER_SECOND, IDLE_BURST, now),
            charged: 0,
            rest_at: None,
            is_busy: false,
            occupied: FrameCounts::default(),
            came: FrameCounts::default(),
            ended: false,
            received: 0,
            reported: Default::default(),
        }
    }

    fn poll<D: Future<Output = ()>>(
        &mut self,
        cx: &mut Context<'_>,
        drain_started: Pin<&mut D>,
    ) -> Poll<Ending> {
        self.listen(cx, drain_started);
        self.turn = 0;
        let ending = loop {
            let now = clock::instant();
            let cut_short = self.take_events(now);
            self.poll_work(cx);
            self.poll_parked();
            self.consider_long_frame(now);
            self.produce();
            let wrote = match self.poll_write(cx, now) {
                Ok(count) => count,
                Err(_) => break Some(Ending::Silent),
            };
            if self.connection.queued() >= OAP_WRITE_AHEAD_BYTES {
                self.pass_on();
            }
            let read = match self.poll_read(cx) {
                Ok(count) => count,
                Err(_) => break Some(Ending::Silent),
            };
            if self.turn >= OAP_TURN_BYTES {
                // Others on this thread have a turn, and sockets are looked at before the next one:
                // waking oneself would be quicker, and blind to what the peer sends meanwhile.
                let _ = pin!(tokio::task::yield_now()).poll(cx);
                break self.tend(cx, now);
            }
            if wrote + read == 0 {
                if cut_short && self.may_take() {
                    continue;
                }
                break self.look(cx, now);
            }
        };
        self.report();
        ending.map_or(Poll::Pending, Poll::Ready)
    }

    /// Has eviction and the drain wake this task. Both remember it, so this is for the first poll,
    /// and the rare one from another task.
    fn listen<D: Future<Output = ()>>(&mut self, cx: &mut Context<'_>, drain: Pin<&mut D>) {
        let known = self.waker.as_ref();
        if known.is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
            self.parked.listen(cx.waker());
            // The answers are looked at in every poll.
            let _ = self.slot.poll_evicted(cx);
            if !self.drain.is_draining() {
                let _ = drain.poll(cx);
            }
        }
    }

    // --- In --------------------------------------------------------------------------------

    /// Takes what has come. True if a bound has cut it short: there may be more, which nobody will
    /// be woken for.
    fn take_events(&mut self, now: Instant) -> bool {
        while self.turn < OAP_TURN_BYTES && self.may_take() {
            let event = self.connection.poll_event(now.into_std());
            if !self.charge_idle_frames(now) {
                return false;
            }
            let Some(event) = event else {
                if !self.connection.is_frame_open() {
                    // The frame that it paid for has come to nothing.
                    self.long_frame = None;
                }
                return false;
            };
            self.event(event, now);
        }
        !self.connection.is_closing()
    }

    /// A peer may send some frames that ask for nothing. One that goes on and on is ended: false.
    fn charge_idle_frames(&mut self, now: Instant) -> bool {
        while self.charged < self.connection.idle_frames() {
            self.charged += 1;
            if self.idle_frames.admit(now).is_err() {
                let detail = "too many frames that ask for nothing";
                let error = CallError::new(ErrorCode::Overloaded, detail);
                self.refuse(0, CONTROL, &error);
                self.end();
                return false;
            }
        }
        true
    }

    /// Bytes that wait for the peer to read them, or are held until it has.
    pub(super) fn unread(&self) -> usize {
        (self.connection.queued() + self.owed).max(self.held.bytes())
    }

    /// Whether one more frame may be taken: see the [module](self).
    pub(super) fn may_take(&mut self) -> bool {
        let unread = self.unread();
        let most = self.node.limits.oap.max_streams;
        if self.connection.is_closing()
            || self.unwritten.len() >= most
            // Work that was cancelled holds what it holds until it is looked at.
            || self.work.len() >= 2 * most
            || self.backlog.load(Relaxed) >= OAP_BACKLOG_BYTES
            || unread >= OAP_UNREAD_PAUSE_BYTES
        {
            return false;
        }
        if unread < OAP_READ_BYTES || self.pays_for_unread.is_some() {
            return true;
        }
        self.pays_for_unread = reserve(
            &self.node.store,
            MemoryKind::Buffers,
            OAP_UNREAD_PAUSE_BYTES,
        )
        .ok();
        self.pays_for_unread.is_some()
    }

    /// Reads once; returns how many bytes came. Nothing is read that may not be taken.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        if self.ended || !self.may_take() {
            return Ok(0);
        }
        let mut spare = self.connection.spare();
        if !spare.has_remaining_mut() {
            return Ok(0);
        }
        let read = pin!(self.io.read_buf(&mut spare)).poll(cx);
        match read {
            Poll::Ready(Ok(0)) => {
                self.ended = true;
                Ok(0)
            }
            Poll::Ready(Ok(count)) => {
                self.received += count as u64;
                self.turn += count;
                if let Some(long_frame) = &mut self.long_frame {
                    long_frame.fill(self.connection.arrived() as u64);
                }
                Ok(count)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => {
                if self.received == 0 {
                    // Whoever only connects holds no memory.
                    self.connection.release();
                }
                Ok(0)
            }
        }
    }

    // --- Out -------------------------------------------------------------------------------

    fn poll_work(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(done)) = self.work.poll_next_unpin(cx) {
            // What was aborted has been forgotten.
            if let Ok(done) = done {
                self.done(done);
            }
        }
    }

    fn produce(&mut self) {
        // A long frame waits for room: what is queued goes first.
        if self.connection.long_frame().is_some() && self.owed == 0 && self.connection.queued() > 0
        {
            return;
        }
        while self.connection.queued() < OAP_WRITE_AHEAD_BYTES
            && self.turn < OAP_TURN_BYTES
            && !self.connection.is_closing()
        {
            let Some(corr_id) = self.connection.poll_turn() else {
                return;
            };
            self.go_on(corr_id);
        }
    }

    /// Writes what is queued, as far as the socket takes it; returns how many bytes it took.
    fn poll_write(&mut self, cx: &mut Context<'_>, now: Instant) -> io::Result<usize> {
        let mut total = 0;
        while self.connection.queued() > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.connection.slices(&mut slices);
            let written = Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..count]);
            match written {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.connection.handle_written(now.into_std(), count);
                    total += count;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        let _ = Pin::new(&mut self.io).poll_flush(cx)?;
        let written = self.connection.written();
        while self
            .unwritten
            .front()
            .is_some_and(|(end, _)| *end <= written)
        {
            self.unwritten.pop_front();
        }
        if self.unread() == 0 {
            self.pays_for_unread = None;
        }
        Ok(total)
    }

    /// Keeps what a request holds until the answer that was just queued has been written.
    pub(super) fn hold(&mut self, in_progress: InProgress) {
        self.unwritten
            .push_back((self.connection.end_of_queue(), in_progress));
    }

    // --- The end ---------------------------------------------------------------------------

    /// Nothing more is read or begun; the last word may still be written.
    pub(super) fn end(&mut self) {
        self.connection.close();
        self.long_frame = None;
        self.skipped_for = None;
        self.streams.clear();
        self.work = FuturesUnordered::new();
        self.parked.clear();
        self.owed = 0;
    }

    /// Adds what has moved since the last time to the node's totals.
    fn report(&mut self) {
        let now = (
            self.received,
            self.connection.written(),
            self.connection.frames(),
        );
        let before = std::mem::replace(&mut self.reported, now);
        let plane = &self.node.data_plane;
        if now.0 > before.0 {
            plane.bytes_in.fetch_add(now.0 - before.0, Relaxed);
        }
        if now.1 > before.1 {
            plane.bytes_out.fetch_add(now.1 - before.1, Relaxed);
        }
        self.node.metrics.oap_frames(now.2, before.2);
    }

    /// Closes. A peer that has been told something gets to read it: closing with bytes unread
    /// would reset the connection, and a reset overtakes what was written last.
    async fn part(mut self, ending: Ending) {
        self.end();
        self.unwritten.clear();
        match ending {
            Ending::Unread => self.io.discard_on_close(),
            Ending::Silent => {
                // Whether the peer still listens does not matter.
                let _ = timeout(LINGER_TIME, self.io.shutdown()).await;
            }
            Ending::Told => {
                self.slot.idle(clock::instant());
                let slot = &self.slot;
                let io = &mut self.io;
                let parting = timeout(LINGER_TIME, async {
                    io.shutdown().await?;
                    let mut bytes = [0; 4096];
                    let mut left = LINGER_BYTES;
                    while left > 0 {
                        let count = io.read(&mut bytes).await?;
                        if count == 0 {
                            break;
                        }
                        left = left.saturating_sub(count);
                    }
                    io::Result::Ok(())
                });
                tokio::select! {
                    _ = parting => {}
                    () = poll_fn(|cx| slot.poll_evicted(cx)) => {}
                }
            }
        }
    }
}
