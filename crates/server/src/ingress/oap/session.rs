//! One connection from its first byte to its last: the socket loop around `protocol::connection`.
//!
//! Backpressure goes down to the socket. Nothing more is taken from a peer that leaves its answers
//! unread, whose requests wait for the work that takes them, or whose next frame cannot be paid
//! for; and what is not taken is not read.

use super::inbox::Backlog;
use super::memory;
use super::pace::{Late, Moved, Paces, Slowness, Timer};
use super::requests::Work;
use super::stream::Stream;
use crate::call::CallError;
use crate::clock;
use crate::guard::admission::InProgress;
use crate::node::Node;
use bytes::BufMut;
use futures_util::stream::{FuturesUnordered, StreamExt};
use micronode_engine::{MemoryKind, Reservation};
use micronode_hardening::{DrainSignal, Occupancy, Slot, Transport};
use micronode_protocol::ErrorCode;
use micronode_protocol::connection::{Connection, Expired, FrameCounts};
use micronode_protocol::limits::{
    LINGER_BYTES, LINGER_TIME, OAP_BACKLOG_BYTES, OAP_READ_BYTES, OAP_TURN_BYTES, OAP_UNREAD_BYTES,
    OAP_UNREAD_PAUSE_BYTES, OAP_WRITE_AHEAD_BYTES,
};
use micronode_protocol::operation::CONTROL;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

/// Slices written at once.
const SLICES: usize = 64;

/// A connection at rest keeps its buffers for this long: the next request is likely to be near.
const REST: Duration = Duration::from_secs(1);

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
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
    io: I,
    slot: Slot,
    occupancy: Occupancy,
    drain: DrainSignal,
    /// The task that eviction and drain wake.
    waker: Option<Waker>,

    pub(super) connection: Connection,
    pub(super) streams: HashMap<u64, Stream>,
    pub(super) work: FuturesUnordered<Work>,
    /// Requests whose answers are queued, and where they end on the scale of bytes written.
    unwritten: VecDeque<(u64, InProgress)>,
    /// How fast those go, while there are any with permits.
    leaving: Option<Moved>,
    /// Fields of an answer, before they are queued.
    pub(super) fields: Vec<u8>,

    /// Bytes of answers that wait for their turn and are held for nothing else.
    pub(super) owed: usize,
    /// Pays for what is unread beyond a read buffer's worth.
    unread: Option<Reservation>,
    /// Pays for the long frame that is being read.
    pub(super) long_frame: Option<Reservation>,
    pub(super) backlog: Backlog,

    paces: Paces,
    slowness: Slowness,
    timer: Timer,
    /// When buffers are let go of, if nothing happens before.
    rest_at: Option<Instant>,
    /// Whether the slot counts the connection as busy.
    is_busy: bool,
    /// Frames that had come when the slot was last told that it is not.
    occupied: FrameCounts,
    /// The peer has closed its side.
    ended: bool,
    received: u64,
    /// Totals that the metrics include: bytes in and out, and frames.
    reported: (u64, u64, (FrameCounts, FrameCounts)),
}

/// Serves one connection until it ends: by the peer, by a bound, by `slot` being needed for
/// another or by the drain. Ends everything that the connection has begun when dropped.
pub(crate) async fn serve<I: Transport>(node: Arc<Node>, io: I, slot: Slot, drain: DrainSignal) {
    let signal = drain.clone();
    let mut drain_started = pin!(signal.started());
    let mut session = Session::new(node, io, slot, drain);
    let ending = poll_fn(|cx| session.poll(cx, drain_started.as_mut())).await;
    session.part(ending).await;
}

impl<I: Transport> Session<I> {
    fn new(node: Arc<Node>, io: I, slot: Slot, drain: DrainSignal) -> Self {
        let now = clock::instant();
        Self {
            connection: Connection::new(node.limits.oap, now.into_std()),
            paces: Paces::new(&node),
            slowness: Slowness::new(node.data_plane.slow_share.clone()),
            timer: Timer::new(now),
            occupancy: slot.occupancy(),
            node,
            io,
            slot,
            drain,
            waker: None,
            streams: HashMap::new(),
            work: FuturesUnordered::new(),
            unwritten: VecDeque::new(),
            leaving: None,
            fields: Vec::new(),
            owed: 0,
            unread: None,
            long_frame: None,
            backlog: Backlog::default(),
            rest_at: None,
            is_busy: false,
            occupied: FrameCounts::default(),
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
        let mut moved = 0;
        let ending = loop {
            let now = clock::instant();
            let cut_short = self.take_events(now);
            self.poll_work(cx);
            self.produce();
            let wrote = match self.poll_write(cx, now) {
                Ok(count) => count,
                Err(_) => break Some(Ending::Silent),
            };
            let read = match self.poll_read(cx) {
                Ok(count) => count,
                Err(_) => break Some(Ending::Silent),
            };
            moved += wrote + read;
            if wrote + read == 0 {
                if cut_short && self.may_take() {
                    continue;
                }
                break self.look(cx, now);
            }
            if moved >= OAP_TURN_BYTES {
                // Others on this thread have a turn, and sockets are looked at before the next one:
                // waking oneself would be quicker, and blind to what the peer sends meanwhile.
                let _ = pin!(tokio::task::yield_now()).poll(cx);
                break None;
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
        while self.may_take() {
            let Some(event) = self.connection.poll_event(now.into_std()) else {
                if !self.connection.is_frame_open() {
                    // The frame that it paid for has come to nothing.
                    self.long_frame = None;
                }
                self.consider_long_frame();
                return false;
            };
            self.event(event, now);
        }
        !self.connection.is_closing()
    }

    /// Whether one more frame may be taken: see the [module](self).
    fn may_take(&mut self) -> bool {
        let unread = self.connection.queued() + self.owed;
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
        if unread < OAP_READ_BYTES || self.unread.is_some() {
            return true;
        }
        self.unread = memory::reserve(&self.node, MemoryKind::Buffers, OAP_UNREAD_PAUSE_BYTES).ok();
        self.unread.is_some()
    }

    /// A frame that does not fit the read buffer waits until its answer could be held too, and is
    /// paid for, or else passed over.
    fn consider_long_frame(&mut self) {
        let Some(header) = self.connection.long_frame() else {
            return;
        };
        let length = header.len as usize;
        let unread = self.connection.queued() + self.owed;
        let reserved = self.unread.as_ref().map_or(0, Reservation::reserved);
        if unread > 0 && unread + reserved as usize + length > OAP_UNREAD_BYTES {
            return;
        }
        match memory::reserve(&self.node, MemoryKind::Buffers, length) {
            Ok(reservation) => {
                self.long_frame = Some(reservation);
                self.connection.grant_long_frame();
            }
            Err(_) => self.connection.skip_long_frame(),
        }
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
        while self.connection.queued() < OAP_WRITE_AHEAD_BYTES && !self.connection.is_closing() {
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
        if self.connection.queued() + self.owed == 0 {
            self.unread = None;
        }
        Ok(total)
    }

    /// Keeps what a request holds until the answer that was just queued has been written.
    pub(super) fn hold(&mut self, in_progress: InProgress) {
        self.unwritten
            .push_back((self.connection.end_of_queue(), in_progress));
    }

    // --- Time and the end ------------------------------------------------------------------

    /// Nothing moves: whether the connection is over, and when to look again.
    fn look(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<Ending> {
        let at_rest = self.connection.is_at_rest();
        if self.connection.is_closing() && self.connection.queued() == 0 {
            return Some(Ending::Told);
        }
        let owes_nothing = self.connection.queued() == 0 && !self.connection.owes_answers(false);
        if self.ended && owes_nothing && self.may_take() {
            return Some(Ending::Silent);
        }
        let drained = self.drain.is_draining() && !self.connection.is_frame_open();
        if at_rest && (self.slot.is_evicted() || drained) {
            return Some(Ending::Silent);
        }
        self.occupy(now, at_rest);
        if self.slowness.take_cut(cx.waker()) {
            self.cut_slowest(now);
            cx.waker().wake_by_ref();
        }
        self.poll_clocks(cx, now, at_rest)
    }

    fn poll_clocks(
        &mut self,
        cx: &mut Context<'_>,
        mut now: Instant,
        at_rest: bool,
    ) -> Option<Ending> {
        let lets_go = at_rest && !self.connection.is_frame_open() && self.connection.has_memory();
        self.rest_at = lets_go.then(|| self.rest_at.unwrap_or(now + REST));
        loop {
            self.observe_paces(now);
            let moved = self.streams.values_mut().map(|stream| &mut stream.moved);
            let moved = moved.chain(&mut self.leaving);
            self.slowness.observe(now, moved, cx.waker());
            let demand = self.node.limits.demand;
            let uploads = self.streams.values().filter_map(|it| it.deadline(demand));
            let deadlines = [
                self.connection.poll_timeout().map(Instant::from_std),
                self.paces.deadline(),
                uploads.min(),
                self.slowness.next_sample(),
                self.rest_at,
            ];
            let next = deadlines.into_iter().flatten().min()?;
            if self.timer.poll(cx, next).is_pending() {
                return None;
            }
            now = clock::instant();
            if self.rest_at.is_some_and(|at| at <= now) {
                self.rest_at = None;
                self.connection.release();
            }
            match self.connection.handle_timeout(now.into_std()) {
                Some(Expired::Hello { begun }) => {
                    let detail = "HELLO was not complete in time";
                    let error = CallError::new(ErrorCode::HeadTimeout, detail);
                    if begun {
                        self.refuse(0, CONTROL, &error);
                        self.end();
                        cx.waker().wake_by_ref();
                        return None;
                    }
                    self.node.metrics.oap_rejected(error.code);
                    return Some(Ending::Silent);
                }
                Some(Expired::Idle) => return Some(Ending::Silent),
                None => {}
            }
            self.observe_paces(now);
            match self.paces.late(now) {
                Some(Late::Reading) => {
                    self.node.metrics.oap_rejected(ErrorCode::BodyTimeout);
                    return Some(Ending::Unread);
                }
                Some(Late::Frame) => {
                    let corr_id = self
                        .connection
                        .open_frame()
                        .map_or(0, |(corr_id, _)| corr_id);
                    let detail = "a frame came too slowly";
                    let error = CallError::new(ErrorCode::BodyTimeout, detail);
                    self.refuse(corr_id, CONTROL, &error);
                    self.end();
                    cx.waker().wake_by_ref();
                    return None;
                }
                None => {}
            }
            let is_late = |it: &Stream| it.deadline(demand).is_some_and(|at| at <= now);
            let late = self.streams.iter().find(|(_, stream)| is_late(stream));
            if let Some((corr_id, _)) = late {
                let error = CallError::new(ErrorCode::BodyTimeout, "the request came too slowly");
                self.refuse(*corr_id, CONTROL, &error);
                cx.waker().wake_by_ref();
                return None;
            }
        }
    }

    fn observe_paces(&mut self, now: Instant) {
        let is_read =
            self.connection.is_open() && self.connection.long_frame().is_none() && self.may_take();
        let waits = is_read && self.connection.is_frame_open();
        let frames = self.connection.frames().0.iter().sum();
        self.paces.frame(now, waits, self.received, frames);
        let open_frame = self.connection.open_frame();
        for (corr_id, stream) in &mut self.streams {
            let its = open_frame.filter(|(open, _)| open == corr_id);
            stream.observe(now, is_read, its.map_or(0, |(_, arriving)| arriving));
        }
        let written = self.connection.written();
        let newest = self.unwritten.back();
        if newest.is_some_and(|(_, request)| request.permits.is_some()) {
            let leaving = &mut self.leaving;
            leaving
                .get_or_insert_with(|| Moved::from(now, written))
                .set(written);
        } else {
            self.leaving = None;
        }
        let queued = self.connection.queued() > 0;
        let unacknowledged = if queued { self.io.unacknowledged() } else { 0 };
        let delivered = written.saturating_sub(unacknowledged);
        self.paces.reading(now, queued, delivered);
    }

    /// Ends the slowest stream: a newcomer found everything taken.
    fn cut_slowest(&mut self, now: Instant) {
        let share = self.slowness.share();
        let slow = self
            .streams
            .iter()
            .filter_map(|(corr_id, stream)| Some((stream.moved.slow_rate(share, now)?, *corr_id)));
        let slowest = slow.min();
        let leaving = self.leaving.as_ref();
        let leaving = leaving.and_then(|moved| moved.slow_rate(share, now));
        if leaving.is_some_and(|rate| slowest.is_none_or(|(other, _)| rate <= other)) {
            // These are queued whole and bounded by what may be unread, so they go on without.
            for (_, request) in &mut self.unwritten {
                request.permits = None;
            }
            self.leaving = None;
        } else if let Some((_, corr_id)) = slowest {
            let detail = "too much is in progress, and this request was the slowest";
            let error = CallError::new(ErrorCode::SlowShare, detail);
            self.refuse(corr_id, CONTROL, &error);
        }
    }

    /// Once the drain has begun, what is in progress goes on and nothing new does.
    pub(super) fn check_draining(&self) -> Result<(), CallError> {
        if self.drain.is_draining() {
            let detail = "the node is shutting down; this connection closes when it rests";
            return Err(CallError::new(ErrorCode::Draining, detail));
        }
        Ok(())
    }

    /// A connection with a stream does not give way to newcomers; one at rest does, the longest
    /// at rest first.
    fn occupy(&mut self, now: Instant, at_rest: bool) {
        let frames = self.connection.frames().0;
        if !at_rest {
            if !std::mem::replace(&mut self.is_busy, true) {
                self.occupancy.busy();
            }
        } else if self.is_busy || frames != self.occupied {
            self.is_busy = false;
            self.occupied = frames;
            self.slot.idle(now);
        }
    }

    /// Nothing more is read or begun; the last word may still be written.
    pub(super) fn end(&mut self) {
        self.connection.close();
        self.streams.clear();
        self.work = FuturesUnordered::new();
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
