//! Everything that watches a connection from the outside: its clocks, its eviction, the drain and
//! the totals it adds to. One timer serves all the clocks.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::driven::{Cut, Driven};
use super::slow::Slowness;
use super::{ConnectionContext, ConnectionLimits};
use crate::activity::{Activity, Phase};
use crate::drain::DrainSignal;
use crate::progress::Demand;
use crate::refusal::Reason;
use crate::slots::Slot;
use crate::streams::Unreachable;
use crate::watchdog::{Deadlines, Expiry, Watchdog};

/// HTTP/2 streams are checked this often per progress interval.
const STREAM_CHECKS: u32 = 8;

/// Why a connection, or a part of its life, is over.
#[derive(Debug)]
pub(super) enum Ending<T> {
    Finished(T),
    Expired(Expiry),
    /// Its slot is needed for another.
    Evicted,
    /// Its one request was the slowest of all, and a newcomer found everything taken.
    GaveWay,
    /// Its response has been taken back.
    Revoked,
}

/// Everything that watches a connection from the outside.
pub(super) struct Supervision<'a> {
    watchdog: Watchdog,
    /// The one timer of the connection, and what it is set to.
    sleep: Pin<&'a mut Sleep>,
    armed: Option<Instant>,
    /// When to check the streams next, while they need it.
    next_check: Option<Instant>,
    slowness: Slowness,
    drain_started: Pin<&'a mut (dyn Future<Output = ()> + Send)>,
    /// The waker that `slot` and `drain_started` know.
    waker: Option<Waker>,
    /// The number of calls after which the slot was last marked as idle: every call marks it as
    /// busy.
    idle_after: u64,
    /// Bytes read and written that the context's totals include.
    reported: (u64, u64),
    pub(super) slot: &'a Slot,
    drain: &'a DrainSignal,
    pub(super) context: &'a ConnectionContext,
    pub(super) activity: &'a Activity,
}

impl<'a> Supervision<'a> {
    /// Supervises a connection that begins now.
    pub(super) fn new(
        sleep: Pin<&'a mut Sleep>,
        drain_started: Pin<&'a mut (dyn Future<Output = ()> + Send)>,
        slot: &'a Slot,
        drain: &'a DrainSignal,
        context: &'a ConnectionContext,
        activity: &'a Activity,
    ) -> Self {
        let deadlines = Deadlines {
            head: context.limits.head_deadline,
            idle: context.limits.idle,
            write: demand(&context.limits),
        };
        Self {
            watchdog: Watchdog::new(deadlines, Instant::now()),
            sleep,
            armed: None,
            next_check: None,
            slowness: Slowness::new(context.slow_share.clone()),
            drain_started,
            waker: None,
            idle_after: 0,
            reported: (0, 0),
            slot,
            drain,
            context,
            activity,
        }
    }

    /// Polls a stage of the connection until it is over.
    pub(super) async fn run<D: Driven>(&mut self, driven: &mut D) -> Ending<D::Output> {
        let mut asked_to_close = false;
        poll_fn(|cx| self.poll(cx, driven, &mut asked_to_close)).await
    }

    fn poll<D: Driven>(
        &mut self,
        cx: &mut Context<'_>,
        driven: &mut D,
        asked_to_close: &mut bool,
    ) -> Poll<Ending<D::Output>> {
        self.listen(cx);
        let mut result = driven.poll(cx);
        let evicted = self.slot.is_evicted();
        if result.is_pending() && !*asked_to_close && (evicted || self.drain.is_draining()) {
            *asked_to_close = true;
            driven.shut_down();
            // An HTTP/2 peer could put off its part of the closing for a whole idle time.
            let linger = self.context.limits.linger_time;
            self.watchdog.closing(Instant::now(), linger);
            result = driven.poll(cx);
        }
        self.report();
        if let Poll::Ready(output) = result {
            return Poll::Ready(Ending::Finished(output));
        }
        if evicted && self.activity.rests() {
            return Poll::Ready(Ending::Evicted);
        }
        self.observe();
        if self.slowness.take_cut(cx.waker()) {
            let now = Instant::now();
            let (calls, moved) = (self.activity.calls(), self.activity.moved());
            match driven.cut_slowest(now, self.slowness.share()) {
                Cut::Stream => self.count(Reason::SlowShare),
                Cut::Connection
                    if self.activity.gives_way() && self.slowness.is_slow(now, calls, moved) =>
                {
                    return Poll::Ready(Ending::GaveWay);
                }
                Cut::Connection | Cut::Nothing => {}
            }
        }
        self.poll_clock(cx, driven)
    }

    /// Has the eviction of the slot and the start of the drain wake this task. Both remember the
    /// task, so this is for the first poll, and the rare one from another task.
    fn listen(&mut self, cx: &mut Context<'_>) {
        if self
            .waker
            .as_ref()
            .is_none_or(|waker| !waker.will_wake(cx.waker()))
        {
            self.waker = Some(cx.waker().clone());
            // The answers are looked at in every poll.
            let _ = self.slot.poll_evicted(cx);
            if !self.drain.is_draining() {
                let _ = self.drain_started.as_mut().poll(cx);
            }
        }
    }

    fn observe(&mut self) {
        let activity = self.activity;
        let calls = activity.calls();
        let phase = activity.phase();
        self.watchdog
            .observe(phase, calls, activity.delivered(), Instant::now);
        // A head on its way does not make a request in progress, or its lease, be forgotten.
        if activity.in_progress() || matches!(phase, Phase::Busy | Phase::Blocked) {
            self.slowness.work(calls, activity.moved());
        } else {
            self.slowness.rest();
        }
        if self.idle_after != calls && activity.rests() {
            self.idle_after = calls;
            self.slot.idle(self.watchdog.idle_since());
        }
        if self.next_check.is_none() && activity.needs_checks() {
            self.next_check = Some(Instant::now() + self.check_interval());
        }
    }

    fn check_interval(&self) -> Duration {
        let interval = self.context.limits.progress_interval / STREAM_CHECKS;
        interval.max(Duration::from_millis(1))
    }

    /// While the socket takes nothing, the connection's own clock judges the peer by what it
    /// acknowledges. Of a stream only lumps are seen then, so it gets twice the time, and not
    /// for ever: it may be another stream that keeps the socket moving.
    fn stream_demand(&self) -> Demand {
        let mut demand = demand(&self.context.limits);
        if self.activity.write_blocked.load(Relaxed) {
            demand.interval *= 2;
        }
        demand
    }

    fn poll_clock<D: Driven>(
        &mut self,
        cx: &mut Context<'_>,
        driven: &mut D,
    ) -> Poll<Ending<D::Output>> {
        loop {
            let sample = self.slowness.next_sample();
            let wanted = [self.watchdog.deadline(), self.next_check, sample];
            let Some(wanted) = wanted.into_iter().flatten().min() else {
                return Poll::Pending;
            };
            if self.armed.is_none_or(|armed| wanted < armed) {
                self.sleep.as_mut().reset(wanted);
                self.armed = Some(wanted);
            }
            ready!(self.sleep.as_mut().poll(cx));
            self.armed = None;
            let now = Instant::now();
            if self.next_check.is_some_and(|at| at <= now) {
                match driven.check_streams(now, self.stream_demand()) {
                    Ok(reset) => (0..reset).for_each(|_| self.count(Reason::BodyTimeout)),
                    Err(Unreachable) => return Poll::Ready(Ending::Expired(Expiry::Write)),
                }
                let needed = self.activity.needs_checks();
                self.next_check = needed.then(|| now + self.check_interval());
            }
            if sample.is_some_and(|at| at <= now) {
                driven.revoke();
                if self.activity.is_revoked() {
                    return Poll::Ready(Ending::Revoked);
                }
                let (calls, moved) = (self.activity.calls(), self.activity.moved());
                let rate = self.slowness.sample(now, calls, moved);
                let rate = rate.filter(|_| self.activity.gives_way());
                let rate = driven.sample_streams(now, self.slowness.share(), rate);
                self.slowness.publish(rate);
                // The entry may be new, and a cut may have come before anybody listened.
                if self.slowness.listen(cx.waker()) {
                    cx.waker().wake_by_ref();
                }
            }
            if let Some(expiry) = self.watchdog.expired(now) {
                return Poll::Ready(Ending::Expired(expiry));
            }
        }
    }

    pub(super) fn count(&self, reason: Reason) {
        self.context.counters.count(reason);
    }

    /// Adds what has moved since the last time to the context's totals.
    pub(super) fn report(&mut self) {
        let read = self.activity.read.load(Relaxed);
        let written = self.activity.written.load(Relaxed);
        let (read_before, written_before) = self.reported;
        if read > read_before {
            self.context.bytes_in.fetch_add(read - read_before, Relaxed);
        }
        if written > written_before {
            self.context
                .bytes_out
                .fetch_add(written - written_before, Relaxed);
        }
        self.reported = (read, written);
    }
}

fn demand(limits: &ConnectionLimits) -> Demand {
    Demand {
        interval: limits.progress_interval,
        min_rate: limits.progress_min_rate,
    }
}
