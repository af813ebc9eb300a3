//! The clocks of a connection: whether it is over, what is late, and when to look again.

use super::long_frame::LongFrame;
use super::pace::{Late, Moved};
use super::session::{Ending, Session};
use super::stream::Stream;
use crate::call::CallError;
use crate::clock;
use micronode_hardening::Transport;
use micronode_protocol::ErrorCode;
use micronode_protocol::connection::Expired;
use micronode_protocol::limits::AUTHORITY_RECHECK;
use micronode_protocol::operation::CONTROL;
use std::task::Context;
use std::time::Duration;
use tokio::time::Instant;

/// A connection at rest keeps its buffers for this long: the next request is likely to be near.
const REST: Duration = Duration::from_secs(1);

impl<I: Transport> Session<I> {
    /// Nothing moves: whether the connection is over, and when to look again.
    pub(super) fn look(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<Ending> {
        if self.connection.is_closing() && self.connection.queued() == 0 {
            return Some(Ending::Told);
        }
        // Who has said their last word keeps nothing waiting: most have left, and a message that
        // comes would be given to nobody.
        let owes_nothing = self.connection.queued() == 0 && !self.connection.owes_answers(false)
            || self.connection.only_waits();
        if self.ended && owes_nothing && self.may_take() {
            return Some(Ending::Silent);
        }
        let drained = self.drain.is_draining() && !self.connection.is_frame_open();
        if self.is_at_rest() && (self.slot.is_evicted() || drained) {
            return Some(Ending::Silent);
        }
        self.tend(cx, now)
    }

    /// A request that has been admitted is being served, also while the rest of its only frame
    /// comes.
    fn is_at_rest(&self) -> bool {
        self.connection.is_at_rest() && self.long_frame.is_none()
    }

    /// What is due by the clock, and when to look again. A connection that is never at a loss for
    /// work is tended between its turns.
    pub(super) fn tend(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<Ending> {
        let at_rest = self.is_at_rest();
        self.occupy(now, at_rest);
        if self.slowness.take_cut(cx.waker()) {
            self.cut_slowest(now);
            cx.waker().wake_by_ref();
        }
        self.poll_clocks(cx, now)
    }

    fn poll_clocks(&mut self, cx: &mut Context<'_>, mut now: Instant) -> Option<Ending> {
        let at_rest = self.connection.only_waits() && self.long_frame.is_none();
        let lets_go = at_rest && !self.connection.is_frame_open() && self.connection.has_memory();
        let frames = self.connection.frames().0;
        let came = std::mem::replace(&mut self.came, frames);
        let rested = self.rest_at.filter(|_| frames == came);
        self.rest_at = lets_go.then(|| rested.unwrap_or(now + REST));
        // Who has been answered at once is not asked about again.
        self.check_authority_at = match self.check_authority_at {
            _ if self.holds_nobody() => None,
            None => Some(now + AUTHORITY_RECHECK),
            at => at,
        };
        loop {
            self.observe_paces(now);
            let moved = self.streams.values_mut().map(|stream| &mut stream.moved);
            let moved = moved.chain(&mut self.leaving);
            let arriving = self.long_frame.as_mut().map(|frame| &mut frame.moved);
            let moved = moved.chain(arriving);
            self.slowness.observe(now, moved, cx.waker());
            let demand = self.node.limits.demand;
            let uploads = self.streams.values().filter_map(|it| it.deadline(demand));
            let deadlines = [
                self.connection.poll_timeout().map(Instant::from_std),
                self.paces.deadline(),
                uploads.min(),
                self.long_frame.as_ref().and_then(LongFrame::deadline),
                self.slowness.next_sample(),
                self.rest_at,
                self.check_authority_at,
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
            if self.check_authority_at.is_some_and(|at| at <= now) {
                self.check_authority(now);
                if self.connection.queued() > 0 {
                    cx.waker().wake_by_ref();
                    return None;
                }
            }
            let queued = self.connection.queued();
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
                Some(Expired::Idle | Expired::Silent) => return Some(Ending::Silent),
                // A ping is to be written.
                None if self.connection.queued() > queued => {
                    cx.waker().wake_by_ref();
                    return None;
                }
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
            let long_frame = self.long_frame.as_ref().and_then(LongFrame::deadline);
            if long_frame.is_some_and(|at| at <= now) {
                let error = CallError::new(ErrorCode::BodyTimeout, "the request came too slowly");
                self.give_up_long_frame(error);
                cx.waker().wake_by_ref();
                return None;
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
        if let Some(long_frame) = &mut self.long_frame {
            long_frame.observe(now, is_read);
        }
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
        let arriving = self.long_frame.as_ref();
        let arriving = arriving.and_then(|frame| frame.moved.slow_rate(share, now));
        let detail = "too much is in progress, and this request was the slowest";
        let error = CallError::new(ErrorCode::SlowShare, detail);
        let others = slowest.map(|(rate, _)| rate).into_iter().chain(leaving);
        if arriving.is_some_and(|rate| others.min().is_none_or(|other| rate <= other)) {
            self.give_up_long_frame(error);
        } else if leaving.is_some_and(|rate| slowest.is_none_or(|(other, _)| rate <= other)) {
            // These are queued whole and bounded by what may be unread, so they go on without.
            for (_, request) in &mut self.unwritten {
                request.permits = None;
            }
            self.leaving = None;
        } else if let Some((_, corr_id)) = slowest {
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
}
